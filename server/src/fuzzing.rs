//! What the fuzz targets in `hack/fuzz` use. It is there with the feature `fuzzing` only, and promises nothing.

use std::{error::Error, path::Path, sync::Arc};

use jiff::Timestamp;
use seedpod_manifest::{PodKey, VolumeContent};

use crate::{
    fs::{Disk, FileSystem as _, Name, remove_tree},
    metrics::Metrics,
    node::{Bundle, BundlePod},
    volumes::{Contents, ContentsError, Put, Volumes},
};

/// What [`put_volumes`] has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// All was as it should be.
    Nothing,
    /// There was nothing, and now there is all of it.
    Made,
    /// What was changed is as it should be again.
    Repaired,
    /// It was changed, and stays so.
    Left,
}

#[derive(Debug)]
struct Given(Vec<VolumeContent<'static>>);

impl Contents for Given {
    fn with_volumes(
        &self,
        _: &Bundle,
        _: &BundlePod,
        using: &mut dyn FnMut(&[VolumeContent<'_>]),
    ) -> Result<(), ContentsError> {
        using(&self.0);
        Ok(())
    }
}

/// Puts the volumes of the pod with this uid into a folder, as the projection does.
///
/// # Errors
/// When they can't be there: a path leads elsewhere, or two are in each other's way.
pub fn put_volumes(
    directory: &Path,
    uid: &str,
    volumes: Vec<VolumeContent<'static>>,
    repair: bool,
) -> Result<Done, Box<dyn Error>> {
    let key = PodKey {
        namespace: "default".to_owned(),
        name: "web".to_owned(),
    };
    let pod = BundlePod {
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
    };
    let bundle = Bundle {
        name: "bundle".parse()?,
        revision: 1,
        digest: String::new(),
        create_time: Timestamp::UNIX_EPOCH,
        update_time: Timestamp::UNIX_EPOCH,
        pods: Vec::new(),
        objects: Vec::new(),
    };
    let disk = Arc::new(Disk::new(Metrics::default()));
    let put =
        Volumes::new(disk, Given(volumes), directory.to_owned()).put(&bundle, &pod, repair)?;
    Ok(match put {
        Put::Nothing => Done::Nothing,
        Put::Made => Done::Made,
        Put::Repaired(_) => Done::Repaired,
        Put::Left(_) => Done::Left,
    })
}

/// Removes the volumes of the pod with this uid, as they are collected.
///
/// # Errors
/// When they can't be removed.
pub fn remove_volumes(directory: &Path, uid: &str) -> Result<(), Box<dyn Error>> {
    let directory = Disk::new(Metrics::default()).open_dir(directory)?;
    Ok(remove_tree(&*directory, &Name::new(uid)?)?)
}
