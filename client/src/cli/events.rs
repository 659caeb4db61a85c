//! `seedpod events`.

use std::fmt::Write as _;

use anstream::eprintln;
use anstyle::Style;
use futures_util::StreamExt as _;
use seedpod_client::{Event, EventOptions, EventType};

use super::{
    args::{ConnectionArgs, EventsArgs, StreamFormat},
    connection,
    output::{
        self,
        style::{BAD, CHANGED, GOOD, RESET},
    },
    time::rfc3339,
};

/// The most events that are written at once.
const CHUNK: usize = 1024;

/// The most columns that what an event is about takes before what follows is moved to the right.
const WIDEST_OBJECT: usize = 40;

pub(crate) async fn run(args: EventsArgs, connection: ConnectionArgs) -> anyhow::Result<()> {
    let EventsArgs {
        follow,
        after,
        bundle,
        output,
    } = args;
    let mut options = EventOptions::default();
    if let Some(after) = after {
        options = options.after(after);
    }
    if let Some(bundle) = bundle {
        options = options.bundle(bundle);
    }
    if !follow {
        options = options.until_now();
    }
    let client = connection::connect(connection).await?;
    let mut chunks = client.watch_events(options).ready_chunks(CHUNK);
    let mut widest = 0;
    let mut any = false;
    while let Some(chunk) = chunks.next().await {
        let mut events = Vec::new();
        let mut failed = None;
        for event in chunk {
            match event {
                Ok(event) => events.push(event),
                Err(error) => failed = Some(error),
            }
        }
        let text = match output {
            StreamFormat::Json => output::json_lines(&events)?,
            StreamFormat::Table => {
                widest = events
                    .iter()
                    .map(|event| object(event).chars().count())
                    .fold(widest, usize::max)
                    .min(WIDEST_OBJECT);
                events.iter().map(|event| line(event, widest)).collect()
            }
        };
        any |= !events.is_empty();
        output::print(&text)?;
        if let Some(error) = failed {
            return Err(error.into());
        }
    }
    if !any && output == StreamFormat::Table {
        eprintln!("There are no events.");
    }
    Ok(())
}

/// One line: number, time, type, what it is about, the message, and who did it.
pub(crate) fn line(event: &Event, width: usize) -> String {
    let mut text = format!(
        "{:>5}  {}  {}{:<17}{RESET}  {:<width$}  {}",
        event.sequence,
        rfc3339(event.time, 0),
        style(event.r#type),
        event.r#type,
        object(event),
        event.message,
    );
    if !event.client.is_empty() {
        let _ = write!(text, " (by {})", event.client);
    }
    text.push('\n');
    text
}

/// `web@3`, `web@3 kube-system/a`, or `-` for what is about the node.
fn object(event: &Event) -> String {
    let mut text = match (event.bundle.as_str(), event.revision) {
        ("", _) => String::new(),
        (bundle, 0) => bundle.to_owned(),
        (bundle, revision) => format!("{bundle}@{revision}"),
    };
    if !event.name.is_empty() {
        if !text.is_empty() {
            text.push(' ');
        }
        let _ = write!(text, "{}/{}", event.namespace, event.name);
    }
    if text.is_empty() {
        text.push('-');
    }
    text
}

fn style(r#type: EventType) -> Style {
    match r#type {
        EventType::PodReady
        | EventType::BundleReady
        | EventType::Confirmed
        | EventType::HandedOver => GOOD,
        EventType::PodFailed
        | EventType::PodRefused
        | EventType::TrialFailed
        | EventType::WaveTimedOut
        | EventType::EventsLost
        | EventType::HandoffFailed => BAD,
        EventType::PodNotReady
        | EventType::Drift
        | EventType::RolledBack
        | EventType::HandedBack
        | EventType::StandbyStarted => CHANGED,
        _ => Style::new(),
    }
}
