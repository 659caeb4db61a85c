//! The bridge and the subnet of a node's pods.

mod own;

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use own::{Own, release};

use crate::process::output;

/// Held while a subnet is chosen and its bridge made, so that two nodes never choose the same.
const LOCK: &str = "/run/lock/seedpod-rig-network";

/// The network of a node's pods: a bridge whose address, the first of a /24, is also the node's.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Network {
    pub(crate) bridge: String,
    pub(crate) gateway: Ipv4Addr,
}

impl Network {
    /// Makes the bridge with a subnet that no address or route of the host overlaps.
    pub(crate) fn create(bridge: &str, seed: u32) -> Result<Self> {
        let _lock = lock()?;
        delete_bridge(bridge)?;
        let taken = taken()?;
        let Some(gateway) = choose(seed, &taken) else {
            bail!("no free /24 in 100.64.0.0/10 for the pods: stop other rigs");
        };
        ip(&["link", "add", "name", bridge, "type", "bridge"])?;
        ip(&["addr", "add", &format!("{gateway}/24"), "dev", bridge])?;
        ip(&["link", "set", bridge, "up"])?;
        Ok(Self {
            bridge: bridge.to_owned(),
            gateway,
        })
    }

    /// The pods' subnet in CIDR notation.
    pub(crate) fn subnet(&self) -> String {
        let [a, b, c, _] = self.gateway.octets();
        format!("{a}.{b}.{c}.0/24")
    }

    /// Writes the CNI configuration that containerd reads.
    pub(crate) fn write_cni(&self, folder: &Path, state: &Path) -> Result<()> {
        let conflist = serde_json::json!({
            "cniVersion": "1.0.0",
            "name": self.bridge,
            "plugins": [{
                "type": "bridge",
                "bridge": self.bridge,
                "isGateway": true,
                "ipam": {
                    "type": "host-local",
                    "dataDir": state,
                    "ranges": [[{"subnet": self.subnet(), "gateway": self.gateway}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            }],
        });
        let file = folder.join("10-rig.conflist");
        fs::write(&file, conflist.to_string()).with_context(|| format!("write {}", file.display()))
    }
}

/// Keeps two who choose addresses apart. The lock ends with the returned file.
fn lock() -> Result<File> {
    fs::create_dir_all("/run/lock").context("make /run/lock")?;
    let lock = File::create(LOCK).with_context(|| format!("open {LOCK}"))?;
    lock.lock().with_context(|| format!("lock {LOCK}"))?;
    Ok(lock)
}

/// Deletes the bridge and the interfaces that are attached to it. None is no error.
pub(crate) fn delete_bridge(bridge: &str) -> Result<()> {
    let folder = Path::new("/sys/class/net").join(bridge);
    if let Ok(ports) = fs::read_dir(folder.join("brif")) {
        for port in ports.flatten() {
            // The kernel may be faster, when the pod's network namespace just ended.
            let _ = ip(&["link", "del", &port.file_name().to_string_lossy()]);
        }
    }
    if folder.exists() {
        ip(&["link", "del", bridge]).map(|_| ())
    } else {
        Ok(())
    }
}

fn ip(args: &[&str]) -> Result<String> {
    output(Command::new("ip").args(args))
}

/// The networks that the host has addresses in or routes to.
fn taken() -> Result<Vec<(Ipv4Addr, u8)>> {
    let mut taken = Vec::new();
    let routes: Value = serde_json::from_str(&ip(&["-j", "-4", "route", "show", "table", "all"])?)
        .context("read the routes")?;
    for route in routes.as_array().into_iter().flatten() {
        let Some(destination) = route["dst"].as_str() else {
            continue;
        };
        let (address, length) = destination.split_once('/').unwrap_or((destination, "32"));
        // "default" is no address, and no reason to keep away either.
        if let (Ok(address), Ok(length)) = (address.parse(), length.parse()) {
            taken.push((address, length));
        }
    }
    Ok(taken)
}

/// The first address of a free /24 of 100.64.0.0/10, tried from a place that `seed` gives.
fn choose(seed: u32, taken: &[(Ipv4Addr, u8)]) -> Option<Ipv4Addr> {
    const SUBNETS: u32 = 1 << 14;
    let base = u32::from(Ipv4Addr::new(100, 64, 0, 0));
    (0..SUBNETS)
        .map(|offset| base + (((seed % SUBNETS) + offset) % SUBNETS) * 256)
        .find(|subnet| {
            !taken
                .iter()
                .any(|(address, length)| overlaps(*subnet, *address, *length))
        })
        .map(|subnet| Ipv4Addr::from(subnet + 1))
}

fn overlaps(subnet: u32, address: Ipv4Addr, length: u8) -> bool {
    let shift = 32 - u32::from(length.min(24));
    let mask = u32::MAX.checked_shl(shift).unwrap_or(0);
    length > 0 && subnet & mask == u32::from(address) & mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subnet_that_overlaps_an_address_or_a_wider_route_is_skipped() {
        let taken = [
            ("100.64.0.9".parse().unwrap(), 32),
            ("100.64.2.0".parse().unwrap(), 23),
        ];
        assert_eq!(choose(0, &taken), Some("100.64.1.1".parse().unwrap()));
        assert_eq!(choose(2, &taken), Some("100.64.4.1".parse().unwrap()));
    }

    #[test]
    fn nothing_is_free_when_the_whole_range_is_routed() {
        assert_eq!(choose(7, &[("100.64.0.0".parse().unwrap(), 10)]), None);
    }
}
