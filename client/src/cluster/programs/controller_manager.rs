//! kube-controller-manager.

use serde_json::json;

use super::{
    Endpoint, KUBECONFIG, Parts, SecretFiles, container, extra_volumes::mount, joined,
    no_capabilities, secret, secret_volume,
};
use crate::cluster::{Kubeconfigs, Loaded, Pki, flags::Flags, load::Program};

const CA: [&str; 2] = ["ca.crt", "ca.key"];
const FRONT_PROXY_CA: &str = "front-proxy-ca.crt";
const SERVICE_ACCOUNT_KEY: &str = "sa.key";

/// The same for both forms.
pub(in crate::cluster) fn parts(loaded: &Loaded, pki: &Pki) -> Parts {
    let health = Endpoint {
        host: "127.0.0.1",
        port: loaded.port(Program::ControllerManager),
        scheme: "HTTPS",
    };
    let more = joined(
        json!({
            "resources": {"requests": {"cpu": "200m"}},
            "securityContext": no_capabilities(),
        }),
        health.probes("/healthz", "/healthz"),
    );
    let parts = Parts {
        container: container(
            loaded,
            Program::ControllerManager,
            &flags(loaded, pki),
            more,
        ),
        volumes: vec![secret_volume(Program::ControllerManager)],
        security: json!({"seccompProfile": {"type": "RuntimeDefault"}}),
    };
    mount(
        parts,
        &loaded.configuration.controller_manager.extra_volumes,
    )
}

/// What the controller manager reads.
pub(in crate::cluster) fn files(pki: &Pki, kubeconfigs: &Kubeconfigs) -> SecretFiles {
    let mut files = SecretFiles::from([
        (
            KUBECONFIG.to_owned(),
            kubeconfigs.controller_manager.clone(),
        ),
        (CA[0].to_owned(), pki.cluster.certificate.clone().into()),
        (
            FRONT_PROXY_CA.to_owned(),
            pki.front_proxy.certificate.clone().into(),
        ),
        (
            SERVICE_ACCOUNT_KEY.to_owned(),
            pki.service_account.private.clone(),
        ),
    ]);
    if let Some(key) = &pki.cluster.key {
        files.insert(CA[1].to_owned(), key.clone());
    }
    files
}

fn flags(loaded: &Loaded, pki: &Pki) -> Flags {
    let configuration = &loaded.configuration;
    let networking = &configuration.networking;
    let kubeconfig = secret(KUBECONFIG);
    let mut flags = Flags::new(Program::ControllerManager.name());
    flags
        .set("kubeconfig", &kubeconfig)
        .set("authentication-kubeconfig", &kubeconfig)
        .set("authorization-kubeconfig", &kubeconfig)
        .set("bind-address", "127.0.0.1")
        .set(
            "secure-port",
            loaded.port(Program::ControllerManager).to_string(),
        )
        .set_because(
            "permit-port-sharing",
            "true",
            "The injected controller manager and the self-hosted one run side by side for a while.",
        )
        .set("leader-elect", "true");
    if gives_up_its_lease(loaded) {
        flags.set_because(
            "feature-gates",
            "ControllerManagerReleaseLeaderElectionLockOnExit=true",
            "It gives up its lease when it stops, so that the next one need not wait for 15 s.",
        );
    }
    flags
        .set("client-ca-file", secret(CA[0]))
        .set("requestheader-client-ca-file", secret(FRONT_PROXY_CA))
        .set("root-ca-file", secret(CA[0]))
        .set(
            "service-account-private-key-file",
            secret(SERVICE_ACCOUNT_KEY),
        )
        .set("use-service-account-credentials", "true")
        .set("controllers", "*,bootstrapsigner,tokencleaner");
    // Without the authority's key nobody in the cluster signs.
    if pki.cluster.key.is_some() {
        flags
            .set("cluster-signing-cert-file", secret(CA[0]))
            .set("cluster-signing-key-file", secret(CA[1]));
    }
    if let Some(pods) = &networking.pod_subnet {
        flags
            .set("allocate-node-cidrs", "true")
            .set("cluster-cidr", pods)
            .set("service-cluster-ip-range", &networking.service_subnet);
    }
    flags
        .set("cluster-name", &configuration.name)
        .extra(&configuration.controller_manager.extra_args);
    flags
}

/// Whether this version has the feature gate for it. The scheduler does it in all versions.
fn gives_up_its_lease(loaded: &Loaded) -> bool {
    let version = &loaded.version;
    (version.major, version.minor) >= (1, 36)
}
