//! A disk in memory whose power can be cut between any two system calls.
//!
//! What a real disk may lose is lost here as well: a file's content that was not synced (all of it, the tail, or
//! nothing of it), and each change of a folder that was not synced, each by itself and in any combination.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
};

use super::{FileSystem, OpenFile};

type Inode = usize;

#[derive(Debug, Clone, Default)]
struct Content {
    now: Vec<u8>,
    durable: Option<Vec<u8>>,
}

/// A change of names that is not durable yet.
#[derive(Debug, Clone)]
enum NameChange {
    Link(PathBuf, Inode),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf, Inode),
    MakeDir(PathBuf),
    RemoveDir(PathBuf),
}

impl NameChange {
    fn folder(&self) -> &Path {
        let (Self::Link(path, _)
        | Self::Unlink(path)
        | Self::Rename(_, path, _)
        | Self::MakeDir(path)
        | Self::RemoveDir(path)) = self;
        path.parent().expect("an absolute path")
    }
}

#[derive(Debug, Clone, Default)]
struct Tree {
    dirs: BTreeSet<PathBuf>,
    files: BTreeMap<PathBuf, Inode>,
}

impl Tree {
    fn apply(&mut self, change: &NameChange) {
        match change {
            NameChange::Link(path, inode) => {
                self.files.insert(path.clone(), *inode);
            }
            NameChange::Unlink(path) => {
                self.files.remove(path);
            }
            NameChange::Rename(from, to, inode) => {
                self.files.remove(from);
                self.files.insert(to.clone(), *inode);
            }
            NameChange::MakeDir(path) => {
                self.dirs.insert(path.clone());
            }
            NameChange::RemoveDir(path) => {
                self.dirs.remove(path);
            }
        }
    }
}

#[derive(Debug, Default)]
struct Inner {
    inodes: Vec<Content>,
    now: Tree,
    durable: Tree,
    pending: Vec<NameChange>,
    calls: usize,
    fault: Option<Fault>,
    dead: bool,
}

/// What goes wrong, and when: at the n-th changing call from now on, counted from 0.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// The power is cut before the call: it and all later ones fail.
    PowerCut(usize),
    /// The call fails with this; later ones work.
    Once(usize, io::ErrorKind),
    /// This call and all later ones that write fail with this, until [`SimDisk::heal`].
    From(usize, io::ErrorKind),
}

/// The simulated disk. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct SimDisk(Arc<Mutex<Inner>>);

impl SimDisk {
    pub(crate) fn new(root: &Path) -> Self {
        let disk = Self::default();
        {
            let mut inner = disk.lock();
            inner.now.dirs.insert(root.to_owned());
            inner.durable.dirs.insert(root.to_owned());
        }
        disk
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0
            .lock()
            .expect("no test panics while it holds the disk")
    }

    pub(crate) fn set_fault(&self, fault: Fault) {
        let mut inner = self.lock();
        inner.calls = 0;
        inner.fault = Some(fault);
    }

    pub(crate) fn heal(&self) {
        self.lock().fault = None;
    }

    /// Whether its power was cut.
    pub(crate) fn is_dead(&self) -> bool {
        self.lock().dead
    }

    /// How many changing calls were made since the last [`Self::set_fault`], or ever.
    pub(crate) fn calls(&self) -> usize {
        self.lock().calls
    }

    /// The disk as it is found after a power cut. `choose(n)` decides between n possibilities, each time that what is
    /// not durable may or may not have reached the disk.
    pub(crate) fn after_power_cut(&self, mut choose: impl FnMut(usize) -> usize) -> Self {
        let inner = self.lock();
        let mut tree = inner.durable.clone();
        for change in &inner.pending {
            if choose(2) == 1 {
                tree.apply(change);
            }
        }
        // A name in a folder that did not reach the disk is not there.
        let dirs = tree.dirs.clone();
        tree.files
            .retain(|path, _| path.parent().is_some_and(|dir| dirs.contains(dir)));
        let inodes = inner
            .inodes
            .iter()
            .map(|content| {
                let found = match choose(4) {
                    0 => content.durable.clone().unwrap_or_default(),
                    1 => content.now.clone(),
                    2 if content.durable.as_ref() == Some(&content.now) => content.now.clone(),
                    2 => {
                        // What was synced stays, as long as it was only added to.
                        let synced = content.durable.as_ref();
                        let kept = synced.filter(|synced| content.now.starts_with(synced));
                        let kept = kept.map_or(0, Vec::len);
                        content.now[..kept + (content.now.len() - kept) / 2].to_vec()
                    }
                    _ => content
                        .durable
                        .clone()
                        .unwrap_or_else(|| content.now.clone()),
                };
                Content {
                    durable: Some(found.clone()),
                    now: found,
                }
            })
            .collect();
        Self(Arc::new(Mutex::new(Inner {
            inodes,
            now: tree.clone(),
            durable: tree,
            ..Inner::default()
        })))
    }

    /// Writes a file as somebody else would: at once and durably.
    pub(crate) fn put(&self, path: &Path, bytes: &[u8]) {
        let mut inner = self.lock();
        inner.inodes.push(Content {
            now: bytes.to_vec(),
            durable: Some(bytes.to_vec()),
        });
        let inode = inner.inodes.len() - 1;
        inner.now.files.insert(path.to_owned(), inode);
        inner.durable.files.insert(path.to_owned(), inode);
    }
}

impl Inner {
    /// Counts a changing call and lets the planned fault happen.
    fn change(&mut self) -> io::Result<()> {
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

    fn alive(&self) -> io::Result<()> {
        if self.dead {
            Err(io::Error::other("the power is cut"))
        } else {
            Ok(())
        }
    }

    fn rename_now(&mut self, change: NameChange) {
        self.now.apply(&change);
        self.pending.push(change);
    }
}

struct SimFile {
    disk: SimDisk,
    inode: Inode,
}

impl OpenFile for SimFile {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut inner = self.disk.lock();
        let outcome = inner.change();
        // A disk that becomes full takes what still fits.
        let taken = match &outcome {
            Ok(()) => bytes.len(),
            Err(_) if inner.dead => 0,
            Err(_) => bytes.len() / 2,
        };
        inner.inodes[self.inode]
            .now
            .extend_from_slice(&bytes[..taken]);
        outcome
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut inner = self.disk.lock();
        inner.change()?;
        let content = &mut inner.inodes[self.inode];
        content.durable = Some(content.now.clone());
        Ok(())
    }
}

impl FileSystem for SimDisk {
    fn make_dir(&self, path: &Path, _mode: u32) -> io::Result<()> {
        let mut inner = self.lock();
        inner.change()?;
        let mut missing: Vec<_> = path
            .ancestors()
            .filter(|dir| !inner.now.dirs.contains(*dir))
            .collect();
        missing.retain(|dir| dir.parent().is_some());
        while let Some(dir) = missing.pop() {
            inner.rename_now(NameChange::MakeDir(dir.to_owned()));
        }
        Ok(())
    }

    fn create(&self, path: &Path, _mode: u32) -> io::Result<Box<dyn OpenFile>> {
        let mut inner = self.lock();
        inner.change()?;
        if !path
            .parent()
            .is_some_and(|dir| inner.now.dirs.contains(dir))
        {
            return Err(io::ErrorKind::NotFound.into());
        }
        // Emptying an old file in place is as bad as it gets: its durable content may be gone as well.
        inner.inodes.push(Content::default());
        let inode = inner.inodes.len() - 1;
        inner.rename_now(NameChange::Link(path.to_owned(), inode));
        Ok(Box::new(SimFile {
            disk: self.clone(),
            inode,
        }))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        let inner = self.lock();
        inner.alive()?;
        let inode = *inner.now.files.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(SimFile {
            disk: self.clone(),
            inode,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.lock();
        inner.change()?;
        let inode = *inner.now.files.get(from).ok_or(io::ErrorKind::NotFound)?;
        inner.rename_now(NameChange::Rename(from.to_owned(), to.to_owned(), inode));
        Ok(())
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        if self.lock().now.files.contains_key(to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.lock();
        inner.change()?;
        if inner.now.files.contains_key(path) {
            inner.rename_now(NameChange::Unlink(path.to_owned()));
        }
        Ok(())
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.lock();
        inner.change()?;
        if inner
            .now
            .files
            .keys()
            .any(|file| file.parent() == Some(path))
        {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        inner.rename_now(NameChange::RemoveDir(path.to_owned()));
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.lock();
        inner.change()?;
        let (synced, pending) = std::mem::take(&mut inner.pending)
            .into_iter()
            .partition(|change: &NameChange| change.folder() == path);
        inner.pending = pending;
        let synced: Vec<NameChange> = synced;
        for change in &synced {
            inner.durable.apply(change);
        }
        Ok(())
    }

    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let inner = self.lock();
        inner.alive()?;
        let inode = *inner.now.files.get(path).ok_or(io::ErrorKind::NotFound)?;
        let bytes = inner.inodes[inode].now.clone();
        if bytes.len() as u64 > limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(bytes)
    }

    fn read_at(&self, path: &Path, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let bytes = self.read(path, u64::MAX)?;
        let from = usize::try_from(offset).map_or(bytes.len(), |offset| offset.min(bytes.len()));
        Ok(bytes[from..bytes.len().min(from + length)].to_vec())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let inner = self.lock();
        inner.alive()?;
        if !inner.now.dirs.contains(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let names = inner.now.files.keys().chain(&inner.now.dirs);
        let mut names: Vec<String> = names
            .filter(|entry| entry.parent() == Some(path))
            .filter_map(|entry| Some(entry.file_name()?.to_string_lossy().into_owned()))
            .collect();
        names.sort_unstable();
        Ok(names)
    }
}

/// How many different outcomes of each power cut are tried: `SEEDPOD_TORTURE_SEEDS`, or a few for every day.
pub(crate) fn seeds() -> std::ops::Range<u64> {
    let given = std::env::var("SEEDPOD_TORTURE_SEEDS").ok();
    0..given.map_or(24, |seeds| {
        seeds.parse().expect("SEEDPOD_TORTURE_SEEDS is a number")
    })
}

/// A small generator for [`SimDisk::after_power_cut`], so that each run tries the same cases.
pub(crate) fn chooser(seed: u64) -> impl FnMut(usize) -> usize {
    let mut state = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move |n| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from((state >> 11) % n as u64).expect("less than n")
    }
}
