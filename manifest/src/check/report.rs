//! Where faults are gathered, with the path and the place of each.

use crate::{
    Position, Reason, Violation, Warning,
    decode::tree::{Kind, Mark, Node},
    field::{self, OwnedSegment, Path, Segment},
};

/// More faults of one bundle tell nobody more, and a hostile one could have millions.
const MAX_FINDINGS: usize = 256;

/// Everything found so far in the bundle.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    violations: Vec<Violation>,
    warnings: Vec<Warning>,
}

impl Findings {
    /// Adds a violation unless there are many already; it is only worked out when there is room.
    pub(crate) fn violate(&mut self, violation: impl FnOnce() -> Violation) {
        if self.violations.len() < MAX_FINDINGS {
            self.violations.push(violation());
        }
    }

    pub(crate) fn warn(&mut self, warning: impl FnOnce() -> Warning) {
        if self.warnings.len() < MAX_FINDINGS {
            self.warnings.push(warning());
        }
    }

    pub(crate) fn has_violations(&self) -> bool {
        !self.violations.is_empty()
    }

    /// Whether something is wrong at or below a field.
    pub(crate) fn concern(&self, field: &str) -> bool {
        self.violations.iter().any(|violation| {
            violation
                .field
                .strip_prefix(field)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
    }

    pub(crate) fn into_parts(self) -> (Vec<Violation>, Vec<Warning>) {
        (self.violations, self.warnings)
    }
}

/// The findings, seen from one document.
pub(crate) struct Report<'a> {
    pub(crate) manifest: usize,
    /// The path of the document.
    pub(crate) prefix: String,
    pub(crate) tree: &'a Node,
    pub(crate) findings: &'a mut Findings,
}

impl Report<'_> {
    /// Whether the document can be an object, which is refused otherwise.
    pub(crate) fn is_object(&mut self) -> bool {
        let tree = self.tree;
        let is_object = matches!(tree.kind, Kind::Map(_));
        if !is_object {
            let description = format!(
                "a document must be an object with apiVersion and kind, not {}",
                tree.sort()
            );
            self.refuse(&Path::ROOT, Reason::WrongType, description);
        }
        is_object
    }

    /// The text of a node's field, or what is implied where it is not given; `path` is the node's. Else it is refused, in
    /// the words of `missing` when there is none.
    pub(crate) fn text<'n>(
        &mut self,
        node: &'n Node,
        path: &Path<'_>,
        field: &str,
        implied: Option<&'n str>,
        missing: impl FnOnce() -> String,
    ) -> Option<&'n str> {
        match node.get(field) {
            Some(node) if node.text().is_some_and(|text| !text.is_empty()) => return node.text(),
            None
            | Some(Node {
                kind: Kind::Null | Kind::Text(_),
                ..
            }) => {
                if implied.is_some() {
                    return implied;
                }
                self.refuse(&path.key(field), Reason::MissingField, missing());
            }
            Some(node) => {
                let description = format!("it must be a string, not {}", node.sort());
                self.refuse(&path.key(field), Reason::WrongType, description);
            }
        }
        None
    }

    /// The document breaks a rule.
    pub(crate) fn refuse(
        &mut self,
        path: &Path<'_>,
        reason: Reason,
        description: impl Into<String>,
    ) {
        let segments = path.segments();
        self.push(&segments, reason, description.into(), |tree| {
            tree.locate(segments.iter().copied())
        });
    }

    /// As [`Report::refuse`], at the field's key: for a field that should not be there at all.
    pub(crate) fn refuse_key(
        &mut self,
        path: &Path<'_>,
        reason: Reason,
        description: impl Into<String>,
    ) {
        let segments = path.segments();
        self.push(&segments, reason, description.into(), |tree| {
            tree.locate_key(&segments)
        });
    }

    /// As [`Report::refuse_key`], for a key below the path that must not be told.
    pub(crate) fn refuse_untold_key(
        &mut self,
        path: &Path<'_>,
        key: &str,
        reason: Reason,
        description: impl Into<String>,
    ) {
        let at = path.key(key).segments();
        self.push(&path.segments(), reason, description.into(), |tree| {
            tree.locate_key(&at)
        });
    }

    /// As [`Report::refuse`], for a path that a decoder gave.
    pub(crate) fn refuse_owned(&mut self, path: &[OwnedSegment], reason: Reason, what: String) {
        let segments: Vec<_> = path.iter().map(OwnedSegment::as_segment).collect();
        self.push(&segments, reason, what, |tree| {
            tree.locate(segments.iter().copied())
        });
    }

    /// As [`Report::refuse_key`], for a path that a decoder gave.
    pub(crate) fn refuse_key_owned(&mut self, path: &[OwnedSegment], reason: Reason, what: String) {
        let segments: Vec<_> = path.iter().map(OwnedSegment::as_segment).collect();
        self.push(&segments, reason, what, |tree| tree.locate_key(&segments));
    }

    /// Something that is allowed but will surprise.
    pub(crate) fn warn(&mut self, path: &Path<'_>, reason: Reason, description: impl Into<String>) {
        self.push_warning(&path.segments(), reason, description.into());
    }

    /// As [`Report::warn`], for a path that a decoder gave.
    pub(crate) fn warn_owned(&mut self, path: &[OwnedSegment], reason: Reason, what: String) {
        let segments: Vec<_> = path.iter().map(OwnedSegment::as_segment).collect();
        self.push_warning(&segments, reason, what);
    }

    /// Whether the document has the field.
    pub(crate) fn has(&self, path: &Path<'_>) -> bool {
        self.tree.find(path.segments()).is_some()
    }

    /// Where the document begins.
    pub(crate) fn position(&self) -> Position {
        position(self.manifest, self.tree.mark)
    }

    fn push(
        &mut self,
        segments: &[Segment<'_>],
        reason: Reason,
        description: String,
        locate: impl FnOnce(&Node) -> Mark,
    ) {
        self.findings.violate(|| Violation {
            field: field::join(&self.prefix, segments.iter().copied()),
            reason,
            description,
            position: Some(position(self.manifest, locate(self.tree))),
        });
    }

    fn push_warning(&mut self, segments: &[Segment<'_>], reason: Reason, description: String) {
        self.findings.warn(|| Warning {
            field: field::join(&self.prefix, segments.iter().copied()),
            reason,
            description,
            position: Some(position(self.manifest, self.tree.locate_key(segments))),
        });
    }
}

pub(crate) fn position(manifest: usize, mark: Mark) -> Position {
    Position {
        manifest,
        line: mark.line as usize,
        column: mark.column as usize,
    }
}
