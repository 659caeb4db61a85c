//! The node's handoff: one record, which is replaced whole, and what it needs of what is secret.
//!
//! ```text
//! <stateDirectory>/handoff/record.json        the record: staged, synced, renamed, folder synced
//! <stateDirectory>/handoff/<digest>.material  what it needs: encrypted if so configured, named by its keyed digest
//! ```
//!
//! The record names its material, which is durable before it and removed after it. What cannot be read stops the daemon:
//! read as "no handoff", it would have two control planes fight.
//!
//! `file` is what the files hold, `open` reads them at the start.

mod file;
mod open;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use seedpod_manifest::{BundleName, KeyedDigest, PodKey, Stamp};

pub(crate) use self::file::MaterialError;
use self::file::{HandoffFile, MATERIAL_KIND};
use super::{
    CommitError, Reader, Store, StoreId,
    objects::{self, Contents},
    record::{Fingerprint, RequestRecord},
};
use crate::{
    fs::{self, FileSystem},
    handoff::{Material, Record, Stage},
    node::{Bundle, BundlePod, RequestId, State},
};

/// The folder's name in the state directory.
const FOLDER: &str = "handoff";
const RECORD: &str = "record.json";
/// What the name of a material's file ends with.
const MATERIAL: &str = ".material";

/// What is on the disk of a handoff.
#[derive(Debug, Default)]
pub(super) struct Handoff {
    dir: PathBuf,
    now: Kept,
    /// The record's file as it is. `None`: there is none.
    file: Option<String>,
    /// Materials that are needed no more and could not be removed yet.
    garbage: BTreeSet<KeyedDigest>,
}

/// What the record's file says.
#[derive(Debug, Default, Clone)]
struct Kept {
    record: Option<Arc<Record>>,
    /// The request that started it.
    request: Option<RequestRecord>,
    material: Option<KeyedDigest>,
    /// Pods that were withheld and came back: by the uid that their revision gave them, the number of their return.
    returned: BTreeMap<String, u64>,
    /// How many returns there were, on this node.
    returns: u64,
}

/// What a stage needs of the material.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    All,
    /// It is handed over: nothing is applied any more.
    Kubeconfig,
    Nothing,
}

impl Needs {
    fn of(stage: Stage) -> Self {
        match stage {
            Stage::Reverted => Self::Nothing,
            Stage::Committed | Stage::StandingIn | Stage::StandingDown => Self::Kubeconfig,
            Stage::Applying
            | Stage::WaitingForReady
            | Stage::WaitingForKubelet
            | Stage::Draining
            | Stage::HandingOver
            | Stage::Verifying
            | Stage::Reverting => Self::All,
        }
    }
}

impl Store {
    /// Makes a new handoff durable, in the place of the one before.
    pub(crate) fn start_handoff(
        &mut self,
        record: Record,
        material: &Material,
        request: Option<&RequestId>,
    ) -> Result<Arc<Record>, CommitError> {
        self.make_handoff_dir()?;
        self.raise_format()?;
        let material = self.put_material(material)?;
        let next = Kept {
            record: Some(Arc::new(record)),
            request: request.map(|it| RequestRecord::new(it, self.contents.digest_key())),
            material: Some(material),
            ..self.handoff.now.clone()
        };
        self.commit_handoff(next)
    }

    /// Makes the next record of the handoff durable. A pod that is withheld no more comes back as another one for the
    /// kubelet.
    pub(crate) fn advance_handoff(&mut self, record: Record) -> Result<Arc<Record>, CommitError> {
        let mut next = self.handoff.now.clone();
        self.bring_back(&mut next, &record.withheld);
        next.material = self.material_for(record.stage, next.material)?;
        next.record = Some(Arc::new(record));
        self.commit_handoff(next)
    }

    /// Forgets the handoff, with its material.
    pub(crate) fn forget_handoff(&mut self) -> Result<(), CommitError> {
        if self.handoff.now.record.is_none() {
            return Ok(());
        }
        let mut next = self.handoff.now.clone();
        self.bring_back(&mut next, &BTreeSet::new());
        // The pods that have come back run under what the rest says.
        (next.record, next.request, next.material) = (None, None, None);
        self.write_handoff(next)
    }

    /// Counts the returns of the pods that are withheld no more.
    fn bring_back(&self, next: &mut Kept, withheld: &BTreeSet<PodKey>) {
        let Some(before) = next.record.clone() else {
            return;
        };
        let Some(bundle) = self.active(&before.spec.bundle) else {
            return;
        };
        for key in before.withheld.difference(withheld) {
            for pod in bundle.pods.iter().filter(|pod| pod.key == *key) {
                next.returns += 1;
                next.returned.insert(pod.uid.clone(), next.returns);
            }
        }
    }

    /// The handoff that this request started, if it did.
    pub(crate) fn remembered_handoff(&self, id: &str) -> Option<(Fingerprint, Arc<Record>)> {
        let Kept {
            record, request, ..
        } = &self.handoff.now;
        let request = request.as_ref().filter(|request| request.id == id)?;
        let fingerprint = self.fingerprint(&request.fingerprint);
        Some((fingerprint, Arc::clone(record.as_ref()?)))
    }

    fn active(&self, name: &BundleName) -> Option<Arc<Bundle>> {
        let active = self.bundles.get(name)?.active.as_ref()?;
        Some(Arc::clone(&active.bundle))
    }

    /// Puts the handoff into what is published. One of a bundle that is gone is none.
    pub(super) fn put_handoff(&self, state: &mut State) {
        let Kept {
            record,
            material,
            returned,
            ..
        } = &self.handoff.now;
        if let Some(record) = record
            && state.bundles.contains_key(&record.spec.bundle)
        {
            state.handoff = Some(Arc::clone(record));
            state.handoff_material = *material;
        }
        for bundle in state.bundles.values_mut() {
            if !returned.is_empty()
                && bundle
                    .pods
                    .iter()
                    .any(|pod| returned.contains_key(&pod.uid))
            {
                *bundle = Arc::new(with_returned(bundle, returned, &self.id));
            }
        }
    }

    /// The material that is to be there in a stage: made, when it is less than what there is.
    fn material_for(
        &self,
        stage: Stage,
        now: Option<KeyedDigest>,
    ) -> Result<Option<KeyedDigest>, CommitError> {
        let Some(digest) = now else {
            return Ok(None);
        };
        match Needs::of(stage) {
            Needs::All => Ok(Some(digest)),
            Needs::Nothing => Ok(None),
            Needs::Kubeconfig => {
                let read = material(&*self.fs, &self.handoff.dir, &digest, &self.contents);
                let read = read.map_err(|error| CommitError::Write {
                    path: material_path(&self.handoff.dir, &digest),
                    source: io::Error::other(error),
                })?;
                if read.manifests.is_empty() {
                    return Ok(Some(digest));
                }
                let less = Material {
                    manifests: Vec::new(),
                    kubeconfig: read.kubeconfig,
                };
                self.put_material(&less).map(Some)
            }
        }
    }

    /// Makes a material durable. It is garbage until a record names it.
    fn put_material(&self, material: &Material) -> Result<KeyedDigest, CommitError> {
        let content = file::encode_material(material);
        let digest = self.contents.digest_key().digest(&content);
        let name = material_name(&digest);
        let path = self.handoff.dir.join(&name);
        let file = objects::encode(MATERIAL_KIND, &name, self.contents.keys(), &content);
        let write = || {
            let file = file.ok_or_else(|| io::Error::other("the encryption failed"))?;
            fs::stage(&*self.fs, &self.handoff.dir, &name, &file, 0o600)?;
            fs::unveil(&*self.fs, &self.handoff.dir, &name)?;
            self.fs.sync_dir(&self.handoff.dir)
        };
        write().map_err(|source| CommitError::Write { path, source })?;
        Ok(digest)
    }

    fn commit_handoff(&mut self, next: Kept) -> Result<Arc<Record>, CommitError> {
        let (record, material) = (next.record.clone(), next.material);
        if let Err(error) = self.write_handoff(next) {
            // Nothing names it.
            self.handoff.garbage.extend(material);
            return Err(error);
        }
        record.ok_or_else(|| CommitError::Write {
            path: self.handoff.dir.join(RECORD),
            source: io::Error::other("there is no record"),
        })
    }

    /// Replaces the record's file. After an error the old one is there, or the store says that it does not know and takes
    /// no more writes.
    fn write_handoff(&mut self, mut next: Kept) -> Result<(), CommitError> {
        if self.uncertain {
            return Err(CommitError::earlier());
        }
        next.returned.retain(|uid, _| self.has_pod(uid));
        let file = HandoffFile::from(&next).encode();
        let path = self.handoff.dir.join(RECORD);
        let (fs, dir) = (Arc::clone(&self.fs), self.handoff.dir.clone());
        let failed = |source| CommitError::Write {
            path: path.clone(),
            source,
        };
        fs::stage(&*fs, &dir, RECORD, file.as_bytes(), 0o600).map_err(failed)?;
        fs::unveil(&*fs, &dir, RECORD).map_err(failed)?;
        if let Err(source) = fs.sync_dir(&dir) {
            // The old record or the new one may be on the disk.
            let take_back = || match &self.handoff.file {
                Some(old) => {
                    fs::stage(&*fs, &dir, RECORD, old.as_bytes(), 0o600)?;
                    fs::unveil(&*fs, &dir, RECORD)?;
                    fs.sync_dir(&dir)
                }
                None => fs.remove_file(&path).and_then(|()| fs.sync_dir(&dir)),
            };
            if take_back().is_err() {
                self.uncertain = true;
                return Err(CommitError::Uncertain(source));
            }
            return Err(failed(source));
        }
        let before = std::mem::replace(&mut self.handoff.now, next);
        self.handoff.file = Some(file);
        self.handoff.garbage.extend(before.material);
        self.sweep_handoff();
        Ok(())
    }

    fn has_pod(&self, uid: &str) -> bool {
        let active = self.bundles.values().filter_map(|it| it.active.as_ref());
        let mut pods = active.flat_map(|active| &active.bundle.pods);
        pods.any(|pod| pod.uid == uid)
    }

    /// Removes what no record on the disk names, for good. An error leaves it for the next time.
    fn sweep_handoff(&mut self) {
        let Handoff {
            dir, now, garbage, ..
        } = &mut self.handoff;
        if let Some(needed) = &now.material {
            garbage.remove(needed);
        }
        if garbage.is_empty() {
            return;
        }
        match remove_materials(&*self.fs, dir, garbage) {
            Ok(()) => garbage.clear(),
            Err(error) => {
                tracing::warn!(%error, "cannot remove what a handoff needs no more");
            }
        }
    }

    fn make_handoff_dir(&self) -> Result<(), CommitError> {
        let dir = &self.handoff.dir;
        let make = || {
            self.fs.make_dir(dir, 0o700)?;
            dir.parent()
                .map_or(Ok(()), |parent| self.fs.sync_dir(parent))
        };
        make().map_err(|source| CommitError::Write {
            path: dir.clone(),
            source,
        })
    }
}

impl Reader {
    /// Reads what a handoff needs of what is secret.
    pub(crate) fn handoff_material(
        &self,
        digest: &KeyedDigest,
    ) -> Result<Material, super::OpenError> {
        let dir = self.bundles_dir.with_file_name(FOLDER);
        material(&*self.fs, &dir, digest, &self.contents).map_err(|source| {
            super::OpenError::Material {
                path: material_path(&dir, digest),
                source,
            }
        })
    }
}

fn material_name(digest: &KeyedDigest) -> String {
    format!("{}{MATERIAL}", digest.hex())
}

fn material_path(dir: &Path, digest: &KeyedDigest) -> PathBuf {
    dir.join(material_name(digest))
}

/// Reads a material and sees to it that it is whole.
fn material(
    fs: &dyn FileSystem,
    dir: &Path,
    digest: &KeyedDigest,
    contents: &Contents,
) -> Result<Material, MaterialError> {
    let (content, _) = open::content(fs, dir, digest, contents)?;
    file::decode_material(&content)
}

fn remove_materials(
    fs: &dyn FileSystem,
    dir: &Path,
    garbage: &BTreeSet<KeyedDigest>,
) -> io::Result<()> {
    for digest in garbage {
        match fs.remove_file(&material_path(dir, digest)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    fs.sync_dir(dir)
}

/// A bundle with the pods under other uids that have come back.
fn with_returned(bundle: &Bundle, returned: &BTreeMap<String, u64>, id: &StoreId) -> Bundle {
    let pod = |pod: &BundlePod| {
        let count = returned.get(&pod.uid);
        let back = count.and_then(|count| come_back(&bundle.name, pod, *count, id));
        back.unwrap_or_else(|| pod.clone())
    };
    Bundle {
        pods: bundle.pods.iter().map(pod).collect(),
        ..bundle.clone()
    }
}

/// The same pod under another uid. A kubelet that still knows the one that it ran under before takes its time to start it
/// again; and its containers, which have ended, count as crashes. `None` when what is kept of it is damaged.
fn come_back(bundle: &BundleName, pod: &BundlePod, count: u64, id: &StoreId) -> Option<BundlePod> {
    let uid = id.returned_uid(bundle.as_str(), pod.revision, &pod.key, &pod.digest, count);
    let volumes = pod.volumes.as_deref().map(|path| path.with_file_name(&uid));
    let folder = volumes.as_deref().map(Path::to_string_lossy);
    let stamp = Stamp {
        bundle,
        revision: pod.revision,
        uid: &uid,
        digest: pod.digest.parse().ok()?,
        volumes: folder.as_deref().unwrap_or_default(),
    };
    let rendered = seedpod_manifest::returned(&pod.rendered, &pod.pod()?, &stamp, count)?;
    Some(BundlePod {
        rendered: rendered.into(),
        volumes: volumes.map(Into::into),
        uid,
        ..pod.clone()
    })
}
