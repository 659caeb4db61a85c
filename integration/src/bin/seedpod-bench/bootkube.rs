//! The way without Seedpod, as bootkube went it: a temporary control plane on the host, the objects of the one to come,
//! and the end of the temporary one. The components, their flags, certificates and objects are the same as with Seedpod,
//! but for those flags that have two of a kind get along: bootkube's fought for their ports.
//!
//! Where there is a choice it is made in its favour: everything is there already, the kubelet is restarted as soon as there
//! is something for it, and what is waited for is looked for all the time instead of each five seconds.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use seedpod_integration::binaries::{self, Tool};
use seedpod_integration::{ProcessRecord, wait_until};

use crate::ours::Came;
use crate::site::{LIMIT, Site, is_ready};

/// Where the pods have their certificates.
const MOUNT: &str = "/etc/kubernetes/secrets";

/// How long the temporary control plane has to end by itself.
const GRACE: Duration = Duration::from_secs(2);

/// Flags that are made for two of a kind side by side.
const SIDE_BY_SIDE: [&str; 4] = [
    "--permit-port-sharing=",
    "--shutdown-delay-duration=",
    "--shutdown-watch-termination-grace-period=",
    "--endpoint-reconciler-type=",
];

/// A temporary control plane. It ends with its node.
pub(crate) struct Temporary<'site, 'node> {
    site: &'site Site<'node>,
    processes: Vec<ProcessRecord>,
    /// When the API answered, and when the node was Ready.
    pub(crate) api: Duration,
    pub(crate) node: Duration,
}

/// From nothing to the end.
pub(crate) fn all(site: &Site<'_>) -> Result<Came> {
    let begun = Instant::now();
    let temporary = Temporary::start(site)?;
    temporary.pivot()?;
    Ok(Came {
        api: temporary.api,
        node: temporary.node,
        alone: begun.elapsed(),
    })
}

impl<'site, 'node> Temporary<'site, 'node> {
    /// Starts it, and has the kubelet join.
    pub(crate) fn start(site: &'site Site<'node>) -> Result<Self> {
        let begun = Instant::now();
        // The API server waits for etcd by itself.
        launch(site, Tool::Etcd, "etcd", &[])?;
        let mut processes = vec![launch(site, Tool::KubeApiserver, "control-plane", &[])?];
        wait_until(LIMIT, "the temporary API server answers", || site.answers())?;
        let api = begun.elapsed();
        for tool in [Tool::KubeControllerManager, Tool::KubeScheduler] {
            processes.push(launch(site, tool, "control-plane", &[])?);
        }
        let layout = site.node.layout();
        let name = format!("kubelet-{}.kubeconfig", site.node.name());
        let rendered = site.rendered();
        fs::copy(rendered.join("pki/ca.crt"), layout.client_ca())?;
        fs::copy(rendered.join("kubeconfigs").join(name), layout.kubeconfig())?;
        site.node.restart_kubelet()?;
        wait_until(LIMIT, "the node is Ready", || site.is_node_ready())?;
        Ok(Self {
            site,
            processes,
            api,
            node: begun.elapsed(),
        })
    }

    /// Applies the objects, waits until the pods run, ends the temporary control plane, and waits until the other serves.
    pub(crate) fn pivot(&self) -> Result<()> {
        let site = self.site;
        let objects = self.objects()?;
        let label = "seedpod.dev/self-hosted=control-plane";
        site.kubectl(&["label", "node", &site.node.name(), label])?;
        site.kubectl(&[
            "apply",
            "--server-side",
            "-f",
            &objects.display().to_string(),
        ])?;
        wait_until(LIMIT, "the self-hosted pods run", || {
            site.all_pods(|pod| pod["status"]["phase"] == "Running")
        })?;
        for process in &self.processes {
            process.signal(rustix::process::Signal::TERM)?;
        }
        for process in &self.processes {
            process.terminate(GRACE)?;
        }
        wait_until(LIMIT, "the self-hosted control plane serves", || {
            site.answers() && site.all_pods(is_ready)
        })
    }

    /// The self-hosted objects, without the flags for two of a kind.
    fn objects(&self) -> Result<PathBuf> {
        let folder = self.site.node.layout().scratch().join("by-hand");
        fs::create_dir_all(&folder)?;
        let from = self.site.rendered().join("self-hosted");
        for file in fs::read_dir(&from).with_context(|| format!("read {}", from.display()))? {
            let file = file?;
            let text = fs::read_to_string(file.path())?;
            let kept = text.lines().filter(|line| !is_side_by_side(line));
            let text: String = kept.flat_map(|line| [line, "\n"]).collect();
            fs::write(folder.join(file.file_name()), text)?;
        }
        Ok(folder)
    }
}

/// kube-apiserver beside another on the same etcd, at a port of its own.
pub(crate) fn another_api_server(site: &Site<'_>, port: u16) -> Result<ProcessRecord> {
    let port = format!("--secure-port={port}");
    launch(site, Tool::KubeApiserver, "control-plane", &[&port])
}

/// Starts a program of an injected pod as a process of the machine, with `more` flags.
fn launch(site: &Site<'_>, tool: Tool, bundle: &str, more: &[&str]) -> Result<ProcessRecord> {
    let bundles = site.rendered().join("bundles").join(site.node.name());
    let folder = bundles.join(bundle);
    let file = folder.join(format!("{}.yaml", tool.name()));
    let manifest = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
    let secrets = folder.join("secrets").join(tool.name());
    let mut arguments = flags(&manifest, &secrets.display().to_string());
    // Of two, the last one counts.
    arguments.extend(more.iter().map(|flag| (*flag).to_owned()));
    site.node
        .launch(tool.name(), &binaries::find(tool)?, arguments)
}

/// The flags of a pod's only container, with its certificates elsewhere.
fn flags(manifest: &str, secrets: &str) -> Vec<String> {
    let lines = manifest.lines().map(str::trim);
    lines
        .filter(|line| line.starts_with("- --") && !is_side_by_side(line))
        .map(|line| line.trim_start_matches("- ").replace(MOUNT, secrets))
        .collect()
}

fn is_side_by_side(line: &str) -> bool {
    let flag = line.trim_start().trim_start_matches("- ");
    SIDE_BY_SIDE.iter().any(|name| flag.starts_with(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pods_flags_become_those_of_a_process_of_its_own() {
        let manifest = "command:\n- kube-apiserver\n  # Why.\n  - --secure-port=6443\n  \
            - --permit-port-sharing=true\n  - --client-ca-file=/etc/kubernetes/secrets/ca.crt\n";
        assert_eq!(
            flags(manifest, "/here"),
            ["--secure-port=6443", "--client-ca-file=/here/ca.crt"]
        );
    }
}
