//! Marks on the packets of a newcomer, by nftables, where [::1] is not to be had.
//!
//! A table of our own, one for each port, has one rule: packets to the port that a process of the newcomer's group sends
//! get our mark. Nothing else is marked, and nothing else of the packets changes.

use std::{
    io::{self, Read as _, Write as _},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Our mark. Free of the bits that others give a meaning: kube-proxy 0x4000 and 0x8000, Cilium 0x0f00, Calico
/// 0xffff0000, the AWS CNI 0x80. It is on packets to the port on the loopback interface alone.
pub(super) const MARK: u32 = 0x305d;

/// How long `nft` may take. It answers within some ten milliseconds.
const LIMIT: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// Why packets could not be marked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MarksError {
    #[error("the program nft is not in PATH: install nftables")]
    NoProgram,
    #[error("nft could not be run")]
    Run(#[source] io::Error),
    #[error("nft refused the rules: {0}; seedpodd needs CAP_NET_ADMIN and a kernel with nf_tables")]
    Refused(String),
    #[error("nft has not ended within {} s", LIMIT.as_secs())]
    Hangs,
}

/// Has the packets to `port` of processes of this group marked, and those of no other group any more.
pub(super) fn mark_group(port: u16, gid: u32) -> Result<(), MarksError> {
    run(&mark_script(port, gid))
}

/// Takes the port's rule away. It need not be there.
pub(super) fn clear(port: u16) -> Result<(), MarksError> {
    run(&clear_script(port))
}

/// Deleting a table that is not there is an error, adding one that is there is not. All of a script is one transaction.
fn clear_script(port: u16) -> String {
    format!("add table ip seedpod-{port}\ndelete table ip seedpod-{port}\n")
}

/// `ip`: without IPv6 all connections on the node are IPv4. The hook is `output`, where the sender is still known; on
/// the loopback interface the packet keeps the mark until the listener is looked up. The priority has other rules that
/// set marks come first.
fn mark_script(port: u16, gid: u32) -> String {
    let clear = clear_script(port);
    format!(
        "{clear}table ip seedpod-{port} {{\n\
         \tchain output {{\n\
         \t\ttype filter hook output priority 200; policy accept;\n\
         \t\toifname \"lo\" tcp dport {port} meta skgid {gid} meta mark set {MARK:#x}\n\
         \t}}\n\
         }}\n"
    )
}

fn run(script: &str) -> Result<(), MarksError> {
    let mut nft = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => MarksError::NoProgram,
            _ => MarksError::Run(error),
        })?;
    // Less than a pipe holds, so that this never blocks. Should nft be gone already, its status says more than this.
    if let Some(mut stdin) = nft.stdin.take() {
        let _ = stdin.write_all(script.as_bytes());
    }
    let succeeded = wait(&mut nft)?;
    if succeeded {
        return Ok(());
    }
    let mut message = String::new();
    if let Some(mut stderr) = nft.stderr.take() {
        stderr
            .read_to_string(&mut message)
            .map_err(MarksError::Run)?;
    }
    let first = message.lines().next().unwrap_or("no reason given");
    Err(MarksError::Refused(first.to_owned()))
}

/// Whether it has succeeded.
fn wait(nft: &mut Child) -> Result<bool, MarksError> {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(status) = nft.try_wait().map_err(MarksError::Run)? {
            return Ok(status.success());
        }
        if Instant::now() >= deadline {
            nft.kill().map_err(MarksError::Run)?;
            nft.wait().map_err(MarksError::Run)?;
            return Err(MarksError::Hangs);
        }
        thread::sleep(LOOK_AGAIN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_group_and_the_port_are_marked() {
        assert_eq!(
            mark_script(6443, 65210),
            "add table ip seedpod-6443\n\
             delete table ip seedpod-6443\n\
             table ip seedpod-6443 {\n\
             \tchain output {\n\
             \t\ttype filter hook output priority 200; policy accept;\n\
             \t\toifname \"lo\" tcp dport 6443 meta skgid 65210 meta mark set 0x305d\n\
             \t}\n\
             }\n"
        );
    }

    #[test]
    fn the_mark_means_nothing_to_others() {
        for others in [0x4000, 0x8000, 0x0f00, 0xffff_0000, 0x80] {
            assert_eq!(MARK & others, 0, "{others:#x}");
        }
    }
}
