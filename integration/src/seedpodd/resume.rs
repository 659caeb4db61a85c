//! A daemon that another process has started.

use std::fs;
use std::net::SocketAddr;

use anyhow::Result;
use serde_json::Value;

use super::{PROCESS, Seedpodd, SeedpoddOptions};
use crate::cargo::workspace_binary;
use crate::node::Node;

impl<'node> Seedpodd<'node> {
    /// The node's first daemon, whoever has started it: one that runs goes on, one that has stopped is started again, both
    /// with the certificates and ports that they have. Without one, as [`Seedpodd::start`].
    ///
    /// # Errors
    /// As [`Seedpodd::start`].
    pub fn start_or_resume(node: &'node Node) -> Result<Self> {
        let Some(daemon) = Self::resumed(node)? else {
            return Self::start(node, &SeedpoddOptions::default());
        };
        if daemon.process().is_none() {
            daemon.start_again()?;
        }
        Ok(daemon)
    }

    /// `None` when there is no whole configuration: that is written last.
    fn resumed(node: &'node Node) -> Result<Option<Self>> {
        let folder = node.layout().seedpodd().join(PROCESS);
        let Ok(text) = fs::read_to_string(folder.join("config.yaml")) else {
            return Ok(None);
        };
        let config: Value = serde_json::from_str(&text).unwrap_or_default();
        let port = |key: &str| {
            let address: SocketAddr = config[key].as_str()?.parse().ok()?;
            (address.ip() == node.address()).then_some(address.port())
        };
        let (Some(tls_port), Some(metrics_port)) = (port("listenAddress"), port("metricsAddress"))
        else {
            return Ok(None);
        };
        Ok(Some(Self {
            node,
            name: PROCESS.to_owned(),
            program: workspace_binary("seedpod-server", PROCESS)?,
            folder,
            authority: None,
            tls_port,
            metrics_port,
            kept: false,
        }))
    }
}
