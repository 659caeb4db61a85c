//! What keys and certificates a cluster has.

mod etcd;
mod secrets;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use super::{Pki, shelf::Shelf};
use crate::{
    certificates::{AuthorityError, Request},
    cluster::{
        AdmittedKubelet, Loaded, NodeConfiguration,
        render::{NewFile, RenderError},
    },
};
use etcd::etcd;
use secrets::{bootstrap_token, service_account};

/// The group that may do everything, whatever RBAC says: what bootstraps a cluster has to work before there is any.
const MASTERS: &str = "system:masters";

/// What a certificate has to say.
pub(super) struct Wanted {
    pub(super) common_name: String,
    pub(super) organization: Option<&'static str>,
    pub(super) names: Vec<String>,
    pub(super) server: bool,
    pub(super) client: bool,
    days: u32,
}

impl Wanted {
    fn client(common_name: impl Into<String>, days: u32) -> Self {
        Self {
            common_name: common_name.into(),
            organization: None,
            names: Vec::new(),
            server: false,
            client: true,
            days,
        }
    }

    fn of(self, organization: &'static str) -> Self {
        Self {
            organization: Some(organization),
            ..self
        }
    }

    fn server(common_name: impl Into<String>, names: Vec<String>, days: u32) -> Self {
        Self {
            names,
            server: true,
            client: false,
            ..Self::client(common_name, days)
        }
    }

    fn peer(common_name: impl Into<String>, names: Vec<String>, days: u32) -> Self {
        Self {
            client: true,
            ..Self::server(common_name, names, days)
        }
    }

    pub(super) fn request(&self) -> Result<Request, AuthorityError> {
        let Self {
            common_name,
            organization,
            names,
            server,
            client,
            days,
        } = self;
        let request = match (server, client) {
            (true, true) => Request::peer(common_name, *days),
            (true, false) => Request::server(common_name, *days),
            _ => Request::client(common_name, *days),
        };
        let request = match organization {
            Some(organization) => request.organization(*organization),
            None => request,
        };
        request.names(names)
    }
}

/// What was there or made, in the order in which it is to be written: what signs before what is signed.
pub(in crate::cluster) struct Made {
    pub(in crate::cluster) pki: Pki,
    pub(in crate::cluster) files: Vec<NewFile>,
    pub(in crate::cluster) warnings: Vec<String>,
}

/// Reads what is in `DIR/pki` and makes what is missing, in memory.
///
/// # Errors
/// [`RenderError::Unfit`] with everything that does not fit, [`RenderError::Read`].
pub(in crate::cluster) fn load_or_make(
    loaded: &Loaded,
    directory: &Path,
) -> Result<Made, RenderError> {
    let own = loaded.configuration.certificates.directory.clone();
    let mut shelf = Shelf::new(directory.join("pki"), own);
    let pki = make(loaded, &mut shelf)?;
    shelf.finish();
    let Shelf {
        files,
        unfit,
        warnings,
        ..
    } = shelf;
    match pki {
        Some(pki) if unfit.is_empty() => Ok(Made {
            pki,
            files,
            warnings,
        }),
        _ => Err(RenderError::Unfit { files: unfit }),
    }
}

/// Goes through all of it even when something does not fit, so that everything is told at once.
fn make(loaded: &Loaded, shelf: &mut Shelf) -> Result<Option<Pki>, RenderError> {
    let configuration = &loaded.configuration;
    let (ca_days, days) = (
        configuration.certificates.ca_days,
        configuration.certificates.days,
    );
    let cluster = shelf.authority("ca", "kubernetes", ca_days)?;
    let front_proxy = shelf.authority("front-proxy-ca", "front-proxy-ca", ca_days)?;
    let service_account = service_account(shelf)?;
    let etcd = etcd(loaded, shelf)?;

    let ca = cluster.as_ref();
    let mut serving = BTreeMap::new();
    let mut serving_self_hosted = BTreeMap::new();
    for node in loaded.control_plane() {
        let wanted = Wanted::server("kube-apiserver", serving_names(loaded, node), days);
        for (folder, pairs) in [
            ("apiserver", &mut serving),
            ("apiserver-self-hosted", &mut serving_self_hosted),
        ] {
            let pair = shelf.leaf(ca, &format!("{folder}/{}", node.name), &wanted)?;
            pairs.insert(node.name.clone(), pair);
        }
    }
    let mut token = None;
    let needs_token = configuration.kubelet.admission == AdmittedKubelet::BootstrapToken;
    if needs_token {
        token = bootstrap_token(shelf)?;
    }
    let mut client = |name: &str, wanted: Wanted| shelf.leaf(ca, name, &wanted);
    let kubelet_client = client(
        "apiserver-kubelet-client",
        Wanted::client("kube-apiserver-kubelet-client", days).of(MASTERS),
    )?;
    let admin = client(
        "admin",
        Wanted::client("kubernetes-admin", days).of(MASTERS),
    )?;
    let handoff = client(
        "handoff",
        Wanted::client("seedpod:handoff", days).of(MASTERS),
    )?;
    let controller_manager = client(
        "controller-manager",
        Wanted::client("system:kube-controller-manager", days),
    )?;
    let scheduler = client("scheduler", Wanted::client("system:kube-scheduler", days))?;
    let mut kubelets = BTreeMap::new();
    for NodeConfiguration { name, .. } in configuration.nodes.iter().filter(|_| !needs_token) {
        let wanted = Wanted::client(format!("system:node:{name}"), days).of("system:nodes");
        kubelets.insert(name.clone(), client(&format!("kubelet/{name}"), wanted)?);
    }
    let front_proxy_client = shelf.leaf(
        front_proxy.as_ref(),
        "front-proxy-client",
        &Wanted::client("front-proxy-client", days),
    )?;

    let whole = || {
        let etcd = etcd?;
        if needs_token && token.is_none() {
            return None;
        }
        Some(Pki {
            cluster: cluster?.authority,
            front_proxy: front_proxy?.authority,
            etcd: etcd.authority,
            service_account: service_account?,
            api_server: all(serving)?,
            api_server_self_hosted: all(serving_self_hosted)?,
            api_server_kubelet_client: kubelet_client?,
            front_proxy_client: front_proxy_client?,
            etcd_client: etcd.client,
            etcd_members: etcd.members,
            etcd_healthcheck_client: etcd.healthcheck,
            admin: admin?,
            handoff: handoff?,
            controller_manager: controller_manager?,
            scheduler: scheduler?,
            kubelets: all(kubelets)?,
            bootstrap_token: token,
        })
    };
    Ok(whole())
}

fn all<T>(of: BTreeMap<String, Option<T>>) -> Option<BTreeMap<String, T>> {
    let all = of.into_iter();
    all.map(|(name, value)| Some((name, value?))).collect()
}

/// By what an API server is called: by clients on its node, within pods, and from outside.
fn serving_names(loaded: &Loaded, node: &NodeConfiguration) -> Vec<String> {
    let domain = &loaded.configuration.networking.dns_domain;
    let mut names = vec![
        "kubernetes".to_owned(),
        "kubernetes.default".to_owned(),
        "kubernetes.default.svc".to_owned(),
        format!("kubernetes.default.svc.{domain}"),
    ];
    names.extend(local_names(node));
    let addresses = loaded.service_addresses().into_iter();
    names.extend(addresses.map(|address| address.to_string()));
    names.push(loaded.endpoint.host.clone());
    names.extend(loaded.configuration.api_server.cert_sans.iter().cloned());
    let mut seen = BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

fn local_names(node: &NodeConfiguration) -> [String; 5] {
    [
        "localhost".to_owned(),
        node.name.clone(),
        "127.0.0.1".to_owned(),
        "::1".to_owned(),
        node.address.to_string(),
    ]
}
