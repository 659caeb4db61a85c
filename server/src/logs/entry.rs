//! One entry of a log file in CRI's format: `<RFC 3339 time> stdout|stderr P|F <text>`.

use jiff::{Timestamp, fmt::temporal::DateTimeParser};

/// No header of an entry is longer: a time with nanoseconds and an offset has 35 bytes, and tags are few.
pub(super) const MAX_HEADER: usize = 128;

/// Where a container wrote an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    Stdout,
    Stderr,
}

impl Output {
    /// For an array with one element for each.
    pub(super) fn index(self) -> usize {
        match self {
            Self::Stdout => 0,
            Self::Stderr => 1,
        }
    }
}

/// What stands before an entry's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) time: Timestamp,
    pub(super) output: Output,
    /// Whether the text ends a line. If not, the output's next entry goes on with it.
    pub(super) ends_line: bool,
}

impl Header {
    /// Takes an entry without its line feed apart. `None`: this is no entry, but what a crash or a full disk has left.
    ///
    /// The beginning of an entry is enough, if it has [`MAX_HEADER`] bytes.
    pub(super) fn split(entry: &[u8]) -> Option<(Self, &[u8])> {
        static PARSER: DateTimeParser = DateTimeParser::new();
        let (time, rest) = word(entry)?;
        let (output, rest) = word(rest)?;
        let output = match output {
            b"stdout" => Output::Stdout,
            b"stderr" => Output::Stderr,
            _ => return None,
        };
        // An empty text may come without the space before it.
        let (tags, text) = word(rest).unwrap_or((rest, &[]));
        // More tags may follow one day, after a colon.
        let ends_line = match tags.split(|byte| *byte == b':').next()? {
            b"F" => true,
            b"P" => false,
            _ => return None,
        };
        let time = PARSER.parse_timestamp(time).ok()?;
        let header = Self {
            time,
            output,
            ends_line,
        };
        Some((header, text))
    }
}

/// What is before the first space, and what is after it.
fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let head = &text[..text.len().min(MAX_HEADER)];
    let space = head.iter().position(|byte| *byte == b' ')?;
    Some((&text[..space], &text[space + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_taken_apart() {
        let (header, text) =
            Header::split(b"2016-10-06T00:17:09.669794202Z stderr P a  b ").unwrap();
        assert_eq!(header.time.as_nanosecond(), 1_475_713_029_669_794_202);
        assert_eq!((header.output, header.ends_line), (Output::Stderr, false));
        assert_eq!(text, b"a  b ");
    }

    #[test]
    fn an_offset_more_tags_and_an_empty_text_are_understood() {
        let (header, text) = Header::split(b"2016-10-06T02:17:09.5+02:00 stdout F:x:y ").unwrap();
        assert_eq!(header.time.as_nanosecond(), 1_475_713_029_500_000_000);
        assert!(header.ends_line && text.is_empty());
        let (_, text) = Header::split(b"2016-10-06T00:17:09Z stdout F").unwrap();
        assert_eq!(text, b"");
    }

    #[test]
    fn what_is_no_entry_is_told() {
        for bad in [
            "",
            "plain text",
            "2016-10-06T00:17:09Z stdlog F text",
            "2016-10-06T00:17:09Z stdout X text",
            "yesterday stdout F text",
            "\0\0\0\0",
        ] {
            assert_eq!(Header::split(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
