//! The calls about revisions.

use seedpod_proto::v1;

use super::{Client, injection};
use crate::{Error, Revision, RollbackBundle, RolledBack, retry::Repeat};

impl Client {
    /// The kept revisions of a bundle, newest first, also those of a bundle that was removed; without their manifests.
    ///
    /// # Errors
    /// Those of [`Error`]; [`Code::NotFound`](crate::Code::NotFound) when the node remembers no such bundle.
    pub async fn list_revisions(&self, bundle: impl Into<String>) -> Result<Vec<Revision>, Error> {
        let message = v1::ListRevisionsRequest {
            name: bundle.into(),
        };
        self.call(
            "ListRevisions",
            Repeat::Safe,
            message,
            |channel, request| async move { injection(channel).list_revisions(request).await },
        )
        .await
        .map(|list| list.revisions.into_iter().map(Revision::from).collect())
    }

    /// One kept revision with its manifests, 0 being the active one. The values of literal environment variables whose
    /// name suggests a secret are masked.
    ///
    /// # Errors
    /// Those of [`Error`]; [`Code::NotFound`](crate::Code::NotFound) when the revision is not kept.
    pub async fn get_revision(
        &self,
        bundle: impl Into<String>,
        revision: u64,
    ) -> Result<Revision, Error> {
        self.revision(bundle.into(), revision, false).await
    }

    /// As [`Self::get_revision`], with nothing masked. Needs the role `seedpod:admin`, and is audited.
    ///
    /// # Errors
    /// Those of [`Error`].
    pub async fn get_revision_with_secrets(
        &self,
        bundle: impl Into<String>,
        revision: u64,
    ) -> Result<Revision, Error> {
        self.revision(bundle.into(), revision, true).await
    }

    async fn revision(
        &self,
        name: String,
        revision: u64,
        show_secrets: bool,
    ) -> Result<Revision, Error> {
        let message = v1::GetRevisionRequest {
            name,
            revision,
            show_secrets,
        };
        self.call(
            "GetRevision",
            Repeat::Safe,
            message,
            |channel, request| async move { injection(channel).get_revision(request).await },
        )
        .await
        .map(Revision::from)
    }

    /// Makes the content of a kept revision active again, as a new revision, or with
    /// [`validate_only`](RollbackBundle::validate_only) tells what that would change.
    ///
    /// # Guarantees
    /// Those of [`Self::inject`].
    ///
    /// # Errors
    /// Those of [`Error`]; [`Code::FailedPrecondition`](crate::Code::FailedPrecondition) when there is no revision to go
    /// back to.
    pub async fn rollback_bundle(&self, request: &RollbackBundle) -> Result<RolledBack, Error> {
        let response = self
            .call(
                "RollbackBundle",
                Repeat::Safe,
                request.to_message(),
                |channel, request| async move { injection(channel).rollback_bundle(request).await },
            )
            .await?;
        RolledBack::try_from(response)
    }

    /// Ends the trial of a revision well: it stays. Confirming what is confirmed already does nothing.
    ///
    /// # Errors
    /// Those of [`Error`]; [`Code::Aborted`](crate::Code::Aborted) when the revision is not the active one (any more),
    /// [`Code::FailedPrecondition`](crate::Code::FailedPrecondition) when it was not injected as a trial.
    pub async fn confirm_revision(
        &self,
        bundle: impl Into<String>,
        revision: u64,
    ) -> Result<Revision, Error> {
        let message = v1::ConfirmRevisionRequest {
            name: bundle.into(),
            revision,
        };
        self.call(
            "ConfirmRevision",
            Repeat::Safe,
            message,
            |channel, request| async move { injection(channel).confirm_revision(request).await },
        )
        .await?
        .revision
        .map(Revision::from)
        .ok_or(Error::Answer {
            method: "ConfirmRevision",
            field: "revision",
        })
    }
}
