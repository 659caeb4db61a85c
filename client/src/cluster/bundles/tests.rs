use std::{collections::BTreeMap, fs};

use seedpod_manifest::Options;
use zeroize::Zeroizing;

use super::*;
use crate::{
    Folder,
    cluster::{
        Authority, BootstrapToken, ClusterConfiguration, EtcdClient, EtcdMember, KeyPair, Pair,
    },
};

const CLUSTER: &str = "
apiVersion: seedpod.dev/v1alpha1
kind: ClusterConfiguration
name: test
kubernetesVersion: v1.37.2
nodes:
  - {name: node-1, address: 192.0.2.1, controlPlane: true}
  - {name: node-2, address: 192.0.2.2, controlPlane: true}
";

fn loaded() -> Loaded {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cluster.yaml");
    fs::write(&path, CLUSTER).unwrap();
    ClusterConfiguration::load(&path).unwrap()
}

fn pair(name: &str) -> Pair {
    Pair {
        certificate: format!("certificate {name}\n"),
        key: Zeroizing::new(format!("key {name}\n")),
    }
}

fn pki(loaded: &Loaded) -> Pki {
    let authority = |name: &str| Authority {
        certificate: format!("certificate {name}\n"),
        key: Some(Zeroizing::new(format!("key {name}\n"))),
    };
    let nodes = || loaded.configuration.nodes.iter().map(|node| &node.name);
    let by_node = |what: &str| -> BTreeMap<String, Pair> {
        nodes()
            .map(|node| (node.clone(), pair(&format!("{what} {node}"))))
            .collect()
    };
    Pki {
        cluster: authority("cluster"),
        front_proxy: authority("front proxy"),
        etcd: Some(authority("etcd")),
        service_account: KeyPair {
            public: "public\n".to_owned(),
            private: Zeroizing::new("private\n".to_owned()),
        },
        api_server: by_node("injected"),
        api_server_self_hosted: by_node("self-hosted"),
        api_server_kubelet_client: pair("kubelet client"),
        front_proxy_client: pair("front proxy client"),
        etcd_client: Some(EtcdClient {
            ca: "certificate etcd\n".to_owned(),
            pair: pair("etcd client"),
        }),
        etcd_members: nodes()
            .map(|node| {
                let member = EtcdMember {
                    server: pair("server"),
                    peer: pair("peer"),
                };
                (node.clone(), member)
            })
            .collect(),
        etcd_healthcheck_client: None,
        admin: pair("admin"),
        handoff: pair("handoff"),
        controller_manager: pair("controller manager"),
        scheduler: pair("scheduler"),
        kubelets: BTreeMap::new(),
        bootstrap_token: Some(BootstrapToken {
            id: "abcdef".to_owned(),
            secret: Zeroizing::new("0123456789abcdef".to_owned()),
        }),
    }
}

fn kubeconfigs() -> Kubeconfigs {
    let text = |text: &str| Zeroizing::new(format!("{text}\n"));
    Kubeconfigs {
        admin: text("admin"),
        handoff: text("handoff"),
        controller_manager: text("controller manager"),
        scheduler: text("scheduler"),
        kubelets: BTreeMap::new(),
    }
}

/// What `seedpod lint` says of a bundle's folder, with its pods.
fn lint(files: &Files, node: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text.as_bytes()).unwrap();
    }
    let folder = Folder::read(folder.path()).unwrap();
    let texts: Vec<&str> = folder.manifests().iter().map(|it| it.text()).collect();
    let options = Options {
        node: node.parse().unwrap(),
        max_pods: 64,
        max_bytes: 4 << 20,
        field_validation: Default::default(),
        allow_secret_env: false,
    };
    match seedpod_manifest::check(&texts, &options) {
        Ok(checked) => checked
            .warnings
            .iter()
            .map(|it| format!("{it:?}"))
            .collect(),
        Err(violations) => violations.iter().map(|it| format!("{it:?}")).collect(),
    }
}

#[test]
fn lint_has_nothing_to_say_of_any_bundle() {
    let loaded = loaded();
    let pki = pki(&loaded);
    for node in &loaded.configuration.nodes {
        let etcd = etcd_bundle(&loaded, &pki, node).unwrap();
        assert_eq!(lint(&etcd, &node.name), Vec::<String>::new());
        let control_plane = control_plane_bundle(&loaded, &pki, &kubeconfigs(), node).unwrap();
        assert_eq!(lint(&control_plane, &node.name), Vec::<String>::new());
    }
}
