//! What the container runtime runs, over CRI v1.
//!
//! `observation.rs` is what is published of the runtime. `client.rs` makes the calls, `join.rs` turns the runtime's two flat lists into sandboxes with their containers.
//! A daemon without a runtime has no [`CriRuntime`]: it is an `Option` wherever one can do without.

mod client;
mod join;
mod observation;
mod observe;

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use futures_util::stream::BoxStream;
use jiff::Timestamp;
use seedpod_manifest::HostPort;

pub(crate) use self::{
    client::CriRuntime,
    observation::{Observation, ObservationWatch},
    observe::observe,
};

/// A pod sandbox and its containers, as the runtime reports them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sandbox {
    pub(crate) id: String,
    pub(crate) namespace: String,
    /// With the node's suffix.
    pub(crate) name: String,
    /// The uid of the content: what the `seedpod.dev/uid` annotation says, and without one the kubelet's uid.
    pub(crate) uid: String,
    /// The uid that the kubelet knows the pod by. Another one than `uid` when a pod was replaced under its old uid.
    pub(crate) kubelet_uid: String,
    /// Whether the sandbox is READY: it stands, and its containers may run.
    pub(crate) ready: bool,
    pub(crate) created_at: Timestamp,
    /// From the annotations that rendering puts on the pod.
    pub(crate) bundle: Option<String>,
    pub(crate) revision: Option<u64>,
    pub(crate) digest: Option<String>,
    /// The number of its return, for a pod that was withheld and came back; else 0.
    pub(crate) returned: u64,
    /// The newest attempt of each container.
    pub(crate) containers: Vec<Container>,
    /// The pod's addresses; none for a pod in the host's network. Only filled in an [`Observation`].
    pub(crate) ips: Vec<String>,
}

/// A container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Container {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) attempt: u32,
    pub(crate) state: ContainerState,
    pub(crate) image: String,
    /// Only filled in an [`Observation`], and only when the runtime told them.
    pub(crate) details: Option<ContainerDetails>,
    /// How the attempt before this one ended. As `details`.
    pub(crate) last_termination: Option<ContainerDetails>,
}

/// What the runtime tells of one container beyond the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ContainerDetails {
    /// Only of meaning when the container has ended.
    pub(crate) exit_code: i32,
    /// The runtime's word, as in "Completed" or "OOMKilled". May be empty.
    pub(crate) reason: String,
    /// What the runtime adds to the reason. May be empty.
    pub(crate) message: String,
    /// `None` before it was started.
    pub(crate) started_at: Option<Timestamp>,
    /// `None` before it has ended.
    pub(crate) finished_at: Option<Timestamp>,
    /// The id of the image that it was made from.
    pub(crate) image_id: String,
    /// Where the runtime writes its log. Empty when it writes none.
    pub(crate) log_path: String,
}

/// What the runtime calls itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RuntimeVersion {
    pub(crate) name: String,
    pub(crate) version: String,
}

impl Sandbox {
    /// Whether anything of it runs. A stopped sandbox stays listed until the kubelet collects it, up to a minute.
    pub(crate) fn is_live(&self) -> bool {
        self.ready
            || self
                .containers
                .iter()
                .any(|c| c.state == ContainerState::Running)
    }
}

/// All that the runtime lists.
#[derive(Debug, Default, Clone)]
pub(crate) struct Listing {
    pub(crate) sandboxes: Vec<Sandbox>,
    /// By the id of a container: the id of the attempt before it, which may have been in an earlier sandbox.
    pub(crate) previous: HashMap<String, String>,
}

/// What the runtime says of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ContainerState {
    Created,
    Running,
    Exited,
    Unknown,
}

/// Why the runtime could not be asked.
#[derive(Debug, thiserror::Error)]
#[error("{operation} failed")]
pub(crate) struct RuntimeError {
    pub(crate) operation: &'static str,
    #[source]
    pub(crate) source: Box<dyn std::error::Error + Send + Sync>,
}

impl RuntimeError {
    /// Whether the runtime answered that it has no such thing (any more).
    pub(crate) fn is_not_found(&self) -> bool {
        self.source
            .downcast_ref::<tonic::Status>()
            .is_some_and(|status| status.code() == tonic::Code::NotFound)
    }

    /// The innermost cause in one line, for a message to people.
    pub(crate) fn root_cause(&self) -> String {
        let mut cause: &(dyn std::error::Error + 'static) = self.source.as_ref();
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        match cause.downcast_ref::<tonic::Status>() {
            // Its Display has the code's description and the metadata, which only the runtime's author can use.
            Some(status) => status.message().to_owned(),
            None => cause.to_string(),
        }
    }
}

/// What the projection and the API need of a runtime. A trait, so that tests can put a scripted one behind them.
pub(crate) trait Runtime: Clone + Send + Sync + 'static {
    /// All pod sandboxes that the kubelet made, with their containers. Exited ones may be listed too.
    fn sandboxes(&self) -> impl Future<Output = Result<Vec<Sandbox>, RuntimeError>> + Send;

    /// As [`Self::sandboxes`], and which containers were there before.
    fn listing(&self) -> impl Future<Output = Result<Listing, RuntimeError>> + Send {
        async {
            Ok(Listing {
                sandboxes: self.sandboxes().await?,
                previous: HashMap::new(),
            })
        }
    }

    /// What the runtime tells of one container beyond [`Self::sandboxes`].
    fn container_status(
        &self,
        id: &str,
    ) -> impl Future<Output = Result<ContainerDetails, RuntimeError>> + Send;

    /// The processes of a pod's running containers, as the host numbers them; `uid` is the pod's in the API, which is the
    /// kubelet's. None for a pod that does not run, and none at all unless it is overridden.
    fn processes_of(
        &self,
        uid: &str,
    ) -> impl Future<Output = Result<BTreeSet<u32>, RuntimeError>> + Send {
        let _ = uid;
        std::future::ready(Ok(BTreeSet::new()))
    }

    /// The sandbox's IP addresses. None for a pod in the host's network.
    fn sandbox_ips(
        &self,
        id: &str,
    ) -> impl Future<Output = Result<Vec<String>, RuntimeError>> + Send;

    /// Stops the containers of a sandbox, each within the grace period, and then the sandbox.
    fn stop(
        &self,
        sandbox: &Sandbox,
        grace: Duration,
    ) -> impl Future<Output = Result<(), RuntimeError>> + Send;

    /// Removes a sandbox that has stopped, with its containers. Their logs stay. Nothing is done unless it is overridden.
    fn remove(&self, sandbox: &Sandbox) -> impl Future<Output = Result<(), RuntimeError>> + Send {
        let _ = sandbox;
        std::future::ready(Ok(()))
    }

    /// What the runtime knows of a pod whose manifest is gone. Nothing, unless it is overridden.
    fn traits(
        &self,
        sandbox: &Sandbox,
    ) -> impl Future<Output = Result<Traits, RuntimeError>> + Send {
        let _ = sandbox;
        std::future::ready(Ok(Traits::default()))
    }

    /// Runs a program in a container and waits for its end, at most for `limit`.
    fn exec(
        &self,
        container: &str,
        command: &[String],
        limit: Duration,
    ) -> impl Future<Output = Result<Executed, RuntimeError>> + Send;

    /// Notices that something has changed, as long as the runtime is there. It ends, or there is an error, when the
    /// runtime tells of none.
    fn events(&self) -> impl Future<Output = Result<BoxStream<'static, ()>, RuntimeError>> + Send;
}

/// What of a pod's manifest can be read from what the kubelet made of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Traits {
    pub(crate) wave: Option<u32>,
    pub(crate) grace: Option<Duration>,
    pub(crate) host_ports: Vec<HostPort>,
}

/// How a program in a container ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Executed {
    pub(crate) exit_code: i32,
    /// What it wrote, to stdout and then to stderr. The beginning, when it is much.
    pub(crate) output: String,
}
