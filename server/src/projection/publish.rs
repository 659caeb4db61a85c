//! What the projection tells others.

use std::{sync::Arc, time::Instant};

use super::task::Task;
use crate::{node::Problem, runtime_cri::Runtime};

impl<R: Runtime> Task<R> {
    pub(super) fn publish(&mut self) {
        self.metrics.set_projection_queue(self.board.queue());
        self.forget_faults();
        let known = self.directory_error.is_none();
        self.volumes
            .projected(known.then(|| self.board.known_uids()));
        let mut pods = self.board.pods();
        self.faults.mark(&mut pods);
        self.outlets.pods.send_if_modified(|old| {
            let modified = **old != pods;
            if modified {
                *old = Arc::new(pods);
            }
            modified
        });
        let problems = self.problems();
        self.outlets.problems.send_if_modified(|old| {
            let modified = *old != problems;
            if modified {
                *old = problems;
            }
            modified
        });
    }

    fn problems(&self) -> Vec<Problem> {
        let path = self.directory.path().display();
        let mut problems = Vec::new();
        if let Some(error) = &self.directory_error {
            problems.push(Problem {
                reason: "STATIC_POD_DIRECTORY_FAILED",
                message: format!(
                    "the static pod directory {path} cannot be read: {error}; make it readable, or mount it, and it \
                     is taken up again"
                ),
            });
        }
        problems.extend(self.faults.problems());
        if let Some(error) = self.board.error(|file| !self.faults.has(file)) {
            problems.push(Problem {
                reason: "STATIC_POD_DIRECTORY_FAILED",
                message: format!(
                    "the static pod directory {path} cannot be written: {error}; it is tried again"
                ),
            });
        }
        problems.extend(self.board.kubelet_problem(Instant::now()));
        let left = self.board.left();
        if !left.is_empty() {
            problems.push(Problem {
                reason: "DRIFT",
                message: format!(
                    "somebody changed or removed {} in {path}, and repairDrift is off; inject the bundle anew or \
                     restart seedpodd to put it right",
                    left.join(", ")
                ),
            });
        }
        problems
    }
}
