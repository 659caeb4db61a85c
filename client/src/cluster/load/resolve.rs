//! What follows from the rest is filled in.

use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::{
    CONTROLLER_MANAGER_PORT, Fault, Loaded, SCHEDULER_PORT,
    check::{Checked, SEEDPOD_PORT},
};
use crate::cluster::{ClusterConfiguration, Images, Level, version::Version};

/// The version of etcd that Kubernetes' own tools take now; each of the last releases works with it.
const ETCD_VERSION: &str = "3.7.0-0";

pub(super) fn resolve(
    mut configuration: ClusterConfiguration,
    folder: &Path,
    checked: Checked,
    warnings: Vec<Fault>,
) -> Loaded {
    let digest = digest(&configuration);
    let Checked {
        version,
        endpoint,
        service_subnets,
        pod_subnets,
    } = checked;
    configuration.control_plane_endpoint = Some(endpoint.to_string());
    let replicas = configuration.nodes.iter().filter(|node| node.control_plane);
    let replicas = u32::try_from(replicas.count()).unwrap_or(u32::MAX);
    for node in &mut configuration.nodes {
        let injected = configuration.level == Level::OneToFour;
        node.etcd = Some(node.etcd.unwrap_or(node.control_plane && injected));
        node.endpoint.get_or_insert_with(|| {
            let address = std::net::SocketAddr::new(node.address, SEEDPOD_PORT);
            format!("https://{address}")
        });
    }
    images(&mut configuration.images, &version);
    for (component, port) in [
        (
            &mut configuration.controller_manager,
            CONTROLLER_MANAGER_PORT,
        ),
        (&mut configuration.scheduler, SCHEDULER_PORT),
    ] {
        component.port.get_or_insert(port);
        component.replicas.get_or_insert(replicas);
    }
    configuration.kubelet.configure.get_or_insert(true);
    paths(&mut configuration, folder);
    Loaded {
        configuration,
        folder: folder.to_owned(),
        version,
        endpoint,
        service_subnets,
        pod_subnets,
        digest,
        warnings,
    }
}

fn images(images: &mut Images, version: &Version) {
    let Images {
        repository,
        pull_policy: _,
        etcd,
        kube_apiserver,
        kube_controller_manager,
        kube_scheduler,
    } = images;
    // In an image's tag "+" is not allowed; Kubernetes' own builds write "_" for it.
    let version = version.to_string().replace('+', "_");
    etcd.get_or_insert_with(|| format!("{repository}/etcd:{ETCD_VERSION}"));
    for (image, name) in [
        (kube_apiserver, "kube-apiserver"),
        (kube_controller_manager, "kube-controller-manager"),
        (kube_scheduler, "kube-scheduler"),
    ] {
        image.get_or_insert_with(|| format!("{repository}/{name}:{version}"));
    }
}

fn paths(configuration: &mut ClusterConfiguration, folder: &Path) {
    let ClusterConfiguration {
        seedpod,
        etcd,
        certificates,
        addons,
        ..
    } = configuration;
    let external = etcd.external.iter_mut();
    let external = external.flat_map(|external| {
        [
            &mut external.ca_file,
            &mut external.cert_file,
            &mut external.key_file,
        ]
    });
    let others = [
        &mut seedpod.ca_file,
        &mut seedpod.cert_file,
        &mut seedpod.key_file,
        &mut certificates.directory,
        addons,
    ];
    for path in others.into_iter().chain(external).flatten() {
        *path = within(folder, path);
    }
}

/// The path, from the file's folder on. `.` and doubled slashes go.
pub(super) fn within(folder: &Path, path: &Path) -> PathBuf {
    folder.join(path).components().collect()
}

/// Of what the file says, whatever its comments and the order of its fields.
fn digest(configuration: &ClusterConfiguration) -> String {
    // Nothing in it can fail to be written as JSON: strings are the only keys.
    let text = serde_json::to_vec(configuration).unwrap_or_default();
    let hex: String = Sha256::digest(text)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("sha256:{hex}")
}
