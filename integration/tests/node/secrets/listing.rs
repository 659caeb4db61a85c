//! What a container finds of its volumes and variables, told by itself.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use crate::pods::STAY;

/// The content of a file that the container's user may not read.
const UNREADABLE: &str = "unreadable";

/// The last line of a listing.
pub(super) const END: &str = "-- end";

/// A script that prints one line for each entry below `/v`, as the container's user sees it, and one for each variable,
/// and stays.
///
/// What the kubelet's way to change a volume at one stroke needs, the entries beside the files that begin with "..", is
/// left out.
pub(super) fn script() -> String {
    format!("{LIST}{STAY}")
}

/// The same for an init container, which must end.
pub(super) fn init_script() -> String {
    LIST.to_owned()
}

const LIST: &str = r#"
export LC_ALL=C
for mount in /v/*; do
  links=$(find "$mount" -type l | wc -l)
  echo "mount $mount $links $(awk -v m="$mount" '$2 == m {split($4, o, ","); print o[1]}' /proc/mounts)"
  find -L "$mount" | sort | while read -r path; do
    case ${path#"$mount"} in /..*) continue ;; esac
    case $path in "$mount") kind=root ;; *) kind=in ;; esac
    line="$kind $path $(stat -L -c '%F|%a|%u|%g' "$path")"
    if [ -d "$path" ]; then
      if (: >"$path/new") 2>/dev/null; then line="$line|WRITABLE"; else line="$line|read-only"; fi
    else
      sum=$(sha256sum "$path" 2>/dev/null) && line="$line|${sum%% *}" || line="$line|unreadable"
      if (: >>"$path") 2>/dev/null; then line="$line|WRITABLE"; else line="$line|read-only"; fi
    fi
    echo "$line"
  done
done
tr '\n' '\036' </proc/1/environ | tr '\0' '\n' | sort | sed 's/^/env /'
echo '-- end'
"#;

/// One line of a listing.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// "regular file", "directory", …
    pub(super) kind: String,
    /// The permissions.
    pub(super) mode: u32,
    /// The owner and the group.
    pub(super) owner: (u32, u32),
    /// Of a file: the SHA-256 sum of what was read, or that it is [`UNREADABLE`].
    pub(super) content: Option<String>,
    pub(super) writable: bool,
}

/// All that a container found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Listing {
    /// How many symbolic links are below each mount, and whether it is read-only: `0 ro`.
    pub(super) mounts: BTreeMap<String, String>,
    /// The volumes' own folders, or, of a `subPath`, files.
    pub(super) roots: BTreeMap<String, Entry>,
    /// What is in them.
    pub(super) entries: BTreeMap<String, Entry>,
    /// The variables. A line's end in a value is U+001E.
    pub(super) variables: BTreeMap<String, String>,
}

impl Listing {
    pub(super) fn parse(log: &str) -> Self {
        let mut listing = Self::default();
        for line in log.lines() {
            let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
            let (path, what) = rest.split_once(' ').unwrap_or((rest, ""));
            match kind {
                "mount" => drop(listing.mounts.insert(path.to_owned(), what.to_owned())),
                "root" => drop(listing.roots.insert(path.to_owned(), Entry::parse(what))),
                "in" => drop(listing.entries.insert(path.to_owned(), Entry::parse(what))),
                "env" => {
                    let (name, value) = rest.split_once('=').unwrap_or((rest, ""));
                    listing.variables.insert(name.to_owned(), value.to_owned());
                }
                _ => assert_eq!(line, END, "{log}"),
            }
        }
        listing
    }

    /// What is in one listing and not, or otherwise, in the other, as lines for people.
    pub(super) fn differences(&self, other: &Self) -> Vec<String> {
        let (ours, others) = (self.lines(), other.lines());
        let only = |sign: char, of: &BTreeSet<String>, not_of: &BTreeSet<String>| {
            let lines = of.difference(not_of).map(|line| format!("{sign}{line}"));
            lines.collect::<Vec<_>>()
        };
        [only('-', &ours, &others), only('+', &others, &ours)].concat()
    }

    fn lines(&self) -> BTreeSet<String> {
        let mounts = self.mounts.iter().map(|it| format!("mount {it:?}"));
        let roots = self.roots.iter().map(|it| format!("root {it:?}"));
        let entries = self.entries.iter().map(|it| format!("in {it:?}"));
        let variables = self.variables.iter().map(|it| format!("env {it:?}"));
        let all = mounts.chain(roots).chain(entries).chain(variables);
        all.collect()
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (user, group) = self.owner;
        write!(f, "{} {:04o} {user}:{group}", self.kind, self.mode)?;
        let content = self.content.as_deref().unwrap_or("-");
        let writable = if self.writable {
            "writable"
        } else {
            "read-only"
        };
        write!(f, " {content} {writable}")
    }
}

impl Entry {
    /// Changes what is expected of a file's content, if its reader may read it.
    pub(super) fn has(&mut self, content: &str) {
        if self.content.as_deref() == Some(UNREADABLE) {
            return;
        }
        let sum = Sha256::digest(content);
        let digits = sum.iter().map(|byte| format!("{byte:02x}"));
        self.content = Some(digits.collect());
    }

    pub(super) fn is_folder(&self) -> bool {
        self.kind == "directory"
    }

    fn parse(text: &str) -> Self {
        let words: Vec<&str> = text.split('|').collect();
        let [kind, mode, user, group, content @ .., writable] = &words[..] else {
            panic!("no entry: {text:?}")
        };
        let number = |text: &str| text.parse().expect("an id");
        Self {
            kind: (*kind).to_owned(),
            mode: u32::from_str_radix(mode, 8).expect("a mode"),
            owner: (number(user), number(group)),
            content: content.first().map(|it| (*it).to_owned()),
            writable: *writable == "WRITABLE",
        }
    }
}
