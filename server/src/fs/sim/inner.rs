//! The inodes and names of the simulated disk.

use std::{
    collections::BTreeMap,
    io,
    path::{Component, Path},
};

use super::Fault;
use crate::fs::Access;

pub(super) type Inode = usize;

/// The folder `/`.
pub(super) const ROOT: Inode = 0;

/// A file, or a folder: that has no content, since its names are in the [`Tree`].
#[derive(Debug, Clone)]
pub(super) struct Content {
    pub(super) is_dir: bool,
    pub(super) access: Access,
    pub(super) now: Vec<u8>,
    pub(super) durable: Option<Vec<u8>>,
}

impl Content {
    pub(super) fn new(is_dir: bool, access: Access) -> Self {
        Self {
            is_dir,
            access,
            now: Vec::new(),
            durable: None,
        }
    }
}

/// A name in a folder.
pub(super) type Entry = (Inode, String);

/// A change of names that is not durable yet.
#[derive(Debug, Clone)]
pub(super) enum NameChange {
    Link(Entry, Inode),
    Unlink(Entry),
    Rename(Entry, Entry, Inode),
}

impl NameChange {
    pub(super) fn folder(&self) -> Inode {
        let (Self::Link(entry, _) | Self::Unlink(entry) | Self::Rename(_, entry, _)) = self;
        entry.0
    }
}

/// All names.
#[derive(Debug, Clone, Default)]
pub(super) struct Tree(BTreeMap<Entry, Inode>);

impl Tree {
    pub(super) fn apply(&mut self, change: &NameChange) {
        match change {
            NameChange::Link(entry, inode) => {
                self.0.insert(entry.clone(), *inode);
            }
            NameChange::Unlink(entry) => {
                self.0.remove(entry);
            }
            NameChange::Rename(from, to, inode) => {
                self.0.remove(from);
                self.0.insert(to.clone(), *inode);
            }
        }
    }

    pub(super) fn get(&self, dir: Inode, name: &str) -> Option<Inode> {
        self.0.get(&(dir, name.to_owned())).copied()
    }

    pub(super) fn names(&self, dir: Inode) -> impl Iterator<Item = &String> {
        self.0
            .range((dir, String::new())..(dir + 1, String::new()))
            .map(|((_, name), _)| name)
    }
}

/// The names in a path.
pub(super) fn names(path: &Path) -> impl Iterator<Item = String> {
    path.components()
        .filter(|part| *part != Component::RootDir)
        .map(|part| part.as_os_str().to_string_lossy().into_owned())
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) inodes: Vec<Content>,
    pub(super) now: Tree,
    pub(super) durable: Tree,
    pub(super) pending: Vec<NameChange>,
    pub(super) calls: usize,
    pub(super) fault: Option<Fault>,
    pub(super) dead: bool,
}

impl Inner {
    pub(super) fn of(inodes: Vec<Content>, tree: Tree) -> Self {
        Self {
            inodes,
            now: tree.clone(),
            durable: tree,
            pending: Vec::new(),
            calls: 0,
            fault: None,
            dead: false,
        }
    }

    /// Counts a changing call and lets the planned fault happen.
    pub(super) fn change(&mut self) -> io::Result<()> {
        let call = self.calls;
        self.calls += 1;
        match self.fault {
            Some(Fault::PowerCut(at)) if call >= at => self.dead = true,
            Some(Fault::Once(at, kind)) if call == at => return Err(kind.into()),
            Some(Fault::From(at, kind)) if call >= at => return Err(kind.into()),
            _ => {}
        }
        self.alive()
    }

    pub(super) fn alive(&self) -> io::Result<()> {
        if self.dead {
            Err(io::Error::other("the power is cut"))
        } else {
            Ok(())
        }
    }

    pub(super) fn rename_now(&mut self, change: NameChange) {
        self.now.apply(&change);
        self.pending.push(change);
    }

    pub(super) fn add(&mut self, content: Content) -> Inode {
        self.inodes.push(content);
        self.inodes.len() - 1
    }

    pub(super) fn find(&self, path: &Path) -> io::Result<Inode> {
        let mut names = names(path);
        names
            .try_fold(ROOT, |dir, name| self.now.get(dir, &name))
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn find_dir(&self, path: &Path) -> io::Result<Inode> {
        let inode = self.find(path)?;
        if !self.inodes[inode].is_dir {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(inode)
    }

    pub(super) fn find_file(&self, path: &Path) -> io::Result<Inode> {
        let inode = self.find(path)?;
        if self.inodes[inode].is_dir {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        Ok(inode)
    }

    /// The folder that a path is in, and the name there.
    pub(super) fn entry(&self, path: &Path) -> io::Result<Entry> {
        let parent = path.parent().ok_or(io::ErrorKind::NotFound)?;
        let name = names(path).last().ok_or(io::ErrorKind::NotFound)?;
        Ok((self.find_dir(parent)?, name))
    }

    /// Makes a folder and those above it, as far as they are missing.
    pub(super) fn make_dirs(&mut self, path: &Path, access: Access) -> Inode {
        names(path).fold(ROOT, |dir, name| {
            self.now.get(dir, &name).unwrap_or_else(|| {
                let inode = self.add(Content::new(true, access));
                self.rename_now(NameChange::Link((dir, name), inode));
                inode
            })
        })
    }

    /// Makes all names durable.
    pub(super) fn settle(&mut self) {
        self.pending.clear();
        self.durable = self.now.clone();
    }

    pub(super) fn sync_dir(&mut self, dir: Inode) -> io::Result<()> {
        self.change()?;
        let (synced, pending): (Vec<_>, Vec<_>) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition(|change| change.folder() == dir);
        self.pending = pending;
        for change in &synced {
            self.durable.apply(change);
        }
        Ok(())
    }

    pub(super) fn remove_dir(&mut self, entry: Entry) -> io::Result<()> {
        let Some(inode) = self.now.get(entry.0, &entry.1) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        if self.now.names(inode).next().is_some() {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        self.rename_now(NameChange::Unlink(entry));
        Ok(())
    }
}
