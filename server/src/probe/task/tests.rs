use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use futures_util::stream::BoxStream;
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    kubelet::{KubeletPod, Sync},
    node::{Bundle, BundlePod, State},
    probe::{Probed, ReadinessWatch, Verdict},
    runtime_cri::{ContainerDetails, Executed, Observation, RuntimeError},
};

const PATIENCE: Duration = Duration::from_secs(20);

/// A runtime whose programs end with what is written for their container; one that has nothing written hangs.
#[derive(Debug, Clone, Default)]
struct Played {
    codes: Arc<Mutex<HashMap<String, i32>>>,
    asked: Arc<Mutex<Vec<String>>>,
    hanging: Arc<AtomicUsize>,
}

/// One program that hangs.
struct Hanging(Arc<AtomicUsize>);

impl Drop for Hanging {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn error<T>() -> Result<T, RuntimeError> {
    Err(RuntimeError {
        operation: "played",
        source: "not played".into(),
    })
}

impl Runtime for Played {
    async fn sandboxes(&self) -> Result<Vec<Sandbox>, RuntimeError> {
        error()
    }

    async fn container_status(&self, _: &str) -> Result<ContainerDetails, RuntimeError> {
        error()
    }

    async fn sandbox_ips(&self, _: &str) -> Result<Vec<String>, RuntimeError> {
        error()
    }

    async fn stop(&self, _: &Sandbox, _: Duration) -> Result<(), RuntimeError> {
        error()
    }

    async fn exec(
        &self,
        container: &str,
        command: &[String],
        _: Duration,
    ) -> Result<Executed, RuntimeError> {
        let asked = format!("{container} {}", command.join(" "));
        self.asked.lock().unwrap().push(asked);
        let code = self.codes.lock().unwrap().get(container).copied();
        let Some(exit_code) = code else {
            self.hanging.fetch_add(1, Ordering::Relaxed);
            let _hanging = Hanging(Arc::clone(&self.hanging));
            return std::future::pending().await;
        };
        Ok(Executed {
            exit_code,
            output: String::new(),
        })
    }

    async fn events(&self) -> Result<BoxStream<'static, ()>, RuntimeError> {
        error()
    }
}

struct Scene {
    runtime: Played,
    state: watch::Sender<Arc<State>>,
    observation: watch::Sender<Arc<Observation>>,
    kubelet: watch::Sender<Arc<KubeletView>>,
    readiness: ReadinessWatch,
    task: tokio::task::JoinHandle<()>,
    stop: CancellationToken,
}

impl Scene {
    fn new() -> Self {
        let (state, states) = watch::channel(Arc::default());
        let not_yet = Observation::NotYet;
        let (observation, observations) = watch::channel(Arc::new(not_yet));
        let (kubelet, views) = watch::channel(Arc::default());
        let inlets = Inlets {
            state: states,
            observation: observations,
            kubelet: views,
        };
        let (runtime, stop) = (Played::default(), CancellationToken::new());
        let (readiness, task) =
            crate::probe::start(inlets, Some(runtime.clone()), None, stop.clone());
        Self {
            runtime,
            state,
            observation,
            kubelet,
            readiness,
            task,
            stop,
        }
    }

    /// Demands these pods, each with its spec.
    fn demand(&self, pods: &[(&str, Value)]) {
        let pods = pods.iter().map(|(uid, spec)| BundlePod {
            volumes: None,
            source: None,
            key: seedpod_manifest::PodKey {
                namespace: "default".to_owned(),
                name: (*uid).to_owned(),
            },
            uid: (*uid).to_owned(),
            digest: String::new(),
            revision: 1,
            file: String::new(),
            rendered: json!({ "spec": spec }).to_string().into(),
            host_ports: Vec::new(),
            wave: 0,
        });
        let name: seedpod_manifest::BundleName = "bundle".parse().unwrap();
        let bundle = Bundle {
            objects: Vec::new(),
            name: name.clone(),
            revision: 1,
            digest: String::new(),
            create_time: Timestamp::UNIX_EPOCH,
            update_time: Timestamp::UNIX_EPOCH,
            pods: pods.collect(),
        };
        self.state.send_replace(Arc::new(State {
            bundles: [(name, Arc::new(bundle))].into(),
            ..State::default()
        }));
    }

    /// What runs: uid and the containers' ids and states, all named `main`.
    fn runs(&self, pods: &[(&str, &[(&str, ContainerState)])]) {
        let sandboxes = pods.iter().map(|(uid, containers)| Sandbox {
            id: format!("sandbox-{uid}"),
            namespace: "default".to_owned(),
            name: format!("{uid}-node"),
            uid: (*uid).to_owned(),
            kubelet_uid: format!("kubelet-{uid}"),
            ready: true,
            created_at: Timestamp::UNIX_EPOCH,
            bundle: None,
            revision: None,
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
            ips: vec!["127.0.0.1".to_owned()],
        });
        self.see(Observation::Sandboxes(Arc::new(sandboxes.collect())));
    }

    fn see(&self, seen: Observation) {
        self.observation.send_replace(Arc::new(seen));
    }

    fn ends_with(&self, container: &str, code: i32) {
        let mut codes = self.runtime.codes.lock().unwrap();
        codes.insert(container.to_owned(), code);
    }

    /// Waits until the probes say something that satisfies this.
    async fn wait(&self, what: impl Fn(&Readiness) -> bool) -> Arc<Readiness> {
        let mut readiness = self.readiness.clone();
        let waited = timeout(PATIENCE, readiness.wait_for(|it| what(it))).await;
        match waited {
            Ok(readiness) => Arc::clone(&readiness.unwrap()),
            Err(_) => panic!("{:?}", self.readiness.borrow()),
        }
    }

    async fn wait_for(&self, container: &str, verdict: Verdict) -> Probed {
        let says = |it: &Readiness| {
            it.get(container)
                .is_some_and(|it| it.readiness == Some(verdict))
        };
        self.wait(says).await[container].clone()
    }
}

/// A container with an exec probe each second.
fn exec() -> Value {
    json!({"containers": [{"name": "main", "readinessProbe": {
        "exec": {"command": ["check"]}, "periodSeconds": 1, "failureThreshold": 1,
    }}]})
}

const RUNNING: ContainerState = ContainerState::Running;

#[tokio::test]
async fn a_container_passes_fails_and_passes_again() {
    let scene = Scene::new();
    scene.ends_with("c1", 0);
    scene.demand(&[("p1", exec())]);
    scene.runs(&[("p1", &[("c1", RUNNING)])]);
    assert_eq!(scene.wait_for("c1", Verdict::Passes).await.message, "");
    scene.ends_with("c1", 7);
    assert_eq!(
        scene.wait_for("c1", Verdict::Fails).await.message,
        "readiness probe exec check ended with exit code 7"
    );
    scene.ends_with("c1", 0);
    scene.wait_for("c1", Verdict::Passes).await;
    scene.stop.cancel();
    timeout(PATIENCE, scene.task).await.unwrap().unwrap();
}

#[tokio::test]
async fn only_running_containers_of_demanded_pods_are_probed() {
    let scene = Scene::new();
    for id in ["c1", "c2", "c3", "c4"] {
        scene.ends_with(id, 0);
    }
    let plain = json!({"containers": [{"name": "main"}]});
    scene.demand(&[("p1", exec()), ("p2", exec()), ("p3", plain)]);
    scene.runs(&[
        ("p1", &[("c1", RUNNING), ("gone", ContainerState::Exited)]),
        ("p2", &[("c2", ContainerState::Created)]),
        ("p3", &[("c3", RUNNING)]),
        ("of-an-earlier-revision", &[("c4", RUNNING)]),
    ]);
    let readiness = scene.wait(|it| !it.is_empty()).await;
    assert_eq!(readiness.keys().collect::<Vec<_>>(), ["c1"]);
    scene.wait_for("c1", Verdict::Passes).await;

    // It is started again: all begins anew.
    scene.runs(&[(
        "p1",
        &[("c1-again", RUNNING), ("c1", ContainerState::Exited)],
    )]);
    let readiness = scene.wait(|it| it.contains_key("c1-again")).await;
    assert_eq!(readiness.len(), 1);
    assert_eq!(readiness["c1-again"].readiness, Some(Verdict::Pending));

    // The pod is no longer demanded, while it still runs.
    scene.demand(&[]);
    scene.wait(Readiness::is_empty).await;
}

#[tokio::test]
async fn a_probe_that_hangs_holds_up_nobody_and_ends_with_its_container() {
    let scene = Scene::new();
    scene.ends_with("good", 0);
    scene.demand(&[("p1", exec()), ("p2", exec())]);
    scene.runs(&[("p1", &[("hangs", RUNNING)]), ("p2", &[("good", RUNNING)])]);
    scene.wait_for("good", Verdict::Passes).await;
    scene.ends_with("good", 1);
    scene.wait_for("good", Verdict::Fails).await;
    let hanging = &scene.runtime.hanging;
    assert_eq!(hanging.load(Ordering::Relaxed), 1);
    assert_eq!(
        scene.readiness.borrow()["hangs"].readiness,
        Some(Verdict::Pending)
    );
    scene.runs(&[("p2", &[("good", RUNNING)])]);
    scene.wait(|it| !it.contains_key("hangs")).await;
    timeout(PATIENCE, async {
        while hanging.load(Ordering::Relaxed) != 0 {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("the program is called off");
}

#[tokio::test]
async fn no_more_than_the_bound_run_at_a_time() {
    let scene = Scene::new();
    let uids: Vec<String> = (0..AT_ONCE + 10).map(|index| format!("p{index}")).collect();
    let pods: Vec<_> = uids.iter().map(|uid| (uid.as_str(), exec())).collect();
    scene.demand(&pods);
    let ids: Vec<[(&str, ContainerState); 1]> =
        uids.iter().map(|uid| [(uid.as_str(), RUNNING)]).collect();
    let running: Vec<(&str, &[(&str, ContainerState)])> = uids
        .iter()
        .zip(&ids)
        .map(|(uid, containers)| (uid.as_str(), containers.as_slice()))
        .collect();
    scene.runs(&running);
    let asked = || scene.runtime.asked.lock().unwrap().len();
    timeout(PATIENCE, async {
        while asked() < AT_ONCE {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("as many as may");
    // The task has seen this, too, and has started no other one.
    scene.demand(&[]);
    scene.wait(Readiness::is_empty).await;
    assert_eq!(asked(), AT_ONCE);
}

#[tokio::test]
async fn a_runtime_that_does_not_answer_leaves_the_verdicts_and_network_probes_go_on() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let scene = Scene::new();
    let spec = json!({"containers": [{"name": "main", "readinessProbe": {
        "tcpSocket": {"port": port}, "periodSeconds": 1, "failureThreshold": 1,
    }}]});
    scene.demand(&[("p1", spec)]);
    scene.runs(&[("p1", &[("c1", RUNNING)])]);
    scene.wait_for("c1", Verdict::Passes).await;
    scene.see(Observation::Away {
        cause: "away".to_owned(),
        since: Timestamp::now(),
    });
    drop(listener);
    assert_eq!(
        scene.wait_for("c1", Verdict::Fails).await.message,
        format!("readiness probe tcp 127.0.0.1:{port} failed: connection refused")
    );
    scene.demand(&[]);
    scene.wait(Readiness::is_empty).await;
}

#[tokio::test]
async fn nothing_is_published_when_nothing_changes() {
    let scene = Scene::new();
    scene.ends_with("c1", 1);
    scene.demand(&[("p1", exec())]);
    scene.runs(&[("p1", &[("c1", RUNNING)])]);
    scene.wait_for("c1", Verdict::Fails).await;
    let mut readiness = scene.readiness.clone();
    readiness.mark_unchanged();
    let asked = || scene.runtime.asked.lock().unwrap().len();
    let before = asked();
    timeout(PATIENCE, async {
        while asked() < before + 3 {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("it goes on");
    assert!(!readiness.has_changed().unwrap());
}

#[tokio::test]
async fn readiness_comes_after_startup() {
    let scene = Scene::new();
    scene.ends_with("c1", 1);
    let probe = |command: &str| json!({"exec": {"command": [command]}, "periodSeconds": 1, "failureThreshold": 100});
    let spec = json!({"containers": [{
        "name": "main", "startupProbe": probe("start"), "readinessProbe": probe("ready"),
    }]});
    scene.demand(&[("p1", spec)]);
    scene.runs(&[("p1", &[("c1", RUNNING)])]);
    let fails = |it: &Readiness| {
        it.get("c1")
            .is_some_and(|it| it.startup == Some(Verdict::Fails))
    };
    let readiness = scene.wait(fails).await;
    assert_eq!(readiness["c1"].readiness, Some(Verdict::Pending));
    assert_eq!(
        readiness["c1"].message,
        "startup probe exec start ended with exit code 1"
    );
    scene.ends_with("c1", 0);
    let probed = scene.wait_for("c1", Verdict::Passes).await;
    assert_eq!(probed.startup, Some(Verdict::Passes));
    let asked = scene.runtime.asked.lock().unwrap().clone();
    let first_ready = asked.iter().position(|it| it == "c1 ready").unwrap();
    assert!(asked[..first_ready].iter().all(|it| it == "c1 start"));
    assert!(asked[first_ready..].iter().all(|it| it == "c1 ready"));
}

#[tokio::test]
async fn pods_in_the_hosts_network_are_reached_where_the_kubelet_says() {
    let scene = Scene::new();
    let place = Place::Host {
        uid: "kubelet-p1".to_owned(),
    };
    let view = |ip: &str| {
        let pod = KubeletPod {
            phase: "Running".to_owned(),
            reason: String::new(),
            message: String::new(),
            ip: ip.to_owned(),
            waiting: Vec::new(),
        };
        KubeletView {
            sync: Sync::Synced,
            pods: [("kubelet-p1".to_owned(), pod)].into(),
        }
    };
    let node: IpAddr = "10.0.0.9".parse().unwrap();
    for (view, node_ip, expected) in [
        (view("10.0.0.1"), Some(node), "10.0.0.1"),
        (view(""), Some(node), "10.0.0.9"),
        (KubeletView::default(), Some(node), "10.0.0.9"),
    ] {
        assert_eq!(place.host(&view, node_ip).as_deref(), Some(expected));
    }
    // Whatever this machine has: an address that a socket can be bound to.
    let routed = place.host(&KubeletView::default(), None).unwrap();
    let ip: IpAddr = routed.parse().unwrap();
    assert!(!ip.is_unspecified());
    UdpSocket::bind((ip, 0)).unwrap();

    // And the task uses it.
    let listener = TcpListener::bind(("127.0.0.2", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let spec = json!({"hostNetwork": true, "containers": [{"name": "main", "readinessProbe": {
        "tcpSocket": {"port": port}, "periodSeconds": 1,
    }}]});
    scene.kubelet.send_replace(Arc::new(view("127.0.0.2")));
    scene.demand(&[("p1", spec)]);
    scene.runs(&[("p1", &[("c1", RUNNING)])]);
    scene.wait_for("c1", Verdict::Passes).await;
}

#[test]
fn a_container_begins_when_the_runtime_says() {
    let container = |started_at| Container {
        id: "c".to_owned(),
        name: "main".to_owned(),
        attempt: 0,
        state: RUNNING,
        image: String::new(),
        details: Some(ContainerDetails {
            exit_code: 0,
            reason: String::new(),
            message: String::new(),
            started_at,
            finished_at: None,
            image_id: String::new(),
            log_path: String::new(),
        }),
        last_termination: None,
    };
    let ago = |seconds| Some(Timestamp::now() - jiff::SignedDuration::from_secs(seconds));
    let age = |at| start(&container(at)).at.elapsed();
    let second = Duration::from_secs(1);
    assert!((9 * second..20 * second).contains(&age(ago(10))));
    // A clock that was set back does not put the first probe off.
    assert!(age(ago(-1000)) < 5 * second);
    assert!(age(None) < 5 * second);
}
