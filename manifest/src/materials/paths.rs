//! Paths of files in a volume, by the rules of the kubelet's `AtomicWriter` and a few more.

use std::collections::BTreeMap;

/// The longest path that the kubelet writes, in bytes.
const MAX_PATH: usize = 4096;
/// The longest name of a file on Linux, in bytes.
const MAX_NAME: usize = 255;

/// The path as the kubelet cleans it: names with "/" between, none of them empty, "." or "..".
///
/// # Errors
/// What is wrong with it, in a sentence for the user. The kubelet would refuse it, or fail to write the file.
pub(crate) fn clean(path: &str) -> Result<String, &'static str> {
    if path.is_empty() {
        return Err("the path is empty");
    }
    if path.starts_with('/') {
        return Err("the path must be relative");
    }
    if path.len() > MAX_PATH {
        return Err("the path has more than 4096 bytes");
    }
    if path.contains('\0') {
        return Err("the path must have no NUL byte");
    }
    let mut names = Vec::new();
    for name in path.split('/') {
        match name {
            ".." => return Err("the path must have no \"..\" step"),
            "" | "." => {}
            _ if name.len() > MAX_NAME => {
                return Err("a name in the path has more than 255 bytes");
            }
            _ => names.push(name),
        }
    }
    match names.first() {
        None => Err("the path names no file"),
        // The kubelet keeps such names for itself.
        Some(first) if first.starts_with("..") => Err("the path must not begin with \"..\""),
        Some(_) => Ok(names.join("/")),
    }
}

/// The file that a new one can not stand beside, since one of them would have to be a folder.
pub(super) fn clash<'f, T>(files: &'f BTreeMap<String, T>, path: &str) -> Option<&'f str> {
    let above = path
        .match_indices('/')
        .filter_map(|(end, _)| path.get(..end))
        .find_map(|folder| files.get_key_value(folder));
    if let Some((file, _)) = above {
        return Some(file);
    }
    let folder = format!("{path}/");
    let (first, _) = files.range(folder.clone()..).next()?;
    first.starts_with(&folder).then_some(first.as_str())
}

/// A path in a container as Go's `filepath.Clean` has it.
pub(super) fn clean_mount(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut names: Vec<&str> = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." if names.last().is_some_and(|last| *last != "..") => {
                names.pop();
            }
            ".." if rooted => {}
            _ => names.push(name),
        }
    }
    let joined = names.join("/");
    match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_lead_down_are_cleaned_as_by_the_kubelet() {
        for (path, cleaned) in [
            ("a", "a"),
            ("a/b", "a/b"),
            ("./a//b/.", "a/b"),
            ("a/", "a"),
            ("...", ""),
            ("a/..b", "a/..b"),
            ("tls.crt", "tls.crt"),
            ("ä ö\n", "ä ö\n"),
        ] {
            assert_eq!(clean(path).unwrap_or_default(), cleaned, "{path}");
        }
    }

    #[test]
    fn paths_that_lead_elsewhere_are_refused() {
        let long_name = "a".repeat(256);
        let long_path = "a/".repeat(2049);
        for path in [
            "", "/", "/a", "..", "../a", "a/../b", "a/..", "./..", "..a", "./..data", ".", "./",
            "a\0b", &long_name, &long_path,
        ] {
            assert!(clean(path).is_err(), "{path:?}");
        }
        assert!(clean(&"a".repeat(255)).is_ok());
        assert!(clean(&"a/".repeat(2048)).is_ok());
    }

    #[test]
    fn a_file_can_not_be_a_folder_of_another() {
        let files: BTreeMap<String, ()> = ["a/b/c", "d", "e-f", "g"]
            .into_iter()
            .map(|path| (path.to_owned(), ()))
            .collect();
        for (path, other) in [
            ("a", Some("a/b/c")),
            ("a/b", Some("a/b/c")),
            ("a/b/c", None),
            ("a/b/c/d", Some("a/b/c")),
            ("a/b/d", None),
            ("d/x/y", Some("d")),
            ("e", None),
            ("ga", None),
        ] {
            assert_eq!(clash(&files, path), other, "{path}");
        }
    }

    #[test]
    fn mount_paths_are_cleaned_as_by_go() {
        for (path, cleaned) in [
            ("/", "/"),
            ("/a//b/./", "/a/b"),
            ("/../a", "/a"),
            ("a/../../b", "../b"),
            ("", "."),
            ("/a/b/..", "/a"),
        ] {
            assert_eq!(clean_mount(path), cleaned, "{path}");
        }
    }
}
