//! What is applied as soon as the API answers, before any node registers.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Map, Value, json};

use crate::cluster::{
    Loaded, Pki,
    configuration::AdmittedKubelet,
    pki::BootstrapToken,
    programs::NAMESPACE,
    render::{Files, RenderError},
    yaml,
};

/// The group that kubeadm's users know for nodes with a bootstrap token.
const BOOTSTRAPPERS: &str = "system:bootstrappers:kubeadm:default-node-token";

/// `NN-*.yaml`.
pub(in crate::cluster) fn bootstrap(loaded: &Loaded, pki: &Pki) -> Result<Files, RenderError> {
    let mut out = Files::from([(
        "10-kubeadm-rbac.yaml".to_owned(),
        yaml::file(
            "Roles and bindings under the names that kubeadm gives them.",
            &kubeadm_rbac(),
        ),
    )]);
    if loaded.configuration.kubelet.admission != AdmittedKubelet::BootstrapToken {
        return Ok(out);
    }
    if pki.cluster.key.is_none() {
        return Err(RenderError::Field {
            field: "kubelet.admission".to_owned(),
            message: "with bootstrapToken the controller manager signs the kubelets' certificates, and pki/ca.key is not \
                      there; give the key, or choose certificate"
                .to_owned(),
        });
    }
    if let Some(token) = &pki.bootstrap_token {
        out.insert(
            "20-bootstrap-token.yaml".to_owned(),
            yaml::file(
                "With which kubelets ask for their first certificate. Delete it when all nodes have joined.",
                &[bootstrap_token(token)],
            ),
        );
    }
    out.insert(
        "30-cluster-info.yaml".to_owned(),
        yaml::file(
            "Where the API is and which authority it has, for whoever has a token and nothing else: the controller manager \
             signs it with each token.",
            &cluster_info(loaded, pki),
        ),
    );
    Ok(out)
}

fn kubeadm_rbac() -> Vec<Value> {
    let group = |name: &str| subject("Group", name);
    vec![
        binding(
            "kubeadm:cluster-admins",
            "cluster-admin",
            &group("kubeadm:cluster-admins"),
        ),
        binding(
            "kubeadm:apiserver-kubelet-client",
            "system:kubelet-api-admin",
            &subject("User", "kube-apiserver-kubelet-client"),
        ),
        binding(
            "kubeadm:kubelet-bootstrap",
            "system:node-bootstrapper",
            &group(BOOTSTRAPPERS),
        ),
        binding(
            "kubeadm:node-autoapprove-bootstrap",
            "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
            &group(BOOTSTRAPPERS),
        ),
        binding(
            "kubeadm:node-autoapprove-certificate-rotation",
            "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
            &group("system:nodes"),
        ),
        cluster_role(
            "kubeadm:get-nodes",
            &json!([rule("", &["nodes"], &["get"])]),
        ),
        binding(
            "kubeadm:get-nodes",
            "kubeadm:get-nodes",
            &group(BOOTSTRAPPERS),
        ),
    ]
}

fn bootstrap_token(token: &BootstrapToken) -> Value {
    let mut data = Map::new();
    let mut entry = |key: &str, value: &str| {
        data.insert(key.to_owned(), BASE64_STANDARD.encode(value).into());
    };
    entry("token-id", &token.id);
    entry("token-secret", &token.secret);
    entry("description", "Made by seedpod render.");
    entry("usage-bootstrap-authentication", "true");
    entry("usage-bootstrap-signing", "true");
    entry("auth-extra-groups", BOOTSTRAPPERS);
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": format!("bootstrap-token-{}", token.id), "namespace": NAMESPACE},
        "type": "bootstrap.kubernetes.io/token",
        "data": data,
    })
}

fn cluster_info(loaded: &Loaded, pki: &Pki) -> Vec<Value> {
    const NAME: &str = "kubeadm:bootstrap-signer-clusterinfo";
    let kubeconfig = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": "",
            "cluster": {
                "certificate-authority-data": BASE64_STANDARD.encode(&pki.cluster.certificate),
                "server": loaded.endpoint.to_string(),
            },
        }],
    });
    let metadata = |name: &str| json!({"name": name, "namespace": "kube-public"});
    let mut read = rule("", &["configmaps"], &["get"]);
    read["resourceNames"] = json!(["cluster-info"]);
    vec![
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata("cluster-info"),
            "data": {"kubeconfig": yaml::text_of(&kubeconfig)},
        }),
        json!({
            "apiVersion": RBAC,
            "kind": "Role",
            "metadata": metadata(NAME),
            "rules": [read],
        }),
        json!({
            "apiVersion": RBAC,
            "kind": "RoleBinding",
            "metadata": metadata(NAME),
            "roleRef": role_ref("Role", NAME),
            "subjects": [subject("User", "system:anonymous")],
        }),
    ]
}

const RBAC: &str = "rbac.authorization.k8s.io/v1";
const RBAC_GROUP: &str = "rbac.authorization.k8s.io";

fn binding(name: &str, role: &str, subject: &Value) -> Value {
    json!({
        "apiVersion": RBAC,
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": role_ref("ClusterRole", role),
        "subjects": [subject],
    })
}

fn cluster_role(name: &str, rules: &Value) -> Value {
    json!({
        "apiVersion": RBAC,
        "kind": "ClusterRole",
        "metadata": {"name": name},
        "rules": rules,
    })
}

fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> Value {
    json!({"apiGroups": [group], "resources": resources, "verbs": verbs})
}

fn role_ref(kind: &str, name: &str) -> Value {
    json!({"apiGroup": RBAC_GROUP, "kind": kind, "name": name})
}

fn subject(kind: &str, name: &str) -> Value {
    json!({"apiGroup": RBAC_GROUP, "kind": kind, "name": name})
}
