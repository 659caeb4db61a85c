//! The failures, in the order in which they are gone through.

use std::time::Duration;

use seedpod_client::{HandoffDeadlines, HandoffState};
use seedpod_integration::images;

use super::meddling::{self, HANGING_PORT, abort_in, freeze_scheduler, kill_api_server};
use super::{Case, NO_DEADLINES, NONE};

const fn ready(seconds: u64) -> HandoffDeadlines {
    HandoffDeadlines {
        ready: Some(Duration::from_secs(seconds)),
        ..NO_DEADLINES
    }
}

pub(super) const CASES: &[Case] = &[
    Case {
        name: "an API server with a bad flag",
        daily: true,
        change: |text| of_api_server(text, "--secure-port=6443", "--secure-port=no-number"),
        deadlines: ready(15),
        reasons: &["POD_NOT_READY"],
        says: "kube-system/kube-apiserver-",
        ..NONE
    },
    Case {
        name: "an image that is not there",
        change: |text| of_api_server(text, images::KUBE_APISERVER, "rig.local/absent:1"),
        deadlines: ready(15),
        reasons: &["POD_NOT_READY"],
        says: "ErrImageNeverPull",
        ..NONE
    },
    Case {
        name: "a Secret that is not there",
        change: |text| of_api_server(text, "secretName: kube-apiserver", "secretName: absent"),
        deadlines: ready(15),
        reasons: &["POD_NOT_READY"],
        says: "kube-system/kube-apiserver-",
        ..NONE
    },
    Case {
        name: "an etcd that takes connections and never answers",
        change: |text| of_api_server(text, ":2379\n", &format!(":{HANGING_PORT}\n")),
        deadlines: ready(45),
        reasons: &["POD_NOT_READY"],
        says: "kube-system/kube-apiserver-",
        ..NONE
    },
    Case {
        name: "an API server that gets Ready and is ended 5 s later",
        change: |text| of_api_server(text, LIVENESS, MORTALITY),
        deadlines: ready(40),
        stable_for: Duration::from_secs(10),
        reasons: &["POD_NOT_READY", "API_SERVER_NOT_SERVING"],
        says: "kube-apiserver",
        ..NONE
    },
    Case {
        name: "an API server that gets Ready and crashes 5 s later",
        deadlines: ready(40),
        stable_for: Duration::from_secs(10),
        meddle: meddling::kill_each_api_server,
        reasons: &["POD_NOT_READY", "API_SERVER_NOT_SERVING"],
        ..NONE
    },
    Case {
        name: "a controller manager that never takes the lease",
        change: |text| {
            if !text.contains("name: kube-controller-manager\n") {
                return text;
            }
            let more = "            - --leader-elect-resource-namespace=absent\n";
            text.replace(LEADER_ELECT, &format!("{LEADER_ELECT}{more}"))
        },
        deadlines: HandoffDeadlines {
            drain: Some(Duration::from_secs(25)),
            ..NO_DEADLINES
        },
        state: HandoffState::Draining,
        reasons: &["LEASE_NOT_TAKEN"],
        says: "kube-controller-manager",
        ..NONE
    },
    Case {
        name: "an object that the API server refuses",
        change: |text| of_api_server(text, "maxSurge: 1", "maxSurge: -1"),
        state: HandoffState::Applying,
        reasons: &["OBJECT_REFUSED"],
        says: "maxSurge",
        ..NONE
    },
    Case {
        name: "the time to apply is over: a webhook that nobody answers",
        prepare: meddling::refuse_daemon_sets,
        undo: meddling::let_daemon_sets_in,
        deadlines: HandoffDeadlines {
            apply: Some(Duration::from_secs(10)),
            ..NO_DEADLINES
        },
        state: HandoffState::Applying,
        reasons: &["APPLY_FAILED"],
        says: "DaemonSet kube-apiserver",
        ..NONE
    },
    Case {
        name: "the time for the kubelet is over: it is dead",
        deadlines: HandoffDeadlines {
            kubelet: Some(Duration::from_secs(5)),
            ..NO_DEADLINES
        },
        meddle: |cluster| meddling::without_kubelet(cluster, |_| {}),
        state: HandoffState::WaitingForKubelet,
        reasons: &["KUBELET_NOT_SYNCED"],
        ..NONE
    },
    Case {
        name: "the time to drain is over: the kubelet hangs",
        deadlines: HandoffDeadlines {
            drain: Some(Duration::from_secs(8)),
            ..NO_DEADLINES
        },
        meddle: |cluster| meddling::freeze_kubelet_in(cluster, HandoffState::Draining),
        state: HandoffState::Draining,
        reasons: &["POD_NOT_STOPPED"],
        ..NONE
    },
    Case {
        name: "the time to hand over is over: the kubelet hangs",
        deadlines: HandoffDeadlines {
            hand_over: Some(Duration::from_secs(10)),
            ..NO_DEADLINES
        },
        meddle: |cluster| meddling::freeze_kubelet_in(cluster, HandoffState::HandingOver),
        state: HandoffState::HandingOver,
        reasons: &["POD_NOT_STOPPED"],
        says: "kube-apiserver",
        ..NONE
    },
    Case {
        name: "the time to verify is over: the scheduler hangs",
        deadlines: HandoffDeadlines {
            verify: Some(Duration::from_secs(8)),
            ..NO_DEADLINES
        },
        meddle: freeze_scheduler,
        state: HandoffState::Verifying,
        reasons: &["LEASE_NOT_TAKEN"],
        says: "kube-scheduler",
        ..NONE
    },
    Case {
        name: "an API server that crashes when it is alone",
        meddle: |cluster| {
            meddling::reached(cluster, HandoffState::Verifying);
            kill_api_server(cluster);
        },
        state: HandoffState::Verifying,
        reasons: &["VERIFICATION_FAILED"],
        says: "the self-hosted API server does not serve",
        loses: true,
        ..NONE
    },
    Case {
        name: "aborted when applying",
        prepare: meddling::refuse_daemon_sets,
        undo: meddling::let_daemon_sets_in,
        meddle: |cluster| abort_in(cluster, HandoffState::Applying),
        state: HandoffState::Applying,
        ..ABORTED
    },
    Case {
        name: "aborted when waiting for the pods",
        meddle: |cluster| abort_in(cluster, HandoffState::WaitingForReady),
        state: HandoffState::WaitingForReady,
        ..ABORTED
    },
    Case {
        name: "aborted when waiting for the kubelet",
        meddle: |cluster| {
            meddling::without_kubelet(cluster, |cluster| {
                abort_in(cluster, HandoffState::WaitingForKubelet);
            });
        },
        state: HandoffState::WaitingForKubelet,
        ..ABORTED
    },
    Case {
        name: "aborted when draining",
        meddle: |cluster| abort_in(cluster, HandoffState::Draining),
        state: HandoffState::Draining,
        ..ABORTED
    },
    Case {
        name: "aborted when handing over, before the injected API server stops",
        meddle: |cluster| abort_in(cluster, HandoffState::HandingOver),
        state: HandoffState::HandingOver,
        ..ABORTED
    },
    Case {
        name: "aborted when handing over, while the injected API server stops",
        daily: true,
        meddle: meddling::abort_at_the_last_moment,
        state: HandoffState::HandingOver,
        ..ABORTED
    },
    Case {
        name: "aborted when verifying",
        meddle: |cluster| abort_in(cluster, HandoffState::Verifying),
        state: HandoffState::Verifying,
        ..ABORTED
    },
];

const ABORTED: Case = Case {
    reasons: &["ABORTED"],
    says: "AbortHandoff",
    ..NONE
};

const LEADER_ELECT: &str = "            - --leader-elect=true\n";

/// The API server's liveness probe as it is rendered, to where it says what is asked.
const LIVENESS: &str = "          livenessProbe:
            failureThreshold: 8
            httpGet:
              host: localhost
              path: /livez
              port: 6443
              scheme: HTTPS
            periodSeconds: 10
";

/// One that fails from the start on, and that the kubelet believes after 5 s.
const MORTALITY: &str = "          livenessProbe:
            failureThreshold: 5
            httpGet:
              host: localhost
              path: /absent
              port: 6443
              scheme: HTTPS
            periodSeconds: 1
";

/// Changes the manifest of the API server's DaemonSet, and no other.
fn of_api_server(text: String, from: &str, to: &str) -> String {
    if !text.contains("kind: DaemonSet") {
        return text;
    }
    assert!(text.contains(from), "there is no {from:?} in {text}");
    text.replace(from, to)
}
