//! The observer on a runtime that the test plays.

use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::UnboundedReceiverStream;

use super::*;
use crate::runtime_cri::{Container, ContainerDetails, ContainerState, Executed, Listing};

const LIMIT: Duration = Duration::from_secs(20);

/// A runtime that has what the test says, and is away when it says so.
#[derive(Debug, Clone, Default)]
struct Played(Arc<Stage>);

#[derive(Debug, Default)]
struct Stage {
    listing: Mutex<Option<Listing>>,
    lists: AtomicUsize,
    questions: Mutex<Vec<String>>,
    /// `None`: it tells of no events.
    events: Mutex<Option<mpsc::UnboundedSender<()>>>,
    tells: bool,
}

impl Played {
    fn telling(listing: Listing) -> Self {
        let stage = Stage {
            tells: true,
            ..Stage::default()
        };
        let played = Self(Arc::new(stage));
        played.has(Some(listing));
        played
    }

    fn has(&self, listing: Option<Listing>) {
        *self.0.listing.lock().unwrap() = listing;
    }

    /// Tells of an event, when somebody listens. Whether somebody did.
    fn tell(&self) -> bool {
        let events = self.0.events.lock().unwrap();
        events
            .as_ref()
            .is_some_and(|events| events.send(()).is_ok())
    }

    /// Cuts the stream of events, and is away.
    fn leave(&self) {
        self.has(None);
        *self.0.events.lock().unwrap() = None;
    }

    fn lists(&self) -> usize {
        self.0.lists.load(Ordering::Relaxed)
    }

    fn asked_for(&self, id: &str) -> usize {
        let questions = self.0.questions.lock().unwrap();
        questions.iter().filter(|asked| *asked == id).count()
    }

    fn start(&self) -> (ObservationWatch, CancellationToken, JoinHandle<()>) {
        let stop = CancellationToken::new();
        let disown = |sandboxes: &mut [Sandbox]| {
            for sandbox in sandboxes.iter_mut().filter(|s| s.uid == "copied") {
                sandbox.bundle = None;
            }
        };
        let (observation, task) = observe(Some(self.clone()), disown, stop.clone());
        (observation, stop, task)
    }
}

fn away<T>() -> Result<T, RuntimeError> {
    Err(RuntimeError {
        operation: "Played",
        source: "it is away".into(),
    })
}

impl Runtime for Played {
    async fn sandboxes(&self) -> Result<Vec<Sandbox>, RuntimeError> {
        Ok(self.listing().await?.sandboxes)
    }

    async fn listing(&self) -> Result<Listing, RuntimeError> {
        self.0.lists.fetch_add(1, Ordering::Relaxed);
        match &*self.0.listing.lock().unwrap() {
            Some(listing) => Ok(listing.clone()),
            None => away(),
        }
    }

    async fn container_status(&self, id: &str) -> Result<ContainerDetails, RuntimeError> {
        self.0.questions.lock().unwrap().push(id.to_owned());
        if id == "gone" {
            return away();
        }
        Ok(ContainerDetails {
            exit_code: 7,
            reason: format!("reason of {id}"),
            message: String::new(),
            started_at: None,
            finished_at: None,
            image_id: String::new(),
            log_path: String::new(),
        })
    }

    async fn sandbox_ips(&self, id: &str) -> Result<Vec<String>, RuntimeError> {
        self.0.questions.lock().unwrap().push(id.to_owned());
        Ok(vec!["10.0.0.1".to_owned()])
    }

    async fn stop(&self, _: &Sandbox, _: Duration) -> Result<(), RuntimeError> {
        away()
    }

    async fn exec(&self, _: &str, _: &[String], _: Duration) -> Result<Executed, RuntimeError> {
        away()
    }

    async fn events(&self) -> Result<BoxStream<'static, ()>, RuntimeError> {
        if !self.0.tells || self.0.listing.lock().unwrap().is_none() {
            return away();
        }
        let (sender, receiver) = mpsc::unbounded_channel();
        *self.0.events.lock().unwrap() = Some(sender);
        Ok(UnboundedReceiverStream::new(receiver).boxed())
    }
}

fn sandbox(id: &str, containers: &[(&str, ContainerState)]) -> Sandbox {
    Sandbox {
        id: id.to_owned(),
        namespace: "default".to_owned(),
        name: "web-node1".to_owned(),
        uid: id.to_owned(),
        kubelet_uid: id.to_owned(),
        ready: true,
        created_at: Timestamp::UNIX_EPOCH,
        bundle: Some("app".to_owned()),
        revision: Some(1),
        digest: None,
        returned: 0,
        containers: containers
            .iter()
            .map(|(id, state)| Container {
                id: (*id).to_owned(),
                name: "main".to_owned(),
                attempt: 0,
                state: *state,
                image: String::new(),
                details: None,
                last_termination: None,
            })
            .collect(),
        ips: Vec::new(),
    }
}

fn listing(sandboxes: Vec<Sandbox>) -> Listing {
    Listing {
        sandboxes,
        previous: HashMap::new(),
    }
}

async fn seen(
    observation: &mut ObservationWatch,
    what: impl Fn(&[Sandbox]) -> bool,
) -> Arc<Observation> {
    let matches = |observation: &Arc<Observation>| match &**observation {
        Observation::Sandboxes(sandboxes) => what(sandboxes),
        _ => false,
    };
    let found = timeout(LIMIT, observation.wait_for(matches)).await;
    Arc::clone(&found.expect("in time").expect("it observes"))
}

fn state(sandboxes: &[Sandbox]) -> Option<ContainerState> {
    Some(sandboxes.first()?.containers.first()?.state)
}

#[tokio::test]
async fn an_event_is_followed_by_a_list_at_once() {
    let runs = || listing(vec![sandbox("s", &[("c", ContainerState::Running)])]);
    let played = Played::telling(runs());
    let (mut observation, stop, task) = played.start();
    seen(&mut observation, |s| {
        state(s) == Some(ContainerState::Running)
    })
    .await;
    played.has(Some(listing(vec![sandbox(
        "s",
        &[("c", ContainerState::Exited)],
    )])));
    let told = Instant::now();
    assert!(played.tell());
    seen(&mut observation, |s| {
        state(s) == Some(ContainerState::Exited)
    })
    .await;
    // Without the event it would have been found after a second.
    assert!(told.elapsed() < POLL / 2, "{:?}", told.elapsed());
    // Once for each state.
    assert_eq!(played.asked_for("c"), 2);
    assert_eq!(played.asked_for("s"), 1);
    stop.cancel();
    task.await.expect("no panic");
}

#[tokio::test]
async fn a_storm_of_events_is_answered_by_few_lists() {
    let played = Played::telling(listing(vec![]));
    let (mut observation, stop, task) = played.start();
    seen(&mut observation, <[_]>::is_empty).await;
    let (begin, before) = (Instant::now(), played.lists());
    while begin.elapsed() < SPACING * 8 {
        for _ in 0..100 {
            played.tell();
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let most = usize::try_from(begin.elapsed().as_millis() / SPACING.as_millis()).unwrap() + 2;
    let lists = played.lists() - before;
    assert!(lists <= most, "{lists} lists, at most {most} were due");
    stop.cancel();
    task.await.expect("no panic");
}

#[tokio::test]
async fn without_events_it_looks_each_second_and_wakes_nobody_for_nothing() {
    let played = Played::default();
    played.has(Some(listing(vec![])));
    let (mut observation, stop, task) = played.start();
    seen(&mut observation, <[_]>::is_empty).await;
    let lists = played.lists();
    observation.mark_unchanged();
    let nothing = timeout(POLL * 5 / 2, observation.changed()).await;
    assert!(nothing.is_err(), "nothing has changed");
    let lists = played.lists() - lists;
    assert!((1..=4).contains(&lists), "{lists}");
    played.has(Some(listing(vec![sandbox("s", &[])])));
    seen(&mut observation, |s| s.len() == 1).await;
    stop.cancel();
    task.await.expect("no panic");
}

#[tokio::test]
async fn a_runtime_that_goes_is_away_at_once_and_heard_again_when_it_is_back() {
    let played = Played::telling(listing(vec![sandbox("s", &[])]));
    let (mut observation, stop, task) = played.start();
    seen(&mut observation, |s| s.len() == 1).await;
    for _ in 0..2 {
        // A stream counts only when it has told of something.
        assert!(played.tell());
        let lists = played.lists();
        timeout(LIMIT, async {
            while played.lists() == lists {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await
        .expect("it has heard of it");

        played.leave();
        let gone = |observation: &Arc<Observation>| matches!(&**observation, Observation::Away { cause, .. } if cause == "it is away");
        timeout(LIMIT, observation.wait_for(gone))
            .await
            .expect("in time")
            .expect("it observes");

        played.has(Some(listing(vec![])));
        seen(&mut observation, <[_]>::is_empty).await;
        timeout(LIMIT, async {
            while !played.tell() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await
        .expect("it listens again");
        played.has(Some(listing(vec![sandbox("s", &[])])));
        seen(&mut observation, |s| s.len() == 1).await;
    }
    stop.cancel();
    task.await.expect("no panic");
}

#[tokio::test]
async fn details_are_of_our_own_with_the_attempt_before_and_what_is_gone_is_left_out() {
    let (mut foreign, mut copied) = (sandbox("f", &[]), sandbox("copied", &[]));
    foreign.bundle = None;
    copied
        .containers
        .clone_from(&sandbox("x", &[("d", ContainerState::Running)]).containers);
    let ours = sandbox("s", &[("c", ContainerState::Running)]);
    let late = sandbox("l", &[("gone", ContainerState::Exited)]);
    let mut all = listing(vec![foreign, copied, ours, late]);
    all.previous.insert("c".to_owned(), "b".to_owned());
    let played = Played::telling(all);
    let (mut observation, stop, task) = played.start();
    let now = seen(&mut observation, |s| s.len() == 4).await;
    let Observation::Sandboxes(sandboxes) = &*now else {
        panic!("{now:?}")
    };
    let ips: Vec<_> = sandboxes.iter().map(|s| s.ips.len()).collect();
    assert_eq!(ips, [0, 0, 1, 1]);
    let reason = |details: &Option<ContainerDetails>| details.as_ref().map(|d| d.reason.clone());
    let [ours, late] = [2, 3].map(|place| &sandboxes[place].containers[0]);
    assert_eq!(reason(&ours.details).as_deref(), Some("reason of c"));
    assert_eq!(
        reason(&ours.last_termination).as_deref(),
        Some("reason of b")
    );
    assert_eq!(reason(&late.details), None);
    assert_eq!(sandboxes[1].bundle, None);
    // The kubelet removes the attempt before when this one has ended too.
    let ended = sandbox("s", &[("c", ContainerState::Exited)]);
    played.has(Some(listing(vec![ended])));
    played.tell();
    let now = seen(&mut observation, |s| s.len() == 1).await;
    let Observation::Sandboxes(sandboxes) = &*now else {
        panic!("{now:?}")
    };
    let ended = &sandboxes[0].containers[0];
    assert_eq!(
        reason(&ended.last_termination).as_deref(),
        Some("reason of b")
    );
    assert_eq!(played.asked_for("d") + played.asked_for("f"), 0);
    stop.cancel();
    task.await.expect("no panic");
}

#[tokio::test]
async fn without_a_runtime_that_is_said_at_once() {
    let stop = CancellationToken::new();
    let (observation, task) = observe(None::<Played>, |_| {}, stop.clone());
    assert!(matches!(**observation.borrow(), Observation::NotConfigured));
    stop.cancel();
    task.await.expect("no panic");
}
