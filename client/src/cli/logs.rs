//! `seedpod logs`.

use std::fmt::Write as _;

use futures_util::StreamExt as _;
use seedpod_client::{LogLine, LogOptions, LogStream};

use super::{
    args::{ConnectionArgs, LogsArgs},
    connection, output,
    pods::PodName,
    time::rfc3339,
};

/// The most lines that are written at once, when they come faster than they are printed.
const CHUNK: usize = 1024;

pub(crate) async fn run(args: LogsArgs, connection: ConnectionArgs) -> anyhow::Result<()> {
    let LogsArgs {
        pod,
        container,
        follow,
        previous,
        tail,
        since,
        since_time,
        timestamps,
    } = args;
    let wanted = PodName::new(pod)?;
    let client = connection::connect(connection).await?;
    let mut printer = Printer {
        timestamps,
        several: false,
        container: None,
        unfinished: None,
    };
    let mut options = LogOptions::new(&wanted.name)
        .follow(follow)
        .previous(previous);
    // A pod that is gone may have left its logs, so that not finding it is for the node to complain about.
    match wanted.find(&client).await? {
        Some(pod) => {
            printer.several = container.is_none() && pod.containers.len() > 1;
            options = options.namespace(pod.namespace);
        }
        None => options = options.namespace(wanted.namespace.unwrap_or_default()),
    }
    if let Some(container) = container {
        options = options.container(container);
    }
    if let Some(lines) = tail {
        options = options.tail_lines(lines);
    }
    if let Some(ago) = since {
        options = options.since(ago);
    }
    if let Some(time) = since_time {
        options = options.since_time(time);
    }
    let mut chunks = client.get_pod_logs(options).ready_chunks(CHUNK);
    while let Some(chunk) = chunks.next().await {
        let mut text = String::new();
        let mut failed = None;
        for line in chunk {
            match line {
                Ok(line) => printer.push(&mut text, &line),
                Err(error) => failed = Some(error),
            }
        }
        output::print_raw(&text)?;
        if let Some(error) = failed {
            return Err(error.into());
        }
    }
    Ok(())
}

struct Printer {
    timestamps: bool,
    /// Whether lines say whose they are.
    several: bool,
    /// The container that the first line was of.
    container: Option<String>,
    /// Whose line goes on in its next piece.
    unfinished: Option<(String, LogStream)>,
}

impl Printer {
    fn push(&mut self, text: &mut String, line: &LogLine) {
        // Containers may be started later; from the second one on, it must be told which is which.
        let first = self.container.get_or_insert_with(|| line.container.clone());
        self.several |= *first != line.container;
        let source = (line.container.clone(), line.stream);
        let goes_on = self.unfinished.as_ref() == Some(&source);
        if !goes_on {
            if self.unfinished.is_some() {
                text.push('\n');
            }
            if self.several {
                let _ = write!(text, "[{}] ", line.container);
            }
            if self.timestamps {
                let _ = write!(text, "{} ", rfc3339(line.time, 9));
            }
        }
        text.push_str(&line.text);
        if line.partial {
            self.unfinished = Some(source);
        } else {
            self.unfinished = None;
            text.push('\n');
        }
    }
}
