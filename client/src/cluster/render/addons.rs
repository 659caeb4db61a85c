//! The user's own manifests.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use super::{Files, RenderError};
use crate::cluster::{Loaded, objects};

/// What is taken for a manifest, as everywhere in Seedpod.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// The manifests of the folder, by their names.
pub(super) fn read(loaded: &Loaded, warnings: &mut Vec<String>) -> Result<Files, RenderError> {
    let mut files = Files::new();
    let Some(folder) = &loaded.configuration.addons else {
        return Ok(files);
    };
    let mut unfit = Vec::new();
    for path in entries(folder)? {
        let name = path.file_name().and_then(|name| name.to_str());
        let Some(name) = name.filter(|name| !name.starts_with('.')) else {
            continue;
        };
        if path.is_dir() {
            warnings.push(format!(
                "{}: folders below addons are not read; put its files beside the others",
                path.display()
            ));
            continue;
        }
        let known = path
            .extension()
            .is_some_and(|extension| EXTENSIONS.iter().any(|known| extension == *known));
        if known {
            let text = text(&path)?;
            unfit.extend(objects::check_addon(&path, &text).err());
            files.insert(name.to_owned(), text);
        }
    }
    if !unfit.is_empty() {
        return Err(RenderError::Unfit { files: unfit });
    }
    if files.is_empty() {
        warnings.push(format!(
            "{}: there is no *.yaml, *.yml or *.json in it",
            folder.display()
        ));
    }
    Ok(files)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, RenderError> {
    let failed = |source| RenderError::Read {
        path: folder.to_owned(),
        source,
    };
    let entries = fs::read_dir(folder).map_err(failed)?;
    let entries = entries.map(|entry| entry.map(|entry| entry.path()));
    entries.collect::<Result<_, _>>().map_err(failed)
}

fn text(path: &Path) -> Result<Zeroizing<String>, RenderError> {
    let failed = |source| RenderError::Read {
        path: path.to_owned(),
        source,
    };
    let bytes = Zeroizing::new(fs::read(path).map_err(failed)?);
    let text = std::str::from_utf8(&bytes).map_err(|_| {
        let message = "it is not UTF-8 text";
        failed(io::Error::new(io::ErrorKind::InvalidData, message))
    })?;
    Ok(Zeroizing::new(text.to_owned()))
}
