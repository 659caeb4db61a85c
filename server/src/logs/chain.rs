//! The log of one attempt of a container: a chain of files, of which the last grows.
//!
//! A file is read to its end, whatever its name is by then, and after it the one that succeeded it. So that this is known for
//! sure and nothing is lost, the successors are opened as soon as they are seen, and the folder is listed before and
//! after: a rename in between shows.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::{
    file::{Identity, LogFile},
    line::{Assembler, Filter, Line},
    listing::{Listed, list},
    reader::Reader,
    tail,
};

/// How many files are held open besides the one that is read. The kubelet keeps 5 in all unless told otherwise.
const MAX_AHEAD: usize = 8;

/// How long the runtime may go on writing into a file when it has begun the next one: stdout and stderr change over one
/// after the other, and what was on its way still arrives.
const CHANGE_OVER: Duration = Duration::from_millis(300);

/// How long a file is looked at again after it was left, for a runtime that took longer.
const LATE: Duration = Duration::from_secs(10);

/// How often the successors are looked for while a file is being read.
const LOOK_AHEAD: Duration = Duration::from_millis(500);

/// How often a listing may change under us. Rotations are seconds apart.
const TRIES: usize = 100;

/// What comes next.
#[derive(Debug)]
pub(super) enum Step {
    Line(Line),
    /// Nothing now.
    Wait,
    /// Nothing any more.
    End,
}

/// Open files with their paths, oldest first.
type Opened = Vec<(LogFile, PathBuf)>;

/// Why there is nothing.
#[derive(Debug)]
pub(super) enum ChainError {
    /// What comes next was removed.
    Lost,
    Io(PathBuf, io::Error),
}

/// Where to begin and end.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Extent {
    pub(super) tail: Option<u64>,
    pub(super) since: Option<Timestamp>,
    /// Go on with what is written from now on.
    pub(super) follow: bool,
    /// The container has ended.
    pub(super) ended: bool,
}

#[derive(Debug)]
pub(super) struct Chain {
    folder: PathBuf,
    base: String,
    /// Of the file that is written.
    path: PathBuf,
    assembler: Assembler,
    reader: Option<Reader>,
    ahead: VecDeque<LogFile>,
    /// The file before that one, and until when to look at it.
    late: Option<(Reader, Instant)>,
    look_at_late: bool,
    listed: Instant,
    /// Since when the file that is read has a successor.
    succeeded: Option<Instant>,
    /// The file that is read does not grow any more, and is read once again.
    is_settled: bool,
    /// There are files after the last that is open.
    has_more: bool,
    /// The files of the last listing.
    known: Vec<Listed>,
    follow: bool,
    /// Without `follow`: how far to read.
    end: Option<(Identity, u64)>,
}

impl Chain {
    pub(super) fn open(folder: &Path, base: &str, extent: Extent) -> Result<Self, ChainError> {
        let mut chain = Self {
            folder: folder.to_owned(),
            base: base.to_owned(),
            path: folder.join(base),
            assembler: Assembler::default(),
            reader: None,
            ahead: VecDeque::new(),
            late: None,
            look_at_late: false,
            listed: Instant::now(),
            succeeded: None,
            is_settled: false,
            has_more: false,
            known: Vec::new(),
            follow: extent.follow,
            end: None,
        };
        let (mut files, known) = chain.opened(None, usize::MAX)?;
        chain.known = known;
        let failed = |error| failed(&folder.join(base), error);
        if !extent.follow
            && let Some((last, _)) = files.last()
            && let Some(length) = last.length().map_err(failed)?
        {
            chain.end = Some((last.identity, length));
        }
        let mut filter = Filter {
            skip: 0,
            since: extent.since,
        };
        let mut first = 0;
        if let Some(lines) = extent.tail {
            let start = tail::find(&files, lines, !extent.follow).map_err(failed)?;
            if let Some((file, _)) = files.get_mut(start.file) {
                file.seek(start.offset);
            }
            filter.skip = start.skip;
            first = start.file;
        } else if let Some(since) = extent.since {
            for (index, (file, path)) in files.iter().enumerate().rev() {
                first = index;
                let begin = file.first_time(path).map_err(failed)?;
                if begin.is_some_and(|begin| begin < since) {
                    break;
                }
            }
        }
        chain.assembler = Assembler::new(filter);
        let mut files = files.into_iter().map(|(file, _)| file).skip(first);
        chain.ahead.extend(files.by_ref().take(MAX_AHEAD));
        chain.has_more = files.next().is_some();
        Ok(chain)
    }

    /// To be called before a round of [`Self::next`].
    pub(super) fn begin_round(&mut self) {
        self.look_at_late = true;
        if self.reader.is_some() && self.listed.elapsed() > LOOK_AHEAD {
            // What is wrong shows again when the successor is needed.
            let _ = self.extend();
        }
    }

    /// Waits for the file that it reads to be done.
    pub(super) fn is_changing_over(&self) -> bool {
        self.succeeded.is_some()
    }

    /// The next line. With `ended`, nothing is written any more.
    pub(super) fn next(&mut self, ended: bool) -> Result<Step, ChainError> {
        loop {
            if let Some(line) = self.assembler.ready() {
                return Ok(Step::Line(line));
            }
            if self.look_at_late {
                if let Some(line) = self.late()? {
                    return Ok(Step::Line(line));
                }
                continue;
            }
            let Some(reader) = &mut self.reader else {
                if self.ahead.is_empty() {
                    self.extend()?;
                }
                match self.ahead.pop_front() {
                    Some(file) => self.reader = Some(self.read(file, Vec::new())),
                    None if ended || !self.follow => return Ok(Step::End),
                    None => return Ok(Step::Wait),
                }
                continue;
            };
            if let Some(piece) = reader.next().map_err(|error| failed(&self.path, error))? {
                if let Some(line) = self.assembler.push(&piece) {
                    return Ok(Step::Line(line));
                }
                continue;
            }
            if reader.is_at_limit() {
                return Ok(self.end(ended));
            }
            self.extend()?;
            if self.ahead.is_empty() {
                if ended || !self.follow {
                    return Ok(self.end(ended));
                }
                return Ok(Step::Wait);
            }
            if self.is_settled {
                if let Some(line) = self.change_over() {
                    return Ok(Step::Line(line));
                }
            } else if ended || self.settles()? {
                // What was written before that may have come after the read.
                self.is_settled = true;
            } else {
                return Ok(Step::Wait);
            }
        }
    }

    /// A line that came late into the file before.
    fn late(&mut self) -> Result<Option<Line>, ChainError> {
        if let Some((reader, until)) = &mut self.late {
            match reader.next() {
                Ok(Some(piece)) => return Ok(self.assembler.push(&piece)),
                Ok(None) if Instant::now() < *until => {}
                Ok(None) => self.late = None,
                Err(error) => return Err(failed(&self.path, error)),
            }
        }
        self.look_at_late = false;
        Ok(None)
    }

    /// The end of what there is to read.
    fn end(&mut self, ended: bool) -> Step {
        if ended
            && let Some(reader) = &mut self.reader
            && let Some(piece) = reader.rest()
            && let Some(line) = self.assembler.push(&piece)
        {
            return Step::Line(line);
        }
        if let Some(line) = self.assembler.ready() {
            return Step::Line(line);
        }
        self.assembler.rest(!ended).map_or(Step::End, Step::Line)
    }

    /// Whether nothing more is written into the file that is read, now that it has a successor.
    fn settles(&mut self) -> Result<bool, ChainError> {
        let since = self.succeeded.get_or_insert_with(Instant::now).elapsed();
        let (Some(reader), Some(next)) = (&self.reader, self.ahead.front()) else {
            return Ok(false);
        };
        if since > CHANGE_OVER || self.ahead.len() > 1 || next.is_compressed() {
            return Ok(true);
        }
        let quiet = reader.file.is_quiet_for(CHANGE_OVER);
        Ok(quiet.map_err(|error| failed(&self.path, error))? && next.is_older_than(CHANGE_OVER))
    }

    /// Goes on with the successor. What has no end in the file that is left is a line.
    fn change_over(&mut self) -> Option<Line> {
        let next = self.ahead.pop_front()?;
        let mut line = None;
        let mut buffer = Vec::new();
        if let Some(mut old) = self.reader.take() {
            line = old.rest().and_then(|piece| self.assembler.push(&piece));
            if self.follow && self.ahead.is_empty() && !old.file.is_compressed() {
                self.late = Some((old, Instant::now() + LATE));
            } else {
                buffer = old.into_buffer();
            }
        }
        self.reader = Some(self.read(next, buffer));
        (self.is_settled, self.succeeded) = (false, None);
        line
    }

    fn read(&self, file: LogFile, buffer: Vec<u8>) -> Reader {
        let end = self.end.filter(|(last, _)| *last == file.identity);
        let mut reader = Reader::new(file, buffer);
        if let Some((_, length)) = end {
            reader.limit(length);
        }
        reader
    }

    /// Opens what has come after the files that are open.
    fn extend(&mut self) -> Result<(), ChainError> {
        self.listed = Instant::now();
        let room = MAX_AHEAD.saturating_sub(self.ahead.len());
        if room == 0 {
            return Ok(());
        }
        let reading = self.reader.as_ref().map(|reader| &reader.file);
        let Some(last) = self.ahead.back().or(reading) else {
            let (files, known) = self.opened(None, room)?;
            self.known = known;
            self.ahead.extend(files.into_iter().map(|(file, _)| file));
            return Ok(());
        };
        if self.end.is_some_and(|(end, _)| end == last.identity) {
            return Ok(());
        }
        let (files, known) = self.opened(Some(last), room)?;
        self.known = known;
        self.has_more = files.len() == room;
        self.ahead.extend(files.into_iter().map(|(file, _)| file));
        Ok(())
    }

    /// Opens at most `room` files after `last`, oldest first. With the list.
    fn opened(
        &self,
        last: Option<&LogFile>,
        room: usize,
    ) -> Result<(Opened, Vec<Listed>), ChainError> {
        let list = || list(&self.folder, &self.base).map_err(|error| failed(&self.path, error));
        let mut before = list()?;
        for _ in 0..TRIES {
            let from = match last {
                None => Some(0),
                Some(last) => self.position(last, &before)?.map(|at| at + 1),
            };
            let files = before.get(from.unwrap_or(0)..).unwrap_or_default();
            let files = self.open_all(files.iter().take(room))?;
            let after = list()?;
            if before != after {
                before = after;
                continue;
            }
            match (from, files) {
                (Some(_), Some(files)) => return Ok((files, before)),
                // All of it is being removed, in whatever order, and nothing has come.
                (None, _) if !self.has_more && self.knows_all(&before) => {
                    return Ok((Vec::new(), before));
                }
                (None, _) => return Err(ChainError::Lost),
                (Some(_), None) => {}
            }
        }
        Err(failed(
            &self.path,
            io::Error::other("its files change all the time"),
        ))
    }

    fn knows_all(&self, list: &[Listed]) -> bool {
        let time = |listed: &Listed| listed.name.trim_end_matches(".gz").to_owned();
        let known: Vec<String> = self.known.iter().map(time).collect();
        list.iter()
            .all(|listed| listed.name != self.base && known.contains(&time(listed)))
    }

    /// `None` when one of them is another one by now.
    fn open_all<'a>(
        &self,
        files: impl Iterator<Item = &'a Listed>,
    ) -> Result<Option<Opened>, ChainError> {
        let mut opened = Vec::new();
        for listed in files {
            let path = self.folder.join(&listed.name);
            match LogFile::open(&path, listed.is_compressed) {
                Ok(file) if file.identity == listed.identity => opened.push((file, path)),
                Ok(_) => return Ok(None),
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(ChainError::Io(path, error)),
            }
        }
        Ok(Some(opened))
    }

    /// Where an open file is in a list: under whatever name, or compressed.
    fn position(&self, file: &LogFile, list: &[Listed]) -> Result<Option<usize>, ChainError> {
        let same = |listed: &Listed| listed.identity == file.identity;
        if let Some(at) = list.iter().position(same) {
            return Ok(Some(at));
        }
        for (at, listed) in list.iter().enumerate().filter(|(_, it)| it.is_compressed) {
            let path = self.folder.join(&listed.name);
            match file.is_same_as_compressed(&path) {
                Ok(true) => return Ok(Some(at)),
                Ok(false) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(ChainError::Io(path, error)),
            }
        }
        Ok(None)
    }
}

fn failed(path: &Path, error: io::Error) -> ChainError {
    ChainError::Io(path.to_owned(), error)
}
