//! Keys and certificates for etcd: of members that are injected, or those with which an external one is reached.

use std::{collections::BTreeMap, path::Path};

use zeroize::Zeroizing;

use super::{Wanted, all, local_names};
use crate::cluster::{
    Authority, EtcdClient, EtcdMember, ExternalEtcd, Loaded, Pair,
    pki::{
        inspect::{self, Chain},
        shelf::{self, Shelf, Signer},
    },
    render::{RenderError, UnfitFile},
};

#[derive(Default)]
pub(super) struct EtcdPki {
    pub(super) authority: Option<Authority>,
    pub(super) client: Option<EtcdClient>,
    pub(super) members: BTreeMap<String, EtcdMember>,
    pub(super) healthcheck: Option<Pair>,
}

/// `None` when something does not fit, which is noted.
pub(super) fn etcd(loaded: &Loaded, shelf: &mut Shelf) -> Result<Option<EtcdPki>, RenderError> {
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
        shelf.unfit.push(UnfitFile { path, message });
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
