//! Finds where the last so many lines begin, reading files from their end.

use std::{
    io,
    ops::ControlFlow,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use memchr::{memrchr, memrchr_iter};

use super::{
    entry::{Header, MAX_HEADER},
    file::{BLOCK, LogFile},
    reader::{Piece, Reader},
};

/// How much further back is looked for the beginning of the first line. The pieces of what is put together again are
/// within this.
const MAX_EXTRA: u64 = 2 << 20;

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Start {
    /// The file's place in the list.
    pub(super) file: usize,
    pub(super) offset: u64,
    /// So many lines from there on are not among the last ones.
    pub(super) skip: u64,
}

/// Finds the last `lines` lines of these files, oldest first. With `to_the_end`, what has no end yet counts as a line.
pub(super) fn find(
    files: &[(LogFile, PathBuf)],
    lines: u64,
    to_the_end: bool,
) -> io::Result<Start> {
    let mut search = Search {
        remaining: lines,
        skip: 0,
        seen: [!to_the_end; 2],
        needs_begin: [false; 2],
        extra: 0,
    };
    let mut start = Start {
        file: files.len().saturating_sub(1),
        offset: 0,
        skip: 0,
    };
    if let (0, Some((newest, _))) = (lines, files.last())
        && let Some(length) = newest.length()?
    {
        start.offset = if to_the_end {
            length
        } else {
            after_last_entry(newest, length)?
        };
        return Ok(start);
    }
    for (index, (file, path)) in files.iter().enumerate().rev() {
        let is_newest = index + 1 == files.len();
        if search.is_over() {
            break;
        }
        let flow = if file.is_compressed() {
            search.whole_file(&count(path)?);
            start = Start {
                file: index,
                offset: 0,
                skip: 0,
            };
            ControlFlow::Continue(())
        } else {
            // What a file that is done has at its end is read as a line.
            let rest = to_the_end || !is_newest;
            let length = file.length()?.unwrap_or_default();
            backwards(file, length, rest, |offset, size, header| {
                let flow = search.entry(size, header);
                // Not with an entry that is before the first line.
                if !matches!(flow, ControlFlow::Break(Found::After)) {
                    start = Start {
                        file: index,
                        offset,
                        skip: 0,
                    };
                }
                flow
            })?
        };
        if flow.is_break() {
            break;
        }
    }
    start.skip = search.skip;
    Ok(start)
}

/// How the search has ended.
#[derive(Debug)]
enum Found {
    /// The entry before this one is the first that is wanted.
    After,
    /// This one is.
    Here,
}

struct Search {
    /// So many lines are still to be found.
    remaining: u64,
    skip: u64,
    /// Whether an entry of the output was seen.
    seen: [bool; 2],
    /// Whether the first wanted line of the output may have begun before what was seen.
    needs_begin: [bool; 2],
    /// Looked through since the last wanted line was found.
    extra: u64,
}

impl Search {
    /// Looks at the entry before those that it has seen.
    fn entry(&mut self, size: u64, header: Option<Header>) -> ControlFlow<Found> {
        // What is no entry is a line by itself, whatever has begun.
        let of = header.map(|header| header.output.index());
        // A line without an end is one too, when nothing follows.
        let ends = match (header, of) {
            (Some(header), Some(of)) => header.ends_line || !self.seen[of],
            _ => true,
        };
        if let Some(of) = of {
            self.seen[of] = true;
        }
        if self.remaining == 0 {
            if ends && let Some(of) = of {
                self.needs_begin[of] = false;
            }
            if self.needs_begin == [false; 2] {
                return ControlFlow::Break(Found::After);
            }
            self.skip += u64::from(ends);
            self.extra += size;
            if self.extra > MAX_EXTRA {
                return ControlFlow::Break(Found::Here);
            }
        } else if ends {
            self.remaining -= 1;
            if let Some(of) = of {
                self.needs_begin[of] = true;
            }
        }
        ControlFlow::Continue(())
    }

    /// Takes a whole file, in which so many lines of each output end.
    fn whole_file(&mut self, counts: &Counts) {
        let Counts {
            lines,
            others,
            size,
        } = *counts;
        let all = lines[0] + lines[1] + others;
        let taken = self.remaining.min(all);
        if self.remaining == 0 {
            self.extra += size;
        }
        self.remaining -= taken;
        self.skip += all - taken;
        for (output, lines) in lines.into_iter().enumerate() {
            self.seen[output] |= lines > 0;
            if lines > taken {
                // One of them ends before the first that is wanted.
                self.needs_begin[output] = false;
            } else if taken > 0 && lines > 0 {
                self.needs_begin[output] = true;
            }
        }
    }

    fn is_over(&self) -> bool {
        self.remaining == 0 && (self.needs_begin == [false; 2] || self.extra > MAX_EXTRA)
    }
}

/// What a compressed file holds.
#[derive(Debug, Default)]
struct Counts {
    /// The lines that end in it, of each output.
    lines: [u64; 2],
    /// Those that are no entries.
    others: u64,
    /// Of all text.
    size: u64,
}

impl Counts {
    fn add(&mut self, piece: &Piece<'_>) {
        self.size += piece.text.len() as u64;
        if !piece.is_last {
            return;
        }
        match piece.header {
            Some(header) => self.lines[header.output.index()] += u64::from(header.ends_line),
            None => self.others += 1,
        }
    }
}

fn count(path: &Path) -> io::Result<Counts> {
    let mut reader = Reader::new(LogFile::open(path, true)?, Vec::new());
    let mut counts = Counts::default();
    while let Some(piece) = reader.next()? {
        counts.add(&piece);
    }
    if let Some(piece) = reader.rest() {
        counts.add(&piece);
    }
    Ok(counts)
}

/// Where the last entry ends that has an end.
fn after_last_entry(file: &LogFile, length: u64) -> io::Result<u64> {
    let Some(file) = file.plain() else {
        return Ok(0);
    };
    let mut buffer = vec![0; BLOCK];
    let mut end = length;
    while end > 0 {
        let begin = end.saturating_sub(BLOCK as u64);
        let block = &mut buffer[..usize::try_from(end - begin).unwrap_or(BLOCK)];
        file.read_exact_at(block, begin)?;
        if let Some(at) = memrchr(b'\n', block) {
            return Ok(begin + at as u64 + 1);
        }
        end = begin;
    }
    Ok(0)
}

/// Visits the entries of a file from the last to the first: their place, size and header. With `rest`, what is after the last line feed is one.
fn backwards(
    file: &LogFile,
    length: u64,
    rest: bool,
    mut visit: impl FnMut(u64, u64, Option<Header>) -> ControlFlow<Found>,
) -> io::Result<ControlFlow<Found>> {
    let Some(file) = file.plain() else {
        return Ok(ControlFlow::Continue(()));
    };
    let mut buffer = vec![0; BLOCK + MAX_HEADER];
    let mut block_end = length;
    // Where the entry ends whose beginning is looked for.
    let mut entry_end = rest.then_some(length);
    while block_end > 0 {
        let begin = block_end.saturating_sub(BLOCK as u64);
        let size = usize::try_from(block_end - begin).unwrap_or(BLOCK);
        // With the beginning of what follows, so that a header is whole.
        let with_header = usize::try_from(length - begin)
            .unwrap_or(usize::MAX)
            .min(size + MAX_HEADER);
        file.read_exact_at(&mut buffer[..with_header], begin)?;
        let header = |from: usize, entry_end: u64| {
            let to = usize::try_from(entry_end - begin)
                .unwrap_or(usize::MAX)
                .min(with_header);
            Header::split(&buffer[from..to]).map(|(header, _)| header)
        };
        for at in memrchr_iter(b'\n', &buffer[..size]) {
            let newline = begin + at as u64;
            if let Some(end) = entry_end.filter(|end| *end > newline + 1 || *end < length) {
                let flow = visit(newline + 1, end - newline, header(at + 1, end));
                if flow.is_break() {
                    return Ok(flow);
                }
            }
            entry_end = Some(newline);
        }
        block_end = begin;
        if begin == 0
            && let Some(end) = entry_end.filter(|end| *end > 0 || length > 0)
        {
            return Ok(visit(0, end, header(0, end)));
        }
    }
    Ok(ControlFlow::Continue(()))
}
