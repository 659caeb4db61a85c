//! Finding the pod that a name means.

use seedpod_client::{Client, Pod};

use super::{args::PodArgs, exit::Usage};

/// What a pod was called on the command line.
pub(crate) struct PodName {
    pub(crate) namespace: Option<String>,
    pub(crate) name: String,
}

impl PodName {
    pub(crate) fn new(args: PodArgs) -> anyhow::Result<Self> {
        let PodArgs { pod, namespace } = args;
        match (pod.split_once('/'), namespace) {
            (Some((in_name, _)), Some(namespace)) if in_name != namespace => Err(Usage(format!(
                "{pod:?} is in namespace {in_name:?}, and --namespace says {namespace:?}"
            ))
            .into()),
            (Some((namespace, name)), _) => Ok(Self {
                namespace: Some(namespace.to_owned()),
                name: name.to_owned(),
            }),
            (None, namespace) => Ok(Self {
                namespace,
                name: pod,
            }),
        }
    }

    fn is_of(&self, pod: &Pod) -> bool {
        (pod.name == self.name || pod.node_pod_name == self.name)
            && self
                .namespace
                .as_ref()
                .is_none_or(|namespace| *namespace == pod.namespace)
    }

    /// The pod of this name, if Seedpod has one.
    pub(crate) async fn find(&self, client: &Client) -> anyhow::Result<Option<Pod>> {
        let mut pods = client.list_pods(None).await?;
        pods.retain(|pod| self.is_of(pod));
        let first = pods.first().map(full_name);
        if let Some(other) = pods
            .iter()
            .map(full_name)
            .find(|name| Some(name) != first.as_ref())
        {
            let first = first.unwrap_or_default();
            return Err(Usage(format!(
                "{:?} may be {first} or {other}: say which, as in NAMESPACE/NAME",
                self.name
            ))
            .into());
        }
        // A bundle may have a pod that another one is still removing; the one that is wanted comes first then.
        pods.sort_by_key(|pod| pod.state == seedpod_client::PodState::Removing);
        Ok(pods.into_iter().next())
    }
}

pub(crate) fn full_name(pod: &Pod) -> String {
    format!("{}/{}", pod.namespace, pod.name)
}
