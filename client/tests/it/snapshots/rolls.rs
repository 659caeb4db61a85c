//! Which changes make other pods of the self-hosted control plane.

use std::fs;
use std::path::Path;

use seedpod_client::cluster::{ClusterConfiguration, render};

use super::{copy, snapshots, write, write_etcd_client};

const PROGRAMS: [&str; 3] = [
    "30-kube-apiserver",
    "40-kube-controller-manager",
    "50-kube-scheduler",
];

/// The digests in the pod templates.
fn digests(folder: &Path) -> [String; 3] {
    let loaded = ClusterConfiguration::load(folder.join("cluster.yaml")).unwrap();
    render(&loaded, &folder.join("out")).unwrap();
    PROGRAMS.map(|program| {
        let path = folder.join(format!("out/self-hosted/{program}.yaml"));
        let text = fs::read_to_string(path).unwrap();
        let key = "seedpod.dev/secret-digest: ";
        let line = text.lines().find_map(|line| line.trim().strip_prefix(key));
        line.unwrap().to_owned()
    })
}

#[test]
fn another_secret_makes_other_pods_but_not_another_node() {
    let folder = tempfile::tempdir().unwrap();
    copy(&snapshots().join("external-etcd"), folder.path());
    write_etcd_client(&folder.path().join("etcd"));
    let first = digests(folder.path());
    assert_eq!(digests(folder.path()), first);

    let file = folder.path().join("cluster.yaml");
    let text = fs::read_to_string(&file).unwrap();
    let more = "  - {name: node-3, address: 'fd00:db8::13', controlPlane: true}\nnetworking:\n";
    write(&file, &text.replace("networking:\n", more));
    // The API servers see by themselves that there are other serving certificates.
    assert_eq!(digests(folder.path()), first);

    for name in ["sa.key", "sa.pub"] {
        fs::remove_file(folder.path().join("out/pki").join(name)).unwrap();
    }
    let other = digests(folder.path());
    assert_ne!(other[0], first[0]);
    assert_ne!(other[1], first[1]);
    assert_eq!(other[2], first[2]);
}
