//! Where it was measured.

use std::fs;
use std::path::Path;

/// Processor, cores, kernel and the file system of a folder, in one sentence.
pub(crate) fn describe(folder: &Path, load_before: &str) -> String {
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, model)| model);
    let kernel = read("/proc/sys/kernel/osrelease");
    let mounts = read("/proc/self/mountinfo");
    let (kind, device) = file_system(&mounts, folder).unwrap_or(("unknown", "?"));
    format!(
        "Machine: {cores} cores ({model}), Linux {}, {kind} on {device}; load average {load_before} \
         before and {} after.",
        kernel.trim(),
        load(),
    )
}

/// The load average of the last minute.
pub(crate) fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("?").to_owned()
}

/// Whether an fsync in this folder reaches no disk, so that nothing durable can be measured there.
pub(crate) fn is_in_memory(folder: &Path) -> bool {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    file_system(&mounts, folder).is_some_and(|(kind, _)| matches!(kind, "tmpfs" | "ramfs"))
}

/// Type and source of the mount that a folder is in: the one with the longest matching mount point,
/// and of several at one place the last.
fn file_system<'a>(mountinfo: &'a str, folder: &Path) -> Option<(&'a str, &'a str)> {
    let mounts = mountinfo.lines().filter_map(|line| {
        let (mount, filesystem) = line.split_once(" - ")?;
        let point = mount.split(' ').nth(4)?;
        let mut words = filesystem.split(' ');
        Some((point, (words.next()?, words.next()?)))
    });
    mounts
        .filter(|(point, _)| folder.starts_with(point))
        .max_by_key(|(point, _)| point.len())
        .map(|(_, found)| found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_system_is_that_of_the_innermost_mount() {
        let mountinfo = "22 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n\
            23 22 0:5 / /var/tmp rw shared:2 - tmpfs none rw\n\
            24 22 0:6 / /var rw shared:3 - xfs /dev/sdb rw\n";
        let of = |folder: &str| file_system(mountinfo, Path::new(folder));
        assert_eq!(of("/home"), Some(("ext4", "/dev/sda1")));
        assert_eq!(of("/var/lib"), Some(("xfs", "/dev/sdb")));
        assert_eq!(of("/var/tmp/x"), Some(("tmpfs", "none")));
        assert_eq!(of("/variable"), Some(("ext4", "/dev/sda1")));
    }
}
