//! The requests about handing over to a self-hosted control plane.

use std::{collections::BTreeMap, fmt, time::Duration};

use seedpod_proto::v1;
use zeroize::Zeroizing;

/// One program of the control plane in its two forms.
#[derive(Debug, Clone, PartialEq)]
pub struct HandoffComponent(v1::HandoffComponent);

impl HandoffComponent {
    /// The API server: the injected pod of this name, both forms serving on port 6443. Of the self-hosted pods, the label
    /// `component` has the same value.
    pub fn api_server(injected_pod: impl Into<String>) -> Self {
        Self::new(v1::handoff_component::Kind::ApiServer, injected_pod.into())
    }

    /// A program that works while it holds the Lease of this name in kube-system. The rest as for
    /// [`Self::api_server`].
    pub fn leader_elected(injected_pod: impl Into<String>, lease: impl Into<String>) -> Self {
        let mut component = Self::new(
            v1::handoff_component::Kind::LeaderElected,
            injected_pod.into(),
        );
        component.0.lease = lease.into();
        component
    }

    fn new(kind: v1::handoff_component::Kind, injected_pod: String) -> Self {
        let selector = [("component".to_owned(), injected_pod.clone())];
        Self(v1::HandoffComponent {
            kind: kind.into(),
            injected_pod,
            selector: selector.into(),
            ..v1::HandoffComponent::default()
        })
    }

    /// The namespace of the injected pod, instead of kube-system.
    pub fn injected_namespace(mut self, namespace: impl Into<String>) -> Self {
        self.0.injected_namespace = namespace.into();
        self
    }

    /// The namespace of the self-hosted pods, instead of kube-system.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.0.namespace = namespace.into();
        self
    }

    /// The labels of the self-hosted pods.
    pub fn selector(mut self, labels: impl IntoIterator<Item = (String, String)>) -> Self {
        self.0.selector = labels.into_iter().collect();
        self
    }

    /// The port of both API servers.
    pub fn port(mut self, port: u16) -> Self {
        self.0.port = port.into();
        self
    }
}

/// How long each state of a handoff may take. What is `None` has the node's default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the names of the states say it")]
pub struct HandoffDeadlines {
    pub apply: Option<Duration>,
    pub ready: Option<Duration>,
    pub kubelet: Option<Duration>,
    pub drain: Option<Duration>,
    pub hand_over: Option<Duration>,
    pub verify: Option<Duration>,
}

impl HandoffDeadlines {
    fn to_message(self) -> v1::HandoffDeadlines {
        let time = |time: Option<Duration>| time.and_then(|time| time.try_into().ok());
        v1::HandoffDeadlines {
            apply: time(self.apply),
            ready: time(self.ready),
            kubelet: time(self.kubelet),
            drain: time(self.drain),
            hand_over: time(self.hand_over),
            verify: time(self.verify),
        }
    }
}

/// What takes over from what.
///
/// ```
/// use seedpod_client::{HandoffComponent, StartHandoff};
///
/// let request = StartHandoff::new("control-plane", "apiVersion: v1 ...")
///     .manifests(["kind: DaemonSet ..."])
///     .component(HandoffComponent::api_server("kube-apiserver"))
///     .component(HandoffComponent::leader_elected("kube-scheduler", "kube-scheduler"));
/// assert!(!format!("{request:?}").contains("apiVersion"), "credentials are never printed");
/// ```
#[derive(Clone)]
pub struct StartHandoff {
    bundle: String,
    kubeconfig: Zeroizing<String>,
    manifests: Vec<Zeroizing<String>>,
    components: Vec<HandoffComponent>,
    node_labels: BTreeMap<String, String>,
    deadlines: Option<HandoffDeadlines>,
    stable_for: Option<Duration>,
    request_id: String,
    validate_only: bool,
}

impl StartHandoff {
    /// A handoff of the bundle with the injected control plane, with the credentials that the node uses for it, still
    /// without manifests and components and with a fresh request id. The request wipes its copies of what is secret when it
    /// is dropped.
    pub fn new(bundle: impl Into<String>, kubeconfig: impl Into<String>) -> Self {
        Self {
            bundle: bundle.into(),
            kubeconfig: Zeroizing::new(kubeconfig.into()),
            manifests: Vec::new(),
            components: Vec::new(),
            node_labels: BTreeMap::new(),
            deadlines: None,
            stable_for: None,
            request_id: uuid::Uuid::new_v4().to_string(),
            validate_only: false,
        }
    }

    /// Adds objects of the self-hosted control plane: YAML or JSON, one or several documents each.
    pub fn manifests<S: Into<String>>(mut self, manifests: impl IntoIterator<Item = S>) -> Self {
        let manifests = manifests.into_iter();
        self.manifests
            .extend(manifests.map(|manifest| Zeroizing::new(manifest.into())));
        self
    }

    /// Adds a pod of the bundle that is handed over. Exactly one is an API server.
    pub fn component(mut self, component: HandoffComponent) -> Self {
        self.components.push(component);
        self
    }

    /// Labels that the Node object gets at the beginning and loses on the way back.
    pub fn node_labels(mut self, labels: BTreeMap<String, String>) -> Self {
        self.node_labels = labels;
        self
    }

    /// How long each state may take.
    pub fn deadlines(mut self, deadlines: HandoffDeadlines) -> Self {
        self.deadlines = Some(deadlines);
        self
    }

    /// How long the self-hosted API server has to have served without a break before the injected one gives way.
    pub fn stable_for(mut self, stable_for: Duration) -> Self {
        self.stable_for = Some(stable_for);
        self
    }

    /// The id under which the node recognises this request when it comes again, instead of the UUID that
    /// [`Self::new`] made up.
    pub fn request_id(mut self, id: impl Into<String>) -> Self {
        self.request_id = id.into();
        self
    }

    /// Check the request and the node, begin nothing.
    pub fn validate_only(mut self, validate_only: bool) -> Self {
        self.validate_only = validate_only;
        self
    }

    /// The id of this request.
    pub fn id(&self) -> &str {
        &self.request_id
    }

    pub(crate) fn to_message(&self) -> v1::StartHandoffRequest {
        v1::StartHandoffRequest {
            bundle: self.bundle.clone(),
            manifests: self.manifests.iter().map(|it| it.to_string()).collect(),
            kubeconfig: self.kubeconfig.to_string(),
            components: self.components.iter().map(|it| it.0.clone()).collect(),
            node_labels: self.node_labels.clone().into_iter().collect(),
            deadlines: self.deadlines.map(HandoffDeadlines::to_message),
            stable_for: self.stable_for.and_then(|time| time.try_into().ok()),
            request_id: self.request_id.clone(),
            validate_only: self.validate_only,
        }
    }
}

impl fmt::Debug for StartHandoff {
    /// Without manifests and credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StartHandoff")
            .field("bundle", &self.bundle)
            .field("manifests", &self.manifests.len())
            .field("components", &self.components)
            .field("node_labels", &self.node_labels)
            .field("deadlines", &self.deadlines)
            .field("stable_for", &self.stable_for)
            .field("request_id", &self.request_id)
            .field("validate_only", &self.validate_only)
            .finish_non_exhaustive()
    }
}
