//! Making a pod's folder, and putting right what somebody changed in it.

use std::io;

use super::wanted::{Entry, Folder, Wanted};
use crate::fs::{Dir, Kind, Name, STAGED_PREFIX, remove_tree};

/// What somebody changed in a pod's folder. Names only.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Differences {
    /// The first ones.
    named: Vec<String>,
    count: usize,
}

/// How many differences are named; there may be hundreds.
const NAMED: usize = 4;

impl Differences {
    fn add(&mut self, folder: &str, name: &dyn std::fmt::Display, what: &str) {
        self.count += 1;
        if self.count <= NAMED {
            let slash = if folder.is_empty() { "" } else { "/" };
            self.named.push(format!("{folder}{slash}{name} {what}"));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl std::fmt::Display for Differences {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.named.join(", "))?;
        if self.count > NAMED {
            write!(f, ", and {} more", self.count - NAMED)?;
        }
        Ok(())
    }
}

/// Makes the whole tree in an empty folder, which has its own access already.
pub(super) fn fill(base: &dyn Dir, wanted: &Wanted<'_>, durable: bool) -> io::Result<()> {
    for (path, folder) in wanted.folders() {
        at(base, path, &mut |dir| {
            for (name, entry) in &folder.entries {
                make(dir, name, entry, durable)?;
            }
            Ok(())
        })?;
    }
    if durable {
        for (path, _) in wanted.folders().rev() {
            at(base, path, &mut |dir| dir.sync())?;
        }
    }
    Ok(())
}

fn make(dir: &dyn Dir, name: &Name, entry: &Entry<'_>, durable: bool) -> io::Result<()> {
    match entry {
        Entry::Folder(access) => dir.make_dir(name, *access),
        Entry::File { access, content } => dir.create(name, *access, content, durable),
    }
}

/// Compares a folder with what it is to hold, and makes it hold that if `repair` says so.
pub(super) fn compare(
    base: &dyn Dir,
    wanted: &Wanted<'_>,
    repair: bool,
    durable: bool,
) -> io::Result<Differences> {
    let mut found = Differences::default();
    for (path, folder) in wanted.folders() {
        let mut compare = |dir: &dyn Dir| {
            let before = found.count;
            compare_folder(dir, path, folder, repair, durable, &mut found)?;
            if repair && durable && found.count > before {
                dir.sync()?;
            }
            Ok(())
        };
        match at(base, path, &mut compare) {
            // It is missing or no folder, which was told with the one above it.
            Err(error)
                if !repair
                    && matches!(
                        error.kind(),
                        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                    ) => {}
            other => other?,
        }
    }
    Ok(found)
}

fn compare_folder(
    dir: &dyn Dir,
    path: &str,
    folder: &Folder<'_>,
    repair: bool,
    durable: bool,
    found: &mut Differences,
) -> io::Result<()> {
    if !folder.access.is_of(&dir.stat_self()?) {
        let own = if path.is_empty() { "the folder" } else { path };
        found.add("", &own.escape_debug(), "has another mode or owner");
        if repair {
            dir.set_access(folder.access)?;
        }
    }
    for name in dir.list()? {
        if folder.entries.contains_key(&name) {
            continue;
        }
        // What begins so is left over from a repair that was cut short.
        let staged = name.as_str().is_some_and(|n| n.starts_with(STAGED_PREFIX));
        if !staged {
            found.add(path, &name, "was added");
        }
        if repair {
            remove_tree(dir, &name)?;
        }
    }
    for (name, entry) in &folder.entries {
        let Some(what) = difference(dir, name, entry)? else {
            continue;
        };
        found.add(path, name, what);
        if repair {
            put_right(dir, name, entry, folder, durable)?;
        }
    }
    Ok(())
}

/// What is wrong with one entry. Of a folder only that it is one: the rest is seen when its turn comes.
fn difference(dir: &dyn Dir, name: &Name, entry: &Entry<'_>) -> io::Result<Option<&'static str>> {
    let Some(stat) = dir.stat(name)? else {
        return Ok(Some("was removed"));
    };
    let (access, content) = match entry {
        Entry::Folder(_) if stat.kind == Kind::Folder => return Ok(None),
        Entry::File { access, content } if stat.kind == Kind::File => (access, content),
        _ => return Ok(Some("is something else")),
    };
    if !access.is_of(&stat) {
        return Ok(Some("has another mode or owner"));
    }
    let changed = Some("has another content");
    if stat.size != content.len() as u64 {
        return Ok(changed);
    }
    match dir.read(name, content.len()) {
        Ok(bytes) if **bytes == **content => Ok(None),
        Ok(_) => Ok(changed),
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Ok(changed),
        // Its own mode keeps a daemon that is not root from reading it, and others from changing it.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(None),
        Err(error) => Err(error),
    }
}

fn put_right(
    dir: &dyn Dir,
    name: &Name,
    entry: &Entry<'_>,
    folder: &Folder<'_>,
    durable: bool,
) -> io::Result<()> {
    let is_folder = |stat: &crate::fs::Stat| stat.kind == Kind::Folder;
    if matches!(entry, Entry::Folder(_)) || dir.stat(name)?.as_ref().is_some_and(is_folder) {
        // A folder has to go first: nothing can be renamed over it. Nor over what stands in the place of one.
        remove_tree(dir, name)?;
    }
    if matches!(entry, Entry::Folder(_)) {
        return make(dir, name, entry, durable);
    }
    // Never in place: a container that reads it sees the old file or the new one.
    let staged = free_name(folder)?;
    make(dir, &staged, entry, durable)
        .and_then(|()| dir.rename(&staged, name))
        .inspect_err(|_| {
            // The error that matters is the first one.
            let _ = dir.remove_file(&staged);
        })
}

/// A name for a staged file that nothing wanted has: a key of a ConfigMap may begin as it likes.
fn free_name(folder: &Folder<'_>) -> io::Result<Name> {
    for number in 0..=folder.entries.len() {
        let name = Name::new(format!("{STAGED_PREFIX}{number}"))?;
        if !folder.entries.contains_key(&name) {
            return Ok(name);
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Does something in the folder of this path.
fn at(
    base: &dyn Dir,
    path: &str,
    act: &mut dyn FnMut(&dyn Dir) -> io::Result<()>,
) -> io::Result<()> {
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    let Some(first) = parts.next() else {
        return act(base);
    };
    let mut dir = base.open_dir(&Name::new(first)?)?;
    for part in parts {
        dir = dir.open_dir(&Name::new(part)?)?;
    }
    act(&*dir)
}
