//! `seedpod handoff`.

mod show;

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use anstream::eprintln;
use futures_util::TryStreamExt as _;
use seedpod_client::{
    Client, Handoff, HandoffComponent, HandoffDeadlines, HandoffState, StartHandoff,
};
use zeroize::Zeroizing;

use self::show::{Show, describe};
use super::{
    args::{
        AbortArgs, ConnectionArgs, HandoffArgs, HandoffWhat, StartArgs, StatusArgs, StreamFormat,
    },
    connection,
    exit::{HandedBack, Interrupted, Usage},
    files,
    inject::outcome_unknown,
    output,
    up::interrupted,
};

/// For how long the node may not answer while its handoff is watched: the daemon may be restarting.
const SILENCE: Duration = Duration::from_secs(60);

pub(crate) async fn run(args: HandoffArgs, connection: ConnectionArgs) -> anyhow::Result<()> {
    match args.what {
        HandoffWhat::Start(args) => start(args, connection).await,
        HandoffWhat::Status(args) => status(&args, connection).await,
        HandoffWhat::Abort(args) => abort(args, connection).await,
    }
}

async fn start(args: StartArgs, connection: ConnectionArgs) -> anyhow::Result<()> {
    let (no_wait, dry_run, format) = (args.no_wait, args.dry_run, args.output);
    let request = request(args)?;
    let client = connection::connect(connection).await?;
    let begun = match client.start_handoff(&request).await {
        Ok(begun) => begun,
        Err(error) => {
            if outcome_unknown(&error) {
                eprintln!(
                    "Whether the handoff has begun is not known. `seedpod handoff status` tells; to begin it only if it \
                     has not, repeat the command with --request-id {}",
                    request.id()
                );
            }
            return Err(error.into());
        }
    };
    if dry_run {
        return output::print(&format!(
            "dry run: the handoff of bundle {} could begin\n",
            begun.bundle
        ));
    }
    if no_wait {
        return print(&begun, format);
    }
    let ended = to_its_end(&client, &begun.id, format).await?;
    print(&ended, format)?;
    match (ended.state, ended.failure) {
        (HandoffState::Reverted, Some(failure)) => Err(HandedBack {
            state: failure.state,
            reason: failure.reason,
            message: failure.message,
        }
        .into()),
        _ => Ok(()),
    }
}

fn request(args: StartArgs) -> anyhow::Result<StartHandoff> {
    let StartArgs {
        files,
        kubeconfig,
        bundle,
        api_server,
        port,
        components,
        node_labels,
        deadlines,
        stable_for,
        dry_run,
        no_wait: _,
        request_id,
        output: _,
    } = args;
    if files.filename.is_empty() {
        return Err(Usage(
            "-f is required: the objects of the self-hosted control plane".to_owned(),
        )
        .into());
    }
    let manifests = files::read_any(None, &files)?;
    let kubeconfig = read(&kubeconfig)?;
    let mut request = StartHandoff::new(bundle, kubeconfig.as_str())
        .manifests(manifests.iter().map(|manifest| manifest.text.as_str()))
        .component(HandoffComponent::api_server(api_server).port(port))
        .node_labels(node_labels.into_iter().collect::<BTreeMap<_, _>>())
        .validate_only(dry_run);
    for component in components {
        let (pod, lease) = component
            .split_once('=')
            .unwrap_or((&component, &component));
        request = request.component(HandoffComponent::leader_elected(pod, lease));
    }
    if !deadlines.is_empty() {
        request = request.deadlines(given_deadlines(&deadlines));
    }
    if let Some(stable_for) = stable_for {
        request = request.stable_for(stable_for);
    }
    if let Some(id) = request_id {
        request = request.request_id(id);
    }
    Ok(request)
}

fn given_deadlines(given: &[(String, Duration)]) -> HandoffDeadlines {
    let of = |state: &str| {
        let mut given = given.iter().rev();
        given.find(|(it, _)| it == state).map(|(_, time)| *time)
    };
    HandoffDeadlines {
        apply: of("apply"),
        ready: of("ready"),
        kubelet: of("kubelet"),
        drain: of("drain"),
        hand_over: of("hand-over"),
        verify: of("verify"),
    }
}

fn read(path: &Path) -> Result<Zeroizing<String>, Usage> {
    let text = fs::read_to_string(path).map(Zeroizing::new);
    text.map_err(|error| Usage(format!("cannot read {}: {error}", path.display())))
}

async fn status(args: &StatusArgs, connection: ConnectionArgs) -> anyhow::Result<()> {
    let client = connection::connect(connection).await?;
    if !args.watch {
        return print(&client.get_handoff().await?, args.output);
    }
    let mut show = Show::new();
    let mut changes = client.watch_handoff();
    while let Some(handoff) = changes.try_next().await? {
        match args.output {
            StreamFormat::Json => output::print(&output::json_lines(&[handoff])?)?,
            StreamFormat::Table => show.tell(&handoff),
        }
    }
    Ok(())
}

async fn abort(args: AbortArgs, connection: ConnectionArgs) -> anyhow::Result<()> {
    let client = connection::connect(connection).await?;
    let aborted = client.abort_handoff(args.id.as_deref()).await?;
    if args.no_wait {
        return print(&aborted, args.output);
    }
    let ended = to_its_end(&client, &aborted.id, args.output).await?;
    print(&ended, args.output)
}

/// Shows how a handoff goes, until it is at its end.
async fn to_its_end(client: &Client, id: &str, format: StreamFormat) -> anyhow::Result<Handoff> {
    let mut show = Show::new();
    let ended = tokio::select! {
        ended = watch(client, id, &mut show) => ended,
        () = interrupted() => Err(Interrupted(
            "interrupted; the handoff goes on, on its node: `seedpod handoff status -w` shows how, and `seedpod handoff \
             abort` has it take its way back"
                .to_owned(),
        )
        .into()),
    };
    // Else what is printed says it.
    if format == StreamFormat::Table || ended.is_err() {
        show.finish();
    }
    ended
}

async fn watch(client: &Client, id: &str, show: &mut Show) -> anyhow::Result<Handoff> {
    let watched = client.wait_handoff(Some(id), SILENCE, |heard| match heard {
        Ok(handoff) => show.tell(handoff),
        Err(error) => show.note(&format!(
            "the node does not answer, its handoff goes on: {error}"
        )),
    });
    let handoff = watched.await?;
    anyhow::ensure!(
        handoff.id == id,
        "another handoff has begun on the node since: {}",
        handoff.id
    );
    Ok(handoff)
}

fn print(handoff: &Handoff, format: StreamFormat) -> anyhow::Result<()> {
    match format {
        StreamFormat::Json => {
            let text = serde_json::to_string_pretty(handoff)? + "\n";
            output::print(&text)
        }
        StreamFormat::Table => output::print(&describe(handoff)),
    }
}
