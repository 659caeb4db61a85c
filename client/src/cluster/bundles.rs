//! The bundles to inject: folders that stand by themselves, with manifests, a `seedpod.yaml`, and the plain files of which
//! that makes Secrets.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    Kubeconfigs, Loaded, NodeConfiguration, Pki,
    load::Program,
    objects,
    programs::{
        self, Form, NAMESPACE, Parts, SecretFiles, api_server, controller_manager, etcd, scheduler,
    },
    render::{Files, HandoffComponent, HandoffKind, NodeHandoff, RenderError},
    yaml,
};

/// The name of the bundle with a member of etcd.
pub const ETCD_BUNDLE: &str = "etcd";

/// The name of the bundle with the API server, the controller manager and the scheduler.
pub const CONTROL_PLANE_BUNDLE: &str = "control-plane";

/// A program of a bundle.
struct Member {
    program: Program,
    wave: u32,
    parts: Parts,
    files: SecretFiles,
}

/// The folder of a node's bundle `etcd`, with its `seedpod.yaml`.
pub(super) fn etcd_bundle(
    loaded: &Loaded,
    pki: &Pki,
    node: &NodeConfiguration,
) -> Result<Files, RenderError> {
    let member = Member {
        program: Program::Etcd,
        wave: 0,
        parts: etcd::parts(loaded, node),
        files: etcd::files(pki, &node.name),
    };
    Ok(folder(ETCD_BUNDLE, node, [member]))
}

/// The folder of a node's bundle `control-plane`, with its `seedpod.yaml`.
///
/// The controller manager and the scheduler end when the API server does not let them read yet, and the kubelet makes them
/// wait then: so they are in a later wave.
pub(super) fn control_plane_bundle(
    loaded: &Loaded,
    pki: &Pki,
    kubeconfigs: &Kubeconfigs,
    node: &NodeConfiguration,
) -> Result<Files, RenderError> {
    let form = Form::Injected(node);
    let members = [
        Member {
            program: Program::ApiServer,
            wave: 0,
            parts: api_server::parts(loaded, pki, form),
            files: api_server::files(pki, form),
        },
        Member {
            program: Program::ControllerManager,
            wave: 1,
            parts: controller_manager::parts(loaded, pki),
            files: controller_manager::files(pki, kubeconfigs),
        },
        Member {
            program: Program::Scheduler,
            wave: 1,
            parts: scheduler::parts(loaded),
            files: scheduler::files(kubeconfigs),
        },
    ];
    Ok(folder(CONTROL_PLANE_BUNDLE, node, members))
}

fn folder(
    bundle: &str,
    node: &NodeConfiguration,
    members: impl IntoIterator<Item = Member>,
) -> Files {
    let mut files = Files::new();
    let mut resources = Vec::new();
    let mut generators = Vec::new();
    for member in members {
        let name = member.program.name();
        let pod = programs::injected_pod(member.program, member.wave, member.parts);
        let manifest = format!("{name}.yaml");
        let comment = format!("{name} of node {}, as a static pod.", node.name);
        files.insert(manifest.clone(), yaml::file(&comment, &[pod]));
        resources.push(Value::from(manifest));
        let mut paths = Vec::new();
        for (file, text) in member.files {
            let path = format!("secrets/{name}/{file}");
            paths.push(Value::from(path.clone()));
            files.insert(path, text);
        }
        generators.push(json!({"name": name, "files": paths}));
    }
    let file = json!({
        "apiVersion": "seedpod.dev/v1alpha1",
        "kind": "BundleFolder",
        "bundle": bundle,
        "namespace": NAMESPACE,
        "resources": resources,
        "#secretGenerator": "Each file becomes a key of the Secret.",
        "secretGenerator": generators,
    });
    let comment = format!(
        "The bundle {bundle} of node {0}: seedpod inject bundles/{0}/{bundle} puts it there.\nMade by seedpod render, which \
         overwrites what is changed here.",
        node.name
    );
    files.insert("seedpod.yaml".to_owned(), yaml::file(&comment, &[file]));
    files
}

/// How a node of the control plane hands over.
pub(super) fn handoff(loaded: &Loaded, node: &NodeConfiguration) -> NodeHandoff {
    let component = |program: Program, kind| HandoffComponent {
        kind,
        injected_namespace: NAMESPACE.to_owned(),
        injected_pod: program.name().to_owned(),
        namespace: NAMESPACE.to_owned(),
        selector: objects::selector(program),
    };
    let leader_elected = |program: Program| {
        let lease = program.name().to_owned();
        component(program, HandoffKind::LeaderElected { lease })
    };
    let port = loaded.port(Program::ApiServer);
    NodeHandoff {
        node: node.name.clone(),
        bundle: CONTROL_PLANE_BUNDLE.to_owned(),
        components: vec![
            component(Program::ApiServer, HandoffKind::ApiServer { port }),
            leader_elected(Program::ControllerManager),
            leader_elected(Program::Scheduler),
        ],
        node_labels: BTreeMap::from([(
            objects::HANDOFF_LABEL[0].to_owned(),
            objects::HANDOFF_LABEL[1].to_owned(),
        )]),
    }
}
