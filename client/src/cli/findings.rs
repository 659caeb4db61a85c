//! Faults and warnings with the place in the file where they are.

mod excerpt;

use std::fmt::Write as _;

use super::{
    args::{CheckArgs, Validation},
    files::Manifest,
    output::style::{BOLD, ERROR, RESET, WARNING},
};
use excerpt::excerpt;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Severity {
    Error,
    Warning,
}

/// Something about a manifest.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) severity: Severity,
    /// The path of the field from the request on, as in `manifests[0].spec`.
    pub(crate) field: String,
    pub(crate) reason: Option<String>,
    pub(crate) description: String,
    pub(crate) position: Option<seedpod_manifest::Position>,
}

impl Finding {
    pub(crate) fn error(violation: seedpod_manifest::Violation) -> Self {
        let seedpod_manifest::Violation {
            field,
            reason,
            description,
            position,
        } = violation;
        Self {
            severity: Severity::Error,
            field,
            reason: Some(reason.as_str().to_owned()),
            description,
            position,
        }
    }

    pub(crate) fn warning(warning: seedpod_manifest::Warning) -> Self {
        let seedpod_manifest::Warning {
            field,
            reason,
            description,
            position,
        } = warning;
        Self {
            severity: Severity::Warning,
            field,
            reason: Some(reason.as_str().to_owned()),
            description,
            position,
        }
    }

    /// `error: FILE:LINE:COLUMN: FIELD: sentence [REASON]`, and below it the line with a caret when it is known and is
    /// surely no part of a Secret. What was made from plain files is called by its entry in the `seedpod.yaml`.
    pub(crate) fn render(&self, manifests: &[Manifest]) -> String {
        let (index, field) = split(&self.field);
        let index = index.or(self.position.map(|position| position.manifest));
        let manifest = index.and_then(|index| manifests.get(index));
        let mut place =
            manifest.map_or_else(String::new, |manifest| format!("{}:", manifest.label));
        // What was made from plain files has no lines.
        let written = manifest.filter(|manifest| !manifest.generated);
        if let (Some(_), Some(position)) = (written, self.position) {
            let _ = write!(place, "{}:{}:", position.line, position.column);
        }
        let (style, word) = match self.severity {
            Severity::Error => (ERROR, "error"),
            Severity::Warning => (WARNING, "warning"),
        };
        let mut text = format!("{style}{word}:{RESET} ");
        if !place.is_empty() {
            let _ = write!(text, "{BOLD}{place}{RESET} ");
        }
        // A field that belongs to no manifest that was read is shown as the node named it.
        let field = if manifest.is_some() {
            field
        } else {
            &self.field
        };
        if !field.is_empty() {
            let _ = write!(text, "{field}: ");
        }
        text.push_str(&self.description);
        if let Some(reason) = &self.reason {
            let _ = write!(text, " [{reason}]");
        }
        text.push('\n');
        if let (Some(manifest), Some(position)) = (written, self.position) {
            let source = manifest.text.as_str();
            text.push_str(&excerpt(source, position.line, position.column).unwrap_or_default());
        }
        text
    }
}

/// Splits `manifests[2].documents[0].spec` into 2 and `documents[0].spec`.
fn split(field: &str) -> (Option<usize>, &str) {
    let parse = || {
        let (index, rest) = field.strip_prefix("manifests[")?.split_once(']')?;
        Some((index.parse().ok()?, rest.strip_prefix('.').unwrap_or(rest)))
    };
    parse().map_or((None, field), |(index, rest)| (Some(index), rest))
}

/// The violations that the node found. It writes the place behind the description, as most of its clients have no
/// other use for it; where it does not, the same checks made here may know the place.
pub(crate) fn from_server(
    violations: &[seedpod_client::FieldViolation],
    manifests: &[Manifest],
    checks: CheckArgs,
) -> Vec<Finding> {
    let here = Places::new(manifests, checks);
    let finding = |violation: &seedpod_client::FieldViolation| {
        let (description, place) = split_place(&violation.description);
        let position = match (split(&violation.field).0, place) {
            (Some(manifest), Some((line, column))) => Some(seedpod_manifest::Position {
                manifest,
                line,
                column,
            }),
            _ => here.position(&violation.field),
        };
        Finding {
            severity: Severity::Error,
            field: violation.field.clone(),
            reason: violation.reason.clone(),
            description: description.to_owned(),
            position,
        }
    };
    violations.iter().map(finding).collect()
}

/// Splits `is unknown (line 3, column 5)` into `is unknown` and 3, 5.
fn split_place(description: &str) -> (&str, Option<(usize, usize)>) {
    let parse = || {
        let (text, place) = description.strip_suffix(')')?.rsplit_once(" (line ")?;
        let (line, column) = place.split_once(", column ")?;
        Some((text, (line.parse().ok()?, column.parse().ok()?)))
    };
    parse().map_or((description, None), |(text, place)| (text, Some(place)))
}

/// As [`from_server`], for warnings.
pub(crate) fn warnings_from_server(
    warnings: &[seedpod_client::Warning],
    manifests: &[Manifest],
    checks: CheckArgs,
) -> Vec<Finding> {
    let here = if warnings.is_empty() {
        Places::default()
    } else {
        Places::new(manifests, checks)
    };
    warnings
        .iter()
        .map(|warning| Finding {
            severity: Severity::Warning,
            field: warning.field.clone(),
            reason: Some(warning.reason.clone()),
            description: warning.description.clone(),
            position: here.position(&warning.field),
        })
        .collect()
}

/// Where the checks made here found something.
#[derive(Default)]
struct Places(Vec<(String, seedpod_manifest::Position)>);

impl Places {
    fn new(manifests: &[Manifest], checks: CheckArgs) -> Self {
        let texts: Vec<&str> = manifests
            .iter()
            .map(|manifest| manifest.text.as_str())
            .collect();
        // The node's name and limits are not known here; what depends on them just gets no place.
        let Ok(node) = "node".parse() else {
            return Self::default();
        };
        let options = seedpod_manifest::Options {
            node,
            max_pods: usize::MAX,
            max_bytes: usize::MAX,
            field_validation: checks.validation.into(),
            allow_secret_env: checks.allow_secret_env,
        };
        let place = |field, position: Option<_>| position.map(|position| (field, position));
        Self(match seedpod_manifest::check(&texts, &options) {
            Ok(checked) => checked
                .warnings
                .into_iter()
                .filter_map(|w| place(w.field, w.position))
                .collect(),
            Err(violations) => violations
                .into_iter()
                .filter_map(|v| place(v.field, v.position))
                .collect(),
        })
    }

    fn position(&self, field: &str) -> Option<seedpod_manifest::Position> {
        self.0
            .iter()
            .find(|(known, _)| known == field)
            .map(|(_, position)| *position)
    }
}

impl From<Validation> for seedpod_manifest::FieldValidation {
    fn from(validation: Validation) -> Self {
        match validation {
            Validation::Strict => Self::Strict,
            Validation::Warn => Self::Warn,
        }
    }
}

#[cfg(test)]
mod tests {
    use seedpod_manifest::Position;

    use super::*;

    fn plain(finding: &Finding, manifests: &[Manifest]) -> String {
        anstream::adapter::strip_str(&finding.render(manifests)).to_string()
    }

    fn manifest(label: &str, text: &str) -> Manifest {
        Manifest {
            label: label.to_owned(),
            text: text.into(),
            generated: false,
        }
    }

    fn finding(field: &str, position: Option<Position>) -> Finding {
        Finding {
            severity: Severity::Error,
            field: field.to_owned(),
            reason: Some("TOO_BAD".to_owned()),
            description: "This is bad.".to_owned(),
            position,
        }
    }

    #[test]
    fn a_fault_is_shown_with_its_file_line_and_caret() {
        let manifests = [
            manifest("a.yaml", "kind: Pod\n"),
            manifest("b.yaml", "kind: Pod\nspec:\n\tx: 1\n"),
        ];
        let position = Position {
            manifest: 1,
            line: 3,
            column: 2,
        };
        assert_eq!(
            plain(&finding("manifests[1].spec.x", Some(position)), &manifests),
            "error: b.yaml:3:2: spec.x: This is bad. [TOO_BAD]\n  3 |  x: 1\n    |  ^\n"
        );
        assert_eq!(
            plain(&finding("manifests[0]", None), &manifests),
            "error: a.yaml: This is bad. [TOO_BAD]\n"
        );
        assert_eq!(
            plain(&finding("bundle", None), &manifests),
            "error: bundle: This is bad. [TOO_BAD]\n"
        );
        assert_eq!(
            plain(&finding("manifests[7].spec", None), &manifests),
            "error: manifests[7].spec: This is bad. [TOO_BAD]\n"
        );
    }

    #[test]
    fn the_place_is_taken_from_the_end_of_a_description() {
        assert_eq!(
            split_place("is unknown (line 3, column 5)"),
            ("is unknown", Some((3, 5)))
        );
        for whole in [
            "is unknown",
            "is unknown (see line 3)",
            "is (line x, column 5)",
            "(line 1, column 1)",
        ] {
            assert_eq!(split_place(whole), (whole, None));
        }
    }

    #[test]
    fn what_was_made_from_plain_files_is_called_by_its_entry() {
        let mut manifest = manifest(
            "x/seedpod.yaml:4: secretGenerator[0] (pki)",
            r#"{"kind":"Secret","data":{"a":"aHVudGVyMg=="}}"#,
        );
        manifest.generated = true;
        let position = Position {
            manifest: 0,
            line: 1,
            column: 30,
        };
        assert_eq!(
            plain(
                &finding("manifests[0].metadata.name", Some(position)),
                &[manifest]
            ),
            "error: x/seedpod.yaml:4: secretGenerator[0] (pki): metadata.name: This is bad. [TOO_BAD]\n"
        );
    }
}
