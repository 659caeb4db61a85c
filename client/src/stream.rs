//! Streams that go on by themselves after a broken connection or a restart of the daemon.
//!
//! A [`Call`] knows what it has delivered already, and from that, what to ask for when it is opened again. Everything
//! else, which is the same for all of them, is in [`resuming`].

mod events;
mod handoff;
mod logs;
mod pods;

use std::{collections::VecDeque, future::Future};

use backon::{BackoffBuilder as _, ExponentialBackoff};
use futures_util::{Stream, stream};
use tonic::{Request, Response, Status, Streaming, transport::Channel};

pub use events::EventOptions;
pub(crate) use events::WatchEvents;
pub(crate) use handoff::WatchHandoff;
pub use logs::LogOptions;
pub(crate) use logs::PodLogs;
pub use pods::PodsUpdate;
pub(crate) use pods::WatchPods;

use crate::{Client, Error};

/// One call that is answered with a stream, with what must be known to begin it anew.
pub(crate) trait Call: Send + 'static {
    type Request: Send;
    type Answer: Send + 'static;
    type Item: Send;

    const METHOD: &'static str;

    /// The request for what has not been delivered yet.
    fn request(&mut self) -> Self::Request;

    fn open(
        channel: Channel,
        request: Request<Self::Request>,
    ) -> impl Future<Output = Result<Response<Streaming<Self::Answer>>, Status>> + Send;

    /// Called when the node has taken the call on.
    fn opened(&mut self) {}

    /// The items of an answer, without those that were delivered before.
    fn take(&mut self, answer: Self::Answer) -> Vec<Self::Item>;

    /// Whether an end of the stream without an error is its end, and not only that of a connection.
    fn ends(&self) -> bool;
}

struct State<C: Call> {
    client: Client,
    call: C,
    open: Option<Streaming<C::Answer>>,
    items: VecDeque<C::Item>,
    pauses: ExponentialBackoff,
    over: bool,
}

/// The call's items. It ends after the first error that does not pass.
pub(crate) fn resuming<C: Call>(
    client: Client,
    call: C,
) -> impl Stream<Item = Result<C::Item, Error>> + Send + Unpin {
    let pauses = client.retry_policy().backoff().build();
    let state = State {
        client,
        call,
        open: None,
        items: VecDeque::new(),
        pauses,
        over: false,
    };
    Box::pin(stream::unfold(state, |mut state| async move {
        let item = state.next().await?;
        state.over |= item.is_err();
        Some((item, state))
    }))
}

impl<C: Call> State<C> {
    async fn next(&mut self) -> Option<Result<C::Item, Error>> {
        loop {
            if let Some(item) = self.items.pop_front() {
                return Some(Ok(item));
            }
            if self.over {
                return None;
            }
            if let Err(error) = self.advance().await
                && let Err(error) = self.bear(error).await
            {
                return Some(Err(error));
            }
        }
    }

    /// Opens the stream, or reads one answer of it.
    async fn advance(&mut self) -> Result<(), Error> {
        let Some(open) = &mut self.open else {
            let request = self.call.request();
            self.open = Some(self.client.open::<C>(request).await?);
            self.call.opened();
            return Ok(());
        };
        match open.message().await {
            Ok(Some(answer)) => {
                self.items.extend(self.call.take(answer));
                // What has answered is no longer what was failing.
                self.pauses = self.client.retry_policy().backoff().build();
            }
            Ok(None) if self.call.ends() => self.over = true,
            Ok(None) => {
                return Err(self
                    .client
                    .stream_error::<C>(&Status::cancelled("the node has ended the stream")));
            }
            Err(status) => return Err(self.client.stream_error::<C>(&status)),
        }
        Ok(())
    }

    /// Pauses after an error that may pass; returns all others, and one that has come too often in a row.
    async fn bear(&mut self, error: Error) -> Result<(), Error> {
        self.open = None;
        if !error.is_transient() {
            return Err(error);
        }
        let Some(pause) = self.pauses.next() else {
            return Err(error);
        };
        tokio::time::sleep(pause.max(error.retry_delay().unwrap_or_default())).await;
        Ok(())
    }
}
