//! What is wrong with nodes as they were seen. Asks nobody.

use super::{
    Finding, Severity,
    look::{Look, Seen},
};
use crate::{
    KubeletState, KubeletSync, RuntimeState,
    cluster::{ETCD_BUNDLE, Loaded, NodeConfiguration, Version, check_skew, up::nodes},
};

/// By how many seconds a clock may differ from ours: certificates and tokens have begun to be valid by then.
const OURS: f64 = 10.0;
/// By how many seconds clocks may differ among each other, before leases and etcd suffer.
const EACH_OTHER: f64 = 5.0;
/// From where on etcd complains.
const EACH_OTHER_WELL: f64 = 1.0;

/// What kubeadm asks for, too.
const MEMORY: u64 = 1700 << 20;
const CPUS: u32 = 2;
/// Less than this, and an API server, a controller manager, a scheduler and etcd do not run at all.
const LEAST_MEMORY: u64 = 900 << 20;

/// etcd's own limit, and a little to turn around in.
const DISK: u64 = 3 << 30;
const LEAST_DISK: u64 = 512 << 20;

/// Everything that is wrong, node by node.
pub(super) fn all(loaded: &Loaded, looks: &[Look<'_>]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for look in looks {
        let mut judge = Judge {
            loaded,
            node: look.node,
            findings: &mut findings,
        };
        match &look.seen {
            Ok(seen) => judge.node(seen),
            Err(unseen) => judge.fault(unseen.check, unseen.message.clone(), unseen.remedy),
        }
        judge.configured();
    }
    findings.extend(clocks(looks));
    findings
}

/// Whether the clocks agree.
fn clocks(looks: &[Look<'_>]) -> Option<Finding> {
    let seen = looks.iter().filter_map(|look| {
        let ahead = look.seen.as_ref().ok()?.ahead?;
        Some((ahead, look.node.name.as_str()))
    });
    let mut seen: Vec<(f64, &str)> = seen.collect();
    seen.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (first, last) = (seen.first()?, seen.last()?);
    let apart = last.0 - first.0;
    (apart > EACH_OTHER_WELL).then(|| Finding {
        node: None,
        check: "ClockSkew".to_owned(),
        severity: if apart > EACH_OTHER {
            Severity::Fault
        } else {
            Severity::Warning
        },
        message: format!(
            "the clock of node {} is {apart:.1} s before that of node {}",
            last.1, first.1
        ),
        remedy: "have all nodes follow the same time servers".to_owned(),
    })
}

struct Judge<'a> {
    loaded: &'a Loaded,
    node: &'a NodeConfiguration,
    findings: &'a mut Vec<Finding>,
}

impl Judge<'_> {
    fn fault(&mut self, check: &str, message: String, remedy: impl Into<String>) {
        self.find(Severity::Fault, check, message, remedy.into());
    }

    fn warning(&mut self, check: &str, message: String, remedy: impl Into<String>) {
        self.find(Severity::Warning, check, message, remedy.into());
    }

    fn find(&mut self, severity: Severity, check: &str, message: String, remedy: String) {
        self.findings.push(Finding {
            node: Some(self.node.name.clone()),
            check: check.to_owned(),
            severity,
            message,
            remedy,
        });
    }

    /// What the configuration alone shows.
    fn configured(&mut self) {
        for taint in &self.node.taints {
            if let Err(message) = nodes::Taint::parse(taint) {
                self.fault("Taints", message, "write KEY=VALUE:EFFECT or KEY:EFFECT");
            }
        }
    }

    fn node(&mut self, seen: &Seen) {
        self.identity(seen);
        self.versions(seen);
        self.clock(seen);
        self.runtime(seen);
        self.kubelet(seen);
        self.ports(seen);
        self.images(seen);
        self.machine(seen);
        self.disk(seen);
        self.daemon(seen);
    }

    fn identity(&mut self, seen: &Seen) {
        if seen.node.name != self.node.name {
            let message = format!("the node calls itself {:?}", seen.node.name);
            self.fault(
                "NodeName",
                message,
                "write its name, or the endpoint of the node that is meant",
            );
        }
        let address = self.node.address.to_string();
        if !seen.check.addresses.is_empty() && !seen.check.addresses.contains(&address) {
            let message = format!(
                "{address} is no address of the node, which has {}",
                seen.check.addresses.join(", ")
            );
            self.fault("Address", message, "write one that it has as its address");
        }
        if let Some(refusal) = &seen.not_admin {
            self.fault(
                "Role",
                format!("we may not configure its kubelet: {refusal}"),
                "use a certificate with the role seedpod:admin (`seedpod pki issue --role admin`)",
            );
        }
    }

    fn versions(&mut self, seen: &Seen) {
        let ours = env!("CARGO_PKG_VERSION");
        if seen.node.seedpod_version != ours {
            let message = format!(
                "seedpodd has version {}, this side {ours}",
                seen.node.seedpod_version
            );
            self.warning("SeedpodVersion", message, "use the same version on both");
        }
        let given = &seen.check.kubelet_version;
        let Ok(kubelet) = given.parse::<Version>() else {
            let message = "the version of its kubelet cannot be told".to_owned();
            self.warning(
                "KubeletVersion",
                message,
                "see that it is no newer than the control plane, and at most three minor versions older",
            );
            return;
        };
        if let Err(error) = check_skew(&self.loaded.version, &kubelet) {
            self.fault(
                "KubeletVersion",
                error.to_string(),
                "change the one or the other",
            );
        }
    }

    fn clock(&mut self, seen: &Seen) {
        let Some(ahead) = seen.ahead.filter(|ahead| ahead.abs() > OURS) else {
            return;
        };
        let word = if ahead > 0.0 { "before" } else { "behind" };
        let message = format!("its clock is {:.0} s {word} ours", ahead.abs());
        self.fault(
            "Clock",
            message,
            "set the clocks: what is rendered here is valid by this one",
        );
    }

    fn runtime(&mut self, seen: &Seen) {
        let runtime = &seen.node.container_runtime;
        match runtime.state {
            RuntimeState::Connected => {}
            RuntimeState::NotConfigured => self.fault(
                "ContainerRuntime",
                "seedpodd does not know its container runtime".to_owned(),
                "set containerRuntimeEndpoint in the configuration of seedpodd",
            ),
            _ => {
                let message = format!(
                    "the container runtime at {} does not answer",
                    runtime.endpoint
                );
                self.fault("ContainerRuntime", message, "start it");
            }
        }
    }

    fn kubelet(&mut self, seen: &Seen) {
        let kubelet = &seen.node.kubelet;
        if kubelet.state != KubeletState::Seen || kubelet.sync == KubeletSync::Down {
            let message = format!("no kubelet answers below {}", kubelet.root_directory);
            self.fault(
                "Kubelet",
                message,
                "start it, with the static pod directory of seedpodd; see kubeletRootDirectory",
            );
        }
        let settings = &self.loaded.configuration.kubelet;
        if settings.configure != Some(false) && !seen.check.kubelet_configurable {
            self.fault(
                "KubeletConfiguration",
                "seedpodd may not configure its kubelet".to_owned(),
                "set kubelet.kubeconfigFile and kubeletRestart in the configuration of seedpodd, or \
                 kubelet.configure: false here and give the kubelet what was rendered",
            );
        }
    }

    fn ports(&mut self, seen: &Seen) {
        for port in &seen.check.ports {
            // Once it has handed over, the self-hosted control plane has the ports.
            if port.free || port.pod.is_some() || seen.has_handoff {
                continue;
            }
            let holder = if port.holder.is_empty() {
                "something".to_owned()
            } else {
                port.holder.clone()
            };
            self.fault(
                &format!("Port-{}", port.port),
                format!("port {} is taken by {holder}", port.port),
                "stop what listens there, or give the component another port",
            );
        }
    }

    fn images(&mut self, seen: &Seen) {
        let policy = self.loaded.configuration.images.pull_policy.as_str();
        for image in seen.check.images.iter().filter(|image| !image.present) {
            let name = &image.image;
            if !image.message.is_empty() {
                let message = format!(
                    "whether image {name} is there cannot be told: {}",
                    image.message
                );
                self.warning("Image", message, "see that it is, or can be pulled");
            } else if policy == "Never" {
                self.fault(
                    "Image",
                    format!("image {name} is not there, and may not be pulled"),
                    "import it into the container runtime, or set images.pullPolicy",
                );
            } else {
                self.warning(
                    "Image",
                    format!("image {name} is not there"),
                    "it is pulled when its pod starts; pull it before to be faster",
                );
            }
        }
    }

    fn machine(&mut self, seen: &Seen) {
        if seen.check.cgroup_version == Some(1) {
            self.warning(
                "CgroupVersion",
                "the node has cgroup v1".to_owned(),
                "move to cgroup v2: kubelets are about to give v1 up",
            );
        }
        if !self.node.control_plane {
            return;
        }
        let memory = seen.check.memory_bytes;
        let mebibytes = memory >> 20;
        if memory != 0 && memory < LEAST_MEMORY {
            let message = format!("{mebibytes} MiB of memory are too few for a control plane");
            self.fault("Mem", message, "give it at least 1700 MiB");
        } else if memory != 0 && memory < MEMORY {
            let message = format!("{mebibytes} MiB of memory are few for a control plane");
            self.warning("Mem", message, "give it at least 1700 MiB");
        }
        if seen.check.cpu_count != 0 && seen.check.cpu_count < CPUS {
            let message = "one processor is little for a control plane".to_owned();
            self.warning("NumCPU", message, "give it at least two");
        }
        if !seen.check.steering.is_possible() {
            let message = format!(
                "new connections cannot be steered: {}",
                seen.check.steering.message
            );
            self.warning(
                "Steering",
                message,
                "the handoff works, but some connections may be lost in it; run seedpodd as root, on \
                 Linux 4.19 or newer",
            );
        }
    }

    fn disk(&mut self, seen: &Seen) {
        let has_etcd = seen.bundles.iter().any(|bundle| bundle == ETCD_BUNDLE);
        for path in &seen.check.paths {
            let name = &path.path;
            let mebibytes = path.free_bytes >> 20;
            if path.free_bytes < LEAST_DISK {
                let message = format!("only {mebibytes} MiB are free at {name}");
                self.fault(
                    "Disk",
                    message,
                    "make room, or use another etcd.dataDirectory",
                );
            } else if path.free_bytes < DISK {
                let message = format!("{mebibytes} MiB are free at {name}");
                self.warning("Disk", message, "etcd may take 2 GiB: make room");
            }
            if path.in_use && !has_etcd {
                self.fault(
                    &format!("DirAvailable-{}", name.trim_start_matches('/').replace('/', "-")),
                    format!("{name} is not empty, and Seedpod has no etcd there"),
                    "a member would go on with what is in it: `seedpod down` removes it, or move it away",
                );
            }
        }
    }

    fn daemon(&mut self, seen: &Seen) {
        if self.node.control_plane && !seen.node.objects.encrypted {
            self.warning(
                "SecretEncryption",
                "keys of the cluster would be on its disk in the clear".to_owned(),
                "`seedpod config encryption-key` on the node, and secretEncryption.keyFile",
            );
        }
        for problem in &seen.node.problems {
            self.warning(
                "NodeProblem",
                format!("{} ({})", problem.message, problem.reason),
                "see `seedpod get node`",
            );
        }
    }
}
