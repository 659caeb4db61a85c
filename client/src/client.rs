//! The client: one connection to one node.

mod apply;
mod handoff;
mod node;
mod objects;
mod revisions;
mod streams;

pub(crate) use handoff::service as handoff_service;

use std::{
    fmt,
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{Stream, TryStreamExt, stream};
use seedpod_proto::v1::{self, pod_injection_service_client::PodInjectionServiceClient};
use tonic::{Request, Response, Status, transport::Channel};

use crate::{
    Bundle, Endpoint, Error, InjectPods, Injected, Options, Pod, RemoveBundle, RetryPolicy,
    connect,
    connect::Alert,
    retry::{self, Repeat},
};

/// The largest answer that is taken. A dry run's diff can be a multiple of the 4 MiB that a bundle may have.
const MAX_ANSWER: usize = 64 << 20;

/// How many entries are asked for at once: the most that the node gives.
const PAGE_SIZE: i32 = 1000;

/// A client for one node.
///
/// Cloning is cheap, and all clones share one connection. When it is lost, the next call makes a new one.
#[derive(Clone)]
pub struct Client {
    channel: Channel,
    alert: Alert,
    settings: Arc<Settings>,
}

#[derive(Debug, Clone)]
struct Settings {
    endpoint: Endpoint,
    deadline: Duration,
    retry: RetryPolicy,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("endpoint", &self.settings.endpoint)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Connects to a node, and keeps on trying for [`Options::connect_wait`] while nobody answers.
    ///
    /// # Errors
    /// [`Error::Options`], [`Error::Connect`] or [`Error::Tls`]. A server that refuses the client's certificate may say
    /// so only when the first call is made: in TLS 1.3 the client is done with the handshake before.
    pub async fn connect(options: Options) -> Result<Self, Error> {
        let end = Instant::now() + options.connect_wait;
        let policy = RetryPolicy::new(
            usize::MAX,
            Duration::from_millis(100),
            Duration::from_secs(2),
        );
        let connected = retry::run(policy, Repeat::Safe, end, || connect::eager(&options)).await?;
        Ok(Self::new(connected, options))
    }

    /// A client that connects with its first call.
    ///
    /// # Errors
    /// [`Error::Options`].
    pub fn connect_lazy(options: Options) -> Result<Self, Error> {
        Ok(Self::new(connect::lazy(&options)?, options))
    }

    fn new((channel, alert): (Channel, Alert), options: Options) -> Self {
        let Options {
            endpoint,
            deadline,
            retry,
            ..
        } = options;
        Self {
            channel,
            alert,
            settings: Arc::new(Settings {
                endpoint,
                deadline,
                retry,
            }),
        }
    }

    /// The same client with another deadline per call.
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        let settings = Settings {
            deadline,
            ..(*self.settings).clone()
        };
        Self {
            channel: self.channel.clone(),
            alert: self.alert.clone(),
            settings: Arc::new(settings),
        }
    }

    /// Where the node listens.
    pub fn endpoint(&self) -> &Endpoint {
        &self.settings.endpoint
    }

    pub(crate) fn deadline(&self) -> Duration {
        self.settings.deadline
    }

    /// Makes the bundle consist of exactly the pods in the request, or with
    /// [`validate_only`](InjectPods::validate_only) tells what that would change.
    ///
    /// # Guarantees
    /// When this returns `Ok` (and not only validated), the new revision is durable on the node's disk. Whether its
    /// pods are ready is told by [`Self::wait_ready`]. Sent again under the same request id, the request is carried out
    /// once; that is also how retries are made.
    ///
    /// # Errors
    /// Those of [`Error`]; after [`Error::Deadline`] and [`Error::Broken`] send the same request again to find out.
    pub async fn inject(&self, request: &InjectPods) -> Result<Injected, Error> {
        let message = request.to_message();
        let response = self
            .call(
                "InjectPods",
                Repeat::Safe,
                message,
                |channel, request| async move { injection(channel).inject_pods(request).await },
            )
            .await?;
        Injected::try_from(response)
    }

    /// The active revision of one bundle.
    ///
    /// # Errors
    /// Those of [`Error`]; [`Code::NotFound`](crate::Code::NotFound) when there is no such bundle.
    pub async fn get_bundle(&self, name: impl Into<String>) -> Result<Bundle, Error> {
        let message = v1::GetBundleRequest { name: name.into() };
        self.call(
            "GetBundle",
            Repeat::Safe,
            message,
            |channel, request| async move { injection(channel).get_bundle(request).await },
        )
        .await
        .map(Bundle::from)
    }

    /// All bundles, ordered by name.
    ///
    /// # Errors
    /// Those of [`Error`].
    pub async fn list_bundles(&self) -> Result<Vec<Bundle>, Error> {
        self.stream_bundles().try_collect().await
    }

    /// All bundles, ordered by name, read page by page as they are taken from the stream.
    pub fn stream_bundles(&self) -> impl Stream<Item = Result<Bundle, Error>> + Send + use<> {
        let client = self.clone();
        pages(move |page_token| {
            let client = client.clone();
            let message = v1::ListBundlesRequest {
                page_size: PAGE_SIZE,
                page_token,
            };
            async move {
                let page =
                    client
                        .call(
                            "ListBundles",
                            Repeat::Safe,
                            message,
                            |channel, request| async move {
                                injection(channel).list_bundles(request).await
                            },
                        )
                        .await?;
                Ok((
                    page.bundles.into_iter().map(Bundle::from).collect(),
                    page.next_page_token,
                ))
            }
        })
    }

    /// The pods of one bundle, or with `None` of all, ordered by bundle, namespace and name.
    ///
    /// # Errors
    /// Those of [`Error`].
    pub async fn list_pods(&self, bundle: Option<&str>) -> Result<Vec<Pod>, Error> {
        self.stream_pods(bundle).try_collect().await
    }

    /// As [`Self::list_pods`], read page by page as they are taken from the stream.
    pub fn stream_pods(
        &self,
        bundle: Option<&str>,
    ) -> impl Stream<Item = Result<Pod, Error>> + Send + use<> {
        let client = self.clone();
        let bundle = bundle.unwrap_or_default().to_owned();
        pages(move |page_token| {
            let client = client.clone();
            let message = v1::ListPodsRequest {
                bundle: bundle.clone(),
                page_size: PAGE_SIZE,
                page_token,
            };
            async move {
                let page =
                    client
                        .call(
                            "ListPods",
                            Repeat::Safe,
                            message,
                            |channel, request| async move {
                                injection(channel).list_pods(request).await
                            },
                        )
                        .await?;
                Ok((
                    page.pods.into_iter().map(Pod::from).collect(),
                    page.next_page_token,
                ))
            }
        })
    }

    /// Removes a bundle and its pods. Returns the bundle as it was, or `None` when there was none and the request
    /// [allows](RemoveBundle::allow_missing) that.
    ///
    /// # Guarantees
    /// When this returns `Ok`, the removal is durable. The pods stop after that; [`Self::wait_removed`] tells when.
    ///
    /// # Errors
    /// Those of [`Error`].
    pub async fn remove_bundle(&self, request: &RemoveBundle) -> Result<Option<Bundle>, Error> {
        let response = self
            .call(
                "RemoveBundle",
                request.repeat(),
                request.to_message(),
                |channel, request| async move { injection(channel).remove_bundle(request).await },
            )
            .await?;
        Ok(response.bundle.map(Bundle::from))
    }

    async fn call<M, R, F, Fut>(
        &self,
        method: &'static str,
        repeat: Repeat,
        message: M,
        send: F,
    ) -> Result<R, Error>
    where
        M: Clone,
        F: Fn(Channel, Request<M>) -> Fut,
        Fut: Future<Output = Result<Response<R>, Status>>,
    {
        let Settings {
            endpoint,
            deadline,
            retry,
        } = &*self.settings;
        let end = Instant::now() + *deadline;
        let attempt = || {
            let remaining = end.saturating_duration_since(Instant::now());
            let mut request = Request::new(message.clone());
            request.set_timeout(remaining);
            let answer = tokio::time::timeout(remaining, send(self.channel.clone(), request));
            async {
                match answer.await {
                    Ok(Ok(response)) => Ok(response.into_inner()),
                    Ok(Err(status)) => Err(Error::from_status(
                        &status,
                        method,
                        endpoint,
                        *deadline,
                        &self.alert,
                    )),
                    Err(_) => Err(Error::Deadline {
                        method,
                        after: *deadline,
                    }),
                }
            }
        };
        retry::run(*retry, repeat, end, attempt).await
    }
}

pub(crate) fn injection(channel: Channel) -> PodInjectionServiceClient<Channel> {
    PodInjectionServiceClient::new(channel).max_decoding_message_size(MAX_ANSWER)
}

/// All entries of a list that comes in pages.
fn pages<T, F, Fut>(fetch: F) -> impl Stream<Item = Result<T, Error>> + Send
where
    T: Send,
    F: Fn(String) -> Fut + Send,
    Fut: Future<Output = Result<(Vec<T>, String), Error>> + Send,
{
    stream::try_unfold((Some(String::new()), fetch), |(token, fetch)| async move {
        let Some(token) = token else { return Ok(None) };
        let (items, next) = fetch(token).await?;
        let next = Some(next).filter(|next| !next.is_empty());
        let items = stream::iter(items.into_iter().map(Ok));
        Ok::<_, Error>(Some((items, (next, fetch))))
    })
    .try_flatten()
}
