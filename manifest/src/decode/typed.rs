//! Whether a document has the fields of a Pod, each with a value of its type.

use k8s_openapi::{api::core::v1::Pod, serde::Deserialize as _};
use serde_json::{Map, Value};

use super::suggest;
use crate::field::OwnedSegment;

/// What the types say about a document.
#[derive(Debug)]
pub(crate) struct Typed {
    /// The pod, when no value had a wrong type.
    pub(crate) pod: Option<Pod>,
    pub(crate) wrong: Vec<WrongType>,
    pub(crate) unknown: Vec<UnknownField>,
}

/// A value of a wrong type.
#[derive(Debug)]
pub(crate) struct WrongType {
    pub(crate) path: Vec<OwnedSegment>,
    /// What the field takes, in words. Says nothing of the value, which may be secret.
    pub(crate) expected: &'static str,
    /// Whether the field takes strings.
    pub(crate) wants_text: bool,
}

/// A field that the types do not have.
#[derive(Debug)]
pub(crate) struct UnknownField {
    pub(crate) path: Vec<OwnedSegment>,
}

impl UnknownField {
    /// The field that may have been meant.
    pub(crate) fn suggestion(&self) -> Option<&'static str> {
        suggest::nearest_field(&self.path)
    }
}

/// After so many wrong types in one document, the rest tells nobody more.
const MAX_WRONG: usize = 32;

/// The same for unknown fields.
const MAX_UNKNOWN: usize = 64;

/// Decodes a Pod, and goes on after a wrong type to find the others.
pub(crate) fn decode(value: &Value) -> Typed {
    let (result, mut unknown) = attempt(value);
    let mut error = match result {
        Ok(pod) => {
            return Typed {
                pod: Some(pod),
                wrong: Vec::new(),
                unknown,
            };
        }
        Err(error) => error,
    };
    let mut wrong: Vec<WrongType> = Vec::new();
    let mut patched = value.clone();
    let mut last: Option<Vec<OwnedSegment>> = None;
    let mut filled = false;
    while wrong.len() < MAX_WRONG {
        let repeated = last.as_ref() == Some(&error.path);
        if repeated || !patch(&mut patched, &error) {
            // No stand-in suits: leave out the whole list or object around it.
            if error.path.is_empty() || !remove(&mut patched, &error.path[..error.path.len() - 1]) {
                break;
            }
        }
        // The kubelet reads a null in a list or a map as the empty string or as the quantity 0.
        let is_null = value_at(value, &error.path).is_some_and(Value::is_null);
        if is_null && error.may_be_null {
            filled = true;
        } else if !repeated {
            wrong.push(WrongType {
                path: error.path.clone(),
                expected: error.expected,
                wants_text: error.wants_text,
            });
        }
        last = Some(error.path);
        match attempt(&patched) {
            (Ok(pod), later_unknown) => {
                unknown = later_unknown;
                let pod = (wrong.is_empty() && filled).then_some(pod);
                return Typed {
                    pod,
                    wrong,
                    unknown,
                };
            }
            (Err(next), later_unknown) => {
                unknown = later_unknown;
                error = next;
            }
        }
    }
    Typed {
        pod: None,
        wrong,
        unknown,
    }
}

struct TypeError {
    path: Vec<OwnedSegment>,
    expected: &'static str,
    wants_text: bool,
    may_be_null: bool,
    stand_in: Option<Value>,
}

fn attempt(value: &Value) -> (Result<Pod, TypeError>, Vec<UnknownField>) {
    let mut unknown = Vec::new();
    let mut note = |path: serde_ignored::Path<'_>| {
        if unknown.len() < MAX_UNKNOWN {
            unknown.push(UnknownField {
                path: ignored_path(&path),
            });
        }
    };
    let ignoring = serde_ignored::Deserializer::new(value, &mut note);
    // Following the path costs more than the decoding itself, so it is done only to name a fault.
    let result = Pod::deserialize(ignoring).map_err(|_| {
        let mut track = serde_path_to_error::Track::new();
        let again = Pod::deserialize(serde_path_to_error::Deserializer::new(value, &mut track));
        let message = again.map_or_else(|error| error.to_string(), |_| String::new());
        type_error(
            track.path().iter().filter_map(tracked_segment).collect(),
            &message,
        )
    });
    (result, unknown)
}

fn tracked_segment(segment: &serde_path_to_error::Segment) -> Option<OwnedSegment> {
    match segment {
        serde_path_to_error::Segment::Seq { index } => Some(OwnedSegment::Index(*index)),
        serde_path_to_error::Segment::Map { key } => Some(OwnedSegment::Key(key.clone())),
        _ => None,
    }
}

fn ignored_path(path: &serde_ignored::Path<'_>) -> Vec<OwnedSegment> {
    use serde_ignored::Path;
    let mut segments = Vec::new();
    let mut at = path;
    loop {
        at = match at {
            Path::Root => break,
            Path::Seq { parent, index } => {
                segments.push(OwnedSegment::Index(*index));
                parent
            }
            Path::Map { parent, key } => {
                segments.push(OwnedSegment::Key(key.clone()));
                parent
            }
            Path::Some { parent }
            | Path::NewtypeStruct { parent }
            | Path::NewtypeVariant { parent } => parent,
        };
    }
    segments.reverse();
    segments
}

/// Words for what the decoder expected, and a value that it takes.
fn type_error(path: Vec<OwnedSegment>, message: &str) -> TypeError {
    let expected = message
        .rsplit_once("expected ")
        .map_or("", |(_, expected)| expected);
    let may_be_null = matches!(expected, "a string" | "Quantity");
    let (expected, stand_in) = match expected {
        "a string" => ("a string", Some(Value::from(""))),
        "a boolean" => ("true or false", Some(Value::from(false))),
        "i32" => ("a whole number of 32 bits", Some(Value::from(0))),
        "i64" => ("a whole number of 64 bits", Some(Value::from(0))),
        "IntOrString" => ("a whole number or a string", Some(Value::from(0))),
        "Quantity" => (
            "a quantity such as \"500m\" or \"1Gi\"",
            Some(Value::from("0")),
        ),
        "a sequence" => ("a list", Some(Value::Array(Vec::new()))),
        "a map" => ("an object", Some(Value::Object(Map::new()))),
        // The names of generated types.
        name if name.starts_with(char::is_uppercase) => {
            ("an object", Some(Value::Object(Map::new())))
        }
        _ => ("a value of another type", None),
    };
    TypeError {
        path,
        expected,
        wants_text: expected == "a string",
        may_be_null,
        stand_in,
    }
}

/// Puts something in the place of the value with the wrong type, so that decoding gets past it.
fn patch(value: &mut Value, error: &TypeError) -> bool {
    match (value_at_mut(value, &error.path), &error.stand_in) {
        (Some(place), Some(stand_in)) => {
            *place = stand_in.clone();
            true
        }
        _ => false,
    }
}

fn remove(value: &mut Value, path: &[OwnedSegment]) -> bool {
    match value_at_mut(value, path) {
        Some(place) if !place.is_null() => {
            *place = Value::Null;
            true
        }
        _ => false,
    }
}

fn value_at<'v>(value: &'v Value, path: &[OwnedSegment]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, segment| match segment {
        OwnedSegment::Key(key) => value.get(key),
        OwnedSegment::Index(index) => value.get(index),
    })
}

fn value_at_mut<'v>(value: &'v mut Value, path: &[OwnedSegment]) -> Option<&'v mut Value> {
    path.iter().try_fold(value, |value, segment| match segment {
        OwnedSegment::Key(key) => value.get_mut(key),
        OwnedSegment::Index(index) => value.get_mut(index),
    })
}
