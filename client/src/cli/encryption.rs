//! `seedpod config encryption-key`: the daemon's keys for Secrets and ConfigMaps at rest.

use std::{fs, io::ErrorKind, path::Path};

use anstream::eprintln;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use seedpod_client::whole_file::Existing;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{args::EncryptionKeyArgs, exit::Usage, files};

const API_VERSION: &str = "seedpod.dev/v1alpha1";
const KIND: &str = "EncryptionKeys";

/// AES-256's key.
const KEY_BYTES: usize = 32;

/// The whole file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    #[serde(rename = "apiVersion")]
    api_version: String,
    kind: String,
    keys: Vec<Entry>,
}

/// A key, or `identity: {}` for what is not encrypted.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    secret: Option<Secret>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    identity: Option<Identity>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Identity {}

/// Base64 of a key. Wiped, and never printed.
struct Secret(Zeroizing<String>);

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

pub(crate) fn run(args: EncryptionKeyArgs) -> anyhow::Result<()> {
    let EncryptionKeyArgs {
        file,
        rotate,
        prune,
    } = args;
    match (rotate, prune) {
        (_, Some(keep)) => self::prune(&file, keep.into()),
        (true, None) => self::rotate(&file),
        (false, None) => create(&file),
    }
}

fn create(path: &Path) -> anyhow::Result<()> {
    if path.symlink_metadata().is_ok() {
        anyhow::bail!(
            "{} is there already; --rotate puts a new key into it",
            path.display()
        );
    }
    let key = Entry::fresh(&[])?;
    let name = key.label();
    let keys = Keys {
        api_version: API_VERSION.to_owned(),
        kind: KIND.to_owned(),
        keys: vec![key],
    };
    keys.write(path, Existing::Keep)?;
    eprintln!("Key {name} made in {}.", path.display());
    eprintln!(
        "Next: set secretEncryption.keyFile to that path in seedpodd's configuration, and restart it: it then encrypts \
         what it has. Keep a copy of the file elsewhere than the state directory's backups; without it they cannot be \
         read."
    );
    Ok(())
}

fn rotate(path: &Path) -> anyhow::Result<()> {
    let mut keys = Keys::read(path)?;
    let key = Entry::fresh(&keys.keys)?;
    let name = key.label();
    keys.keys.insert(0, key);
    keys.write(path, Existing::Replace)?;
    eprintln!("Key {name} is the first one in {} now.", path.display());
    eprintln!(
        "Next: restart seedpodd, which encrypts everything anew. When `seedpod get node` shows {name}, the old keys can \
         go: `seedpod config encryption-key {} --prune 1`",
        path.display()
    );
    Ok(())
}

fn prune(path: &Path, keep: usize) -> anyhow::Result<()> {
    let mut keys = Keys::read(path)?;
    let mut seen = 0;
    let mut dropped = Vec::new();
    keys.keys.retain(|entry| {
        // What says that some contents are not encrypted is no key.
        if entry.identity.is_some() {
            return true;
        }
        seen += 1;
        if seen > keep {
            dropped.push(entry.label());
        }
        seen <= keep
    });
    if dropped.is_empty() {
        eprintln!("Nothing to drop: {} has {seen} keys.", path.display());
        return Ok(());
    }
    keys.write(path, Existing::Replace)?;
    eprintln!("Dropped from {}: {}.", path.display(), dropped.join(", "));
    eprintln!("Next: restart seedpodd; the copies of the old file are of no use any more.");
    Ok(())
}

impl Keys {
    /// # Errors
    /// [`Usage`], with the place, but with nothing of what stands there.
    fn read(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let text = match fs::read_to_string(path) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let message =
                    format!("there is no {shown}; without --rotate and --prune it is made");
                return Err(Usage(message).into());
            }
            Err(error) => return Err(Usage(format!("cannot read {shown}: {error}")).into()),
        };
        let options = serde_saphyr::options! { with_snippet: false };
        let keys: Self = serde_saphyr::from_str_with_options(&text, options).map_err(|error| {
            let place = error.location().map_or_else(String::new, |location| {
                format!(":{}:{}", location.line(), location.column())
            });
            Usage(format!(
                "{shown}{place}: it is no file of keys; it must have apiVersion: {API_VERSION}, kind: {KIND}, and keys \
                 with a name and a secret each"
            ))
        })?;
        keys.check()
            .map(|()| keys)
            .map_err(|fault| Usage(format!("{shown}: {fault}")).into())
    }

    fn check(&self) -> Result<(), String> {
        if self.api_version != API_VERSION || self.kind != KIND {
            return Err(format!(
                "must have apiVersion: {API_VERSION} and kind: {KIND}"
            ));
        }
        for (index, entry) in self.keys.iter().enumerate() {
            match (&entry.name, &entry.secret, &entry.identity) {
                (None, None, Some(Identity {})) => {}
                (Some(_), Some(secret), None) => {
                    let bytes = STANDARD.decode(secret.0.as_bytes()).map(Zeroizing::new);
                    if !bytes.is_ok_and(|bytes| bytes.len() == KEY_BYTES) {
                        return Err(format!(
                            "keys[{index}].secret: must be {KEY_BYTES} bytes in base64; take the line from a backup, or \
                             drop the key if no content needs it"
                        ));
                    }
                }
                _ => {
                    return Err(format!(
                        "keys[{index}]: must have a name and a secret, or only \"identity: {{}}\""
                    ));
                }
            }
        }
        Ok(())
    }

    fn write(&self, path: &Path, existing: Existing) -> anyhow::Result<()> {
        let text = Zeroizing::new(serde_saphyr::to_string(self)?);
        files::write(path, text.as_bytes(), 0o600, existing)
    }
}

impl Entry {
    /// A random key, named after the day, and with a number behind it if that name is taken.
    fn fresh(others: &[Self]) -> anyhow::Result<Self> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        rustls::crypto::aws_lc_rs::default_provider()
            .secure_random
            .fill(&mut *bytes)
            .map_err(|_| anyhow::anyhow!("the system gives no random numbers"))?;
        let today = format!("key-{}", jiff::Timestamp::now().strftime("%Y-%m-%d"));
        let is_taken = |name: &String| others.iter().any(|key| key.name.as_ref() == Some(name));
        let mut name = today.clone();
        let mut number = 1;
        while is_taken(&name) {
            number += 1;
            name = format!("{today}-{number}");
        }
        Ok(Self {
            name: Some(name),
            secret: Some(Secret(Zeroizing::new(STANDARD.encode(bytes.as_slice())))),
            identity: None,
        })
    }

    fn label(&self) -> String {
        self.name.clone().unwrap_or_default()
    }
}
