//! Where the API server serves a kind: asked once for each group and version, and again when a kind is not among them,
//! since a CustomResourceDefinition may have brought it.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::APIResourceList;

use super::{
    error::KubeError,
    objects::group,
    wire::{Ask, Wire, path},
};
use crate::handoff::ObjectReference;

/// Where one kind is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    api_version: String,
    /// The plural.
    resource: String,
    pub(super) namespaced: bool,
}

impl Place {
    /// The path of an object, of which the namespace is settled.
    pub(super) fn path(&self, object: &ObjectReference) -> String {
        let mut segments = root(&self.api_version);
        if self.namespaced {
            segments.extend(["namespaces", &object.namespace]);
        }
        segments.extend([self.resource.as_str(), &object.name]);
        path(&segments)
    }
}

/// A kind that is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unknown {
    /// A CustomResourceDefinition or an aggregated API server may still bring it.
    Yet,
    /// It would be one of the API server's own, and is not.
    ForGood,
}

/// What was found out so far.
#[derive(Debug, Default)]
pub(super) struct Discovery {
    /// By apiVersion, then by kind.
    known: Mutex<HashMap<String, HashMap<String, Place>>>,
}

impl Discovery {
    pub(super) async fn find(
        &self,
        wire: &Wire,
        api_version: &str,
        kind: &str,
    ) -> Result<Result<Place, Unknown>, KubeError> {
        if let Some(place) = self.remembered(api_version, kind) {
            return Ok(Ok(place));
        }
        let answer = match wire.send(&Ask::get(&path(&root(api_version)))).await {
            Ok(answer) => answer,
            Err(error) if error.is_not_found() => return Ok(Err(unknown(api_version))),
            Err(error) => return Err(error),
        };
        let list: APIResourceList = answer.json()?;
        let served = list
            .resources
            .into_iter()
            // Those with a slash are parts of others, such as pods/status.
            .filter(|it| !it.name.contains('/') && it.verbs.iter().any(|verb| verb == "patch"))
            .map(|it| {
                let place = Place {
                    api_version: api_version.to_owned(),
                    resource: it.name,
                    namespaced: it.namespaced,
                };
                (it.kind, place)
            })
            .collect();
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(api_version.to_owned(), served);
        Ok(self
            .remembered(api_version, kind)
            .ok_or_else(|| unknown(api_version)))
    }

    /// Forgets what an apiVersion has: what was there is not any more.
    pub(super) fn forget(&self, api_version: &str) {
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(api_version);
    }

    pub(super) fn remembered(&self, api_version: &str, kind: &str) -> Option<Place> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(api_version)?.get(kind).cloned()
    }
}

fn root(api_version: &str) -> Vec<&str> {
    match api_version.rsplit_once('/') {
        None => vec!["api", api_version],
        Some((group, version)) => vec!["apis", group, version],
    }
}

/// Groups without a dot are the API server's own: those of CustomResourceDefinitions are DNS names.
fn unknown(api_version: &str) -> Unknown {
    if group(api_version).contains('.') {
        Unknown::Yet
    } else {
        Unknown::ForGood
    }
}
