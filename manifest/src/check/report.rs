//! Where faults are gathered, with the path and the place of each.

use crate::{
    Position, Reason, Violation, Warning,
    decode::tree::{Mark, Node},
    field::{self, OwnedSegment, Path, Segment},
};

/// Everything found so far in the bundle.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) violations: Vec<Violation>,
    pub(crate) warnings: Vec<Warning>,
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
    /// The document breaks a rule.
    pub(crate) fn refuse(
        &mut self,
        path: &Path<'_>,
        reason: Reason,
        description: impl Into<String>,
    ) {
        let segments = path.segments();
        let mark = self.tree.locate(segments.iter().copied());
        self.push_violation(&segments, mark, reason, description.into());
    }

    /// As [`Report::refuse`], at the field's key: for a field that should not be there at all.
    pub(crate) fn refuse_key(
        &mut self,
        path: &Path<'_>,
        reason: Reason,
        description: impl Into<String>,
    ) {
        let segments = path.segments();
        let mark = self.tree.locate_key(&segments);
        self.push_violation(&segments, mark, reason, description.into());
    }

    /// As [`Report::refuse`], for a path that a decoder gave.
    pub(crate) fn refuse_owned(
        &mut self,
        path: &[OwnedSegment],
        mark: Mark,
        reason: Reason,
        description: String,
    ) {
        let segments: Vec<_> = path.iter().map(OwnedSegment::as_segment).collect();
        self.push_violation(&segments, mark, reason, description);
    }

    /// Something that is allowed but will surprise.
    pub(crate) fn warn(&mut self, path: &Path<'_>, reason: Reason, description: impl Into<String>) {
        let segments = path.segments();
        self.push_warning(&segments, reason, description.into());
    }

    /// As [`Report::warn`], for a path that a decoder gave.
    pub(crate) fn warn_owned(
        &mut self,
        path: &[OwnedSegment],
        reason: Reason,
        description: String,
    ) {
        let segments: Vec<_> = path.iter().map(OwnedSegment::as_segment).collect();
        self.push_warning(&segments, reason, description);
    }

    /// Whether the document has the field.
    pub(crate) fn has(&self, path: &Path<'_>) -> bool {
        self.tree.find(path.segments()).is_some()
    }

    /// Where the document begins.
    pub(crate) fn position(&self) -> Position {
        position(self.manifest, self.tree.mark)
    }

    fn push_violation(
        &mut self,
        segments: &[Segment<'_>],
        mark: Mark,
        reason: Reason,
        description: String,
    ) {
        let field = field::join(&self.prefix, segments.iter().copied());
        let position = Some(position(self.manifest, mark));
        self.findings.violations.push(Violation {
            field,
            reason,
            description,
            position,
        });
    }

    fn push_warning(&mut self, segments: &[Segment<'_>], reason: Reason, description: String) {
        let field = field::join(&self.prefix, segments.iter().copied());
        let position = Some(position(self.manifest, self.tree.locate_key(segments)));
        self.findings.warnings.push(Warning {
            field,
            reason,
            description,
            position,
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
