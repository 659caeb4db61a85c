//! Reading manifests, and writing files whole.

use std::{
    error::Error as _,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use seedpod_client::{
    Folder, FolderManifest,
    whole_file::{self, Existing},
};
use zeroize::Zeroizing;

use super::{args::FileArgs, exit::Usage};

const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// One manifest and where it came from.
#[derive(Debug)]
pub(crate) struct Manifest {
    /// What people know it by: the path, `<stdin>`, or the entry of a `seedpod.yaml`.
    pub(crate) label: String,
    pub(crate) text: Private,
    /// Whether it was made from plain files: its lines and columns are then of no use to anybody.
    pub(crate) generated: bool,
}

/// Text that may hold what is secret: wiped, and never printed.
pub(crate) struct Private(Zeroizing<String>);

impl Private {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Private {
    fn from(text: &str) -> Self {
        Self(Zeroizing::new(text.to_owned()))
    }
}

impl std::fmt::Debug for Private {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl From<&FolderManifest> for Manifest {
    fn from(manifest: &FolderManifest) -> Self {
        Self {
            label: manifest.label().to_owned(),
            text: manifest.text().into(),
            generated: manifest.is_generated(),
        }
    }
}

/// The bundle and its manifests: of a folder with a `seedpod.yaml` that is named as BUNDLE|DIR, or of all of `-f` for
/// the bundle that is named there.
pub(crate) fn read_bundle(
    target: &Path,
    args: &FileArgs,
) -> anyhow::Result<(String, Vec<Manifest>)> {
    let shown = target.display();
    if !args.filename.is_empty() {
        return match target.to_str() {
            Some(name) if !name.contains('/') => Ok((name.to_owned(), read(args)?)),
            _ => Err(Usage(format!(
                "with -f, the bundle's name comes first, and {shown} is none; write it as in: seedpod inject NAME -f \
                 {shown}"
            ))
            .into()),
        };
    }
    let Some(folder) = folder_of(target) else {
        let message = if target.is_dir() {
            format!(
                "{shown} has no {}; write one, or name the bundle: seedpod inject NAME -f {shown}",
                Folder::FILE
            )
        } else if target.exists() {
            format!("{shown} is no folder; name the bundle: seedpod inject NAME -f {shown}")
        } else {
            format!(
                "there is no folder {shown}; name one that has a {}, or give the bundle {shown} its manifests with -f",
                Folder::FILE
            )
        };
        return Err(Usage(message).into());
    };
    let (bundle, manifests) = read_folder(&folder)?;
    let bundle = bundle.ok_or_else(|| {
        Usage(format!(
            "{} names no bundle; add \"bundle: NAME\" to it, or write: seedpod inject NAME -f {shown}",
            folder.join(Folder::FILE).display()
        ))
    })?;
    Ok((bundle, manifests))
}

/// The manifests of a folder with a `seedpod.yaml`, or of all of `-f`.
pub(crate) fn read_any(folder: Option<&Path>, args: &FileArgs) -> anyhow::Result<Vec<Manifest>> {
    let Some(target) = folder else {
        return read(args);
    };
    let shown = target.display();
    let folder = folder_of(target).ok_or_else(|| {
        Usage(format!(
            "{shown} is no folder with a {}; for manifests alone write: seedpod lint -f {shown}",
            Folder::FILE
        ))
    })?;
    Ok(read_folder(&folder)?.1)
}

/// The folder that a `seedpod.yaml` governs, when this is such a folder or such a file.
fn folder_of(path: &Path) -> Option<PathBuf> {
    if path.join(Folder::FILE).is_file() {
        return Some(path.to_owned());
    }
    let is_file = path.file_name().is_some_and(|name| name == Folder::FILE) && path.is_file();
    is_file.then(|| path.parent().unwrap_or(Path::new("")).to_owned())
}

fn read_folder(folder: &Path) -> anyhow::Result<(Option<String>, Vec<Manifest>)> {
    let folder = Folder::read(folder).map_err(|error| match error.source() {
        Some(source) => Usage(format!("{error}: {source}")),
        None => Usage(error.to_string()),
    })?;
    let manifests = folder.manifests().iter().map(Manifest::from).collect();
    Ok((folder.bundle().map(str::to_owned), manifests))
}

/// Reads all of `-f`, in the order given; a directory's files in the order of their names.
fn read(args: &FileArgs) -> anyhow::Result<Vec<Manifest>> {
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
        if let Some(folder) = folder_of(path) {
            manifests.extend(read_folder(&folder)?.1);
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
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Manifest {
            label,
            text: Private(Zeroizing::new(text)),
            generated: false,
        }),
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let bytes = Zeroizing::new(error.into_bytes());
            let line = bytes[..valid].iter().filter(|byte| **byte == b'\n').count() + 1;
            Err(Usage(format!("{label}:{line}: it is not UTF-8 text")).into())
        }
    }
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
                if folder_of(&path).is_some() {
                    return Err(Usage(format!(
                        "{0} has a {1} of its own, which -R does not read; give it as -f {0}",
                        path.display(),
                        Folder::FILE
                    ))
                    .into());
                }
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

/// Writes a file whole or not at all.
pub(crate) fn write(
    path: &Path,
    bytes: &[u8],
    mode: u32,
    existing: Existing,
) -> anyhow::Result<()> {
    whole_file::write(path, bytes, mode, existing)
        .with_context(|| format!("cannot write {}", path.display()))
}
