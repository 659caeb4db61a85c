//! Paths of fields, which cost nothing until they are printed.

use std::fmt;

/// One step of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Segment<'a> {
    Key(&'a str),
    Index(usize),
}

/// The same, owned: for paths that come out of a decoder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OwnedSegment {
    Key(String),
    Index(usize),
}

impl OwnedSegment {
    pub(crate) fn as_segment(&self) -> Segment<'_> {
        match self {
            Self::Key(key) => Segment::Key(key),
            Self::Index(index) => Segment::Index(*index),
        }
    }
}

/// A path that borrows its parent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    segment: Option<Segment<'a>>,
}

impl Path<'static> {
    /// The document itself.
    pub(crate) const ROOT: Self = Self {
        parent: None,
        segment: None,
    };
}

impl<'a> Path<'a> {
    pub(crate) fn key(&'a self, key: &'a str) -> Self {
        Self {
            parent: Some(self),
            segment: Some(Segment::Key(key)),
        }
    }

    pub(crate) fn index(&'a self, index: usize) -> Self {
        Self {
            parent: Some(self),
            segment: Some(Segment::Index(index)),
        }
    }

    /// The steps from the document on.
    pub(crate) fn segments(&self) -> Vec<Segment<'a>> {
        let mut segments = Vec::new();
        let mut at = Some(self);
        while let Some(path) = at {
            segments.extend(path.segment);
            at = path.parent;
        }
        segments.reverse();
        segments
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&join("", self.segments()))
    }
}

/// The path as text: `a.b[0].c`, and `a[x.y/z]` for a key that is no plain word.
pub(crate) fn join<'a>(prefix: &str, segments: impl IntoIterator<Item = Segment<'a>>) -> String {
    let mut text = prefix.to_owned();
    for segment in segments {
        match segment {
            Segment::Index(index) => {
                text.push('[');
                text.push_str(&index.to_string());
                text.push(']');
            }
            Segment::Key(key) if is_word(key) => {
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(key);
            }
            Segment::Key(key) => {
                text.push('[');
                text.push_str(&shorten(key));
                text.push(']');
            }
        }
    }
    text
}

fn is_word(key: &str) -> bool {
    !key.is_empty()
        && key.len() <= 64
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// At most 64 characters of what the user wrote, so that no error grows with the input.
pub(crate) fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(64).flat_map(char::escape_debug).collect();
    if text.chars().nth(64).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_joined_with_dots_and_other_keys_stand_in_brackets() {
        let spec = Path::ROOT.key("spec");
        let containers = spec.key("containers");
        let first = containers.index(0);
        assert_eq!(first.key("image").to_string(), "spec.containers[0].image");
        let metadata = Path::ROOT.key("metadata");
        let labels = metadata.key("labels");
        assert_eq!(
            labels.key("app.kubernetes.io/name").to_string(),
            "metadata.labels[app.kubernetes.io/name]"
        );
    }

    #[test]
    fn a_long_key_is_cut() {
        assert_eq!(
            Path::ROOT
                .key(&"ä ".repeat(100))
                .to_string()
                .chars()
                .count(),
            67
        );
    }
}
