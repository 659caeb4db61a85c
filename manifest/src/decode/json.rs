//! JSON with the place of each value, and with its repeated keys.
//!
//! JSON is nearly YAML, but only nearly: escaped surrogate pairs, tabs between tokens and keys of more than 1024
//! characters are fine in JSON alone. So JSON has its own reader.

use std::borrow::Cow;

use serde_json::Number;

use super::{
    Fault, Outcome,
    budget::{Budget, MAX_DEPTH, Stop},
    tree::{Entry, Kind, Mark, Node, repeated_keys},
};
use crate::{Reason, field::OwnedSegment};

/// Reads one or several JSON values that follow each other.
pub(crate) fn read(text: &str, budget: &mut Budget) -> Outcome {
    let mut reader = Reader {
        text,
        at: 0,
        last: Place {
            at: 0,
            line: 1,
            column: 1,
        },
        budget,
        path: Vec::new(),
    };
    let mut outcome = Outcome::default();
    loop {
        reader.skip_space();
        if reader.peek().is_none() {
            return outcome;
        }
        let document = outcome.documents.len();
        let mut faults = Vec::new();
        match reader.value(&mut faults) {
            Ok(node) => outcome.documents.push(node),
            Err(stop) => outcome.stop = Some(stop),
        }
        outcome
            .faults
            .extend(faults.into_iter().map(|fault| Fault { document, ..fault }));
        if outcome.stop.is_some() {
            return outcome;
        }
    }
}

#[derive(Clone, Copy)]
struct Place {
    at: usize,
    line: u32,
    column: u32,
}

struct Reader<'a, 'b> {
    text: &'a str,
    at: usize,
    /// The last place that was worked out; the next is counted from there, so that all together cost one pass.
    last: Place,
    budget: &'b mut Budget,
    path: Vec<OwnedSegment>,
}

impl<'a> Reader<'a, '_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn mark(&mut self) -> Mark {
        for byte in &self.text.as_bytes()[self.last.at..self.at] {
            match byte {
                b'\n' => {
                    self.last.line = self.last.line.saturating_add(1);
                    self.last.column = 1;
                }
                // Continuation bytes of one character.
                0x80..=0xBF => {}
                _ => self.last.column = self.last.column.saturating_add(1),
            }
        }
        self.last.at = self.at;
        Mark {
            line: self.last.line,
            column: self.last.column,
        }
    }

    fn fail<T>(&mut self, description: &str) -> Result<T, Stop> {
        Err(Stop::syntax(
            self.mark(),
            format!("it is not valid JSON: {description}"),
        ))
    }

    fn value(&mut self, faults: &mut Vec<Fault>) -> Result<Node, Stop> {
        let mark = self.mark();
        self.budget.take_node(mark)?;
        let kind = match self.peek() {
            Some(b'{') => self.object(mark, faults)?,
            Some(b'[') => self.list(mark, faults)?,
            Some(b'"') => Kind::Text(self.string()?.into_owned()),
            Some(b'-' | b'0'..=b'9') => Kind::Number(self.number()?),
            Some(b't') => self.word("true", Kind::Bool(true))?,
            Some(b'f') => self.word("false", Kind::Bool(false))?,
            Some(b'n') => self.word("null", Kind::Null)?,
            Some(_) => return self.fail("a value was expected here"),
            None => return self.fail("it ends too early"),
        };
        Ok(Node {
            mark,
            plain: false,
            kind,
        })
    }

    fn word(&mut self, word: &str, kind: Kind) -> Result<Kind, Stop> {
        if self.text[self.at..].starts_with(word) {
            self.at += word.len();
            return Ok(kind);
        }
        self.fail("a value was expected here")
    }

    fn object(&mut self, mark: Mark, faults: &mut Vec<Fault>) -> Result<Kind, Stop> {
        if self.path.len() >= MAX_DEPTH {
            return Err(Stop::too_deep(mark));
        }
        self.at += 1;
        let mut entries = Vec::new();
        self.skip_space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Kind::Map(entries));
        }
        loop {
            self.skip_space();
            let mark = self.mark();
            if self.peek() != Some(b'"') {
                return self.fail("a key in double quotes was expected here");
            }
            let key = self.string()?.into_owned();
            self.skip_space();
            if self.peek() != Some(b':') {
                return self.fail("a colon was expected here");
            }
            self.at += 1;
            self.skip_space();
            self.path.push(OwnedSegment::Key(key.clone()));
            let value = self.value(faults)?;
            self.path.pop();
            entries.push(Entry { key, mark, value });
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    break;
                }
                _ => return self.fail("a comma or a closing brace was expected here"),
            }
        }
        faults.extend(
            repeated_keys(&entries)
                .into_iter()
                .map(|entry| Fault::duplicate_key(&self.path, entry)),
        );
        Ok(Kind::Map(entries))
    }

    fn list(&mut self, mark: Mark, faults: &mut Vec<Fault>) -> Result<Kind, Stop> {
        if self.path.len() >= MAX_DEPTH {
            return Err(Stop::too_deep(mark));
        }
        self.at += 1;
        let mut items = Vec::new();
        self.skip_space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Kind::List(items));
        }
        loop {
            self.skip_space();
            self.path.push(OwnedSegment::Index(items.len()));
            let item = self.value(faults)?;
            self.path.pop();
            items.push(item);
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Kind::List(items));
                }
                _ => return self.fail("a comma or a closing bracket was expected here"),
            }
        }
    }

    fn string(&mut self) -> Result<Cow<'a, str>, Stop> {
        self.at += 1;
        let start = self.at;
        let mut owned: Option<String> = None;
        let mut copied = start;
        loop {
            match self.peek() {
                Some(b'"') => {
                    let rest = &self.text[copied..self.at];
                    self.at += 1;
                    return Ok(match owned {
                        Some(mut text) => {
                            text.push_str(rest);
                            Cow::Owned(text)
                        }
                        None => Cow::Borrowed(rest),
                    });
                }
                Some(b'\\') => {
                    let text = owned.get_or_insert_default();
                    text.push_str(&self.text[copied..self.at]);
                    let escaped = self.escape()?;
                    owned.get_or_insert_default().push(escaped);
                    copied = self.at;
                }
                Some(0..=0x1F) => {
                    return self.fail("a control character in a string must be escaped");
                }
                Some(_) => self.at += 1,
                None => return self.fail("it ends within a string"),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Stop> {
        self.at += 1;
        let Some(byte) = self.peek() else {
            return self.fail("it ends within a string");
        };
        let simple = match byte {
            b'"' | b'\\' | b'/' => Some(char::from(byte)),
            b'b' => Some('\u{8}'),
            b'f' => Some('\u{c}'),
            b'n' => Some('\n'),
            b'r' => Some('\r'),
            b't' => Some('\t'),
            b'u' => None,
            _ => return self.fail("a string has no such escape"),
        };
        self.at += 1;
        if let Some(simple) = simple {
            return Ok(simple);
        }
        let first = self.hex4()?;
        let code = if (0xD800..0xDC00).contains(&first) && self.text[self.at..].starts_with("\\u") {
            self.at += 2;
            let second = self.hex4()?;
            if !(0xDC00..0xE000).contains(&second) {
                return self.fail("half of a surrogate pair");
            }
            0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)
        } else {
            first
        };
        match char::from_u32(code) {
            Some(char) => Ok(char),
            None => self.fail("half of a surrogate pair"),
        }
    }

    fn hex4(&mut self) -> Result<u32, Stop> {
        let digits = self
            .text
            .get(self.at..self.at + 4)
            .filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        match digits.map(|digits| u32::from_str_radix(digits, 16)) {
            Some(Ok(code)) => {
                self.at += 4;
                Ok(code)
            }
            _ => self.fail("four hexadecimal digits were expected here"),
        }
    }

    fn number(&mut self) -> Result<Number, Stop> {
        let start = self.at;
        while matches!(
            self.peek(),
            Some(b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9')
        ) {
            self.at += 1;
        }
        // serde_json knows the grammar of a number; here only its extent was found.
        match serde_json::from_str::<Number>(&self.text[start..self.at]) {
            Ok(number) => Ok(number),
            Err(_) => {
                self.at = start;
                self.fail("this is not a number that can be held")
            }
        }
    }
}

impl Fault {
    /// The key stands in its object a second time.
    pub(crate) fn duplicate_key(parents: &[OwnedSegment], entry: &Entry) -> Self {
        let mut path = parents.to_vec();
        path.push(OwnedSegment::Key(entry.key.clone()));
        Self {
            document: 0,
            path,
            mark: entry.mark,
            reason: Reason::DuplicateKey,
            description: "the key stands here a second time: keep one of the two".to_owned(),
        }
    }
}
