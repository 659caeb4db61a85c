//! Builds a program into the cache.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::{Module, Tool, cache, in_path};
use crate::progress::{Step, say};

/// How many of the last lines of a failed build are shown.
const SHOWN_LINES: usize = 30;

/// The program's path in the cache, built first if it is not there.
pub(super) fn cached_or_built(tool: Tool, module: &Module, version: &str) -> Result<PathBuf> {
    let arguments = arguments(tool, version);
    let name = format!(
        "{}-{version}-{}",
        tool.name(),
        module.fingerprint(&arguments)
    );
    let cache = cache()?;
    let folder = cache.join(&name);
    let program = folder.join(tool.name());
    if program.is_file() {
        return Ok(program);
    }
    fs::create_dir_all(&cache).with_context(|| format!("make the cache {}", cache.display()))?;
    // One build at a time: a second one of the same module would only repeat the first one's work.
    let lock_file = cache.join("lock");
    let lock = File::create(&lock_file).with_context(|| format!("open {}", lock_file.display()))?;
    if lock.try_lock().is_err() {
        say(&format!(
            "{}: waiting for another build ({})",
            tool.name(),
            lock_file.display()
        ));
        lock.lock()
            .with_context(|| format!("lock {}", lock_file.display()))?;
    }
    if program.is_file() {
        return Ok(program);
    }
    let staging = tempfile::Builder::new()
        .prefix(".build-")
        .tempdir_in(&cache)
        .with_context(|| format!("make a folder in {}", cache.display()))?;
    let output = staging.path().join(tool.name());
    go_build(tool, version, module.folder(), &arguments, &output)?;
    if !output.is_file() {
        bail!("go build made no {}", output.display());
    }
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("clear {}", folder.display()))?;
    }
    fs::rename(staging.keep(), &folder)
        .with_context(|| format!("move the built program to {}", folder.display()))?;
    Ok(program)
}

fn arguments(tool: Tool, version: &str) -> Vec<String> {
    let flags = tool.linker_flags(version);
    let fixed = ["-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags"];
    let arguments = tool.build_command().iter().chain(&fixed);
    let mut arguments: Vec<String> = arguments.map(|it| (*it).to_owned()).collect();
    arguments.push(flags);
    arguments
}

fn go_build(
    tool: Tool,
    version: &str,
    folder: &Path,
    arguments: &[String],
    output: &Path,
) -> Result<()> {
    let go = match std::env::var_os("SEEDPOD_RIG_GO") {
        Some(go) => PathBuf::from(go),
        None => in_path("go").with_context(|| {
            format!(
                "{} {version} is neither in PATH nor in the cache, and building it needs Go: install \
                 Go (https://go.dev/dl), set SEEDPOD_RIG_GO, or set {}",
                tool.name(),
                tool.variable(),
            )
        })?,
    };
    let mut command = Command::new(&go);
    command
        .args(arguments)
        .arg("-o")
        .arg(output)
        .arg(tool.package());
    command
        .current_dir(folder)
        .env("CGO_ENABLED", "0")
        .env("GOWORK", "off");
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut step = Step::new(&format!("building {} {version}", tool.name()));
    let mut child = command
        .spawn()
        .with_context(|| format!("run {}", go.display()))?;
    let lines = follow(&mut step, &stderr_lines(&mut child));
    let status = child.wait().context("wait for go build")?;
    if !status.success() {
        let tail = lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n");
        bail!(
            "go build of {} in {}: {status}\n{tail}",
            tool.name(),
            folder.display()
        );
    }
    step.done();
    Ok(())
}

/// The child's stderr, line by line: Go names each package there as it starts to compile it.
fn stderr_lines(child: &mut Child) -> Receiver<String> {
    let (sender, receiver) = channel();
    if let Some(stderr) = child.stderr.take() {
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
    }
    receiver
}

/// Shows progress until the lines end, and returns them all.
fn follow(step: &mut Step, lines: &Receiver<String>) -> Vec<String> {
    let mut all = Vec::new();
    let mut compiled = 0_usize;
    loop {
        match lines.recv_timeout(Duration::from_secs(1)) {
            Ok(line) => {
                if !line.starts_with("go: ") {
                    compiled += 1;
                }
                all.push(line);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return all,
        }
        let detail = match all.last() {
            Some(line) if line.starts_with("go: ") => line.clone(),
            // Go loads packages, takes compiled ones from its own cache and links without a word.
            _ if compiled == 0 => "loading or linking packages".to_owned(),
            _ => format!("{compiled} packages compiled"),
        };
        step.at(&detail);
    }
}
