//! YAML as people write it: names first, two spaces, strings bare where that is safe, and comments.
//!
//! A comment stands before what it is about: as the key `#KEY` beside `KEY`, or as a text that begins with `# ` in a
//! list. It is not part of the object; [`without_comments`] is what is left.

use serde_json::{Map, Value};
use zeroize::Zeroizing;

/// What comes before all other keys, which follow by the alphabet.
const FIRST: [&str; 12] = [
    "apiVersion",
    "kind",
    "metadata",
    "bundle",
    "name",
    "namespace",
    "labels",
    "annotations",
    "image",
    "imagePullPolicy",
    "command",
    "env",
];

/// How wide comments are.
const WIDTH: usize = 110;

/// A file with these documents, with the comment at its top.
pub(super) fn file(comment: &str, documents: &[Value]) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::new());
    write_comment(&mut out, comment, 0);
    for document in documents {
        if documents.len() > 1 {
            out.push_str("---\n");
        }
        if let Value::Object(map) = document {
            write_map(&mut out, map, 0);
        }
    }
    out
}

/// An object as the text of a field.
pub(super) fn text_of(object: &Value) -> String {
    file("", std::slice::from_ref(object)).to_string()
}

/// The value that a file says.
#[cfg(test)]
pub(super) fn without_comments(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .filter(|(key, _)| !key.starts_with('#'))
            .map(|(key, value)| (key.clone(), without_comments(value)))
            .collect(),
        Value::Array(items) => items
            .iter()
            .filter(|item| comment_of(item).is_none())
            .map(without_comments)
            .collect(),
        other => other.clone(),
    }
}

fn write_map(out: &mut String, map: &Map<String, Value>, depth: usize) {
    let mut keys: Vec<&String> = map.keys().filter(|key| !key.starts_with('#')).collect();
    keys.sort_by_key(|key| {
        let place = FIRST.iter().position(|first| *first == key.as_str());
        (place.unwrap_or(FIRST.len()), key.as_str())
    });
    // In a list the first key stands behind the dash, where a comment has no line of its own.
    let mut behind_dash = out.ends_with("- ");
    for key in keys {
        if let Some(Value::String(comment)) = map.get(&format!("#{key}")) {
            debug_assert!(!behind_dash, "{key} cannot have a comment");
            write_comment(out, comment, depth);
        }
        if !behind_dash {
            indent(out, depth);
        }
        behind_dash = false;
        out.push_str(&text(key));
        out.push(':');
        write_value(out, &map[key.as_str()], depth);
    }
}

/// Writes what follows `KEY:`, with the line's end.
fn write_value(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(map) if map.is_empty() => out.push_str(" {}\n"),
        Value::Array(items) if items.is_empty() => out.push_str(" []\n"),
        Value::Object(map) => {
            out.push('\n');
            write_map(out, map, depth + 1);
        }
        Value::Array(items) => {
            out.push('\n');
            for item in items {
                write_item(out, item, depth + 1);
            }
        }
        Value::String(block) if is_block(block) => {
            out.push_str(" |\n");
            for line in block.lines() {
                indent(out, depth + 1);
                out.push_str(line);
                out.push('\n');
            }
        }
        scalar => {
            out.push(' ');
            out.push_str(&write_scalar(scalar));
            out.push('\n');
        }
    }
}

fn write_item(out: &mut String, item: &Value, depth: usize) {
    if let Some(comment) = comment_of(item) {
        return write_comment(out, comment, depth);
    }
    indent(out, depth);
    out.push_str("- ");
    match item {
        Value::Object(map) if !map.is_empty() => write_map(out, map, depth + 1),
        Value::Object(_) => out.push_str("{}\n"),
        scalar => {
            out.push_str(&write_scalar(scalar));
            out.push('\n');
        }
    }
}

fn write_scalar(value: &Value) -> String {
    match value {
        Value::String(string) => text(string),
        // Flow style, which is JSON.
        other => other.to_string(),
    }
}

fn comment_of(item: &Value) -> Option<&str> {
    item.as_str()?.strip_prefix("# ")
}

fn write_comment(out: &mut String, comment: &str, depth: usize) {
    for paragraph in comment.lines() {
        let mut length = WIDTH;
        for word in paragraph.split_whitespace() {
            if length + word.len() + 1 > WIDTH - 2 * depth {
                if length < WIDTH {
                    out.push('\n');
                }
                indent(out, depth);
                out.push('#');
                length = 1;
            }
            out.push(' ');
            out.push_str(word);
            length += word.len() + 1;
        }
        out.push('\n');
    }
}

fn indent(out: &mut String, depth: usize) {
    out.extend(std::iter::repeat_n("  ", depth));
}

/// Several whole lines, which a literal block keeps as they are.
fn is_block(text: &str) -> bool {
    text.contains('\n')
        && text.ends_with('\n')
        && !text.ends_with("\n\n")
        && !text.starts_with([' ', '\n', '\t'])
        && text.chars().all(|char| char == '\n' || !char.is_control())
}

/// Bare when every reader of YAML, old or new, takes it for this very text; otherwise with quotes.
fn text(text: &str) -> String {
    if is_bare(text) {
        text.to_owned()
    } else {
        // JSON's strings are YAML's.
        Value::String(text.to_owned()).to_string()
    }
}

fn is_bare(text: &str) -> bool {
    let word = |text: &str| {
        let words = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];
        words.iter().any(|word| text.eq_ignore_ascii_case(word))
    };
    let Some(first) = text.chars().next() else {
        return false;
    };
    let plain = |char: char| char.is_ascii_alphanumeric() || "/._-:=,@()$+*".contains(char);
    let begins = first.is_ascii_alphabetic()
        || first == '/'
        || (first == '-' && text.starts_with("--") && text.len() > 3)
        || (first.is_ascii_digit() && !is_like_a_number(text));
    begins && !word(text) && !text.ends_with(':') && text.chars().all(plain)
}

/// What some reader may take for a number, a time or a date: whatever has neither four parts, like an address, nor a
/// unit of Kubernetes' at its end.
fn is_like_a_number(text: &str) -> bool {
    let address = text.split(['.', '/']).count() >= 4 && text.matches('.').count() == 3;
    let unit = ["m", "Mi", "Gi"].iter().any(|unit| {
        let digits = text.strip_suffix(unit);
        digits.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
    });
    !address && !unit
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_read_is_what_was_written() {
        let value = json!({
            "kind": "Thing",
            "apiVersion": "v1",
            "metadata": {"name": "x", "annotations": {}, "labels": {"a/b": "on"}},
            "texts": [
                "", " ", "no", "Y", "0400", "1e3", "12:30:45", "2026-11-25", "0x1f", "1_000", "~", "null", "-", "--",
                "---", "a: b", "a #b", "#b", "*", "*,a", "&a", "!a", "%a", "@a", "`a", "[a]", "{a}", "a:", "a b", "ä",
                "\t", "tab\there", "quote\"d", "back\\slash", "10.96.0.0/12", "127.0.0.1", "250m", "100Mi", "--a=b",
                "--a=*,b", "fd00::1", "::1", ".5", "+1", "1.5", ".inf", "=", "<<", "$(HOST)", "5s",
            ],
            "block": "one\n  two\nthree\n",
            "no block": "one\ntwo",
            "odd": ["one\n\n", "\none\n", "a\r\nb\n"],
            "numbers": [1, -1, 1.5, 0],
            "flags": {"yes": true, "no": false, "none": null},
            "list": [{"name": "a", "items": [{"key": "k"}, {}]}, {"b": []}],
        });
        let text = file("A comment.", std::slice::from_ref(&value));
        let read: Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(read, value, "{}", *text);
    }

    #[test]
    fn comments_stand_before_what_they_are_about() {
        let value = json!({
            "kind": "Thing",
            "#spec": "Why.",
            "spec": ["# The first.", "--a=b", {"name": "x", "#image": "That one.", "image": "z"}],
        });
        let expected = "\
# Top.
kind: Thing
# Why.
spec:
  # The first.
  - --a=b
  - name: x
    # That one.
    image: z
";
        assert_eq!(*file("Top.", std::slice::from_ref(&value)), expected);
        let bare = json!({"kind": "Thing", "spec": ["--a=b", {"name": "x", "image": "z"}]});
        assert_eq!(without_comments(&value), bare);
    }

    #[test]
    fn long_comments_are_wrapped() {
        let text = file(&"word ".repeat(60), &[json!({"kind": "Thing"})]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(lines[..3].iter().all(|line| line.starts_with("# word")));
        assert!(lines.iter().all(|line| line.len() <= WIDTH));
    }
}
