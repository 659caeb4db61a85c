//! One log file: the one that is written, one that the kubelet has put aside, or one that it has compressed.

use std::{
    fs::{File, Metadata, OpenOptions},
    io::{self, Read},
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    path::Path,
    time::{Duration, SystemTime},
};

use flate2::read::MultiGzDecoder;
use rustix::fs::OFlags;

use super::entry::Header;

/// How much is read at once. An entry of containerd has at most 16 KiB.
pub(super) const BLOCK: usize = 64 * 1024;

/// How much of a file's beginning tells it from others: a time with nanoseconds is in there.
const HEAD: usize = 256;

/// Which file it is, whatever its name, as long as it is open or has a name.
pub(super) type Identity = (u64, u64);

pub(super) fn identity(metadata: &Metadata) -> Identity {
    (metadata.dev(), metadata.ino())
}

/// An open log file.
#[derive(Debug)]
pub(super) struct LogFile {
    content: Content,
    pub(super) identity: Identity,
}

#[derive(Debug)]
enum Content {
    /// With the place of the next read.
    Plain(File, u64),
    Compressed(Box<MultiGzDecoder<File>>),
}

impl LogFile {
    pub(super) fn open(path: &Path, is_compressed: bool) -> io::Result<Self> {
        // A path of the runtime may lead over links, but never to what is no file; a pipe would block the open.
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        let content = if is_compressed {
            Content::Compressed(Box::new(MultiGzDecoder::new(file)))
        } else {
            Content::Plain(file, 0)
        };
        Ok(Self {
            content,
            identity: identity(&metadata),
        })
    }

    pub(super) fn is_compressed(&self) -> bool {
        matches!(self.content, Content::Compressed(_))
    }

    /// Goes to a place in a file that is not compressed.
    pub(super) fn seek(&mut self, to: u64) {
        if let Content::Plain(_, at) = &mut self.content {
            *at = to;
        }
    }

    /// The file, if it is not compressed.
    pub(super) fn plain(&self) -> Option<&File> {
        match &self.content {
            Content::Plain(file, _) => Some(file),
            Content::Compressed(_) => None,
        }
    }

    /// How far it is read. 0 for a compressed one.
    pub(super) fn place(&self) -> u64 {
        match &self.content {
            Content::Plain(_, at) => *at,
            Content::Compressed(_) => 0,
        }
    }

    /// How long it is now. `None` for a compressed one.
    pub(super) fn length(&self) -> io::Result<Option<u64>> {
        self.plain()
            .map(|file| Ok(file.metadata()?.len()))
            .transpose()
    }

    /// Whether it was made longer ago. Unknown counts as no.
    pub(super) fn is_older_than(&self, time: Duration) -> bool {
        let created = self
            .plain()
            .and_then(|file| file.metadata().ok()?.created().ok());
        created.is_some_and(|created| created.elapsed().is_ok_and(|age| age > time))
    }

    /// Whether it has not been touched for so long: written, renamed or made.
    pub(super) fn is_quiet_for(&self, time: Duration) -> io::Result<bool> {
        let Content::Plain(file, _) = &self.content else {
            return Ok(true);
        };
        let metadata = file.metadata()?;
        let changed = SystemTime::UNIX_EPOCH
            .checked_add(Duration::from_secs(
                u64::try_from(metadata.ctime()).unwrap_or(0),
            ))
            .and_then(|time| {
                let nanoseconds = u64::try_from(metadata.ctime_nsec()).unwrap_or(0);
                time.checked_add(Duration::from_nanos(nanoseconds))
            });
        // A time in the future tells nothing.
        Ok(changed.is_some_and(|changed| changed.elapsed().is_ok_and(|since| since > time)))
    }

    /// Whether a compressed file has this one's content, by its beginning.
    pub(super) fn is_same_as_compressed(&self, path: &Path) -> io::Result<bool> {
        let Content::Plain(file, _) = &self.content else {
            return Ok(false);
        };
        let (mut own, mut other) = ([0; HEAD], [0; HEAD]);
        let length = fill(&mut own, |buffer, at| file.read_at(buffer, at as u64))?;
        let mut compressed = Self::open(path, true)?;
        let other_length = fill(&mut other, |buffer, _| compressed.read(buffer))?;
        Ok(length == other_length && own == other)
    }

    /// When its first entry was written. `None` when it has none, or what begins it is no entry.
    pub(super) fn first_time(&self, path: &Path) -> io::Result<Option<jiff::Timestamp>> {
        let mut head = [0; HEAD];
        let length = match &self.content {
            Content::Plain(file, _) => {
                fill(&mut head, |buffer, at| file.read_at(buffer, at as u64))?
            }
            Content::Compressed(_) => {
                let mut again = Self::open(path, true)?;
                fill(&mut head, |buffer, _| again.read(buffer))?
            }
        };
        Ok(Header::split(&head[..length]).map(|(header, _)| header.time))
    }
}

impl Read for LogFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.content {
            Content::Plain(file, at) => {
                let length = file.read_at(buffer, *at)?;
                *at += length as u64;
                Ok(length)
            }
            Content::Compressed(decoder) => decoder.read(buffer),
        }
    }
}

/// Reads until the buffer is full or nothing more comes.
fn fill(
    buffer: &mut [u8],
    mut read: impl FnMut(&mut [u8], usize) -> io::Result<usize>,
) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match read(&mut buffer[length..], length)? {
            0 => break,
            more => length += more,
        }
    }
    Ok(length)
}
