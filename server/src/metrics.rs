//! Prometheus metrics.

mod handled;

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicU64},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use jiff::Timestamp;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
        info::Info,
    },
    registry::Registry,
};

use self::handled::{HandledLabels, HandledLayer};

/// What `/metrics` answers with.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics of the daemon. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    registry: Registry,
    injections: Family<CodeLabel, Counter>,
    injection_duration: Histogram,
    projection_queue: Gauge,
    fsync_duration: Histogram,
    drift_repaired: Counter,
    nudges: Counter,
    pods: Family<StateLabel, Gauge>,
    handoff: Family<StateLabel, Gauge>,
    handled: Family<HandledLabels, Counter>,
    refused_connections: Counter,
    certificate_end: Gauge<f64, AtomicU64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabel {
    code: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: String,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        // The registry puts "_total" behind the names of counters.
        let injections = Family::default();
        registry.register(
            "seedpod_injections",
            "InjectPods calls by gRPC code",
            Family::clone(&injections),
        );
        let injection_duration = Histogram::new(exponential_buckets(0.0005, 2.0, 15));
        registry.register(
            "seedpod_injection_duration_seconds",
            "Time from an InjectPods call to its durable answer",
            injection_duration.clone(),
        );
        let projection_queue = Gauge::default();
        registry.register(
            "seedpod_projection_queue",
            "Pods that wait to be written to the static pod directory or to be confirmed",
            projection_queue.clone(),
        );
        let fsync_duration = Histogram::new(exponential_buckets(0.0001, 2.0, 15));
        registry.register(
            "seedpod_fsync_duration_seconds",
            "Time of one fsync of a file or directory",
            fsync_duration.clone(),
        );
        let drift_repaired = Counter::default();
        registry.register(
            "seedpod_drift_repaired",
            "Owned files that were found changed or gone and were put back",
            drift_repaired.clone(),
        );
        let nudges = Counter::default();
        registry.register(
            "seedpod_nudges",
            "Rewrites of a file that only make the kubelet try again",
            nudges.clone(),
        );
        let pods = Family::default();
        registry.register(
            "seedpod_pods",
            "Pods of all bundles by state",
            Family::clone(&pods),
        );
        let handoff = Family::default();
        registry.register(
            "seedpod_handoff",
            "1 for the state that the handoff of the node's control plane is in",
            Family::clone(&handoff),
        );
        let handled = Family::default();
        registry.register(
            "grpc_server_handled",
            "gRPC calls that have ended, by method and code",
            Family::clone(&handled),
        );
        let refused_connections = Counter::default();
        registry.register(
            "seedpod_refused_connections",
            "Connections to the gRPC sockets that were refused, for whatever reason",
            refused_connections.clone(),
        );
        let certificate_end = Gauge::default();
        registry.register(
            "seedpod_certificate_not_after_timestamp_seconds",
            "End of the server's certificate; 0 without TLS",
            certificate_end.clone(),
        );
        registry.register(
            "seedpod_build",
            "The version of seedpodd",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        let start = Gauge::<f64, AtomicU64>::default();
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        start.set(now.as_secs_f64());
        registry.register(
            "process_start_time_seconds",
            "When the daemon was started, in seconds since the epoch",
            start,
        );

        Self {
            inner: Arc::new(Inner {
                registry,
                injections,
                injection_duration,
                projection_queue,
                fsync_duration,
                drift_repaired,
                nudges,
                pods,
                handoff,
                handled,
                refused_connections,
                certificate_end,
            }),
        }
    }
}

impl Metrics {
    /// One InjectPods call: its gRPC code as text, and how long it took.
    pub(crate) fn observe_injection(&self, result: &str, took: Duration) {
        self.inner
            .injections
            .get_or_create(&CodeLabel {
                code: result.to_owned(),
            })
            .inc();
        self.inner.injection_duration.observe(took.as_secs_f64());
    }

    /// One fsync of a file or folder.
    pub(crate) fn observe_fsync(&self, took: Duration) {
        self.inner.fsync_duration.observe(took.as_secs_f64());
    }

    /// How many pods wait to be written or confirmed.
    pub(crate) fn set_projection_queue(&self, pods: usize) {
        self.inner
            .projection_queue
            .set(i64::try_from(pods).unwrap_or(i64::MAX));
    }

    /// An owned file was found changed or gone, and was repaired.
    pub(crate) fn count_drift(&self) {
        self.inner.drift_repaired.inc();
    }

    /// How often a file was rewritten to make the kubelet try again.
    pub(crate) fn count_nudge(&self) {
        self.inner.nudges.inc();
    }

    /// A connection was turned away before it could ask for anything.
    pub(crate) fn count_refused_connection(&self) {
        self.inner.refused_connections.inc();
    }

    /// When the server's certificate ends.
    pub(crate) fn set_certificate_end(&self, end: Option<Timestamp>) {
        let seconds = end.map_or(0.0, |end| end.as_duration().as_secs_f64());
        self.inner.certificate_end.set(seconds);
    }

    /// The state of the node's handoff; `None`: there is none.
    pub(crate) fn set_handoff(&self, state: Option<&str>) {
        self.inner.handoff.clear();
        if let Some(state) = state {
            let state = state.to_owned();
            self.inner
                .handoff
                .get_or_create(&StateLabel { state })
                .set(1);
        }
    }

    /// Counts every gRPC call that has ended.
    pub(crate) fn layer(&self) -> HandledLayer {
        HandledLayer::new(self.inner.handled.clone())
    }

    /// All metrics as text. `pods` are counted by the caller, since only asking tells what runs; `None`: not known.
    pub(crate) fn encode(&self, pods: Option<&BTreeMap<&'static str, u64>>) -> String {
        // Not known is better shown as no number than as an old one.
        self.inner.pods.clear();
        for (state, count) in pods.into_iter().flatten() {
            let gauge = self.inner.pods.get_or_create(&StateLabel {
                state: (*state).to_owned(),
            });
            gauge.set(i64::try_from(*count).unwrap_or(i64::MAX));
        }
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.inner.registry);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_observed_is_in_the_text() {
        let metrics = Metrics::default();
        metrics.observe_injection("OK", Duration::from_millis(3));
        metrics.observe_fsync(Duration::from_micros(300));
        metrics.set_projection_queue(4);
        metrics.count_drift();
        metrics.count_nudge();
        metrics.count_refused_connection();
        metrics.set_certificate_end(Some("2030-01-01T00:00:00Z".parse().unwrap()));
        let text = metrics.encode(Some(&BTreeMap::from([("RUNNING", 7), ("FAILED", 1)])));

        for line in [
            "seedpod_injections_total{code=\"OK\"} 1",
            "seedpod_injection_duration_seconds_count 1",
            "seedpod_injection_duration_seconds_bucket{le=\"0.004\"} 1",
            "seedpod_injection_duration_seconds_bucket{le=\"0.002\"} 0",
            "seedpod_fsync_duration_seconds_count 1",
            "seedpod_projection_queue 4",
            "seedpod_drift_repaired_total 1",
            "seedpod_nudges_total 1",
            "seedpod_refused_connections_total 1",
            "seedpod_certificate_not_after_timestamp_seconds 1893456000.0",
            "seedpod_pods{state=\"RUNNING\"} 7",
            "seedpod_pods{state=\"FAILED\"} 1",
            concat!(
                "seedpod_build_info{version=\"",
                env!("CARGO_PKG_VERSION"),
                "\"} 1"
            ),
            "# EOF",
        ] {
            assert!(
                text.lines().any(|l| l == line),
                "{line:?} is not in\n{text}"
            );
        }
        assert!(text.contains("\nprocess_start_time_seconds 1"), "{text}");
    }

    #[test]
    fn a_state_that_no_pod_is_in_any_more_is_not_shown_with_its_old_count() {
        let metrics = Metrics::default();
        metrics.encode(Some(&BTreeMap::from([("RUNNING", 7)])));
        assert!(!metrics.encode(None).contains("seedpod_pods{"));
    }
}
