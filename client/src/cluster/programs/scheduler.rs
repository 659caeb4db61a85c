//! kube-scheduler.

use serde_json::json;

use super::{
    Endpoint, KUBECONFIG, Parts, SecretFiles, container, extra_volumes::mount, joined,
    no_capabilities, secret, secret_volume,
};
use crate::cluster::{Kubeconfigs, Loaded, flags::Flags, load::Program};

/// The same for both forms.
pub(in crate::cluster) fn parts(loaded: &Loaded) -> Parts {
    let health = Endpoint {
        host: "127.0.0.1",
        port: loaded.port(Program::Scheduler),
        scheme: "HTTPS",
    };
    let more = joined(
        json!({
            "resources": {"requests": {"cpu": "100m"}},
            "securityContext": no_capabilities(),
        }),
        health.probes("/livez", "/readyz"),
    );
    let parts = Parts {
        container: container(loaded, Program::Scheduler, &flags(loaded), more),
        volumes: vec![secret_volume(Program::Scheduler)],
        security: json!({"seccompProfile": {"type": "RuntimeDefault"}}),
    };
    mount(parts, &loaded.configuration.scheduler.extra_volumes)
}

/// What the scheduler reads.
pub(in crate::cluster) fn files(kubeconfigs: &Kubeconfigs) -> SecretFiles {
    SecretFiles::from([(KUBECONFIG.to_owned(), kubeconfigs.scheduler.clone())])
}

fn flags(loaded: &Loaded) -> Flags {
    let configuration = &loaded.configuration;
    let kubeconfig = secret(KUBECONFIG);
    let mut flags = Flags::new(Program::Scheduler.name());
    flags
        .set("kubeconfig", &kubeconfig)
        .set("authentication-kubeconfig", &kubeconfig)
        .set("authorization-kubeconfig", &kubeconfig)
        .set("bind-address", "127.0.0.1")
        .set("secure-port", loaded.port(Program::Scheduler).to_string())
        .set_because(
            "permit-port-sharing",
            "true",
            "The injected scheduler and the self-hosted one run side by side for a while.",
        )
        .set("leader-elect", "true")
        .extra(&configuration.scheduler.extra_args);
    flags
}
