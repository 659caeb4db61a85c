//! What keeps the memory of this process, which holds Secrets for moments, from getting out of it.
//!
//! Freed memory is wiped by the program's allocator (`main.rs`).

use rustix::{
    io::Errno,
    process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit},
};
use tracing::warn;

/// What could not be done.
#[derive(Debug)]
pub(crate) struct Failure {
    what: &'static str,
    error: Errno,
}

/// Turns core dumps off, and lets nobody but root look into this process. To be called before anything secret is read.
///
/// The limit alone would not do: it does not hold for a `kernel.core_pattern` that is a pipe (core(5)). That the process
/// is not dumpable does, and so is `/proc/<pid>/mem` closed to processes of the same user without CAP_SYS_PTRACE
/// (ptrace(2)). Children get the limit, and are dumpable again once they have executed a program.
pub(crate) fn harden() -> Vec<Failure> {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let steps = [
        (
            "the limit of core dumps could not be set to 0",
            setrlimit(Resource::Core, none),
        ),
        (
            "the process could not be made not dumpable",
            set_dumpable_behavior(DumpableBehavior::NotDumpable),
        ),
    ];
    steps
        .into_iter()
        .filter_map(|(what, result)| {
            Some(Failure {
                what,
                error: result.err()?,
            })
        })
        .collect()
}

/// Logs what [`harden`] could not do, which is no reason not to serve.
pub(crate) fn report(failures: &[Failure]) {
    for Failure { what, error } in failures {
        warn!(%error, "{what}: a core dump of seedpodd could hold Secrets");
    }
}
