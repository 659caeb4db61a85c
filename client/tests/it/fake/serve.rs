//! The service behind the script, and the sockets in front of it.

use std::{
    io,
    path::PathBuf,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    thread,
};

use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use seedpod_proto::v1::{
    self,
    handoff_service_server::{HandoffService, HandoffServiceServer},
    node_service_server::{NodeService, NodeServiceServer},
    pod_injection_service_server::{PodInjectionService, PodInjectionServiceServer},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    sync::{mpsc, oneshot},
};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, transport::server::Connected};

use super::{
    Answer, Script, Step,
    stream::{Answers, answers},
};
use crate::certificates::{Ca, Pair};

/// The server's side of TLS.
pub(crate) struct Tls {
    pub(crate) pair: Pair,
    /// Whose clients are let in.
    pub(crate) client_ca: String,
    pub(crate) version: &'static rustls::SupportedProtocolVersion,
}

impl Tls {
    pub(crate) fn new(ca: &Ca, name: &str) -> Self {
        Self {
            pair: ca.server(name),
            client_ca: ca.pem.clone(),
            version: &rustls::version::TLS13,
        }
    }

    fn acceptor(&self) -> TlsAcceptor {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(self.client_ca.as_bytes()).expect("PEM"))
            .expect("a CA");
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .expect("a verifier");
        let chain = CertificateDer::pem_slice_iter(self.pair.certificate.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .expect("PEM");
        let key = PrivateKeyDer::from_pem_slice(self.pair.key.as_bytes()).expect("PEM");
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[self.version])
            .expect("versions")
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .expect("a certificate");
        config.alpn_protocols = vec![b"h2".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }
}

pub(super) enum Listen {
    Unix(PathBuf),
    Tcp(std::net::TcpListener, Box<Tls>),
}

/// The thread that serves; joined when this is dropped.
pub(super) struct Running {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Running {
    pub(super) fn start(script: Arc<Mutex<Script>>, listen: Listen) -> Self {
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            // What hangs on purpose must not hold the end of the test up: the runtime's drop cancels it.
            runtime.block_on(async {
                tokio::select! {
                    () = serve(script, listen, ready) => {}
                    _ = stopped => {}
                }
            });
        });
        is_ready.recv().expect("the service listens");
        Self {
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(script: Arc<Mutex<Script>>, listen: Listen, ready: std::sync::mpsc::Sender<()>) {
    let (connections, incoming) = mpsc::channel::<io::Result<Connection>>(16);
    let open = Arc::new(Mutex::new(Vec::new()));
    let service = Service {
        script,
        open: Arc::clone(&open),
    };
    let accept = async move {
        match listen {
            Listen::Unix(path) => {
                let listener = tokio::net::UnixListener::bind(path).expect("a socket");
                ready.send(()).expect("somebody waits");
                while let Ok((stream, _)) = listener.accept().await {
                    let _ = connections.send(Ok(Connection::new(stream, &open))).await;
                }
            }
            Listen::Tcp(listener, tls) => {
                listener.set_nonblocking(true).expect("a socket");
                let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
                let acceptor = tls.acceptor();
                ready.send(()).expect("somebody waits");
                while let Ok((stream, _)) = listener.accept().await {
                    let (acceptor, connections, open) =
                        (acceptor.clone(), connections.clone(), Arc::clone(&open));
                    tokio::spawn(async move {
                        match acceptor.accept(stream).into_fallible().await {
                            Ok(stream) => {
                                let _ = connections.send(Ok(Connection::new(stream, &open))).await;
                            }
                            Err((_, stream)) => hang_up(stream).await,
                        }
                    });
                }
            }
        }
    };
    let server = tonic::transport::Server::builder()
        .add_service(PodInjectionServiceServer::new(service.clone()))
        .add_service(HandoffServiceServer::new(service.clone()))
        .add_service(NodeServiceServer::new(service))
        .serve_with_incoming(ReceiverStream::new(incoming));
    let (_, served) = tokio::join!(accept, server);
    served.expect("the service runs");
}

/// Ends a connection so that what was said last arrives: closed with something unread, it would be reset.
async fn hang_up(mut stream: tokio::net::TcpStream) {
    let _ = stream.shutdown().await;
    let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
}

/// From now on each write to a connection that is open fails.
pub(super) fn cut_all(open: &Mutex<Vec<Arc<AtomicBool>>>) {
    for connection in open.lock().expect("unpoisoned").drain(..) {
        connection.store(true, Ordering::SeqCst);
    }
}

#[derive(Clone)]
struct Service {
    script: Arc<Mutex<Script>>,
    open: Arc<Mutex<Vec<Arc<AtomicBool>>>>,
}

impl Service {
    async fn answer<Q, R>(
        &self,
        method: &'static str,
        request: Request<Q>,
        decide: impl FnOnce(&mut Script, Q) -> Option<Answer<R>>,
    ) -> Result<Response<R>, Status> {
        let answer = {
            let mut script = self.script.lock().expect("no handler panicked");
            let timeout = request
                .metadata()
                .get("grpc-timeout")
                .and_then(|value| value.to_str().ok());
            script.calls.push((method, timeout.map(str::to_owned)));
            decide(&mut script, request.into_inner())
        };
        match answer {
            Some(Answer::Reply(reply)) => Ok(Response::new(reply)),
            Some(Answer::Refuse(status)) => Err(status),
            Some(Answer::Hang) => std::future::pending().await,
            Some(Answer::Cut) => {
                cut_all(&self.open);
                // Written to a connection that is cut, this closes it.
                Err(Status::unknown("never seen"))
            }
            None => Err(Status::unimplemented(method)),
        }
    }

    async fn stream<Q, R: Send + 'static>(
        &self,
        method: &'static str,
        request: Request<Q>,
        decide: impl FnOnce(&mut Script, Q) -> Option<Answer<Vec<Step<R>>>>,
    ) -> Result<Response<Answers<R>>, Status> {
        let steps = self.answer(method, request, decide).await?.into_inner();
        Ok(Response::new(answers(steps, Arc::clone(&self.open))))
    }
}

#[tonic::async_trait]
impl PodInjectionService for Service {
    async fn inject_pods(
        &self,
        request: Request<v1::InjectPodsRequest>,
    ) -> Result<Response<v1::InjectPodsResponse>, Status> {
        self.answer("InjectPods", request, |script, message| {
            let answer = script.inject.as_mut().map(|handle| handle(&message));
            script.injected.push(message);
            answer
        })
        .await
    }

    async fn get_bundle(
        &self,
        request: Request<v1::GetBundleRequest>,
    ) -> Result<Response<v1::Bundle>, Status> {
        self.answer("GetBundle", request, |script, message| {
            script.get_bundle.as_mut().map(|handle| handle(&message))
        })
        .await
    }

    async fn list_bundles(
        &self,
        request: Request<v1::ListBundlesRequest>,
    ) -> Result<Response<v1::ListBundlesResponse>, Status> {
        self.answer("ListBundles", request, |script, message| {
            script.list_bundles.as_mut().map(|handle| handle(&message))
        })
        .await
    }

    async fn remove_bundle(
        &self,
        request: Request<v1::RemoveBundleRequest>,
    ) -> Result<Response<v1::RemoveBundleResponse>, Status> {
        self.answer("RemoveBundle", request, |script, message| {
            let answer = script.remove.as_mut().map(|handle| handle(&message));
            script.removed.push(message);
            answer
        })
        .await
    }

    async fn list_pods(
        &self,
        request: Request<v1::ListPodsRequest>,
    ) -> Result<Response<v1::ListPodsResponse>, Status> {
        self.answer("ListPods", request, |script, message| {
            script.list_pods.as_mut().map(|handle| handle(&message))
        })
        .await
    }

    async fn list_objects(
        &self,
        request: Request<v1::ListObjectsRequest>,
    ) -> Result<Response<v1::ListObjectsResponse>, Status> {
        self.answer("ListObjects", request, |script, message| {
            script.list_objects.as_mut().map(|handle| handle(&message))
        })
        .await
    }

    type WatchPodsStream = Answers<v1::WatchPodsResponse>;

    async fn watch_pods(
        &self,
        request: Request<v1::WatchPodsRequest>,
    ) -> Result<Response<Self::WatchPodsStream>, Status> {
        self.stream("WatchPods", request, |script, message| {
            let answer = script.watch_pods.as_mut().map(|handle| handle(&message));
            script.pods_watched.push(message);
            answer
        })
        .await
    }

    type GetPodLogsStream = Answers<v1::GetPodLogsResponse>;

    async fn get_pod_logs(
        &self,
        request: Request<v1::GetPodLogsRequest>,
    ) -> Result<Response<Self::GetPodLogsStream>, Status> {
        self.stream("GetPodLogs", request, |script, message| {
            let answer = script.logs.as_mut().map(|handle| handle(&message));
            script.logs_asked.push(message);
            answer
        })
        .await
    }

    type WatchEventsStream = Answers<v1::WatchEventsResponse>;

    async fn watch_events(
        &self,
        request: Request<v1::WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        self.stream("WatchEvents", request, |script, message| {
            let answer = script.events.as_mut().map(|handle| handle(&message));
            script.events_watched.push(message);
            answer
        })
        .await
    }

    async fn list_revisions(
        &self,
        request: Request<v1::ListRevisionsRequest>,
    ) -> Result<Response<v1::ListRevisionsResponse>, Status> {
        self.answer("ListRevisions", request, |script, message| {
            script
                .list_revisions
                .as_mut()
                .map(|handle| handle(&message))
        })
        .await
    }

    async fn get_revision(
        &self,
        request: Request<v1::GetRevisionRequest>,
    ) -> Result<Response<v1::Revision>, Status> {
        self.answer("GetRevision", request, |script, message| {
            script.get_revision.as_mut().map(|handle| handle(&message))
        })
        .await
    }

    async fn rollback_bundle(
        &self,
        request: Request<v1::RollbackBundleRequest>,
    ) -> Result<Response<v1::RollbackBundleResponse>, Status> {
        self.answer("RollbackBundle", request, |script, message| {
            let answer = script.rollback.as_mut().map(|handle| handle(&message));
            script.rolled_back.push(message);
            answer
        })
        .await
    }

    async fn confirm_revision(
        &self,
        request: Request<v1::ConfirmRevisionRequest>,
    ) -> Result<Response<v1::ConfirmRevisionResponse>, Status> {
        self.answer("ConfirmRevision", request, |script, message| {
            let answer = script.confirm.as_mut().map(|handle| handle(&message));
            script.confirmed.push(message);
            answer
        })
        .await
    }
}

#[tonic::async_trait]
impl HandoffService for Service {
    type ApplyObjectsStream = Answers<v1::ApplyObjectsResponse>;

    async fn apply_objects(
        &self,
        _: Request<v1::ApplyObjectsRequest>,
    ) -> Result<Response<Self::ApplyObjectsStream>, Status> {
        Err(Status::unimplemented("ApplyObjects"))
    }

    async fn start_handoff(
        &self,
        request: Request<v1::StartHandoffRequest>,
    ) -> Result<Response<v1::Handoff>, Status> {
        self.answer("StartHandoff", request, |script, message| {
            let answer = script.start_handoff.as_mut().map(|handle| handle(&message));
            script.handoffs_started.push(message);
            answer
        })
        .await
    }

    async fn get_handoff(
        &self,
        request: Request<v1::GetHandoffRequest>,
    ) -> Result<Response<v1::Handoff>, Status> {
        self.answer("GetHandoff", request, |script, message| {
            script.get_handoff.as_mut().map(|handle| handle(&message))
        })
        .await
    }

    type WatchHandoffStream = Answers<v1::WatchHandoffResponse>;

    async fn watch_handoff(
        &self,
        request: Request<v1::WatchHandoffRequest>,
    ) -> Result<Response<Self::WatchHandoffStream>, Status> {
        self.stream("WatchHandoff", request, |script, message| {
            script.watch_handoff.as_mut().map(|handle| handle(&message))
        })
        .await
    }

    async fn abort_handoff(
        &self,
        request: Request<v1::AbortHandoffRequest>,
    ) -> Result<Response<v1::Handoff>, Status> {
        self.answer("AbortHandoff", request, |script, message| {
            let answer = script.abort_handoff.as_mut().map(|handle| handle(&message));
            script.handoffs_aborted.push(message);
            answer
        })
        .await
    }
}

#[tonic::async_trait]
impl NodeService for Service {
    async fn get_node(
        &self,
        request: Request<v1::GetNodeRequest>,
    ) -> Result<Response<v1::Node>, Status> {
        self.answer("GetNode", request, |script, message| {
            script.get_node.as_mut().map(|handle| handle(&message))
        })
        .await
    }

    async fn check_node(
        &self,
        _: Request<v1::CheckNodeRequest>,
    ) -> Result<Response<v1::CheckNodeResponse>, Status> {
        Err(Status::unimplemented("CheckNode"))
    }

    async fn configure_kubelet(
        &self,
        _: Request<v1::ConfigureKubeletRequest>,
    ) -> Result<Response<v1::ConfigureKubeletResponse>, Status> {
        Err(Status::unimplemented("ConfigureKubelet"))
    }

    async fn reset_node(
        &self,
        _: Request<v1::ResetNodeRequest>,
    ) -> Result<Response<v1::ResetNodeResponse>, Status> {
        Err(Status::unimplemented("ResetNode"))
    }
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection that can be cut: from then on each write fails.
struct Connection {
    stream: Box<dyn Io>,
    cut: Arc<AtomicBool>,
}

impl Connection {
    fn new(stream: impl Io + 'static, open: &Mutex<Vec<Arc<AtomicBool>>>) -> Self {
        let cut = Arc::new(AtomicBool::new(false));
        open.lock().expect("unpoisoned").push(Arc::clone(&cut));
        Self {
            stream: Box::new(stream),
            cut,
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = ();
    fn connect_info(&self) {}
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.cut.load(Ordering::SeqCst) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
