//! What a process has in its memory, which is what its core would hold.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use crate::secrets::needle::Needle;

const CHUNK: u64 = 1 << 20;
const OVERLAP: u64 = 4096;

/// For each needle the region of a process's memory that holds it, if one does.
pub(super) fn found_in(pid: u32, needles: &[Needle]) -> Vec<Option<String>> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("read the maps");
    let memory = File::open(format!("/proc/{pid}/mem")).expect("open the memory");
    let mut found: Vec<Option<String>> = needles.iter().map(|_| None).collect();
    let mut buffer = vec![0; usize::try_from(CHUNK + OVERLAP).expect("it fits")];
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
        let mut note = |bytes: &[u8]| {
            for (needle, found) in needles.iter().zip(&mut found) {
                if found.is_none() && needle.is_in(bytes) {
                    *found = Some(format!("{needle:?} in {line}"));
                }
            }
        };
        read_region(&memory, start, end, &mut buffer, &mut note);
    }
    assert!(looked_at > 1 << 20, "the memory of {pid} was not read");
    found
}

/// Reads a region in pieces, which overlap by more than a needle has.
fn read_region(
    memory: &File,
    start: u64,
    end: u64,
    buffer: &mut [u8],
    note: &mut dyn FnMut(&[u8]),
) {
    let mut at = start;
    while at < end {
        let length = usize::try_from(end - at).map_or(buffer.len(), |rest| rest.min(buffer.len()));
        // A page that was never touched of a file, or that was unmapped since, can't be read.
        if let Ok(count) = memory.read_at(&mut buffer[..length], at)
            // Most of what a garbage collector has is untouched.
            && buffer[..count].iter().any(|byte| *byte != 0)
        {
            note(&buffer[..count]);
        }
        at += CHUNK;
    }
}
