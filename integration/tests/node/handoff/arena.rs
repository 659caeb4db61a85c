//! One cluster for many handoffs: begins one, strikes in it, sees how it ends, and takes the node back.

use std::cell::Cell;
use std::fs;
use std::time::{Duration, Instant};

use seedpod_client::cluster::HandoffKind;
use seedpod_client::{
    Client, HandoffComponent, HandoffDeadlines, HandoffState, ResetNode, StartHandoff, Wait,
};
use seedpod_integration::{Node, wait_for, wait_until};
use serde_json::Value;

use super::history::{History, Point, Record, Seen};
use super::state::{Held, Party};
use crate::kills::Random;
use crate::render_up::injected;
use crate::rendered::{Cluster, NAMESPACE};
use crate::scene::{connect_lazy, run, socket_options, spawn};

/// Nothing takes that long, on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(400);

/// A handoff takes at least so long.
const LENGTH: Duration = Duration::from_secs(20);

/// How often the record is looked at: much less than a write of it takes.
const LOOK: Duration = Duration::from_micros(200);

/// For how long a handoff whose daemon was killed may be without one.
const AWAY: Duration = Duration::from_millis(1500);

/// How long the kubelet may be alone after a start of the machine.
const ALONE: Duration = Duration::from_secs(3);

/// When to strike.
#[derive(Clone, Copy, Debug)]
pub(super) enum When {
    /// The record of this point is about to be written.
    Writing(Point),
    Written(Point),
    /// Since the beginning of the handoff.
    After(Duration),
}

/// What happens then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Kill,
    PowerCut,
    Abort,
}

pub(super) type Strike = (When, What);

/// How a handoff has ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) record: Record,
    /// What has happened in it, with the record before that.
    pub(super) struck: Vec<(Strike, Record)>,
    /// What had no occasion.
    pub(super) left: Vec<Strike>,
}

impl Ended {
    pub(super) fn is_committed(&self) -> bool {
        self.record.stage == "committed"
    }

    pub(super) fn count(&self, what: What) -> usize {
        self.struck
            .iter()
            .filter(|((_, it), _)| *it == what)
            .count()
    }
}

pub(super) struct Arena<'node> {
    pub(super) cluster: Cluster<'node>,
    operator: Client,
    /// How long the last handoff took that was committed.
    length: Cell<Duration>,
}

impl<'node> Arena<'node> {
    /// A cluster with an injected control plane.
    pub(super) fn new(node: &'node Node, theme: &str) -> Self {
        let cluster = injected(node, theme);
        let operator = connect_lazy(socket_options(&cluster.scene.daemon));
        Self {
            cluster,
            operator,
            length: Cell::new(LENGTH),
        }
    }

    /// How long a handoff takes now.
    pub(super) fn length(&self) -> Duration {
        self.length.get()
    }

    fn node(&self) -> &'node Node {
        self.cluster.node
    }

    fn request(&self) -> StartHandoff {
        let rendered = &self.cluster.rendered;
        let plan = &rendered.handoff[0];
        let manifests = rendered.self_hosted.iter();
        let manifests = manifests.map(|file| fs::read_to_string(file).unwrap());
        // A daemon that is away, or a machine that is busy, is not why a handoff is to fail here.
        let limit = Some(PATIENCE);
        let deadlines = HandoffDeadlines {
            apply: limit,
            ready: limit,
            kubelet: limit,
            drain: limit,
            hand_over: limit,
            verify: limit,
        };
        let mut request = StartHandoff::new(&plan.bundle, rendered.kubeconfigs.handoff.as_str())
            .manifests(manifests)
            .node_labels(plan.node_labels.clone())
            .deadlines(deadlines)
            .stable_for(Duration::from_secs(1));
        for component in &plan.components {
            let pod = &component.injected_pod;
            let of_kind = match &component.kind {
                HandoffKind::ApiServer { port } => HandoffComponent::api_server(pod).port(*port),
                HandoffKind::LeaderElected { lease } => {
                    HandoffComponent::leader_elected(pod, lease)
                }
            };
            request = request.component(of_kind.selector(component.selector.clone()));
        }
        request
    }

    /// One handoff, to which these strikes happen in their order. It ends when nothing moves any more, and all that is to
    /// be so then is so.
    pub(super) fn round(&self, strikes: &[Strike], random: &mut Random) -> Ended {
        let mut left = strikes.to_vec();
        left.reverse();
        let mut struck = Vec::new();
        let scene = &self.cluster.scene;
        run(scene.client.start_handoff(&self.request())).unwrap();
        let begun = Instant::now();
        let mut history = History::watch(&scene.daemon.state_directory());
        println!("  {:?}", history.last().stage);
        let mut news = vec![Seen::Written(history.last().clone())];
        while begun.elapsed() < PATIENCE {
            while let Some(strike) = left.last().copied()
                && is_due(strike.0, &news, history.last(), begun)
            {
                left.pop();
                let before = history.last().clone();
                self.strike(strike.1, random);
                struck.push((strike, before));
                news = history.news();
                println!(
                    "  {:.1} s: {strike:?}, then {} ({})",
                    begun.elapsed().as_secs_f64(),
                    history.last().stage,
                    history.last().generation
                );
            }
            if is_over(history.last()) && !left.iter().any(|it| may_come(it.0, history.last())) {
                break;
            }
            std::thread::sleep(LOOK);
            news = history.news();
        }
        let took = begun.elapsed();
        if history.last().stage == "committed" {
            self.length.set(took);
        }
        self.settle(&mut history);
        println!(
            "  {} after {:.1} s, settled after {:.1} s, {} writes of the record seen",
            history.last().stage,
            took.as_secs_f64(),
            begun.elapsed().as_secs_f64(),
            history.writes()
        );
        left.reverse();
        Ended {
            record: history.last().clone(),
            struck,
            left,
        }
    }

    fn strike(&self, what: What, random: &mut Random) {
        let daemon = &self.cluster.scene.daemon;
        match what {
            What::Kill => {
                daemon.kill9().unwrap();
                // Not a wait for a condition: what goes on without a daemon is what is tried out.
                std::thread::sleep(random.up_to(AWAY));
                daemon.start_again().unwrap();
            }
            What::PowerCut => {
                self.node().cut_power().unwrap();
                daemon.play_reboot(Duration::from_secs(5)).unwrap();
                self.node().power_on().unwrap();
                std::thread::sleep(random.up_to(ALONE));
                daemon.start_again().unwrap();
            }
            What::Abort => {
                let client = self.cluster.scene.client.clone();
                // The daemon may be killed before it has heard of it.
                spawn(async move {
                    while let Err(error) = client.abort_handoff(None).await {
                        if !error.is_transient() {
                            break;
                        }
                    }
                });
            }
        }
    }

    /// Waits until all is as the record says, and the record stays as it is.
    fn settle(&self, history: &mut History) {
        let mut held = Held::default();
        let mut why = String::new();
        wait_until(PATIENCE, "all is as the record says", || {
            history.news();
            let party = match history.last().stage.as_str() {
                "committed" => Party::SelfHosted,
                "reverted" => Party::Injected,
                stage => {
                    why = format!("it is {stage}");
                    return false;
                }
            };
            match self.serves(party, &mut held) {
                Ok(()) => return true,
                Err(fault) => why = fault,
            }
            std::thread::sleep(Duration::from_millis(100));
            false
        })
        .unwrap_or_else(|error| self.panic(&format!("{error}: {why}")));
        let told = run(self.cluster.scene.client.get_handoff()).unwrap();
        let last = history.last();
        assert_eq!(
            (&told.id, told.generation),
            (&last.id, last.generation),
            "{told:#?}"
        );
        let state = match told.state {
            HandoffState::Committed => "committed",
            HandoffState::Reverted => "reverted",
            _ => "another",
        };
        assert_eq!(state, last.stage, "{told:#?}");
        assert_eq!(told.failure.is_some(), last.failure.is_some());
    }

    /// Says how all is, and fails.
    fn panic(&self, what: &str) -> ! {
        let log = self.cluster.scene.log();
        let lines: Vec<&str> = log.lines().collect();
        let end = lines[lines.len().saturating_sub(60)..].join("\n");
        let handoff = run(self.cluster.scene.client.get_handoff());
        let containers = self.node().containers();
        let pods = self
            .cluster
            .try_kubectl(&["get", "pods,rs,ds,deploy", "-A", "-o", "wide"]);
        panic!(
            "{what}\n{handoff:#?}\n{containers:#?}\n{}\n{end}",
            String::from_utf8_lossy(&pods.stdout)
        );
    }

    /// Has the node as it was before its handoff, so that another one can begin.
    pub(super) fn take_back(&self) {
        let begun = Instant::now();
        let plan = &self.cluster.rendered.handoff[0];
        // The standby bundle's pods come back, beside those of the cluster.
        run(self.operator.reset_node(&ResetNode::new())).unwrap();
        let node = &plan.node;
        let labels: Vec<String> = plan
            .node_labels
            .keys()
            .map(|key| format!("{key}-"))
            .collect();
        let mut label = vec!["label", "node", node.as_str()];
        label.extend(labels.iter().map(String::as_str));
        let apps = format!("/apis/apps/v1/namespaces/{NAMESPACE}");
        let mut held = Held::default();
        let mut why = String::new();
        wait_for(PATIENCE, "the node is taken back", || {
            match self.serves(Party::Injected, &mut held) {
                Ok(()) => return Some(()),
                Err(fault) => why = fault,
            }
            self.cluster.try_kubectl(&label);
            for component in &plan.components {
                let name = &component.injected_pod;
                for kind in ["daemonsets", "deployments"] {
                    let _ = self.cluster.client.delete(&format!("{apps}/{kind}/{name}"));
                }
            }
            for pod in self.hosted_pods() {
                let name = pod["metadata"]["name"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned();
                if pod["metadata"]["deletionTimestamp"] == Value::Null {
                    let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{name}");
                    let _ = self.cluster.client.delete(&path);
                }
            }
            std::thread::sleep(Duration::from_millis(300));
            None
        })
        .unwrap_or_else(|error| self.panic(&format!("{error}: {why}")));
        self.ready();
        println!("  taken back after {:.1} s", begun.elapsed().as_secs_f64());
    }

    /// Waits until a handoff can begin.
    pub(super) fn ready(&self) {
        let bundle = &self.cluster.rendered.handoff[0].bundle;
        let revision = run(self.operator.get_bundle(bundle)).unwrap().revision;
        let wait = Wait::new(PATIENCE).patience(PATIENCE);
        run(self.operator.wait_ready(bundle, revision, wait)).unwrap();
    }
}

fn is_over(record: &Record) -> bool {
    matches!(record.stage.as_str(), "committed" | "reverted")
}

/// Whether a strike can still come once a handoff is over. One at an instant comes too late.
fn may_come(when: When, record: &Record) -> bool {
    match when {
        When::Written(point) => point.is_reached_by(record),
        When::Writing(_) | When::After(_) => false,
    }
}

fn is_due(when: When, news: &[Seen], last: &Record, begun: Instant) -> bool {
    let is_back = matches!(last.stage.as_str(), "reverting" | "reverted");
    match when {
        When::After(instant) => begun.elapsed() >= instant,
        When::Written(point) => point.is_reached_by(last),
        When::Writing(point) => {
            // It may have been too quick to be seen.
            (point.is_back() == is_back && point.is_reached_by(last))
                || news.iter().any(|seen| match seen {
                    Seen::Staged(record) | Seen::Written(record) => point.is_reached_by(record),
                })
        }
    }
}
