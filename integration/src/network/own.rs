//! Nodes with a network namespace of their own, and the bridge that connects them with the host and each other.
//!
//! What is taken is read from the kernel: the host's end of each node's cable says in its alias which address and
//! which pods' subnet it stands for. So nothing has to be kept in step when a rig is killed.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Network, choose, ip, lock, taken};
use crate::process::{ProcessRecord, output};

/// The bridge on the host. The host has its first address.
const BRIDGE: &str = "rig-nodes";

/// The name of a node's one interface in its namespace.
const INTERFACE: &str = "eth0";

/// A node's place on the bridge.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Own {
    /// The host's end of the node's cable.
    pub(crate) cable: String,
    pub(crate) address: Ipv4Addr,
    /// The host's address on the bridge.
    pub(crate) host: Ipv4Addr,
    pub(crate) ipv6: bool,
}

impl Own {
    /// Takes an address for a node and a subnet for its pods, and plugs the cable in at the host's end.
    pub(crate) fn reserve(id: &str, seed: u32, pods: &str, ipv6: bool) -> Result<(Self, Network)> {
        let _lock = lock()?;
        let cable = cable(id);
        unplug(&cable)?;
        let host = bridge()?;
        let used: BTreeSet<Ipv4Addr> = plugged()?.into_iter().map(|it| it.address).collect();
        let Some(address) = choose_address(host, seed, &used) else {
            bail!("no free address on the bridge {BRIDGE}: stop other rigs");
        };
        let Some(gateway) = choose(seed, &taken()?) else {
            bail!("no free /24 in 100.64.0.0/10 for the pods: stop other rigs");
        };
        let own = Self {
            cable,
            address,
            host,
            ipv6,
        };
        let network = Network {
            bridge: pods.to_owned(),
            gateway,
        };
        own.plug_in(&network)?;
        Ok((own, network))
    }

    /// Lays the cable into the namespace of a process, where the interface then has the node's address.
    pub(crate) fn connect(&self, network: &Network, process: ProcessRecord) -> Result<()> {
        let _lock = lock()?;
        // After a power cut the old cable is gone, with the namespace that its other end was in.
        unplug(&self.cable)?;
        if bridge()? != self.host {
            bail!(
                "the bridge {BRIDGE} is another than when the node got its address {}",
                self.address
            );
        }
        if plugged()?.iter().any(|it| it.address == self.address) {
            bail!(
                "another node has taken the address {} meanwhile",
                self.address
            );
        }
        self.plug_in(network)?;
        let pid = process.pid.to_string();
        let inner = self.inner_end();
        ip(&["link", "set", &inner, "netns", &pid, "name", INTERFACE])?;
        let script = r#"set -e
[ "$4" = true ] || echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6
echo 1 > /proc/sys/net/ipv4/ip_forward
ip link set lo up
ip addr add "$1/24" dev "$3"
ip link set "$3" up
ip route add default via "$2""#;
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net=/proc/{pid}/ns/net"))
            .args(["--", "sh", "-c", script, "rig"])
            .args([
                &self.address.to_string(),
                &self.host.to_string(),
                INTERFACE,
                &self.ipv6.to_string(),
            ]);
        output(&mut command)
            .map(|_| ())
            .context("furnish the node's network namespace")
    }

    fn inner_end(&self) -> String {
        self.cable.replacen("rigv", "rigp", 1)
    }

    fn plug_in(&self, network: &Network) -> Result<()> {
        let (cable, inner) = (self.cable.as_str(), self.inner_end());
        ip(&["link", "add", cable, "type", "veth", "peer", "name", &inner])?;
        let alias = format!("{} {}", self.address, network.subnet());
        ip(&[
            "link", "set", cable, "alias", &alias, "master", BRIDGE, "up",
        ])?;
        // The pods, too, are reached from the host, and nobody else takes their subnet.
        let (subnet, address) = (network.subnet(), self.address.to_string());
        ip(&[
            "route", "replace", &subnet, "via", &address, "dev", BRIDGE, "onlink",
        ])
        .map(|_| ())
    }
}

/// Takes a node's cable away, and with the last one the bridge. None is no error.
pub(crate) fn release(id: &str) -> Result<()> {
    let _lock = lock()?;
    unplug(&cable(id))?;
    if !Path::new("/sys/class/net").join(BRIDGE).exists() {
        return Ok(());
    }
    if plugged()?.is_empty() {
        return ip(&["link", "del", BRIDGE]).map(|_| ());
    }
    forget_routes()
}

fn cable(id: &str) -> String {
    format!("rigv-{id}")
}

fn unplug(cable: &str) -> Result<()> {
    if !Path::new("/sys/class/net").join(cable).exists() {
        return Ok(());
    }
    match ip(&["link", "del", cable]) {
        // The kernel may be faster, when the namespace of the other end just ended.
        Err(error) if Path::new("/sys/class/net").join(cable).exists() => Err(error),
        _ => Ok(()),
    }
}

/// Makes the bridge unless it is there, and returns the host's address on it.
fn bridge() -> Result<Ipv4Addr> {
    if let Some(address) = bridge_address()? {
        forget_routes()?;
        return Ok(address);
    }
    // Whoever made it was killed before it had an address.
    super::delete_bridge(BRIDGE)?;
    let Some(address) = choose(0, &taken()?) else {
        bail!("no free /24 in 100.64.0.0/10 for the nodes: stop other rigs");
    };
    ip(&["link", "add", "name", BRIDGE, "type", "bridge"])?;
    ip(&["addr", "add", &format!("{address}/24"), "dev", BRIDGE])?;
    ip(&["link", "set", BRIDGE, "up"])?;
    Ok(address)
}

fn bridge_address() -> Result<Option<Ipv4Addr>> {
    if !Path::new("/sys/class/net").join(BRIDGE).exists() {
        return Ok(None);
    }
    let found = json(&["-j", "-4", "addr", "show", "dev", BRIDGE])?;
    let addresses = found
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|link| link["addr_info"].as_array().cloned().unwrap_or_default());
    Ok(addresses
        .filter_map(|it| it["local"].as_str()?.parse().ok())
        .next())
}

/// What a plugged cable says of itself.
struct Plugged {
    address: Ipv4Addr,
}

fn plugged() -> Result<Vec<Plugged>> {
    let links = json(&["-j", "link", "show", "master", BRIDGE])?;
    let aliases = links.as_array().into_iter().flatten();
    Ok(aliases
        .filter_map(|link| {
            let address = link["ifalias"].as_str()?.split(' ').next()?.parse().ok()?;
            Some(Plugged { address })
        })
        .collect())
}

/// Removes the routes to the pods of nodes that are gone.
fn forget_routes() -> Result<()> {
    let there: BTreeSet<Ipv4Addr> = plugged()?.into_iter().map(|it| it.address).collect();
    let routes = json(&["-j", "-4", "route", "show", "dev", BRIDGE])?;
    for route in routes.as_array().into_iter().flatten() {
        let via = route["gateway"].as_str().and_then(|it| it.parse().ok());
        if let (Some(via), Some(subnet)) = (via, route["dst"].as_str())
            && !there.contains(&via)
        {
            ip(&["route", "del", subnet, "dev", BRIDGE])?;
        }
    }
    Ok(())
}

fn json(args: &[&str]) -> Result<Value> {
    let text = ip(args)?;
    // With nothing to show, some versions print nothing.
    if text.trim().is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(&text).with_context(|| format!("read what ip {} says", args.join(" ")))
}

/// An address in the bridge's /24 that nobody has, tried from a place that `seed` gives.
fn choose_address(host: Ipv4Addr, seed: u32, used: &BTreeSet<Ipv4Addr>) -> Option<Ipv4Addr> {
    const ADDRESSES: u32 = 253;
    let base = u32::from(host) & !0xff;
    (0..ADDRESSES)
        .map(|offset| Ipv4Addr::from(base + 2 + (seed % ADDRESSES + offset) % ADDRESSES))
        .find(|address| *address != host && !used.contains(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_taken_is_skipped_and_none_is_left_in_the_end() {
        let host: Ipv4Addr = "100.64.3.1".parse().unwrap();
        let mut used = BTreeSet::new();
        assert_eq!(
            choose_address(host, 252, &used),
            Some("100.64.3.254".parse().unwrap())
        );
        while let Some(address) = choose_address(host, 252, &used) {
            assert!(used.insert(address) && address != host);
        }
        assert_eq!(used.len(), 253);
    }
}
