//! `ResetNode`.

use std::{path::PathBuf, time::Duration};

use seedpod_manifest::BundleName;
use seedpod_proto::v1::{ResetNodeRequest, ResetNodeResponse};
use tokio::time::Instant;
use tonic::Status;

use super::configure::not_restartable;
use crate::{
    grpc::{
        Api,
        audit::{self, Caller, Outcome},
        reason::Reason,
        status::{self, Fault},
    },
    handoff::Stage,
    node::{Removal, RemoveError},
};

/// How often the runtime is asked for what the kubelet should have stopped.
const LOOK: Duration = Duration::from_millis(500);

/// What a request asks for.
struct Reset {
    bundles: Vec<BundleName>,
    kubelet: bool,
    directories: Vec<PathBuf>,
    until: Instant,
}

impl Api {
    pub(super) async fn reset_and_record(
        &self,
        caller: &Caller,
        request: ResetNodeRequest,
    ) -> Result<ResetNodeResponse, Status> {
        let result = self.reset(caller, request).await;
        let outcome = match &result {
            Ok(done)
                if done.bundles.is_empty()
                    && done.removed.is_empty()
                    && !done.kubelet_restarted =>
            {
                Outcome::Unchanged(None)
            }
            Ok(_) => Outcome::Done,
            Err(status) => Outcome::Refused(status),
        };
        audit::record(caller, "ResetNode", "", &outcome);
        result
    }

    async fn reset(
        &self,
        caller: &Caller,
        request: ResetNodeRequest,
    ) -> Result<ResetNodeResponse, Status> {
        let reset = self.parse_reset(request)?;
        let _alone = self.info.host.lock().await;
        if reset.kubelet {
            self.check_kubelet().await?;
        }
        let mut done = ResetNodeResponse::default();
        self.forget_handoff(&reset.bundles).await?;
        for bundle in &reset.bundles {
            if self.remove_bundle(caller, bundle).await? {
                done.bundles.push(bundle.to_string());
            }
            self.wait_stopped(bundle, reset.until).await?;
        }
        // Also what is left of a handoff whose bundle is none of these.
        self.forget_handoff(&[]).await?;
        if reset.kubelet {
            self.reset_kubelet(caller, &mut done).await?;
            self.wait_alone(reset.until).await?;
        }
        for path in reset.directories {
            self.remove_directory(path, &mut done).await?;
        }
        Ok(done)
    }

    fn parse_reset(&self, request: ResetNodeRequest) -> Result<Reset, Status> {
        let ResetNodeRequest {
            bundles,
            kubelet,
            directories,
            timeout,
        } = request;
        let bundles = bundles
            .iter()
            .enumerate()
            .map(|(index, name)| status::bundle_name(&format!("bundles[{index}]"), name))
            .collect::<Result<_, _>>()?;
        let directories: Vec<PathBuf> = directories.into_iter().map(PathBuf::from).collect();
        for (index, path) in directories.iter().enumerate() {
            if let Err(error) = self.info.host.may_remove(path) {
                let field = format!("directories[{index}]");
                let fault = Fault::field(Reason::InvalidDirectory, &field, error.to_string());
                return Err(fault.into());
            }
        }
        let timeout = status::timeout(timeout)?;
        Ok(Reset {
            bundles,
            kubelet,
            directories,
            until: Instant::now() + timeout,
        })
    }

    /// Refuses before anything is taken back what could not be finished.
    async fn check_kubelet(&self) -> Result<(), Status> {
        if self.handle.restarter().is_allowed() {
            return Ok(());
        }
        let host = self.info.host.clone();
        let pending = self
            .on_disk(move || {
                Ok(!host.pending(host.nothing()?)?.is_empty() || host.restart_is_due()?)
            })
            .await?;
        if pending {
            return Err(not_restartable().into());
        }
        Ok(())
    }

    /// The handoff of a standby bundle that is about to go, goes with it: else its pods would come back for a moment.
    async fn forget_handoff(&self, removed_next: &[BundleName]) -> Result<(), Status> {
        let state = self.handle.state();
        let Some(record) = &state.handoff else {
            return Ok(());
        };
        let bundle = &record.spec.bundle;
        let is_standby = record.stage == Stage::Committed && state.bundles.contains_key(bundle);
        if is_standby && removed_next.contains(bundle) {
            return Ok(());
        }
        self.handle
            .forget_handoff()
            .await
            .map_err(|error| status::change(&error))
    }

    /// Tells whether there was one.
    async fn remove_bundle(&self, caller: &Caller, bundle: &BundleName) -> Result<bool, Status> {
        let removal = Removal {
            bundle: bundle.clone(),
            expected_revision: None,
            forget_history: true,
        };
        let was_there = self.handle.state().bundles.contains_key(bundle);
        let handle = self.handle.on_behalf_of(&caller.who);
        match handle.remove(removal).await {
            Ok(_) => Ok(was_there),
            Err(RemoveError::NotFound { .. }) => Ok(false),
            Err(error) => Err(status::remove(&error, bundle)),
        }
    }

    async fn wait_stopped(&self, bundle: &BundleName, until: Instant) -> Result<(), Status> {
        let mut projections = self.handle.projection_watch();
        let stopped = projections.wait_for(|pods| pods.iter().all(|pod| pod.bundle != *bundle));
        match tokio::time::timeout_at(until, stopped).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(status::shutting_down()),
            Err(_) => {
                let projections = self.handle.projections();
                let pods = projections.iter().filter(|pod| pod.bundle == *bundle);
                let names = pods.map(|pod| format!("{} of bundle {bundle}", pod.key));
                Err(still_run(&names.collect::<Vec<_>>()))
            }
        }
    }

    async fn reset_kubelet(
        &self,
        caller: &Caller,
        done: &mut ResetNodeResponse,
    ) -> Result<(), Status> {
        let host = self.info.host.clone();
        let (changes, due) = self
            .on_disk(move || Ok((host.pending(host.nothing()?)?, host.restart_is_due()?)))
            .await?;
        if changes.is_empty() && !due {
            return Ok(());
        }
        let paths = changes.iter().map(|it| it.path.display().to_string());
        done.removed.extend(paths);
        self.change_kubelet(caller, changes).await?;
        done.kubelet_restarted = true;
        Ok(())
    }

    /// A kubelet that is alone stops the pods that it had from an API server, after it has started.
    async fn wait_alone(&self, until: Instant) -> Result<(), Status> {
        let Some(runtime) = &self.runtime else {
            return Ok(());
        };
        let mut left = Vec::new();
        loop {
            match runtime.pods_of_cluster().await {
                Ok(pods) if pods.is_empty() => return Ok(()),
                Ok(pods) => left = pods,
                Err(error) => {
                    tracing::debug!(error = error.root_cause(), "the runtime does not answer");
                }
            }
            if Instant::now() + LOOK > until {
                return Err(still_run(&left));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn remove_directory(
        &self,
        path: PathBuf,
        done: &mut ResetNodeResponse,
    ) -> Result<(), Status> {
        let (host, removed) = (self.info.host.clone(), path.clone());
        let result = tokio::task::spawn_blocking(move || host.remove_directory(&removed)).await;
        match result {
            Err(_) => Err(status::internal("the daemon failed to remove a directory")),
            Ok(Err(error)) => {
                let message = format!(
                    "a directory cannot be removed: {error}; put that right and call again"
                );
                Err(Fault::new(Reason::DirectoryNotRemoved, message).into())
            }
            Ok(Ok(was_there)) => {
                if was_there {
                    tracing::info!(path = %path.display(), "removed a directory");
                    done.removed.push(path.display().to_string());
                }
                Ok(())
            }
        }
    }
}

fn still_run(pods: &[String]) -> Status {
    let which = if pods.is_empty() {
        "the container runtime does not tell what runs".to_owned()
    } else {
        format!("these pods still run: {}", pods.join(", "))
    };
    let message = format!(
        "{which}; look why (the kubelet's log, seedpod logs), and call again: the reset goes on from here"
    );
    Fault::new(Reason::PodsStillRun, message).into()
}
