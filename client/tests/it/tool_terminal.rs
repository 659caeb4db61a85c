//! What is different on a terminal.

use std::{
    fs::{self, File},
    io::Read as _,
    os::fd::OwnedFd,
    process::Child,
};

use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};
use seedpod_proto::v1::{PodState as State, pod_change::Type};

use crate::{
    fake::{Fake, Script, Step, always, bundle, change, gate, injected, pod, pods, watch, whole},
    tool::command,
    tool_get::fifty,
};

/// The tool on a terminal of 100 columns.
struct Terminal {
    screen: File,
    child: Child,
    seen: String,
}

impl Terminal {
    fn run(fake: &Fake, args: &[&str]) -> Self {
        let screen = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&screen).expect("granted");
        unlockpt(&screen).expect("unlocked");
        let name = ptsname(&screen, Vec::new()).expect("a name");
        let inside: OwnedFd = File::options()
            .read(true)
            .write(true)
            .open(name.to_str().expect("UTF-8"))
            .expect("opened")
            .into();
        let size = Winsize {
            ws_row: 60,
            ws_col: 100,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&inside, size).expect("sized");
        let child = command(args)
            .env("SEEDPOD_ENDPOINT", &fake.endpoint)
            .env("TERM", "xterm-256color")
            .stdout(inside.try_clone().expect("a copy"))
            .stderr(inside)
            .spawn()
            .expect("started");
        Self {
            screen: screen.into(),
            child,
            seen: String::new(),
        }
    }

    /// Reads until the text has been seen; without one, until the tool has ended. That it ends is the tool's time-out's
    /// business.
    fn read_until(&mut self, text: Option<&str>) {
        let mut buffer = [0; 4096];
        while text.is_none_or(|text| !self.seen.contains(text)) {
            match self.screen.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => self.seen += &String::from_utf8_lossy(&buffer[..read]),
                // Nobody has the terminal open any longer.
                Err(error)
                    if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) =>
                {
                    break;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// All that was printed, and the exit code.
    fn end(mut self) -> (String, Option<i32>) {
        self.read_until(None);
        let status = self.child.wait().expect("ended");
        (self.seen, status.code())
    }
}

#[test]
fn a_table_of_fifty_pods_fits_a_terminal_of_100_columns() {
    let mut longer = fifty();
    for pod in &mut longer {
        pod.bundle = "control-plane-and-more".to_owned();
    }
    for (shown, cut) in [(fifty(), false), (longer, true)] {
        let fake = Fake::start(Script {
            list_pods: always(pods(&shown)),
            ..Script::default()
        });
        let (text, code) = Terminal::run(&fake, &["get", "pods"]).end();
        assert_eq!(code, Some(0));
        let text = anstream::adapter::strip_str(&text).to_string();
        let rows: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("control-plane"))
            .collect();
        assert_eq!(rows.len(), 50);
        for row in rows {
            assert!(row.chars().count() <= 100, "{row:?}");
            assert_eq!(row.ends_with('…'), cut, "{row:?}");
            assert!(row.contains("  Replacing  66m    0/1"), "{row:?}");
        }
    }
}

#[test]
fn progress_is_a_line_per_pod_that_changes_in_place() {
    let seen = gate();
    let fake = Fake::start(Script {
        inject: always(injected(
            bundle("web", 3, &[("a", "uid-a"), ("b", "uid-b")]),
            &[("a", Type::Added, "")],
        )),
        get_bundle: always(bundle("web", 3, &[("a", "uid-a"), ("b", "uid-b")])),
        watch_pods: watch(vec![
            whole(&[
                pod("a", "uid-a", State::Starting, "pulls the image"),
                pod("b", "uid-b", State::Ready, ""),
            ]),
            Step::Gate(seen.clone()),
            change(&[pod("a", "uid-a", State::Ready, "")]),
        ]),
        ..Script::default()
    });
    let file = fake.scratch().join("pod.yaml");
    fs::write(&file, "kind: Pod").expect("written");
    let file = file.display().to_string();
    let args = ["inject", "web", "-f", &file, "--wait", "--timeout", "20s"];
    let mut terminal = Terminal::run(&fake, &args);
    terminal.read_until(Some("kube-system/a: Starting (pulls the image)"));
    seen.add_permits(1);
    let (text, code) = terminal.end();
    assert_eq!(code, Some(0), "{text}");
    let plain = anstream::adapter::strip_str(&text).to_string();
    let waiting = plain
        .split(['\r', '\n'])
        .find(|line| line.contains("a: Starting"))
        .unwrap_or_default();
    assert!(
        waiting.contains(" 0s kube-system/a: Starting"),
        "{waiting:?}"
    );
    assert!(plain.contains("✓ kube-system/a: Ready"), "{plain}");
    assert!(plain.contains("✓ kube-system/b: Ready"), "{plain}");
    assert!(
        plain.trim_end().ends_with("2 pods of bundle web ready"),
        "{plain}"
    );
}
