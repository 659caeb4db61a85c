//! What a container finds of its volumes and variables, told by itself.

use std::collections::BTreeMap;

use crate::pods::STAY;

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
  echo "mount $mount $(awk -v m="$mount" '$2 == m {split($4, o, ","); print o[1]}' /proc/mounts)"
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// "regular file", "directory", …
    pub(super) kind: String,
    /// The permissions in octal digits.
    pub(super) mode: u32,
    /// The owner and the group.
    pub(super) owner: (u32, u32),
    /// Of a file: the SHA-256 sum of what was read.
    pub(super) content: Option<String>,
    pub(super) writable: bool,
}

/// All that a container found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Listing {
    /// Whether each volume is mounted read-only.
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
}

impl Entry {
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
