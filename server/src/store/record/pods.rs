//! The pods of a revision.

use std::path::{Path, PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use seedpod_manifest::{BundleName, HostPort, Pod, PodKey};
use serde::{Deserialize, Serialize};

use super::FormatError;
use crate::{
    node::{Bundle, BundlePod},
    store::{EncryptionKeys, objects::ContentError},
};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PodFile {
    namespace: String,
    name: String,
    uid: String,
    digest: String,
    revision: u64,
    file: String,
    /// One of the two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rendered: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sealed: Option<Sealed>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    volumes: Option<PathBuf>,
}

/// A rendered file that may hold values of Secrets and ConfigMaps, which became its literals.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    /// The name of the key that it is encrypted with.
    key: String,
    /// Base64.
    content: String,
}

impl PodFile {
    /// `None` when the encryption fails.
    pub(super) fn of(pod: &BundlePod, bundle: &Bundle, keys: &EncryptionKeys) -> Option<Self> {
        let sealed = match keys.name() {
            Some(key) if pod.source.is_some() => {
                let context = context(&bundle.name, bundle.revision, &pod.key);
                let mut content = Vec::new();
                keys.seal(&context, pod.rendered.as_bytes(), &mut content)?;
                Some(Sealed {
                    key: key.to_owned(),
                    content: BASE64.encode(content),
                })
            }
            _ => None,
        };
        Some(Self {
            namespace: pod.key.namespace.clone(),
            name: pod.key.name.clone(),
            uid: pod.uid.clone(),
            digest: pod.digest.clone(),
            revision: pod.revision,
            file: pod.file.clone(),
            rendered: sealed.is_none().then(|| pod.rendered.to_string()),
            sealed,
            source: pod.source.as_deref().map(str::to_owned),
            volumes: pod.volumes.as_deref().map(Path::to_owned),
        })
    }

    /// Whether it is encrypted with another key than the first one, or not and should be.
    pub(super) fn is_outdated(&self, keys: &EncryptionKeys) -> bool {
        let key = self.sealed.as_ref().map(|sealed| sealed.key.as_str());
        self.source.is_some() && key != keys.name()
    }

    /// The pod of this revision of the bundle.
    pub(super) fn into_pod(
        self,
        bundle: &BundleName,
        revision: u64,
        keys: &EncryptionKeys,
    ) -> Result<BundlePod, FormatError> {
        let key = PodKey {
            namespace: self.namespace,
            name: self.name,
        };
        let rendered = match (self.rendered, self.sealed) {
            (Some(rendered), None) => Ok(rendered),
            (None, Some(sealed)) => sealed.open(&context(bundle, revision, &key), keys),
            _ => Err(ContentError::Damaged),
        };
        let rendered = rendered.map_err(|source| FormatError::Sealed {
            pod: key.clone(),
            source: Box::new(source),
        })?;
        let (host_ports, wave) = demands(self.source.as_deref(), &rendered);
        Ok(BundlePod {
            host_ports,
            wave,
            key,
            uid: self.uid,
            digest: self.digest,
            revision: self.revision,
            file: self.file,
            rendered: rendered.into(),
            source: self.source.map(Into::into),
            volumes: self.volumes.map(Into::into),
        })
    }
}

impl Sealed {
    fn open(&self, context: &str, keys: &EncryptionKeys) -> Result<String, ContentError> {
        let content = BASE64.decode(&self.content);
        let content = content.map_err(|_| ContentError::Damaged)?;
        let opened = keys
            .open(&self.key, context, &content)
            .map_err(|error| ContentError::unopened(error, &self.key, keys))?;
        String::from_utf8(opened.to_vec()).map_err(|_| ContentError::Damaged)
    }
}

/// What the encryption is bound to.
fn context(bundle: &BundleName, revision: u64, pod: &PodKey) -> String {
    format!("seedpod-rendered {bundle} {revision} {pod}")
}

/// The host's ports that a pod takes, and its wave.
fn demands(source: Option<&str>, rendered: &str) -> (Vec<HostPort>, u32) {
    let pod = match source {
        Some(source) => Pod::from_source(source),
        None => seedpod_manifest::unrender(rendered),
    };
    pod.map(|pod| (pod.host_ports().to_vec(), pod.wave()))
        .unwrap_or_default()
}
