//! Who stands behind the Service `default/kubernetes` until the first handoff.
//!
//! The injected API servers write no endpoints: the address of one is also that of the self-hosted one on its node, and
//! when it stops it would withdraw it from under the other. So the endpoints are written here, where there are none, and
//! are the self-hosted API servers' from then on.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::{
    Installer, Scope, UpError,
    api::ApiClient,
    wait::{self, Look},
};
use crate::cluster::{Loaded, Program};

impl Installer {
    /// Pods that reach the API by the Service's address, such as a network's, need it before the handoff.
    pub(super) async fn publish(&self, scope: &Scope, api: &ApiClient) -> Result<(), UpError> {
        let Some([endpoints, slice]) = objects(&self.loaded) else {
            return Ok(());
        };
        let (endpoints, slice) = (&endpoints, &slice);
        wait::until(scope, self.timeout, || async move {
            let doing = "write the endpoints of the Service default/kubernetes";
            match wait::patient(api.has_endpoints().await, doing)? {
                Look::Done(true) => Ok(Look::Done(())),
                Look::Done(false) => {
                    wait::patient(api.set_endpoints(endpoints, slice).await, doing)
                }
                Look::NotYet(why) => Ok(Look::NotYet(why)),
            }
        })
        .await
    }
}

/// The Endpoints and the EndpointSlice as an API server writes them, for all nodes of the control plane. `None` when none
/// has an address of the Service's family.
fn objects(loaded: &Loaded) -> Option<[Value; 2]> {
    let is_v6 = loaded.service_addresses().first()?.is_ipv6();
    let nodes = loaded.control_plane().map(|node| node.address);
    let addresses: Vec<IpAddr> = nodes.filter(|address| address.is_ipv6() == is_v6).collect();
    if addresses.is_empty() {
        return None;
    }
    let ports =
        json!([{"name": "https", "port": loaded.port(Program::ApiServer), "protocol": "TCP"}]);
    let plain: Vec<Value> = addresses.iter().map(|it| json!({"ip": it})).collect();
    let sliced = addresses
        .iter()
        .map(|it| json!({"addresses": [it], "conditions": {"ready": true}}));
    let sliced: Vec<Value> = sliced.collect();
    Some([
        json!({
            "apiVersion": "v1",
            "kind": "Endpoints",
            "metadata": {
                "name": "kubernetes",
                "namespace": "default",
                "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"},
            },
            "subsets": [{"addresses": plain, "ports": ports}],
        }),
        json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": "kubernetes",
                "namespace": "default",
                "labels": {"kubernetes.io/service-name": "kubernetes"},
            },
            "addressType": if is_v6 { "IPv6" } else { "IPv4" },
            "endpoints": sliced,
            "ports": ports,
        }),
    ])
}

#[cfg(test)]
#[allow(
    clippy::disallowed_methods,
    reason = "tests write their own scratch files"
)]
mod tests {
    use super::*;
    use crate::cluster::ClusterConfiguration;

    #[test]
    fn the_endpoints_are_the_nodes_of_the_control_plane() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let file = folder.path().join("cluster.yaml");
        let text = "apiVersion: seedpod.dev/v1alpha1\nkind: ClusterConfiguration\nname: demo\n\
                    kubernetesVersion: v1.37.2\napiServer: {port: 7443}\nnodes:\n\
                    - {name: a, address: 192.0.2.1, controlPlane: true}\n- {name: b, address: 192.0.2.2}\n\
                    - {name: c, address: 192.0.2.3, controlPlane: true}\n\
                    - {name: d, address: 192.0.2.4, controlPlane: true}\n";
        std::fs::write(&file, text).expect("written");
        let loaded = ClusterConfiguration::load(&file).expect("loaded");
        let [endpoints, slice] = objects(&loaded).expect("objects");
        let subset = &endpoints["subsets"][0];
        assert_eq!(
            subset["addresses"],
            json!([{"ip": "192.0.2.1"}, {"ip": "192.0.2.3"}, {"ip": "192.0.2.4"}])
        );
        assert_eq!(subset["ports"][0]["port"], 7443);
        assert_eq!(slice["ports"], subset["ports"]);
        assert_eq!(slice["addressType"], "IPv4");
        assert_eq!(slice["endpoints"][2]["addresses"], json!(["192.0.2.4"]));
    }
}
