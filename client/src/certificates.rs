//! Authorities and the certificates that they issue.
//!
//! ```
//! use seedpod_client::certificates::{Authority, Request};
//!
//! # fn main() -> Result<(), seedpod_client::certificates::AuthorityError> {
//! let (authority, _issued) = Authority::create("Seedpod CA", 3650)?;
//! let request = Request::server("node-1", 365).names(["node-1.example", "10.0.0.7"])?;
//! let issued = authority.issue(&request)?;
//! assert!(issued.certificate.starts_with("-----BEGIN CERTIFICATE-----"));
//! # Ok(())
//! # }
//! ```
//!
//! Keys are ECDSA on P-256. Certificates are valid from an hour ago on, for machines whose clock is behind.

use std::{fmt, net::IpAddr};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData as _, SanType,
};
use time::{Duration, OffsetDateTime};
use x509_parser::{parse_x509_certificate, pem::parse_x509_pem};
use zeroize::Zeroizing;

/// Certificates are valid from a little before now on, for machines whose clock is behind.
const CLOCK_SKEW: Duration = Duration::hours(1);

/// A certificate with its key, that others are issued by.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    not_after: OffsetDateTime,
}

/// A certificate and its key.
#[derive(Clone)]
pub struct Issued {
    /// PEM.
    pub certificate: String,
    /// PEM of PKCS #8. It is wiped when it is dropped.
    pub key: Zeroizing<String>,
    /// Until when the certificate is valid, in seconds since 1970: as asked for, or until its authority's own end.
    pub not_after: i64,
    /// Whether it is the authority's end that makes it shorter than it was asked for.
    pub shortened: bool,
}

/// What a certificate is to say.
#[derive(Debug, Clone)]
pub struct Request {
    common_name: String,
    organization: Option<String>,
    names: Vec<SanType>,
    usages: Vec<ExtendedKeyUsagePurpose>,
    days: u32,
}

/// Why there is no authority, or no certificate of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityError {
    /// The text of the key is no key. What it is instead is not told, as it may be secret.
    #[error("it holds no private key in PEM form")]
    NotAKey,
    /// The text of the certificate is none.
    #[error("it is no certificate in PEM form")]
    NotACertificate,
    /// The certificate cannot sign others.
    #[error("it is not the certificate of a CA")]
    NotAnAuthority,
    /// The key is another certificate's.
    #[error("it is not the key of the certificate")]
    OtherKey,
    /// The authority is no longer valid.
    #[error("it has expired")]
    Expired,
    /// A certificate cannot be for this name.
    #[error("{0:?} is neither a DNS name nor an IP address")]
    NotASubject(String),
    /// The library that makes certificates failed.
    #[error("cannot make a certificate: {0}")]
    Failed(String),
}

impl Request {
    /// A certificate for a server. Without [`names`](Self::names) nobody accepts it.
    pub fn server(common_name: impl Into<String>, days: u32) -> Self {
        Self::new(common_name, days, vec![ExtendedKeyUsagePurpose::ServerAuth])
    }

    /// A certificate for a client.
    pub fn client(common_name: impl Into<String>, days: u32) -> Self {
        Self::new(common_name, days, vec![ExtendedKeyUsagePurpose::ClientAuth])
    }

    /// A certificate for a server that is a client of others of its kind too.
    pub fn peer(common_name: impl Into<String>, days: u32) -> Self {
        let usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        Self::new(common_name, days, usages)
    }

    fn new(
        common_name: impl Into<String>,
        days: u32,
        usages: Vec<ExtendedKeyUsagePurpose>,
    ) -> Self {
        Self {
            common_name: common_name.into(),
            organization: None,
            names: Vec::new(),
            usages,
            days,
        }
    }

    /// The Organization, which is a group to Kubernetes and a role to `seedpodd`.
    #[must_use]
    pub fn organization(mut self, organization: impl Into<String>) -> Self {
        self.organization = Some(organization.into());
        self
    }

    /// DNS names, perhaps with a leading `*.`, and addresses that the certificate is for.
    ///
    /// # Errors
    /// [`AuthorityError::NotASubject`].
    pub fn names<S: AsRef<str>>(
        mut self,
        names: impl IntoIterator<Item = S>,
    ) -> Result<Self, AuthorityError> {
        for name in names {
            let name = name.as_ref();
            let subject =
                subject(name).ok_or_else(|| AuthorityError::NotASubject(name.to_owned()))?;
            self.names.push(subject);
        }
        Ok(self)
    }
}

impl Authority {
    /// Makes a new one, whose certificate is signed by itself.
    ///
    /// # Errors
    /// [`AuthorityError::Failed`], when there are no random numbers.
    pub fn create(common_name: &str, days: u32) -> Result<(Self, Issued), AuthorityError> {
        Self::create_with(common_name, days, KeyPair::generate().map_err(failed)?)
    }

    /// Makes a new one for a key that is there.
    ///
    /// # Errors
    /// [`AuthorityError::NotAKey`].
    pub fn create_from_key(
        common_name: &str,
        days: u32,
        key: &str,
    ) -> Result<(Self, Issued), AuthorityError> {
        Self::create_with(common_name, days, read_key(key)?)
    }

    fn create_with(
        common_name: &str,
        days: u32,
        key: KeyPair,
    ) -> Result<(Self, Issued), AuthorityError> {
        let mut params = params(common_name, days);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let certificate = params.self_signed(&key).map_err(failed)?;
        let issued = Issued {
            certificate: certificate.pem(),
            key: Zeroizing::new(key.serialize_pem()),
            not_after: params.not_after.unix_timestamp(),
            shortened: false,
        };
        let not_after = params.not_after;
        let issuer = Issuer::new(params, key);
        Ok((Self { issuer, not_after }, issued))
    }

    /// Reads one: its certificate and its key, both PEM.
    ///
    /// # Errors
    /// [`AuthorityError`], which quotes neither.
    pub fn read(certificate: &str, key: &str) -> Result<Self, AuthorityError> {
        let key = read_key(key)?;
        let (_, block) =
            parse_x509_pem(certificate.as_bytes()).map_err(|_| AuthorityError::NotACertificate)?;
        let (_, parsed) =
            parse_x509_certificate(&block.contents).map_err(|_| AuthorityError::NotACertificate)?;
        if !parsed.is_ca() {
            return Err(AuthorityError::NotAnAuthority);
        }
        if parsed.public_key().raw != key.subject_public_key_info() {
            return Err(AuthorityError::OtherKey);
        }
        let not_after = parsed.validity().not_after.to_datetime();
        if not_after <= OffsetDateTime::now_utc() {
            return Err(AuthorityError::Expired);
        }
        let issuer = Issuer::from_ca_cert_pem(certificate, key)
            .map_err(|_| AuthorityError::NotACertificate)?;
        Ok(Self { issuer, not_after })
    }

    /// Until when it is valid, in seconds since 1970.
    pub fn not_after(&self) -> i64 {
        self.not_after.unix_timestamp()
    }

    /// Issues a certificate with a new key.
    ///
    /// # Errors
    /// [`AuthorityError::Failed`].
    pub fn issue(&self, request: &Request) -> Result<Issued, AuthorityError> {
        self.issue_with(request, &KeyPair::generate().map_err(failed)?)
    }

    /// Issues a certificate for a key that is there.
    ///
    /// # Errors
    /// [`AuthorityError::NotAKey`], [`AuthorityError::Failed`].
    pub fn issue_for_key(&self, request: &Request, key: &str) -> Result<Issued, AuthorityError> {
        self.issue_with(request, &read_key(key)?)
    }

    fn issue_with(&self, request: &Request, key: &KeyPair) -> Result<Issued, AuthorityError> {
        let Request {
            common_name,
            organization,
            names,
            usages,
            days,
        } = request;
        let mut params = params(common_name, *days);
        if let Some(organization) = organization {
            params
                .distinguished_name
                .push(DnType::OrganizationName, organization.clone());
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages.clone_from(usages);
        params.subject_alt_names.clone_from(names);
        params.use_authority_key_identifier_extension = true;
        let shortened = params.not_after > self.not_after;
        params.not_after = params.not_after.min(self.not_after);
        let certificate = params.signed_by(key, &self.issuer).map_err(failed)?;
        Ok(Issued {
            certificate: certificate.pem(),
            key: Zeroizing::new(key.serialize_pem()),
            not_after: params.not_after.unix_timestamp(),
            shortened,
        })
    }
}

impl fmt::Debug for Authority {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Issued {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued")
            .field("not_after", &self.not_after)
            .field("shortened", &self.shortened)
            .finish_non_exhaustive()
    }
}

/// What a certificate can be for, by the rules of those who check it, so that a name that could never match is refused
/// here. A leading `*.` is a wildcard.
pub(crate) fn subject(given: &str) -> Option<SanType> {
    if let Ok(address) = given.parse::<IpAddr>() {
        return Some(SanType::IpAddress(address));
    }
    let name = given.strip_prefix("*.").unwrap_or(given);
    rustls::pki_types::DnsName::try_from(name).ok()?;
    Some(SanType::DnsName(given.try_into().ok()?))
}

/// The cause is left out: it could quote the key.
pub(crate) fn read_key(pem: &str) -> Result<KeyPair, AuthorityError> {
    KeyPair::from_pem(pem).map_err(|_| AuthorityError::NotAKey)
}

fn params(common_name: &str, days: u32) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    let now = OffsetDateTime::now_utc();
    params.not_before = now - CLOCK_SKEW;
    params.not_after = now + Duration::days(days.into());
    params
}

#[allow(
    clippy::needless_pass_by_value,
    reason = "it is for Result::map_err, which gives values"
)]
fn failed(error: rcgen::Error) -> AuthorityError {
    AuthorityError::Failed(error.to_string())
}
