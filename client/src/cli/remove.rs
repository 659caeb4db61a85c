//! `seedpod remove`.

use anstream::eprintln;
use seedpod_client::{RemoveBundle, Wait};
use serde::Serialize;

use super::{
    args::{ConnectionArgs, RemoveArgs},
    connection,
    lint::count,
    output::{self, style},
    progress::Progress,
};

/// As `-o json` prints it: the bundle as it was, or null.
#[derive(Serialize)]
struct Removed {
    bundle: Option<seedpod_client::Bundle>,
}

pub(crate) async fn run(args: RemoveArgs, connection: ConnectionArgs) -> anyhow::Result<()> {
    let RemoveArgs {
        bundle: name,
        wait,
        timeout,
        ignore_not_found,
        forget_history,
        expected_revision,
        output,
    } = args;
    let mut request = RemoveBundle::new(&name)
        .allow_missing(ignore_not_found)
        .forget_history(forget_history);
    if let Some(revision) = expected_revision {
        request = request.expected_revision(revision);
    }
    let client = connection::connect(connection).await?;
    let removed = Removed {
        bundle: client.remove_bundle(&request).await?,
    };
    let names = || {
        removed
            .bundle
            .iter()
            .map(|bundle| format!("bundle/{}", bundle.name))
            .collect()
    };
    if !output::print_for_programs(output, &removed, names)? {
        match &removed.bundle {
            Some(bundle) => {
                let pods = count(bundle.pods.len(), "pod");
                output::print(&format!(
                    "bundle {name} (revision {}, {pods}) removed\n",
                    bundle.revision
                ))?;
            }
            None => eprintln!("There is no bundle {name}."),
        }
    }
    if wait {
        // Also when there was no bundle: an earlier removal may still be going on.
        let mut progress = Progress::new();
        let result = client
            .wait_removed(
                &name,
                Wait::new(timeout).on_progress(|pods| progress.show(pods)),
            )
            .await;
        progress.finish();
        result?;
        eprintln!(
            "{}all pods of bundle {name} are gone{}",
            style::GOOD,
            style::RESET
        );
    }
    Ok(())
}
