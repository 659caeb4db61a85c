//! Reading one segment, a piece at a time.

use std::{io, ops::ControlFlow, path::Path};

use super::record::{self, Line, Recorded};
use crate::fs::FileSystem;

/// How much is read at once. More than any event's line.
pub(super) const PIECE: usize = 32 * 1024;

/// Twenty digits hold each u64, so that names sort as numbers do.
pub(super) fn file_name(first: u64) -> String {
    format!("{first:020}.jsonl")
}

/// The inverse of [`file_name`].
pub(super) fn parse_file_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".jsonl")?;
    (digits.len() == 20).then(|| digits.parse().ok())?
}

/// How far a piece went.
#[derive(Debug)]
pub(super) struct Progress {
    /// Where the next piece begins.
    pub(super) offset: u64,
    /// Whether the file ends here.
    pub(super) at_end: bool,
    /// Whether it ends in the middle of a line.
    pub(super) cut_off: bool,
    /// Whether it ends before a line that is not to be read yet.
    pub(super) stopped: bool,
}

/// Reads the lines of a piece; `None` is a line that is not whole. With a break, the line stays unread.
pub(super) fn read_piece(
    fs: &dyn FileSystem,
    path: &Path,
    offset: u64,
    mut each: impl FnMut(Option<Line>) -> ControlFlow<()>,
) -> io::Result<Progress> {
    let bytes = fs.read_at(path, offset, PIECE)?;
    let at_end = bytes.len() < PIECE;
    let mut used = 0;
    let mut stopped = false;
    while let Some(length) = bytes[used..].iter().position(|byte| *byte == b'\n') {
        let line = record::decode(&bytes[used..used + length]);
        stopped = each(line).is_break();
        if stopped {
            break;
        }
        used += length + 1;
    }
    if used == 0 && !at_end && !stopped {
        // No line of ours is so long.
        used = bytes.len();
        let _ = each(None);
    }
    Ok(Progress {
        offset: offset + used as u64,
        at_end,
        cut_off: at_end && used < bytes.len(),
        stopped,
    })
}

/// What a segment holds, but for the events themselves.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// What was recorded before it. `None`: its head cannot be read.
    pub(super) before: Option<Recorded>,
    /// What it records itself.
    pub(super) within: Recorded,
    /// The highest number.
    pub(super) last: Option<u64>,
    /// Whether there is anything but whole lines.
    pub(super) torn: bool,
}

/// Reads a segment whose numbers are below `end`.
pub(super) fn scan(fs: &dyn FileSystem, path: &Path, end: Option<u64>) -> io::Result<Scan> {
    let mut scan = Scan::default();
    let mut offset = 0;
    loop {
        let progress = read_piece(fs, path, offset, |line| {
            match line {
                None => scan.torn = true,
                Some(Line::Head(recorded)) => scan.before = Some(recorded),
                Some(Line::Event(event)) if end.is_some_and(|end| event.sequence >= end) => {}
                Some(Line::Event(event)) => {
                    scan.last = scan.last.max(Some(event.sequence));
                    record::note(&mut scan.within, &event.what);
                }
            }
            ControlFlow::Continue(())
        })?;
        offset = progress.offset;
        if progress.at_end {
            scan.torn |= progress.cut_off;
            return Ok(scan);
        }
    }
}
