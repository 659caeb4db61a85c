//! Errors as text.

use std::{error::Error, fmt::Write as _};

/// An error with all its causes in one line, for logs and messages: no error repeats its cause by itself.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a string cannot fail.
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}
