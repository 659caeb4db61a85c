//! Seedpod's SDK: put pods on a kubelet that has no API server, from Rust.
//!
//! A node runs `seedpodd`; an installer connects to it with [`Client::connect`], sends a whole bundle of pods with
//! [`Client::inject`], and sees with [`Client::wait_ready`] that the pods are ready:
//!
//! ```no_run
//! use std::time::Duration;
//! use seedpod_client::{Client, InjectPods, Options, Wait};
//!
//! # async fn install() -> Result<(), Box<dyn std::error::Error>> {
//! let options = Options::new("https://node-1.example:10290")?
//!     .ca_file("pki/ca.crt")
//!     .client_certificate_files("pki/installer.crt", "pki/installer.key");
//! let client = Client::connect(options).await?;
//!
//! let request = InjectPods::new("control-plane")
//!     .manifest(std::fs::read_to_string("etcd.yaml")?)
//!     .manifest(std::fs::read_to_string("kube-apiserver.yaml")?);
//! let injected = client.inject(&request).await?;
//!
//! let wait = Wait::new(Duration::from_secs(120)).on_progress(|pods| {
//!     for pod in pods {
//!         eprintln!("{}/{}: {}", pod.namespace, pod.name, pod.state);
//!     }
//! });
//! client.wait_ready("control-plane", injected.bundle.revision, wait).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Errors
//!
//! [`Error`] tells apart what an installer does different things about: it cannot reach the node, it is not let in,
//! time is up, or the node refused. A refusal carries a stable [reason](Error::reason) and, where the manifests are at
//! fault, the [fields](Error::field_violations):
//!
//! ```no_run
//! # async fn inject(client: seedpod_client::Client, request: seedpod_client::InjectPods) {
//! match client.inject(&request).await {
//!     Ok(injected) => println!("revision {}", injected.bundle.revision),
//!     Err(error) if error.reason() == Some("STALE_REVISION") => println!("somebody else was faster"),
//!     Err(error) => {
//!         for violation in error.field_violations() {
//!             println!("{}: {}", violation.field, violation.description);
//!         }
//!     }
//! }
//! # }
//! ```
//!
//! # Deadlines and retries
//!
//! Each call has a deadline ([`Options::deadline`]), which the node is told too. A call that is safe to repeat is sent
//! again when the node is busy or the connection broke, within that deadline: reads; [`Client::inject`], because its
//! request id lets the node recognise it; and [`Client::remove_bundle`] only if the request says which revision it
//! means and does not mind that there is none.
//!
//! # Streams
//!
//! [`Client::watch_pods`], [`Client::watch_events`] and [`Client::get_pod_logs`] go on until they are dropped. When the
//! connection breaks or the daemon restarts, they resume where they were, within the pauses of
//! [`Options::retry`]; after that they end with the error. No deadline holds for them.
//!
//! # Secrets
//!
//! Secrets and ConfigMaps are manifests beside the pods that use them. [`Client::list_objects`] tells their names, keys and
//! digests; only [`Client::get_revision_with_secrets`] gives values, to admins. No `Debug` and no [`Error`] here shows a
//! manifest. With the feature `folder`, `Folder::read` makes them from plain files, by the rules of a `seedpod.yaml`.
//!
//! # Trials
//!
//! A revision that is injected with [`InjectPods::trial`] is undone by the node itself unless it becomes ready, or is
//! confirmed with [`Client::confirm_revision`], in time. [`Client::wait_confirmed`] tells which; a program that dies
//! meanwhile changes nothing about it.
//!
//! # Handing over
//!
//! [`Client::start_handoff`] has a node move from its injected control plane to the self-hosted one; [`Client::watch_handoff`]
//! tells how that goes. It goes on without this program, and before it is committed, whatever goes wrong brings the injected
//! pods back.
//!
//! # The way through this crate
//!
//! [`Options`] become a `connect` connector (TCP and TLS, or a Unix socket) below a tonic channel; `retry` runs each
//! call, and `stream` each one that is answered with a stream; `error` sorts what comes back; `types` holds the answers;
//! `wait` watches until pods are as they should be. The generated messages stay inside.
//!
//! # Features
//!
//! `cli` (default) builds the tool `seedpod`; a program that uses the SDK alone turns the default features off.
//! `serde` derives `serde::Serialize` for the answers. `folder` reads folders with a `seedpod.yaml`, in which plain files
//! become Secrets and ConfigMaps. `cluster` issues certificates, renders a self-hosted control plane and brings it up.

#![warn(missing_docs)]

mod apply;
#[cfg(feature = "cluster")]
pub mod certificates;
mod client;
#[cfg(feature = "cluster")]
pub mod cluster;
mod connect;
mod endpoint;
mod error;
#[cfg(feature = "folder")]
mod folder;
mod handoff;
mod inject;
mod node;
mod options;
mod remove;
mod retry;
mod rollback;
mod stream;
mod types;
mod wait;
/// For the command line tool alone.
#[cfg(feature = "cluster")]
#[doc(hidden)]
pub mod whole_file;

pub use apply::ApplyObjects;
pub use client::Client;
pub use endpoint::{Endpoint, EndpointError};
pub use error::{Error, FieldViolation, ServerError};
#[cfg(feature = "folder")]
pub use folder::{Folder, FolderError, FolderManifest};
pub use handoff::{HandoffComponent, HandoffDeadlines, StartHandoff};
pub use inject::{FieldValidation, InjectPods};
pub use node::{CheckNode, ConfigureKubelet, ResetNode};
pub use options::Options;
pub use remove::RemoveBundle;
pub use retry::RetryPolicy;
pub use rollback::RollbackBundle;
pub use stream::{EventOptions, LogOptions, PodsUpdate};
pub use tonic::Code;
pub use types::{
    AppliedObject, AppliedResult, Bundle, BundlePod, BundleState, BundleStatus, Change, ChangeType,
    ConfiguredKubelet, Container, ContainerState, Event, EventType, Handoff, HandoffFailure,
    HandoffState, HandoffStep, ImageCheck, Injected, Kubelet, KubeletState, KubeletSync, Limits,
    LogLine, LogStream, Node, NodeCheck, Object, ObjectChange, ObjectKey, ObjectKind,
    ObjectReference, Objects, Origin, PathCheck, Pod, PodReference, PodState, PortCheck, Problem,
    ResetDone, Revision, RolledBack, Runtime, RuntimeState, Steering, SteeringMode, Termination,
    Trial, TrialConfirmation, TrialState, TrialStatus, Warning,
};
pub use wait::{Wait, WaitError};
