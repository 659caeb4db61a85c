//! The lines of a segment: JSON objects that begin with a checksum of their rest, so that `jq` reads them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use seedpod_manifest::{BundleName, Digest, PodKey};
use serde::{Deserialize, Serialize};

use super::{Event, EventKind, NewEvent};

/// The version of the format. Older ones stay readable.
const FORMAT: u32 = 1;

/// How a line begins: `{"sum":"<16 hex digits>",`.
const BEGIN: &str = "{\"sum\":\"";
const SUM_DIGITS: usize = 16;
const HEAD_LENGTH: usize = BEGIN.len() + SUM_DIGITS + "\",".len();

/// For each bundle the highest revision whose commit has an event.
pub(super) type Recorded = BTreeMap<BundleName, u64>;

/// What a line holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A segment's first: what the segments before it have recorded, so that one segment tells it all.
    Head(Recorded),
    Event(Event),
}

#[derive(Serialize, Deserialize)]
struct HeadLine {
    format: u32,
    recorded: BTreeMap<String, u64>,
}

#[derive(Serialize, Deserialize)]
struct EventLine<'a> {
    sequence: u64,
    time: Timestamp,
    kind: EventKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bundle: Option<String>,
    #[serde(default, skip_serializing_if = "is_zero")]
    revision: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    message: std::borrow::Cow<'a, str>,
    #[serde(default, skip_serializing_if = "str::is_empty")]
    client: std::borrow::Cow<'a, str>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

pub(super) fn encode_head(recorded: &Recorded, into: &mut String) {
    let recorded = recorded.iter().map(|(name, n)| (name.to_string(), *n));
    encode(
        &HeadLine {
            format: FORMAT,
            recorded: recorded.collect(),
        },
        into,
    );
}

pub(super) fn encode_event(event: &Event, into: &mut String) {
    let what = &event.what;
    encode(
        &EventLine {
            sequence: event.sequence,
            time: event.time,
            kind: what.kind,
            bundle: what.bundle.as_ref().map(ToString::to_string),
            revision: what.revision,
            namespace: what.pod.as_ref().map(|pod| pod.namespace.clone()),
            name: what.pod.as_ref().map(|pod| pod.name.clone()),
            message: what.message.as_str().into(),
            client: what.client.as_str().into(),
        },
        into,
    );
}

fn encode(line: &impl Serialize, into: &mut String) {
    // Numbers, texts and times: there is nothing in it that JSON could not say.
    let text = serde_json::to_string(line).unwrap_or_default();
    let rest = text.strip_prefix('{').unwrap_or_default();
    into.push_str(BEGIN);
    into.push_str(&sum(rest.as_bytes()));
    into.push_str("\",");
    into.push_str(rest);
    into.push('\n');
}

/// Reads a line without its line feed. `None` when it is not whole.
pub(super) fn decode(line: &[u8]) -> Option<Line> {
    let (head, rest) = line.split_at_checked(HEAD_LENGTH)?;
    let given = head.strip_prefix(BEGIN.as_bytes())?.strip_suffix(b"\",")?;
    if given != sum(rest).as_bytes() {
        return None;
    }
    let text = [b"{", rest].concat();
    if let Ok(head) = serde_json::from_slice::<HeadLine>(&text) {
        let names = head.recorded.into_iter();
        let known = names.filter_map(|(name, revision)| Some((name.parse().ok()?, revision)));
        return Some(Line::Head(known.collect()));
    }
    let line: EventLine<'_> = serde_json::from_slice(&text).ok()?;
    let pod = line.namespace.zip(line.name);
    Some(Line::Event(Event {
        sequence: line.sequence,
        time: line.time,
        what: NewEvent {
            kind: line.kind,
            bundle: line.bundle.and_then(|name| name.parse().ok()),
            revision: line.revision,
            pod: pod.map(|(namespace, name)| PodKey { namespace, name }),
            message: line.message.into_owned(),
            client: line.client.into_owned(),
        },
    }))
}

fn sum(bytes: &[u8]) -> String {
    let digest = Digest::of(bytes);
    digest.as_bytes()[..SUM_DIGITS / 2]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

impl NewEvent {
    /// The bundle and revision whose commit this event tells of.
    pub(super) fn commit(&self) -> Option<(&BundleName, u64)> {
        use EventKind::{Injected, Removed, RolledBack};
        matches!(self.kind, Injected | Removed | RolledBack)
            .then_some(self.bundle.as_ref())
            .flatten()
            .map(|bundle| (bundle, self.revision))
    }
}

/// Notes the commit that an event tells of.
pub(super) fn note(recorded: &mut Recorded, event: &NewEvent) {
    if let Some((bundle, revision)) = event.commit() {
        let known = recorded.entry(bundle.clone()).or_default();
        *known = revision.max(*known);
    }
}
