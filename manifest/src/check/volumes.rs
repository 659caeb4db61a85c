//! Volumes and where containers mount them.

use std::collections::{HashMap, HashSet};

use k8s_openapi::api::core::v1::{Container, PodSpec, Volume, VolumeMount};

use super::{
    names::{
        descending_path, in_range, no_backsteps, one_of, one_of_strictly, required,
        required_dns_label,
    },
    report::Report,
    resources::check_quantity,
    spec::is_repeated,
};

/// What a `hostPath` may say that there is at its path; an empty one says nothing.
pub const HOST_PATH_TYPES: [&str; 7] = [
    "DirectoryOrCreate",
    "Directory",
    "FileOrCreate",
    "File",
    "Socket",
    "CharDevice",
    "BlockDevice",
];
use crate::{Reason, field::Path};

mod sources;

/// The pod's volumes by their names.
pub(crate) type VolumeNames<'s> = HashMap<&'s str, &'s Volume>;

/// Checks all volumes and returns their names.
pub(crate) fn check<'s>(
    report: &mut Report<'_>,
    path: &Path<'_>,
    spec: &'s PodSpec,
) -> VolumeNames<'s> {
    let mut names = VolumeNames::new();
    let init = spec.init_containers.iter().flatten();
    let containers = spec.containers.iter().chain(init);
    let containers = containers.map(|it| it.name.as_str()).collect();
    let list = path.key("volumes");
    for (index, volume) in spec.volumes.iter().flatten().enumerate() {
        let path = list.index(index);
        required_dns_label(report, &path.key("name"), &volume.name);
        if !volume.name.is_empty() && names.insert(&volume.name, volume).is_some() {
            let description = "another volume of the pod has this name: each needs its own";
            report.refuse(&path.key("name"), Reason::DuplicateName, description);
        }
        check_source(report, &path, volume, &containers);
    }
    names
}

fn sources(volume: &Volume) -> Vec<&'static str> {
    [
        (
            "awsElasticBlockStore",
            volume.aws_elastic_block_store.is_some(),
        ),
        ("azureDisk", volume.azure_disk.is_some()),
        ("azureFile", volume.azure_file.is_some()),
        ("cephfs", volume.cephfs.is_some()),
        ("cinder", volume.cinder.is_some()),
        ("configMap", volume.config_map.is_some()),
        ("csi", volume.csi.is_some()),
        ("downwardAPI", volume.downward_api.is_some()),
        ("emptyDir", volume.empty_dir.is_some()),
        ("ephemeral", volume.ephemeral.is_some()),
        ("fc", volume.fc.is_some()),
        ("flexVolume", volume.flex_volume.is_some()),
        ("flocker", volume.flocker.is_some()),
        ("gcePersistentDisk", volume.gce_persistent_disk.is_some()),
        ("gitRepo", volume.git_repo.is_some()),
        ("glusterfs", volume.glusterfs.is_some()),
        ("hostPath", volume.host_path.is_some()),
        ("image", volume.image.is_some()),
        ("iscsi", volume.iscsi.is_some()),
        ("nfs", volume.nfs.is_some()),
        (
            "persistentVolumeClaim",
            volume.persistent_volume_claim.is_some(),
        ),
        (
            "photonPersistentDisk",
            volume.photon_persistent_disk.is_some(),
        ),
        ("portworxVolume", volume.portworx_volume.is_some()),
        ("projected", volume.projected.is_some()),
        ("quobyte", volume.quobyte.is_some()),
        ("rbd", volume.rbd.is_some()),
        ("scaleIO", volume.scale_io.is_some()),
        ("secret", volume.secret.is_some()),
        ("storageos", volume.storageos.is_some()),
        ("vsphereVolume", volume.vsphere_volume.is_some()),
    ]
    .into_iter()
    .filter(|(_, is_set)| *is_set)
    .map(|(name, _)| name)
    .collect()
}

/// Whether the volume is an emptyDir, which one without a source becomes.
pub(crate) fn is_empty_dir(volume: &Volume) -> bool {
    volume.empty_dir.is_some() || sources(volume).is_empty()
}

fn check_source(
    report: &mut Report<'_>,
    path: &Path<'_>,
    volume: &Volume,
    containers: &HashSet<&str>,
) {
    match *sources(volume) {
        [] => {
            let description = "the volume names no source, and so it becomes an emptyDir: write emptyDir: {} if \
                               this is meant";
            report.warn(path, Reason::DefaultApplied, description);
        }
        [_] => {}
        [_, ref others @ ..] => {
            for name in others {
                let description = "a volume has one source only: remove the others";
                report.refuse_key(&path.key(name), Reason::ConflictingFields, description);
            }
        }
    }
    if let Some(host_path) = &volume.host_path {
        let path = path.key("hostPath");
        if required(
            report,
            &path.key("path"),
            Some(&host_path.path),
            "the path on the node",
        ) {
            no_backsteps(report, &path.key("path"), &host_path.path);
        }
        one_of(
            report,
            &path.key("type"),
            host_path.type_.as_deref(),
            &HOST_PATH_TYPES,
        );
    }
    if let Some(empty_dir) = &volume.empty_dir {
        let path = path.key("emptyDir");
        if let Some(limit) = &empty_dir.size_limit {
            check_quantity(report, &path.key("sizeLimit"), &limit.0);
        }
        in_range(
            report,
            &path.key("mode"),
            empty_dir.mode.map(i64::from),
            0,
            0o1777,
        );
    }
    if let Some(image) = &volume.image {
        let path = path.key("image");
        required(
            report,
            &path.key("reference"),
            image.reference.as_deref(),
            "the reference of an image",
        );
        let policies = ["Always", "IfNotPresent", "Never"];
        one_of(
            report,
            &path.key("pullPolicy"),
            image.pull_policy.as_deref(),
            &policies,
        );
    }
    if let Some(nfs) = &volume.nfs {
        let path = path.key("nfs");
        required(report, &path.key("server"), Some(&nfs.server), "the server");
        if required(
            report,
            &path.key("path"),
            Some(&nfs.path),
            "the path on the server",
        ) && !nfs.path.starts_with('/')
        {
            report.refuse(
                &path.key("path"),
                Reason::InvalidValue,
                "the path must be absolute",
            );
        }
    }
    sources::check(report, path, volume, containers);
}

/// Checks where a container mounts its volumes.
pub(crate) fn check_mounts(
    report: &mut Report<'_>,
    path: &Path<'_>,
    container: &Container,
    volumes: &VolumeNames<'_>,
) {
    let list = path.key("volumeMounts");
    let mut mount_paths = HashSet::new();
    let is_privileged = container
        .security_context
        .as_ref()
        .is_some_and(|context| context.privileged == Some(true));
    for (index, mount) in container.volume_mounts.iter().flatten().enumerate() {
        let path = list.index(index);
        let name = path.key("name");
        if required(report, &name, Some(&mount.name), "the name of a volume")
            && !volumes.contains_key(mount.name.as_str())
        {
            report.refuse(
                &name,
                Reason::UnknownVolume,
                "the pod has no volume of this name: add it to spec.volumes",
            );
        }
        let mount_path = path.key("mountPath");
        required(
            report,
            &mount_path,
            Some(&mount.mount_path),
            "the path in the container",
        );
        if is_repeated(&mut mount_paths, &mount.mount_path) {
            report.refuse(
                &mount_path,
                Reason::DuplicateName,
                "another volume is mounted at this path",
            );
        }
        check_mount(report, &path, mount, is_privileged);
    }
    let list = path.key("volumeMounts");
    for (index, mount) in container.volume_mounts.iter().flatten().enumerate() {
        let item = list.index(index);
        check_options(report, &item.key("bindMountOptions"), mount, volumes);
    }
    let list = path.key("volumeDevices");
    for (index, _) in container.volume_devices.iter().flatten().enumerate() {
        let description = "only PersistentVolumeClaims can be block devices, and a static pod can have none: \
                           use a hostPath volume of type BlockDevice";
        report.refuse(&list.index(index), Reason::ForbiddenField, description);
    }
}

fn check_options(
    report: &mut Report<'_>,
    path: &Path<'_>,
    mount: &VolumeMount,
    volumes: &VolumeNames<'_>,
) {
    let options = mount.bind_mount_options.as_deref().unwrap_or_default();
    let of_image = volumes
        .get(mount.name.as_str())
        .is_some_and(|volume| volume.image.is_some());
    if of_image && !options.is_empty() {
        let description = "a volume of an image takes no mount options";
        report.refuse_key(path, Reason::ConflictingFields, description);
    }
    let mut seen = HashSet::new();
    for (index, option) in options.iter().enumerate() {
        let path = path.index(index);
        if required(report, &path, Some(option), "an option") {
            one_of(report, &path, Some(option), &["noexec", "nodev", "nosuid"]);
        }
        if is_repeated(&mut seen, option) {
            report.refuse(
                &path,
                Reason::DuplicateName,
                "the option stands here a second time",
            );
        }
    }
}

fn check_mount(report: &mut Report<'_>, path: &Path<'_>, mount: &VolumeMount, is_privileged: bool) {
    let sub_path = mount.sub_path.as_deref().unwrap_or_default();
    let sub_path_expr = mount.sub_path_expr.as_deref().unwrap_or_default();
    descending_path(report, &path.key("subPath"), sub_path);
    descending_path(report, &path.key("subPathExpr"), sub_path_expr);
    if !sub_path.is_empty() && !sub_path_expr.is_empty() {
        let description = "subPath and subPathExpr can not both be given";
        report.refuse_key(
            &path.key("subPathExpr"),
            Reason::ConflictingFields,
            description,
        );
    }
    let propagation = mount.mount_propagation.as_deref();
    one_of_strictly(
        report,
        &path.key("mountPropagation"),
        propagation,
        &["None", "HostToContainer", "Bidirectional"],
    );
    if propagation == Some("Bidirectional") && !is_privileged {
        let description = "Bidirectional wants the container to be privileged";
        report.refuse(
            &path.key("mountPropagation"),
            Reason::ConflictingFields,
            description,
        );
    }
    let recursive = path.key("recursiveReadOnly");
    let mode = mount.recursive_read_only.as_deref();
    one_of_strictly(
        report,
        &recursive,
        mode,
        &["Disabled", "IfPossible", "Enabled"],
    );
    if matches!(mode, Some("IfPossible" | "Enabled")) {
        if mount.read_only != Some(true) {
            report.refuse(
                &recursive,
                Reason::ConflictingFields,
                "it wants readOnly to be true",
            );
        }
        if propagation.is_some_and(|propagation| propagation != "None") {
            report.refuse(
                &recursive,
                Reason::ConflictingFields,
                "it wants mountPropagation to be None or not given",
            );
        }
    }
}
