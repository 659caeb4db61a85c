//! Kubeconfigs, with everything inline.

use std::{collections::BTreeMap, fmt};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use super::{Loaded, NodeConfiguration, Pair, Pki};

/// All kubeconfigs of a cluster.
#[derive(Clone)]
pub struct Kubeconfigs {
    /// `kubernetes-admin`, by the endpoint.
    pub admin: Zeroizing<String>,
    /// `seedpod:handoff`, by 127.0.0.1: for the seedpodd of any node of the control plane.
    pub handoff: Zeroizing<String>,
    /// `system:kube-controller-manager`, by 127.0.0.1.
    pub controller_manager: Zeroizing<String>,
    /// `system:kube-scheduler`, by 127.0.0.1.
    pub scheduler: Zeroizing<String>,
    /// Each node's kubelet: a kubeconfig, or a bootstrap kubeconfig when they bootstrap with a token.
    pub kubelets: BTreeMap<String, Zeroizing<String>>,
}

impl fmt::Debug for Kubeconfigs {
    /// Without anything of their content.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kubeconfigs").finish_non_exhaustive()
    }
}

/// How somebody proves who they are.
enum Credentials<'a> {
    Certificate(&'a Pair),
    Token(Zeroizing<String>),
}

impl Kubeconfigs {
    pub(super) fn new(loaded: &Loaded, pki: &Pki) -> Self {
        let local = loaded.local_server();
        let endpoint = loaded.endpoint.to_string();
        let of = |user: &str, server: &str, pair: &Pair| {
            kubeconfig(loaded, pki, user, server, &Credentials::Certificate(pair))
        };
        let nodes = loaded.configuration.nodes.iter();
        Self {
            admin: of("kubernetes-admin", &endpoint, &pki.admin),
            handoff: of("seedpod:handoff", &local, &pki.handoff),
            controller_manager: of(
                "system:kube-controller-manager",
                &local,
                &pki.controller_manager,
            ),
            scheduler: of("system:kube-scheduler", &local, &pki.scheduler),
            kubelets: nodes
                .filter_map(|node| Some((node.name.clone(), kubelet(loaded, pki, node)?)))
                .collect(),
        }
    }
}

/// A kubelet of the control plane uses the API server of its own node: it has to come up before there is any load
/// balancer, and is then never with an older API server than its own node's during an upgrade. kubeadm does so too. The
/// others use the endpoint.
fn kubelet(loaded: &Loaded, pki: &Pki, node: &NodeConfiguration) -> Option<Zeroizing<String>> {
    let server = if node.control_plane {
        loaded.local_server()
    } else {
        loaded.endpoint.to_string()
    };
    let name = &node.name;
    if let Some(token) = &pki.bootstrap_token {
        let text = Zeroizing::new(format!("{}.{}", token.id, &*token.secret));
        let credentials = Credentials::Token(text);
        return Some(kubeconfig(
            loaded,
            pki,
            "tls-bootstrap-token-user",
            &server,
            &credentials,
        ));
    }
    let pair = pki.kubelets.get(name)?;
    let credentials = Credentials::Certificate(pair);
    let user = format!("system:node:{name}");
    Some(kubeconfig(loaded, pki, &user, &server, &credentials))
}

/// Names of users, clusters and servers have been checked: none needs an escape in YAML's quotes.
fn kubeconfig(
    loaded: &Loaded,
    pki: &Pki,
    user: &str,
    server: &str,
    credentials: &Credentials<'_>,
) -> Zeroizing<String> {
    let cluster = &loaded.configuration.name;
    let ca = STANDARD.encode(&pki.cluster.certificate);
    let credentials = match credentials {
        Credentials::Certificate(pair) => {
            let key = Zeroizing::new(STANDARD.encode(pair.key.as_bytes()));
            Zeroizing::new(format!(
                "    client-certificate-data: {}\n    client-key-data: {}\n",
                STANDARD.encode(&pair.certificate),
                &*key
            ))
        }
        Credentials::Token(token) => Zeroizing::new(format!("    token: \"{}\"\n", &**token)),
    };
    let credentials = &*credentials;
    Zeroizing::new(format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: \"{cluster}\"\n  cluster:\n    certificate-authority-data: \
         {ca}\n    server: \"{server}\"\nusers:\n- name: \"{user}\"\n  user:\n{credentials}contexts:\n- name: \
         \"{user}@{cluster}\"\n  context:\n    cluster: \"{cluster}\"\n    user: \"{user}\"\ncurrent-context: \
         \"{user}@{cluster}\"\npreferences: {{}}\n"
    ))
}
