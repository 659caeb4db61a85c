//! The cgroup that holds every process of a node.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use crate::process::ProcessRecord;
use crate::wait::wait_until;

/// The controllers that a kubelet wants in its root cgroup on cgroup v2.
const CONTROLLERS: [&str; 6] = ["cpuset", "cpu", "io", "memory", "pids", "hugetlb"];

/// A cgroup of the same name in every hierarchy of the host.
///
/// The kubelet keeps its pods in `NAME/kubepods`; the rig's own processes are in `NAME/rig` of one
/// hierarchy, so that `NAME` itself holds none, as cgroup v2 demands of a parent.
#[derive(Debug)]
pub(crate) struct Cgroup {
    name: String,
    /// Mount points, with the file system's own options.
    hierarchies: Vec<Hierarchy>,
}

#[derive(Debug, PartialEq, Eq)]
struct Hierarchy {
    mount_point: PathBuf,
    unified: bool,
    options: String,
}

impl Cgroup {
    pub(crate) fn new(name: String) -> Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").context("read the mounts")?;
        let hierarchies = hierarchies(&mounts);
        if hierarchies.is_empty() {
            bail!("no cgroup file system is mounted (looked in /proc/self/mountinfo)");
        }
        Ok(Self { name, hierarchies })
    }

    /// The path below the hierarchies' roots, as the kubelet's `cgroupRoot` wants it.
    pub(crate) fn path(&self) -> String {
        format!("/{}", self.name)
    }

    /// Whether the host has nothing but cgroup v2.
    fn is_v2(&self) -> bool {
        self.hierarchies.iter().all(|hierarchy| hierarchy.unified)
    }

    /// Makes the cgroup in every hierarchy that the kubelet uses.
    pub(crate) fn create(&self) -> Result<()> {
        if self.is_v2() {
            let root = &self.hierarchies[0].mount_point;
            enable_controllers(root)?;
            make(&root.join(&self.name))?;
            enable_controllers(&root.join(&self.name))?;
        } else {
            // On a hybrid host runc and the kubelet go by the v1 hierarchies alone.
            for hierarchy in self
                .hierarchies
                .iter()
                .filter(|hierarchy| !hierarchy.unified)
            {
                make(&hierarchy.mount_point.join(&self.name))?;
            }
        }
        make(&self.own())
    }

    /// The `cgroup.procs` that the rig's own processes join.
    pub(crate) fn procs(&self) -> PathBuf {
        self.own().join("cgroup.procs")
    }

    fn own(&self) -> PathBuf {
        // A cpuset takes no process before it is given CPUs; these two never refuse one.
        let has = |wanted: &str| {
            self.hierarchies
                .iter()
                .find(|hierarchy| hierarchy.options.split(',').any(|option| option == wanted))
        };
        let hierarchy = has("pids")
            .or_else(|| has("name=systemd"))
            .unwrap_or(&self.hierarchies[0]);
        hierarchy.mount_point.join(&self.name).join("rig")
    }

    /// Every process in the cgroup and below it.
    pub(crate) fn processes(&self) -> BTreeSet<u32> {
        let mut pids = BTreeSet::new();
        for folder in self.folders() {
            let procs = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
            pids.extend(procs.lines().filter_map(|line| line.parse::<u32>().ok()));
        }
        pids
    }

    /// Kills all processes in the cgroup, also those that are forked meanwhile, and removes it.
    pub(crate) fn destroy(&self) -> Result<()> {
        let what = format!("all processes of the cgroup {} end", self.path());
        wait_until(Duration::from_secs(30), &what, || {
            let alive: Vec<ProcessRecord> = self
                .processes()
                .into_iter()
                .filter_map(|pid| ProcessRecord::of(pid).ok())
                .filter(ProcessRecord::is_alive)
                .collect();
            for process in &alive {
                // One that can't be killed shows as the wait's error.
                let _ = process.signal(Signal::KILL);
            }
            alive.is_empty()
        })?;
        let what = format!("the cgroup {} can be removed", self.path());
        wait_until(Duration::from_secs(10), &what, || {
            let folders = self.folders();
            for folder in &folders {
                let _ = fs::remove_dir(folder);
            }
            folders.is_empty()
        })
    }

    pub(crate) fn exists(&self) -> bool {
        self.hierarchies
            .iter()
            .any(|hierarchy| hierarchy.mount_point.join(&self.name).exists())
    }

    /// The cgroup's folders in all hierarchies, children before parents.
    fn folders(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for hierarchy in &self.hierarchies {
            collect(&hierarchy.mount_point.join(&self.name), &mut found);
        }
        found
    }
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten().filter(|entry| entry.path().is_dir()) {
        collect(&entry.path(), found);
    }
    found.push(folder.to_path_buf());
}

fn make(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("make the cgroup {}", folder.display()))
}

/// Lets the children of a cgroup v2 have the controllers that the kubelet needs.
fn enable_controllers(folder: &Path) -> Result<()> {
    let file = folder.join("cgroup.controllers");
    let available =
        fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
    let subtree = folder.join("cgroup.subtree_control");
    for controller in available
        .split_whitespace()
        .filter(|name| CONTROLLERS.contains(name))
    {
        fs::write(&subtree, format!("+{controller}")).with_context(|| {
            format!(
                "enable the cgroup controller {controller} in {}; in a container, first move its \
                 processes out of the root cgroup",
                subtree.display()
            )
        })?;
    }
    Ok(())
}

fn hierarchies(mountinfo: &str) -> Vec<Hierarchy> {
    let mut found = Vec::new();
    for line in mountinfo.lines() {
        let Some((mount, filesystem)) = line.split_once(" - ") else {
            continue;
        };
        let filesystem: Vec<&str> = filesystem.split(' ').collect();
        let [kind @ ("cgroup" | "cgroup2"), _, options] = filesystem[..] else {
            continue;
        };
        let Some(mount_point) = mount.split(' ').nth(4) else {
            continue;
        };
        found.push(Hierarchy {
            mount_point: PathBuf::from(mount_point),
            unified: kind == "cgroup2",
            options: options.to_owned(),
        });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_processes_live_in_the_pids_hierarchy_of_a_v1_host() {
        let mountinfo = "30 24 0:26 / /sys/fs/cgroup ro - tmpfs tmpfs ro,mode=755\n\
            31 30 0:27 / /sys/fs/cgroup/unified rw shared:10 - cgroup2 cgroup2 rw\n\
            32 30 0:28 / /sys/fs/cgroup/cpuset rw shared:11 - cgroup cgroup rw,cpuset\n\
            33 30 0:29 / /sys/fs/cgroup/pids rw shared:12 - cgroup cgroup rw,pids\n";
        let cgroup = Cgroup {
            name: "n".into(),
            hierarchies: hierarchies(mountinfo),
        };
        assert!(!cgroup.is_v2());
        assert_eq!(cgroup.hierarchies.len(), 3);
        assert_eq!(
            cgroup.procs(),
            Path::new("/sys/fs/cgroup/pids/n/rig/cgroup.procs")
        );
    }

    #[test]
    fn own_processes_live_below_the_only_root_of_a_v2_host() {
        let mountinfo =
            "31 30 0:27 / /sys/fs/cgroup rw shared:10 - cgroup2 cgroup2 rw,nsdelegate\n";
        let cgroup = Cgroup {
            name: "n".into(),
            hierarchies: hierarchies(mountinfo),
        };
        assert!(cgroup.is_v2());
        assert_eq!(
            cgroup.procs(),
            Path::new("/sys/fs/cgroup/n/rig/cgroup.procs")
        );
    }
}
