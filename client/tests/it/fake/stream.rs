//! Answers that are streams, step by step.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, atomic::AtomicBool},
};

use futures_util::{Stream, stream};
use tokio::sync::Semaphore;
use tonic::Status;

use super::serve::cut_all;

/// What happens in a stream next. After the last step it ends with OK.
#[derive(Clone)]
pub(crate) enum Step<R> {
    Send(R),
    Fail(Status),
    /// Cuts all connections.
    Cut,
    /// Waits until the test opens the gate, once for each time that it does.
    Gate(Arc<Semaphore>),
    /// Stays open without another word, and tells the test when the client has gone.
    Stay(Option<Gone>),
}

/// A gate that only the test opens, with `add_permits(1)`.
pub(crate) fn gate() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(0))
}

/// Opens the semaphore when the stream that holds it is dropped.
#[derive(Clone)]
pub(crate) struct Gone(pub(crate) Arc<Semaphore>);

struct Tell(Arc<Semaphore>);

impl Drop for Tell {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

pub(crate) type Answers<R> = Pin<Box<dyn Stream<Item = Result<R, Status>> + Send>>;

pub(super) fn answers<R: Send + 'static>(
    steps: Vec<Step<R>>,
    open: Arc<Mutex<Vec<Arc<AtomicBool>>>>,
) -> Answers<R> {
    let steps = steps.into_iter();
    Box::pin(stream::unfold((steps, open), |(mut steps, open)| async {
        loop {
            match steps.next()? {
                Step::Send(answer) => return Some((Ok(answer), (steps, open))),
                Step::Fail(status) => return Some((Err(status), (steps, open))),
                Step::Cut => {
                    cut_all(&open);
                    // Written to a connection that is cut, this closes it.
                    return Some((Err(Status::unknown("never seen")), (steps, open)));
                }
                Step::Gate(gate) => gate.acquire().await.expect("never closed").forget(),
                Step::Stay(gone) => {
                    let _tell = gone.map(|gone| Tell(gone.0));
                    std::future::pending::<()>().await;
                }
            }
        }
    }))
}
