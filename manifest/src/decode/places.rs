//! Where the fields of a document stand, by paths as people write them.

use std::fmt;

use super::{
    Budget, read_first,
    tree::{Kind, Node},
};
use crate::{Position, field::Segment};

/// The places of a document's fields, for programs that check documents of their own kinds.
pub struct Places(Node);

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Places").finish_non_exhaustive()
    }
}

impl Places {
    /// Reads the first document of a text. `None` when it cannot be read.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        read_first(text, &mut Budget::default()).map(Self)
    }

    /// Where a field such as `nodes[1].labels["a/b"].c` stands; for one that is not there, the nearest parent that is. Keys with
    /// dots in them need no quotes: the longest that is there is taken.
    #[must_use]
    pub fn find(&self, field: &str) -> Position {
        let mut segments = Vec::new();
        let (mut node, mut rest) = (&self.0, field);
        while let Some((segment, value, left)) = step(node, rest) {
            segments.push(segment);
            (node, rest) = (value, left);
        }
        let mark = self.0.locate(segments);
        // What no usize takes is beyond any text.
        let number = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        Position {
            manifest: 0,
            line: number(mark.line),
            column: number(mark.column),
        }
    }
}

/// The first step of a path that the node has, where it leads, and the rest of the path.
fn step<'a>(node: &'a Node, path: &'a str) -> Option<(Segment<'a>, &'a Node, &'a str)> {
    match &node.kind {
        Kind::List(items) => {
            let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
            let index: usize = index.parse().ok()?;
            Some((Segment::Index(index), items.get(index)?, rest))
        }
        Kind::Map(entries) => {
            let quoted = path
                .strip_prefix("[\"")
                .and_then(|path| path.split_once("\"]"));
            let path = path.strip_prefix('.').unwrap_or(path);
            let rest = |key: &str| match quoted {
                Some((given, rest)) => (given == key).then_some(rest),
                None => path
                    .strip_prefix(key)
                    .filter(|rest| rest.is_empty() || rest.starts_with(['.', '['])),
            };
            let found = entries
                .iter()
                .filter_map(|entry| Some((entry, rest(&entry.key)?)));
            let (entry, rest) = found.max_by_key(|(entry, _)| entry.key.len())?;
            Some((Segment::Key(&entry.key), &entry.value, rest))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
a:
  b.c: 1
  b: {c: 2}
list:
- name: one
  labels: {x/y: z, \"q\": r}
-   name: two
empty:
";

    fn find(field: &str) -> (usize, usize) {
        let at = Places::of(TEXT).unwrap().find(field);
        (at.line, at.column)
    }

    #[test]
    fn fields_are_found_by_their_paths() {
        for (field, place) in [
            ("a", (1, 1)),
            ("a.b.c", (2, 8)),
            ("a.b", (3, 3)),
            ("list[1].name", (7, 11)),
            ("list[0].labels[\"x/y\"]", (6, 17)),
            ("list[0].labels.q", (6, 25)),
            ("empty", (8, 1)),
        ] {
            assert_eq!(find(field), place, "{field}");
        }
    }

    #[test]
    fn a_field_that_is_missing_is_where_it_would_be() {
        for (field, place) in [
            ("", (1, 1)),
            ("nowhere.at.all", (1, 1)),
            ("a.x", (1, 1)),
            ("list[1].labels.q", (7, 5)),
            ("list[7]", (4, 1)),
            ("list[x", (4, 1)),
            ("a.b.c.d[0]", (2, 8)),
        ] {
            assert_eq!(find(field), place, "{field}");
        }
    }

    #[test]
    fn what_is_no_document_has_no_places() {
        assert!(Places::of("").is_none());
        assert!(Places::of("a: [").is_none());
    }
}
