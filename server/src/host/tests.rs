//! What holds when the power is cut, and what is beside the API's tests.

use zeroize::Zeroizing;

use super::*;
use crate::{fs::Disk, metrics::Metrics};

fn host(folder: &Path) -> Host {
    let files = KubeletFiles {
        kubeconfig: Some(folder.join("etc/kubelet.conf")),
        ..KubeletFiles::default()
    };
    let disk = Arc::new(Disk::new(Metrics::default()));
    Host::new(disk, files, vec![folder.join("data")], folder.join("root"))
}

fn wanted(folder: &Path, text: &str) -> Vec<Wanted> {
    vec![Wanted {
        path: folder.join("etc/kubelet.conf"),
        content: Some(Content(Zeroizing::new(text.to_owned()))),
    }]
}

#[test]
fn a_restart_is_due_from_before_the_change_until_it_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path());
    assert!(!host.restart_is_due().unwrap());
    let changes = host.pending(wanted(folder.path(), "one")).unwrap();
    assert_eq!(changes.len(), 1);
    host.carry_out(&changes).unwrap();
    assert!(host.restart_is_due().unwrap());
    assert!(
        host.pending(wanted(folder.path(), "one"))
            .unwrap()
            .is_empty()
    );
    // Another daemon, after a crash.
    let next = self::host(folder.path());
    assert!(next.restart_is_due().unwrap());
    next.restarted().unwrap();
    assert!(!next.restart_is_due().unwrap());
}

#[test]
fn what_a_crash_has_left_beside_a_file_does_not_matter() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("etc")).unwrap();
    let staged = folder.path().join("etc/.seedpod-staged-kubelet.conf");
    crate::access::testing::write(&staged, "torn");
    let host = host(folder.path());
    host.carry_out(&wanted(folder.path(), "whole")).unwrap();
    let text = std::fs::read_to_string(folder.path().join("etc/kubelet.conf")).unwrap();
    assert_eq!(text, "whole");
    assert!(!staged.exists());
}

#[test]
fn contents_are_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let shown = format!("{:?}", wanted(folder.path(), "secret"));
    assert!(!shown.contains("secret"), "{shown}");
}

#[test]
fn without_files_to_write_nothing_is_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(Disk::new(Metrics::default()));
    let none = Host::new(
        disk,
        KubeletFiles::default(),
        Vec::new(),
        folder.path().join("root"),
    );
    assert!(none.nothing().unwrap().is_empty());
    assert!(!none.restart_is_due().unwrap());
    none.restarted().unwrap();
    let error = none.may_remove(Path::new("/var/lib/etcd")).unwrap_err();
    assert!(error.to_string().contains("there are none"), "{error}");
}
