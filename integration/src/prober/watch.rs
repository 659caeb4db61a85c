//! A watch of what the writers write, resumed where it was cut.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use http_body_util::BodyExt as _;
use serde::Deserialize;
use serde_json::Value;
use tokio::task::JoinHandle;

use super::report::Watched;
use super::request::{CONFIG_MAP, CONFIG_MAPS, Client, NUMBER};
use super::{LIMIT, Shared, lock};

/// How long after the last write the watch may take to tell of it.
const CATCH_UP: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);

pub(super) struct Watcher {
    shared: Arc<Shared>,
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    numbers: BTreeSet<u64>,
    resumed: usize,
    /// The API server could not go on where it was.
    begun_anew: usize,
    /// From the end of a watch to the beginning of the next.
    longest_gap: Duration,
}

/// Lists first, so that nothing that is written from now on is missed.
pub(super) async fn start(client: Client, shared: Arc<Shared>) -> Result<Watcher> {
    let version = list(&client).await.context("list what is watched")?;
    let seen = Arc::<Mutex<Seen>>::default();
    let task = tokio::spawn(watch_on(client, version, Arc::clone(&seen)));
    Ok(Watcher { shared, seen, task })
}

impl Watcher {
    /// To be called when the last write was answered.
    pub(super) async fn finish(self) -> Watched {
        let deadline = Instant::now() + CATCH_UP;
        let missed = loop {
            let missed = self.missed();
            if missed == 0 || Instant::now() > deadline {
                break missed;
            }
            tokio::time::sleep(PAUSE).await;
        };
        self.task.abort();
        let seen = lock(&self.seen);
        Watched {
            events: seen.numbers.len(),
            missed,
            resumed: seen.resumed,
            begun_anew: seen.begun_anew,
            longest_gap: seen.longest_gap,
        }
    }

    /// How many writes were answered, and not told of.
    fn missed(&self) -> usize {
        let seen = lock(&self.seen);
        let written = lock(&self.shared.written);
        written
            .keys()
            .filter(|number| !seen.numbers.contains(number))
            .count()
    }
}

async fn watch_on(client: Client, mut version: String, seen: Arc<Mutex<Seen>>) {
    let mut ended: Option<Instant> = None;
    loop {
        let mut has_begun = false;
        let on_begin = || {
            has_begun = true;
            if let Some(ended) = ended {
                let mut seen = lock(&seen);
                seen.resumed += 1;
                seen.longest_gap = seen.longest_gap.max(ended.elapsed());
            }
        };
        let end = watch(&client, &mut version, on_begin, &seen).await;
        // A try that came to nothing makes the gap no shorter.
        if has_begun || ended.is_none() {
            ended = Some(Instant::now());
        }
        if let Ok(End::Expired) = end
            && let Ok(new) = list(&client).await
        {
            lock(&seen).begun_anew += 1;
            version = new;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

enum End {
    Closed,
    /// The version is too old.
    Expired,
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    object: Value,
}

async fn watch(
    client: &Client,
    version: &mut String,
    on_begin: impl FnOnce(),
    seen: &Mutex<Seen>,
) -> Result<End> {
    let path = format!("{CONFIG_MAPS}?watch=1&allowWatchBookmarks=true&resourceVersion={version}");
    let mut answer = tokio::time::timeout(LIMIT, client.get(&path)).await??;
    match answer.response.status().as_u16() {
        200 => on_begin(),
        410 => return Ok(End::Expired),
        status => bail!("status {status}"),
    }
    let mut text = Vec::new();
    while let Some(frame) = answer.response.body_mut().frame().await {
        // Cut. What has come is whole lines and the beginning of one.
        let Ok(frame) = frame else { break };
        text.extend_from_slice(frame.data_ref().map_or(&[], |it| it));
        while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = text.drain(..=end).collect();
            let event: Event = serde_json::from_slice(&line)?;
            if event.kind == "ERROR" {
                return Ok(End::Expired);
            }
            let metadata = &event.object["metadata"];
            if let Some(new) = metadata["resourceVersion"].as_str() {
                version.replace_range(.., new);
            }
            let is_ours = metadata["name"]
                .as_str()
                .is_some_and(|name| name.starts_with(CONFIG_MAP));
            let number = event.object["data"][NUMBER].as_str();
            if let (true, Some(Ok(number))) = (is_ours, number.map(str::parse)) {
                lock(seen).numbers.insert(number);
            }
        }
    }
    Ok(End::Closed)
}

/// The version of the list.
async fn list(client: &Client) -> Result<String> {
    let asked = async {
        let mut answer = client.get(CONFIG_MAPS).await?;
        let status = answer.response.status();
        let body = answer.response.body_mut().collect().await?.to_bytes();
        if !status.is_success() {
            bail!("status {status}");
        }
        let list: Value = serde_json::from_slice(&body)?;
        let version = list["metadata"]["resourceVersion"].as_str();
        Ok(version.context("a list without a version")?.to_owned())
    };
    tokio::time::timeout(LIMIT, asked).await?
}
