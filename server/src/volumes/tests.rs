//! Pods' folders on a real disk, on one whose power is cut, and their removal.

mod collecting;
mod disk;
mod power;

use std::{
    borrow::Cow,
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
};

use jiff::Timestamp;
use seedpod_manifest::{PodKey, VolumeContent, VolumeFile};

use super::{contents::Use, *};

/// Contents that a test gives, the same for each pod.
#[derive(Debug, Clone, Default)]
pub(crate) struct Given(Arc<Mutex<Option<Vec<VolumeContent<'static>>>>>);

impl Given {
    pub(crate) fn new(volumes: Vec<VolumeContent<'static>>) -> Self {
        let given = Self::default();
        given.set(Some(volumes));
        given
    }

    /// `None`: they can't be read.
    pub(crate) fn set(&self, volumes: Option<Vec<VolumeContent<'static>>>) {
        *self.0.lock().expect("not poisoned") = volumes;
    }
}

impl Contents for Given {
    fn with_volumes(&self, _: &Bundle, _: &BundlePod, using: Use<'_>) -> Result<(), ContentsError> {
        let volumes = self.0.lock().expect("not poisoned");
        using(volumes.as_deref().ok_or(ContentsError::Damaged)?);
        Ok(())
    }
}

pub(crate) fn volume(
    name: &str,
    group: Option<u32>,
    files: &[(&str, u32, &[u8])],
) -> VolumeContent<'static> {
    let file = |(path, mode, content): &(&str, u32, &[u8])| {
        let file = VolumeFile {
            mode: *mode,
            content: Cow::Owned(content.to_vec()),
        };
        ((*path).to_owned(), file)
    };
    VolumeContent {
        name: name.to_owned(),
        group,
        folders: std::collections::BTreeSet::new(),
        folder_mode: if group.is_some() { 0o2755 } else { 0o755 },
        files: files.iter().map(file).collect::<BTreeMap<_, _>>(),
    }
}

/// The n-th uid.
pub(crate) fn uid(n: u32) -> String {
    format!("{n:08x}-0000-8000-8000-000000000000")
}

/// A pod with volumes below this folder.
pub(crate) fn pod(directory: &Path, uid: &str) -> BundlePod {
    let key = PodKey {
        namespace: "default".into(),
        name: "web".into(),
    };
    BundlePod {
        file: key.file_name(),
        key,
        uid: uid.to_owned(),
        digest: String::new(),
        revision: 1,
        rendered: "{}".into(),
        source: None,
        volumes: Some(directory.join(uid).into()),
        host_ports: Vec::new(),
        wave: 0,
    }
}

pub(crate) fn bundle(pods: Vec<BundlePod>) -> Bundle {
    Bundle {
        name: "bundle".parse().expect("a valid name"),
        revision: 1,
        digest: String::new(),
        create_time: Timestamp::UNIX_EPOCH,
        update_time: Timestamp::UNIX_EPOCH,
        pods,
        objects: Vec::new(),
    }
}
