//! Certificates for tests: authorities, and what they issue.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use time::{Duration, OffsetDateTime};

/// A certificate authority.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// The files of a certificate and its key.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate, PEM.
    pub certificate: PathBuf,
    /// The private key, PEM, mode 0600.
    pub key: PathBuf,
}

/// What a certificate says.
#[derive(Clone, Debug, Default)]
pub struct Request {
    common_name: String,
    organizations: Vec<String>,
    names: Vec<String>,
    server: bool,
    expired: bool,
}

impl Request {
    /// A client's certificate. Seedpod's roles are organizations: `seedpod:admin`, `seedpod:injector`,
    /// `seedpod:reader`.
    #[must_use]
    pub fn client(common_name: &str, organization: &str) -> Self {
        Self {
            common_name: common_name.to_owned(),
            organizations: vec![organization.to_owned()],
            ..Self::default()
        }
    }

    /// A client's certificate without any organization, as Kubernetes' own users have.
    #[must_use]
    pub fn user(common_name: &str) -> Self {
        Self {
            common_name: common_name.to_owned(),
            ..Self::default()
        }
    }

    /// A server's certificate for these DNS names and IP addresses.
    #[must_use]
    pub fn server(common_name: &str, names: &[&str]) -> Self {
        Self {
            common_name: common_name.to_owned(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            server: true,
            ..Self::default()
        }
    }

    /// Makes the certificate one that expired yesterday.
    #[must_use]
    pub fn expired(mut self) -> Self {
        self.expired = true;
        self
    }

    fn params(&self) -> Result<CertificateParams> {
        let mut params = CertificateParams::new(self.names.clone())?;
        params
            .distinguished_name
            .push(DnType::CommonName, self.common_name.as_str());
        for organization in &self.organizations {
            params
                .distinguished_name
                .push(DnType::OrganizationName, organization.as_str());
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if self.server {
            params
                .extended_key_usages
                .push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        let now = OffsetDateTime::now_utc();
        let (from, to) = if self.expired { (-2, -1) } else { (-1, 30) };
        params.not_before = now + Duration::days(from);
        params.not_after = now + Duration::days(to);
        Ok(params)
    }
}

impl Authority {
    /// Makes a new authority.
    ///
    /// # Errors
    /// Fails when no key can be made.
    pub fn new(common_name: &str) -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = OffsetDateTime::now_utc() - Duration::days(3);
        params.not_after = OffsetDateTime::now_utc() + Duration::days(365);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        Ok(Self { issuer })
    }

    /// The authority's certificate, PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Writes the authority's certificate to a file.
    ///
    /// # Errors
    /// Fails when the file can't be written.
    pub fn write(&self, file: &Path) -> Result<()> {
        fs::write(file, self.pem()).with_context(|| format!("write {}", file.display()))
    }

    /// Issues a certificate and writes `NAME.crt` and `NAME.key` into a folder.
    ///
    /// # Errors
    /// Fails when a name is no DNS name and no IP address, or a file can't be written.
    pub fn issue(&self, folder: &Path, name: &str, request: &Request) -> Result<Identity> {
        let key = KeyPair::generate()?;
        let certificate = request.params()?.signed_by(&key, &self.issuer)?;
        let identity = Identity {
            certificate: folder.join(format!("{name}.crt")),
            key: folder.join(format!("{name}.key")),
        };
        fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        fs::write(&identity.certificate, certificate.pem())
            .with_context(|| format!("write {}", identity.certificate.display()))?;
        write_secret(&identity.key, &key.serialize_pem())?;
        Ok(identity)
    }
}

/// Writes a new key pair, as a service account issuer uses: the private and the public key, PEM.
pub(crate) fn write_key_pair(private: &Path, public: &Path) -> Result<()> {
    let key = KeyPair::generate()?;
    write_secret(private, &key.serialize_pem())?;
    fs::write(public, key.public_key_pem()).with_context(|| format!("write {}", public.display()))
}

fn write_secret(file: &Path, text: &str) -> Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = fs::File::options();
    options.create(true).write(true).truncate(true).mode(0o600);
    options
        .open(file)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("write {}", file.display()))
}
