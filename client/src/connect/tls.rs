//! From PEM to a TLS configuration.

use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

use super::wrong;
use crate::{Error, Options, options::Pem};

/// TLS 1.3 only, with the client's certificate, and `h2` as the protocol.
///
/// # Errors
/// [`Error::Options`] when a certificate or the key is missing or of no use.
pub(super) fn config(options: &Options) -> Result<ClientConfig, Error> {
    let ca = required(
        options.ca.as_ref(),
        "ca",
        "the CA of the server's certificate is required over TCP",
    )?;
    let chain = required(
        options.certificate.as_ref(),
        "certificate",
        "a client certificate is required over TCP",
    )?;
    let key = required(
        options.key.as_ref(),
        "key",
        "the client certificate's key is required over TCP",
    )?;

    let mut roots = RootCertStore::empty();
    for certificate in certificates(&ca, "ca")? {
        roots.add(certificate).map_err(|error| {
            wrong(
                "ca",
                "a certificate in it cannot be used".to_owned(),
                Some(error.into()),
            )
        })?;
    }
    let chain = certificates(&chain, "certificate")?;
    // The cause is left out: it could quote the file.
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|_| {
        wrong(
            "key",
            "there is no private key in PEM form in it".to_owned(),
            None,
        )
    })?;

    // The provider is named, since a process may hold several and has no default until somebody installs one.
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| {
            wrong(
                "tls",
                "TLS 1.3 is not available".to_owned(),
                Some(error.into()),
            )
        })?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .map_err(|error| {
            wrong(
                "key",
                "it does not fit the client certificate".to_owned(),
                Some(error.into()),
            )
        })?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn required(pem: Option<&Pem>, option: &'static str, message: &str) -> Result<Vec<u8>, Error> {
    pem.ok_or_else(|| wrong(option, message.to_owned(), None))?
        .read(option)
}

fn certificates(pem: &[u8], option: &'static str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(option, "it is not PEM".to_owned(), Some(error.into())))?;
    if found.is_empty() {
        return Err(wrong(
            option,
            "there is no certificate in PEM form in it".to_owned(),
            None,
        ));
    }
    Ok(found)
}
