//! Issuing a certificate.

use std::{fmt::Write as _, fs, path::Path};

use anstream::eprintln;
use anyhow::Context as _;
use seedpod_client::certificates::{Authority, AuthorityError, Request};
use zeroize::Zeroizing;

use super::{LONGEST_NAME, last_day, store};
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
    let request = match organization(role) {
        Some(organization) => Request::client(&name, days).organization(organization),
        None => Request::server(&name, days),
    };
    let request = request
        .names(&san)
        .map_err(|error| Usage(format!("--san {error}")))?;
    let issued = load_ca(&dir)?.issue(&request)?;
    if issued.shortened {
        eprintln!("The CA is not valid for {days} more days; the certificate ends with it.");
    }
    let until = last_day(&issued)?;
    store(&dir, &name, &issued, force)?;

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

fn load_ca(dir: &Path) -> anyhow::Result<Authority> {
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
    let (certificate, key) = (read(&certificate_file)?, Zeroizing::new(read(&key_file)?));
    let (certificate_file, key_file) = (certificate_file.display(), key_file.display());
    Authority::read(&certificate, &key).map_err(|error| match error {
        AuthorityError::NotAKey => {
            anyhow::anyhow!("{key_file} holds no private key in PEM form")
        }
        AuthorityError::NotACertificate => {
            anyhow::anyhow!("{certificate_file} is no certificate in PEM form")
        }
        AuthorityError::NotAnAuthority => {
            anyhow::anyhow!("{certificate_file} is not the certificate of a CA")
        }
        AuthorityError::OtherKey => {
            anyhow::anyhow!("{key_file} is not the key of {certificate_file}")
        }
        AuthorityError::Expired => {
            anyhow::anyhow!("{certificate_file} has expired; make a new CA with `seedpod pki init`")
        }
        other => other.into(),
    })
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
