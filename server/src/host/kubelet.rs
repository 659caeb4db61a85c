//! The version of the kubelet that runs.
//!
//! Neither the runtime nor the kubelet's own sockets tell it, and its port asks for credentials. But the kernel tells
//! which process made the kubelet's socket, and the program of that process, whatever has become of its file since, says
//! its version.

use std::{path::Path, process::Stdio, time::Duration};

use tokio::{io::AsyncReadExt as _, net::UnixStream, process::Command, time::timeout};

use crate::fs::own_uid;

const CONNECT: Duration = Duration::from_millis(500);
/// A kubelet takes a fraction of a second.
const ANSWER: Duration = Duration::from_secs(5);
/// Much more than a version needs.
const MOST: u64 = 4096;

/// As in `v1.37.2`. `None`: it cannot be told.
pub(crate) async fn version(socket: &Path) -> Option<String> {
    let stream = timeout(CONNECT, UnixStream::connect(socket))
        .await
        .ok()?
        .ok()?;
    let peer = stream.peer_cred().ok()?;
    // Its program is run as the daemon's own user, which must not be a way to more rights.
    if peer.uid() != own_uid() && peer.uid() != 0 {
        return None;
    }
    let program = format!("/proc/{}/exe", peer.pid()?);
    // Before its pid can be another's: the connection lasts as long as the listener does.
    let mut child = Command::new(program)
        .arg("--version")
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .ok()?;
    let mut text = String::new();
    let read = async {
        let output = child.stdout.take()?;
        output.take(MOST).read_to_string(&mut text).await.ok()?;
        child
            .wait()
            .await
            .ok()
            .filter(std::process::ExitStatus::success)
    };
    timeout(ANSWER, read).await.ok()??;
    parse(&text)
}

fn parse(text: &str) -> Option<String> {
    let version = text.trim().strip_prefix("Kubernetes ")?;
    let plain = version
        .chars()
        .all(|it| it.is_ascii_alphanumeric() || ".-+".contains(it));
    (version.starts_with('v') && plain).then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_what_the_kubelet_prints() {
        assert_eq!(parse("Kubernetes v1.37.2\n").as_deref(), Some("v1.37.2"));
        assert_eq!(
            parse("Kubernetes v1.33.1-eks-4+x\n").as_deref(),
            Some("v1.33.1-eks-4+x")
        );
        assert_eq!(parse("seedpodd 0.1.0\n"), None);
        assert_eq!(parse("Kubernetes v1\nKubernetes v2"), None);
    }

    #[tokio::test]
    async fn a_socket_that_is_not_there_has_no_version() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(version(&folder.path().join("kubelet.sock")).await, None);
    }
}
