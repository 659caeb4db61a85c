//! Who is at the other end of a connection.

use std::{
    borrow::Cow,
    fmt,
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use tokio::net::unix::UCred;
use x509_parser::{extensions::GeneralName, prelude::*};

use super::Role;

/// The most characters of a name that are kept, so that no certificate fills a log line.
const MAX_NAME: usize = 256;

/// Who is at the other end of a connection. An extension of each request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The certificate's URI or DNS name or CN; for a local user `root` or the uid.
    pub(crate) name: String,
    pub(crate) roles: Vec<Role>,
    pub(crate) peer: Peer,
    /// The certificate's serial number in hexadecimal. `None` for a local user.
    pub(crate) serial: Option<String>,
    /// When the certificate ends, and with it the connection.
    pub(super) not_after: Option<SystemTime>,
    /// Whether this is somebody whom the daemon has to do with at all.
    authenticated: bool,
}

/// From where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    Tcp(SocketAddr),
    Unix { uid: u32, pid: Option<i32> },
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix {
                uid,
                pid: Some(pid),
            } => write!(f, "unix:uid={uid},pid={pid}"),
            Self::Unix { uid, pid: None } => write!(f, "unix:uid={uid}"),
        }
    }
}

/// Why a verified certificate says nothing about who its owner is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdentityError {
    #[error("the client's certificate cannot be read")]
    Unreadable(#[source] X509Error),
    #[error("the client's certificate has no URI, DNS name or CN: issue one that names its owner")]
    Nameless,
}

impl Identity {
    /// The owner of a certificate that TLS has verified.
    pub(super) fn from_certificate(der: &[u8], peer: SocketAddr) -> Result<Self, IdentityError> {
        let (_, certificate) = X509Certificate::from_der(der)
            .map_err(|error| IdentityError::Unreadable(error.into()))?;
        let organizations = certificate.subject().iter_organization();
        let mut roles: Vec<_> = organizations
            .filter_map(|organization| Role::from_organization(organization.as_str().ok()?))
            .collect();
        roles.sort_unstable();
        roles.dedup();
        let not_after = u64::try_from(certificate.validity().not_after.timestamp()).unwrap_or(0);

        Ok(Self {
            name: name_of(&certificate).ok_or(IdentityError::Nameless)?,
            roles,
            peer: Peer::Tcp(peer),
            serial: Some(serial_of(&certificate)),
            not_after: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(not_after)),
            authenticated: true,
        })
    }

    /// The local user behind a Unix socket: root is admin, and so is the daemon's own user, who could do everything
    /// with its files anyway. Nobody else is known.
    pub(super) fn from_credentials(credentials: UCred) -> Self {
        Self::local(
            credentials.uid(),
            credentials.pid(),
            rustix::process::geteuid().as_raw(),
        )
    }

    fn local(uid: u32, pid: Option<i32>, own_uid: u32) -> Self {
        let known = uid == 0 || uid == own_uid;
        Self {
            name: if uid == 0 {
                "root".to_owned()
            } else {
                format!("uid {uid}")
            },
            roles: if known { vec![Role::Admin] } else { Vec::new() },
            peer: Peer::Unix { uid, pid },
            serial: None,
            not_after: None,
            authenticated: known,
        }
    }

    #[cfg(test)]
    pub(crate) fn for_tests(der: &[u8], peer: SocketAddr) -> Self {
        Self::from_certificate(der, peer).unwrap()
    }

    #[cfg(test)]
    pub(crate) fn stranger_for_tests() -> Self {
        Self::local(1001, None, 0)
    }

    /// Whether the daemon has to do with this client at all: without a role it may then still ask for health.
    pub(crate) fn is_authenticated(&self) -> bool {
        self.authenticated
    }

    /// What this client's connections and requests are counted under. A certificate that says "root" is not the
    /// node's root.
    pub(crate) fn counted_as(&self) -> Cow<'_, str> {
        match self.peer {
            Peer::Tcp(_) => Cow::Borrowed(&self.name),
            Peer::Unix { uid, .. } => Cow::Owned(format!("unix:uid={uid}")),
        }
    }

    /// Whether one of its roles is `needed` or above it.
    pub(crate) fn has_role(&self, needed: Role) -> bool {
        self.authenticated && self.roles.iter().any(|role| *role >= needed)
    }

    /// For logs and errors: the roles, or "none".
    pub(crate) fn roles_text(&self) -> String {
        if self.roles.is_empty() {
            return "none".to_owned();
        }
        self.roles
            .iter()
            .map(|role| role.as_str())
            .collect::<Vec<_>>()
            .join(",")
    }
}

/// The first URI name, else the first DNS name, else the first CN.
fn name_of(certificate: &X509Certificate<'_>) -> Option<String> {
    let names = certificate
        .subject_alternative_name()
        .ok()
        .flatten()
        .map(|extension| extension.value.general_names.as_slice())
        .unwrap_or_default();
    let uri = names.iter().find_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    let dns = || {
        names.iter().find_map(|name| match name {
            GeneralName::DNSName(dns) => Some(*dns),
            _ => None,
        })
    };
    let common = || {
        certificate
            .subject()
            .iter_common_name()
            .find_map(|name| name.as_str().ok())
    };

    uri.or_else(dns)
        .or_else(common)
        // What an authority signs is trusted as far as rights go, but it must not forge log lines.
        .map(|name| {
            name.chars()
                .filter(|c| !c.is_control())
                .take(MAX_NAME)
                .collect::<String>()
        })
        .filter(|name| !name.is_empty())
}

/// The digits that `openssl x509 -serial` shows, in lower case.
fn serial_of(certificate: &X509Certificate<'_>) -> String {
    let bytes = certificate.raw_serial();
    // DER puts a zero byte before a number whose highest bit is set.
    let bytes = match bytes {
        [0, rest @ ..] if !rest.is_empty() => rest,
        all => all,
    };
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use rcgen::{
        CertificateParams, DnType, DnValue, KeyPair, SanType, SerialNumber, string::Ia5String,
    };

    use super::*;

    fn peer() -> SocketAddr {
        "192.0.2.1:4000".parse().unwrap()
    }

    fn identity(change: impl FnOnce(&mut CertificateParams)) -> Result<Identity, IdentityError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        change(&mut params);
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        Identity::from_certificate(certificate.der(), peer())
    }

    fn ia5(text: &str) -> Ia5String {
        text.try_into().unwrap()
    }

    #[test]
    fn a_uri_names_the_client_before_a_dns_name_and_that_before_the_cn() {
        let cn = |params: &mut CertificateParams| {
            params.distinguished_name.push(DnType::CommonName, "cn");
        };
        let dns = |params: &mut CertificateParams| {
            cn(params);
            params
                .subject_alt_names
                .push(SanType::DnsName(ia5("dns.example")));
        };
        let uri = |params: &mut CertificateParams| {
            dns(params);
            params
                .subject_alt_names
                .push(SanType::URI(ia5("spiffe://example/installer")));
        };
        assert_eq!(identity(cn).unwrap().name, "cn");
        assert_eq!(identity(dns).unwrap().name, "dns.example");
        assert_eq!(identity(uri).unwrap().name, "spiffe://example/installer");
    }

    #[test]
    fn a_certificate_that_names_nobody_is_nobody() {
        assert!(matches!(identity(|_| ()), Err(IdentityError::Nameless)));
    }

    #[test]
    fn control_characters_do_not_get_into_names() {
        let name = identity(|params| {
            params.distinguished_name.push(
                DnType::CommonName,
                DnValue::Utf8String("a\nb\u{1b}[31m".to_owned()),
            );
        })
        .unwrap()
        .name;
        assert_eq!(name, "ab[31m");
    }

    #[test]
    fn roles_come_from_the_organization_and_others_are_ignored() {
        let with = |organization: &'static str| {
            identity(move |params| {
                params.distinguished_name.push(DnType::CommonName, "c");
                params
                    .distinguished_name
                    .push(DnType::OrganizationName, organization);
            })
            .unwrap()
        };
        assert_eq!(with("seedpod:reader").roles, [Role::Reader]);
        assert_eq!(with("seedpod:injector").roles, [Role::Injector]);
        assert_eq!(with("seedpod:admin").roles, [Role::Admin]);
        assert_eq!(with("system:masters").roles, []);
        assert_eq!(with("Seedpod:Admin").roles, []);
        assert!(with("seedpod:admin").has_role(Role::Reader));
        assert!(!with("seedpod:reader").has_role(Role::Injector));
        assert_eq!(with("x").roles_text(), "none");
    }

    #[test]
    fn the_serial_number_is_as_openssl_shows_it() {
        let serial = |bytes: Vec<u8>| {
            identity(move |params| {
                params.distinguished_name.push(DnType::CommonName, "c");
                params.serial_number = Some(SerialNumber::from(bytes));
            })
            .unwrap()
            .serial
            .unwrap()
        };
        assert_eq!(serial(vec![0x0a, 0xff]), "0aff");
        assert_eq!(serial(vec![0xf0, 0x01]), "f001");
    }

    #[test]
    fn root_and_the_daemons_own_user_are_admins_and_nobody_else_is_known() {
        for (uid, own, known) in [(0, 0, true), (0, 7, true), (7, 7, true), (8, 7, false)] {
            let identity = Identity::local(uid, Some(1), own);
            assert_eq!(identity.is_authenticated(), known, "{uid} {own}");
            assert_eq!(identity.has_role(Role::Admin), known, "{uid} {own}");
        }
        assert_eq!(
            Identity::local(7, Some(12), 0).peer.to_string(),
            "unix:uid=7,pid=12"
        );
    }
}
