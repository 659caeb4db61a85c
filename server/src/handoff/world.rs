//! What the machine sees and does, as traits: so that tests can play a cluster, and its power cuts.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use seedpod_manifest::PodKey;

use super::{
    Component, ObjectReference, Record, SteeringUsed, reason::Reason, transitions::Moment,
};
use crate::steer::Phase;

/// From the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Settings {
    /// How long no API server may answer after the daemon has found that the node was started anew.
    pub(crate) standby_after_start: Duration,
    /// How long no API server may answer otherwise.
    pub(crate) standby_after: Duration,
}

impl Default for Settings {
    /// The configuration's defaults.
    fn default() -> Self {
        Self {
            standby_after_start: Duration::from_secs(10),
            standby_after: Duration::from_secs(60),
        }
    }
}

/// Why something cannot be told or done now, for people. Nothing secret.
pub(super) type Trouble = String;

/// A pod of the control plane on this node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Who {
    /// That of the bundle.
    Injected(PodKey),
    /// The API's, by its uid.
    Hosted(String),
}

/// A pod as the API server tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PodSeen {
    pub(super) name: String,
    pub(super) uid: String,
    /// Of a static pod.
    pub(super) is_mirror: bool,
    pub(super) ready: bool,
    pub(super) deleting: bool,
    pub(super) restarts: u32,
    /// What it waits for or fails of.
    pub(super) message: String,
}

/// A Lease as the API server tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LeaseSeen {
    /// Empty: nobody.
    pub(super) holder: String,
    /// In any form that changes when it is renewed.
    pub(super) renewed: String,
}

/// Why objects were not applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NotApplied {
    pub(super) reason: Reason,
    pub(super) message: String,
}

/// The processes of an API server that serves. Others are another instance.
pub(super) type Instance = BTreeSet<u32>;

/// The node around one handoff. Each call ends by itself within seconds, but for `apply`; all can be dropped.
pub(super) trait World: Send + Sync {
    /// How the port can be steered.
    fn steering(&self) -> SteeringUsed;

    /// Has new connections go where this phase says. `newcomer`: whose connections to itself tell it.
    fn steer(&self, phase: Phase, newcomer: &Who) -> Result<(), Trouble>;

    /// The phase that holds. It falls back to [`Phase::Split`] by itself when somebody joins. `None`: none was set.
    fn phase(&self) -> Option<Phase>;

    /// How many sockets listen on the port.
    fn listeners(&self) -> Result<usize, Trouble>;

    /// Whether a connection by the newcomer's route is taken by this pod.
    fn is_newcomer(&self, who: &Who) -> impl Future<Output = Result<bool, Trouble>> + Send;

    /// Whether this very pod serves: over a connection that one of its processes has taken, it says that it is ready,
    /// and answers a user who needs RBAC.
    fn serves(&self, who: &Who) -> impl Future<Output = Result<Instance, Trouble>> + Send;

    /// Writes an object through this very pod and reads it back.
    fn write_and_read(&self, who: &Who) -> impl Future<Output = Result<(), Trouble>> + Send;

    /// Whether any API server answers on the port as one that serves. Needs no credentials.
    fn answers(&self) -> impl Future<Output = Result<(), Trouble>> + Send;

    /// Those of the handoff's objects that are not in the cluster yet.
    fn absent(&self) -> impl Future<Output = Result<Vec<ObjectReference>, NotApplied>> + Send;

    /// Applies the handoff's objects, and tries again what may succeed later, without end. `waits` hears of that.
    fn apply(
        &self,
        waits: impl Fn(Trouble) + Send + Sync,
    ) -> impl Future<Output = Result<usize, NotApplied>> + Send;

    /// Sets these labels of the Node object; `None` removes.
    fn set_labels(
        &self,
        labels: &BTreeMap<String, Option<String>>,
    ) -> impl Future<Output = Result<(), Trouble>> + Send;

    /// Deletes an object. One that is not there is no trouble.
    fn delete(&self, object: &ObjectReference) -> impl Future<Output = Result<(), Trouble>> + Send;

    /// The pods of a component's self-hosted form on this node.
    fn pods(
        &self,
        component: &Component,
    ) -> impl Future<Output = Result<Vec<PodSeen>, Trouble>> + Send;

    /// A lease in kube-system.
    fn lease(&self, name: &str) -> impl Future<Output = Result<Option<LeaseSeen>, Trouble>> + Send;

    /// Whether the runtime has anything of a pod that runs. Trouble: nobody knows.
    fn runs(&self, who: &Who) -> impl Future<Output = Result<bool, Trouble>> + Send;

    /// Whether the kubelet carries out removals.
    fn kubelet(&self) -> crate::kubelet::Sync;
}

/// Why a record was not committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NotCommitted {
    /// Another one is committed.
    Stale,
    /// The disk, or a daemon that is stopping.
    Failed(Trouble),
}

/// Where the records are, and the time.
pub(super) trait Ledger: Send + Sync + 'static {
    type World: World;

    /// What is committed.
    fn record(&self) -> Option<Arc<Record>>;

    /// Resolves when something else is committed than this.
    fn other_than(&self, record: Option<&Record>) -> impl Future<Output = ()> + Send;

    /// Commits this record, if its generation is the next one.
    fn advance(&self, next: Record) -> impl Future<Output = Result<(), NotCommitted>> + Send;

    /// The node around this handoff.
    fn open(&self, record: &Arc<Record>) -> impl Future<Output = Self::World> + Send;

    /// The port is of no concern any more.
    fn close(&self);

    fn now(&self) -> Moment;

    /// Tells people what is waited for. Empty: nothing.
    fn tell(&self, message: String);
}
