//! Takes the entries out of one file, in pieces of bounded size.

use std::io::{self, Read as _};

use super::{
    entry::Header,
    file::{BLOCK, LogFile},
};

/// A piece of an entry.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    /// `None`: this is no entry, and `text` is all of it.
    pub(super) header: Option<Header>,
    pub(super) text: &'a [u8],
    /// Whether it is the entry's last piece.
    pub(super) is_last: bool,
}

/// A file that is being read.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) file: LogFile,
    buffer: Vec<u8>,
    /// What is in the buffer and not taken yet.
    begin: usize,
    end: usize,
    /// So far it has been looked through for the end of an entry.
    looked: usize,
    /// In the middle of an entry that is longer than the buffer: its header.
    inside: Option<Option<Header>>,
    /// Not to be read beyond.
    limit: Option<u64>,
}

impl Reader {
    /// `buffer` may be that of another one that is done.
    pub(super) fn new(file: LogFile, buffer: Vec<u8>) -> Self {
        Self {
            file,
            buffer,
            begin: 0,
            end: 0,
            looked: 0,
            inside: None,
            limit: None,
        }
    }

    /// Reads only so far.
    pub(super) fn limit(&mut self, to: u64) {
        self.limit = Some(to);
    }

    /// Whether it has been read as far as it may.
    pub(super) fn is_at_limit(&self) -> bool {
        self.limit.is_some_and(|limit| self.file.place() >= limit)
    }

    pub(super) fn into_buffer(self) -> Vec<u8> {
        self.buffer
    }

    /// The next piece. `None` when there is no more, for now: what was begun waits for its end.
    pub(super) fn next(&mut self) -> io::Result<Option<Piece<'_>>> {
        loop {
            if let Some(at) = memchr::memchr(b'\n', &self.buffer[self.looked..self.end]) {
                let (begin, end) = (self.begin, self.looked + at);
                (self.begin, self.looked) = (end + 1, end + 1);
                return Ok(Some(self.piece(begin, end, true)));
            }
            self.looked = self.end;
            if self.end - self.begin == BLOCK {
                let (begin, end) = (self.begin, self.end);
                self.begin = end;
                return Ok(Some(self.piece(begin, end, false)));
            }
            if !self.read_more()? {
                return Ok(None);
            }
        }
    }

    /// What was begun and has no end, when none will come.
    pub(super) fn rest(&mut self) -> Option<Piece<'_>> {
        if self.begin == self.end && self.inside.is_none() {
            return None;
        }
        let (begin, end) = (self.begin, self.end);
        (self.begin, self.looked) = (end, end);
        Some(self.piece(begin, end, true))
    }

    fn piece(&mut self, begin: usize, end: usize, is_last: bool) -> Piece<'_> {
        let bytes = &self.buffer[begin..end];
        let (header, text) = match self.inside {
            Some(header) => (header, bytes),
            None => match Header::split(bytes) {
                Some((header, text)) => (Some(header), text),
                None => (None, bytes),
            },
        };
        self.inside = (!is_last).then_some(header);
        Piece {
            header,
            text,
            is_last,
        }
    }

    fn read_more(&mut self) -> io::Result<bool> {
        if self.buffer.is_empty() {
            self.buffer = vec![0; BLOCK];
        }
        if self.begin > 0 {
            self.buffer.copy_within(self.begin..self.end, 0);
            self.end -= self.begin;
            (self.begin, self.looked) = (0, self.end);
        }
        let mut room = BLOCK - self.end;
        if let Some(limit) = self.limit {
            let left = limit.saturating_sub(self.file.place());
            room = room.min(usize::try_from(left).unwrap_or(usize::MAX));
        }
        let length = self
            .file
            .read(&mut self.buffer[self.end..self.end + room])?;
        self.end += length;
        Ok(length > 0)
    }
}
