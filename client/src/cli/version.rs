//! `seedpod version`.

use anstream::eprintln;
use serde::Serialize;

use super::{
    args::{ConnectionArgs, VersionArgs},
    connection, output,
};

#[derive(Serialize)]
struct Versions {
    client: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<Server>,
}

#[derive(Serialize)]
struct Server {
    version: String,
    node: String,
}

pub(crate) async fn run(args: VersionArgs, connection: ConnectionArgs) -> anyhow::Result<()> {
    let VersionArgs { client, output } = args;
    let server = if client {
        None
    } else {
        server(connection).await?
    };
    let versions = Versions {
        client: env!("CARGO_PKG_VERSION"),
        server,
    };
    let names = || vec![format!("seedpod/{}", versions.client)];
    if output::print_for_programs(output, &versions, names)? {
        return Ok(());
    }
    let mut text = format!("Client: {}\n", versions.client);
    if let Some(Server { version, node }) = &versions.server {
        text.push_str(&format!("Server: {version} (node {node})\n"));
    }
    output::print(&text)
}

/// A node that does not answer is no failure here: which version this tool has is told all the same.
async fn server(connection: ConnectionArgs) -> anyhow::Result<Option<Server>> {
    let options = connection::options(connection)?;
    let answer = async {
        seedpod_client::Client::connect(options)
            .await?
            .get_node()
            .await
    }
    .await;
    match answer {
        Ok(node) => Ok(Some(Server {
            version: node.seedpod_version,
            node: node.name,
        })),
        Err(error) => {
            eprintln!(
                "The server's version is not known: {:#}",
                anyhow::Error::from(error)
            );
            Ok(None)
        }
    }
}
