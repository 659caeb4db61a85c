//! Faults and warnings with the place in the file where they are.

use std::fmt::Write as _;

use super::{
    args::Validation,
    files::Manifest,
    output::style::{BOLD, ERROR, PLACE, RESET, WARNING},
};

/// How long a source line may be before only the part around the column is shown.
const EXCERPT: usize = 96;

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

    /// `error: FILE:LINE:COLUMN: FIELD: sentence [REASON]`, and below it the line with a caret when it is known.
    pub(crate) fn render(&self, manifests: &[Manifest]) -> String {
        let (index, field) = split(&self.field);
        let index = index.or(self.position.map(|position| position.manifest));
        let manifest = index.and_then(|index| manifests.get(index));
        let mut place =
            manifest.map_or_else(String::new, |manifest| format!("{}:", manifest.label));
        if let (Some(_), Some(position)) = (manifest, self.position) {
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
        if let (Some(manifest), Some(position)) = (manifest, self.position) {
            text.push_str(
                &excerpt(&manifest.text, position.line, position.column).unwrap_or_default(),
            );
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

/// The line without what stands behind `value:`, which in an environment variable may be a secret, and what is printed
/// here often ends in the log of some pipeline.
fn without_value(line: &str) -> String {
    for key in ["value:", "\"value\":"] {
        if let Some(start) = line.find(key) {
            return format!("{} …", &line[..start + key.len()]);
        }
    }
    line.to_owned()
}

fn excerpt(text: &str, line: usize, column: usize) -> Option<String> {
    let source = without_value(text.lines().nth(line.checked_sub(1)?)?);
    // Control characters would move the cursor of the terminal; a tab would move the caret.
    let shown: Vec<char> = source
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let column = column.clamp(1, shown.len() + 1) - 1;
    let start = column
        .saturating_sub(EXCERPT * 2 / 3)
        .min(shown.len().saturating_sub(EXCERPT));
    let end = shown.len().min(start + EXCERPT);
    let part: String = shown[start..end].iter().collect();
    let number = line.to_string();
    let caret = " ".repeat(column - start);
    Some(format!(
        "  {PLACE}{number} |{RESET} {}\n  {PLACE}{} |{RESET} {caret}{ERROR}^{RESET}\n",
        part.trim_end(),
        " ".repeat(number.len()),
    ))
}

/// The violations that the node found. It writes the place behind the description, as most of its clients have no
/// other use for it; where it does not, the same checks made here may know the place.
pub(crate) fn from_server(
    violations: &[seedpod_client::FieldViolation],
    manifests: &[Manifest],
    validation: Validation,
) -> Vec<Finding> {
    let here = Places::new(manifests, validation);
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
    validation: Validation,
) -> Vec<Finding> {
    let here = if warnings.is_empty() {
        Places::default()
    } else {
        Places::new(manifests, validation)
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
    fn new(manifests: &[Manifest], validation: Validation) -> Self {
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
            field_validation: validation.into(),
            allow_secret_env: false,
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
            Manifest {
                label: "a.yaml".to_owned(),
                text: "kind: Pod\n".to_owned(),
            },
            Manifest {
                label: "b.yaml".to_owned(),
                text: "kind: Pod\nspec:\n\tx: 1\n".to_owned(),
            },
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
    fn an_excerpt_keeps_values_of_variables_to_itself() {
        for line in [
            "    value: hunter2",
            "  - {name: PASSWORD, value: hunter2}",
            r#"{"name":"P","value":"hunter2"}"#,
        ] {
            let shown = excerpt(line, 1, 200).unwrap_or_default();
            assert!(
                shown.contains("value") && !shown.contains("hunter2"),
                "{shown}"
            );
        }
        assert!(
            excerpt("  valueFrom: x", 1, 1).is_some_and(|shown| shown.contains("valueFrom: x"))
        );
    }

    #[test]
    fn an_excerpt_stays_narrow_and_bears_any_position() {
        let text = format!("{}X{}", "a".repeat(500), "b".repeat(500));
        let excerpt = |line, column| {
            excerpt(&text, line, column).map(|text| anstream::adapter::strip_str(&text).to_string())
        };
        let shown = excerpt(1, 501).unwrap_or_default();
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines[0].chars().count() <= EXCERPT + 6, "{shown}");
        assert_eq!(lines[0].find('X'), lines[1].find('^'), "{shown}");
        assert!(excerpt(1, 99_999).is_some_and(|text| text.contains('^')));
        assert_eq!(excerpt(2, 1), None);
        assert_eq!(excerpt(0, 0), None);
    }
}
