//! `PodInjectionService`.

mod images;
pub(super) mod request;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::stream::BoxStream;
use seedpod_manifest::{BundleName, Checked, FieldValidation, Options, Violation, check};
use seedpod_proto::v1::{
    Bundle, ConfirmRevisionRequest, ConfirmRevisionResponse, GetBundleRequest, GetPodLogsRequest,
    GetPodLogsResponse, GetRevisionRequest, InjectPodsRequest, InjectPodsResponse,
    ListBundlesRequest, ListBundlesResponse, ListObjectsRequest, ListObjectsResponse,
    ListPodsRequest, ListPodsResponse, ListRevisionsRequest, ListRevisionsResponse,
    RemoveBundleRequest, RemoveBundleResponse, Revision, RollbackBundleRequest,
    RollbackBundleResponse, WatchEventsRequest, WatchEventsResponse, WatchPodsRequest,
    WatchPodsResponse, pod_injection_service_server::PodInjectionService,
};
use tonic::{Request, Response, Status};
use tracing::{Instrument, Span};

use self::request::Injection;
use super::{
    Api,
    audit::{self, Caller, Outcome},
    convert, deadline,
    page::{List, Page},
    pods::{self, PodPage},
    reason::code_name,
    status,
};
use crate::node::{ChangeKind, Inject, Injected, Removal, RemoveError};

/// Up to so many bytes, checking takes less time than handing it to another thread is worth.
const SMALL: usize = 32 * 1024;

const BUNDLES_PER_PAGE: usize = 100;
const PODS_PER_PAGE: usize = 500;

#[tonic::async_trait]
impl PodInjectionService for Api {
    type WatchPodsStream = Answers<WatchPodsResponse>;
    type GetPodLogsStream = Answers<GetPodLogsResponse>;
    type WatchEventsStream = Answers<WatchEventsResponse>;

    async fn inject_pods(
        &self,
        request: Request<InjectPodsRequest>,
    ) -> Result<Response<InjectPodsResponse>, Status> {
        let api = self.clone();
        let caller = audit::caller(request.extensions());
        let limit = deadline::of_client(request.metadata())
            .map_or(self.info.request_timeout, |theirs| {
                theirs.min(self.info.request_timeout)
            });
        let request = request.into_inner();
        carry_through(async move { api.inject_and_record(&caller, request, limit).await }).await
    }

    async fn get_bundle(
        &self,
        request: Request<GetBundleRequest>,
    ) -> Result<Response<Bundle>, Status> {
        let name = status::bundle_name("name", &request.get_ref().name)?;
        let state = self.handle.state();
        let bundle = state
            .bundles
            .get(&name)
            .ok_or_else(|| status::not_found(&name))?;
        Ok(Response::new(Bundle {
            status: Some(pods::bundle_status(&self.handle, &name).await),
            ..self.complete(convert::bundle(bundle))
        }))
    }

    async fn list_bundles(
        &self,
        request: Request<ListBundlesRequest>,
    ) -> Result<Response<ListBundlesResponse>, Status> {
        let request = request.get_ref();
        let page = Page::<String>::parse(
            List::Bundles,
            request.page_size,
            BUNDLES_PER_PAGE,
            &request.page_token,
        )?;
        let state = self.handle.state();
        let all: Vec<_> = state.bundles.values().collect();
        let (bundles, next_page_token) =
            page.take(List::Bundles, all, |bundle| bundle.name.to_string());
        let mut statuses = pods::bundle_statuses(&self.handle).await;
        let bundles = bundles
            .into_iter()
            .map(|bundle| Bundle {
                status: statuses.remove(bundle.name.as_str()),
                ..self.complete(convert::bundle(bundle))
            })
            .collect();
        Ok(Response::new(ListBundlesResponse {
            bundles,
            next_page_token,
        }))
    }

    async fn remove_bundle(
        &self,
        request: Request<RemoveBundleRequest>,
    ) -> Result<Response<RemoveBundleResponse>, Status> {
        let api = self.clone();
        let caller = audit::caller(request.extensions());
        let request = request.into_inner();
        carry_through(async move { api.remove_and_record(&caller, request).await }).await
    }

    async fn list_pods(
        &self,
        request: Request<ListPodsRequest>,
    ) -> Result<Response<ListPodsResponse>, Status> {
        let request = request.get_ref();
        let only = match request.bundle.as_str() {
            "" => None,
            name => Some(status::bundle_name("bundle", name)?),
        };
        let page = PodPage::parse(
            List::Pods(&request.bundle),
            request.page_size,
            PODS_PER_PAGE,
            &request.page_token,
        )?;
        let (pods, next_page_token) = pods::list(&self.handle, only.as_ref(), &page).await;
        Ok(Response::new(ListPodsResponse {
            pods,
            next_page_token,
        }))
    }

    async fn list_objects(
        &self,
        request: Request<ListObjectsRequest>,
    ) -> Result<Response<ListObjectsResponse>, Status> {
        self.list_objects(request.get_ref()).map(Response::new)
    }

    async fn watch_pods(
        &self,
        request: Request<WatchPodsRequest>,
    ) -> Result<Response<Self::WatchPodsStream>, Status> {
        self.watch_pods(&request.into_inner()).map(Response::new)
    }

    async fn get_pod_logs(
        &self,
        request: Request<GetPodLogsRequest>,
    ) -> Result<Response<Self::GetPodLogsStream>, Status> {
        self.pod_logs(request.into_inner()).await.map(Response::new)
    }

    async fn watch_events(
        &self,
        request: Request<WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        self.watch_events(request.into_inner())
            .await
            .map(Response::new)
    }

    async fn list_revisions(
        &self,
        request: Request<ListRevisionsRequest>,
    ) -> Result<Response<ListRevisionsResponse>, Status> {
        self.list_revisions(request.into_inner())
            .await
            .map(Response::new)
    }

    async fn get_revision(
        &self,
        request: Request<GetRevisionRequest>,
    ) -> Result<Response<Revision>, Status> {
        self.get_revision(request).await.map(Response::new)
    }

    async fn rollback_bundle(
        &self,
        request: Request<RollbackBundleRequest>,
    ) -> Result<Response<RollbackBundleResponse>, Status> {
        let api = self.clone();
        let caller = audit::caller(request.extensions());
        let request = request.into_inner();
        carry_through(async move { api.rollback_and_record(&caller, request).await }).await
    }

    async fn confirm_revision(
        &self,
        request: Request<ConfirmRevisionRequest>,
    ) -> Result<Response<ConfirmRevisionResponse>, Status> {
        let api = self.clone();
        let caller = audit::caller(request.extensions());
        let request = request.into_inner();
        carry_through(async move { api.confirm_and_record(&caller, request).await }).await
    }
}

/// The answers of a call that streams.
pub(super) type Answers<T> = BoxStream<'static, Result<T, Status>>;

/// Lets a change go on to its end, its audit line included, when the client goes away and tonic drops the call.
pub(super) async fn carry_through<T: Send + 'static>(
    change: impl Future<Output = Result<T, Status>> + Send + 'static,
) -> Result<Response<T>, Status> {
    match tokio::spawn(change.instrument(Span::current())).await {
        Ok(result) => result.map(Response::new),
        Err(error) => {
            tracing::error!(error = %error, "a call has failed");
            Err(status::internal("the daemon failed to carry out the call"))
        }
    }
}

impl Api {
    async fn inject_and_record(
        &self,
        caller: &Caller,
        request: InjectPodsRequest,
        limit: Duration,
    ) -> Result<InjectPodsResponse, Status> {
        let begin = Instant::now();
        let validate_only = request.validate_only;
        let name = request.bundle.clone();
        let result = self.inject(caller, request, begin + limit).await;
        let code = result
            .as_ref()
            .map_or_else(Status::code, |_| tonic::Code::Ok);
        self.metrics
            .observe_injection(code_name(code), begin.elapsed());
        if !validate_only {
            audit::record(caller, "InjectPods", &name, &outcome(&result));
        }
        result.map(|injected| {
            let answer = convert::injected(&injected, validate_only);
            InjectPodsResponse {
                bundle: answer.bundle.map(|bundle| self.complete(bundle)),
                ..answer
            }
        })
    }

    async fn inject(
        &self,
        caller: &Caller,
        request: InjectPodsRequest,
        until: Instant,
    ) -> Result<Injected, Status> {
        let validate_only = request.validate_only;
        let injection = Injection::parse(request)?;
        let bundle = injection.bundle;
        let checked = self
            .check(
                injection.manifests,
                injection.field_validation,
                injection.allow_secret_env,
            )
            .await?
            .map_err(|found| status::violations(&found))?;
        let inject = Inject {
            bundle: bundle.clone(),
            checked,
            expected_revision: injection.expected_revision,
            request: injection.request,
            trial: injection.trial,
        };
        let handle = self.handle.on_behalf_of(&caller.who);
        let refused = |error| status::inject(&error, &bundle);
        if inject.trial.is_some()
            && let Some(runtime) = &self.runtime
        {
            // An answer that was given once does not depend on what the node has now.
            if let Some(request) = &inject.request
                && let Some(answer) = handle.replay(request.clone()).await.map_err(refused)?
            {
                return Ok(answer);
            }
            let preview = handle.validate(inject.clone()).await.map_err(refused)?;
            let pull = (!validate_only).then_some(until);
            images::check(runtime, &inject.checked.pods, &preview.changes, pull).await?;
            if validate_only {
                return Ok(preview);
            }
        }
        let result = if validate_only {
            handle.validate(inject).await
        } else {
            handle.inject(inject).await
        };
        result.map_err(refused)
    }

    /// Checks the manifests, large ones on a thread that nothing else waits for.
    async fn check(
        &self,
        manifests: Vec<String>,
        field_validation: FieldValidation,
        allow_secret_env: bool,
    ) -> Result<Result<Checked, Vec<Violation>>, Status> {
        let options = Options {
            node: self.info.node.clone(),
            max_pods: self.info.max_pods_per_bundle,
            max_bytes: self.info.max_bundle_bytes,
            field_validation,
            allow_secret_env,
        };
        if manifests.iter().map(String::len).sum::<usize>() <= SMALL {
            return Ok(check(&manifests, &options));
        }
        let _turn = Arc::clone(&self.large_checks).acquire_owned().await;
        tokio::task::spawn_blocking(move || check(&manifests, &options))
            .await
            .map_err(|_| status::internal("the daemon failed to check the manifests"))
    }

    async fn remove_and_record(
        &self,
        caller: &Caller,
        request: RemoveBundleRequest,
    ) -> Result<RemoveBundleResponse, Status> {
        let result = self.remove(caller, &request).await;
        let outcome = match &result {
            Err(status) => Outcome::Refused(status),
            Ok(None) => Outcome::Unchanged(None),
            Ok(Some(removed)) => Outcome::Changed(removed),
        };
        audit::record(caller, "RemoveBundle", &request.name, &outcome);
        let removed = result?;
        Ok(RemoveBundleResponse {
            bundle: removed.map(|bundle| self.complete(convert::bundle(&bundle))),
        })
    }

    async fn remove(
        &self,
        caller: &Caller,
        request: &RemoveBundleRequest,
    ) -> Result<Option<Arc<crate::node::Bundle>>, Status> {
        let name: BundleName = status::bundle_name("name", &request.name)?;
        match self
            .handle
            .on_behalf_of(&caller.who)
            .remove(Removal {
                bundle: name.clone(),
                expected_revision: request.expected_revision,
                forget_history: request.forget_history,
            })
            .await
        {
            Ok(removed) => Ok(Some(removed)),
            Err(RemoveError::NotFound { .. }) if request.allow_missing => Ok(None),
            Err(error) => Err(status::remove(&error, &name)),
        }
    }
}

/// What a change of a bundle came to.
pub(super) fn outcome(result: &Result<Injected, Status>) -> Outcome<'_> {
    match result {
        Err(status) => Outcome::Refused(status),
        Ok(injected) if injected.replayed => Outcome::Replayed(&injected.bundle),
        Ok(injected) if is_unchanged(injected) => Outcome::Unchanged(Some(&injected.bundle)),
        Ok(injected) => Outcome::Changed(&injected.bundle),
    }
}

fn is_unchanged(injected: &Injected) -> bool {
    let pods = injected.changes.iter().map(|change| change.kind);
    let objects = injected.object_changes.iter().map(|change| change.kind);
    pods.chain(objects)
        .all(|kind| kind == ChangeKind::Unchanged)
}
