//! Programs that tests run to their end.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use seedpod_integration::binaries::{Tool, find};
use seedpod_integration::workspace_binary;

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The exit code; 124 when it did not end in time.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// The output of a program that did what it was asked to.
    pub(crate) fn success(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.stdout, self.stderr);
        self.stdout
    }
}

/// Runs a program with this on its stdin. None may take longer than a minute.
pub(crate) fn end(program: &Path, args: &[&str], stdin: &str) -> Ended {
    let mut command = Command::new("timeout");
    command.arg("60").arg(program).args(args);
    // What a developer has set for himself is not to be tried out here.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SEEDPOD") {
            command.env_remove(name);
        }
    }
    command
        .env("HOME", "/nonexistent")
        .env_remove("XDG_CONFIG_HOME");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("start {}: {error}", program.display()));
    let mut pipe = child.stdin.take().expect("stdin is a pipe");
    // A program that does not want it closes the pipe.
    let _ = pipe.write_all(stdin.as_bytes());
    drop(pipe);
    let output = child.wait_with_output().expect("wait for the program");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ended {
        code: output.status.code(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

fn once(cell: &'static OnceLock<PathBuf>, find: impl FnOnce() -> PathBuf) -> &'static Path {
    cell.get_or_init(find)
}

/// Runs the daemon in the foreground; to be used where it is expected to end.
pub(crate) fn seedpodd(config: &Path) -> Ended {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    let program = once(&PROGRAM, || {
        workspace_binary("seedpod-server", "seedpodd").expect("build seedpodd")
    });
    let config = config.to_str().expect("the path is text");
    end(program, &["--config", config], "")
}

/// Runs the command line tool.
pub(crate) fn seedpod(args: &[&str]) -> Ended {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    let program = once(&PROGRAM, || {
        workspace_binary("seedpod-client", "seedpod").expect("build seedpod")
    });
    end(program, args, "")
}

/// The path of the real grpcurl.
pub(crate) fn grpcurl_program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    once(&PROGRAM, || find(Tool::Grpcurl).expect("find grpcurl"))
}

pub(crate) fn grpcurl(args: &[&str], stdin: &str) -> Ended {
    end(grpcurl_program(), args, stdin)
}
