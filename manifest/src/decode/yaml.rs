//! YAML documents as trees with places.
//!
//! The events of the parser are taken one by one, without recursion, so that no input can exhaust the stack.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};

use super::{
    Fault, Outcome,
    budget::{Budget, MAX_DEPTH, Stop},
    scalar::{self, Scalar},
    tree::{Entry, Kind, Mark, Node, repeated_keys},
};
use crate::{
    Reason,
    field::{OwnedSegment, shorten},
};

/// Reads all documents; those before a syntax error are kept.
pub(crate) fn read(text: &str, budget: &mut Budget) -> Outcome {
    let mut outcome = Outcome::default();
    if let Some(stop) = find_forbidden_character(text) {
        outcome.stop = Some(stop);
        return outcome;
    }
    let mut builder = Builder {
        budget,
        frames: Vec::new(),
        root: None,
        anchors: HashMap::new(),
        faults: Vec::new(),
    };
    for event in Parser::new_from_str(text) {
        let step = match event {
            Err(error) => Err(Stop::syntax(
                mark(error.marker()),
                describe(text, error.marker(), error.info()),
            )),
            Ok((Event::DocumentEnd, _)) => {
                let document = outcome.documents.len();
                outcome.faults.extend(
                    builder
                        .faults
                        .drain(..)
                        .map(|fault| Fault { document, ..fault }),
                );
                match builder.root.take() {
                    // Nothing but comments is no document.
                    None
                    | Some(Node {
                        kind: Kind::Null, ..
                    }) => {
                        outcome.starts_empty |= outcome.documents.is_empty();
                    }
                    Some(root) => outcome.documents.push(root),
                }
                builder.anchors.clear();
                Ok(())
            }
            Ok((event, span)) => builder.take(event, mark(&span.start)),
        };
        if let Err(stop) = step {
            let document = outcome.documents.len();
            outcome.faults.extend(
                builder
                    .faults
                    .drain(..)
                    .map(|fault| Fault { document, ..fault }),
            );
            outcome.stop = Some(stop);
            break;
        }
    }
    outcome
}

fn mark(marker: &Marker) -> Mark {
    let clamp = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Mark {
        line: clamp(marker.line()),
        column: clamp(marker.col().saturating_add(1)),
    }
}

/// The first character that YAML does not allow, such as a NUL or a byte order mark amid the text.
fn find_forbidden_character(text: &str) -> Option<Stop> {
    let is_forbidden = |c: char| {
        matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{7f}'..='\u{84}' | '\u{86}'..='\u{9f}')
            || matches!(c, '\u{feff}' | '\u{fffe}' | '\u{ffff}')
    };
    // Most texts have none, and looking for bytes is faster than decoding characters.
    let may_have = text
        .bytes()
        .any(|b| (b < 0x20 && !matches!(b, b'\t' | b'\n' | b'\r')) || b >= 0x7f);
    if !may_have {
        return None;
    }
    let (mut line, mut column) = (1_u32, 1_u32);
    for c in text.chars() {
        if is_forbidden(c) {
            let description = format!(
                "YAML does not allow the character U+{:04X}: remove it",
                u32::from(c)
            );
            return Some(Stop::syntax(Mark { line, column }, description));
        }
        if c == '\n' {
            (line, column) = (line.saturating_add(1), 1);
        } else {
            column = column.saturating_add(1);
        }
    }
    None
}

fn describe(text: &str, marker: &Marker, info: &str) -> String {
    let line = text
        .lines()
        .nth(marker.line().saturating_sub(1))
        .unwrap_or_default();
    let indent = line.len() - line.trim_start().len();
    if line[..indent].contains('\t') {
        return "it is not valid YAML: the line is indented with a tab; YAML wants spaces"
            .to_owned();
    }
    format!("it is not valid YAML: {}", shorten(info))
}

/// An object or a list that is not closed yet.
struct Frame {
    mark: Mark,
    anchor: usize,
    /// About the memory that a copy would take.
    weight: usize,
    kind: Open,
}

enum Open {
    List(Vec<Node>),
    Map {
        entries: Vec<Entry>,
        merges: Vec<Merge>,
        key: Option<Key>,
    },
}

enum Key {
    Text(String, Mark),
    /// `<<`.
    Merge(Mark),
    /// One that was reported; its value is read and dropped.
    Bad,
}

/// A value of `<<`, and how many keys stood before it.
struct Merge {
    before: usize,
    mark: Mark,
    value: Node,
}

/// Memory for a node without its text.
const NODE_WEIGHT: usize = 96;

struct Builder<'b> {
    budget: &'b mut Budget,
    frames: Vec<Frame>,
    root: Option<Node>,
    /// By the parser's number of the anchor; absent while the anchored node is not complete.
    anchors: HashMap<usize, (Node, usize)>,
    faults: Vec<Fault>,
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, mark: Mark) -> Result<(), Stop> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.budget.take_node(mark)?;
                let plain = style == ScalarStyle::Plain && tag.is_none();
                if self.wants_key() && anchor == 0 {
                    self.take_key(&text, plain, mark);
                    return Ok(());
                }
                let kind = read_scalar(&text, style, tag.as_deref(), mark)?;
                let weight = NODE_WEIGHT + text.len();
                self.complete(Node { mark, plain, kind }, anchor, weight)
            }
            Event::SequenceStart(anchor, tag) => {
                check_collection_tag(tag.as_deref(), "seq", mark)?;
                self.open(mark, anchor, Open::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                check_collection_tag(tag.as_deref(), "map", mark)?;
                self.open(
                    mark,
                    anchor,
                    Open::Map {
                        entries: Vec::new(),
                        merges: Vec::new(),
                        key: None,
                    },
                )
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(mark),
            Event::Alias(anchor) => {
                let Some((node, weight)) = self.anchors.get(&anchor) else {
                    return Err(Stop::syntax(
                        mark,
                        "the alias stands within the value that its anchor names",
                    ));
                };
                let weight = *weight;
                self.budget.take_copy(mark, weight)?;
                let node = node.clone();
                self.attach(node, weight)
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
        }
    }

    fn wants_key(&self) -> bool {
        matches!(
            self.frames.last(),
            Some(Frame {
                kind: Open::Map { key: None, .. },
                ..
            })
        )
    }

    fn open(&mut self, mark: Mark, anchor: usize, kind: Open) -> Result<(), Stop> {
        self.budget.take_node(mark)?;
        if self.frames.len() >= MAX_DEPTH {
            return Err(Stop::too_deep(mark));
        }
        self.frames.push(Frame {
            mark,
            anchor,
            weight: NODE_WEIGHT,
            kind,
        });
        Ok(())
    }

    fn close(&mut self, end: Mark) -> Result<(), Stop> {
        let Some(frame) = self.frames.pop() else {
            return Err(Stop::syntax(
                end,
                "it is not valid YAML: something is closed that was not opened",
            ));
        };
        let kind = match frame.kind {
            Open::List(items) => Kind::List(items),
            Open::Map {
                mut entries,
                merges,
                ..
            } => {
                let path = self.path();
                let repeated = repeated_keys(&entries);
                self.faults.extend(
                    repeated
                        .into_iter()
                        .map(|entry| Fault::duplicate_key(&path, entry)),
                );
                for merge in merges {
                    self.merge(&path, &mut entries, merge);
                }
                Kind::Map(entries)
            }
        };
        self.complete(
            Node {
                mark: frame.mark,
                plain: false,
                kind,
            },
            frame.anchor,
            frame.weight,
        )
    }

    /// Adds the keys of a `<<` that the object does not have itself.
    fn merge(&mut self, path: &[OwnedSegment], entries: &mut Vec<Entry>, merge: Merge) {
        let sources = match merge.value.kind {
            Kind::Map(source) => vec![source],
            Kind::List(items) if items.iter().all(|item| matches!(item.kind, Kind::Map(_))) => {
                items
                    .into_iter()
                    .filter_map(|item| {
                        if let Kind::Map(source) = item.kind {
                            Some(source)
                        } else {
                            None
                        }
                    })
                    .collect()
            }
            _ => {
                self.fault(
                    path,
                    "<<",
                    merge.mark,
                    Reason::WrongType,
                    "`<<` wants an object or a list of objects",
                );
                return;
            }
        };
        for entry in sources.into_iter().flatten() {
            match entries.iter().position(|own| own.key == entry.key) {
                None => entries.push(entry),
                // Readers differ here: for some of them what comes later wins.
                Some(position) if position < merge.before => {
                    let description =
                        "the key stands before a `<<` that has it too: put `<<` first";
                    self.fault(
                        path,
                        &entry.key,
                        merge.mark,
                        Reason::DuplicateKey,
                        description,
                    );
                }
                Some(_) => {}
            }
        }
    }

    fn complete(&mut self, node: Node, anchor: usize, weight: usize) -> Result<(), Stop> {
        if anchor > 0 {
            self.budget.take_copy(node.mark, weight)?;
            self.anchors.insert(anchor, (node.clone(), weight));
        }
        self.attach(node, weight)
    }

    fn attach(&mut self, node: Node, weight: usize) -> Result<(), Stop> {
        if self.wants_key() {
            match node.kind {
                Kind::Text(text) => self.take_key(&text, false, node.mark),
                _ => self.bad_key("", node.mark, "a key must be a string"),
            }
            return Ok(());
        }
        // An alias can put a deep value in a deep place.
        let Some(frame) = self.frames.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        frame.weight = frame.weight.saturating_add(weight);
        match &mut frame.kind {
            Open::List(items) => items.push(node),
            Open::Map {
                entries,
                merges,
                key,
            } => match key.take() {
                Some(Key::Text(key, mark)) => {
                    frame.weight = frame.weight.saturating_add(key.len());
                    entries.push(Entry {
                        key,
                        mark,
                        value: node,
                    });
                }
                Some(Key::Merge(mark)) => merges.push(Merge {
                    before: entries.len(),
                    mark,
                    value: node,
                }),
                Some(Key::Bad) | None => {}
            },
        }
        Ok(())
    }

    fn take_key(&mut self, text: &str, plain: bool, mark: Mark) {
        let read_as = match if plain {
            scalar::resolve(text)
        } else {
            Scalar::Text
        } {
            Scalar::Text if plain && text == "<<" => {
                self.set_key(Key::Merge(mark));
                return;
            }
            Scalar::Text => None,
            // `8080` is the key "8080" to all readers.
            Scalar::Number(number) if number.to_string() == text => None,
            Scalar::Number(_) | Scalar::NotFinite => Some("a number"),
            Scalar::Bool(bool) if bool.to_string() == text => None,
            Scalar::Bool(_) => Some("a boolean"),
            Scalar::Null => Some("null"),
        };
        match read_as {
            None => self.set_key(Key::Text(text.to_owned(), mark)),
            Some(sort) => {
                let description = format!(
                    "a key must be a string, but without quotes YAML reads this one as {sort}: quote it"
                );
                self.bad_key(text, mark, &description);
            }
        }
    }

    fn bad_key(&mut self, text: &str, mark: Mark, description: &str) {
        let mut path = self.path();
        // The path ends in the object itself as long as its key is not set.
        if !text.is_empty() {
            path.push(OwnedSegment::Key(text.to_owned()));
        }
        self.faults.push(Fault {
            document: 0,
            path,
            mark,
            reason: Reason::InvalidKey,
            description: description.to_owned(),
        });
        self.set_key(Key::Bad);
    }

    fn set_key(&mut self, new: Key) {
        if let Some(Frame {
            kind: Open::Map { key, .. },
            ..
        }) = self.frames.last_mut()
        {
            *key = Some(new);
        }
    }

    /// The path of what is being read.
    fn path(&self) -> Vec<OwnedSegment> {
        self.frames
            .iter()
            .filter_map(|frame| match &frame.kind {
                Open::List(items) => Some(OwnedSegment::Index(items.len())),
                Open::Map {
                    key: Some(Key::Text(key, _)),
                    ..
                } => Some(OwnedSegment::Key(key.clone())),
                Open::Map {
                    key: Some(Key::Merge(_)),
                    ..
                } => Some(OwnedSegment::Key("<<".to_owned())),
                Open::Map { .. } => None,
            })
            .collect()
    }

    fn fault(
        &mut self,
        parents: &[OwnedSegment],
        key: &str,
        mark: Mark,
        reason: Reason,
        description: &str,
    ) {
        let mut path = parents.to_vec();
        path.push(OwnedSegment::Key(key.to_owned()));
        self.faults.push(Fault {
            document: 0,
            path,
            mark,
            reason,
            description: description.to_owned(),
        });
    }
}

fn read_scalar(
    text: &str,
    style: ScalarStyle,
    tag: Option<&Tag>,
    mark: Mark,
) -> Result<Kind, Stop> {
    let as_text = || Kind::Text(text.to_owned());
    let resolved = || match scalar::resolve(text) {
        Scalar::Null => Ok(Kind::Null),
        Scalar::Bool(bool) => Ok(Kind::Bool(bool)),
        Scalar::Number(number) => Ok(Kind::Number(number)),
        Scalar::Text => Ok(as_text()),
        Scalar::NotFinite => Err(Stop {
            mark,
            reason: Reason::InvalidValue,
            description: "JSON has no such number: quote it if it is a string".to_owned(),
        }),
    };
    let Some(tag) = tag else {
        return if style == ScalarStyle::Plain {
            resolved()
        } else {
            Ok(as_text())
        };
    };
    let refuse = |what: &str| Err(Stop::syntax(mark, format!("{what}: remove the tag")));
    match (core_tag(tag), resolved()) {
        (Some("str" | "timestamp"), _) => Ok(as_text()),
        (Some("null"), Ok(Kind::Null)) => Ok(Kind::Null),
        (Some("bool"), Ok(kind @ Kind::Bool(_)))
        | (Some("int" | "float"), Ok(kind @ Kind::Number(_))) => Ok(kind),
        (Some("null" | "bool" | "int" | "float"), _) => {
            refuse("the value is not what its tag says")
        }
        // `!` alone says "a string".
        (None, _) if tag.suffix.is_empty() || tag.to_string() == "!!" => Ok(as_text()),
        _ => refuse("a manifest can not have this YAML tag"),
    }
}

fn check_collection_tag(tag: Option<&Tag>, expected: &str, mark: Mark) -> Result<(), Stop> {
    match tag {
        Some(tag) if core_tag(tag) != Some(expected) && !tag.suffix.is_empty() => {
            Err(Stop::syntax(
                mark,
                "a manifest can not have this YAML tag: remove the tag",
            ))
        }
        _ => Ok(()),
    }
}

/// `str` of `!!str`.
fn core_tag(tag: &Tag) -> Option<&str> {
    if tag.is_yaml_core_schema() {
        Some(&tag.suffix)
    } else {
        tag.suffix.strip_prefix("tag:yaml.org,2002:")
    }
}
