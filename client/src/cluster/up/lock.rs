//! One run at a time works with a folder.

use std::{fs, path::Path};

use super::UpError;

/// Held while a run works with a folder. The system gives it up when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _folder: fs::File,
}

impl Lock {
    /// Locks the folder itself, so that nothing is left in it.
    pub(super) fn take(folder: &Path) -> Result<Self, UpError> {
        let failed = |source| UpError::File {
            path: folder.to_owned(),
            doing: "locked",
            source,
        };
        fs::create_dir_all(folder).map_err(failed)?;
        let file = fs::File::open(folder).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _folder: file }),
            Err(fs::TryLockError::WouldBlock) => Err(UpError::Locked(folder.to_owned())),
            Err(fs::TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_locked_by_one_at_a_time() {
        let scratch = tempfile::tempdir().expect("a scratch folder");
        let folder = scratch.path().join("cluster");
        let first = Lock::take(&folder).expect("nobody has it");
        assert!(matches!(Lock::take(&folder), Err(UpError::Locked(_))));
        drop(first);
        Lock::take(&folder).expect("it was given up");
    }
}
