//! What is wrong with a configuration.

use std::{fmt, io, path::PathBuf};

/// One thing that is wrong, or seldom meant, in a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The field's path, such as `nodes[1].address`.
    pub field: String,
    /// What is wrong, and the remedy.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

/// Why a `cluster.yaml` cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigurationError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is no YAML of this kind.
    #[error("{place}: {message}")]
    Syntax {
        /// `FILE` or `FILE:LINE:COLUMN`.
        place: String,
        /// What is wrong.
        message: String,
    },
    /// Its values do not do. All that was found at once.
    #[error("{}: {}", path.display(), summary(faults))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong, at least one.
        faults: Vec<Fault>,
    },
}

fn summary(faults: &[Fault]) -> String {
    match faults {
        [fault] => fault.to_string(),
        faults => {
            let lines = faults.iter().map(|fault| format!("\n  {fault}"));
            format!("{} faults:{}", faults.len(), lines.collect::<String>())
        }
    }
}
