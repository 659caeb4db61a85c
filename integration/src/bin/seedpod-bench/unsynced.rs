//! What the kubelet does with static pods while it has not seen its API server: the table behind Seedpod's rules.
//!
//! Seedpod takes no part in it. Each case has a pod of its own; the kubelet is restarted once, for all cases that
//! need it, and in the end its API server is started.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use seedpod_integration::images::{AGNHOST, BUSYBOX};
use seedpod_integration::{Cri, KubeletPods, Node, NodeOptions, wait_until};

use crate::pods::{new_uid, small};

/// How long a case is watched before "nothing happens" is said. A restarted kubelet lists the directory each 20 s.
const WATCHED: Duration = Duration::from_secs(25);
const LIMIT: Duration = Duration::from_secs(120);
/// The grace period of the stopped containers, which end at once.
const GRACE: Duration = Duration::from_secs(5);

/// Measures all cases and prints a Markdown table.
pub(crate) fn measure(parent: &Path) -> Result<()> {
    let folder = tempfile::Builder::new()
        .prefix("seedpod-bench-")
        .tempdir_in(parent)
        .with_context(|| format!("make a folder in {}", parent.display()))?;
    let node = Node::start(&NodeOptions {
        dir: Some(folder.path().join("n")),
        ..NodeOptions::unsynced()
    })?;
    node.ensure_image(AGNHOST)?;
    let lab = Lab {
        cri: Cri::new(&node.containerd_socket())?,
        api: KubeletPods::new(&node.kubelet_root())?,
        node: &node,
    };
    show("situation, kubelet unsynced", "what happens");
    show("---", "---");
    show("any call of the kubelet's Pods API", &lab.pods_api());
    lab.add()?;
    lab.remove()?;
    lab.edit_with_the_same_uid()?;
    lab.edit_the_image_with_the_same_uid()?;
    lab.edit_with_a_new_uid()?;
    lab.edit_with_a_new_uid_after_the_stop()?;
    lab.another_name()?;
    lab.restart()?;
    lab.sync()
}

struct Lab<'a> {
    node: &'a Node,
    cri: Cri,
    api: KubeletPods,
}

/// A static pod of a case. Its container prints `generation N` first.
struct Subject<'a> {
    lab: &'a Lab<'a>,
    name: &'static str,
    uid: String,
    generation: usize,
    image: &'static str,
}

impl Lab<'_> {
    fn add(&self) -> Result<()> {
        let mut pod = self.subject("add")?;
        let took = pod.change(false)?;
        show("add", &format!("first line {}", after(took)));
        Ok(())
    }

    fn remove(&self) -> Result<()> {
        let pod = self.running("remove")?;
        pod.unlink()?;
        let ended = time_until(WATCHED, || !pod.runs());
        show("remove", &stopped(ended));
        self.cri.stop_pod(&pod.uid, GRACE)?;
        let again = time_until(WATCHED, || pod.runs());
        show("... then stopped over CRI", &started(again));
        Ok(())
    }

    fn edit_with_the_same_uid(&self) -> Result<()> {
        let mut pod = self.running("same-uid")?;
        let took = pod.change(false)?;
        show(
            "edit (environment), same uid",
            &format!("new first line {}", after(took)),
        );
        for turn in ["", ", a second edit", ", a third edit"] {
            if !turn.is_empty() {
                pod.write(false)?;
            }
            self.cri.stop_pod(&pod.uid, GRACE)?;
            let took = pod.wait_line(LIMIT);
            let what = format!("... then stopped over CRI{turn}");
            show(&what, &format!("new first line {}", after(took)));
        }
        for turn in ["fourth", "fifth"] {
            pod.write(false)?;
            self.cri.stop_pod(&pod.uid, GRACE)?;
            self.cri.remove_sandboxes(&pod.uid)?;
            let took = pod.wait_line(LIMIT);
            let what = format!("... then stopped and removed over CRI, a {turn} edit");
            show(&what, &format!("new first line {}", after(took)));
        }
        Ok(())
    }

    fn edit_the_image_with_the_same_uid(&self) -> Result<()> {
        let mut pod = self.running("same-uid-image")?;
        pod.image = AGNHOST;
        let took = pod.change(false)?;
        show(
            "edit (image), same uid",
            &format!("new first line {}", after(took)),
        );
        Ok(())
    }

    fn edit_with_a_new_uid(&self) -> Result<()> {
        let mut pod = self.running("new-uid")?;
        let old = pod.uid.clone();
        let took = pod.change(true)?;
        let runs = self.runs(&old);
        let outcome = format!("new first line {}; the old one {}", after(took), on(runs));
        show("edit, new uid", &outcome);
        self.cri.stop_pod(&old, GRACE)?;
        let took = pod.wait_line(WATCHED);
        let outcome = format!(
            "new first line {}; the old one {}",
            after(took),
            on(self.runs(&old))
        );
        show("... then stopped over CRI", &outcome);
        pod.uid = old;
        let took = pod.change(false)?;
        let outcome = format!("its first line {}", after(took));
        show("... then a file with the old uid again", &outcome);
        Ok(())
    }

    fn edit_with_a_new_uid_after_the_stop(&self) -> Result<()> {
        let mut pod = self.running("stop-first")?;
        let old = pod.uid.clone();
        self.cri.stop_pod(&old, GRACE)?;
        let took = pod.change(true)?;
        let outcome = format!(
            "new first line {}; the old one {}",
            after(took),
            on(self.runs(&old))
        );
        show("stopped over CRI, then at once edit, new uid", &outcome);
        Ok(())
    }

    fn another_name(&self) -> Result<()> {
        let old = self.running("old-name")?;
        let mut new = self.subject("new-name")?;
        old.unlink()?;
        self.cri.stop_pod(&old.uid, GRACE)?;
        let took = new.change(true)?;
        let again = time_until(WATCHED, || old.runs());
        let outcome = format!("first line {}; the old one {}", after(took), started(again));
        show("old file removed, stopped over CRI, another name", &outcome);
        Ok(())
    }

    /// All cases that a restart of the kubelet is to heal.
    fn restart(&self) -> Result<()> {
        let mut stopped_pod = self.running("restart-stopped")?;
        let stopped_old = stopped_pod.uid.clone();
        stopped_pod.write(true)?;
        self.cri.stop_pod(&stopped_old, GRACE)?;
        let mut pod = self.running("restart")?;
        let old = pod.uid.clone();
        pod.write(true)?;
        let mut same = self.running("restart-same")?;
        same.write(false)?;
        let removed = self.running("restart-removed")?;
        removed.unlink()?;
        let removed_stopped = self.running("restart-gone")?;
        removed_stopped.unlink()?;
        self.cri.stop_pod(&removed_stopped.uid, GRACE)?;
        let untouched = self.running("untouched")?;
        let before = self.cri.running_containers(&untouched.uid)?;

        let begun = Instant::now();
        self.node.restart_kubelet()?;
        let restart = begun.elapsed();
        let line = |pod: &Subject<'_>| {
            let took = pod.wait_line(WATCHED).map(|_| begun.elapsed());
            after(took)
        };
        let first = line(&stopped_pod);
        let second = line(&pod);
        let what = "edit, new uid, stopped over CRI, kubelet restarted";
        show(what, &format!("new first line {first} of the restart"));
        let third = line(&same);
        let end = time_until(WATCHED, || !self.runs(&old));
        let outcome = format!(
            "new first line {second} of the restart; the old one {}",
            stopped(end)
        );
        show("edit, new uid, kubelet restarted", &outcome);
        let outcome = format!("new first line {third}");
        show("edit (environment), same uid, kubelet restarted", &outcome);
        let on_or_off = on(removed.runs());
        show("remove, kubelet restarted", &format!("it {on_or_off}"));
        let on_or_off = on(removed_stopped.runs());
        show(
            "remove, stopped over CRI, kubelet restarted",
            &format!("it {on_or_off}"),
        );
        let same = before == self.cri.running_containers(&untouched.uid)?;
        let outcome = if same {
            "the same container runs on"
        } else {
            "another container"
        };
        let outcome = format!(
            "{outcome}; the kubelet was healthy after {:.2} s",
            restart.as_secs_f64()
        );
        show("an untouched pod, kubelet restarted", &outcome);
        Ok(())
    }

    /// Starts the API server. What was held up then goes on.
    fn sync(&self) -> Result<()> {
        let removed = self.running("sync-removed")?;
        removed.unlink()?;
        let mut pod = self.running("sync-edit")?;
        let old = pod.uid.clone();
        pod.write(true)?;
        // The kubelet has seen both before there is anything to be synced with.
        for name in [removed.name, pod.name] {
            self.wait_kubelet_removes(name)?;
        }
        let took = self.node.start_api_server()?;
        let ready = Instant::now();
        let api = time_until(LIMIT, || self.api.count().is_ok());
        let after_all = took.kube_apiserver + api.unwrap_or_default();
        let outcome = format!(
            "answers {} of /readyz ({:.1} s after the API server's start)",
            after(api),
            after_all.as_secs_f64()
        );
        show("Pods API, once the API server is ready", &outcome);
        let since_ready = |happened: Option<Duration>| happened.map(|_| ready.elapsed());
        let removed_ends = since_ready(time_until(LIMIT, || !removed.runs()));
        show(
            "a removed pod, once the API server is ready",
            &stopped(removed_ends),
        );
        let line = since_ready(pod.wait_line(LIMIT));
        let outcome = format!(
            "new first line {}; the old one {}",
            after(line),
            on(self.runs(&old))
        );
        show(
            "an edited pod, new uid, once the API server is ready",
            &outcome,
        );
        self.node.stop_api_server()?;
        let refused = time_until(WATCHED, || self.api.count().is_err());
        let outcome = match refused {
            Some(_) => self.pods_api(),
            None => format!("still answers ({} s watched)", WATCHED.as_secs()),
        };
        show("Pods API, after the API server has gone again", &outcome);
        Ok(())
    }

    fn subject(&self, name: &'static str) -> Result<Subject<'_>> {
        Ok(Subject {
            lab: self,
            name,
            uid: new_uid().context("make a uid")?,
            generation: 0,
            image: BUSYBOX,
        })
    }

    /// A pod that runs and has done so for longer than one of the kubelet's relists takes.
    fn running(&self, name: &'static str) -> Result<Subject<'_>> {
        let mut pod = self.subject(name)?;
        pod.write(false)?;
        if pod.wait_line(LIMIT).is_none() {
            bail!("the pod {name} does not start");
        }
        let begun = Instant::now();
        wait_until(LIMIT, "the kubelet has seen the pod run", || {
            begun.elapsed() > Duration::from_secs(3)
        })?;
        Ok(pod)
    }

    /// Waits until the kubelet's log says that a pod was removed, be it for another under the same name.
    fn wait_kubelet_removes(&self, name: &str) -> Result<()> {
        let pod = format!("default/{name}-{}", self.node.name());
        wait_until(LIMIT, "the kubelet has seen the change", || {
            fs::read_to_string(self.node.kubelet_log()).is_ok_and(|log| {
                log.lines()
                    .any(|line| line.contains("SyncLoop REMOVE") && line.contains(&pod))
            })
        })
    }

    fn runs(&self, uid: &str) -> bool {
        let containers = self.cri.running_containers(uid);
        containers.is_ok_and(|it| !it.is_empty())
    }

    fn pods_api(&self) -> String {
        match self.api.count() {
            Ok(count) => format!("answers with {count} pods"),
            Err(refusal) => refusal,
        }
    }
}

impl Subject<'_> {
    /// Renames the next generation's manifest in, with another uid if so asked.
    fn write(&mut self, new: bool) -> Result<()> {
        self.generation += 1;
        if new {
            self.uid = new_uid().context("make a uid")?;
        }
        let mut pod = small(self.name, self.generation);
        pod["metadata"]["uid"] = self.uid.clone().into();
        pod["spec"]["containers"][0]["image"] = self.image.into();
        let script = "trap 'exit 0' TERM; echo generation $GENERATION; sleep 2147483647 & wait";
        pod["spec"]["containers"][0]["command"][2] = script.into();
        let staged = self.lab.node.manifests().join(format!(".{}", self.name));
        fs::write(&staged, pod.to_string())
            .and_then(|()| fs::rename(&staged, self.manifest()))
            .with_context(|| format!("write {}", self.manifest().display()))
    }

    /// [`Subject::write`], and the time until the new generation's first line, if it comes.
    fn change(&mut self, new: bool) -> Result<Option<Duration>> {
        self.write(new)?;
        Ok(self.wait_line(WATCHED))
    }

    fn unlink(&self) -> Result<()> {
        let file = self.manifest();
        fs::remove_file(&file).with_context(|| format!("remove {}", file.display()))
    }

    fn manifest(&self) -> PathBuf {
        self.lab
            .node
            .manifests()
            .join(format!("{}.json", self.name))
    }

    fn runs(&self) -> bool {
        self.lab.runs(&self.uid)
    }

    fn wait_line(&self, limit: Duration) -> Option<Duration> {
        let line = format!(" generation {}\n", self.generation);
        let node = self.lab.node;
        let folder = format!("default_{}-{}_{}", self.name, node.name(), self.uid);
        let folder = node.pod_logs().join(folder).join("main");
        time_until(limit, || {
            let logs = fs::read_dir(&folder).into_iter().flatten().flatten();
            logs.map(|log| log.path())
                .collect::<BTreeSet<_>>()
                .iter()
                .any(|log| fs::read_to_string(log).is_ok_and(|text| text.contains(&line)))
        })
    }
}

/// How long it took until a condition held, unless it did not within the limit.
fn time_until(limit: Duration, condition: impl FnMut() -> bool) -> Option<Duration> {
    let begun = Instant::now();
    let held = wait_until(limit, "", condition).is_ok();
    held.then(|| begun.elapsed())
}

fn after(took: Option<Duration>) -> String {
    match took {
        Some(took) => format!("after {:.2} s", took.as_secs_f64()),
        None => format!("**never** ({} s watched)", WATCHED.as_secs()),
    }
}

fn stopped(took: Option<Duration>) -> String {
    match took {
        Some(took) => format!("stops after {:.2} s", took.as_secs_f64()),
        None => format!("**runs on** ({} s watched)", WATCHED.as_secs()),
    }
}

fn started(took: Option<Duration>) -> String {
    match took {
        Some(took) => format!("starts again after {:.2} s", took.as_secs_f64()),
        None => format!("stays stopped ({} s watched)", WATCHED.as_secs()),
    }
}

fn on(runs: bool) -> &'static str {
    if runs { "runs on" } else { "is stopped" }
}

#[expect(clippy::print_stdout, reason = "the result")]
fn show(situation: &str, outcome: &str) {
    let mut line = String::new();
    let _ = write!(line, "| {situation} | {outcome} |");
    println!("{line}");
}
