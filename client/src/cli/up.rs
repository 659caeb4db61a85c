//! `seedpod up`.

mod show;

use std::{
    fmt::Write as _,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use anstream::eprintln;
use seedpod_client::{
    Options,
    cluster::{ClusterConfiguration, Installer, Outcome, Phase, UpError},
};
use serde::Serialize;

use super::{
    args::{ClusterArgs, ConnectionArgs, UpArgs, UpFormat, UpOptions, UpWhat},
    connection,
    exit::{Interrupted, Usage},
    output,
};
pub(super) use show::{Show, print_error};

/// The end of `-o json`.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "camelCase")]
enum End<'a> {
    #[serde(rename_all = "camelCase")]
    Result {
        cluster: &'a str,
        directory: String,
        phases: &'a [Done],
    },
}

#[derive(Serialize)]
struct Done {
    phase: Phase,
    outcome: Outcome,
}

pub(crate) async fn run(args: UpArgs, connection: ConnectionArgs) -> anyhow::Result<()> {
    let UpArgs {
        what,
        options,
        skip_phases,
    } = args;
    let (options, phases) = match what {
        None => {
            if skip_phases.contains(&Phase::Render) {
                return Err(Usage(
                    "render cannot be skipped: the other phases read what it writes, and what is there \
                     already stays"
                        .to_owned(),
                )
                .into());
            }
            let mut phases = Phase::ALL.to_vec();
            phases.retain(|phase| !skip_phases.contains(phase));
            (options, phases)
        }
        Some(UpWhat::Phase(args)) if args.name == "list" => return list(),
        Some(UpWhat::Phase(args)) => {
            let phase = args.name.parse::<Phase>();
            let phase = phase.map_err(|error| Usage(error.to_string()))?;
            (args.options, vec![phase])
        }
    };
    let UpOptions {
        cluster,
        ignore_preflight_errors,
        timeout,
        api_address,
        output,
    } = options;
    let show = Arc::new(Mutex::new(Show::new(output)));
    let mut installer = installer(&cluster, connection, &show)?
        .timeout(timeout)
        .ignore_preflight_errors(ignore_preflight_errors);
    if let Some(address) = api_address {
        installer = installer.api_address(address);
    }
    let _lock = installer.lock()?;
    let result = interruptible(&installer, &phases).await;
    finish(&show);
    let done = match result {
        Ok(done) => done,
        Err(error) => {
            if output == UpFormat::Json {
                print_error(&error)?;
            }
            return Err(error);
        }
    };
    if output == UpFormat::Json {
        let end = End::Result {
            cluster: &installer.loaded().configuration.name,
            directory: installer.directory().display().to_string(),
            phases: &done,
        };
        return output::print(&(serde_json::to_string(&end)? + "\n"));
    }
    output::print(&summary(&installer, &phases))
}

/// The phases, until somebody has enough of it.
async fn interruptible(installer: &Installer, phases: &[Phase]) -> anyhow::Result<Vec<Done>> {
    let mut at = None;
    let run = async {
        let mut done = Vec::new();
        for phase in phases {
            at = Some(*phase);
            let outcome = installer.run(*phase).await?;
            done.push(Done {
                phase: *phase,
                outcome,
            });
        }
        Ok::<_, UpError>(done)
    };
    let ended = tokio::select! {
        result = run => Some(result),
        () = interrupted() => None,
    };
    match ended {
        Some(result) => Ok(result?),
        None => Err(Interrupted(match at {
            Some(Phase::Handoff) => {
                "interrupted in phase handoff: a handoff that is under way goes on, on its node; \
                 `seedpod handoff status` there tells how, and the same command goes on from here"
                    .to_owned()
            }
            Some(phase) => format!(
                "interrupted in phase {phase}: everything stays as it is, and the same command goes on \
                 from here"
            ),
            None => "interrupted before anything was done".to_owned(),
        })
        .into()),
    }
}

/// Ctrl-C, or what stops a service.
pub(super) async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut terminated) => {
                terminated.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    let interrupted = async {
        // Where it cannot be listened for, it ends the process as it always does.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = terminated => {}
        () = interrupted => {}
    }
}

/// An installer of the cluster that the arguments mean.
pub(super) fn installer(
    cluster: &ClusterArgs,
    connection: ConnectionArgs,
    show: &Arc<Mutex<Show>>,
) -> anyhow::Result<Installer> {
    let ClusterArgs { file, dir } = cluster;
    let file = file
        .as_ref()
        .ok_or_else(|| Usage("give the cluster's configuration: --file cluster.yaml".to_owned()))?;
    let loaded = ClusterConfiguration::load(file)?;
    for warning in &loaded.warnings {
        eprintln!("warning: {}", warning.in_file(file));
    }
    let directory = dir.clone().unwrap_or_else(|| {
        let folder = loaded.folder.clone();
        folder.join(&loaded.configuration.name)
    });
    let template = template(connection)?;
    let show = Arc::clone(show);
    Ok(Installer::new(loaded, directory)
        .options(template)
        .on_progress(move |progress| {
            let mut show = show.lock().unwrap_or_else(PoisonError::into_inner);
            show.tell(progress);
        }))
}

/// How the nodes are connected to: as the arguments and the context say, but for the endpoint, which each node has of its
/// own.
fn template(mut connection: ConnectionArgs) -> anyhow::Result<Options> {
    // Certificates count only where the endpoint is one over TCP.
    connection.endpoint = Some("https://localhost:10290".to_owned());
    // A name in the certificate would be that of all nodes.
    connection.server_name = None;
    connection::options(connection)
}

pub(super) fn finish(show: &Mutex<Show>) {
    let mut show = show.lock().unwrap_or_else(PoisonError::into_inner);
    show.finish();
}

fn list() -> anyhow::Result<()> {
    let mut text = String::new();
    for phase in Phase::ALL {
        let _ = writeln!(text, "{phase:<14} {}", phase.about());
    }
    output::print(&text)
}

fn summary(installer: &Installer, phases: &[Phase]) -> String {
    let name = &installer.loaded().configuration.name;
    if phases != Phase::ALL {
        let phases: Vec<&str> = phases.iter().map(|phase| phase.as_str()).collect();
        return format!("cluster {name}: done: {}\n", phases.join(", "));
    }
    let kubeconfig: PathBuf = installer.admin_kubeconfig();
    format!(
        "cluster {name} is up, and its control plane hosts itself\n  export KUBECONFIG={}\n  kubectl get nodes,pods -A\n",
        kubeconfig.display()
    )
}
