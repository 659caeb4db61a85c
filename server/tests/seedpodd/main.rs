//! The program as a service manager and an operator see it: unprivileged, in a scratch folder.

mod secrets;

use std::{
    io::Read,
    os::unix::net::{UnixDatagram, UnixStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(20);

struct Scratch {
    folder: TempDir,
}

impl Scratch {
    fn new() -> Self {
        let scratch = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        std::fs::create_dir(scratch.path("manifests")).unwrap();
        scratch
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a configuration that has everything in the folder, and `more`.
    fn configure(&self, more: &str) -> PathBuf {
        self.configure_all(&format!("metricsAddress: \"\"\n{more}"))
    }

    /// The same, also with where metrics are.
    #[expect(clippy::disallowed_methods, reason = "a test's own file")]
    fn configure_all(&self, more: &str) -> PathBuf {
        let folder = self.folder.path().display();
        let text = format!(
            "apiVersion: seedpod.dev/v1alpha1\nkind: DaemonConfiguration\nnodeName: n1\n\
             staticPodPath: {folder}/manifests\nstateDirectory: {folder}/state\n\
             volumesDirectory: {folder}/volumes\nkubeletRootDirectory: {folder}/kubelet\n\
             socketPath: {folder}/s\n{more}"
        );
        let path = self.path("config.yaml");
        std::fs::write(&path, text).unwrap();
        path
    }
}

fn seedpodd() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_seedpodd"));
    for name in [
        "RUST_LOG",
        "SEEDPODD_CONFIG",
        "NOTIFY_SOCKET",
        "WATCHDOG_USEC",
        "WATCHDOG_PID",
    ] {
        command.env_remove(name);
    }
    command
}

fn output(command: &mut Command) -> (bool, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.success(), text(stdout), text(stderr))
}

/// A running daemon; killed when the test fails.
struct Running(Child);

impl Running {
    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "seedpodd did not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn log(&mut self) -> String {
        let mut text = String::new();
        self.0
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        text
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A service manager that hears what the daemon says.
struct Manager(UnixDatagram);

impl Manager {
    fn listen(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(socket)
    }

    fn hear(&self, wanted: &str) {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let mut buffer = [0; 1024];
            let read = self.0.recv(&mut buffer).unwrap();
            if buffer[..read]
                .split(|byte| *byte == b'\n')
                .any(|line| line == wanted.as_bytes())
            {
                return;
            }
        }
        panic!("{wanted} was never said");
    }
}

#[test]
fn check_says_ok_or_what_is_wrong_and_where() {
    let scratch = Scratch::new();
    let config = scratch.configure("listenAddress: \"\"\n");
    let check = || output(seedpodd().arg("--check").arg("--config").arg(&config));
    assert_eq!(
        check(),
        (true, format!("{}: OK\n", config.display()), String::new())
    );
    assert!(!scratch.path("state").exists(), "a check changes nothing");

    scratch.configure("listenAddress: \"\"\nstaticPodPth: /x\n");
    let (ok, _, error) = check();
    assert!(!ok);
    for part in ["config.yaml", "staticPodPth", "line 11", "staticPodPath"] {
        assert!(error.contains(part), "{part} is not in {error}");
    }
    assert!(!error.contains("panicked"), "{error}");

    scratch.configure(
        "tls: {certFile: /nonexistent/c, keyFile: /nonexistent/k, clientCAFile: /nonexistent/a}\n",
    );
    let (ok, _, error) = check();
    assert!(
        !ok && error.contains("tls.certFile: cannot read /nonexistent/c"),
        "{error}"
    );
}

#[test]
fn the_configuration_can_be_named_by_the_environment() {
    let scratch = Scratch::new();
    let config = scratch.configure("listenAddress: \"\"\n");
    let (ok, _, error) = output(seedpodd().arg("--check").env("SEEDPODD_CONFIG", &config));
    assert!(ok, "{error}");
}

#[test]
fn the_version_is_told() {
    let (ok, said, _) = output(seedpodd().arg("--version"));
    assert!(ok);
    assert_eq!(said, concat!("seedpodd ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn a_service_manager_hears_when_it_serves_lives_and_stops() {
    let scratch = Scratch::new();
    let config = scratch.configure("listenAddress: \"\"\n");
    let manager = Manager::listen(&scratch.path("notify"));
    let mut daemon = Running(
        seedpodd()
            .arg("--config")
            .arg(config)
            .env("NOTIFY_SOCKET", scratch.path("notify"))
            .env("WATCHDOG_USEC", "300000")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    manager.hear("READY=1");
    UnixStream::connect(scratch.path("s")).unwrap();
    manager.hear("WATCHDOG=1");

    daemon.signal(rustix::process::Signal::TERM);
    manager.hear("STOPPING=1");
    let status = daemon.ended();
    let log = daemon.log();
    assert!(status.success(), "{status} {log}");
    assert!(!scratch.path("s").exists());
    assert!(
        log.contains("listening") && log.contains("stopped"),
        "{log}"
    );
    assert!(
        !log.contains('\u{1b}'),
        "no colours where there is no terminal: {log}"
    );
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let scratch = Scratch::new();
    let config = scratch.configure("listenAddress: \"\"\nlimits: {drainTimeout: 10m}\n");
    let manager = Manager::listen(&scratch.path("notify"));
    let mut daemon = Running(
        seedpodd()
            .arg("--config")
            .arg(config)
            .env("NOTIFY_SOCKET", scratch.path("notify"))
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    manager.hear("READY=1");
    // A connection that says nothing, and so does not let itself be wound up.
    let _silent = UnixStream::connect(scratch.path("s")).unwrap();

    daemon.signal(rustix::process::Signal::INT);
    manager.hear("STOPPING=1");
    daemon.signal(rustix::process::Signal::TERM);
    assert_eq!(daemon.ended().code(), Some(1));
}

#[test]
fn json_logs_are_json() {
    let scratch = Scratch::new();
    let config = scratch.configure("listenAddress: \"\"\nlog: {format: json, level: debug}\n");
    let manager = Manager::listen(&scratch.path("notify"));
    let mut daemon = Running(
        seedpodd()
            .arg("--config")
            .arg(config)
            .env("NOTIFY_SOCKET", scratch.path("notify"))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    manager.hear("READY=1");
    daemon.signal(rustix::process::Signal::TERM);
    daemon.ended();
    let log = daemon.log();
    let messages: Vec<_> = log
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect(line))
        .collect();
    assert!(
        messages.iter().any(|line| line["message"] == "serving"),
        "{log}"
    );
}
