//! `ApplyObjects`.
//!
//! A task of its own applies and writes the audit line; the answer's stream only passes on what it tells. When the client
//! goes away, the stream is dropped, and the task ends.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use seedpod_proto::v1::{
    ApplyObjectsRequest, ApplyObjectsResponse, ObjectReference as WireReference,
    apply_objects_response::Result as WireResult,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use tracing::{Instrument as _, Span};
use zeroize::Zeroizing;

use super::Answers;
use crate::{
    error::chain,
    grpc::{
        Api,
        audit::{self, ObjectCounts},
        reason::Reason,
        status::{self, Fault},
    },
    handoff::ObjectReference,
    kube::{Applied, AppliedResult, ApplyError, Kube, Objects},
};

/// How many answers may wait for a slow client. The last [`RESERVED`] are for results, of which each object has one; the
/// others also for what is waited for, which may be left out.
const QUEUE: usize = RESERVED + 1000;
const RESERVED: usize = 1000;

/// Up to so many bytes are read at once.
const SMALL: usize = 32 * 1024;

/// How many objects the error names that were not applied in time.
const NAMED: usize = 3;

type Sender = mpsc::Sender<Result<ApplyObjectsResponse, Status>>;

impl Api {
    pub(super) async fn apply(
        &self,
        request: Request<ApplyObjectsRequest>,
    ) -> Result<Response<Answers<ApplyObjectsResponse>>, Status> {
        let caller = audit::caller(request.extensions());
        let request = request.into_inner();
        let validate_only = request.validate_only;
        let prepared = match self.prepare(request).await {
            Ok(prepared) => prepared,
            Err(status) => {
                if !validate_only {
                    let none = ObjectCounts::default();
                    audit::record_objects(&caller, "ApplyObjects", 0, &none, Err(&status));
                }
                return Err(status);
            }
        };
        let (sender, receiver) = mpsc::channel(QUEUE);
        let work = async move {
            let objects = prepared.objects.len();
            let mut counts = ObjectCounts::default();
            let result = carry_out(prepared, &sender, &mut counts).await;
            if !validate_only {
                let ended = result.as_ref().copied();
                audit::record_objects(&caller, "ApplyObjects", objects, &counts, ended);
            }
            if let Err(status) = result {
                // A client that is gone needs none.
                let _ = sender.send(Err(status)).await;
            }
        };
        tokio::spawn(work.instrument(Span::current()));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn prepare(&self, request: ApplyObjectsRequest) -> Result<Prepared, Status> {
        let ApplyObjectsRequest {
            manifests,
            kubeconfig,
            timeout,
            validate_only,
        } = request;
        let manifests: Vec<_> = manifests.into_iter().map(Zeroizing::new).collect();
        let kubeconfig = Zeroizing::new(kubeconfig);
        let timeout = status::timeout(timeout)?;
        if manifests.is_empty() {
            let description = "at least one manifest is required";
            return Err(Fault::field(Reason::NoManifests, "manifests", description).into());
        }
        let kube = Kube::from_kubeconfig(&kubeconfig)
            .map_err(|it| status::kubeconfig_fault("kubeconfig", &it))?;
        Ok(Prepared {
            kube,
            objects: self.cluster_objects(manifests).await?,
            timeout,
            validate_only,
        })
    }

    /// Reads objects for an API server, large sets on a thread that nothing else waits for.
    pub(super) async fn cluster_objects(
        &self,
        manifests: Vec<Zeroizing<String>>,
    ) -> Result<Objects, Status> {
        let max_bytes = self.info.max_bundle_bytes;
        let bytes: usize = manifests.iter().map(|manifest| manifest.len()).sum();
        let parsed = if bytes <= SMALL {
            Objects::parse(&manifests, max_bytes)
        } else {
            let _turn = Arc::clone(&self.large_checks).acquire_owned().await;
            tokio::task::spawn_blocking(move || Objects::parse(&manifests, max_bytes))
                .await
                .map_err(|_| status::internal("the daemon failed to read the manifests"))?
        };
        parsed.map_err(|error| status::violations(&error.0))
    }
}

/// What a request asks for, checked.
struct Prepared {
    kube: Kube,
    objects: Objects,
    timeout: Duration,
    validate_only: bool,
}

/// Applies, until it is done, time is up, or nobody listens any more.
async fn carry_out(
    prepared: Prepared,
    sender: &Sender,
    counts: &mut ObjectCounts,
) -> Result<(), Status> {
    let Prepared {
        kube,
        objects,
        timeout,
        validate_only,
    } = prepared;
    let total = objects.len();
    let mut told = Told::default();
    let mut done = 0;
    let on = |applied: &Applied| {
        told.take(applied);
        let is_result = applied.result != AppliedResult::Waiting;
        if is_result {
            count(counts, applied.result);
            done += 1;
        }
        if is_result || sender.capacity() > RESERVED {
            // It is closed when the client is gone, which ends all of this.
            let _ = sender.try_send(Ok(answer(applied)));
        }
    };
    let apply = async {
        if validate_only {
            kube.dry_run(objects, on).await
        } else {
            kube.apply(objects, on).await
        }
    };
    tokio::select! {
        result = tokio::time::timeout(timeout, apply) => match result {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(apply_fault(&error).into()),
            Err(_) => Err(told.not_applied(total - done, timeout).into()),
        },
        () = sender.closed() => Err(Status::cancelled("the client has gone away")),
    }
}

/// What each object that is not applied waits for.
#[derive(Default)]
struct Told(BTreeMap<ObjectReference, String>);

impl Told {
    fn take(&mut self, applied: &Applied) {
        if applied.result == AppliedResult::Waiting {
            self.0
                .insert(applied.object.clone(), applied.message.clone());
            return;
        }
        // Its namespace may have become known only after it waited.
        self.0.retain(|waiting, _| {
            (&waiting.api_version, &waiting.kind, &waiting.name)
                != (
                    &applied.object.api_version,
                    &applied.object.kind,
                    &applied.object.name,
                )
                || !(waiting.namespace.is_empty() || waiting.namespace == applied.object.namespace)
        });
    }

    fn not_applied(&self, waiting: usize, timeout: Duration) -> Fault {
        let mut named: Vec<_> = self
            .0
            .iter()
            .take(NAMED)
            .map(|(object, why)| format!("{object}: {why}"))
            .collect();
        if waiting > named.len() {
            named.push(format!("and {} more", waiting - named.len()));
        }
        let message = format!(
            "{waiting} objects were not applied within {timeout:?}: {}",
            named.join("; ")
        );
        let fault = Fault::new(Reason::ObjectsNotApplied, message).meta("waiting", &waiting);
        match self.0.keys().next() {
            Some(first) => fault.meta("object", first),
            None => fault,
        }
    }
}

fn count(counts: &mut ObjectCounts, result: AppliedResult) {
    match result {
        AppliedResult::Created => counts.created += 1,
        AppliedResult::Configured => counts.configured += 1,
        AppliedResult::Unchanged => counts.unchanged += 1,
        AppliedResult::Waiting => {}
    }
}

fn answer(applied: &Applied) -> ApplyObjectsResponse {
    let ObjectReference {
        api_version,
        kind,
        namespace,
        name,
    } = applied.object.clone();
    let result = match applied.result {
        AppliedResult::Created => WireResult::Created,
        AppliedResult::Configured => WireResult::Configured,
        AppliedResult::Unchanged => WireResult::Unchanged,
        AppliedResult::Waiting => WireResult::Waiting,
    };
    ApplyObjectsResponse {
        object: Some(WireReference {
            api_version,
            kind,
            namespace,
            name,
        }),
        result: result.into(),
        message: applied.message.clone(),
    }
}

fn apply_fault(error: &ApplyError) -> Fault {
    let message = chain(error);
    match error {
        ApplyError::Refused { object, field, .. } | ApplyError::NoNamespace { object, field } => {
            Fault::new(Reason::ObjectRefused, message.as_str())
                .at(field, message)
                .meta("object", object)
        }
        ApplyError::UnknownKind { object, field } => {
            Fault::new(Reason::UnknownKind, message.as_str())
                .at(field, message)
                .meta("object", object)
        }
        ApplyError::Conflict { object, conflicts } => {
            let fault = Fault::new(Reason::FieldManagerConflict, message).meta("object", object);
            match conflicts.first() {
                Some(first) => fault
                    .meta("field", &first.field)
                    .meta("manager", &first.manager),
                None => fault,
            }
        }
        ApplyError::Forbidden { object, .. } => {
            Fault::new(Reason::CredentialsRefused, message).meta("object", object)
        }
        ApplyError::Unauthenticated { .. } => Fault::new(Reason::CredentialsRefused, message),
        ApplyError::Untrusted(_) => Fault::new(Reason::ApiServerUntrusted, message),
    }
}
