//! Issuing a certificate.

use std::{fmt::Write as _, fs, net::IpAddr, path::Path};

use anstream::eprintln;
use anyhow::Context as _;
use rcgen::{
    DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData as _, SanType,
};
use time::OffsetDateTime;
use x509_parser::{parse_x509_certificate, pem::parse_x509_pem};

use super::{LONGEST_NAME, params, store};
use crate::cli::{
    args::{PkiIssueArgs, Role},
    exit::Usage,
    output,
};

pub(super) fn run(args: PkiIssueArgs) -> anyhow::Result<()> {
    let PkiIssueArgs {
        dir,
        name,
        role,
        mut san,
        days,
        force,
    } = args;
    check_name(&name)?;
    if role == Role::Server && san.is_empty() {
        san.push(name.clone());
    }
    let names = san
        .iter()
        .map(|name| parse_san(name))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let (issuer, ca_until) = load_ca(&dir)?;

    let mut params = params(&name, days);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    params.subject_alt_names = names;
    params.extended_key_usages = match organization(role) {
        Some(organization) => {
            params
                .distinguished_name
                .push(DnType::OrganizationName, organization);
            vec![ExtendedKeyUsagePurpose::ClientAuth]
        }
        None => vec![ExtendedKeyUsagePurpose::ServerAuth],
    };
    if params.not_after > ca_until {
        params.not_after = ca_until;
        eprintln!("The CA is not valid for {days} more days; the certificate ends with it.");
    }
    let until = params.not_after.date();
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &issuer)?;
    store(&dir, &name, &certificate.pem(), &key.serialize_pem(), force)?;

    let what = match organization(role) {
        Some(organization) => {
            format!("Client certificate for {name:?} with the role {organization}")
        }
        None => format!("Server certificate for {}", san.join(", ")),
    };
    eprintln!("{what}, valid until {until}:");
    output::print(&format!("{0}/{name}.crt\n{0}/{name}.key\n", dir.display()))?;
    eprintln!("{}", advice(&dir, &name, role, san.first())?);
    Ok(())
}

/// The Organization by which the daemon knows what a client may do.
fn organization(role: Role) -> Option<&'static str> {
    match role {
        Role::Admin => Some("seedpod:admin"),
        Role::Injector => Some("seedpod:injector"),
        Role::Reader => Some("seedpod:reader"),
        Role::Server => None,
    }
}

/// The name becomes a file's name.
fn check_name(name: &str) -> anyhow::Result<()> {
    let safe = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if name.is_empty() || name.len() > LONGEST_NAME || !safe || name.starts_with(['.', '-']) {
        let message = format!(
            "--name {name:?} must be 1 to {LONGEST_NAME} letters, digits, \".\", \"_\" and \"-\", and begin with a \
             letter or digit"
        );
        return Err(Usage(message).into());
    }
    if name == "ca" {
        return Err(
            Usage("--name ca would overwrite the CA; choose another name".to_owned()).into(),
        );
    }
    Ok(())
}

fn parse_san(given: &str) -> anyhow::Result<SanType> {
    let refuse = || {
        Usage(format!(
            "--san {given:?} is neither a DNS name nor an IP address"
        ))
    };
    if let Ok(address) = given.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    // The rules of those who check the certificate, so that a name that could never match is refused here. A leading
    // "*." is a wildcard.
    let name = given.strip_prefix("*.").unwrap_or(given);
    rustls::pki_types::DnsName::try_from(name).map_err(|_| refuse())?;
    Ok(SanType::DnsName(given.try_into().map_err(|_| refuse())?))
}

fn load_ca(dir: &Path) -> anyhow::Result<(Issuer<'static, KeyPair>, OffsetDateTime)> {
    let (certificate_file, key_file) = (dir.join("ca.crt"), dir.join("ca.key"));
    let read = |path: &Path| {
        fs::read_to_string(path).with_context(|| {
            format!(
                "cannot read {} (`seedpod pki init {}` makes a CA)",
                path.display(),
                dir.display()
            )
        })
    };
    let (pem, key) = (read(&certificate_file)?, read(&key_file)?);
    // The cause is left out: it could quote the key.
    let key = KeyPair::from_pem(&key)
        .map_err(|_| anyhow::anyhow!("{} holds no private key in PEM form", key_file.display()))?;

    let not_one = || {
        format!(
            "{} is no certificate in PEM form",
            certificate_file.display()
        )
    };
    let (_, block) = parse_x509_pem(pem.as_bytes()).with_context(not_one)?;
    let (_, certificate) = parse_x509_certificate(&block.contents).with_context(not_one)?;
    if !certificate.is_ca() {
        anyhow::bail!(
            "{} is not the certificate of a CA",
            certificate_file.display()
        );
    }
    if certificate.public_key().raw != key.subject_public_key_info() {
        anyhow::bail!(
            "{} is not the key of {}",
            key_file.display(),
            certificate_file.display()
        );
    }
    let until = certificate.validity().not_after.to_datetime();
    if until <= OffsetDateTime::now_utc() {
        anyhow::bail!(
            "{} has expired; make a new CA with `seedpod pki init`",
            certificate_file.display()
        );
    }
    let issuer = Issuer::from_ca_cert_pem(&pem, key).with_context(not_one)?;
    Ok((issuer, until))
}

/// What to do with the files.
fn advice(dir: &Path, name: &str, role: Role, host: Option<&String>) -> anyhow::Result<String> {
    let mut text = String::new();
    if role == Role::Server {
        writeln!(
            text,
            "Copy them and ca.crt to the node, and write into its /etc/seedpod/config.yaml:"
        )?;
        writeln!(text, "  tls:")?;
        writeln!(text, "    certFile: /etc/seedpod/pki/{name}.crt")?;
        writeln!(text, "    keyFile: /etc/seedpod/pki/{name}.key")?;
        write!(text, "    clientCAFile: /etc/seedpod/pki/ca.crt")?;
        return Ok(text);
    }
    let dir = std::path::absolute(dir)?;
    let dir = dir.display();
    let host = host
        .filter(|_| role == Role::Server)
        .map_or("NODE", String::as_str);
    writeln!(text, "To use them:")?;
    writeln!(
        text,
        "  seedpod config set-context NODE --endpoint https://{host}:10290 \\"
    )?;
    write!(
        text,
        "    --ca-file {dir}/ca.crt --cert-file {dir}/{name}.crt --key-file {dir}/{name}.key"
    )?;
    Ok(text)
}
