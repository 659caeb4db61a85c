//! The objects to apply.

mod addons;
mod bootstrap;
mod workloads;

use std::collections::BTreeMap;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Map, Value, json};

pub(super) use addons::check_addon;
pub(super) use bootstrap::bootstrap;

use super::{
    Kubeconfigs, Loaded, Pki, digest,
    load::Program,
    programs::{Form, NAMESPACE, SecretFiles, api_server, controller_manager, scheduler},
    render::{Files, RenderError},
    yaml,
};

/// The label that lets a node have its self-hosted pods. It gets it when its turn in the handoff has come.
pub(super) const HANDOFF_LABEL: [&str; 2] = ["seedpod.dev/self-hosted", "control-plane"];

/// The programs that are self-hosted.
const SELF_HOSTED: [Program; 3] = [
    Program::ApiServer,
    Program::ControllerManager,
    Program::Scheduler,
];

/// The labels that the self-hosted pods of a program have, and the injected ones have not.
pub(super) fn selector(program: Program) -> BTreeMap<String, String> {
    BTreeMap::from([("k8s-app".to_owned(), program.name().to_owned())])
}

/// The self-hosted control plane: `NN-*.yaml`.
pub(super) fn self_hosted(
    loaded: &Loaded,
    pki: &Pki,
    kubeconfigs: &Kubeconfigs,
) -> Result<Files, RenderError> {
    let secrets = SELF_HOSTED.map(|program| secret(program, &files(program, pki, kubeconfigs)));
    let accounts = SELF_HOSTED.map(service_account);
    let mut out = Files::from([
        (
            "10-secrets.yaml".to_owned(),
            yaml::file(
                "What the self-hosted programs read: as secret as the authority of the cluster.",
                &secrets,
            ),
        ),
        (
            "20-service-accounts.yaml".to_owned(),
            yaml::file(
                "Identities of the pods in the cluster. Their programs have certificates of their own, so none gets a token.",
                &accounts,
            ),
        ),
        (
            "30-kube-apiserver.yaml".to_owned(),
            yaml::file(
                "The API servers, one on each node of the control plane that has been handed over.",
                &[workloads::daemon_set(
                    Program::ApiServer,
                    api_server::parts(loaded, pki, Form::SelfHosted),
                    &secret_digest(&api_server::common_files(pki)),
                )],
            ),
        ),
    ]);
    let configuration = &loaded.configuration;
    for (number, program, component, parts) in [
        (
            40,
            Program::ControllerManager,
            &configuration.controller_manager,
            controller_manager::parts(loaded, pki),
        ),
        (
            50,
            Program::Scheduler,
            &configuration.scheduler,
            scheduler::parts(loaded),
        ),
    ] {
        let nodes = u32::try_from(loaded.control_plane().count()).unwrap_or(u32::MAX);
        let replicas = loaded.replicas(component);
        if replicas < nodes {
            let field = match program {
                Program::Scheduler => "scheduler.replicas",
                _ => "controllerManager.replicas",
            };
            return Err(RenderError::Field {
                field: field.to_owned(),
                message: format!(
                    "{replicas} is too few: each of the {nodes} nodes of the control plane hands over to a pod of its \
                     own; leave the field out, or give {nodes} or more"
                ),
            });
        }
        let budget = workloads::disruption_budget(program, replicas);
        let digest = secret_digest(&files(program, pki, kubeconfigs));
        let deployment = workloads::deployment(program, parts, &digest, replicas, nodes);
        let name = program.name();
        out.insert(
            format!("{number}-{name}.yaml"),
            yaml::file(
                &format!("{name}: one of its pods works, the others wait for its lease."),
                &[budget, deployment],
            ),
        );
    }
    Ok(out)
}

fn files(program: Program, pki: &Pki, kubeconfigs: &Kubeconfigs) -> SecretFiles {
    match program {
        Program::ApiServer => api_server::files(pki, Form::SelfHosted),
        Program::ControllerManager => controller_manager::files(pki, kubeconfigs),
        Program::Scheduler => scheduler::files(kubeconfigs),
        Program::Etcd => SecretFiles::new(),
    }
}

/// `sha256:` and the digest of files with their names. Nobody finds a key by it.
fn secret_digest(files: &SecretFiles) -> String {
    let parts = files.iter();
    let parts = parts.flat_map(|(name, text)| [name.as_bytes(), text.as_bytes()]);
    let bytes = digest::of_parts(parts);
    let hex = bytes.iter().map(|byte| format!("{byte:02x}"));
    hex.fold("sha256:".to_owned(), |text, byte| text + &byte)
}

fn secret(program: Program, files: &SecretFiles) -> Value {
    let data: Map<String, Value> = files
        .iter()
        .map(|(file, text)| (file.clone(), BASE64_STANDARD.encode(text.as_bytes()).into()))
        .collect();
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": program.name(),
            "namespace": NAMESPACE,
            "labels": selector(program),
        },
        "type": "Opaque",
        "data": data,
    })
}

fn service_account(program: Program) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {
            "name": program.name(),
            "namespace": NAMESPACE,
            "labels": selector(program),
        },
        "automountServiceAccountToken": false,
    })
}
