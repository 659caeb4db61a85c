//! Reading the state directory.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use seedpod_manifest::{BundleName, KeyedDigest, ObjectKey};

use super::{
    EncryptionKeys, HISTORY, History, Kept, Lock, LockError, Store, StoreId,
    objects::{ContentError, Contents, Need},
    prune::Garbage,
    record::{self, FORMAT, FormatError, RequestRecord, RevisionRecord, Sidecar, StoreFile},
};
use crate::fs::{self, FileSystem};

/// No state file is larger: a bundle is 4 MiB by default, and rendering and escaping make it less than four times so.
const MAX_FILE: u64 = 256 << 20;

/// Why the state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error("cannot read or write {}", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "{} is corrupt. Nothing was changed, and running pods go on. To go back to the bundle's last revision that is \
         whole, move this file out of the state directory and start again; or restore it from a backup",
        path.display()
    )]
    Corrupt {
        path: PathBuf,
        #[source]
        source: FormatError,
    },
    #[error(
        "{} does not belong into the state directory. Nothing was changed. Move it away and start again",
        path.display()
    )]
    Stray { path: PathBuf },
    #[error(
        "{} is missing, but there are bundles beside it. Nothing was changed. Restore the whole state directory from \
         a backup, or set an empty stateDirectory to begin anew",
        path.display()
    )]
    NoStoreFile { path: PathBuf },
    /// A message of the cause says what to do.
    #[error("cannot use {}, the key of all digests. Nothing was changed", path.display())]
    DigestKey {
        path: PathBuf,
        #[source]
        source: ContentError,
    },
    #[error(
        "{} is missing, but there are Secrets or ConfigMaps. Nothing was changed. Restore the whole state directory from \
         a backup",
        path.display()
    )]
    NoDigestKey { path: PathBuf },
    #[error("cannot use the content of {object} in {}", path.display())]
    Content {
        object: ObjectKey,
        path: PathBuf,
        #[source]
        source: ContentError,
    },
    #[error(
        "revision {revision} of bundle {bundle} is not whole. Nothing was changed, and running pods go on. Mend what is \
         said here, or restore it from a backup; to do without this revision, move {} out of the state directory and \
         start again",
        file.display()
    )]
    Incomplete {
        bundle: BundleName,
        revision: u64,
        file: PathBuf,
        #[source]
        source: Box<OpenError>,
    },
}

impl Store {
    /// Locks and reads a state directory on the real disk, and makes one where there is none.
    pub(crate) fn open(
        fs: Arc<dyn FileSystem>,
        dir: &Path,
        keys: Option<EncryptionKeys>,
    ) -> Result<Self, OpenError> {
        let io_error = |source| OpenError::Io {
            path: dir.to_owned(),
            source,
        };
        if let Err(error) = fs.list(dir) {
            if error.kind() != io::ErrorKind::NotFound {
                return Err(io_error(error));
            }
            fs.make_dir(dir, 0o700).map_err(io_error)?;
            if let Some(parent) = dir.parent() {
                fs.sync_dir(parent).map_err(io_error)?;
            }
        }
        let lock = Lock::take(dir)?;
        Self::open_unlocked(fs, dir, keys, Some(lock))
    }

    /// As [`Self::open`], for a disk that nobody else can reach.
    pub(super) fn open_unlocked(
        fs: Arc<dyn FileSystem>,
        dir: &Path,
        keys: Option<EncryptionKeys>,
        lock: Option<Lock>,
    ) -> Result<Self, OpenError> {
        let bundles_dir = dir.join("bundles");
        let id = store_id(&*fs, dir, &bundles_dir)?;
        let mut bundles = BTreeMap::new();
        let mut requests = HashMap::new();
        let mut needed = BTreeMap::new();
        tidy(&*fs, &bundles_dir)?;
        for entry in list(&*fs, &bundles_dir)? {
            let path = bundles_dir.join(&entry);
            let name: BundleName = entry
                .parse()
                .map_err(|_| OpenError::Stray { path: path.clone() })?;
            let history = history(&*fs, &bundles_dir, &name, &mut requests, &mut needed)?;
            if history.kept.is_empty() {
                // The power went between making the folder and the first revision.
                let _ = fs.remove_dir(&path);
                continue;
            }
            bundles.insert(name, history);
        }
        let keys = keys.unwrap_or_default();
        let contents = Contents::open(Arc::clone(&fs), dir, keys, &needed)?;
        Ok(Self {
            fs,
            bundles_dir,
            contents: Arc::new(contents),
            garbage: Garbage::default(),
            id,
            requests,
            grown: bundles.keys().cloned().collect(),
            bundles,
            history: HISTORY,
            uncertain: false,
            _lock: lock,
        })
    }
}

/// Reads `store.json`, or makes a new store.
fn store_id(fs: &dyn FileSystem, dir: &Path, bundles: &Path) -> Result<StoreId, OpenError> {
    const NAME: &str = "store.json";
    let path = dir.join(NAME);
    let io_error = |source| OpenError::Io {
        path: path.clone(),
        source,
    };
    match fs.read(&path, MAX_FILE) {
        Ok(bytes) => {
            let corrupt = |source| OpenError::Corrupt {
                path: path.clone(),
                source,
            };
            let file: StoreFile =
                serde_json::from_slice(&bytes).map_err(|e| corrupt(FormatError::Head(e)))?;
            if file.format > FORMAT {
                return Err(corrupt(FormatError::Newer { found: file.format }));
            }
            let remake = || {
                fs.make_dir(bundles, 0o700)?;
                fs.sync_dir(dir)
            };
            remake().map_err(io_error)?;
            Ok(file.id)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // A folder with bundles and without this file is a damaged store, not a new one.
            if fs.list(bundles).is_ok_and(|names| !names.is_empty()) {
                return Err(OpenError::NoStoreFile { path });
            }
            let file = StoreFile {
                format: FORMAT,
                id: StoreId::random().map_err(io_error)?,
            };
            let text = serde_json::to_string(&file).map_err(|e| io_error(e.into()))?;
            let make = || {
                fs.make_dir(bundles, 0o700)?;
                fs::stage(fs, dir, NAME, format!("{text}\n").as_bytes(), 0o600)?;
                fs::unveil(fs, dir, NAME)?;
                fs.sync_dir(dir)
            };
            make().map_err(io_error)?;
            Ok(file.id)
        }
        Err(error) => Err(io_error(error)),
    }
}

/// Removes what an interrupted write left, and makes durable what is seen: a killed daemon may have renamed a revision
/// and not have synced the folder. Nothing that is taken as committed may go with a later power cut.
pub(super) fn tidy(fs: &dyn FileSystem, dir: &Path) -> Result<(), OpenError> {
    fs::remove_staged(fs, dir)
        .and_then(|()| fs.sync_dir(dir))
        .map_err(|source| OpenError::Io {
            path: dir.to_owned(),
            source,
        })
}

/// Reads all kept revisions of a bundle; each must be whole.
fn history(
    fs: &dyn FileSystem,
    bundles: &Path,
    name: &BundleName,
    requests: &mut HashMap<String, (BundleName, u64)>,
    needed: &mut BTreeMap<KeyedDigest, Need>,
) -> Result<History, OpenError> {
    let dir = bundles.join(name.as_str());
    tidy(fs, &dir)?;
    let mut history = History::default();
    let mut sidecars = Vec::new();
    for entry in list(fs, &dir)? {
        match record::parse_file_name(&entry) {
            Some((number, Some(sidecar))) => sidecars.push((number, sidecar)),
            Some((number, None)) => {
                let record = revision(fs, bundles, name, number)?;
                let ids: Vec<String> = record.request.iter().map(|r| r.id.clone()).collect();
                for object in &record.bundle.objects {
                    // The newest one that needs it is named when it is not whole.
                    let need = Need {
                        object: object.summary.key.clone(),
                        bundle: name.clone(),
                        revision: number,
                    };
                    needed.insert(object.summary.digest, need);
                }
                history.kept.push(Kept {
                    ids,
                    ..Kept::of(&record)
                });
                history.active = Some(Arc::new(record));
            }
            None => {
                return Err(OpenError::Stray {
                    path: dir.join(entry),
                });
            }
        }
    }
    for (number, sidecar) in sidecars {
        let Some(kept) = history.kept.iter_mut().find(|kept| kept.revision == number) else {
            // Its revision was pruned, and the power went before this was.
            drop(fs.remove_file(&record::sidecar_path(bundles, name, number, sidecar)));
            continue;
        };
        match sidecar {
            Sidecar::Requests => {
                kept.has_requests = true;
                let ids = self::requests(fs, bundles, name, number)?;
                kept.ids.extend(ids.into_iter().map(|request| request.id));
            }
            Sidecar::Ready => {
                mark(fs, bundles, name, number, sidecar)?;
                kept.ready = true;
            }
            Sidecar::Confirmed => {
                mark(fs, bundles, name, number, sidecar)?;
                kept.confirmed = true;
            }
        }
    }
    if let Some((last, earlier)) = history.kept.split_last()
        && !last.is_good()
        && history
            .active
            .as_ref()
            .is_some_and(|active| active.trial.is_some())
        && let Some(fallback) = super::fallback(earlier)
    {
        history.fallback = Some(revision(fs, bundles, name, fallback)?.bundle);
    }
    for kept in &history.kept {
        let ids = kept.ids.iter();
        requests.extend(ids.map(|id| (id.clone(), (name.clone(), kept.revision))));
    }
    Ok(history)
}

/// Reads one revision.
pub(super) fn revision(
    fs: &dyn FileSystem,
    bundles: &Path,
    name: &BundleName,
    revision: u64,
) -> Result<RevisionRecord, OpenError> {
    let path = bundles
        .join(name.as_str())
        .join(record::file_name(revision));
    match fs.read(&path, MAX_FILE) {
        Ok(bytes) => RevisionRecord::decode(name, revision, &bytes)
            .map_err(|source| OpenError::Corrupt { path, source }),
        Err(source) => Err(OpenError::Io { path, source }),
    }
}

/// Reads the requests that found a revision active; none when there is no such file.
pub(super) fn requests(
    fs: &dyn FileSystem,
    bundles: &Path,
    name: &BundleName,
    revision: u64,
) -> Result<Vec<RequestRecord>, OpenError> {
    let path = record::sidecar_path(bundles, name, revision, Sidecar::Requests);
    match fs.read(&path, MAX_FILE) {
        Ok(bytes) => {
            record::decode_requests(&bytes).map_err(|source| OpenError::Corrupt { path, source })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(OpenError::Io { path, source }),
    }
}

/// Sees to it that a mark is whole.
fn mark(
    fs: &dyn FileSystem,
    bundles: &Path,
    name: &BundleName,
    revision: u64,
    sidecar: Sidecar,
) -> Result<(), OpenError> {
    let path = record::sidecar_path(bundles, name, revision, sidecar);
    match fs.read(&path, MAX_FILE) {
        Ok(bytes) => record::check_mark(name, revision, &bytes)
            .map_err(|source| OpenError::Corrupt { path, source }),
        Err(source) => Err(OpenError::Io { path, source }),
    }
}

pub(super) fn list(fs: &dyn FileSystem, dir: &Path) -> Result<Vec<String>, OpenError> {
    fs.list(dir).map_err(|source| OpenError::Io {
        path: dir.to_owned(),
        source,
    })
}
