//! The `seedpod.yaml` as it is written.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use serde::{
    Deserialize, Deserializer,
    de::{self, Visitor},
};
use serde_saphyr::{Location, Spanned};
use zeroize::Zeroizing;

use super::{
    Folder, FolderError, FolderManifest,
    generate::{Kind, generate},
    list,
};

const API_VERSION: &str = "seedpod.dev/v1alpha1";
const KIND: &str = "BundleFolder";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct File {
    api_version: Spanned<String>,
    kind: Spanned<String>,
    pub(super) bundle: Option<String>,
    namespace: Option<String>,
    resources: Option<Vec<Spanned<String>>>,
    #[serde(default)]
    secret_generator: Vec<Spanned<Generator>>,
    #[serde(default)]
    config_map_generator: Vec<Spanned<Generator>>,
}

/// One entry of `secretGenerator` or `configMapGenerator`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Generator {
    pub(super) name: String,
    pub(super) namespace: Option<String>,
    pub(super) r#type: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) files: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) literals: Vec<Spanned<Literal>>,
    #[serde(default)]
    pub(super) envs: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) options: Options,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct Options {
    #[serde(default)]
    pub(super) immutable: bool,
    #[serde(default)]
    pub(super) labels: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) annotations: BTreeMap<String, String>,
}

/// `KEY=VALUE`, where the value may be secret: wiped, and in no error.
pub(super) struct Literal(pub(super) Zeroizing<String>);

impl<'de> Deserialize<'de> for Literal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Literal;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("KEY=VALUE")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Literal, E> {
                Ok(Literal(Zeroizing::new(text.to_owned())))
            }

            fn visit_string<E: de::Error>(self, text: String) -> Result<Literal, E> {
                Ok(Literal(Zeroizing::new(text)))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// Where something in the `seedpod.yaml` is, for errors.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    pub(super) file: &'a Path,
    pub(super) line: u64,
    pub(super) column: u64,
}

impl<'a> At<'a> {
    fn new(file: &'a Path, location: Location) -> Self {
        Self {
            file,
            line: location.line(),
            column: location.column(),
        }
    }

    pub(super) fn of<T>(self, value: &Spanned<T>) -> Self {
        Self::new(self.file, value.referenced)
    }

    pub(super) fn error(self, message: String) -> FolderError {
        let file = self.file.display();
        let place = match self.line {
            0 => file.to_string(),
            line => format!("{file}:{line}:{}", self.column),
        };
        FolderError::Invalid { place, message }
    }
}

impl File {
    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, FolderError> {
        let start = At {
            file: path,
            line: 0,
            column: 0,
        };
        if text
            .lines()
            .all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
        {
            return Err(start.error(format!(
                "the file is empty; begin it with \"apiVersion: {API_VERSION}\" and \"kind: {KIND}\""
            )));
        }
        let options = serde_saphyr::options! {
            with_snippet: false,
            reject_unsupported_tags: true,
        };
        let file: Self = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
            let at = error
                .location()
                .map_or(start, |location| At::new(path, location));
            at.error(without_values(&error.to_string()))
        })?;
        if file.api_version.value != API_VERSION {
            let at = start.of(&file.api_version);
            return Err(at.error(format!("apiVersion: it is not known; write {API_VERSION}")));
        }
        if file.kind.value != KIND {
            let at = start.of(&file.kind);
            return Err(at.error(format!("kind: it is not known; write {KIND}")));
        }
        if file.bundle.as_deref() == Some("") {
            return Err(start.error(
                "bundle: must not be empty; give a name of lower-case letters, digits and \"-\""
                    .to_owned(),
            ));
        }
        Ok(file)
    }

    /// Everything that the file names, as manifests.
    pub(super) fn manifests(
        &self,
        path: &Path,
        folder: &Path,
    ) -> Result<Vec<FolderManifest>, FolderError> {
        let start = At {
            file: path,
            line: 0,
            column: 0,
        };
        let mut manifests = Vec::new();
        for resource in self.resources(start, folder)? {
            let read = list::read(&resource).and_then(list::text);
            let text = read.map_err(|source| FolderError::Read {
                path: resource.clone(),
                source,
            })?;
            manifests.push(FolderManifest {
                label: resource.display().to_string(),
                text,
                generated: false,
            });
        }
        for (kind, generators) in [
            (Kind::Secret, &self.secret_generator),
            (Kind::ConfigMap, &self.config_map_generator),
        ] {
            for (index, generator) in generators.iter().enumerate() {
                let field = format!("{}[{index}]", kind.field());
                let (at, namespace) = (start.of(generator), self.namespace.as_deref());
                let text = generate(kind, &generator.value, at, &field, folder, namespace)?;
                manifests.push(FolderManifest {
                    label: format!(
                        "{}:{}: {field} ({})",
                        path.display(),
                        at.line,
                        generator.value.name
                    ),
                    text,
                    generated: true,
                });
            }
        }
        if manifests.is_empty() {
            return Err(start.error(
                "there is nothing to inject: name manifests in resources, or put them beside this file"
                    .to_owned(),
            ));
        }
        Ok(manifests)
    }

    /// The files of manifests, in order.
    fn resources(&self, start: At<'_>, folder: &Path) -> Result<Vec<PathBuf>, FolderError> {
        let taken = self.taken(folder);
        let mut found = Vec::new();
        let Some(resources) = &self.resources else {
            list_folder(folder, &taken, &mut found)?;
            return Ok(found);
        };
        for (index, resource) in resources.iter().enumerate() {
            let at = start.of(resource);
            let field = format!("resources[{index}]");
            let path = folder.join(&resource.value);
            let metadata = fs::metadata(&path).map_err(|error| {
                at.error(format!("{field}: {}", unreadable(&resource.value, &error)))
            })?;
            if !metadata.is_dir() {
                found.push(path);
                continue;
            }
            if path.join(Folder::FILE).exists() {
                return Err(at.error(format!(
                    "{field}: {} has a {} of its own, and folders do not nest: name the files in it",
                    resource.value,
                    Folder::FILE
                )));
            }
            let before = found.len();
            list_folder(&path, &taken, &mut found)?;
            if found.len() == before {
                return Err(at.error(format!(
                    "{field}: there is no *.yaml, *.yml or *.json in {}; folders below it are to be named themselves",
                    resource.value
                )));
            }
        }
        Ok(found)
    }

    /// What the generators take: in a folder of manifests these are none.
    fn taken(&self, folder: &Path) -> BTreeSet<PathBuf> {
        let generators = self
            .secret_generator
            .iter()
            .chain(&self.config_map_generator);
        let paths = generators.flat_map(|generator| {
            let files = generator.value.files.iter().map(|file| &file.value);
            let files = files.map(|file| file.split_once('=').map_or(&**file, |(_, path)| path));
            files.chain(generator.value.envs.iter().map(|file| &*file.value))
        });
        paths
            .filter_map(|path| fs::canonicalize(folder.join(path)).ok())
            .collect()
    }
}

fn list_folder(
    folder: &Path,
    taken: &BTreeSet<PathBuf>,
    found: &mut Vec<PathBuf>,
) -> Result<(), FolderError> {
    let files = list::files(folder).map_err(|source| FolderError::Read {
        path: folder.to_owned(),
        source,
    })?;
    found.extend(files.into_iter().filter(|path| {
        path.file_name().is_none_or(|name| name != Folder::FILE)
            && fs::canonicalize(path).map_or(true, |path| !taken.contains(&path))
    }));
    Ok(())
}

/// Why a file that the `seedpod.yaml` names cannot be read.
pub(super) fn unreadable(path: &str, error: &std::io::Error) -> String {
    let remedy = match error.kind() {
        ErrorKind::NotFound => "; paths start at the folder of this file",
        ErrorKind::PermissionDenied => "; run this as a user who may read it",
        _ => "",
    };
    format!("cannot read {path}: {error}{remedy}")
}

/// The parser's message without its end, which is the place, and without what it quotes of the text, which may be
/// secret: all but names of fields.
fn without_values(message: &str) -> String {
    let message = message
        .rfind(" at line ")
        .map_or(message, |end| &message[..end]);
    for start in ["invalid type: ", "invalid value: ", "invalid length: "] {
        if let Some(begin) = message.find(start)
            && let Some(end) = message.rfind(", expected ")
            && begin < end
        {
            return format!("{}{}", &message[..begin], &message[end + 2..]);
        }
    }
    if message.contains(" field `") {
        return message.to_owned();
    }
    let end = message.find(['`', '"', '\'']).unwrap_or(message.len());
    message[..end].trim_end().to_owned()
}
