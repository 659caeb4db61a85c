//! What a document says, with the place of each part.

use std::collections::HashSet;

use serde_json::{Map, Number, Value};
use zeroize::Zeroize as _;

use crate::field::Segment;

/// A place: line and column, counted from 1, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) line: u32,
    pub(crate) column: u32,
}

/// A value and where it begins.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) mark: Mark,
    /// Whether it is a YAML scalar without quotes, which YAML may have read as something else than a string.
    pub(crate) plain: bool,
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) mark: Mark,
    pub(crate) value: Node,
}

impl Node {
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        match &self.kind {
            Kind::Map(entries) => entries
                .iter()
                .find(|entry| entry.key == key)
                .map(|entry| &entry.value),
            _ => None,
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Where the field stands; for a missing one, the nearest parent that is there.
    ///
    /// The place of a list or an object that is the value of a key is the place of the key.
    pub(crate) fn locate<'a>(&self, path: impl IntoIterator<Item = Segment<'a>>) -> Mark {
        let mut node = self;
        let mut mark = self.mark;
        for segment in path {
            let next = match (&node.kind, segment) {
                (Kind::Map(entries), Segment::Key(key)) => entries
                    .iter()
                    .find(|entry| entry.key == key)
                    .map(|entry| match entry.value.kind {
                        Kind::Map(_) | Kind::List(_) | Kind::Null => (&entry.value, entry.mark),
                        _ => (&entry.value, entry.value.mark),
                    }),
                (Kind::List(items), Segment::Index(index)) => {
                    items.get(index).map(|item| (item, item.mark))
                }
                _ => None,
            };
            let Some(next) = next else { break };
            (node, mark) = next;
        }
        mark
    }

    /// Where the field's key stands, or as [`Node::locate`] has it.
    pub(crate) fn locate_key(&self, path: &[Segment<'_>]) -> Mark {
        if let Some((Segment::Key(last), parents)) = path.split_last()
            && let Some(Self {
                kind: Kind::Map(entries),
                ..
            }) = self.find(parents.iter().copied())
            && let Some(entry) = entries.iter().find(|entry| entry.key == *last)
        {
            return entry.mark;
        }
        self.locate(path.iter().copied())
    }

    /// The node at the path.
    pub(crate) fn find<'a>(&self, path: impl IntoIterator<Item = Segment<'a>>) -> Option<&Self> {
        path.into_iter()
            .try_fold(self, |node, segment| match (&node.kind, segment) {
                (Kind::Map(_), Segment::Key(key)) => node.get(key),
                (Kind::List(items), Segment::Index(index)) => items.get(index),
                _ => None,
            })
    }

    /// The value without the places. Of a key that stands twice, the last counts.
    pub(crate) fn to_value(&self) -> Value {
        match &self.kind {
            Kind::Null => Value::Null,
            Kind::Bool(bool) => Value::Bool(*bool),
            Kind::Number(number) => Value::Number(number.clone()),
            Kind::Text(text) => Value::String(text.clone()),
            Kind::List(items) => Value::Array(items.iter().map(Self::to_value).collect()),
            Kind::Map(entries) => Value::Object(
                entries
                    .iter()
                    .map(|entry| (entry.key.clone(), entry.value.to_value()))
                    .collect::<Map<_, _>>(),
            ),
        }
    }

    /// Overwrites all texts but the keys: they may be what is secret.
    pub(crate) fn wipe(&mut self) {
        match &mut self.kind {
            Kind::Text(text) => text.zeroize(),
            Kind::List(items) => items.iter_mut().for_each(Self::wipe),
            Kind::Map(entries) => entries.iter_mut().for_each(|entry| entry.value.wipe()),
            Kind::Null | Kind::Bool(_) | Kind::Number(_) => {}
        }
    }

    /// Whether objects and lists nest more than so many levels deep.
    pub(crate) fn is_deeper_than(&self, levels: usize) -> bool {
        let Some(below) = levels.checked_sub(1) else {
            return matches!(self.kind, Kind::Map(_) | Kind::List(_));
        };
        match &self.kind {
            Kind::List(items) => items.iter().any(|item| item.is_deeper_than(below)),
            Kind::Map(entries) => entries
                .iter()
                .any(|entry| entry.value.is_deeper_than(below)),
            _ => false,
        }
    }

    /// What it is, for people.
    pub(crate) fn sort(&self) -> &'static str {
        match &self.kind {
            Kind::Null => "null",
            Kind::Bool(_) => "a boolean",
            Kind::Number(_) => "a number",
            Kind::Text(_) => "a string",
            Kind::List(_) => "a list",
            Kind::Map(_) => "an object",
        }
    }
}

/// The keys that stand more than once, each with the place of its repetition.
pub(crate) fn repeated_keys(entries: &[Entry]) -> Vec<&Entry> {
    // Most objects are small, and comparing each with each beats hashing.
    if entries.len() <= 8 {
        return entries
            .iter()
            .enumerate()
            .filter(|(index, entry)| {
                entries[..*index]
                    .iter()
                    .any(|earlier| earlier.key == entry.key)
            })
            .map(|(_, entry)| entry)
            .collect();
    }
    let mut seen = HashSet::with_capacity(entries.len());
    entries
        .iter()
        .filter(|entry| !seen.insert(entry.key.as_str()))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::decode::{Budget, read};

    #[test]
    fn wiping_leaves_no_text_but_the_keys() {
        let text = "a: secret\nb: [secret, {c: secret, d: 1}]\ne: true\nf:\n";
        let mut documents = read(text, &mut Budget::default()).documents;
        documents[0].wipe();
        assert_eq!(
            documents[0].to_value(),
            json!({"a": "", "b": ["", {"c": "", "d": 1}], "e": true, "f": null})
        );
    }
}
