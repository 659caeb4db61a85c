//! `seedpod-rig status`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use seedpod_integration::{Layout, Node};

/// The exit status for a node that does not run, or only in part.
const NOT_RUNNING: u8 = 3;

#[expect(clippy::print_stdout, reason = "the result")]
pub(crate) fn print(dir: &Path) -> Result<ExitCode> {
    let processes = Node::recorded(dir)?;
    let Some(processes) = processes else {
        println!("no node in {}", dir.display());
        return Ok(ExitCode::from(NOT_RUNNING));
    };
    let layout = Layout::of(dir)?;
    for (name, process) in &processes {
        let state = if process.is_alive() {
            format!("runs, pid {}", process.pid)
        } else {
            "does not run".to_owned()
        };
        println!("{name:18} {state:24} {}", layout.log(name).display());
    }
    let Some(node) = Node::attach(&layout)? else {
        println!("the node runs only in part: `up` starts it again, `down` removes it");
        return Ok(ExitCode::from(NOT_RUNNING));
    };
    for (what, value) in node.facts() {
        println!("{what:18} {value}");
    }
    for container in node.containers()? {
        let name = if container.name.is_empty() {
            "(sandbox)"
        } else {
            container.name.as_str()
        };
        println!(
            "{:18} {}/{} {name} {} pid {}",
            "container", container.namespace, container.pod, container.status, container.pid
        );
    }
    Ok(ExitCode::SUCCESS)
}
