//! The configuration file: contexts.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use seedpod_client::whole_file::Existing;
use serde::{Deserialize, Serialize};

use super::{args::ConnectionArgs, exit::Usage, files};

const API_VERSION: &str = "seedpod.dev/v1alpha1";
const KIND: &str = "ClientConfiguration";

/// The whole file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    #[serde(rename = "apiVersion")]
    api_version: String,
    kind: String,
    /// The context that is used when none is named.
    #[serde(
        rename = "current-context",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) current_context: Option<String>,
    #[serde(default)]
    pub(crate) contexts: Vec<Context>,
}

/// A name for a node and the certificates for it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Context {
    pub(crate) name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) endpoint: Option<String>,
    /// Paths that are not absolute start at the configuration file's directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ca_file: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cert_file: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key_file: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) server_name: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            api_version: API_VERSION.to_owned(),
            kind: KIND.to_owned(),
            current_context: None,
            contexts: Vec::new(),
        }
    }
}

impl Config {
    /// Where the file is: --config, else below XDG_CONFIG_HOME or ~/.config. `None` without a home.
    pub(crate) fn path(args: &ConnectionArgs) -> Option<PathBuf> {
        if let Some(path) = &args.config {
            return Some(path.clone());
        }
        let absolute = |name| {
            std::env::var_os(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        let base =
            absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")))?;
        Some(base.join("seedpod/config.yaml"))
    }

    /// Reads the file; one that is not there is empty, unless it was asked for by name and is only read.
    pub(crate) fn load(args: &ConnectionArgs, must_exist: bool) -> anyhow::Result<Self> {
        let Some(path) = Self::path(args) else {
            return Ok(Self::default());
        };
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error)
                if error.kind() == ErrorKind::NotFound
                    && !(must_exist && args.config.is_some()) =>
            {
                return Ok(Self::default());
            }
            Err(error) => {
                return Err(Usage(format!("cannot read {}: {error}", path.display())).into());
            }
        };
        Self::parse(&text).map_err(|error| Usage(format!("{}: {error}", path.display())).into())
    }

    fn parse(text: &str) -> Result<Self, String> {
        let options = serde_saphyr::options! { with_snippet: false };
        let config: Self = serde_saphyr::from_str_with_options(text, options)
            .map_err(|error| error.to_string())?;
        if config.api_version != API_VERSION || config.kind != KIND {
            return Err(format!(
                "must have apiVersion: {API_VERSION} and kind: {KIND}"
            ));
        }
        for (index, context) in config.contexts.iter().enumerate() {
            if context.name.is_empty() {
                return Err(format!("contexts[{index}].name: must not be empty"));
            }
            if config.contexts[..index]
                .iter()
                .any(|other| other.name == context.name)
            {
                return Err(format!(
                    "contexts[{index}].name: there are two contexts {:?}; rename one",
                    context.name
                ));
            }
        }
        Ok(config)
    }

    /// Writes the file whole or not at all.
    pub(crate) fn save(&self, args: &ConnectionArgs) -> anyhow::Result<PathBuf> {
        let path = Self::path(args).ok_or_else(|| {
            Usage("there is no home for a configuration file; give --config".to_owned())
        })?;
        let text = serde_saphyr::to_string(self)?;
        if let Some(directory) = path
            .parent()
            .filter(|directory| !directory.as_os_str().is_empty())
        {
            fs::create_dir_all(directory)
                .with_context(|| format!("cannot make {}", directory.display()))?;
        }
        files::write(&path, text.as_bytes(), 0o600, Existing::Replace)?;
        Ok(path)
    }

    /// # Errors
    /// [`Usage`] that lists the contexts that there are.
    pub(crate) fn context(&self, name: &str) -> anyhow::Result<&Context> {
        self.contexts.iter().find(|context| context.name == name).ok_or_else(|| {
            let names: Vec<_> = self.contexts.iter().map(|context| context.name.as_str()).collect();
            let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            Usage(format!("there is no context {name:?} (there are: {known}); see `seedpod config get-contexts`"))
                .into()
        })
    }
}

impl Context {
    /// The same with paths from the configuration file's directory on.
    pub(crate) fn resolved(&self, config: &Path) -> Self {
        let base = config.parent().unwrap_or(Path::new(""));
        let resolve = |path: &Option<PathBuf>| path.as_ref().map(|path| base.join(path));
        Self {
            ca_file: resolve(&self.ca_file),
            cert_file: resolve(&self.cert_file),
            key_file: resolve(&self.key_file),
            ..self.clone()
        }
    }
}
