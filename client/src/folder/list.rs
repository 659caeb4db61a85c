//! Files: finding manifests in folders, and reading with bounds.

use std::{
    fs,
    io::{self, ErrorKind, Read as _},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

/// The most bytes of one file: Kubernetes' `MaxSecretSize`, which holds for ConfigMaps too.
pub(super) const MAX_FILE: u64 = 1 << 20;

const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// The manifests in a folder, in the order of their names: its `*.yaml`, `*.yml` and `*.json` but for hidden ones, which
/// are editors' and tools' own, as `.#pod.yaml`.
pub(super) fn files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut entries: Vec<PathBuf> = fs::read_dir(directory)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    entries.sort();
    entries.retain(|path| {
        let is_hidden = path
            .file_name()
            .is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        let is_known = path
            .extension()
            .is_some_and(|found| EXTENSIONS.iter().any(|known| found == *known));
        !is_hidden && is_known && !path.is_dir()
    });
    Ok(entries)
}

/// A file's content, of which no copies are left behind.
///
/// # Errors
/// [`ErrorKind::FileTooLarge`] for one that grows beyond what it was.
pub(super) fn read(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut file = fs::File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(ErrorKind::IsADirectory.into());
    }
    // All at once: a buffer that grows leaves its content where it was.
    let size = usize::try_from(metadata.len()).map_err(|_| ErrorKind::FileTooLarge)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(size + 1));
    file.by_ref()
        .take(metadata.len() + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() > size {
        return Err(io::Error::other("it has changed while it was read"));
    }
    Ok(bytes)
}

/// The content as text.
///
/// # Errors
/// [`ErrorKind::InvalidData`], with the line.
pub(super) fn text(mut bytes: Zeroizing<Vec<u8>>) -> io::Result<Zeroizing<String>> {
    match String::from_utf8(std::mem::take(&mut *bytes)) {
        Ok(text) => Ok(Zeroizing::new(text)),
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let bytes = Zeroizing::new(error.into_bytes());
            let line = bytes[..valid].iter().filter(|byte| **byte == b'\n').count() + 1;
            Err(io::Error::new(
                ErrorKind::InvalidData,
                format!("line {line} is not UTF-8 text"),
            ))
        }
    }
}
