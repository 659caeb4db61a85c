//! Choices made from the bytes of an input.

use arbitrary::Unstructured;

/// Gives the first or the usual choice once the bytes are used up, so that each input makes a whole bundle.
#[derive(Debug)]
pub struct Dice<'a> {
    bytes: Unstructured<'a>,
    /// In how many of 64 choices something hostile is taken.
    hostility: usize,
}

impl<'a> Dice<'a> {
    /// The first byte says how hostile the rest is.
    pub fn new(data: &'a [u8]) -> Self {
        let mut dice = Self {
            bytes: Unstructured::new(data),
            hostility: 0,
        };
        dice.hostility = dice.pick(&[0, 0, 1, 2, 4, 16]);
        dice
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        self.bytes.int_in_range(0..=end - 1).unwrap_or(0)
    }

    /// True in `part` of `whole` cases.
    pub fn odds(&mut self, part: usize, whole: usize) -> bool {
        self.below(whole) >= whole - part
    }

    /// Whether to take something hostile.
    pub fn is_hostile(&mut self) -> bool {
        self.odds(self.hostility, 64)
    }

    /// One of `choices`, which is not empty.
    pub fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }

    /// One of `usual`, or seldom of `hostile`.
    pub fn text(&mut self, usual: &[&str], hostile: &[&str]) -> String {
        if !self.is_hostile() {
            return self.pick(usual).to_owned();
        }
        if self.odds(1, 4) {
            return self.any_text();
        }
        let text = self.pick(hostile);
        // Long ones are written as "x*253".
        match text.split_once('*') {
            Some((unit, count)) if !unit.is_empty() => match count.parse() {
                Ok(count) => unit.repeat(count),
                Err(_) => text.to_owned(),
            },
            _ => text.to_owned(),
        }
    }

    /// Any text of at most 40 bytes.
    pub fn any_text(&mut self) -> String {
        let length = self.below(41);
        let length = length.min(self.bytes.len());
        let text = String::from_utf8_lossy(self.bytes.bytes(length).unwrap_or_default());
        // YAML does not allow these raw, and JSON does not escape them.
        text.replace(|letter| ('\x7f'..='\u{9f}').contains(&letter), ".")
    }

    /// Any bytes, at most `most`.
    pub fn any_bytes(&mut self, most: usize) -> Vec<u8> {
        let length = self.below(most + 1).min(self.bytes.len());
        self.bytes.bytes(length).unwrap_or_default().to_vec()
    }
}
