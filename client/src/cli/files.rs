//! Reading manifests, and writing files whole.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use super::{args::FileArgs, exit::Usage};

/// One manifest and where it came from.
#[derive(Debug)]
pub(crate) struct Manifest {
    /// What people know it by: the path, or `<stdin>`.
    pub(crate) label: String,
    pub(crate) text: String,
}

const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// Reads all of `-f`, in the order given; a directory's files in the order of their names.
pub(crate) fn read(args: &FileArgs) -> anyhow::Result<Vec<Manifest>> {
    let mut manifests = Vec::new();
    let mut stdin_read = false;
    for path in &args.filename {
        if path.as_os_str() == "-" {
            if std::mem::replace(&mut stdin_read, true) {
                return Err(Usage("-f - can be given once only".to_owned()).into());
            }
            let mut bytes = Vec::new();
            std::io::stdin()
                .read_to_end(&mut bytes)
                .context("cannot read stdin")?;
            manifests.push(manifest("<stdin>".to_owned(), bytes)?);
            continue;
        }
        let is_directory = fs::metadata(path)
            .map_err(|error| Usage(format!("cannot read {}: {error}", path.display())))?
            .is_dir();
        let mut files = Vec::new();
        if is_directory {
            list(path, args.recursive, &mut files)?;
            if files.is_empty() {
                let deeper = if args.recursive {
                    ""
                } else {
                    " (directories below are only read with -R)"
                };
                let message = format!(
                    "there is no *.yaml, *.yml or *.json in {}{deeper}",
                    path.display()
                );
                return Err(Usage(message).into());
            }
        } else {
            files.push(path.clone());
        }
        for file in files {
            let bytes = fs::read(&file)
                .map_err(|error| Usage(format!("cannot read {}: {error}", file.display())))?;
            manifests.push(manifest(file.display().to_string(), bytes)?);
        }
    }
    Ok(manifests)
}

fn manifest(label: String, bytes: Vec<u8>) -> anyhow::Result<Manifest> {
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..valid]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count()
            + 1;
        Usage(format!("{label}:{line}: it is not UTF-8 text"))
    })?;
    Ok(Manifest { label, text })
}

fn list(directory: &Path, recursive: bool, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let failed = || format!("cannot read {}", directory.display());
    let mut entries: Vec<PathBuf> = fs::read_dir(directory)
        .with_context(failed)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .with_context(failed)?;
    entries.sort();
    for path in entries {
        // Hidden ones are editors' and tools' own, as `.#pod.yaml`.
        if path
            .file_name()
            .is_none_or(|name| name.as_encoded_bytes().starts_with(b"."))
        {
            continue;
        }
        // Links to files are followed, links to directories are not, so that no circle is walked.
        if path.is_dir() {
            if recursive && !path.is_symlink() {
                list(&path, recursive, files)?;
            }
        } else if path
            .extension()
            .is_some_and(|found| EXTENSIONS.iter().any(|known| found == *known))
        {
            files.push(path);
        }
    }
    Ok(())
}

/// What to do with a file that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Existing {
    Keep,
    Replace,
}

/// Writes a file whole or not at all: staged beside it with its final mode, synced, then moved into place.
pub(crate) fn write(
    path: &Path,
    bytes: &[u8],
    mode: u32,
    existing: Existing,
) -> anyhow::Result<()> {
    let failed = || format!("cannot write {}", path.display());
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut staged = tempfile::Builder::new()
        .prefix(".seedpod-")
        .permissions(fs::Permissions::from_mode(mode))
        .tempfile_in(directory)
        .with_context(failed)?;
    staged.write_all(bytes).with_context(failed)?;
    // Set again, as the umask may have taken some of it.
    staged
        .as_file()
        .set_permissions(fs::Permissions::from_mode(mode))
        .with_context(failed)?;
    staged.as_file().sync_all().with_context(failed)?;
    match existing {
        Existing::Replace => staged.persist(path),
        Existing::Keep => staged.persist_noclobber(path),
    }
    .map_err(|error| error.error)
    .with_context(failed)?;
    fs::File::open(directory)
        .and_then(|directory| directory.sync_all())
        .with_context(failed)
}
