//! `seedpod get`.

mod bundles;
mod node;
mod objects;
mod pods;
mod watch;

use seedpod_client::ObjectKind;

use super::{
    args::{ConnectionArgs, GetArgs, GetWhat},
    connection,
};

pub(crate) async fn run(args: GetArgs, connection: ConnectionArgs) -> anyhow::Result<()> {
    let GetArgs { what, output } = args;
    let client = connection::connect(connection).await?;
    match what {
        GetWhat::Bundles { name } => bundles::run(&client, name, output).await,
        GetWhat::Pods {
            name,
            bundle,
            watch,
        } => {
            let wanted = pods::Wanted { name, bundle };
            if watch {
                watch::run(&client, &wanted, output).await
            } else {
                pods::run(&client, &wanted, output).await
            }
        }
        GetWhat::Secrets(which) => objects::run(&client, ObjectKind::Secret, which, output).await,
        GetWhat::ConfigMaps(which) => {
            objects::run(&client, ObjectKind::ConfigMap, which, output).await
        }
        GetWhat::Node => node::run(&client, output).await,
    }
}
