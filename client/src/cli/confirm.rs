//! `seedpod confirm`.

use super::{
    args::{ConfirmArgs, ConnectionArgs},
    connection, output,
};

pub(crate) async fn run(args: ConfirmArgs, connection: ConnectionArgs) -> anyhow::Result<()> {
    let ConfirmArgs {
        bundle,
        revision,
        output,
    } = args;
    let client = connection::connect(connection).await?;
    let revision = match revision {
        Some(revision) => revision,
        None => client.get_bundle(&bundle).await?.revision,
    };
    let confirmed = client.confirm_revision(&bundle, revision).await?;
    let name = || vec![format!("bundle/{bundle}")];
    if output::print_for_programs(output, &confirmed, name)? {
        return Ok(());
    }
    output::print(&format!(
        "revision {} of bundle {bundle} is confirmed\n",
        confirmed.revision
    ))
}
