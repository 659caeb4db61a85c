//! `seedpod rollback`.

use anstream::eprintln;
use seedpod_client::{RollbackBundle, RolledBack};

use super::{
    args::{ConnectionArgs, Format, RollbackArgs},
    changes, connection,
    inject::outcome_unknown,
    output, wait,
};

pub(crate) async fn run(args: RollbackArgs, connection: ConnectionArgs) -> anyhow::Result<()> {
    let RollbackArgs {
        bundle,
        to,
        dry_run,
        waiting,
        expected_revision,
        request_id,
        output,
    } = args;
    let mut request = RollbackBundle::new(&bundle).validate_only(dry_run);
    if let Some(revision) = to {
        request = request.to_revision(revision);
    }
    if let Some(revision) = expected_revision {
        request = request.expected_revision(revision);
    }
    if let Some(id) = request_id {
        request = request.request_id(id);
    }
    let client = connection::connect(connection).await?;
    let done = match client.rollback_bundle(&request).await {
        Ok(done) => done,
        Err(error) => {
            if outcome_unknown(&error) {
                eprintln!(
                    "Whether the bundle went back is not known. To find out, or to do it, repeat the command with \
                     --request-id {}",
                    request.id()
                );
            }
            return Err(error.into());
        }
    };
    print(&done, dry_run, output)?;
    wait::if_asked(&client, &done.bundle, waiting).await
}

fn print(done: &RolledBack, dry_run: bool, format: Format) -> anyhow::Result<()> {
    let RolledBack {
        bundle,
        changes,
        object_changes,
        source_revision,
        ..
    } = done;
    let name = || vec![format!("bundle/{}", bundle.name)];
    if output::print_for_programs(format, done, name)? {
        return Ok(());
    }
    let unchanged = changes::are_none(changes, object_changes);
    let (start, verb) = match (dry_run, unchanged) {
        (false, false) => ("", "is at"),
        (false, true) => ("", "stays at"),
        (true, false) => ("dry run: ", "would be at"),
        (true, true) => ("dry run: ", "would stay at"),
    };
    let mut text = format!(
        "{start}bundle {} {verb} revision {}, with the content of revision {source_revision}\n",
        bundle.name, bundle.revision
    );
    changes::push(&mut text, changes, object_changes);
    output::print(&text)
}
