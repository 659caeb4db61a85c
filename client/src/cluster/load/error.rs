//! What is wrong with a configuration.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

/// One thing that is wrong, or seldom meant, in a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The field's path, such as `nodes[1].address`.
    pub field: String,
    /// What is wrong, and the remedy.
    pub message: String,
    /// Where the field stands in the file; one that is missing, where it would be. `None` for a configuration that a program
    /// has made.
    pub place: Option<Place>,
}

/// Line and column, counted from 1, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl Fault {
    /// `FILE:LINE:COLUMN: FIELD: MESSAGE`, as far as these are known.
    pub fn in_file(&self, path: &Path) -> String {
        let place = self
            .place
            .map_or_else(String::new, |Place { line, column }| {
                format!(":{line}:{column}")
            });
        format!("{}{place}: {self}", path.display())
    }
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
    #[error("{}", summary(path, faults))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong, at least one.
        faults: Vec<Fault>,
    },
}

fn summary(path: &Path, faults: &[Fault]) -> String {
    match faults {
        [fault] => fault.in_file(path),
        faults => {
            let lines = faults
                .iter()
                .map(|fault| format!("\n  {}", fault.in_file(path)));
            let lines: String = lines.collect();
            format!("{}: {} faults:{lines}", path.display(), faults.len())
        }
    }
}
