//! Puts the pieces of lines together.

use jiff::Timestamp;

use super::{entry::Output, reader::Piece};

/// The longest line that is put together. A longer one is given in pieces.
pub(super) const MAX_LINE: usize = 1 << 20;

/// A line that a container has written, or a piece of a very long one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// When the runtime got its end.
    pub(crate) time: Timestamp,
    pub(crate) output: Output,
    /// What is not UTF-8 is replaced.
    pub(crate) text: String,
    /// Whether it goes on in the next one of this container and output.
    pub(crate) is_partial: bool,
}

/// Which lines are wanted.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Filter {
    /// The first so many are not.
    pub(super) skip: u64,
    /// Only those from this time on are.
    pub(super) since: Option<Timestamp>,
}

impl Filter {
    /// Called once for each line, in order.
    fn wants(&mut self, time: Timestamp, is_partial: bool) -> bool {
        if self.skip > 0 {
            self.skip -= u64::from(!is_partial);
            return false;
        }
        self.since.is_none_or(|since| time >= since)
    }
}

/// The lines of one attempt of a container that have begun.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    begun: [Begun; 2],
    filter: Filter,
    last_time: Timestamp,
    /// The output whose line may be ready.
    touched: Option<Output>,
}

/// What is there of a line.
#[derive(Debug, Default)]
struct Begun {
    text: Vec<u8>,
    /// Of the last piece. `None`: nothing has begun.
    time: Option<Timestamp>,
    is_whole: bool,
}

impl Assembler {
    pub(super) fn new(filter: Filter) -> Self {
        Self {
            filter,
            ..Self::default()
        }
    }

    /// Takes a piece. What it ends is given at once, or by [`Self::ready`], which must be asked before the next piece.
    pub(super) fn push(&mut self, piece: &Piece<'_>) -> Option<Line> {
        let Some(header) = piece.header else {
            // Not lost, though nobody knows when and where it was written. What has begun goes on after it.
            let (time, is_partial) = (self.last_time, !piece.is_last);
            return self.filter.wants(time, is_partial).then(|| Line {
                time,
                output: Output::Stdout,
                text: text(piece.text),
                is_partial,
            });
        };
        let (time, output) = (header.time, header.output);
        let ends = header.ends_line && piece.is_last;
        self.last_time = time;
        let begun = &mut self.begun[output.index()];
        if ends && begun.time.is_none() {
            return self.filter.wants(time, false).then(|| Line {
                time,
                output,
                text: text(piece.text),
                is_partial: false,
            });
        }
        begun.text.extend_from_slice(piece.text);
        begun.time = Some(time);
        begun.is_whole = ends;
        self.touched = Some(output);
        None
    }

    /// A line that is whole, or as long as a piece may be.
    pub(super) fn ready(&mut self) -> Option<Line> {
        while let Some(output) = self.touched {
            let begun = &mut self.begun[output.index()];
            let time = begun.time.unwrap_or(self.last_time);
            let is_partial = begun.text.len() > MAX_LINE;
            if !is_partial && !begun.is_whole {
                self.touched = None;
                break;
            }
            let bytes = if is_partial {
                begun.text.drain(..boundary(&begun.text)).collect()
            } else {
                self.touched = None;
                std::mem::take(begun).text
            };
            if self.filter.wants(time, is_partial) {
                return Some(Line {
                    time,
                    output,
                    text: owned(bytes),
                    is_partial,
                });
            }
        }
        None
    }

    /// A line that has begun and will not be ended. Says whether it goes on, though not in what is read.
    pub(super) fn rest(&mut self, goes_on: bool) -> Option<Line> {
        loop {
            let [stdout, stderr] = self.begun.each_ref().map(|begun| begun.time);
            let output = match (stdout, stderr) {
                (None, None) => return None,
                (Some(first), Some(second)) if second < first => Output::Stderr,
                (Some(_), _) => Output::Stdout,
                (None, Some(_)) => Output::Stderr,
            };
            let begun = std::mem::take(&mut self.begun[output.index()]);
            let time = begun.time.unwrap_or(self.last_time);
            // A line is counted though only its beginning is there.
            if self.filter.wants(time, false) {
                return Some(Line {
                    time,
                    output,
                    text: owned(begun.text),
                    is_partial: goes_on,
                });
            }
        }
    }
}

/// Where to cut a long line so that no character is cut.
fn boundary(bytes: &[u8]) -> usize {
    // The first byte of a character is at most 3 before.
    (MAX_LINE - 3..=MAX_LINE)
        .rev()
        .find(|at| bytes.get(*at).is_none_or(|byte| byte & 0xC0 != 0x80))
        .unwrap_or(MAX_LINE)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn owned(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| text(error.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::entry::Header;

    fn push(assembler: &mut Assembler, output: Output, ends_line: bool, text: &[u8]) -> Vec<Line> {
        let header = Header {
            time: Timestamp::UNIX_EPOCH,
            output,
            ends_line,
        };
        let piece = Piece {
            header: Some(header),
            text,
            is_last: true,
        };
        let first = assembler.push(&piece);
        let mut lines = Vec::from_iter(first);
        lines.extend(std::iter::from_fn(|| assembler.ready()));
        lines
    }

    #[test]
    fn pieces_are_put_together_for_each_output_by_itself() {
        let mut assembler = Assembler::default();
        assert_eq!(push(&mut assembler, Output::Stdout, false, b"a"), []);
        assert_eq!(push(&mut assembler, Output::Stderr, false, b"x"), []);
        let lines = push(&mut assembler, Output::Stdout, true, b"b");
        assert_eq!(lines[0].text, "ab");
        assert_eq!(assembler.rest(false).unwrap().text, "x");
        assert_eq!(assembler.rest(false), None);
    }

    #[test]
    fn a_line_of_1_mib_is_whole_and_a_longer_one_comes_in_pieces_that_cut_no_character() {
        let mut assembler = Assembler::default();
        let half = vec![b'a'; MAX_LINE / 2];
        push(&mut assembler, Output::Stdout, false, &half);
        let lines = push(&mut assembler, Output::Stdout, true, &half);
        assert_eq!((lines.len(), lines[0].text.len()), (1, MAX_LINE));
        assert!(!lines[0].is_partial);

        let long = "€".repeat(MAX_LINE * 2 / 3);
        let mut lines = Vec::new();
        for piece in long.as_bytes().chunks(16_000) {
            lines.extend(push(&mut assembler, Output::Stdout, false, piece));
        }
        lines.extend(push(&mut assembler, Output::Stdout, true, b""));
        let partial: Vec<bool> = lines.iter().map(|line| line.is_partial).collect();
        assert_eq!(partial, [true, false]);
        let together: String = lines.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(together, long);
    }
}
