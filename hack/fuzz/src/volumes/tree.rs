//! A folder with all that is in it.

use std::{
    collections::BTreeMap,
    fmt, fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use seedpod_manifest::VolumeContent;

/// Everything by its path; the folder itself has the empty one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Tree(BTreeMap<PathBuf, Entry>);

#[derive(Clone, PartialEq, Eq)]
struct Entry {
    mode: u32,
    group: u32,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Folder,
    File(Vec<u8>),
    Link(PathBuf),
    Other,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:o} :{} {:?}", self.mode, self.group, self.kind)
    }
}

impl Tree {
    /// Reads what is on the disk, and follows no symbolic link.
    pub(super) fn read(folder: &Path) -> Self {
        let mut tree = Self::default();
        tree.read_in(folder, PathBuf::new());
        tree
    }

    fn read_in(&mut self, base: &Path, path: PathBuf) {
        let full = if path.as_os_str().is_empty() {
            base.to_owned()
        } else {
            base.join(&path)
        };
        let metadata = full.symlink_metadata().expect("metadata");
        let kind = if metadata.is_dir() {
            for entry in fs::read_dir(&full).expect("a folder") {
                self.read_in(base, path.join(entry.expect("an entry").file_name()));
            }
            Kind::Folder
        } else if metadata.is_file() {
            Kind::File(fs::read(&full).expect("a file"))
        } else if metadata.is_symlink() {
            Kind::Link(fs::read_link(&full).expect("a link"))
        } else {
            Kind::Other
        };
        let entry = Entry {
            mode: metadata.permissions().mode() & 0o7777,
            group: metadata.gid(),
            kind,
        };
        self.0.insert(path, entry);
    }

    /// What the folder of a pod is to hold; `group` is the daemon's own. `None` when it can't.
    pub(super) fn of(volumes: &[VolumeContent<'_>], group: u32) -> Option<Self> {
        let mut tree = Self::default();
        tree.0.insert(PathBuf::new(), folder(0o700, group));
        for volume in volumes {
            let group = volume.group.unwrap_or(group);
            let folder = folder(volume.folder_mode & 0o7777, group);
            if !is_name(&volume.name) || tree.add(&volume.name, &folder).is_some() {
                return None;
            }
            let folders = volume.folders.iter().map(|path| (path, folder.clone()));
            let files = volume.files.iter().map(|(path, file)| {
                let entry = Entry {
                    mode: file.mode & 0o777,
                    group,
                    kind: Kind::File(file.content.to_vec()),
                };
                (path, entry)
            });
            for (path, entry) in folders.chain(files) {
                let mut above = volume.name.clone();
                let mut names: Vec<&str> = path.split('/').collect();
                let name = names.pop()?;
                for name in names {
                    above = tree.add_folder(&above, name, &folder)?;
                }
                if entry.kind == Kind::Folder {
                    tree.add_folder(&above, name, &folder)?;
                } else if !is_name(name) || tree.add(&format!("{above}/{name}"), &entry).is_some() {
                    return None;
                }
            }
        }
        Some(tree)
    }

    /// Adds a folder that may be there already. `None` when something else is.
    fn add_folder(&mut self, above: &str, name: &str, folder: &Entry) -> Option<String> {
        let path = format!("{above}/{name}");
        let before = is_name(name).then(|| self.add(&path, folder))?;
        before
            .is_none_or(|entry| entry.kind == Kind::Folder)
            .then_some(path)
    }

    fn add(&mut self, path: &str, entry: &Entry) -> Option<Entry> {
        self.0.insert(path.into(), entry.clone())
    }

    /// Leaves out everything below a folder, but for that itself.
    pub(super) fn forget(&mut self, folder: &Path) {
        self.0
            .retain(|path, _| path == folder || !path.starts_with(folder));
    }

    /// Whether all is as in `expected`, but for what a repair that was cut short may have left: that is no difference.
    pub(super) fn is_like(&self, expected: &Self) -> bool {
        let is_left = |path: &Path| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.starts_with(".seedpod-staged-"))
        };
        let mut tree = self.clone();
        tree.0
            .retain(|path, _| expected.0.contains_key(path) || !is_left(path));
        tree == *expected
    }

    pub(super) fn paths(&self) -> Vec<&Path> {
        self.0.keys().map(PathBuf::as_path).collect()
    }
}

fn folder(mode: u32, group: u32) -> Entry {
    Entry {
        mode,
        group,
        kind: Kind::Folder,
    }
}

fn is_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && name.len() <= 255 && !name.contains(['/', '\0'])
}

/// The names in a folder.
pub(super) fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut names: Vec<String> = entries
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort();
    names
}
