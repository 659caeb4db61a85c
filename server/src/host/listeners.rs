//! Who listens on a port.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::unix::ffi::OsStrExt as _,
};

/// A process that listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) pid: u32,
    /// The name of its program, of at most 15 bytes.
    pub(crate) name: String,
    /// What the kernel says of its cgroups.
    cgroups: String,
}

impl Holder {
    /// Whether it is in the cgroup of the pod with this uid, however the kubelet writes that.
    pub(crate) fn is_of_pod(&self, uid: &str) -> bool {
        let forms = [format!("pod{uid}"), format!("pod{}", uid.replace('-', "_"))];
        self.cgroups.split(['/', '\n']).any(|part| {
            let part = part.strip_suffix(".slice").unwrap_or(part);
            forms
                .iter()
                .any(|form| part == form || part.ends_with(&format!("-{form}")))
        })
    }
}

/// For each of these ports on which somebody listens, the processes that do, as far as they can be told.
pub(crate) fn holders(ports: &BTreeSet<u16>) -> io::Result<BTreeMap<u16, Vec<Holder>>> {
    let mut found = BTreeMap::new();
    let mut sockets: BTreeMap<Vec<u8>, u16> = BTreeMap::new();
    for port in ports {
        for listener in crate::steer::listeners_on(*port)? {
            found.entry(*port).or_insert_with(Vec::new);
            sockets.insert(format!("socket:[{}]", listener.inode).into_bytes(), *port);
        }
    }
    if sockets.is_empty() {
        return Ok(found);
    }
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|it| it.parse().ok()) else {
            continue;
        };
        // It may have ended, or be none of our business.
        let Ok(descriptors) = fs::read_dir(entry.path().join("fd")) else {
            continue;
        };
        let ports: BTreeSet<u16> = descriptors
            .flatten()
            .filter_map(|it| fs::read_link(it.path()).ok())
            .filter_map(|it| sockets.get(it.as_os_str().as_bytes()).copied())
            .collect();
        for port in ports {
            let read = |file: &str| fs::read_to_string(entry.path().join(file)).unwrap_or_default();
            found.entry(port).or_default().push(Holder {
                pid,
                name: read("comm").trim_end().to_owned(),
                cgroups: read("cgroup"),
            });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_of_this_process_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let found = holders(&[port].into()).unwrap();
        let pids: Vec<u32> = found[&port].iter().map(|it| it.pid).collect();
        assert_eq!(pids, [std::process::id()]);
        drop(listener);
        assert!(holders(&[port].into()).unwrap().is_empty());
    }

    #[test]
    fn a_pod_is_told_by_its_cgroup() {
        let holder = |cgroups: &str| Holder {
            pid: 1,
            name: "etcd".into(),
            cgroups: cgroups.into(),
        };
        let cgroupfs = holder("5:pids:/kubepods/burstable/pod1-2-3/abc\n0::/\n");
        assert!(cgroupfs.is_of_pod("1-2-3") && !cgroupfs.is_of_pod("1-2"));
        let systemd = holder(
            "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2_3.slice/cri-abc.scope\n",
        );
        assert!(systemd.is_of_pod("1-2-3") && !systemd.is_of_pod("2-3"));
        assert!(!holder("0::/system.slice/etcd.service\n").is_of_pod("1-2-3"));
    }
}
