//! What keys and certificates a cluster has.

use std::{collections::BTreeMap, path::Path};

use rcgen::KeyPair as NewKey;
use zeroize::Zeroizing;

use super::{
    BootstrapToken, EtcdClient, EtcdMember, KeyPair, Pair, Pki,
    inspect::{self, Chain},
    shelf::{self, Shelf, Signer},
};
use crate::{
    certificates::{AuthorityError, Request},
    cluster::{
        AdmittedKubelet, ExternalEtcd, Loaded, NodeConfiguration,
        render::{NewFile, RenderError, Written},
    },
};

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
    let mut seen = std::collections::BTreeSet::new();
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

#[derive(Default)]
struct EtcdPki {
    authority: Option<super::Authority>,
    client: Option<EtcdClient>,
    members: BTreeMap<String, EtcdMember>,
    healthcheck: Option<Pair>,
}

fn etcd(loaded: &Loaded, shelf: &mut Shelf) -> Result<Option<EtcdPki>, RenderError> {
    let configuration = &loaded.configuration;
    if let Some(external) = &configuration.etcd.external {
        let client = external_client(external, shelf)?;
        return Ok(client.map(|client| EtcdPki {
            client,
            ..EtcdPki::default()
        }));
    }
    let (ca_days, days) = (
        configuration.certificates.ca_days,
        configuration.certificates.days,
    );
    let signer = shelf.authority("etcd/ca", "etcd-ca", ca_days)?;
    let ca = signer.as_ref();
    let mut members = BTreeMap::new();
    for node in loaded.etcd_members() {
        let name = &node.name;
        // Members ask each other as clients too, by their serving certificates.
        let wanted = Wanted::peer(name, local_names(node).to_vec(), days);
        let server = shelf.leaf(ca, &format!("etcd/server/{name}"), &wanted)?;
        let peer = shelf.leaf(ca, &format!("etcd/peer/{name}"), &wanted)?;
        let member = server
            .zip(peer)
            .map(|(server, peer)| EtcdMember { server, peer });
        members.insert(name.clone(), member);
    }
    let client = shelf.leaf(
        ca,
        "apiserver-etcd-client",
        &Wanted::client("kube-apiserver-etcd-client", days),
    )?;
    let healthcheck = shelf.leaf(
        ca,
        "etcd/healthcheck-client",
        &Wanted::client("kube-etcd-healthcheck-client", days),
    )?;
    let whole = || {
        let Signer { authority, .. } = signer?;
        let client = EtcdClient {
            ca: authority.certificate.clone(),
            pair: client?,
        };
        Some(EtcdPki {
            authority: Some(authority),
            client: Some(client),
            members: all(members)?,
            healthcheck: Some(healthcheck?),
        })
    };
    Ok(whole())
}

/// The outer `None` when something does not fit, the inner one when etcd is plain HTTP.
fn external_client(
    external: &ExternalEtcd,
    shelf: &mut Shelf,
) -> Result<Option<Option<EtcdClient>>, RenderError> {
    let ExternalEtcd {
        endpoints: _,
        ca_file: Some(ca_file),
        cert_file: Some(cert_file),
        key_file: Some(key_file),
    } = external
    else {
        return Ok(Some(None));
    };
    let mut unfit = |path: &Path, message: String| {
        let path = path.to_owned();
        shelf.unfit.push(super::UnfitFile { path, message });
    };
    let mut texts = Vec::new();
    for path in [ca_file, cert_file, key_file] {
        let text = shelf::read(path)?;
        if text.is_none() {
            unfit(
                path,
                "there is no such file; etcd.external names it".to_owned(),
            );
        }
        texts.extend(text);
    }
    let Ok([ca, certificate, key]) = <[Zeroizing<String>; 3]>::try_from(texts) else {
        return Ok(None);
    };
    let mut fittings = Vec::new();
    for (path, text) in [(ca_file, &ca), (cert_file, &certificate)] {
        let chain = Chain::read(text);
        let fitting = match &chain {
            None => Err("it is no certificate in PEM form".to_owned()),
            Some(chain) if path == ca_file => inspect::authority(chain),
            Some(chain) => inspect::foreign(chain),
        };
        match fitting {
            Ok(fitting) => fittings.push((path, fitting)),
            Err(message) => {
                unfit(path, format!("{message}; etcd.external names it"));
                continue;
            }
        }
        if let Some(chain) = chain.filter(|_| path == cert_file)
            && let Err(message) = inspect::key_of(&chain, &key)
        {
            unfit(key_file, format!("{message} {}", cert_file.display()));
        }
    }
    for (path, fitting) in fittings {
        shelf.note(path, &fitting);
    }
    Ok(shelf.unfit.is_empty().then(|| {
        let pair = Pair {
            certificate: certificate.to_string(),
            key,
        };
        let ca = ca.to_string();
        Some(EtcdClient { ca, pair })
    }))
}

fn service_account(shelf: &mut Shelf) -> Result<Option<KeyPair>, RenderError> {
    let private = shelf.read("sa.key")?;
    let public = shelf.read("sa.pub")?;
    let private = match private {
        Some(private) => private,
        None if public.is_some() => {
            shelf.unfit(
                "sa.key",
                "it is missing, and service account tokens are signed with it; bring it back, or remove sa.pub to have both \
                 made anew",
            );
            return Ok(None);
        }
        None => {
            let key = NewKey::generate().map_err(|error| RenderError::Issue {
                name: "sa.key".to_owned(),
                source: AuthorityError::Failed(error.to_string()),
            })?;
            let private = Zeroizing::new(key.serialize_pem());
            shelf.put("sa.key", private.clone(), Written::Made);
            private
        }
    };
    let Ok(key) = crate::certificates::read_key(&private) else {
        shelf.unfit(
            "sa.key",
            "it holds no private key in PEM form; bring it back, or remove it and sa.pub to have both made anew",
        );
        return Ok(None);
    };
    let public = match public {
        None => {
            let public = Zeroizing::new(key.public_key_pem());
            shelf.put("sa.pub", public.clone(), Written::Made);
            public
        }
        Some(public) => {
            if let Err(message) = inspect::key_pair(&private, &public) {
                shelf.unfit(
                    "sa.pub",
                    format!("{message}; remove it to have it made from sa.key"),
                );
                return Ok(None);
            }
            public
        }
    };
    Ok(Some(KeyPair {
        public: public.to_string(),
        private,
    }))
}

fn bootstrap_token(shelf: &mut Shelf) -> Result<Option<BootstrapToken>, RenderError> {
    const FILE: &str = "bootstrap-token";
    let text = match shelf.read(FILE)? {
        Some(text) => text,
        None if shelf.is_unfit(FILE) => return Ok(None),
        None => {
            let text = Zeroizing::new(format!("{}.{}\n", &*random(6)?, &*random(16)?));
            shelf.put(FILE, text.clone(), Written::Made);
            text
        }
    };
    let is_part = |part: &str, length| {
        part.len() == length
            && part
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    match text.trim_end().split_once('.') {
        Some((id, secret)) if is_part(id, 6) && is_part(secret, 16) => Ok(Some(BootstrapToken {
            id: id.to_owned(),
            secret: Zeroizing::new(secret.to_owned()),
        })),
        _ => {
            shelf.unfit(
                FILE,
                "it is no token, 6 and 16 lower-case letters and digits with a \".\" between them; remove it to have one made",
            );
            Ok(None)
        }
    }
}

/// So many lower-case letters and digits.
fn random(length: usize) -> Result<Zeroizing<String>, RenderError> {
    const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let mut text = Zeroizing::new(String::with_capacity(length));
    let mut bytes = Zeroizing::new([0_u8; 64]);
    while text.len() < length {
        provider
            .secure_random
            .fill(&mut *bytes)
            .map_err(|_| RenderError::Issue {
                name: "a bootstrap token".to_owned(),
                source: AuthorityError::Failed("the system gives no random numbers".to_owned()),
            })?;
        // What is left out makes all letters equally likely: 252 is 7 times 36.
        let fair = bytes.iter().filter(|byte| **byte < 252);
        for byte in fair.take(length - text.len()) {
            text.push(char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]));
        }
    }
    Ok(text)
}
