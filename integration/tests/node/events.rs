//! What has happened, as it is told to somebody who listens over every restart.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use seedpod_integration::wait_until;
use seedpod_proto::v1::pod_injection_service_client::PodInjectionServiceClient;
use seedpod_proto::v1::{Event, EventType, WatchEventsRequest};
use serde_json::json;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use crate::rig::LIMIT;
use crate::scene::{Scene, run, spawn};

/// How many events the long test makes.
const EVENTS: u64 = 10_000;

/// The most pods in one bundle.
const PODS: usize = 64;

async fn connect(scene_socket: PathBuf) -> Result<PodInjectionServiceClient<Channel>, Status> {
    let endpoint = Endpoint::from_shared(format!("unix://{}", scene_socket.display()));
    let channel = endpoint
        .map_err(|error| Status::internal(error.to_string()))?
        .connect()
        .await
        .map_err(|error| Status::unavailable(error.to_string()))?;
    Ok(PodInjectionServiceClient::new(channel))
}

fn after(sequence: u64, until_now: bool) -> WatchEventsRequest {
    WatchEventsRequest {
        after_sequence: Some(sequence),
        until_now,
        ..WatchEventsRequest::default()
    }
}

/// Room for many readers of one client.
fn many() -> serde_json::Value {
    json!({"maxStreamsPerClient": 64, "maxConnectionsPerClient": 64})
}

/// All events that there are now.
fn all(scene: &Scene<'_>, bundle: &str) -> Vec<Event> {
    let request = WatchEventsRequest {
        bundle: bundle.to_owned(),
        ..after(0, true)
    };
    let socket = scene.daemon.socket();
    run(async move {
        let mut client = connect(socket).await?;
        let mut stream = client.watch_events(request).await?.into_inner();
        let mut events = Vec::new();
        while let Some(answer) = stream.message().await? {
            events.extend(answer.events);
        }
        Ok::<_, Status>(events)
    })
    .expect("read the events")
}

/// A reader that goes on where it was, whatever becomes of the daemon.
#[derive(Clone, Default)]
struct Reader {
    seen: Arc<Mutex<Vec<Event>>>,
    newest: Arc<AtomicU64>,
    connections: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Reader {
    fn start(socket: PathBuf) -> (Self, tokio::task::JoinHandle<()>) {
        let reader = Self::default();
        let reading = reader.clone();
        let task = spawn(async move {
            while !reading.stop.load(Ordering::Relaxed) {
                // Every end is one that the daemon's end explains; how it ends is looked at elsewhere.
                let _ = reading.connection(socket.clone()).await;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        (reader, task)
    }

    async fn connection(&self, socket: PathBuf) -> Result<(), Status> {
        let mut client = connect(socket).await?;
        let newest = self.newest.load(Ordering::Relaxed);
        let mut stream = client
            .watch_events(after(newest, false))
            .await?
            .into_inner();
        self.connections.fetch_add(1, Ordering::Relaxed);
        while let Some(answer) = stream.message().await? {
            let newest = answer.events.last().map_or(0, |event| event.sequence);
            self.seen.lock().expect("no panic").extend(answer.events);
            self.newest.store(newest, Ordering::Relaxed);
        }
        Ok(())
    }

    fn newest(&self) -> u64 {
        self.newest.load(Ordering::Relaxed)
    }
}

#[test]
fn a_reader_of_ten_thousand_events_misses_none_and_gets_none_twice_over_kills() {
    // A folder that no kubelet reads: it has nothing to do with it, and ten thousand changes would be hard on it.
    let aside = tempfile::tempdir().expect("a folder");
    let folder = aside.path().join("manifests");
    let scene = Scene::configured(
        "events",
        json!({
            "staticPodPath": folder,
            "containerRuntimeEndpoint": null,
            "limits": many(),
        }),
    );
    let names: Vec<String> = (0..PODS).map(|number| format!("p{number}")).collect();
    let pods: Vec<_> = names.iter().map(|name| scene.pod(name, "x")).collect();
    let (reader, task) = Reader::start(scene.daemon.socket());
    scene.inject("bundle", &pods).expect("inject");
    let files: Vec<PathBuf> = names
        .iter()
        .map(|name| folder.join(scene.file(name).file_name().expect("a name")))
        .collect();
    let complete = || files.iter().all(|file| file.exists());
    wait_until(LIMIT, "the files are written", complete).unwrap();

    let begin = Instant::now();
    let mut rounds = 0;
    let mut kills = 0;
    while reader.newest() < EVENTS {
        // Each file that somebody removes is an event, and each that is put back is one.
        for file in &files {
            let _ = fs::remove_file(file);
        }
        rounds += 1;
        if rounds % 5 == 0 {
            // In the middle of it.
            std::thread::yield_now();
            scene.daemon.kill9().expect("kill the daemon");
            kills += 1;
            scene.daemon.start_again().expect("start the daemon");
        }
        wait_until(LIMIT, "the files are put back", complete).unwrap();
        assert!(
            begin.elapsed() < 10 * LIMIT,
            "{} events only",
            reader.newest()
        );
    }
    stalled_readers_hold_up_nobody(&scene, &reader, || {
        for file in &files {
            let _ = fs::remove_file(file);
        }
        wait_until(LIMIT, "the files are put back", complete).unwrap();
    });
    let stored = all(&scene, "");
    let newest = stored.last().expect("some").sequence;
    wait_until(LIMIT, "the reader has the rest", || {
        reader.newest() >= newest
    })
    .unwrap();
    reader.stop.store(true, Ordering::Relaxed);
    scene.daemon.stop().expect("stop the daemon");
    run(task).expect("no panic");

    let seen = reader.seen.lock().expect("no panic");
    println!(
        "{} events in {:.1?}: {rounds} rounds, {kills} kills, {} connections",
        seen.len(),
        begin.elapsed(),
        reader.connections.load(Ordering::Relaxed)
    );
    assert!(kills >= 5 && reader.connections.load(Ordering::Relaxed) > kills);
    for (number, event) in (1..).zip(seen.iter()) {
        assert_eq!(event.sequence, number, "one is missing or came twice");
    }
    assert_eq!(seen[..stored.len()], stored[..], "as they are on the disk");
    let count = |kind| seen.iter().filter(|event| event.r#type() == kind).count();
    assert!(count(EventType::Drift) > 1000 && count(EventType::Repaired) > 1000);
    assert_eq!(count(EventType::EventsLost), 0);
}

/// Readers that take a first answer and then no more cost little, and those that read get what is new.
fn stalled_readers_hold_up_nobody(scene: &Scene<'_>, reader: &Reader, change: impl Fn()) {
    const STALLED: u64 = 30;
    let before = resident(scene);
    let socket = scene.daemon.socket();
    let stalled = run(async move {
        let mut streams = Vec::new();
        for _ in 0..STALLED {
            let mut client = connect(socket.clone()).await?;
            let mut stream = client.watch_events(after(0, false)).await?.into_inner();
            let first = stream.message().await?;
            assert_eq!(first.map(|first| first.events[0].sequence), Some(1));
            streams.push((client, stream));
        }
        Ok::<_, Status>(streams)
    })
    .expect("open the streams");
    let newest = reader.newest();
    let begin = Instant::now();
    change();
    wait_until(LIMIT, "the others get what is new", || {
        reader.newest() >= newest + 2 * PODS as u64
    })
    .unwrap();
    let grown = resident(scene).saturating_sub(before);
    println!(
        "{STALLED} stalled readers: {} KiB each; new events came in {:.1?}",
        grown / STALLED,
        begin.elapsed()
    );
    assert!(grown < STALLED * 400, "{grown} KiB");
    drop(stalled);
}

/// The daemon's resident memory in KiB.
fn resident(scene: &Scene<'_>) -> u64 {
    let pid = scene.daemon.process().expect("it runs").pid;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("read its status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number
        .and_then(|number| number.parse().ok())
        .expect("VmRSS")
}

#[test]
fn open_streams_end_with_the_truth_and_do_not_hold_the_daemon_up() {
    const STREAMS: u64 = 50;
    let scene = Scene::configured("ending", json!({"limits": many()}));
    // So that what is needed once is there.
    all(&scene, "");
    let before = resident(&scene);
    let socket = scene.daemon.socket();
    let streams = (0..STREAMS).map(|_| {
        let socket = socket.clone();
        run(async move {
            let mut client = connect(socket).await?;
            Ok::<_, Status>(client.watch_events(after(0, false)).await?.into_inner())
        })
    });
    let streams: Vec<_> = streams.collect::<Result<_, _>>().expect("open the streams");
    let grown = resident(&scene).saturating_sub(before);
    println!(
        "{STREAMS} idle readers, each with a connection: {} KiB each",
        grown / STREAMS
    );
    assert!(grown < STREAMS * 100, "{grown} KiB");
    let ends: Vec<_> = streams
        .into_iter()
        .map(|mut stream| {
            spawn(async move {
                loop {
                    match stream.message().await {
                        Ok(Some(_)) => {}
                        Ok(None) => return None,
                        Err(status) => return Some(status),
                    }
                }
            })
        })
        .collect();
    let begin = Instant::now();
    scene.daemon.stop().expect("stop the daemon");
    let took = begin.elapsed();
    println!("stopped with {STREAMS} open streams in {took:.1?}");
    assert!(took < Duration::from_secs(3), "{took:?}");
    for end in ends {
        let status = run(end).expect("no panic").expect("no OK");
        assert_eq!(status.code(), Code::Unavailable, "{status}");
        assert!(status.message().contains("shutting down"), "{status}");
    }
}

#[test]
fn what_is_committed_is_told_also_when_the_daemon_is_killed_right_after() {
    let scene = Scene::new("told");
    for round in 1..=5 {
        let pod = scene.pod("web", &format!("round {round}"));
        let injected = scene.inject("bundle", &[pod]).expect("inject");
        scene.daemon.kill9().expect("kill the daemon");
        scene.daemon.start_again().expect("start the daemon");
        let bundle = scene.name("bundle");
        wait_until(LIMIT, "the injection is told", || {
            let told = all(&scene, &bundle);
            let commits = told.iter().filter(|event| {
                event.r#type() == EventType::Injected && event.revision == injected.bundle.revision
            });
            let count = commits.count();
            assert!(count <= 1, "{told:?}");
            count == 1
        })
        .unwrap();
    }
}

#[test]
fn the_life_of_a_pod_is_told_in_its_order() {
    let scene = Scene::new("order");
    scene
        .inject("bundle", &[scene.pod("web", "ordered")])
        .expect("inject");
    let bundle = scene.name("bundle");
    let kinds = || -> Vec<EventType> { all(&scene, &bundle).iter().map(Event::r#type).collect() };
    wait_until(LIMIT, "the bundle is told to be ready", || {
        kinds().contains(&EventType::BundleReady)
    })
    .unwrap();
    scene.remove_and_wait("bundle");
    wait_until(LIMIT, "the end of the pod is told", || {
        kinds().contains(&EventType::PodStopped)
    })
    .unwrap();
    let expected = [
        EventType::Injected,
        EventType::PodProjected,
        EventType::PodStarted,
        EventType::PodReady,
        EventType::BundleReady,
        EventType::Removed,
        EventType::PodStopped,
    ];
    assert_eq!(kinds(), expected);
    let events = all(&scene, &bundle);
    assert_eq!(events[0].client, "injector");
    assert_eq!(events[1].client, "", "nobody asked for it");
    assert!(
        events
            .iter()
            .all(|it| it.time.is_some() && !it.message.is_empty())
    );
}
