//! A folder of the simulated disk that is held open.

use std::{io, sync::MutexGuard};

use zeroize::Zeroizing;

use super::{
    SimDisk,
    inner::{Content, Inner, Inode, NameChange},
};
use crate::fs::{Access, Dir, Kind, Name, Stat, own_uid};

#[derive(Debug)]
pub(super) struct SimDir {
    pub(super) disk: SimDisk,
    pub(super) inode: Inode,
}

impl SimDir {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.disk.lock()
    }

    fn entry(&self, name: &Name) -> (Inode, String) {
        let name = name.as_str().expect("the simulated disk has only texts");
        (self.inode, name.to_owned())
    }

    fn find(&self, inner: &Inner, name: &Name) -> io::Result<Inode> {
        inner.alive()?;
        let (dir, name) = self.entry(name);
        inner
            .now
            .get(dir, &name)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Adds something under a free name.
    fn add(&self, name: &Name, content: Content) -> io::Result<Inode> {
        let mut inner = self.lock();
        inner.change()?;
        if self.find(&inner, name).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let inode = inner.add(content);
        inner.rename_now(NameChange::Link(self.entry(name), inode));
        Ok(inode)
    }
}

fn stat(content: &Content) -> Stat {
    Stat {
        kind: if content.is_dir {
            Kind::Folder
        } else {
            Kind::File
        },
        mode: content.access.mode,
        uid: own_uid(),
        gid: content.access.gid(),
        size: content.now.len() as u64,
    }
}

impl Dir for SimDir {
    fn open_dir(&self, name: &Name) -> io::Result<Box<dyn Dir>> {
        let inner = self.lock();
        let inode = self.find(&inner, name)?;
        if !inner.inodes[inode].is_dir {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        let disk = self.disk.clone();
        Ok(Box::new(Self { disk, inode }))
    }

    fn make_dir(&self, name: &Name, access: Access) -> io::Result<()> {
        // Made for the daemon alone, and then opened to others: two calls, as on the real disk.
        let inode = self.add(name, Content::new(true, Access::PRIVATE))?;
        let disk = self.disk.clone();
        Self { disk, inode }.set_access(access)
    }

    fn create(&self, name: &Name, access: Access, bytes: &[u8], sync: bool) -> io::Result<()> {
        let inode = self.add(name, Content::new(false, access))?;
        let disk = self.disk.clone();
        let mut file = super::SimFile { disk, inode };
        super::OpenFile::write_all(&mut file, bytes)?;
        if sync {
            super::OpenFile::sync(&mut file)?;
        }
        Ok(())
    }

    fn set_access(&self, access: Access) -> io::Result<()> {
        let mut inner = self.lock();
        inner.change()?;
        inner.inodes[self.inode].access = access;
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<Name>> {
        let inner = self.lock();
        inner.alive()?;
        inner.now.names(self.inode).map(Name::new).collect()
    }

    fn stat(&self, name: &Name) -> io::Result<Option<Stat>> {
        let inner = self.lock();
        inner.alive()?;
        let inode = self.find(&inner, name).ok();
        Ok(inode.map(|inode| stat(&inner.inodes[inode])))
    }

    fn stat_self(&self) -> io::Result<Stat> {
        let inner = self.lock();
        inner.alive()?;
        Ok(stat(&inner.inodes[self.inode]))
    }

    fn read(&self, name: &Name, limit: usize) -> io::Result<Zeroizing<Vec<u8>>> {
        let inner = self.lock();
        let content = &inner.inodes[self.find(&inner, name)?];
        if content.is_dir {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        if content.now.len() > limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(Zeroizing::new(content.now.clone()))
    }

    fn rename(&self, from: &Name, to: &Name) -> io::Result<()> {
        let mut inner = self.lock();
        inner.change()?;
        let inode = self.find(&inner, from)?;
        if let Ok(over) = self.find(&inner, to)
            && (inner.inodes[over].is_dir || inner.inodes[inode].is_dir)
        {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        inner.rename_now(NameChange::Rename(self.entry(from), self.entry(to), inode));
        Ok(())
    }

    fn remove_file(&self, name: &Name) -> io::Result<()> {
        let mut inner = self.lock();
        inner.change()?;
        let inode = self.find(&inner, name)?;
        if inner.inodes[inode].is_dir {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        inner.rename_now(NameChange::Unlink(self.entry(name)));
        Ok(())
    }

    fn remove_dir(&self, name: &Name) -> io::Result<()> {
        let mut inner = self.lock();
        inner.change()?;
        inner.remove_dir(self.entry(name))
    }

    fn sync(&self) -> io::Result<()> {
        self.lock().sync_dir(self.inode)
    }

    fn is_in_memory(&self) -> io::Result<bool> {
        Ok(false)
    }
}
