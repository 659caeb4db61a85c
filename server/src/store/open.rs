//! Reading the state directory.

mod error;

use std::{
    collections::{BTreeMap, HashMap},
    io,
    path::Path,
    sync::Arc,
};

use seedpod_manifest::{BundleName, KeyedDigest};

pub(crate) use self::error::OpenError;
use super::{
    CommitError, EncryptionKeys, HISTORY, Handoff, History, Kept, Lock, Store, StoreId,
    objects::{Contents, Need},
    prune::Garbage,
    record::{self, FORMAT, FormatError, RequestRecord, RevisionRecord, Sidecar, StoreFile},
};
use crate::fs::{self, FileSystem};

/// No state file is larger: a bundle is 4 MiB by default, and rendering and escaping make it less than four times so.
const MAX_FILE: u64 = 256 << 20;

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
        let StoreFile { id, format } = store_file(&*fs, dir, &bundles_dir)?;
        let mut bundles = BTreeMap::new();
        let keys = keys.unwrap_or_default();
        let mut found = Found::default();
        tidy(&*fs, &bundles_dir)?;
        for entry in list(&*fs, &bundles_dir)? {
            let path = bundles_dir.join(&entry);
            let name: BundleName = entry
                .parse()
                .map_err(|_| OpenError::Stray { path: path.clone() })?;
            let history = history(&*fs, &bundles_dir, &name, &keys, &mut found)?;
            if history.kept.is_empty() {
                // The power went between making the folder and the first revision.
                let _ = fs.remove_dir(&path);
                continue;
            }
            bundles.insert(name, history);
        }
        let contents = Contents::open(Arc::clone(&fs), dir, keys, &found.needed)?;
        for (name, revision) in &found.outdated {
            encrypt_anew(&*fs, &bundles_dir, name, *revision, contents.keys())?;
        }
        let handoff = Handoff::open(&*fs, dir, &contents)?;
        let mut store = Self {
            fs,
            bundles_dir,
            contents: Arc::new(contents),
            garbage: Garbage::default(),
            handoff,
            id,
            format,
            requests: found.requests,
            grown: bundles.keys().cloned().collect(),
            bundles,
            history: HISTORY,
            uncertain: false,
            _lock: lock,
        };
        store.settle_handoff()?;
        Ok(store)
    }

    /// Has `store.json` tell of the newest format, so that no older seedpodd uses the folder: it would not see what only
    /// that format has.
    pub(super) fn raise_format(&mut self) -> Result<(), CommitError> {
        if self.format == FORMAT {
            return Ok(());
        }
        let dir = self.bundles_dir.parent().unwrap_or(Path::new("."));
        let file = StoreFile {
            format: FORMAT,
            id: self.id.clone(),
        };
        write_store_file(&*self.fs, dir, &file).map_err(|source| CommitError::Write {
            path: dir.join(STORE_FILE),
            source,
        })?;
        self.format = FORMAT;
        Ok(())
    }
}

const STORE_FILE: &str = "store.json";

fn write_store_file(fs: &dyn FileSystem, dir: &Path, file: &StoreFile) -> io::Result<()> {
    let text = serde_json::to_string(file)?;
    fs::stage(fs, dir, STORE_FILE, format!("{text}\n").as_bytes(), 0o600)?;
    fs::unveil(fs, dir, STORE_FILE)?;
    fs.sync_dir(dir)
}

/// Reads `store.json`, or makes a new store.
fn store_file(fs: &dyn FileSystem, dir: &Path, bundles: &Path) -> Result<StoreFile, OpenError> {
    let path = dir.join(STORE_FILE);
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
                // What a write of this file that was cut short has left.
                fs::remove_staged(fs, dir)?;
                fs.sync_dir(dir)
            };
            remake().map_err(io_error)?;
            Ok(file)
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
            let make = || {
                fs.make_dir(bundles, 0o700)?;
                write_store_file(fs, dir, &file)
            };
            make().map_err(io_error)?;
            Ok(file)
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

/// What the kept revisions of all bundles say together.
#[derive(Default)]
struct Found {
    /// Where each request is written down.
    requests: HashMap<String, (BundleName, u64)>,
    /// The contents of objects.
    needed: BTreeMap<KeyedDigest, Need>,
    /// Revisions whose files have to be encrypted anew.
    outdated: Vec<(BundleName, u64)>,
}

/// Writes a revision anew with what the first key encrypts. It says the same as before, so that a power cut may leave the
/// one or the other.
fn encrypt_anew(
    fs: &dyn FileSystem,
    bundles: &Path,
    name: &BundleName,
    number: u64,
    keys: &EncryptionKeys,
) -> Result<(), OpenError> {
    let record = revision(fs, bundles, name, number, keys)?;
    let dir = bundles.join(name.as_str());
    let file = record::file_name(number);
    let write = || {
        let text = record.encode(keys);
        let text = text.ok_or_else(|| io::Error::other("the encryption failed"))?;
        fs::stage(fs, &dir, &file, text.as_bytes(), 0o600)?;
        fs::unveil(fs, &dir, &file)?;
        fs.sync_dir(&dir)
    };
    write().map_err(|source| OpenError::Io {
        path: dir.join(&file),
        source,
    })
}

/// Reads all kept revisions of a bundle; each must be whole.
fn history(
    fs: &dyn FileSystem,
    bundles: &Path,
    name: &BundleName,
    keys: &EncryptionKeys,
    found: &mut Found,
) -> Result<History, OpenError> {
    let dir = bundles.join(name.as_str());
    tidy(fs, &dir)?;
    let mut history = History::default();
    let mut sidecars = Vec::new();
    for entry in list(fs, &dir)? {
        match record::parse_file_name(&entry) {
            Some((number, Some(sidecar))) => sidecars.push((number, sidecar)),
            Some((number, None)) => {
                let record = revision(fs, bundles, name, number, keys)?;
                let ids: Vec<String> = record.request.iter().map(|r| r.id.clone()).collect();
                for object in &record.bundle.objects {
                    // The newest one that needs it is named when it is not whole.
                    let need = Need {
                        object: object.summary.key.clone(),
                        bundle: name.clone(),
                        revision: number,
                    };
                    found.needed.insert(object.summary.digest, need);
                }
                if record.is_outdated {
                    found.outdated.push((name.clone(), number));
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
        history.fallback = Some(revision(fs, bundles, name, fallback, keys)?.bundle);
    }
    for kept in &history.kept {
        let ids = kept.ids.iter();
        found
            .requests
            .extend(ids.map(|id| (id.clone(), (name.clone(), kept.revision))));
    }
    Ok(history)
}

/// Reads one revision.
pub(super) fn revision(
    fs: &dyn FileSystem,
    bundles: &Path,
    name: &BundleName,
    revision: u64,
    keys: &EncryptionKeys,
) -> Result<RevisionRecord, OpenError> {
    let path = bundles
        .join(name.as_str())
        .join(record::file_name(revision));
    match fs.read(&path, MAX_FILE) {
        Ok(bytes) => RevisionRecord::decode(name, revision, &bytes, keys).map_err(|source| {
            match source {
                // Of a file that is whole, perhaps.
                FormatError::Sealed { .. } => OpenError::Sealed { path, source },
                _ => OpenError::Corrupt { path, source },
            }
        }),
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
