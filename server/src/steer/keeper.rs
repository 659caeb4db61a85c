//! Keeps the program with the port.
//!
//! A program goes with the last listener of its group, and there is none to be had before the first. So a thread looks
//! who listens, and attaches when a group is new: its first listener is alone with it for a second or two until it
//! serves. Nothing of ours waits on the port meanwhile, which would swallow connections.

use std::{
    collections::BTreeSet,
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use tracing::{info, warn};

use super::{
    Phase, Route, SteerError,
    group::{self, Change},
    sockets::{self, Socket},
};

/// How often is looked: when it hurts each connection that a newcomer gets before it serves, when somebody is awaited,
/// and else, to see that the group is still the same.
const YOUNGER: Duration = Duration::from_millis(10);
const AWAITED: Duration = Duration::from_millis(50);
const SETTLED: Duration = Duration::from_millis(250);

/// What the handles and the thread share.
#[derive(Debug)]
pub(super) struct Keeper {
    port: u16,
    route: Route,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// `None`: the kernel chooses.
    phase: Option<Phase>,
    /// The inodes of the listeners that were there at the last look.
    known: BTreeSet<u64>,
    has_thread: bool,
    /// Nobody has a handle any more. What is attached stays.
    closed: bool,
}

impl Keeper {
    pub(super) fn new(port: u16, route: Route) -> Self {
        Self {
            port,
            route,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    pub(super) fn phase(&self) -> Option<Phase> {
        self.lock().phase
    }

    /// The listeners, and nothing of ours among them.
    pub(super) fn listeners(&self) -> io::Result<Vec<Socket>> {
        let _helper_is_away = self.lock();
        sockets::listeners(self.port)
    }

    /// Whether these are the listeners at the last look.
    #[cfg(test)]
    pub(super) fn knows(&self, listeners: &[Socket]) -> bool {
        self.lock().known == inodes(listeners)
    }

    /// Has a phase hold from now on, also for listeners that come later.
    pub(super) fn set(self: &Arc<Self>, phase: Phase) -> Result<(), SteerError> {
        let mut state = self.lock();
        let listeners = self.look()?;
        self.attach(&listeners, phase)?;
        state.known = inodes(&listeners);
        state.phase = Some(phase);
        if !state.has_thread {
            let keeper = Arc::clone(self);
            thread::Builder::new()
                .name(format!("steer-{}", self.port))
                .spawn(move || keeper.keep())
                .map_err(|source| SteerError::System {
                    port: self.port,
                    source,
                })?;
            state.has_thread = true;
        }
        self.changed.notify_all();
        Ok(())
    }

    /// Leaves the port to the kernel.
    pub(super) fn clear(&self) -> Result<(), SteerError> {
        let mut state = self.lock();
        let listeners = self.look()?;
        group::change(self.port, &listeners, Change::Detach)?;
        state.phase = None;
        self.changed.notify_all();
        Ok(())
    }

    /// Ends the thread.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    fn keep(&self) {
        // The same trouble is told once.
        let mut told = false;
        let mut state = self.lock();
        while !state.closed {
            let Some(phase) = state.phase else {
                state = wait(self.changed.wait(state));
                continue;
            };
            match self.check(&mut state, phase) {
                Ok(()) => told = false,
                Err(error) if !told => {
                    told = true;
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    warn!(port = self.port, %error, cause, "the port cannot be steered");
                }
                Err(_) => {}
            }
            let pause = match state.phase {
                _ if state.known.is_empty() => AWAITED,
                Some(Phase::Younger | Phase::Swapped) => YOUNGER,
                _ => SETTLED,
            };
            state = wait(self.changed.wait_timeout(state, pause)).0;
        }
    }

    /// Attaches again where that is due.
    fn check(&self, state: &mut State, phase: Phase) -> Result<(), SteerError> {
        let mut listeners = self.look()?;
        if inodes(&listeners) != state.known {
            // The table is read in pieces, between which a line can slip through. Not twice.
            for socket in self.look()? {
                if !listeners.contains(&socket) {
                    listeners.push(socket);
                }
            }
        }
        let present = inodes(&listeners);
        let is_new_group = state.known.is_disjoint(&present) && !present.is_empty();
        let has_newcomer = !present.is_subset(&state.known);
        // It serves, was said of the younger when this phase began. That holds for none that came later.
        let is_over = phase != Phase::Split && has_newcomer;
        if is_new_group || is_over {
            self.attach(&listeners, Phase::Split)?;
            state.phase = Some(Phase::Split);
            info!(
                port = self.port,
                listeners = present.len(),
                was = ?phase,
                "a newcomer listens: connections go to the older listener"
            );
        }
        state.known = present;
        Ok(())
    }

    fn look(&self) -> Result<Vec<Socket>, SteerError> {
        sockets::listeners(self.port).map_err(SteerError::Listeners)
    }

    fn attach(&self, listeners: &[Socket], phase: Phase) -> Result<(), SteerError> {
        let program = self.route.program(phase);
        group::change(self.port, listeners, Change::Attach(&program))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        wait(self.state.lock())
    }
}

fn inodes(listeners: &[Socket]) -> BTreeSet<u64> {
    listeners.iter().map(|it| it.inode).collect()
}

/// Nothing that holds the lock leaves the state half changed.
fn wait<T>(result: Result<T, PoisonError<T>>) -> T {
    result.unwrap_or_else(PoisonError::into_inner)
}
