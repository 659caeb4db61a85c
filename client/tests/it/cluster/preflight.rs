//! Every fault that the preflight knows, on a played node.

use std::time::{Duration, SystemTime};

use seedpod_client::cluster::{Finding, Preflight, Severity, UpError};
use seedpod_proto::v1;

use super::{Scene, world::Node};

/// What the preflight finds after something was done to node `b`.
async fn found(lines: &str, change: impl FnOnce(&mut Node)) -> Preflight {
    let scene = Scene::with(&["a", "b"], lines);
    change(scene.world.state().nodes.get_mut("b").expect("a node"));
    match scene.installer().preflight().await {
        Ok(preflight) => preflight,
        Err(UpError::Preflight(preflight)) => *preflight,
        Err(error) => panic!("{error}"),
    }
}

/// The one finding, which is about node `b`.
async fn one(severity: Severity, check: &str, change: impl FnOnce(&mut Node)) -> Finding {
    one_with("", severity, check, change).await
}

async fn one_with(
    lines: &str,
    severity: Severity,
    check: &str,
    change: impl FnOnce(&mut Node),
) -> Finding {
    let preflight = found(lines, change).await;
    let [finding] = preflight.findings.as_slice() else {
        panic!("{check}: {:?}", preflight.findings);
    };
    assert_eq!(finding.check, check, "{finding}");
    assert_eq!(finding.severity, severity, "{finding}");
    assert_eq!(finding.node.as_deref(), Some("b"), "{finding}");
    assert!(!finding.message.is_empty() && !finding.remedy.is_empty());
    finding.clone()
}

#[tokio::test]
async fn nodes_that_are_well_have_no_findings() {
    let preflight = found("", |_| {}).await;
    assert!(preflight.findings.is_empty(), "{:?}", preflight.findings);
    assert_eq!(preflight.nodes.len(), 2);
    assert_eq!(preflight.nodes[1].kubelet_version, "v1.37.2");
}

#[tokio::test]
async fn each_fault_of_a_node_is_found() {
    let fault = Severity::Fault;
    one(fault, "NodeName", |node| node.says.name = "c".to_owned()).await;
    one(fault, "KubeletVersion", |node| {
        node.check.kubelet_version = "v1.38.0".to_owned();
    })
    .await;
    one(fault, "KubeletVersion", |node| {
        node.check.kubelet_version = "v1.33.0".to_owned();
    })
    .await;
    one(fault, "ContainerRuntime", |node| {
        runtime(node, v1::container_runtime::State::Unreachable);
    })
    .await;
    one(fault, "ContainerRuntime", |node| {
        runtime(node, v1::container_runtime::State::NotConfigured);
    })
    .await;
    one(fault, "Kubelet", |node| {
        let kubelet = node.says.kubelet.as_mut().expect("a kubelet");
        kubelet.set_state(v1::kubelet::State::NotSeen);
    })
    .await;
    one(fault, "KubeletConfiguration", |node| {
        node.check.kubelet_configurable = false;
    })
    .await;
    one(fault, "Mem", |node| node.check.memory_bytes = 512 << 20).await;
    one(fault, "Address", |node| {
        node.check.addresses = vec!["198.51.100.7".to_owned()];
    })
    .await;
    let taken = one(fault, "Port-6443", |node| {
        node.check.ports = vec![v1::PortCheck {
            port: 6443,
            free: false,
            pod: None,
            holder: "haproxy (pid 812)".to_owned(),
        }];
    })
    .await;
    assert!(taken.message.contains("haproxy (pid 812)"), "{taken}");
    one(fault, "DirAvailable-var-lib-etcd", |node| {
        path(node, 64 << 30, true);
    })
    .await;
    one(fault, "Disk", |node| path(node, 100 << 20, false)).await;
    one(fault, "Role", |node| {
        let refusal = crate::fake::refusal(
            tonic::Code::PermissionDenied,
            "PERMISSION_DENIED",
            "not for injectors",
        );
        node.refuses.insert("ConfigureKubelet", refusal);
    })
    .await;
    one(fault, "SeedpodVersion", |node| {
        let refusal = tonic::Status::unimplemented("CheckNode");
        node.refuses.insert("CheckNode", refusal);
    })
    .await;
    let missing = "images: {pullPolicy: Never}\n";
    one_with(missing, fault, "Image", |node| image(node, "")).await;
}

#[tokio::test]
async fn each_warning_is_found_and_stops_nothing() {
    let warning = Severity::Warning;
    one(warning, "SeedpodVersion", |node| {
        node.says.seedpod_version = "0.0.1".to_owned();
    })
    .await;
    one(warning, "KubeletVersion", |node| {
        node.check.kubelet_version.clear();
    })
    .await;
    one(warning, "CgroupVersion", |node| {
        node.check.cgroup_version = 1;
    })
    .await;
    one(warning, "Mem", |node| node.check.memory_bytes = 1200 << 20).await;
    one(warning, "NumCPU", |node| node.check.cpu_count = 1).await;
    one(warning, "Disk", |node| path(node, 1 << 30, false)).await;
    one(warning, "Image", |node| image(node, "")).await;
    let missing = "images: {pullPolicy: Never}\n";
    one_with(missing, warning, "Image", |node| {
        image(node, "the runtime hangs");
    })
    .await;
    let steering = one(warning, "Steering", |node| {
        node.check.steering = Some(v1::Steering {
            mode: v1::steering::Mode::None.into(),
            message: "not allowed".to_owned(),
        });
    })
    .await;
    assert!(steering.message.contains("not allowed"), "{steering}");
    one(warning, "SecretEncryption", |node| {
        let objects = node.says.objects.as_mut().expect("objects");
        objects.encrypted = false;
    })
    .await;
    one(warning, "NodeProblem", |node| {
        node.says.problems = vec![v1::Problem {
            reason: "DISK_FULL".to_owned(),
            message: "the disk is full".to_owned(),
        }];
    })
    .await;
}

#[tokio::test]
async fn clocks_are_held_against_ours_and_against_each_other() {
    let clock = |seconds: u64| {
        move |node: &mut Node| {
            let time = SystemTime::now() + Duration::from_secs(seconds);
            node.check.time = Some(time.into());
        }
    };
    let preflight = found("", clock(3)).await;
    let [skew] = preflight.findings.as_slice() else {
        panic!("{:?}", preflight.findings);
    };
    assert_eq!(
        (skew.check.as_str(), skew.severity),
        ("ClockSkew", Severity::Warning)
    );
    assert!(skew.message.contains("node b") && skew.message.contains("node a"));
    let checks = |preflight: &Preflight| {
        let faults = preflight.faults();
        faults.map(|fault| fault.check.clone()).collect::<Vec<_>>()
    };
    assert_eq!(checks(&found("", clock(8)).await), ["ClockSkew"]);
    assert_eq!(checks(&found("", clock(60)).await), ["Clock", "ClockSkew"]);
}

#[tokio::test]
async fn all_faults_of_all_nodes_come_at_once_and_nothing_is_changed() {
    let scene = Scene::new(&["a", "b"]);
    {
        let mut state = scene.world.state();
        let a = state.nodes.get_mut("a").expect("a node");
        a.check.kubelet_configurable = false;
        a.check.memory_bytes = 1;
        let b = state.nodes.get_mut("b").expect("a node");
        b.says.name = "other".to_owned();
    }
    let error = scene.up().await.expect_err("faults");
    let text = error.to_string();
    assert!(text.contains("3 faults, nothing was changed"), "{text}");
    for part in [
        "node a: seedpodd may not configure its kubelet [KubeletConfiguration]:",
        "[Mem]",
        "node b: the node calls itself \"other\" [NodeName]:",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert!(scene.calls("InjectPods").is_empty());
}

#[tokio::test]
async fn faults_that_are_to_be_ignored_are_warnings() {
    let scene = Scene::new(&["a"]);
    {
        let mut state = scene.world.state();
        let a = state.nodes.get_mut("a").expect("a node");
        a.check.memory_bytes = 1;
        a.check.kubelet_configurable = false;
    }
    let some = scene.installer().ignore_preflight_errors(["mem"]);
    let Err(UpError::Preflight(preflight)) = some.preflight().await else {
        panic!("one fault is left");
    };
    assert_eq!(preflight.faults().count(), 1);
    assert_eq!(preflight.warnings().count(), 1);
    let all = scene.installer().ignore_preflight_errors(["all"]);
    let preflight = all.preflight().await.expect("all are ignored");
    assert_eq!(preflight.warnings().count(), 2);
}

#[tokio::test]
async fn what_a_node_does_not_need_is_not_asked_for() {
    let scene = Scene::new(&["a", "w"]);
    scene.installer().preflight().await.expect("all is well");
    let state = scene.world.state();
    let asked = |name: &str| state.nodes[name].checked[0].clone();
    let (a, w) = (asked("a"), asked("w"));
    assert_eq!(a.ports, [2379, 2380, 2381, 6443, 10257, 10259]);
    assert_eq!((a.images.len(), a.paths.len()), (4, 1));
    assert!(w.ports.is_empty() && w.images.is_empty() && w.paths.is_empty());
}

#[tokio::test]
async fn nodes_that_are_not_there_are_all_told() {
    let scene = Scene::new(&["a", "b"]);
    for name in ["a", "b"] {
        std::fs::remove_file(scene.folder.path().join(format!("{name}.sock"))).expect("removed");
    }
    let Err(UpError::Preflight(preflight)) = scene.installer().preflight().await else {
        panic!("nobody is there");
    };
    let checks: Vec<&str> = preflight.faults().map(|it| it.check.as_str()).collect();
    assert_eq!(checks, ["Reachable", "Reachable"]);
}

fn runtime(node: &mut Node, state: v1::container_runtime::State) {
    let runtime = node.says.container_runtime.as_mut().expect("a runtime");
    runtime.set_state(state);
}

fn path(node: &mut Node, free_bytes: u64, in_use: bool) {
    node.check.paths = vec![v1::PathCheck {
        path: "/var/lib/etcd".to_owned(),
        free_bytes,
        in_use,
    }];
}

fn image(node: &mut Node, message: &str) {
    node.check.images = vec![v1::ImageCheck {
        image: "registry.k8s.io/etcd:3.6.4-0".to_owned(),
        present: false,
        message: message.to_owned(),
    }];
}
