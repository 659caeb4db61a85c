//! The server's side of TLS: 1.3 only, and a client certificate is required.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use rustls::{
    InconsistentKeys, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{NoServerSessionStorage, WebPkiClientVerifier},
};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::config::TlsFiles;

/// Why the TLS files cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("{key}: cannot read {}", path.display())]
    Read {
        key: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{key}: {} is not PEM with {wanted}", path.display())]
    Pem {
        key: &'static str,
        path: PathBuf,
        wanted: &'static str,
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    #[error("{key}: {} has no certificate", path.display())]
    Empty { key: &'static str, path: PathBuf },
    #[error(
        "tls.keyFile: {} is not the key of the certificate in {}",
        key.display(), certificate.display()
    )]
    Mismatch { key: PathBuf, certificate: PathBuf },
    #[error("tls.certFile, tls.keyFile: {} and its key cannot be used", path.display())]
    Certificate {
        path: PathBuf,
        #[source]
        source: rustls::Error,
    },
    #[error("tls.clientCAFile: a certificate in {} cannot be used as an authority", path.display())]
    Authority {
        path: PathBuf,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// What handshakes use now. Cheap to clone; all clones see a new one at once.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    files: TlsFiles,
    current: Arc<ArcSwap<Loaded>>,
}

/// One consistent state of the files.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) config: Arc<ServerConfig>,
    /// The end of the server's own certificate.
    pub(super) not_after: Option<Timestamp>,
    content: u64,
}

impl Credentials {
    /// Reads the files for the first time.
    pub(crate) fn load(files: &TlsFiles) -> Result<Self, TlsError> {
        let loaded = Pem::read(files)?.load(files)?;
        Ok(Self {
            files: files.clone(),
            current: Arc::new(ArcSwap::from_pointee(loaded)),
        })
    }

    /// Reads the files again and takes them if they differ and belong together. Returns whether anything changed.
    /// Established connections keep what they were made with.
    pub(super) fn refresh(&self) -> Result<bool, TlsError> {
        let pem = Pem::read(&self.files)?;
        if pem.content() == self.current().content {
            return Ok(false);
        }
        self.current.store(Arc::new(pem.load(&self.files)?));
        Ok(true)
    }

    pub(super) fn current(&self) -> Arc<Loaded> {
        self.current.load_full()
    }

    pub(super) fn files(&self) -> &TlsFiles {
        &self.files
    }
}

#[derive(Hash)]
struct Pem {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Vec<u8>,
}

impl Pem {
    fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let read = |key, path: &Path| {
            fs::read(path).map_err(|source| TlsError::Read {
                key,
                path: path.to_owned(),
                source,
            })
        };
        Ok(Self {
            certificate: read("tls.certFile", &files.cert_file)?,
            key: read("tls.keyFile", &files.key_file)?,
            client_ca: read("tls.clientCAFile", &files.client_ca_file)?,
        })
    }

    /// To see whether anything changed, without keeping a second copy of the key.
    fn content(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }

    fn load(&self, files: &TlsFiles) -> Result<Loaded, TlsError> {
        let chain = certificates("tls.certFile", &files.cert_file, &self.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|source| TlsError::Pem {
            key: "tls.keyFile",
            path: files.key_file.clone(),
            wanted: "a private key",
            source,
        })?;
        let not_after = chain.first().and_then(not_after);

        let authority = |source| TlsError::Authority {
            path: files.client_ca_file.clone(),
            source,
        };
        let mut roots = RootCertStore::empty();
        for root in certificates("tls.clientCAFile", &files.client_ca_file, &self.client_ca)? {
            roots.add(root).map_err(|error| authority(error.into()))?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .map_err(|error| authority(error.into()))?;

        let certificate = |source| match source {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => TlsError::Mismatch {
                key: files.key_file.clone(),
                certificate: files.cert_file.clone(),
            },
            source => TlsError::Certificate {
                path: files.cert_file.clone(),
                source,
            },
        };
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(certificate)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .map_err(certificate)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        // No resumption: a resumed session would skip the look at the client's certificate, and so outlive its end
        // or the authority's withdrawal. Installers connect rarely, so that nothing is lost.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Loaded {
            config: Arc::new(config),
            not_after,
            content: self.content(),
        })
    }
}

fn certificates(
    key: &'static str,
    path: &Path,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| TlsError::Pem {
            key,
            path: path.to_owned(),
            wanted: "certificates",
            source,
        })?;
    if certificates.is_empty() {
        return Err(TlsError::Empty {
            key,
            path: path.to_owned(),
        });
    }
    Ok(certificates)
}

fn not_after(certificate: &CertificateDer<'_>) -> Option<Timestamp> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()
}
