//! A disk in memory whose power can be cut between any two system calls.
//!
//! What a real disk may lose is lost here as well: a file's content that was not synced (all of it, the tail, or
//! nothing of it), and each change of a folder that was not synced, each by itself and in any combination.

mod dir;
mod inner;

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard},
};

use self::{
    dir::SimDir,
    inner::{Content, Inner, Inode, NameChange, Tree, names},
};
use super::{Access, Dir, FileSystem, OpenFile};

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
#[derive(Debug, Clone)]
pub(crate) struct SimDisk(Arc<Mutex<Inner>>);

impl SimDisk {
    pub(crate) fn new(root: &Path) -> Self {
        let mut inner = Inner::of(vec![Content::new(true, Access::PRIVATE)], Tree::default());
        inner.make_dirs(root, Access::PRIVATE);
        inner.settle();
        Self(Arc::new(Mutex::new(inner)))
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

    /// The disk as it is found when only the processes were killed: nothing is lost that was done.
    pub(crate) fn after_kill(&self) -> Self {
        self.after_power_cut(|_| 1)
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
        let mut inodes = inner.inodes.clone();
        for content in inodes.iter_mut().filter(|content| !content.is_dir) {
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
            content.durable = Some(found.clone());
            content.now = found;
        }
        // What is in a folder that did not reach the disk can't be reached.
        Self(Arc::new(Mutex::new(Inner::of(inodes, tree))))
    }

    /// Writes a file as somebody else would: at once and durably.
    pub(crate) fn put(&self, path: &Path, bytes: &[u8]) {
        let mut inner = self.lock();
        let dir = inner.make_dirs(path.parent().expect("an absolute path"), Access::PRIVATE);
        let inode = inner.add(Content {
            now: bytes.to_vec(),
            durable: Some(bytes.to_vec()),
            ..Content::new(false, Access::PRIVATE)
        });
        let name = names(path).last().expect("a name");
        inner.rename_now(NameChange::Link((dir, name), inode));
        inner.settle();
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
    fn make_dir(&self, path: &Path, mode: u32) -> io::Result<()> {
        let mut inner = self.lock();
        inner.change()?;
        inner.make_dirs(path, Access { mode, group: None });
        Ok(())
    }

    fn create(&self, path: &Path, mode: u32) -> io::Result<Box<dyn OpenFile>> {
        let mut inner = self.lock();
        inner.change()?;
        let entry = inner.entry(path)?;
        // Emptying an old file in place is as bad as it gets: its durable content may be gone as well.
        let inode = inner.add(Content::new(false, Access { mode, group: None }));
        inner.rename_now(NameChange::Link(entry, inode));
        Ok(Box::new(SimFile {
            disk: self.clone(),
            inode,
        }))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        let inner = self.lock();
        inner.alive()?;
        let inode = inner.find_file(path)?;
        Ok(Box::new(SimFile {
            disk: self.clone(),
            inode,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.lock();
        inner.change()?;
        let inode = inner.find(from)?;
        let change = NameChange::Rename(inner.entry(from)?, inner.entry(to)?, inode);
        inner.rename_now(change);
        Ok(())
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        if self.lock().find(to).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.lock();
        inner.change()?;
        if inner.find_file(path).is_ok() {
            let entry = inner.entry(path)?;
            inner.rename_now(NameChange::Unlink(entry));
        }
        Ok(())
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.lock();
        inner.change()?;
        match inner.entry(path).and_then(|entry| inner.remove_dir(entry)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.lock();
        let dir = inner.find_dir(path);
        match dir {
            Ok(dir) => inner.sync_dir(dir),
            Err(error) => inner.change().and(Err(error)),
        }
    }

    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let inner = self.lock();
        inner.alive()?;
        let bytes = inner.inodes[inner.find_file(path)?].now.clone();
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
        let dir = inner.find_dir(path)?;
        Ok(inner.now.names(dir).cloned().collect())
    }

    fn open_dir(&self, path: &Path) -> io::Result<Box<dyn Dir>> {
        let inner = self.lock();
        inner.alive()?;
        let inode = inner.find_dir(path)?;
        Ok(Box::new(SimDir {
            disk: self.clone(),
            inode,
        }))
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
