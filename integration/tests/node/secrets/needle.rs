//! Values that are looked for.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem::Finder;

/// Bytes that are looked for.
pub(super) struct Needle {
    what: &'static str,
    finder: Finder<'static>,
}

impl Needle {
    fn new(what: &'static str, bytes: &[u8]) -> Self {
        let finder = Finder::new(bytes).into_owned();
        Self { what, finder }
    }

    /// A text as it is, and in base64, wherever it begins in what is encoded.
    pub(super) fn of(text: &str) -> Vec<Self> {
        let mut needles = vec![Self::new("the value", text.as_bytes())];
        for (shift, what) in [
            (0, "base64"),
            (1, "base64 after one"),
            (2, "base64 after two"),
        ] {
            let encoded = STANDARD.encode([&b"  "[..shift], text.as_bytes()].concat());
            // The first and the last signs depend on what is beside.
            needles.push(Self::new(what, &encoded.as_bytes()[4..encoded.len() - 4]));
        }
        needles
    }

    pub(super) fn is_in(&self, bytes: &[u8]) -> bool {
        self.finder.find(bytes).is_some()
    }
}

impl std::fmt::Debug for Needle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.what)
    }
}

/// Every file below a folder that holds one of the needles.
pub(super) fn files_with(folder: &Path, needles: &[Needle], but: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else {
        return found;
    };
    for path in entries.flatten().map(|it| it.path()) {
        let Ok(data) = fs::symlink_metadata(&path) else {
            continue;
        };
        if path == but {
            continue;
        }
        if data.is_dir() {
            found.extend(files_with(&path, needles, but));
        } else if data.is_file() {
            let content = fs::read(&path).unwrap_or_default();
            if needles.iter().any(|it| it.is_in(&content)) {
                found.push(path);
            }
        }
    }
    found
}
