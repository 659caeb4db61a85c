//! Certificates, servers and clients for tests.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use hyper_util::rt::TokioIo;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::transport::{Channel, Endpoint};

use crate::config::{Configuration, Limits, Listen, TlsFiles};

/// How long a test waits for something that must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A certificate and its key, as PEM.
#[derive(Clone)]
pub(crate) struct Issued {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// A certificate authority.
pub(crate) struct Authority {
    pub(crate) certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        Self::named("test CA")
    }

    pub(crate) fn named(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        Self {
            certificate,
            issuer: Issuer::new(params, key),
        }
    }

    pub(crate) fn server(&self) -> Issued {
        self.issue(ExtendedKeyUsagePurpose::ServerAuth, |_| ())
    }

    pub(crate) fn client(&self, name: &str, organization: &str) -> Issued {
        self.issue(ExtendedKeyUsagePurpose::ClientAuth, |params| {
            params.distinguished_name.push(DnType::CommonName, name);
            params
                .distinguished_name
                .push(DnType::OrganizationName, organization);
            params.subject_alt_names.clear();
        })
    }

    pub(crate) fn issue(
        &self,
        usage: ExtendedKeyUsagePurpose,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Issued {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.extended_key_usages = vec![usage];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Issued {
            certificate,
            key: key.serialize_pem(),
        }
    }
}

/// A folder with the files of a server, and the authority that they are from.
pub(crate) struct Scene {
    pub(crate) folder: TempDir,
    pub(crate) authority: Authority,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let scene = Self {
            folder: tempfile::tempdir().unwrap(),
            authority: Authority::new(),
        };
        scene.install(&scene.authority.server());
        write(&scene.path("ca.crt"), &scene.authority.certificate);
        scene
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn files(&self) -> TlsFiles {
        TlsFiles {
            cert_file: self.path("server.crt"),
            key_file: self.path("server.key"),
            client_ca_file: self.path("ca.crt"),
        }
    }

    /// Puts a server's certificate in place.
    pub(crate) fn install(&self, server: &Issued) {
        write(&self.path("server.crt"), &server.certificate);
        write(&self.path("server.key"), &server.key);
    }

    /// TCP on port 0 and a Unix socket, all in the folder.
    pub(crate) fn configuration(&self) -> Configuration {
        Configuration {
            node_name: "n1".parse().unwrap(),
            static_pod_path: self.path("manifests"),
            state_directory: self.path("state"),
            volumes_directory: self.path("volumes"),
            encryption_key_file: None,
            container_runtime_endpoint: None,
            kubelet_root_directory: self.path("kubelet"),
            listen: Some(Listen {
                address: ([127, 0, 0, 1], 0).into(),
                tls: self.files(),
            }),
            socket_path: Some(self.path("s")),
            metrics_address: None,
            log: crate::config::Log::default(),
            limits: Limits::default(),
            projection: crate::config::Projection::default(),
            readiness: crate::config::Readiness::default(),
            kubelet_files: crate::config::KubeletFiles::default(),
            reset_directories: Vec::new(),
            kubelet_restart: None,
            node_ip: None,
            revision_history_limit: 10,
            trial_max_crashes: 3,
            max_events: 20_000,
            handoff: crate::config::Handoff::default(),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a test's own files")]
pub(crate) fn write(path: &Path, content: &str) {
    std::fs::write(path, content).unwrap();
}

/// What a client needs for TLS.
#[derive(Clone)]
pub(crate) struct ClientTls {
    config: Arc<ClientConfig>,
}

impl ClientTls {
    pub(crate) fn new(authority: &Authority, client: Option<&Issued>) -> Self {
        Self::with_versions(authority, client, &[&rustls::version::TLS13])
    }

    pub(crate) fn with_versions(
        authority: &Authority,
        client: Option<&Issued>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Self {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(authority.certificate.as_bytes()).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match client {
            Some(client) => builder
                .with_client_auth_cert(
                    vec![CertificateDer::from_pem_slice(client.certificate.as_bytes()).unwrap()],
                    PrivateKeyDer::from_pem_slice(client.key.as_bytes()).unwrap(),
                )
                .unwrap(),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Self {
            config: Arc::new(config),
        }
    }

    pub(crate) async fn handshake(
        &self,
        address: SocketAddr,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(address).await?;
        let connector = TlsConnector::from(Arc::clone(&self.config));
        connector
            .connect("localhost".try_into().unwrap(), stream)
            .await
    }

    /// A gRPC channel that connects when it is first used.
    pub(crate) fn channel(&self, address: SocketAddr) -> Channel {
        let tls = self.clone();
        lazy(move || {
            let tls = tls.clone();
            async move { tls.handshake(address).await.map(TokioIo::new) }
        })
    }
}

pub(crate) fn unix_channel(path: PathBuf) -> Channel {
    lazy(move || {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    })
}

fn lazy<F, Fut, S>(connect: F) -> Channel
where
    F: Fn() -> Fut + Send + 'static,
    Fut: Future<Output = std::io::Result<TokioIo<S>>> + Send + 'static,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    Endpoint::from_static("http://localhost")
        .connect_with_connector_lazy(tower::service_fn(move |_| connect()))
}

/// Waits until `condition` holds.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(waited.await.is_ok(), "in vain: {what}");
}
