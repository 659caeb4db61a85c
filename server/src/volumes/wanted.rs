//! What a pod's folder is to hold, as a tree of checked names.

use std::{collections::BTreeMap, io};

use seedpod_manifest::VolumeContent;

use crate::fs::{Access, Name};

/// The folder of a pod: all folders by their paths below it, "" being itself. A folder comes before those in it.
#[derive(Debug)]
pub(super) struct Wanted<'a>(BTreeMap<String, Folder<'a>>);

/// A folder.
#[derive(Debug)]
pub(super) struct Folder<'a> {
    pub(super) access: Access,
    pub(super) entries: BTreeMap<Name, Entry<'a>>,
}

/// Something in a folder.
pub(super) enum Entry<'a> {
    Folder(Access),
    File { access: Access, content: &'a [u8] },
}

impl std::fmt::Debug for Entry<'_> {
    /// Without the content.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Folder(access) | Self::File { access, .. }) = self;
        access.fmt(f)
    }
}

impl<'a> Wanted<'a> {
    /// # Errors
    /// When a path would not stay in its volume, or two of them can't be there at the same time.
    pub(super) fn of(volumes: &'a [VolumeContent<'_>]) -> io::Result<Self> {
        let top = Folder {
            access: Access::PRIVATE,
            entries: BTreeMap::new(),
        };
        let mut wanted = Self(BTreeMap::from([(String::new(), top)]));
        for volume in volumes {
            let access = |mode| Access {
                mode,
                group: volume.group,
            };
            let folders = access(volume.folder_mode & 0o7777);
            if !wanted.add_folder("", &volume.name, folders)? {
                return Err(clash(&volume.name));
            }
            for path in &volume.folders {
                wanted.add_folders(&volume.name, path.split('/'), folders)?;
            }
            for (path, file) in &volume.files {
                let mut parts = path.split('/');
                let name = parts.next_back().unwrap_or_default();
                let folder = wanted.add_folders(&volume.name, parts, folders)?;
                let entry = Entry::File {
                    access: access(file.mode & 0o777),
                    content: &file.content,
                };
                wanted.add(&folder, name, entry)?;
            }
        }
        Ok(wanted)
    }

    /// Adds folders, each in the one before it, as far as they are not there. Gives the path of the last one.
    fn add_folders<'p>(
        &mut self,
        parent: &str,
        names: impl Iterator<Item = &'p str>,
        access: Access,
    ) -> io::Result<String> {
        let mut folder = parent.to_owned();
        for name in names {
            self.add_folder(&folder, name, access)?;
            folder.push('/');
            folder.push_str(name);
        }
        Ok(folder)
    }

    fn entries(&mut self, folder: &str) -> io::Result<&mut BTreeMap<Name, Entry<'a>>> {
        let folder = self.0.get_mut(folder);
        Ok(&mut folder.ok_or(io::ErrorKind::NotADirectory)?.entries)
    }

    /// Adds a folder, unless it is there already. Tells whether it is new.
    fn add_folder(&mut self, parent: &str, name: &str, access: Access) -> io::Result<bool> {
        let entries = self.entries(parent)?;
        match entries.get(&Name::new(name)?) {
            Some(Entry::Folder(_)) => return Ok(false),
            Some(Entry::File { .. }) => return Err(clash(name)),
            None => {}
        }
        self.add(parent, name, Entry::Folder(access))?;
        let path = if parent.is_empty() {
            name.to_owned()
        } else {
            format!("{parent}/{name}")
        };
        let folder = Folder {
            access,
            entries: BTreeMap::new(),
        };
        self.0.insert(path, folder);
        Ok(true)
    }

    fn add(&mut self, parent: &str, name: &str, entry: Entry<'a>) -> io::Result<()> {
        let entries = self.entries(parent)?;
        if entries.insert(Name::new(name)?, entry).is_some() {
            return Err(clash(name));
        }
        Ok(())
    }

    /// The folders with their paths, those above others first.
    pub(super) fn folders(&self) -> impl DoubleEndedIterator<Item = (&str, &Folder<'a>)> {
        self.0.iter().map(|(path, folder)| (path.as_str(), folder))
    }
}

fn clash(name: &str) -> io::Error {
    let what = format!("{name:?} stands for two things at once");
    io::Error::new(io::ErrorKind::InvalidInput, what)
}
