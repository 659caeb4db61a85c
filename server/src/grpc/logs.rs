//! `GetPodLogs`.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use seedpod_manifest::{NodeName, PodKey};
use seedpod_proto::v1::{
    GetPodLogsRequest, GetPodLogsResponse, LogLine, log_line::Stream as OutputStream,
};
use serde::Deserialize;
use tonic::Status;

use super::{Api, convert, injection::Answers, reason::Reason, status::Fault};
use crate::{
    error::chain,
    logs::{ContainerLine, Demanded, LogError, Output, PodLogs, Target, Wanted},
    node::{NodeHandle, pod_name},
};

/// When a client may try again after the runtime did not answer.
const RUNTIME_RETRY: Duration = Duration::from_secs(1);

const POD: &str = "seedpod.dev/Pod";

impl Api {
    pub(super) async fn pod_logs(
        &self,
        request: GetPodLogsRequest,
    ) -> Result<Answers<GetPodLogsResponse>, Status> {
        let (pod, wanted) = parse(request, Timestamp::now())?;
        let target = target(&pod, &self.info.node);
        let status = move |error: LogError| Status::from(fault(&error, &pod));
        let Some(runtime) = self.runtime.clone() else {
            return Err(status(LogError::NoRuntime));
        };
        let (handle, node) = (self.handle.clone(), self.info.node.clone());
        let demand = demand(handle, target.namespace.clone(), node);
        let observation = self.handle.observation();
        let logs = PodLogs::open(runtime, target, wanted, demand, observation)
            .await
            .map_err(&status)?;
        let batches = stream::unfold(logs, |mut logs| async move {
            let batch = logs.next().await?;
            Some((batch, logs))
        });
        let answers = batches.map(move |batch| match batch {
            Ok(lines) => Ok(GetPodLogsResponse {
                lines: lines.into_iter().map(line).collect(),
            }),
            Err(error) => Err(status(error)),
        });
        Ok(answers.boxed())
    }
}

/// What the kubelet may call a pod that is given by its name in the manifest, or by the kubelet's.
fn target(pod: &PodKey, node: &NodeName) -> Target {
    Target {
        namespace: pod.namespace.clone(),
        names: vec![format!("{}-{node}", pod.name), pod.name.clone()],
    }
}

/// What the bundles have of a pod.
fn demand(
    handle: NodeHandle,
    namespace: String,
    node: NodeName,
) -> impl Fn(&str) -> Option<Demanded> + Send + Sync + 'static {
    move |full_name| {
        let name = pod_name(full_name, &node)?;
        let state = handle.state();
        let mut pods = state.pods();
        let (_, pod) =
            pods.find(|(_, pod)| pod.key.namespace == namespace && pod.key.name == name)?;
        Some(Demanded {
            uid: pod.uid.clone(),
            containers: container_names(&pod.rendered),
        })
    }
}

/// The names of all containers of a rendered pod.
fn container_names(rendered: &str) -> Vec<String> {
    #[derive(Default, Deserialize)]
    struct Pod {
        spec: Spec,
    }
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Spec {
        init_containers: Vec<Container>,
        containers: Vec<Container>,
    }
    #[derive(Deserialize)]
    struct Container {
        name: String,
    }
    let spec = serde_json::from_str::<Pod>(rendered)
        .unwrap_or_default()
        .spec;
    let all = spec.init_containers.into_iter().chain(spec.containers);
    all.map(|container| container.name).collect()
}

fn parse(request: GetPodLogsRequest, now: Timestamp) -> Result<(PodKey, Wanted), Fault> {
    let invalid = |field: &str, description: String| {
        Fault::field(Reason::InvalidLogOptions, field, description)
    };
    if request.name.is_empty() {
        let description = "the name of a pod is required; ListPods tells which there are";
        return Err(Fault::field(Reason::InvalidPodName, "name", description));
    }
    if request.follow && request.previous {
        let description = "an earlier attempt has ended and cannot be followed; ask without follow";
        return Err(invalid("previous", description.to_owned()));
    }
    let tail = request.tail_lines.map(|lines| {
        u64::try_from(lines).map_err(|_| {
            let description = format!("{lines} is negative; give 0 or more, or leave it out");
            invalid("tail_lines", description)
        })
    });
    let since = match (request.since_time, request.since) {
        (None, None) => None,
        (Some(_), Some(_)) => {
            let description = "give since or since_time, not both";
            return Err(invalid("since", description.to_owned()));
        }
        (Some(time), None) => Some(time_of(time).ok_or_else(|| {
            let description = "it is no valid time: the years 1 to 9999, and 0 to 999999999 ns";
            invalid("since_time", description.to_owned())
        })?),
        (None, Some(duration)) => {
            let description = "it is no valid duration; give 0 or more seconds";
            let duration = duration_of(duration)
                .filter(|duration| !duration.is_negative())
                .ok_or_else(|| invalid("since", description.to_owned()))?;
            // Longer than time itself is everything.
            Some(now.checked_sub(duration).unwrap_or(Timestamp::MIN))
        }
    };
    let namespace = match request.namespace {
        none if none.is_empty() => "default".to_owned(),
        namespace => namespace,
    };
    let pod = PodKey {
        namespace,
        name: request.name,
    };
    let wanted = Wanted {
        container: Some(request.container).filter(|name| !name.is_empty()),
        follow: request.follow,
        tail: tail.transpose()?,
        since,
        previous: request.previous,
    };
    Ok((pod, wanted))
}

fn time_of(time: prost_types::Timestamp) -> Option<Timestamp> {
    if !(0..1_000_000_000).contains(&time.nanos) {
        return None;
    }
    Timestamp::new(time.seconds, time.nanos).ok()
}

/// Seconds and nanoseconds with the same sign.
fn duration_of(duration: prost_types::Duration) -> Option<SignedDuration> {
    let prost_types::Duration { seconds, nanos } = duration;
    let one_sign = seconds == 0 || nanos == 0 || (seconds > 0) == (nanos > 0);
    (one_sign && nanos.unsigned_abs() < 1_000_000_000).then(|| SignedDuration::new(seconds, nanos))
}

fn line(line: ContainerLine) -> LogLine {
    let ContainerLine {
        container,
        attempt,
        line,
    } = line;
    let stream = match line.output {
        Output::Stdout => OutputStream::Stdout,
        Output::Stderr => OutputStream::Stderr,
    };
    LogLine {
        time: Some(convert::timestamp(line.time)),
        container: container.to_string(),
        restart_count: attempt,
        stream: stream.into(),
        text: line.text,
        partial: line.is_partial,
    }
}

fn fault(error: &LogError, pod: &PodKey) -> Fault {
    let what = chain(error);
    match error {
        LogError::NoRuntime => {
            let message = format!(
                "{what}, so that it is not known where the logs are; set containerRuntimeEndpoint \
                 in the daemon's configuration"
            );
            Fault::new(Reason::RuntimeNotConfigured, message)
        }
        LogError::NoPod => {
            let message = format!(
                "there is no pod {pod} on this node: no bundle has it, and nothing of it is left; \
                 ListPods tells which there are"
            );
            Fault::new(Reason::PodNotFound, message)
                .meta("pod", pod)
                .resource(POD, pod)
        }
        LogError::NoContainer { name, names } => {
            let names = names.join(", ");
            let description = format!("pod {pod} has no container {name:?}; it has {names}");
            Fault::field(Reason::ContainerNotFound, "container", description)
                .meta("pod", pod)
                .meta("containers", &names)
                .resource(POD, pod)
        }
        LogError::NoPrevious => {
            let message = format!(
                "pod {pod} has no earlier attempt of a container whose log is left; ask without \
                 previous"
            );
            Fault::new(Reason::PreviousNotFound, message)
                .meta("pod", pod)
                .resource(POD, pod)
        }
        LogError::Runtime(source) => {
            let cause = source.root_cause();
            let message = format!(
                "the container runtime does not answer ({cause}), so that it is not known where \
                 the logs of pod {pod} are; see that it runs, and try again"
            );
            Fault::new(Reason::RuntimeUnreachable, message)
                .meta("cause", &cause)
                .retry_after(RUNTIME_RETRY)
        }
        LogError::Unreadable { .. } => {
            let message = format!("{what}; look at the disk behind it, and who may read it");
            Fault::new(Reason::LogUnreadable, message).meta("pod", pod)
        }
        LogError::Lost { container } => {
            let message = format!(
                "{what}, so that lines of pod {pod} are missing after those that were sent; go on \
                 with what is left by since_time, and read faster or raise containerLogMaxFiles"
            );
            Fault::new(Reason::LogLinesLost, message)
                .meta("pod", pod)
                .meta("container", container)
        }
        LogError::Failed => {
            let message = "the daemon failed to read the logs; please report this with its log";
            Fault::new(Reason::Internal, message)
        }
    }
}

#[cfg(test)]
mod tests;
