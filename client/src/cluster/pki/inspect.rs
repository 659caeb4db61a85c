//! Whether a certificate that is there does what one that were made now would do.

use rcgen::PublicKeyData as _;
use time::OffsetDateTime;
use x509_parser::{
    certificate::X509Certificate,
    extensions::GeneralName,
    parse_x509_certificate,
    pem::Pem,
    prelude::{FromDer as _, SubjectPublicKeyInfo},
    public_key::PublicKey,
};

use super::make::Wanted;
use crate::certificates;

/// Certificates that end earlier than this many days from now are warned about.
const SOON: i64 = 30;

const DAY: i64 = 86_400;

/// A certificate's own bytes, and those of what signed it if that is in the same file, and so on.
pub(super) struct Chain(Vec<Vec<u8>>);

impl Chain {
    pub(super) fn read(pem: &str) -> Option<Self> {
        let blocks = Pem::iter_from_buffer(pem.as_bytes());
        let blocks: Vec<Pem> = blocks.collect::<Result<_, _>>().ok()?;
        let of_certificates = blocks.iter().all(|block| block.label == "CERTIFICATE");
        let chain = Self(blocks.into_iter().map(|block| block.contents).collect());
        let whole = chain
            .0
            .iter()
            .all(|der| parse_x509_certificate(der).is_ok());
        (of_certificates && whole && !chain.0.is_empty()).then_some(chain)
    }

    fn certificates(&self) -> impl Iterator<Item = X509Certificate<'_>> {
        let parsed = self.0.iter().map(|der| parse_x509_certificate(der));
        parsed.filter_map(|parsed| Some(parsed.ok()?.1))
    }

    fn first(&self) -> Option<X509Certificate<'_>> {
        self.certificates().next()
    }
}

/// What is told of a certificate that fits.
#[derive(Debug, Default)]
pub(super) struct Fitting {
    /// It is of use only so many more days.
    pub(super) ends_in_days: Option<i64>,
}

/// # Errors
/// Why it is of no use, without a remedy.
fn validity(certificate: &X509Certificate<'_>) -> Result<Fitting, String> {
    let validity = certificate.validity();
    let now = OffsetDateTime::now_utc().unix_timestamp();
    let (from, until) = (
        validity.not_before.timestamp(),
        validity.not_after.timestamp(),
    );
    let date = |seconds| {
        OffsetDateTime::from_unix_timestamp(seconds)
            .map_or_else(|_| "long ago".to_owned(), |time| time.date().to_string())
    };
    if until <= now {
        return Err(format!("it has expired on {}", date(until)));
    }
    if from > now {
        return Err(format!(
            "it is not valid before {}; see whether this machine's clock is right",
            date(from)
        ));
    }
    let days = (until - now) / DAY;
    Ok(Fitting {
        ends_in_days: (days < SOON).then_some(days),
    })
}

/// Whether it can sign others.
///
/// # Errors
/// Why it cannot.
pub(super) fn authority(chain: &Chain) -> Result<Fitting, String> {
    let certificate = chain.first().ok_or("it holds no certificate")?;
    if !certificate.is_ca() {
        return Err("it is not the certificate of a CA".to_owned());
    }
    validity(&certificate)
}

/// Whether the key is the certificate's.
///
/// # Errors
/// Why not.
pub(super) fn key_of(chain: &Chain, key: &str) -> Result<(), String> {
    let certificate = chain.first().ok_or("it holds no certificate")?;
    let key = certificates::read_key(key).map_err(|error| error.to_string())?;
    if certificate.public_key().raw != key.subject_public_key_info() {
        return Err("it is not the key of the certificate".to_owned());
    }
    Ok(())
}

/// Whether a certificate that is not the cluster's own business is one, and valid now.
pub(super) fn foreign(chain: &Chain) -> Result<Fitting, String> {
    let certificate = chain.first().ok_or("it holds no certificate")?;
    validity(&certificate)
}

/// Whether it is what is wanted, and from that authority.
///
/// # Errors
/// Why not.
pub(super) fn leaf(chain: &Chain, wanted: &Wanted, authority: &Chain) -> Result<Fitting, String> {
    let certificate = chain.first().ok_or("it holds no certificate")?;
    signed_by(chain, authority)?;
    subject(&certificate, wanted)?;
    usages(&certificate, wanted)?;
    names(&certificate, wanted)?;
    validity(&certificate)
}

/// Each of the chain is signed by the next one, and the last one by one of the authorities.
fn signed_by(chain: &Chain, authority: &Chain) -> Result<(), String> {
    let links: Vec<X509Certificate<'_>> = chain.certificates().collect();
    let signs = |issuer: &X509Certificate<'_>, subject: &X509Certificate<'_>| {
        issuer.is_ca()
            && issuer.subject() == subject.issuer()
            && subject.verify_signature(Some(issuer.public_key())).is_ok()
    };
    let linked = links.windows(2).all(|pair| signs(&pair[1], &pair[0]));
    let rooted = links.last().is_some_and(|last| {
        let mut roots = authority.certificates();
        roots.any(|root| signs(&root, last))
    });
    if linked && rooted {
        Ok(())
    } else {
        Err("it is not signed by the authority that is there".to_owned())
    }
}

fn subject(certificate: &X509Certificate<'_>, wanted: &Wanted) -> Result<(), String> {
    let subject = certificate.subject();
    let common_name = subject.iter_common_name().next();
    let common_name = common_name.and_then(|name| name.as_str().ok());
    if common_name != Some(&wanted.common_name) {
        return Err(format!(
            "its Common Name is {:?} instead of {:?}",
            common_name.unwrap_or_default(),
            wanted.common_name
        ));
    }
    if let Some(wanted) = wanted.organization {
        let mut organizations = subject.iter_organization();
        if !organizations.any(|name| name.as_str() == Ok(wanted)) {
            return Err(format!("its Organization is not {wanted:?}"));
        }
    }
    Ok(())
}

fn usages(certificate: &X509Certificate<'_>, wanted: &Wanted) -> Result<(), String> {
    let extended = certificate.extended_key_usage();
    let extended = extended.map_err(|_| "its extensions cannot be read".to_owned())?;
    let has = |usage: fn(&x509_parser::extensions::ExtendedKeyUsage<'_>) -> bool| {
        extended
            .as_ref()
            .is_some_and(|extension| extension.value.any || usage(extension.value))
    };
    if wanted.server && !has(|usage| usage.server_auth) {
        return Err("it is not for servers (extended key usage serverAuth)".to_owned());
    }
    if wanted.client && !has(|usage| usage.client_auth) {
        return Err("it is not for clients (extended key usage clientAuth)".to_owned());
    }
    Ok(())
}

fn names(certificate: &X509Certificate<'_>, wanted: &Wanted) -> Result<(), String> {
    let found = certificate.subject_alternative_name();
    let found = found.map_err(|_| "its extensions cannot be read".to_owned())?;
    let found = found.map_or(&[][..], |extension| &extension.value.general_names[..]);
    let has = |name: &str| {
        match name.parse() {
        Ok(std::net::IpAddr::V4(address)) => {
            found.contains(&GeneralName::IPAddress(&address.octets()))
        }
        Ok(std::net::IpAddr::V6(address)) => {
            found.contains(&GeneralName::IPAddress(&address.octets()))
        }
        Err(_) => found.iter().any(|found| {
            matches!(found, GeneralName::DNSName(found) if found.eq_ignore_ascii_case(name))
        }),
    }
    };
    let missing: Vec<&str> = wanted
        .names
        .iter()
        .map(String::as_str)
        .filter(|name| !has(name))
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(format!("it is not for {}", missing.join(", ")))
    }
}

/// Whether the private key's public half is among the public keys.
///
/// # Errors
/// Why not.
pub(super) fn key_pair(private: &str, public: &str) -> Result<(), String> {
    let key = certificates::read_key(private).map_err(|error| error.to_string())?;
    let own = key.subject_public_key_info();
    let own_rsa = SubjectPublicKeyInfo::from_der(&own);
    for block in Pem::iter_from_buffer(public.as_bytes()) {
        let block = block.map_err(|_| "it holds no public keys in PEM form".to_owned())?;
        let same = match block.label.as_str() {
            "PUBLIC KEY" => block.contents == own,
            // As older tools write RSA keys: without the name of the algorithm.
            "RSA PUBLIC KEY" => own_rsa.as_ref().is_ok_and(|(_, info)| {
                matches!(info.parsed(), Ok(PublicKey::RSA(_)))
                    && *info.subject_public_key.data == *block.contents
            }),
            _ => false,
        };
        if same {
            return Ok(());
        }
    }
    Err("the public half of sa.key is not in it".to_owned())
}
