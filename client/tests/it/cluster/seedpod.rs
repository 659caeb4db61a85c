//! The played nodes' Seedpods.

use std::{
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
};

use futures_util::{Stream, StreamExt as _, stream};
use seedpod_proto::v1::{
    self,
    handoff_service_server::{HandoffService, HandoffServiceServer},
    node_service_server::{NodeService, NodeServiceServer},
    pod_injection_service_server::{PodInjectionService, PodInjectionServiceServer},
};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Request, Response, Status};

use super::world::{Bundle, Node, World};
use crate::fake::refusal;

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[derive(Clone)]
struct Seedpod {
    world: Arc<World>,
    name: String,
}

/// Serves a node's Seedpod on a socket in the folder until the runtime ends.
pub(super) fn serve(world: &Arc<World>, name: &str, folder: &Path) -> PathBuf {
    let socket = folder.join(format!("{name}.sock"));
    let listener = tokio::net::UnixListener::bind(&socket).expect("a socket");
    let seedpod = Seedpod {
        world: Arc::clone(world),
        name: name.to_owned(),
    };
    let server = tonic::transport::Server::builder()
        .add_service(PodInjectionServiceServer::new(seedpod.clone()))
        .add_service(HandoffServiceServer::new(seedpod.clone()))
        .add_service(NodeServiceServer::new(seedpod))
        .serve_with_incoming(UnixListenerStream::new(listener));
    tokio::spawn(server);
    socket
}

impl Seedpod {
    async fn act<T>(
        &self,
        method: &'static str,
        act: impl FnOnce(&mut Node) -> Result<T, Status>,
    ) -> Result<Response<T>, Status> {
        let name = self.name.clone();
        self.world
            .call(format!("{name} {method}"), |state| {
                let node = state.nodes.get_mut(&name).expect("a node of the world");
                if let Some(refusal) = node.refuses.get(method) {
                    return Err(refusal.clone());
                }
                let done = act(node);
                state.settle();
                done
            })
            .await
            .map(Response::new)
    }

    fn handoff(&self) -> Option<v1::Handoff> {
        self.world.state().nodes[&self.name].handoff.clone()
    }
}

fn no_such(what: &str) -> Status {
    refusal(
        tonic::Code::NotFound,
        "NOT_FOUND",
        &format!("there is no {what}"),
    )
}

fn bundle(node: &Node, name: &str) -> Option<v1::Bundle> {
    let there = node.bundles.get(name)?;
    Some(v1::Bundle {
        name: name.to_owned(),
        revision: there.revision,
        pods: node.pods(name),
        ..v1::Bundle::default()
    })
}

#[tonic::async_trait]
impl PodInjectionService for Seedpod {
    type WatchPodsStream = Answers<v1::WatchPodsResponse>;
    type GetPodLogsStream = Answers<v1::GetPodLogsResponse>;
    type WatchEventsStream = Answers<v1::WatchEventsResponse>;

    async fn inject_pods(
        &self,
        request: Request<v1::InjectPodsRequest>,
    ) -> Result<Response<v1::InjectPodsResponse>, Status> {
        let request = request.into_inner();
        self.act("InjectPods", |node| {
            let before = node.bundles.get(&request.bundle).cloned();
            let same = before
                .as_ref()
                .is_some_and(|before| before.manifests == request.manifests);
            if !same {
                node.bundles.insert(
                    request.bundle.clone(),
                    Bundle {
                        revision: before.map_or(1, |before| before.revision + 1),
                        manifests: request.manifests.clone(),
                    },
                );
            }
            let kind = if same {
                v1::pod_change::Type::Unchanged
            } else {
                v1::pod_change::Type::Added
            };
            let changes = node.pods(&request.bundle).into_iter();
            let changes = changes.map(|pod| v1::PodChange {
                namespace: pod.namespace,
                name: pod.name,
                r#type: kind.into(),
                diff: String::new(),
            });
            Ok(v1::InjectPodsResponse {
                changes: changes.collect(),
                bundle: bundle(node, &request.bundle),
                ..v1::InjectPodsResponse::default()
            })
        })
        .await
    }

    async fn get_bundle(
        &self,
        request: Request<v1::GetBundleRequest>,
    ) -> Result<Response<v1::Bundle>, Status> {
        let name = request.into_inner().name;
        self.act("GetBundle", |node| {
            bundle(node, &name).ok_or_else(|| no_such("bundle"))
        })
        .await
    }

    async fn list_bundles(
        &self,
        _: Request<v1::ListBundlesRequest>,
    ) -> Result<Response<v1::ListBundlesResponse>, Status> {
        self.act("ListBundles", |node| {
            let names = node.bundles.keys();
            Ok(v1::ListBundlesResponse {
                bundles: names.filter_map(|name| bundle(node, name)).collect(),
                next_page_token: String::new(),
            })
        })
        .await
    }

    async fn watch_pods(
        &self,
        request: Request<v1::WatchPodsRequest>,
    ) -> Result<Response<Self::WatchPodsStream>, Status> {
        let name = request.into_inner().bundle;
        let pods = self
            .act("WatchPods", |node| {
                let state = if node.pods_get_ready {
                    v1::PodState::Ready
                } else {
                    v1::PodState::NotReady
                };
                let pods = node.pods(&name).into_iter();
                let pods = pods.map(|pod| v1::Pod {
                    bundle: name.clone(),
                    namespace: pod.namespace,
                    name: pod.name,
                    uid: pod.uid,
                    revision: pod.revision,
                    state: state.into(),
                    message: "its probe fails".to_owned(),
                    ..v1::Pod::default()
                });
                Ok(pods.collect())
            })
            .await?;
        let whole = v1::WatchPodsResponse {
            whole: true,
            pods: pods.into_inner(),
            removed: Vec::new(),
        };
        let answers = stream::iter([Ok(whole)]).chain(stream::pending());
        Ok(Response::new(Box::pin(answers)))
    }

    async fn remove_bundle(
        &self,
        _: Request<v1::RemoveBundleRequest>,
    ) -> Result<Response<v1::RemoveBundleResponse>, Status> {
        Err(Status::unimplemented("RemoveBundle"))
    }

    async fn list_pods(
        &self,
        _: Request<v1::ListPodsRequest>,
    ) -> Result<Response<v1::ListPodsResponse>, Status> {
        Err(Status::unimplemented("ListPods"))
    }

    async fn list_objects(
        &self,
        _: Request<v1::ListObjectsRequest>,
    ) -> Result<Response<v1::ListObjectsResponse>, Status> {
        Err(Status::unimplemented("ListObjects"))
    }

    async fn get_pod_logs(
        &self,
        _: Request<v1::GetPodLogsRequest>,
    ) -> Result<Response<Self::GetPodLogsStream>, Status> {
        Err(Status::unimplemented("GetPodLogs"))
    }

    async fn watch_events(
        &self,
        _: Request<v1::WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        Err(Status::unimplemented("WatchEvents"))
    }

    async fn list_revisions(
        &self,
        _: Request<v1::ListRevisionsRequest>,
    ) -> Result<Response<v1::ListRevisionsResponse>, Status> {
        Err(Status::unimplemented("ListRevisions"))
    }

    async fn get_revision(
        &self,
        _: Request<v1::GetRevisionRequest>,
    ) -> Result<Response<v1::Revision>, Status> {
        Err(Status::unimplemented("GetRevision"))
    }

    async fn rollback_bundle(
        &self,
        _: Request<v1::RollbackBundleRequest>,
    ) -> Result<Response<v1::RollbackBundleResponse>, Status> {
        Err(Status::unimplemented("RollbackBundle"))
    }

    async fn confirm_revision(
        &self,
        _: Request<v1::ConfirmRevisionRequest>,
    ) -> Result<Response<v1::ConfirmRevisionResponse>, Status> {
        Err(Status::unimplemented("ConfirmRevision"))
    }
}

#[tonic::async_trait]
impl NodeService for Seedpod {
    async fn get_node(&self, _: Request<v1::GetNodeRequest>) -> Result<Response<v1::Node>, Status> {
        self.act("GetNode", |node| Ok(node.says.clone())).await
    }

    async fn check_node(
        &self,
        request: Request<v1::CheckNodeRequest>,
    ) -> Result<Response<v1::CheckNodeResponse>, Status> {
        let request = request.into_inner();
        self.act("CheckNode", |node| {
            let mut answer = node.check.clone();
            answer.time = answer
                .time
                .or_else(|| Some(std::time::SystemTime::now().into()));
            let holds = |port: &u32| node.bundles.iter().find(|_| *port > 0);
            if answer.ports.is_empty() {
                let ports = request.ports.iter();
                answer.ports = ports
                    .map(|port| v1::PortCheck {
                        port: *port,
                        free: holds(port).is_none(),
                        pod: holds(port).map(|(bundle, _)| v1::PodReference {
                            bundle: bundle.clone(),
                            ..v1::PodReference::default()
                        }),
                        holder: String::new(),
                    })
                    .collect();
            }
            if answer.images.is_empty() {
                let images = request.images.iter();
                answer.images = images
                    .map(|image| v1::ImageCheck {
                        image: image.clone(),
                        present: true,
                        message: String::new(),
                    })
                    .collect();
            }
            if answer.paths.is_empty() {
                let paths = request.paths.iter();
                answer.paths = paths
                    .map(|path| v1::PathCheck {
                        path: path.clone(),
                        free_bytes: 64 << 30,
                        in_use: node.bundles.contains_key("etcd"),
                    })
                    .collect();
            }
            node.checked.push(request);
            Ok(answer)
        })
        .await
    }

    async fn configure_kubelet(
        &self,
        request: Request<v1::ConfigureKubeletRequest>,
    ) -> Result<Response<v1::ConfigureKubeletResponse>, Status> {
        let request = request.into_inner();
        self.act("ConfigureKubelet", |node| {
            let mut answer = v1::ConfigureKubeletResponse::default();
            if request.kubeconfig.is_some() && request.kubeconfig != node.kubeconfig {
                answer
                    .changed
                    .push("/var/lib/kubelet/kubeconfig".to_owned());
                answer.restarted = true;
            }
            if !request.validate_only && answer.restarted {
                node.kubeconfig = request.kubeconfig;
                node.kubelet_restarts += 1;
            }
            Ok(answer)
        })
        .await
    }

    async fn reset_node(
        &self,
        request: Request<v1::ResetNodeRequest>,
    ) -> Result<Response<v1::ResetNodeResponse>, Status> {
        let request = request.into_inner();
        self.act("ResetNode", |node| {
            let mut answer = v1::ResetNodeResponse::default();
            node.handoff = None;
            for bundle in &request.bundles {
                if node.bundles.remove(bundle).is_some() {
                    answer.bundles.push(bundle.clone());
                    if bundle == "etcd" {
                        answer.removed.extend(request.directories.clone());
                    }
                }
            }
            if request.kubelet && node.kubeconfig.take().is_some() {
                answer.kubelet_restarted = true;
            }
            node.resets.push(request);
            Ok(answer)
        })
        .await
    }
}

#[tonic::async_trait]
impl HandoffService for Seedpod {
    type ApplyObjectsStream = Answers<v1::ApplyObjectsResponse>;
    type WatchHandoffStream = Answers<v1::WatchHandoffResponse>;

    async fn apply_objects(
        &self,
        request: Request<v1::ApplyObjectsRequest>,
    ) -> Result<Response<Self::ApplyObjectsStream>, Status> {
        let request = request.into_inner();
        let answers = self
            .world
            .call(format!("{} ApplyObjects", self.name), |state| {
                if let Some(refusal) = state.nodes[&self.name].refuses.get("ApplyObjects") {
                    return Err(refusal.clone());
                }
                if !state.api_answers() {
                    return Err(refusal(
                        tonic::Code::Unavailable,
                        "API_SERVER_UNAVAILABLE",
                        "the API server does not answer",
                    ));
                }
                let mut answers = Vec::new();
                for manifest in &request.manifests {
                    let text = manifest.replace('"', "");
                    if let Some((_, value)) = text.split_once("verified: ") {
                        let value = value.trim_end_matches(['}', ' ', '\n']);
                        state.verified = Some(value.to_owned());
                    }
                    let mut hash = manifest.clone();
                    hash.truncate(200);
                    let new = !request.validate_only && state.applied.insert(hash.clone());
                    let result = if new {
                        v1::apply_objects_response::Result::Created
                    } else {
                        v1::apply_objects_response::Result::Unchanged
                    };
                    answers.push(Ok(v1::ApplyObjectsResponse {
                        object: Some(v1::ObjectReference {
                            name: hash,
                            ..v1::ObjectReference::default()
                        }),
                        result: result.into(),
                        message: String::new(),
                    }));
                }
                Ok(answers)
            })
            .await?;
        Ok(Response::new(Box::pin(stream::iter(answers))))
    }

    async fn start_handoff(
        &self,
        request: Request<v1::StartHandoffRequest>,
    ) -> Result<Response<v1::Handoff>, Status> {
        let request = request.into_inner();
        self.act("StartHandoff", |node| {
            let begun = node.begun.iter().find(|(id, _)| *id == request.request_id);
            if let (Some((_, handoff)), Some(there)) = (begun, &node.handoff)
                && there.id == *handoff
            {
                return Ok(there.clone());
            }
            let state = node.handoff_state();
            if !matches!(
                state,
                v1::HandoffState::Unspecified | v1::HandoffState::Reverted
            ) {
                return Err(refusal(
                    tonic::Code::AlreadyExists,
                    "HANDOFF_UNDER_WAY",
                    "a handoff is under way",
                ));
            }
            if request.manifests.is_empty() || request.components.len() != 3 {
                return Err(refusal(
                    tonic::Code::InvalidArgument,
                    "INVALID_HANDOFF",
                    "not all is there",
                ));
            }
            let id = format!("handoff-{}", node.begun.len() + 1);
            node.begun.push((request.request_id.clone(), id.clone()));
            let handoff = v1::Handoff {
                id,
                bundle: request.bundle.clone(),
                state: v1::HandoffState::Applying.into(),
                generation: 1,
                ..v1::Handoff::default()
            };
            node.handoff = Some(handoff.clone());
            Ok(handoff)
        })
        .await
    }

    async fn get_handoff(
        &self,
        _: Request<v1::GetHandoffRequest>,
    ) -> Result<Response<v1::Handoff>, Status> {
        self.act("GetHandoff", |node| {
            node.handoff.clone().ok_or_else(|| no_such("handoff"))
        })
        .await
    }

    async fn watch_handoff(
        &self,
        _: Request<v1::WatchHandoffRequest>,
    ) -> Result<Response<Self::WatchHandoffStream>, Status> {
        self.act("WatchHandoff", |_| Ok(())).await?;
        let seedpod = self.clone();
        // Each look finds it one state further.
        let answers = stream::unfold((seedpod, true), |(seedpod, first)| async move {
            if !first {
                let name = seedpod.name.clone();
                let advance = |state: &mut super::world::State| {
                    let node = state.nodes.get_mut(&name).expect("a node of the world");
                    node.advance()
                };
                let call = format!("{name} (handoff goes on)");
                if !seedpod.world.call(call, advance).await {
                    std::future::pending::<()>().await;
                }
            }
            let answer = v1::WatchHandoffResponse {
                handoff: seedpod.handoff(),
            };
            Some((Ok(answer), (seedpod, false)))
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn abort_handoff(
        &self,
        _: Request<v1::AbortHandoffRequest>,
    ) -> Result<Response<v1::Handoff>, Status> {
        Err(Status::unimplemented("AbortHandoff"))
    }
}
