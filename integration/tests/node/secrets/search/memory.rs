//! What a process has in its memory, which is what its core would hold.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

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

/// For each needle the region of a process's memory that holds it, if one does.
pub(super) fn found_in(pid: u32, needles: &[Needle]) -> Vec<Option<String>> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("read the maps");
    let memory = File::open(format!("/proc/{pid}/mem")).expect("open the memory");
    let mut found: Vec<Option<String>> = needles.iter().map(|_| None).collect();
    let mut looked_at = 0;
    for line in maps.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [range, access, _, _, inode, rest @ ..] = &words[..] else {
            continue;
        };
        // Not what is a file's own content, as a core leaves it out, too.
        let is_of_file = *inode != "0" && !access.contains('w');
        if !access.starts_with('r') || is_of_file || matches!(rest, ["[vvar]" | "[vsyscall]"]) {
            continue;
        }
        let (start, end) = range.split_once('-').expect("a range");
        let [start, end] = [start, end].map(|it| u64::from_str_radix(it, 16).expect("an address"));
        looked_at += end - start;
        for (needle, found) in needles.iter().zip(&mut found) {
            if found.is_none() && region_has(&memory, start, end, needle) {
                *found = Some(format!("{needle:?} in {line}"));
            }
        }
    }
    assert!(looked_at > 1 << 20, "the memory of {pid} was not read");
    found
}

fn region_has(memory: &File, start: u64, end: u64, needle: &Needle) -> bool {
    const CHUNK: u64 = 4 << 20;
    /// More than a needle has.
    const OVERLAP: u64 = 4096;
    let mut buffer = vec![0; usize::try_from(CHUNK + OVERLAP).expect("it fits")];
    let mut at = start;
    while at < end {
        let length = usize::try_from((end - at).min(CHUNK + OVERLAP)).expect("it fits");
        // A page that was never touched of a file, or that was unmapped since, can't be read.
        if let Ok(count) = memory.read_at(&mut buffer[..length], at)
            && needle.is_in(&buffer[..count])
        {
            return true;
        }
        at += CHUNK;
    }
    false
}
