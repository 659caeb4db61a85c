//! What is in the directory, compared with what should be.

use std::{io, time::Instant};

use super::{drift::Noticed, task::Task};
use crate::{
    events::{EventKind, NewEvent},
    runtime_cri::Runtime,
};

impl<R: Runtime> Task<R> {
    pub(super) fn notice(&mut self, noticed: Noticed) {
        let Noticed::Names(names) = noticed else {
            return self.look_at_everything();
        };
        for name in names.iter().filter(|name| !name.starts_with('.')) {
            if let Err(error) = self.look_at(name) {
                self.directory_error = Some(error.to_string());
            }
        }
    }

    pub(super) fn look_at_everything(&mut self) {
        self.looked_at = Instant::now();
        match self.look_at_all_names() {
            Ok(()) => {
                if self.directory_error.take().is_some() {
                    tracing::info!("the static pod directory can be read again");
                }
            }
            Err(error) => {
                if self.directory_error.is_none() {
                    tracing::error!(%error, path = %self.directory.path().display(),
                        "cannot read the static pod directory");
                }
                self.directory_error = Some(error.to_string());
            }
        }
    }

    fn look_at_all_names(&mut self) -> io::Result<()> {
        let mut names = self.directory.names()?;
        names.extend(self.board.files());
        names.sort_unstable();
        names.dedup();
        names.iter().try_for_each(|name| self.look_at(name))
    }

    /// Compares one name with what it should hold.
    fn look_at(&mut self, name: &str) -> io::Result<()> {
        let content = self.directory.read(name)?;
        let is_as_known = |content: &Vec<u8>| self.board.is_as_known(name, content);
        // Most of what is noticed are our own writes, coming back.
        if content.as_ref().is_some_and(is_as_known) {
            return Ok(());
        }
        let owned = content
            .as_deref()
            .and_then(|bytes| crate::store::owned_by(&self.id, bytes))
            .filter(|owned| owned.key.file_name() == name);
        if owned.is_none() && !self.board.knows(name) {
            return Ok(());
        }
        let now = Instant::now();
        if self.board.found(name, content.as_deref(), owned, now) {
            self.drifted(name, content.is_some());
        }
        Ok(())
    }

    fn drifted(&mut self, name: &str, is_there: bool) {
        let what = if is_there { "changed" } else { "removed" };
        if self.settings.repair_drift {
            self.metrics.count_drift();
            tracing::warn!(
                file = name,
                "somebody {what} a static pod of ours; putting it right"
            );
        } else {
            tracing::warn!(
                file = name,
                "somebody {what} a static pod of ours; leaving it so"
            );
            self.board.leave(name);
        }
        if let Some((bundle, revision, key)) = self.board.pod_of(name) {
            self.drifted.insert(name.to_owned(), revision);
            let message = format!("somebody {what} the pod's file {name}");
            let kind = EventKind::Drift;
            let event = NewEvent::of_pod(kind, bundle, revision, key, message);
            self.outlets.events.record(event);
        }
    }
}
