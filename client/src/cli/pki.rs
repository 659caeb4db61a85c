//! `seedpod pki`: a CA and certificates, so that nobody needs openssl to start.

mod issue;

use std::{fs, os::unix::fs::DirBuilderExt as _, path::Path};

use anstream::eprintln;
use anyhow::Context as _;
use seedpod_client::{
    certificates::{Authority, Issued},
    whole_file::Existing,
};
use time::{Date, OffsetDateTime};

use super::{
    args::{PkiArgs, PkiInitArgs, PkiWhat},
    exit::Usage,
    files, output,
};

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

    let (_, issued) = Authority::create(&ca_name, days)?;
    store(&dir, "ca", &issued, force)?;

    eprintln!("CA {ca_name:?}, valid until {}:", last_day(&issued)?);
    output::print(&format!("{0}/ca.crt\n{0}/ca.key\n", dir.display()))?;
    eprintln!(
        "Keep ca.key to yourself. Next: `seedpod pki issue {} --name NAME --role ROLE`",
        dir.display()
    );
    Ok(())
}

fn last_day(issued: &Issued) -> anyhow::Result<Date> {
    Ok(OffsetDateTime::from_unix_timestamp(issued.not_after)?.date())
}

/// Writes `NAME.key` (0600) and `NAME.crt` (0644). The key comes first: a certificate without its key would look done.
fn store(dir: &Path, name: &str, issued: &Issued, force: bool) -> anyhow::Result<()> {
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
    files::write(&key_file, issued.key.as_bytes(), 0o600, existing)?;
    files::write(
        &certificate_file,
        issued.certificate.as_bytes(),
        0o644,
        existing,
    )
}
