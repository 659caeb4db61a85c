//! Everything below `DIR/pki`.
//!
//! `pki/make.rs` says what there is, `pki/shelf.rs` reads it or makes it, and `pki/inspect.rs` says whether what is there
//! does what it is for. Subjects, usages and names are those that kubeadm documents, and so are most names of files.

mod inspect;
mod make;
mod shelf;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fmt};

use zeroize::Zeroizing;

pub(super) use make::{Made, load_or_make};

/// Keys and certificates of a cluster, as PEM.
#[derive(Debug, Clone)]
pub struct Pki {
    /// Signs the API servers' certificates and those of all clients of the API.
    pub cluster: Authority,
    /// Signs what API servers show to aggregated ones.
    pub front_proxy: Authority,
    /// Signs the certificates of etcd and its clients. `None` when etcd is external.
    pub etcd: Option<Authority>,
    /// Signs the tokens of service accounts.
    pub service_account: KeyPair,
    /// The serving certificate of each node's injected API server.
    pub api_server: BTreeMap<String, Pair>,
    /// The one of each node's self-hosted API server: the same names, another serial number, so that one sees which of
    /// the two answers.
    pub api_server_self_hosted: BTreeMap<String, Pair>,
    /// By which all API servers are known to kubelets: the self-hosted ones have one Secret, so they share it.
    pub api_server_kubelet_client: Pair,
    /// By which all API servers are known to aggregated ones.
    pub front_proxy_client: Pair,
    /// How all API servers get to etcd. `None` when that is plain HTTP.
    pub etcd_client: Option<EtcdClient>,
    /// What each member of etcd has. Empty when etcd is external.
    pub etcd_members: BTreeMap<String, EtcdMember>,
    /// For people and probes that ask etcd how it is. `None` when etcd is external.
    pub etcd_healthcheck_client: Option<Pair>,
    /// The administrator of the cluster.
    pub admin: Pair,
    /// The nodes' seedpodds while they hand over.
    pub handoff: Pair,
    /// All controller managers.
    pub controller_manager: Pair,
    /// All schedulers.
    pub scheduler: Pair,
    /// Each node's kubelet. Empty when they bootstrap with a token.
    pub kubelets: BTreeMap<String, Pair>,
    /// With which kubelets ask for their first certificate.
    pub bootstrap_token: Option<BootstrapToken>,
}

/// A certificate, and its key.
#[derive(Clone)]
pub struct Pair {
    /// PEM.
    pub certificate: String,
    /// PEM of PKCS #8.
    pub key: Zeroizing<String>,
}

/// A certificate that signs others. Its key is not there when it is kept elsewhere.
#[derive(Clone)]
pub struct Authority {
    /// PEM.
    pub certificate: String,
    /// PEM of PKCS #8.
    pub key: Option<Zeroizing<String>>,
}

/// A key without a certificate.
#[derive(Clone)]
pub struct KeyPair {
    /// PEM.
    pub public: String,
    /// PEM of PKCS #8.
    pub private: Zeroizing<String>,
}

/// What a client of etcd has.
#[derive(Debug, Clone)]
pub struct EtcdClient {
    /// The authority of etcd's certificates, PEM.
    pub ca: String,
    /// The client's own.
    pub pair: Pair,
}

/// What a member of etcd has.
#[derive(Debug, Clone)]
pub struct EtcdMember {
    /// For its clients.
    pub server: Pair,
    /// For the other members.
    pub peer: Pair,
}

/// `ID.SECRET`.
#[derive(Clone)]
pub struct BootstrapToken {
    /// Its public part, 6 characters.
    pub id: String,
    /// Its secret part, 16 characters.
    pub secret: Zeroizing<String>,
}

macro_rules! debug_by_name {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            /// Without anything of its content.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    )*};
}
debug_by_name!(Pair, Authority, KeyPair, BootstrapToken);
