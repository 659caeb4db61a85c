//! The line of a manifest that a finding is about.
//!
//! What is printed here often ends in the log of some pipeline. Values of Secrets must not, so a line is shown only when
//! its document is surely none.

use crate::cli::output::style::{ERROR, PLACE, RESET};

/// How long a source line may be before only the part around the column is shown.
const EXCERPT: usize = 96;

/// The keys of data, whatever the kind of the object is spelt like.
const DATA: [&str; 3] = ["data", "stringData", "binaryData"];

/// The line with a caret below the column. `None` when there is no such line, or when it may be part of a Secret.
pub(super) fn excerpt(text: &str, line: usize, column: usize) -> Option<String> {
    let index = line.checked_sub(1)?;
    let source = text.lines().nth(index)?;
    if !may_be_shown(text, index) {
        return None;
    }
    let source = without_value(source);
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

/// Whether the line of this index is in no Secret. Broken documents are asked too, so this looks at the text alone, and
/// in doubt says no: where a file has a Secret, only lines of documents that say they are Pods are shown.
fn may_be_shown(text: &str, index: usize) -> bool {
    let documents = documents(text);
    let may_be_secret = |document: &Vec<&str>| {
        document
            .iter()
            .any(|line| names_secret(line) || DATA.iter().any(|key| has_key(line, key)))
    };
    if !documents.iter().any(|(_, lines)| may_be_secret(lines)) {
        return true;
    }
    let own = documents.iter().rev().find(|(first, _)| *first <= index);
    own.is_some_and(|(_, lines)| !may_be_secret(lines) && lines.iter().any(|line| names_pod(line)))
}

/// The documents with the index of their first line: a line that begins with `---` begins one.
fn documents(text: &str) -> Vec<(usize, Vec<&str>)> {
    let mut documents = vec![(0, Vec::new())];
    for (index, line) in text.lines().enumerate() {
        let begins = line
            .strip_prefix("---")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace));
        if begins {
            documents.push((index, Vec::new()));
        }
        if let Some((_, lines)) = documents.last_mut() {
            lines.push(line);
        }
    }
    documents
}

/// Whether a line says `kind: Secret`, or `SecretList`, in YAML or JSON and in whatever case.
fn names_secret(line: &str) -> bool {
    kinds(line).any(|kind| kind.contains("secret"))
}

/// Whether a line says `kind: Pod`.
fn names_pod(line: &str) -> bool {
    kinds(line).any(|kind| kind.trim_matches(|c: char| !c.is_alphanumeric()) == "pod")
}

/// What stands behind `kind` on a line, in lower case.
fn kinds(line: &str) -> impl Iterator<Item = String> + '_ {
    line.match_indices("kind").map(|(start, word)| {
        let rest = &line[start + word.len()..];
        rest.split([',', '}']).next().unwrap_or(rest).to_lowercase()
    })
}

/// Whether a line has this key, in YAML or JSON.
fn has_key(line: &str, key: &str) -> bool {
    line.match_indices(key).any(|(start, _)| {
        let before = line[..start].chars().next_back();
        let after = line[start + key.len()..].trim_start_matches(['"', '\'']);
        !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '/'))
            && after.trim_start().starts_with(':')
    })
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

#[cfg(test)]
mod tests {
    use super::*;

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

    /// The numbers of the lines that are shown.
    fn shown(text: &str) -> Vec<usize> {
        (1..=text.lines().count())
            .filter(|line| excerpt(text, *line, 1).is_some())
            .collect()
    }

    #[test]
    fn no_line_of_a_secret_is_shown() {
        for secret in [
            "kind: Secret\nstringData:\n  password: hunter2",
            "kind : \"Secret\"\ntype: hunter2",
            "kind: secret\nhunter2",
            "kind:   !!str Secret # hunter2",
            "kind: SecretList\nitems: [hunter2]",
            "kind: Secrte\nstringData:\n  password: hunter2",
            "data:\n  password: hunter2",
            "data : {password: hunter2}",
            "kind: List\nitems:\n- kind: Secret\n  password: hunter2",
            r#"{"kind": "Secret", "password": "hunter2"}"#,
            r#"{"apiVersion":"v1","data":{"password":"hunter2"}}"#,
        ] {
            assert_eq!(shown(secret), [] as [usize; 0], "{secret}");
        }
    }

    #[test]
    fn pods_beside_a_secret_are_shown_and_what_is_neither_is_not() {
        let text = "kind: Pod\nspec: 1\n---\nkind: Secret\nstringData: {a: |\n---\nhunter2}\n--- # next\nkind: Pod\n";
        assert_eq!(shown(text), [1, 2, 8, 9]);
    }

    #[test]
    fn what_only_looks_like_data_or_a_secret_is_shown() {
        for pod in [
            "kind: Pod\nvolumes:\n- name: data\n  secret:\n    secretName: x",
            "kind: Pod\nenv:\n- valueFrom: {secretKeyRef: {name: x}}\nmetadata: 1",
            "kindOf: x\nno-data: x\n",
        ] {
            assert_eq!(shown(pod).len(), pod.lines().count(), "{pod}");
        }
    }
}
