//! Keeps a second daemon away from the state directory.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};

/// Why the state directory cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    #[error(
        "another seedpodd (pid {holder}) uses this state directory: it holds {}; stop it, or set another stateDirectory",
        path.display()
    )]
    Held { path: PathBuf, holder: String },
    #[error("cannot lock {}", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// The lock on a state directory, released when dropped or when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock `<dir>/lock`.
    pub(crate) fn take(dir: &Path) -> Result<Self, LockError> {
        let path = dir.join("lock");
        let io_error = |source| LockError::Io {
            path: path.clone(),
            source,
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(io_error)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(error) if error == rustix::io::Errno::WOULDBLOCK => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder);
                return Err(LockError::Held {
                    path,
                    holder: holder.trim().to_owned(),
                });
            }
            Err(error) => return Err(io_error(error.into())),
        }
        // The pid is for people only: that it is stale or missing on a full disk does no harm.
        let _ = file.set_len(0).and_then(|()| file.rewind());
        let _ = writeln!(file, "{}", std::process::id());
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lock_is_refused_and_names_the_holder_until_the_first_is_released() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let first = Lock::take(dir.path()).expect("first lock");
        let error = Lock::take(dir.path()).expect_err("second lock");
        let LockError::Held { holder, .. } = &error else {
            panic!("{error:?}")
        };
        assert_eq!(*holder, std::process::id().to_string());
        drop(first);
        Lock::take(dir.path()).expect("lock after release");
    }
}
