//! What the machine is like, from `/proc`.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
};

/// Room for files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Space {
    /// Free for root, in bytes.
    pub(crate) free: u64,
    /// Whether there is something at the path: a file, or a directory with something in it.
    pub(crate) in_use: bool,
}

/// The room at a path; for one that is not there, at the nearest directory above it.
pub(crate) fn space(path: &Path) -> io::Result<Space> {
    let in_use = match fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound => false,
            io::ErrorKind::NotADirectory => true,
            _ => return Err(error),
        },
    };
    let mut last = io::ErrorKind::NotFound.into();
    for folder in path.ancestors() {
        match rustix::fs::statvfs(folder) {
            Ok(found) => {
                let free = found.f_bfree.saturating_mul(found.f_frsize);
                return Ok(Space { free, in_use });
            }
            Err(error) => last = io::Error::from(error),
        }
        if !matches!(
            last.kind(),
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
        ) {
            break;
        }
    }
    Err(last)
}

/// 1 or 2. A host with both has the pods in version 1. `None`: none is mounted.
pub(crate) fn cgroup_version() -> Option<u32> {
    cgroup_version_of(&fs::read_to_string("/proc/self/mountinfo").ok()?)
}

fn cgroup_version_of(mountinfo: &str) -> Option<u32> {
    let kinds = || {
        mountinfo
            .lines()
            .filter_map(|line| line.split_once(" - ")?.1.split(' ').next())
    };
    if kinds().any(|kind| kind == "cgroup") {
        Some(1)
    } else {
        kinds().any(|kind| kind == "cgroup2").then_some(2)
    }
}

/// In bytes. 0: not known.
pub(crate) fn memory() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib: Option<u64> = total
        .and_then(|line| line.trim().strip_suffix("kB"))
        .and_then(|number| number.trim().parse().ok());
    kib.unwrap_or_default() * 1024
}

/// Of the machine, not only those that the daemon may use. 0: not known.
pub(crate) fn cpu_count() -> usize {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    text.lines()
        .filter_map(|line| line.split(' ').next()?.strip_prefix("cpu"))
        .filter(|number| number.parse::<u32>().is_ok())
        .count()
}

/// The addresses of all interfaces but loopback and link-local ones, IPv4 first.
pub(crate) fn addresses() -> Vec<IpAddr> {
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let mut found: Vec<IpAddr> = ipv4(&read("/proc/net/fib_trie"))
        .into_iter()
        .map(IpAddr::V4)
        .chain(
            ipv6(&read("/proc/net/if_inet6"))
                .into_iter()
                .map(IpAddr::V6),
        )
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// The leaves of the routing tables that are addresses of this host: an address, and below it `/32 host LOCAL`.
fn ipv4(fib_trie: &str) -> Vec<Ipv4Addr> {
    let mut found = Vec::new();
    let mut leaf: Option<Ipv4Addr> = None;
    for line in fib_trie.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address.parse().ok();
        } else if line == "/32 host LOCAL" {
            found.extend(leaf);
        }
    }
    found.retain(|address: &Ipv4Addr| !address.is_loopback() && !address.is_link_local());
    found
}

/// The first column is the address, the fourth its scope: 0 for what is neither loopback nor link-local.
fn ipv6(if_inet6: &str) -> Vec<Ipv6Addr> {
    let address = |line: &str| {
        let mut columns = line.split_ascii_whitespace();
        let address = u128::from_str_radix(columns.next()?, 16).ok()?;
        let scope = u32::from_str_radix(columns.nth(2)?, 16).ok()?;
        (scope == 0).then(|| Ipv6Addr::from(address))
    };
    if_inet6.lines().filter_map(address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_that_others_could_reach() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     +-- 10.0.0.0/24 2 \
                    0 2\n        |-- 10.0.0.0\n           /24 link UNICAST\n        |-- 10.0.0.7\n           /32 host \
                    LOCAL\n        |-- 10.0.0.255\n           /32 link BROADCAST\n     |-- 127.0.0.1\n        /32 host \
                    LOCAL\n     |-- 169.254.1.1\n        /32 host LOCAL\n";
        assert_eq!(ipv4(trie), ["10.0.0.7".parse::<Ipv4Addr>().unwrap()]);
        let table = "00000000000000000000000000000001 01 80 10 80       lo\n\
                     fe800000000000000000000000000001 02 40 20 80     eth0\n\
                     20010db8000000000000000000000007 02 40 00 80     eth0\n";
        assert_eq!(ipv6(table), ["2001:db8::7".parse::<Ipv6Addr>().unwrap()]);
    }

    #[test]
    fn a_host_with_both_kinds_of_cgroups_has_version_1() {
        let v1 = "31 30 0:27 / /sys/fs/cgroup/unified rw shared:10 - cgroup2 cgroup2 rw\n\
                  32 30 0:28 / /sys/fs/cgroup/cpuset rw shared:11 - cgroup cgroup rw,cpuset\n";
        assert_eq!(cgroup_version_of(v1), Some(1));
        let v2 = "31 30 0:27 / /sys/fs/cgroup rw shared:10 - cgroup2 cgroup2 rw,nsdelegate\n";
        assert_eq!(cgroup_version_of(v2), Some(2));
        assert_eq!(
            cgroup_version_of("30 24 0:26 / / rw - ext4 /dev/a rw\n"),
            None
        );
    }

    #[test]
    fn this_machine_has_processors_and_memory() {
        assert!(cpu_count() > 0 && memory() > 1 << 20);
    }

    #[test]
    fn what_is_not_there_has_the_room_of_what_is_above_it() {
        let folder = tempfile::tempdir().unwrap();
        let missing = space(&folder.path().join("a/b/c")).unwrap();
        assert!(!missing.in_use && missing.free > 0);
        assert!(!space(folder.path()).unwrap().in_use);
        crate::access::testing::write(&folder.path().join("file"), "x");
        assert!(space(folder.path()).unwrap().in_use);
        assert!(space(&folder.path().join("file")).unwrap().in_use);
    }
}
