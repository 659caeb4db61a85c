//! From plain files and literals to the data of a Secret or ConfigMap, by the rules of kustomize's generators
//! (`api/kv/kv.go`, `api/internal/generators/utils.go`).

use std::{fs, path::Path};

use zeroize::Zeroizing;

use super::{
    FolderError,
    document::{Data, Head, Metadata, render},
    file::{At, Generator, unreadable},
    list::{self, MAX_FILE},
};

/// Kubernetes' `DNS1123SubdomainMaxLength`, which holds for keys as well.
const LONGEST_KEY: usize = 253;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    ConfigMap,
    Secret,
}

impl Kind {
    /// The key in the `seedpod.yaml`.
    pub(super) fn field(self) -> &'static str {
        match self {
            Self::ConfigMap => "configMapGenerator",
            Self::Secret => "secretGenerator",
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
        }
    }
}

/// The manifest of one generator. `at` is where it stands, `field` what it is called.
pub(super) fn generate(
    kind: Kind,
    generator: &Generator,
    at: At<'_>,
    field: &str,
    folder: &Path,
    namespace: Option<&str>,
) -> Result<Zeroizing<String>, FolderError> {
    let Generator {
        name,
        namespace: own_namespace,
        r#type,
        files,
        literals,
        envs,
        options,
    } = generator;
    if name.is_empty() {
        return Err(at.error(format!("{field}.name: must not be empty")));
    }
    let object_type = match (kind, r#type) {
        (Kind::Secret, Some(given)) => Some(given.value.as_str()),
        (Kind::Secret, None) => Some("Opaque"),
        (Kind::ConfigMap, None) => None,
        (Kind::ConfigMap, Some(given)) => {
            let message = format!("{field}.type: only Secrets have a type; leave it out");
            return Err(at.of(given).error(message));
        }
    };
    if files.is_empty() && literals.is_empty() && envs.is_empty() {
        return Err(at.error(format!(
            "{field}: it takes nothing; give files, literals or envs"
        )));
    }

    let mut sources = Sources {
        data: Data::new(),
        size: 0,
        at,
        field: String::new(),
    };
    for (index, file) in files.iter().enumerate() {
        sources.begin(at.of(file), format!("{field}.files[{index}]"));
        sources.file(folder, &file.value)?;
    }
    for (index, literal) in literals.iter().enumerate() {
        sources.begin(at.of(literal), format!("{field}.literals[{index}]"));
        sources.literal(&literal.value.0)?;
    }
    for (index, file) in envs.iter().enumerate() {
        sources.begin(at.of(file), format!("{field}.envs[{index}]"));
        sources.env_file(folder, &file.value)?;
    }

    let head = Head {
        api_version: "v1",
        kind: kind.as_str(),
        metadata: Metadata {
            name,
            namespace: own_namespace.as_deref().or(namespace),
            labels: &options.labels,
            annotations: &options.annotations,
        },
        object_type,
        immutable: options.immutable,
    };
    render(kind, &head, &sources.data)
        .map_err(|error| at.error(format!("{field}: cannot be written as JSON: {error}")))
}

/// The data so far, and where the entry stands that is being read.
struct Sources<'a> {
    data: Data,
    size: usize,
    at: At<'a>,
    field: String,
}

impl<'a> Sources<'a> {
    fn begin(&mut self, at: At<'a>, field: String) {
        (self.at, self.field) = (at, field);
    }

    fn error(&self, message: impl AsRef<str>) -> FolderError {
        let message = format!("{}: {}", self.field, message.as_ref());
        self.at.error(message)
    }

    /// `[KEY=]PATH`.
    fn file(&mut self, folder: &Path, source: &str) -> Result<(), FolderError> {
        let (key, path) = match source.split_once('=') {
            None => (None, source),
            Some((key, path)) if !path.contains('=') => (Some(key), path),
            Some(_) => {
                return Err(self.error(
                    "has more than one \"=\"; a key or path with \"=\" cannot be given, so rename the file",
                ));
            }
        };
        if path.is_empty() || key == Some("") {
            return Err(self.error("is neither PATH nor KEY=PATH; give both parts or no \"=\""));
        }
        let key = match key {
            Some(key) => key,
            None => Path::new(path)
                .file_name()
                .and_then(|name| name.to_str())
                .ok_or_else(|| self.error(format!("{path} names no file; write KEY=PATH")))?,
        };
        let value = self.read(folder, path)?;
        self.put(key, value)
    }

    /// `KEY=VALUE`: the first `=` splits, and quotes around the value are taken off.
    fn literal(&mut self, source: &str) -> Result<(), FolderError> {
        let Some((key, value)) = source.split_once('=').filter(|(key, _)| !key.is_empty()) else {
            return Err(self.error("is not KEY=VALUE; write it as in user=admin"));
        };
        let bytes = value.as_bytes();
        let value = match (bytes.first(), bytes.last()) {
            (Some(b'"'), Some(b'"')) | (Some(b'\''), Some(b'\'')) if bytes.len() > 1 => {
                &bytes[1..bytes.len() - 1]
            }
            _ => bytes,
        };
        self.put(key, Zeroizing::new(value.to_vec()))
    }

    /// Lines of `KEY=VALUE`; empty ones and those that begin with `#` are left out. Values are taken as they are.
    fn env_file(&mut self, folder: &Path, path: &str) -> Result<(), FolderError> {
        let text = list::text(self.read(folder, path)?)
            .map_err(|error| self.error(unreadable(path, &error)))?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        for (index, line) in text.lines().enumerate() {
            let line = line.trim_start();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            // Never shown: it may be a value that has lost its key.
            let Some((key, value)) = line.split_once('=').filter(|(key, _)| !key.is_empty()) else {
                return Err(self.error(format!(
                    "line {} of {path} is not KEY=VALUE; write KEY= for an empty value, and # before a comment",
                    index + 1
                )));
            };
            self.put(key, Zeroizing::new(value.as_bytes().to_vec()))?;
        }
        Ok(())
    }

    fn read(&self, folder: &Path, path: &str) -> Result<Zeroizing<Vec<u8>>, FolderError> {
        let full = folder.join(path);
        let failed = |error: &std::io::Error| self.error(unreadable(path, error));
        let metadata = fs::metadata(&full).map_err(|error| failed(&error))?;
        if metadata.is_dir() {
            return Err(self.error(format!("{path} is a folder; name each file in it")));
        }
        if !metadata.is_file() {
            return Err(self.error(format!("{path} is no regular file; copy it into one")));
        }
        if metadata.len() > MAX_FILE {
            return Err(self.error(format!(
                "{path} has {} bytes, and a Secret or ConfigMap holds at most {MAX_FILE}; mount it with hostPath, or put \
                 it into an image",
                metadata.len()
            )));
        }
        list::read(&full).map_err(|error| failed(&error))
    }

    fn put(&mut self, key: &str, value: Zeroizing<Vec<u8>>) -> Result<(), FolderError> {
        if let Err(fault) = check_key(key) {
            return Err(self.error(format!(
                "{fault}; write KEY=PATH or KEY=VALUE with another key"
            )));
        }
        if self.data.contains_key(key) {
            return Err(self.error(format!(
                "the key {key:?} is there already; give one of the two another key, as in other={key}"
            )));
        }
        self.size += value.len();
        if self.size as u64 > MAX_FILE {
            return Err(self.error(format!(
                "with this it has more than the {MAX_FILE} bytes that a Secret or ConfigMap can hold; split it into two"
            )));
        }
        self.data.insert(key.to_owned(), value);
        Ok(())
    }
}

/// Kubernetes' `IsConfigMapKey`. What is shown of a bad key is only what is wrong with it: whoever forgot the `=` has put
/// a value there.
fn check_key(key: &str) -> Result<(), String> {
    if key.len() > LONGEST_KEY {
        return Err(format!(
            "its key has more than {LONGEST_KEY} characters, which is the most"
        ));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if let Some(bad) = key.chars().find(|c| !allowed(*c)) {
        return Err(format!(
            "its key has {bad:?} in it, and only letters, digits, \"-\", \"_\" and \".\" may be"
        ));
    }
    if key == "." || key.starts_with("..") {
        return Err("its key is \".\" or begins with \"..\", which is not allowed".to_owned());
    }
    Ok(())
}
