//! Whether the user's own manifests can be applied.

use std::path::Path;

use serde_json::Value;

use crate::cluster::render::UnfitFile;

/// Each document of a file has to be an object with a name.
///
/// The messages quote nothing of the text, which may hold what is secret.
pub(in crate::cluster) fn check_addon(path: &Path, text: &str) -> Result<(), UnfitFile> {
    let options = serde_saphyr::options! { with_snippet: false };
    let documents: Vec<Value> =
        serde_saphyr::from_multiple_with_options(text, options).map_err(|error| {
            let place = error.location().map_or_else(String::new, |at| {
                format!(" at line {}, column {}", at.line(), at.column())
            });
            unfit(
                path,
                &format!("it is no YAML or JSON{place}; mend it there"),
            )
        })?;
    let mut objects = 0;
    for (index, document) in documents.iter().enumerate() {
        if document.is_null() {
            continue;
        }
        objects += 1;
        check_object(document)
            .map_err(|message| unfit(path, &format!("documents[{index}]: {message}")))?;
    }
    if objects == 0 {
        return Err(unfit(path, "there is no object in it; remove it"));
    }
    Ok(())
}

fn check_object(object: &Value) -> Result<(), String> {
    let text = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
    for field in ["apiVersion", "kind"] {
        if !text(&object[field]) {
            return Err(format!("{field} is missing; every object has one"));
        }
    }
    let list = object["kind"]
        .as_str()
        .is_some_and(|it| it.ends_with("List"));
    match (&object["items"], list) {
        (Value::Array(items), true) => items.iter().enumerate().try_for_each(|(index, item)| {
            check_object(item).map_err(|message| format!("items[{index}]: {message}"))
        }),
        _ if text(&object["metadata"]["name"]) => Ok(()),
        _ => Err("metadata.name is missing; what is applied has a name".to_owned()),
    }
}

fn unfit(path: &Path, message: &str) -> UnfitFile {
    UnfitFile {
        path: path.to_owned(),
        message: message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_applied_is_let_pass() {
        for text in [
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n",
            "# Only a comment.\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n---\n",
            r#"{"apiVersion": "v1", "kind": "List", "items": [
                {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}}]}"#,
        ] {
            check_addon(Path::new("a.yaml"), text).unwrap();
        }
    }

    #[test]
    fn what_cannot_be_applied_is_told_with_its_place_and_without_its_content() {
        for (text, place) in [
            ("", "no object"),
            ("# Nothing.\n", "no object"),
            ("kind: Secret\n", "documents[0]: apiVersion"),
            (
                "apiVersion: v1\nkind: A\nmetadata: {name: a}\n---\napiVersion: v1\nkind: A\n",
                "documents[1]: metadata.name",
            ),
            (
                "apiVersion: v1\nkind: A\nmetadata: {generateName: hunter2}\n",
                "metadata.name",
            ),
            (
                "apiVersion: v1\nkind: AList\nitems:\n- {kind: A}\n",
                "items[0]: apiVersion",
            ),
            ("a: b\n  hunter2: {\n", "line 2"),
            ("a: hunter2\na: hunter2\n", "line 2"),
            ("hunter2", "apiVersion"),
        ] {
            let error = check_addon(Path::new("a.yaml"), text)
                .unwrap_err()
                .to_string();
            assert!(error.contains(place) && error.contains("a.yaml"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
