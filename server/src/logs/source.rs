//! The log of one container: one attempt, and when following, those after it.

use std::{path::PathBuf, sync::Arc};

use jiff::Timestamp;

use super::{
    chain::{Chain, ChainError, Extent, Step},
    error::LogError,
    line::Line,
    listing,
};

/// A container whose log is read.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) container: Arc<str>,
    pub(super) folder: PathBuf,
    pub(super) attempt: u32,
    follow: bool,
    since: Option<Timestamp>,
    /// Nothing more is written by this attempt.
    ended: bool,
    /// `None` when the attempt is read to its end.
    chain: Option<Chain>,
    pending: Option<Line>,
    /// There was nothing more in this round.
    is_idle: bool,
}

impl Source {
    pub(super) fn open(
        container: Arc<str>,
        folder: PathBuf,
        attempt: u32,
        extent: Extent,
    ) -> Result<Self, LogError> {
        let chain = Chain::open(&folder, &base(attempt), extent)
            .map_err(|error| log_error(error, &container))?;
        Ok(Self {
            container,
            folder,
            attempt,
            follow: extent.follow,
            since: extent.since,
            ended: extent.ended,
            chain: Some(chain),
            pending: None,
            is_idle: false,
        })
    }

    /// What the runtime says: the newest attempt, and whether that has ended.
    pub(super) fn learn(&mut self, newest: u32, ended: bool) {
        self.ended |= newest > self.attempt || (newest == self.attempt && ended);
    }

    /// All that there was is read, and no more is known to come.
    pub(super) fn is_done(&self) -> bool {
        self.chain.is_none() && self.pending.is_none()
    }

    /// It is about to go on with another file, and should be asked again soon.
    pub(super) fn is_changing_over(&self) -> bool {
        self.chain.as_ref().is_some_and(Chain::is_changing_over)
    }

    pub(super) fn begin_round(&mut self) -> Result<(), LogError> {
        self.is_idle = false;
        if self.follow {
            let next = self.next_attempt()?;
            // The kubelet starts an attempt when the one before it has ended.
            self.ended |= next.is_some();
            if let (None, Some(attempt)) = (&self.chain, next) {
                self.begin(attempt)?;
            }
        }
        if let Some(chain) = &mut self.chain {
            chain.begin_round();
        }
        Ok(())
    }

    /// The line that comes next, as far as there is one.
    pub(super) fn peek(&mut self) -> Result<Option<&Line>, LogError> {
        while self.pending.is_none() && !self.is_idle {
            let Some(chain) = &mut self.chain else {
                self.is_idle = true;
                break;
            };
            match chain
                .next(self.ended)
                .map_err(|error| log_error(error, &self.container))?
            {
                Step::Line(line) => self.pending = Some(line),
                Step::Wait => self.is_idle = true,
                Step::End => {
                    // Closed: a container that has ended may stay for long.
                    self.chain = None;
                    if self.follow
                        && let Some(attempt) = self.next_attempt()?
                    {
                        self.begin(attempt)?;
                    }
                }
            }
        }
        Ok(self.pending.as_ref())
    }

    pub(super) fn take(&mut self) -> Option<Line> {
        self.pending.take()
    }

    /// All of an attempt that came after the one that was read.
    fn begin(&mut self, attempt: u32) -> Result<(), LogError> {
        let extent = Extent {
            follow: true,
            since: self.since,
            ..Extent::default()
        };
        let chain = Chain::open(&self.folder, &base(attempt), extent)
            .map_err(|error| log_error(error, &self.container))?;
        self.attempt = attempt;
        // It may have written nothing, so that nobody would come back to it soon.
        self.ended = self.next_attempt()?.is_some();
        self.chain = Some(chain);
        Ok(())
    }

    fn next_attempt(&self) -> Result<Option<u32>, LogError> {
        let attempts = listing::attempts(&self.folder).map_err(|source| LogError::Unreadable {
            path: self.folder.clone(),
            source,
        })?;
        Ok(attempts.into_iter().find(|attempt| *attempt > self.attempt))
    }
}

/// The kubelet names the file so, for every runtime.
fn base(attempt: u32) -> String {
    format!("{attempt}.log")
}

fn log_error(error: ChainError, container: &str) -> LogError {
    match error {
        ChainError::Lost => LogError::Lost {
            container: container.to_owned(),
        },
        ChainError::Io(path, source) => LogError::Unreadable { path, source },
    }
}
