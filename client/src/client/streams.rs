//! The calls that are answered with a stream.

use futures_util::Stream;
use tonic::{Request, Status, Streaming};

use super::{Client, Settings};
use crate::{
    Error, Event, Handoff, LogLine, RetryPolicy,
    stream::{self, Call, EventOptions, LogOptions, PodsUpdate},
};

impl Client {
    /// All pods, or those of one bundle, now and after each change, until the stream is dropped.
    ///
    /// The first item has all pods; each further one tells what has changed, and has them all too, so that nobody needs
    /// to keep books. Several changes can come as one.
    ///
    /// # Guarantees
    /// When the connection breaks or the daemon restarts, the stream goes on by itself, as patiently as
    /// [`Options::retry`](crate::Options::retry) says, and tells what has changed meanwhile. It never ends otherwise
    /// than with an error. The deadline of calls does not hold for it.
    ///
    /// # Cancel safety
    /// Dropping the stream ends the call; nothing is lost but what has not been taken from it.
    pub fn watch_pods(
        &self,
        bundle: Option<&str>,
    ) -> impl Stream<Item = Result<PodsUpdate, Error>> + Send + Unpin + use<> {
        stream::resuming(self.clone(), stream::WatchPods::new(bundle))
    }

    /// What has happened on the node, oldest first, and what happens next, until the stream is dropped, or with
    /// [`EventOptions::until_now`] until the newest event.
    ///
    /// # Guarantees
    /// None is missed and none comes twice, also when the connection breaks or the daemon restarts in between; see
    /// [`Self::watch_pods`]. A program that keeps the [number](Event::sequence) of the last event that it has dealt with
    /// goes on from there with [`EventOptions::after`].
    ///
    /// # Errors
    /// Those of [`Error`]; [`Code::OutOfRange`](crate::Code::OutOfRange) when events after the given number are gone
    /// already, with the [oldest one that is left](Error::oldest_sequence).
    ///
    /// # Cancel safety
    /// Dropping the stream ends the call.
    pub fn watch_events(
        &self,
        options: EventOptions,
    ) -> impl Stream<Item = Result<Event, Error>> + Send + Unpin + use<> {
        stream::resuming(self.clone(), stream::WatchEvents::new(options))
    }

    /// What the containers of a pod have written, line by line in the order of time; with [`LogOptions::follow`] also
    /// what they write from now on, until the stream is dropped or the pod is gone.
    ///
    /// # Guarantees
    /// When the connection breaks or the daemon restarts, the stream goes on where it was, without a line missed or
    /// doubled; see [`Self::watch_pods`].
    ///
    /// # Errors
    /// Those of [`Error`]; [`Code::NotFound`](crate::Code::NotFound) when there is no such pod or container.
    ///
    /// # Cancel safety
    /// Dropping the stream ends the call.
    pub fn get_pod_logs(
        &self,
        options: LogOptions,
    ) -> impl Stream<Item = Result<LogLine, Error>> + Send + Unpin + use<> {
        stream::resuming(self.clone(), stream::PodLogs::new(options))
    }

    /// [`Self::get_pod_logs`] with [`LogOptions::follow`].
    pub fn follow_logs(
        &self,
        options: LogOptions,
    ) -> impl Stream<Item = Result<LogLine, Error>> + Send + Unpin + use<> {
        self.get_pod_logs(options.follow(true))
    }

    /// The node's handoff, now and whenever it has changed, until the stream is dropped. A slow reader gets the newest.
    ///
    /// # Guarantees
    /// When the connection breaks or the daemon restarts, the stream goes on by itself; see [`Self::watch_pods`].
    ///
    /// # Errors
    /// Those of [`Error`]; [`Code::NotFound`](crate::Code::NotFound) when there was no handoff, or when it goes with its
    /// bundle.
    ///
    /// # Cancel safety
    /// Dropping the stream ends the call.
    pub fn watch_handoff(
        &self,
    ) -> impl Stream<Item = Result<Handoff, Error>> + Send + Unpin + use<> {
        stream::resuming(self.clone(), stream::WatchHandoff::default())
    }

    pub(crate) fn retry_policy(&self) -> RetryPolicy {
        self.settings.retry
    }

    /// Begins a call that is answered with a stream. The deadline is for the beginning alone, and the node is not told
    /// of it, or it would end the stream then.
    pub(crate) async fn open<C: Call>(
        &self,
        message: C::Request,
    ) -> Result<Streaming<C::Answer>, Error> {
        let opened = C::open(self.channel.clone(), Request::new(message));
        match tokio::time::timeout(self.settings.deadline, opened).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(self.stream_error::<C>(&status)),
            Err(_) => Err(Error::Deadline {
                method: C::METHOD,
                after: self.settings.deadline,
            }),
        }
    }

    pub(crate) fn stream_error<C: Call>(&self, status: &Status) -> Error {
        self.broken_stream(status, C::METHOD)
    }

    /// The error that a stream has ended with.
    pub(super) fn broken_stream(&self, status: &Status, method: &'static str) -> Error {
        let Settings {
            endpoint, deadline, ..
        } = &*self.settings;
        match Error::from_status(status, method, endpoint, *deadline, &self.alert) {
            // A stream has no deadline: something between here and the node has cancelled it.
            Error::Deadline { method, .. } => Error::Broken {
                endpoint: endpoint.clone(),
                method,
                source: status.message().into(),
            },
            error => error,
        }
    }
}
