//! The user's own manifests, copied as they are.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use zeroize::Zeroizing;

use crate::cluster::{
    Loaded,
    render::{Files, RenderError},
};

/// What is read of the folder, and of those in it.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// The files of the folder `addons`, by their path in it, which is the order in which they are applied, but for
/// namespaces and CustomResourceDefinitions, which come first. Each of their documents has to be an object with a name.
pub(in crate::cluster) fn addons(loaded: &Loaded) -> Result<Files, RenderError> {
    let mut out = Files::new();
    let Some(folder) = &loaded.configuration.addons else {
        return Ok(out);
    };
    let mut paths = Vec::new();
    list(folder, &mut paths)?;
    if paths.is_empty() {
        return Err(unfit(
            folder,
            "there is no *.yaml, *.yml or *.json in it; put manifests there, or leave addons out",
        ));
    }
    for path in paths {
        let text = fs::read(&path).map_err(|source| RenderError::Read {
            path: path.clone(),
            source,
        })?;
        let text = String::from_utf8(text)
            .map(Zeroizing::new)
            .map_err(|_| unfit(&path, "it is no UTF-8; save it as such"))?;
        check(&path, &text)?;
        let name = path.strip_prefix(folder).unwrap_or(&path);
        let name = name
            .to_str()
            .ok_or_else(|| unfit(&path, "its name is no UTF-8; rename it"))?;
        out.insert(name.to_owned(), text);
    }
    Ok(out)
}

fn list(folder: &Path, paths: &mut Vec<PathBuf>) -> Result<(), RenderError> {
    let read = |source| RenderError::Read {
        path: folder.to_owned(),
        source,
    };
    for entry in fs::read_dir(folder).map_err(read)? {
        let path = entry.map_err(read)?.path();
        // Editors and version control keep theirs under such names.
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') {
            continue;
        }
        let extension = path.extension().and_then(|it| it.to_str());
        if path.is_dir() {
            list(&path, paths)?;
        } else if extension.is_some_and(|it| EXTENSIONS.contains(&it)) {
            paths.push(path);
        }
    }
    Ok(())
}

/// The messages quote nothing of the text, which may hold what is secret.
fn check(path: &Path, text: &str) -> Result<(), RenderError> {
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

fn unfit(path: &Path, message: &str) -> RenderError {
    RenderError::Unfit {
        path: path.to_owned(),
        message: message.to_owned(),
    }
}
