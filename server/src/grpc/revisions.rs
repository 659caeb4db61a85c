//! `ListRevisions`, `GetRevision`, `RollbackBundle` and `ConfirmRevision`, and what is told of trials.

use seedpod_manifest::{BundleName, Secrets, object_to_yaml, to_yaml};
use seedpod_proto::v1::{
    self, ConfirmRevisionRequest, ConfirmRevisionResponse, GetRevisionRequest,
    ListRevisionsRequest, ListRevisionsResponse, RollbackBundleRequest, RollbackBundleResponse,
    TrialConfirmation, TrialStatus, revision, trial_status,
};
use tonic::{Request, Status};

use super::{
    Api,
    audit::{self, Caller, Outcome},
    authorize::role_required,
    convert,
    injection::{outcome, request::rollback_id},
    reason::Reason,
    status::{self, Fault},
};
use crate::{
    access::{Identity, Role},
    node::{BootTime, Confirmation, Injected, Left, OnTrial, Revision, Rollback, State, Trial},
    store::Origin,
};

const GET_REVISION: &str = "/seedpod.v1.PodInjectionService/GetRevision";

impl Api {
    pub(super) async fn list_revisions(
        &self,
        request: ListRevisionsRequest,
    ) -> Result<ListRevisionsResponse, Status> {
        let name = status::bundle_name("name", &request.name)?;
        let revisions = self.handle.revisions(&name).await;
        let revisions = revisions.map_err(|error| status::history(&error, &name))?;
        let (state, now) = (self.handle.state(), self.handle.now());
        let revisions = revisions
            .iter()
            .map(|revision| convert_revision(revision, &state, &now))
            .collect();
        Ok(ListRevisionsResponse { revisions })
    }

    pub(super) async fn get_revision(
        &self,
        request: Request<GetRevisionRequest>,
    ) -> Result<v1::Revision, Status> {
        if !request.get_ref().show_secrets {
            let shown = self.read_revision(request.get_ref()).await?;
            return Ok(self.told(shown));
        }
        let caller = audit::caller(request.extensions());
        let identity = request.extensions().get::<Identity>();
        let result = if identity.is_some_and(|identity| identity.has_role(Role::Admin)) {
            self.read_revision(request.get_ref()).await
        } else {
            Err(role_required(identity, GET_REVISION, Role::Admin))
        };
        let outcome = match &result {
            Ok(shown) => Outcome::Shown(&shown.revision.bundle),
            Err(status) => Outcome::Refused(status),
        };
        audit::record(&caller, "GetRevision", &request.get_ref().name, &outcome);
        result.map(|shown| self.told(shown))
    }

    fn told(&self, shown: Shown) -> v1::Revision {
        let (state, now) = (self.handle.state(), self.handle.now());
        v1::Revision {
            manifests: shown.manifests,
            object_manifests: shown.object_manifests,
            ..convert_revision(&shown.revision, &state, &now)
        }
    }

    async fn read_revision(&self, request: &GetRevisionRequest) -> Result<Shown, Status> {
        let name = status::bundle_name("name", &request.name)?;
        let revision = self.handle.revision(&name, request.revision).await;
        let revision = revision.map_err(|error| status::history(&error, &name))?;
        let objects = self.handle.objects(&revision.bundle).await;
        let objects = objects.map_err(|error| status::history(&error, &name))?;
        let secrets = if request.show_secrets {
            Secrets::Shown
        } else {
            Secrets::Masked
        };
        let manifests = revision.bundle.pods.iter().map(|pod| {
            let pod = pod
                .pod()
                .ok_or_else(|| status::internal("the daemon failed to read a pod's manifest"))?;
            Ok(to_yaml(&pod, secrets))
        });
        let object_manifests = revision.bundle.objects.iter().map(|object| {
            let object = objects
                .get(&object.summary.key)
                .ok_or_else(|| status::internal("the daemon failed to read an object's content"))?;
            Ok(object_to_yaml(object, secrets))
        });
        Ok(Shown {
            manifests: manifests.collect::<Result<_, Status>>()?,
            object_manifests: object_manifests.collect::<Result<_, Status>>()?,
            revision,
        })
    }

    pub(super) async fn rollback_and_record(
        &self,
        caller: &Caller,
        request: RollbackBundleRequest,
    ) -> Result<RollbackBundleResponse, Status> {
        let validate_only = request.validate_only;
        let result = self.roll_back(caller, &request).await;
        if !validate_only {
            audit::record(caller, "RollbackBundle", &request.name, &outcome(&result));
        }
        let injected = result?;
        let answer = convert::injected(&injected, validate_only);
        Ok(RollbackBundleResponse {
            bundle: answer.bundle.map(|bundle| self.complete(bundle)),
            changes: answer.changes,
            object_changes: answer.object_changes,
            source_revision: injected.source_revision,
        })
    }

    async fn roll_back(
        &self,
        caller: &Caller,
        request: &RollbackBundleRequest,
    ) -> Result<Injected, Status> {
        let name = status::bundle_name("name", &request.name);
        let id = rollback_id(request);
        let (bundle, id) = match (name, id) {
            (Ok(name), Ok(id)) => (name, id),
            (Err(first), second) => return Err(first.and(second.err()).into()),
            (_, Err(fault)) => return Err(fault.into()),
        };
        let rollback = Rollback {
            bundle: bundle.clone(),
            to_revision: request.to_revision,
            expected_revision: request.expected_revision,
            request: id,
        };
        let result = if request.validate_only {
            self.handle.validate_rollback(rollback).await
        } else {
            let handle = self.handle.on_behalf_of(&caller.who);
            handle.roll_back(rollback).await
        };
        result.map_err(|error| status::rollback(&error, &bundle))
    }

    pub(super) async fn confirm_and_record(
        &self,
        caller: &Caller,
        request: ConfirmRevisionRequest,
    ) -> Result<ConfirmRevisionResponse, Status> {
        let result = self.confirm(caller, &request).await;
        let outcome = match &result {
            Err(status) => Outcome::Refused(status),
            Ok((revision, true)) => Outcome::Changed(&revision.bundle),
            Ok((revision, false)) => Outcome::Unchanged(Some(&revision.bundle)),
        };
        audit::record(caller, "ConfirmRevision", &request.name, &outcome);
        let (revision, _) = result?;
        let (state, now) = (self.handle.state(), self.handle.now());
        Ok(ConfirmRevisionResponse {
            revision: Some(convert_revision(&revision, &state, &now)),
        })
    }

    /// Also tells whether it was not confirmed before.
    async fn confirm(
        &self,
        caller: &Caller,
        request: &ConfirmRevisionRequest,
    ) -> Result<(Revision, bool), Status> {
        let name: BundleName = status::bundle_name("name", &request.name)?;
        if request.revision == 0 {
            let description = "is required: the revision that is on trial, as the injection \
                               answered it";
            return Err(Fault::field(Reason::InvalidRevision, "revision", description).into());
        }
        let handle = self.handle.on_behalf_of(&caller.who);
        let confirmed = handle.confirm(name.clone(), request.revision).await;
        let is_new = confirmed.map_err(|error| status::confirm(&error, &name, request.revision))?;
        let revision = handle.revision(&name, request.revision).await;
        let revision = revision.map_err(|error| status::history(&error, &name))?;
        Ok((revision, is_new))
    }

    /// Adds what the state knows besides the bundle itself.
    pub(super) fn complete(&self, mut bundle: v1::Bundle) -> v1::Bundle {
        let state = self.handle.state();
        let Ok(name) = bundle.name.parse::<BundleName>() else {
            return bundle;
        };
        bundle.last_good_revision = state.good.get(&name).copied().unwrap_or(0);
        let active = state.bundles.get(&name).map(|bundle| bundle.revision);
        if active == Some(bundle.revision)
            && let Some(on_trial) = state.trials.get(&name)
        {
            bundle.trial = Some(of_active(on_trial, &self.handle.now()));
        }
        bundle
    }
}

/// A revision with its manifests.
struct Shown {
    revision: Revision,
    manifests: Vec<String>,
    object_manifests: Vec<String>,
}

fn convert_revision(revision: &Revision, state: &State, now: &BootTime) -> v1::Revision {
    let bundle = convert::bundle(&revision.bundle);
    let on_trial = state
        .trials
        .get(&revision.bundle.name)
        .filter(|_| state.newest_revision(&revision.bundle.name) == Some(bundle.revision));
    let trial = revision.trial.as_ref().map(|trial| match on_trial {
        Some(on_trial) => of_active(on_trial, now),
        None if revision.good => standing(trial, trial_status::State::Confirmed),
        None => standing(trial, trial_status::State::Over),
    });
    let origin = match revision.came.origin {
        Origin::Injected => revision::Origin::Injected,
        Origin::RolledBack => revision::Origin::RolledBack,
        Origin::TrialFailed => revision::Origin::TrialFailed,
        Origin::Removed => revision::Origin::Removed,
    };
    let objects = revision.bundle.objects.iter().map(|object| {
        let used_by = revision.users.get(&object.summary.key);
        convert::object(&revision.bundle.name, object, used_by)
    });
    v1::Revision {
        bundle: bundle.name,
        revision: bundle.revision,
        digest: bundle.digest,
        // That of the bundle is its first revision's.
        create_time: bundle.update_time,
        origin: origin.into(),
        source_revision: revision.came.source_revision,
        reason: revision.came.reason.clone(),
        active: revision.active,
        good: revision.good,
        trial,
        pods: bundle.pods,
        manifests: Vec::new(),
        objects: objects.collect(),
        object_manifests: Vec::new(),
    }
}

/// How the trial of an active revision stands.
fn of_active(on_trial: &OnTrial, now: &BootTime) -> TrialStatus {
    if !on_trial.is_pending() {
        return standing(&on_trial.trial, trial_status::State::Confirmed);
    }
    let remaining = match on_trial.trial.left(now) {
        Left::Time(left) => left,
        // The node is about to go back.
        Left::Nothing | Left::Rebooted => std::time::Duration::ZERO,
    };
    TrialStatus {
        remaining: remaining.try_into().ok(),
        fallback_revision: on_trial
            .fallback
            .as_ref()
            .map_or(0, |bundle| bundle.revision),
        ..standing(&on_trial.trial, trial_status::State::Pending)
    }
}

fn standing(trial: &Trial, state: trial_status::State) -> TrialStatus {
    let confirmation = match trial.terms.confirmation {
        Confirmation::Readiness => TrialConfirmation::Readiness,
        Confirmation::Explicit => TrialConfirmation::Explicit,
    };
    TrialStatus {
        state: state.into(),
        timeout: trial.terms.timeout.try_into().ok(),
        confirmation: confirmation.into(),
        remaining: None,
        fallback_revision: 0,
    }
}
