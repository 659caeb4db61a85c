//! The files of `pki`: what is there is read, what is not is made in memory, and written when all of it fits.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use super::{
    Authority, Pair,
    inspect::{self, Chain, Fitting},
    make::Wanted,
};
use crate::{
    certificates::{self, AuthorityError},
    cluster::render::{NewFile, RenderError, UnfitFile, Written},
};

/// Larger than any key or certificate.
const LARGEST: u64 = 1 << 20;

pub(super) struct Shelf {
    folder: PathBuf,
    own: Option<PathBuf>,
    pub(super) files: Vec<NewFile>,
    pub(super) unfit: Vec<UnfitFile>,
    pub(super) warnings: Vec<String>,
    missing: BTreeMap<String, Vec<String>>,
}

/// An authority with what is needed to sign and to check.
pub(super) struct Signer {
    name: &'static str,
    pub(super) authority: Authority,
    chain: Chain,
    issuer: Option<certificates::Authority>,
}

impl Shelf {
    pub(super) fn new(folder: PathBuf, own: Option<PathBuf>) -> Self {
        Self {
            folder,
            own,
            files: Vec::new(),
            unfit: Vec::new(),
            warnings: Vec::new(),
            missing: BTreeMap::new(),
        }
    }

    /// The file's content: from the folder, else from one's own, which is then to be copied.
    pub(super) fn read(&mut self, name: &str) -> Result<Option<Zeroizing<String>>, RenderError> {
        let here = read(&self.folder.join(name))?;
        let own = match &self.own {
            Some(own) => read(&own.join(name))?,
            None => None,
        };
        let written = match (&here, &own) {
            (Some(here), Some(own)) if here != own => {
                let own = self.own.as_deref().unwrap_or(Path::new("")).join(name);
                self.unfit(
                    name,
                    format!(
                        "it differs from {}; remove the one that is not to be used",
                        own.display()
                    ),
                );
                return Ok(None);
            }
            (None, None) => return Ok(None),
            (Some(_), _) => Written::Kept,
            (None, Some(_)) => Written::Made,
        };
        let text = here.or(own);
        if let Some(text) = &text {
            self.put(name, text.clone(), written);
        }
        Ok(text)
    }

    pub(super) fn put(&mut self, name: &str, text: Zeroizing<String>, written: Written) {
        self.files.push(NewFile {
            path: format!("pki/{name}"),
            text,
            written,
        });
    }

    pub(super) fn unfit(&mut self, name: &str, message: impl Into<String>) {
        self.unfit.push(UnfitFile {
            path: self.folder.join(name),
            message: message.into(),
        });
    }

    fn has_unfit(&self, names: [&str; 2]) -> bool {
        let paths = names.map(|name| self.folder.join(name));
        self.unfit.iter().any(|file| paths.contains(&file.path))
    }

    pub(super) fn is_unfit(&self, name: &str) -> bool {
        self.has_unfit([name, name])
    }

    pub(super) fn note(&mut self, path: &Path, fitting: &Fitting) {
        if let Some(days) = fitting.ends_in_days {
            self.warnings.push(format!(
                "{}: it expires in {days} days; remove it and its key to have new ones made",
                path.display()
            ));
        }
    }

    /// `NAME.crt` and `NAME.key` of an authority. `None` when they do not fit, which is noted.
    pub(super) fn authority(
        &mut self,
        name: &'static str,
        common_name: &str,
        days: u32,
    ) -> Result<Option<Signer>, RenderError> {
        let (crt, key_name) = (format!("{name}.crt"), format!("{name}.key"));
        let certificate = self.read(&crt)?;
        let key = self.read(&key_name)?;
        if self.has_unfit([&crt, &key_name]) {
            return Ok(None);
        }
        let Some(certificate) = certificate else {
            return self.new_authority(name, common_name, days, key);
        };
        let Some(chain) = Chain::read(&certificate) else {
            self.unfit(
                &crt,
                format!("it is no certificate in PEM form; {}", Self::restore(name)),
            );
            return Ok(None);
        };
        match inspect::authority(&chain) {
            Ok(fitting) => self.note(&self.folder.join(&crt), &fitting),
            Err(message) => {
                self.unfit(&crt, format!("{message}; {}", Self::restore(name)));
                return Ok(None);
            }
        }
        let issuer = match &key {
            None => None,
            Some(key) => match certificates::Authority::read(&certificate, key) {
                Ok(issuer) => Some(issuer),
                Err(error) => {
                    let file = match error {
                        AuthorityError::NotAKey | AuthorityError::OtherKey => &key_name,
                        _ => &crt,
                    };
                    self.unfit(file, format!("{error}; {}", Self::restore(name)));
                    return Ok(None);
                }
            },
        };
        Ok(Some(Signer {
            name,
            authority: Authority {
                certificate: certificate.to_string(),
                key,
            },
            chain,
            issuer,
        }))
    }

    fn restore(name: &str) -> String {
        format!(
            "bring {name}.crt and {name}.key back from a copy: with new ones, nothing that the old ones signed is of use"
        )
    }

    fn new_authority(
        &mut self,
        name: &'static str,
        common_name: &str,
        days: u32,
        key: Option<Zeroizing<String>>,
    ) -> Result<Option<Signer>, RenderError> {
        let made = match &key {
            None => certificates::Authority::create(common_name, days),
            // Whoever made the key was stopped before the certificate was there.
            Some(key) => certificates::Authority::create_from_key(common_name, days, key),
        };
        let (issuer, issued) = match made {
            Ok(made) => made,
            Err(AuthorityError::NotAKey) => {
                self.unfit(
                    &format!("{name}.key"),
                    format!(
                        "it holds no private key in PEM form; {}",
                        Self::restore(name)
                    ),
                );
                return Ok(None);
            }
            Err(source) => {
                let name = name.to_owned();
                return Err(RenderError::Issue { name, source });
            }
        };
        let key = match key {
            Some(key) => key,
            None => {
                self.put(&format!("{name}.key"), issued.key.clone(), Written::Made);
                issued.key
            }
        };
        let certificate = issued.certificate;
        self.put(
            &format!("{name}.crt"),
            Zeroizing::new(certificate.clone()),
            Written::Made,
        );
        let Some(chain) = Chain::read(&certificate) else {
            return Err(RenderError::Issue {
                name: name.to_owned(),
                source: AuthorityError::NotACertificate,
            });
        };
        Ok(Some(Signer {
            name,
            authority: Authority {
                certificate,
                key: Some(key),
            },
            chain,
            issuer: Some(issuer),
        }))
    }

    /// `NAME.crt` and `NAME.key` of something that the authority signs. `None` when they do not fit, which is noted.
    pub(super) fn leaf(
        &mut self,
        signer: Option<&Signer>,
        name: &str,
        wanted: &Wanted,
    ) -> Result<Option<Pair>, RenderError> {
        let (crt, key_name) = (format!("{name}.crt"), format!("{name}.key"));
        let certificate = self.read(&crt)?;
        let key = self.read(&key_name)?;
        let Some(signer) = signer.filter(|_| !self.has_unfit([&crt, &key_name])) else {
            return Ok(None);
        };
        let (certificate, key) = match (certificate, key) {
            (None, key) => return self.new_leaf(signer, name, wanted, key),
            (Some(_), None) => {
                self.unfit(
                    &key_name,
                    format!("it is missing; bring it back, or remove {crt} to have both made anew"),
                );
                return Ok(None);
            }
            (Some(certificate), Some(key)) => (certificate, key),
        };
        let remedy = format!("remove {name}.crt and {name}.key to have them made anew");
        let Some(chain) = Chain::read(&certificate) else {
            self.unfit(&crt, format!("it is no certificate in PEM form; {remedy}"));
            return Ok(None);
        };
        match inspect::leaf(&chain, wanted, &signer.chain) {
            Ok(fitting) => self.note(&self.folder.join(&crt), &fitting),
            Err(message) => {
                self.unfit(&crt, format!("{message}; {remedy}"));
                return Ok(None);
            }
        }
        if let Err(message) = inspect::key_of(&chain, &key) {
            self.unfit(&key_name, format!("{message}; {remedy}"));
            return Ok(None);
        }
        Ok(Some(Pair {
            certificate: certificate.to_string(),
            key,
        }))
    }

    fn new_leaf(
        &mut self,
        signer: &Signer,
        name: &str,
        wanted: &Wanted,
        key: Option<Zeroizing<String>>,
    ) -> Result<Option<Pair>, RenderError> {
        let Some(issuer) = &signer.issuer else {
            let missing = self.missing.entry(signer.name.to_owned()).or_default();
            missing.push(format!("{name}.crt"));
            if key.is_none() {
                missing.push(format!("{name}.key"));
            }
            return Ok(None);
        };
        let failed = |source| RenderError::Issue {
            name: name.to_owned(),
            source,
        };
        let request = wanted.request().map_err(failed)?;
        let issued = match &key {
            None => issuer.issue(&request),
            Some(key) => issuer.issue_for_key(&request, key),
        };
        let issued = match issued {
            Ok(issued) => issued,
            Err(AuthorityError::NotAKey) => {
                let name = format!("{name}.key");
                self.unfit(
                    &name,
                    "it holds no private key in PEM form; remove it to have one made",
                );
                return Ok(None);
            }
            Err(source) => return Err(failed(source)),
        };
        let key = match key {
            Some(key) => key,
            None => {
                self.put(&format!("{name}.key"), issued.key.clone(), Written::Made);
                issued.key
            }
        };
        let text = Zeroizing::new(issued.certificate.clone());
        self.put(&format!("{name}.crt"), text, Written::Made);
        Ok(Some(Pair {
            certificate: issued.certificate,
            key,
        }))
    }

    /// Notes what an authority without its key would have to sign.
    pub(super) fn finish(&mut self) {
        for (name, files) in std::mem::take(&mut self.missing) {
            self.unfit(
                &format!("{name}.key"),
                format!(
                    "it is not there, so that nothing can be signed with it; put it there, or what it would sign: {}",
                    files.join(", ")
                ),
            );
        }
    }
}

/// `None` when there is none.
///
/// # Errors
/// [`RenderError::Read`], also when it is no text.
pub(super) fn read(path: &Path) -> Result<Option<Zeroizing<String>>, RenderError> {
    let failed = |source| RenderError::Read {
        path: path.to_owned(),
        source,
    };
    let size = match fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    if size > LARGEST {
        let message = "it is too large for a key or certificate";
        return Err(failed(io::Error::new(io::ErrorKind::InvalidData, message)));
    }
    let bytes = Zeroizing::new(fs::read(path).map_err(failed)?);
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Some(Zeroizing::new(text.to_owned()))),
        Err(_) => {
            let message = "it is not UTF-8 text";
            Err(failed(io::Error::new(io::ErrorKind::InvalidData, message)))
        }
    }
}
