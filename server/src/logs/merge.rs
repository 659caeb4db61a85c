//! The lines of several containers as one sequence.

use std::sync::Arc;

use super::{error::LogError, line::Line, source::Source};

/// How much one batch holds, about. A batch is one message.
const MAX_BYTES: usize = 64 * 1024;
const MAX_LINES: usize = 1000;

/// What a line takes in a message besides its text, about.
const LINE_OVERHEAD: usize = 48;

/// A line and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ContainerLine {
    pub(crate) container: Arc<str>,
    /// 0 for the first.
    pub(crate) attempt: u32,
    pub(crate) line: Line,
}

/// All containers whose logs are read. Everything in here blocks.
#[derive(Debug, Default)]
pub(super) struct Sources {
    pub(super) all: Vec<Source>,
    /// To be told after the lines before it.
    failure: Option<LogError>,
}

impl Sources {
    /// The next lines, in the order of time as far as they are there. Empty when nothing is there now.
    pub(super) fn batch(&mut self) -> Result<Vec<ContainerLine>, LogError> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let mut batch = Vec::new();
        match self.fill(&mut batch) {
            Err(failure) if batch.is_empty() => return Err(failure),
            Err(failure) => self.failure = Some(failure),
            Ok(()) => {}
        }
        Ok(batch)
    }

    /// Everything that there was is read, and no more is known to come.
    pub(super) fn are_done(&self) -> bool {
        self.failure.is_none() && self.all.iter().all(Source::is_done)
    }

    pub(super) fn are_changing_over(&self) -> bool {
        self.all.iter().any(Source::is_changing_over)
    }

    fn fill(&mut self, batch: &mut Vec<ContainerLine>) -> Result<(), LogError> {
        for source in &mut self.all {
            source.begin_round()?;
        }
        let mut size = 0;
        while size < MAX_BYTES && batch.len() < MAX_LINES {
            let mut earliest = None;
            for (index, source) in self.all.iter_mut().enumerate() {
                let Some(line) = source.peek()? else { continue };
                if earliest.is_none_or(|(time, _)| line.time < time) {
                    earliest = Some((line.time, index));
                }
            }
            let Some((_, index)) = earliest else { break };
            let source = &mut self.all[index];
            // An attempt is left only when its last line is taken.
            let (container, attempt) = (Arc::clone(&source.container), source.attempt);
            if let Some(line) = source.take() {
                size += line.text.len() + LINE_OVERHEAD;
                batch.push(ContainerLine {
                    container,
                    attempt,
                    line,
                });
            }
        }
        Ok(())
    }
}
