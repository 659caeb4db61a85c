//! Restarts the kubelet, the way that the configuration names.

use std::{
    io,
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::Command,
    sync::Mutex,
    task::JoinHandle,
    time::timeout,
};

use crate::config::KubeletRestart;

/// A unit may take a while to stop, and systemd gives it 90 s.
const LIMIT: Duration = Duration::from_secs(100);
/// How much of the output is kept for people.
const KEPT: u64 = 2048;
/// How long the output may go on when the command has ended.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Why the kubelet was not restarted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RestartError {
    #[error("kubeletRestart is not configured")]
    NotConfigured,
    #[error("{program} cannot be run")]
    Run {
        program: String,
        #[source]
        source: io::Error,
    },
    #[error("{program} did not end within {} s", LIMIT.as_secs())]
    TooLong { program: String },
    #[error("{program} failed ({status}): {output}")]
    Failed {
        program: String,
        status: std::process::ExitStatus,
        output: String,
    },
}

/// Restarts the kubelet for whoever has a reason to, never twice at once. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Restarter {
    how: Option<Arc<KubeletRestart>>,
    /// When the last one began that has succeeded.
    last: Arc<Mutex<Option<Instant>>>,
}

impl Restarter {
    pub(super) fn new(how: Option<KubeletRestart>) -> Self {
        Self {
            how: how.map(Arc::new),
            last: Arc::default(),
        }
    }

    /// Whether the configuration says how.
    pub(crate) fn is_allowed(&self) -> bool {
        self.how.is_some()
    }

    /// Restarts it. Gives the first lines of what the command said.
    ///
    /// One that another has begun after this call will do for both: what is on the disk by now, it has seen.
    ///
    /// # Errors
    /// When it must not be restarted, or the command fails.
    pub(crate) async fn restart(&self) -> Result<String, RestartError> {
        let how = self.how.as_ref().ok_or(RestartError::NotConfigured)?;
        let asked = Instant::now();
        let mut last = self.last.lock().await;
        if last.is_some_and(|last| last >= asked) {
            return Ok("another restart has come meanwhile".to_owned());
        }
        let begun = Instant::now();
        let said = restart(how).await?;
        *last = Some(begun);
        Ok(said)
    }
}

/// Runs the command and waits for its end. Gives the first lines of what it said.
async fn restart(how: &KubeletRestart) -> Result<String, RestartError> {
    let words: Vec<&str> = match how {
        KubeletRestart::SystemdUnit(unit) => vec!["systemctl", "restart", unit],
        KubeletRestart::Command(words) => words.iter().map(String::as_str).collect(),
    };
    // The configuration refuses an empty command.
    let (program, arguments) = words.split_first().unwrap_or((&"", &[]));
    let program = (*program).to_owned();
    let error = |source| RestartError::Run {
        program: program.clone(),
        source,
    };
    let mut child = Command::new(&program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(error)?;
    let said = [
        child.stdout.take().map(first_words),
        child.stderr.take().map(first_words),
    ];
    let ended = timeout(LIMIT, child.wait()).await;
    let mut output = String::new();
    for said in said.into_iter().flatten() {
        output.push_str(&finish(said).await);
    }
    let output = first_lines(&output);
    match ended {
        Err(_) => Err(RestartError::TooLong { program }),
        Ok(Err(source)) => Err(error(source)),
        Ok(Ok(status)) if status.success() => Ok(output),
        Ok(Ok(status)) => Err(RestartError::Failed {
            program,
            status,
            output,
        }),
    }
}

/// Reads all and keeps the beginning, so that the command is never held up by a full pipe.
fn first_words(
    mut from: impl AsyncRead + Unpin + Send + 'static,
) -> (JoinHandle<()>, tokio::sync::oneshot::Receiver<Vec<u8>>) {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let task = tokio::spawn(async move {
        let mut kept = Vec::new();
        let _ = (&mut from).take(KEPT).read_to_end(&mut kept).await;
        let _ = sender.send(kept);
        let _ = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
    });
    (task, receiver)
}

/// What was read. A process that the command left behind may hold its output open; that is not waited for.
async fn finish(
    (task, words): (JoinHandle<()>, tokio::sync::oneshot::Receiver<Vec<u8>>),
) -> String {
    let words = timeout(LAST_WORDS, words).await;
    task.abort();
    let words = words.ok().and_then(Result::ok).unwrap_or_default();
    String::from_utf8_lossy(&words).into_owned()
}

fn first_lines(text: &str) -> String {
    const LINES: usize = 3;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.take(LINES).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> KubeletRestart {
        KubeletRestart::Command(["sh", "-c", script].map(str::to_owned).to_vec())
    }

    #[tokio::test]
    async fn the_first_lines_of_the_output_are_told() {
        let said = restart(&shell("echo one; echo two >&2; yes | head -n 100000"))
            .await
            .expect("success");
        assert!(said.starts_with("one; y; y"), "{said}");
    }

    #[tokio::test]
    async fn those_who_wait_for_a_restart_share_the_next_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("restarts");
        let script = format!("echo once >> {0}; sleep 0.2", file.display());
        let restarter = Restarter::new(Some(shell(&script)));
        let all = futures_util::future::join_all((0..5).map(|_| restarter.restart()));
        assert!(all.await.iter().all(Result::is_ok));
        // The first may have begun before some had asked.
        let count = || {
            std::fs::read_to_string(&file)
                .expect("restarts")
                .lines()
                .count()
        };
        let first = count();
        assert!((1..=2).contains(&first), "{first}");
        restarter.restart().await.expect("success");
        assert_eq!(count(), first + 1);
        let never = Restarter::new(None);
        assert!(!never.is_allowed());
        let error = never.restart().await.expect_err("not configured");
        assert!(matches!(error, RestartError::NotConfigured));
    }

    #[tokio::test]
    async fn a_failure_tells_the_status_and_the_reason() {
        let error = restart(&shell("echo no such unit >&2; exit 5"))
            .await
            .expect_err("failure");
        let message = error.to_string();
        assert!(message.contains("exit status: 5") && message.contains("no such unit"));
        let missing = KubeletRestart::Command(vec!["/nonexistent/program".into()]);
        let error = restart(&missing).await.expect_err("missing");
        assert!(crate::error::chain(&error).contains("No such file"));
    }

    #[tokio::test]
    async fn a_process_that_is_left_behind_is_not_waited_for() {
        let begun = std::time::Instant::now();
        restart(&shell("sleep 30 & echo started"))
            .await
            .expect("success");
        assert!(begun.elapsed() < Duration::from_secs(20));
    }
}
