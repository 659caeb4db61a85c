//! From the text of a `cluster.yaml` to its types.

use std::path::Path;

use crate::cluster::{ClusterConfiguration, ConfigurationError};

pub(super) const API_VERSION: &str = "seedpod.dev/v1alpha1";
pub(super) const KIND: &str = "ClusterConfiguration";

impl ClusterConfiguration {
    /// # Errors
    /// [`ConfigurationError::Syntax`], with line and column. The path is only for that.
    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, ConfigurationError> {
        let comment = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
        if text.lines().all(comment) {
            return Err(ConfigurationError::Syntax {
                place: path.display().to_string(),
                message: "the file is empty; `seedpod config init` prints one to start from"
                    .to_owned(),
            });
        }
        let options = serde_saphyr::options! {
            with_snippet: false,
            reject_unsupported_tags: true,
        };
        serde_saphyr::from_str_with_options(text, options).map_err(|error| {
            let place = error.location().map_or_else(String::new, |location| {
                format!(":{}:{}", location.line(), location.column())
            });
            let message = error.to_string();
            // The place is at its end too.
            let end = message.rfind(" at line ").unwrap_or(message.len());
            ConfigurationError::Syntax {
                place: format!("{}{place}", path.display()),
                message: message[..end].to_owned(),
            }
        })
    }
}
