//! `seedpod pki`: a CA and certificates, so that nobody needs openssl to start.

mod issue;

use std::{fs, os::unix::fs::DirBuilderExt as _, path::Path};

use anstream::eprintln;
use anyhow::Context as _;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose,
};
use time::{Duration, OffsetDateTime};

use super::{
    args::{PkiArgs, PkiInitArgs, PkiWhat},
    exit::Usage,
    files::{self, Existing},
    output,
};

/// Certificates are valid from a little before now on, for nodes whose clock is behind.
const CLOCK_SKEW: Duration = Duration::hours(1);

/// X.520's limit for a Common Name.
const LONGEST_NAME: usize = 64;

pub(crate) fn run(args: PkiArgs) -> anyhow::Result<()> {
    match args.what {
        PkiWhat::Init(args) => init(args),
        PkiWhat::Issue(args) => issue::run(args),
    }
}

fn init(args: PkiInitArgs) -> anyhow::Result<()> {
    let PkiInitArgs {
        dir,
        ca_name,
        days,
        force,
    } = args;
    if ca_name.trim().is_empty() || ca_name.chars().count() > LONGEST_NAME {
        return Err(Usage(format!(
            "--ca-name must have 1 to {LONGEST_NAME} characters"
        ))
        .into());
    }
    // Private, as keys will be in it. One that is there already is left as it is.
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&dir)
        .with_context(|| format!("cannot make the directory {}", dir.display()))?;

    let mut params = params(&ca_name, days);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    let until = params.not_after;
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    store(&dir, "ca", &certificate.pem(), &key.serialize_pem(), force)?;

    eprintln!("CA {ca_name:?}, valid until {}:", until.date());
    output::print(&format!("{0}/ca.crt\n{0}/ca.key\n", dir.display()))?;
    eprintln!(
        "Keep ca.key to yourself. Next: `seedpod pki issue {} --name NAME --role ROLE`",
        dir.display()
    );
    Ok(())
}

fn params(name: &str, days: u32) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    let now = OffsetDateTime::now_utc();
    params.not_before = now - CLOCK_SKEW;
    params.not_after = now + Duration::days(days.into());
    params
}

/// Writes `NAME.key` (0600) and `NAME.crt` (0644). The key comes first: a certificate without its key would look done.
fn store(dir: &Path, name: &str, certificate: &str, key: &str, force: bool) -> anyhow::Result<()> {
    let (certificate_file, key_file) = (
        dir.join(format!("{name}.crt")),
        dir.join(format!("{name}.key")),
    );
    let existing = if force {
        Existing::Replace
    } else {
        Existing::Keep
    };
    for file in [&certificate_file, &key_file] {
        if !force && file.symlink_metadata().is_ok() {
            anyhow::bail!("{} is there already; --force overwrites it", file.display());
        }
    }
    files::write(&key_file, key.as_bytes(), 0o600, existing)?;
    files::write(&certificate_file, certificate.as_bytes(), 0o644, existing)
}
