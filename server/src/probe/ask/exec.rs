//! An exec probe.

use std::time::Duration;

use tonic::{Code, Status};

use super::{Told, line};
use crate::runtime_cri::{Runtime, RuntimeError};

/// Passes when the program ends with 0. As for the kubelet, a program that does not end in time has failed, and one that
/// the runtime could not start was not run.
pub(super) async fn exec<R: Runtime>(
    runtime: Option<&R>,
    container: &str,
    command: &[String],
    limit: Duration,
) -> Told {
    let Some(runtime) = runtime else {
        return Told::NotRun("cannot be run: no containerRuntimeEndpoint is configured".to_owned());
    };
    match runtime.exec(container, command, limit).await {
        Ok(executed) if executed.exit_code == 0 => Told::Passed,
        Ok(executed) => {
            let ended = format!("ended with exit code {}", executed.exit_code);
            let output = line(&executed.output);
            Told::Failed(if output.is_empty() {
                ended
            } else {
                format!("{ended}: {output}")
            })
        }
        Err(error) if is_late(&error) => {
            Told::Failed(format!("did not end within {} s", limit.as_secs()))
        }
        Err(error) => Told::NotRun(format!("could not be run: {}", reason(&error.root_cause()))),
    }
}

/// What is of use in a runtime's message. What containerd and runc put before it names each attempt, so that it would be
/// another message every time.
fn reason(message: &str) -> String {
    let runc = message.rsplit_once("OCI runtime exec failed: ");
    line(runc.map_or(message, |(_, reason)| reason))
}

fn is_late(error: &RuntimeError) -> bool {
    let status = error.source.downcast_ref::<Status>();
    status.is_some_and(|status| status.code() == Code::DeadlineExceeded)
}
