//! What the files of a handoff hold.

use std::collections::BTreeMap;

use seedpod_manifest::KeyedDigest;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::Kept;
use crate::{
    handoff::{Material, Record},
    store::{
        objects::ContentError,
        record::{FormatError, RequestRecord, decode, encode},
    },
};

const KIND: &str = "seedpod-handoff";
pub(super) const MATERIAL_KIND: &str = "seedpod-handoff-material";

/// `record.json`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct HandoffFile {
    /// `None` when it is forgotten, and pods that have come back still are as it left them.
    record: Option<Record>,
    request: Option<RequestRecord>,
    material: Option<KeyedDigest>,
    returned: BTreeMap<String, u64>,
    returns: u64,
}

impl From<&Kept> for HandoffFile {
    fn from(kept: &Kept) -> Self {
        Self {
            record: kept.record.as_deref().cloned(),
            request: kept.request.clone(),
            material: kept.material,
            returned: kept.returned.clone(),
            returns: kept.returns,
        }
    }
}

impl From<HandoffFile> for Kept {
    fn from(file: HandoffFile) -> Self {
        Self {
            record: file.record.map(Into::into),
            request: file.request,
            material: file.material,
            returned: file.returned,
            returns: file.returns,
        }
    }
}

impl HandoffFile {
    pub(super) fn encode(&self) -> String {
        encode(KIND, self)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        decode(KIND, bytes)
    }
}

/// Why a material cannot be read. Says nothing of what is in it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MaterialError {
    #[error(transparent)]
    Content(#[from] ContentError),
    #[error("it is whole, but not what a handoff needs")]
    Body,
}

impl MaterialError {
    /// Whether there is no such file.
    #[cfg(test)]
    pub(in crate::store) fn is_absent(&self) -> bool {
        matches!(self, Self::Content(ContentError::Io(error)) if error.kind() == std::io::ErrorKind::NotFound)
    }
}

/// The texts one after the other, each after its length: they are copied once, and nowhere else.
pub(super) fn encode_material(material: &Material) -> Zeroizing<Vec<u8>> {
    let texts = || std::iter::once(&material.kubeconfig).chain(&material.manifests);
    let length: usize = texts().map(|text| 8 + text.len()).sum();
    // A vector that grows leaves pieces behind.
    let mut content = Zeroizing::new(Vec::with_capacity(length));
    for text in texts() {
        content.extend_from_slice(&(text.len() as u64).to_be_bytes());
        content.extend_from_slice(text.as_bytes());
    }
    content
}

pub(super) fn decode_material(content: &[u8]) -> Result<Material, MaterialError> {
    let mut rest = content;
    let mut texts = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<8>() {
        let length = usize::try_from(u64::from_be_bytes(*length));
        let length = length.map_err(|_| MaterialError::Body)?;
        let (text, after) = after.split_at_checked(length).ok_or(MaterialError::Body)?;
        let text = std::str::from_utf8(text).map_err(|_| MaterialError::Body)?;
        texts.push(Zeroizing::new(text.to_owned()));
        rest = after;
    }
    let mut texts = texts.into_iter();
    let kubeconfig = texts.next().filter(|_| rest.is_empty());
    Ok(Material {
        kubeconfig: kubeconfig.ok_or(MaterialError::Body)?,
        manifests: texts.collect(),
    })
}
