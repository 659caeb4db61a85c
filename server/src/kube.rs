//! The API server, when there is one: objects are applied, read and removed with the credentials of a kubeconfig that a
//! client has sent.
//!
//! `kubeconfig` reads that strictly, `wire` makes connections and asks (also over a connection that somebody else has
//! made, so that it is known which API server has answered), `error` is what can go wrong with one request. `objects` is
//! a set to apply, `discovery` finds where each kind is served, `apply` applies, `verdict` says what a refusal means,
//! `pods` and `views` read what a handoff waits for. Everything here may be dropped at any time: nothing is left half done
//! but what the API server has been asked for.

mod apply;
mod discovery;
mod error;
mod kubeconfig;
mod objects;
mod pods;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod verdict;
mod views;
mod wire;

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde_json::{Value, json};
use tokio::net::TcpStream;

use self::{
    apply::Mode,
    discovery::Discovery,
    kubeconfig::Access,
    wire::{Ask, Wire},
};
pub(crate) use self::{
    apply::{Applied, AppliedResult, ApplyError},
    error::KubeError,
    kubeconfig::KubeconfigError,
    objects::{Objects, group_of_pod},
};
use crate::handoff::ObjectReference;

/// As what Seedpod owns the fields that it applies.
const FIELD_MANAGER: &str = "seedpod";

/// An API server with the credentials for it. Cheap to clone; all clones know what one has found out.
#[derive(Clone)]
pub(crate) struct Kube {
    access: Arc<Access>,
    wire: Arc<Wire>,
    discovery: Arc<Discovery>,
}

impl fmt::Debug for Kube {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kube")
            .field("server", &self.access.address())
            .finish_non_exhaustive()
    }
}

impl Kube {
    /// Reads a kubeconfig (YAML or JSON) of which everything is inline: it comes from a remote client, and a path in it
    /// would be read with the daemon's rights. Connects to nothing.
    pub(crate) fn from_kubeconfig(text: &str) -> Result<Self, KubeconfigError> {
        let access = Arc::new(kubeconfig::read(text)?);
        Ok(Self {
            wire: Arc::new(Wire::new(Arc::clone(&access))),
            discovery: Arc::default(),
            access,
        })
    }

    /// Applies the objects by server-side apply. It tries again what may succeed later, without an end: the caller has
    /// the deadline and drops this when it has passed. `on` is told of each object when it is applied, and when the
    /// reason why it waits changes.
    ///
    /// The order: namespaces, CustomResourceDefinitions (until they are served), what other objects use
    /// ([`Objects`] says which kinds), the rest as it stands in the manifests, webhook configurations last.
    pub(crate) async fn apply(
        &self,
        objects: Objects,
        on: impl FnMut(&Applied),
    ) -> Result<Vec<Applied>, ApplyError> {
        apply::run(self, objects, Mode::Apply, on).await
    }

    /// As [`Kube::apply`], but the API server only says what it would do. What cannot be asked, since it needs another
    /// object of the set first, has a message that says so.
    pub(crate) async fn dry_run(
        &self,
        objects: Objects,
        on: impl FnMut(&Applied),
    ) -> Result<Vec<Applied>, ApplyError> {
        apply::run(self, objects, Mode::DryRun, on).await
    }

    /// Those of the objects that are not there now. A handoff notes them before it applies: what it has made must be
    /// known also when it dies between the API server's answer and its note. An object of a kind that is not served
    /// (its CustomResourceDefinition is in the set) is not there.
    pub(crate) async fn absent(
        &self,
        objects: &Objects,
    ) -> Result<Vec<ObjectReference>, KubeError> {
        let mut absent = Vec::new();
        for object in objects.iter() {
            let Some(place) = self.place(&object.reference).await? else {
                absent.push(object.reference.clone());
                continue;
            };
            let path = place.path(&self.namespaced(&object.reference, place.namespaced));
            if self.get_optional(&path).await?.is_none() {
                absent.push(self.namespaced(&object.reference, place.namespaced));
            }
        }
        Ok(absent)
    }

    /// Deletes an object and, in the background, what it owns. One that is not there is fine.
    pub(crate) async fn delete(&self, object: &ObjectReference) -> Result<(), KubeError> {
        let Some(place) = self.place(object).await? else {
            // Nobody serves the kind, so that there is none.
            return Ok(());
        };
        let path = place.path(&self.namespaced(object, place.namespaced));
        // Foreground would leave a DaemonSet standing as long as a pod of it hangs on another node.
        let options = json!({
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
        });
        match self.wire.send(&Ask::delete(&path, &options)).await {
            Err(error) if error.is_not_found() => Ok(()),
            answer => answer.map(drop),
        }
    }

    /// Sets labels of a Node; `None` removes one. NOT_FOUND when the node is not registered.
    pub(crate) async fn set_labels(
        &self,
        node: &str,
        labels: &BTreeMap<String, Option<String>>,
    ) -> Result<(), KubeError> {
        if labels.is_empty() {
            return Ok(());
        }
        let path = wire::path(&["api", "v1", "nodes", node]);
        let patch = json!({"metadata": {"labels": labels}});
        self.wire.send(&Ask::merge(&path, &patch)).await.map(drop)
    }

    /// The HTTP status of a GET over this very connection. It is the caller's to know to whom that leads; the
    /// certificate is checked as ever. `impersonate` is the user to act as.
    pub(crate) async fn ask(
        &self,
        over: TcpStream,
        path: &str,
        impersonate: Option<&str>,
    ) -> Result<u16, KubeError> {
        wire::ask(&self.access, over, path, impersonate).await
    }

    async fn get_optional(&self, path: &str) -> Result<Option<Value>, KubeError> {
        match self.wire.send(&Ask::get(path)).await {
            Ok(answer) => answer.json().map(Some),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Where the object's kind is served; `None`: nowhere.
    async fn place(&self, object: &ObjectReference) -> Result<Option<discovery::Place>, KubeError> {
        let found = self
            .discovery
            .find(&self.wire, &object.api_version, &object.kind)
            .await?;
        Ok(found.ok())
    }

    /// The object with the namespace that it is in: the kubeconfig's when it names none.
    fn namespaced(&self, object: &ObjectReference, namespaced: bool) -> ObjectReference {
        let namespace = match (namespaced, object.namespace.as_str()) {
            (false, _) => "",
            (true, "") => &self.access.namespace,
            (true, own) => own,
        };
        ObjectReference {
            namespace: namespace.to_owned(),
            ..object.clone()
        }
    }
}
