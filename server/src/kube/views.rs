//! What a handoff reads of leases, and its own object.

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use serde_json::json;
use tokio::net::TcpStream;

use super::{
    FIELD_MANAGER, Kube, KubeError,
    wire::{Ask, Given, parameter, path},
};

/// Who holds a lease.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct LeaseView {
    /// `None` when nobody does: it was given up, or never taken.
    pub(crate) holder: Option<String>,
    pub(crate) renew_time: Option<Timestamp>,
    /// How often it has changed hands.
    pub(crate) transitions: i32,
}

impl Kube {
    /// A Lease; `None` when there is none.
    pub(crate) async fn lease(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<LeaseView>, KubeError> {
        let answer = match self
            .wire
            .send(&Ask::get(&lease_path(namespace, name)))
            .await
        {
            Ok(answer) => answer,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        let spec = answer.json::<Lease>()?.spec.unwrap_or_default();
        let LeaseSpec {
            holder_identity,
            renew_time,
            lease_transitions,
            ..
        } = spec;
        Ok(Some(LeaseView {
            holder: holder_identity.filter(|holder| !holder.is_empty()),
            renew_time: renew_time.map(|time| time.0),
            transitions: lease_transitions.unwrap_or_default(),
        }))
    }

    /// Writes a value that nobody has seen before into a Lease of its own, `seedpod-handoff-NODE` in kube-system, and
    /// reads it back, both over this very connection.
    pub(crate) async fn write_and_read(
        &self,
        over: TcpStream,
        node: &str,
    ) -> Result<(), KubeError> {
        let mut random = [0_u8; 16];
        aws_lc_rs::rand::fill(&mut random).map_err(|_| KubeError::Answer {
            what: "the system gives no random numbers",
        })?;
        let value = format!("{:032x}", u128::from_be_bytes(random));
        let name = own_name(node);
        let path = lease_path("kube-system", &name);
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": name,
                "namespace": "kube-system",
                "labels": {"app.kubernetes.io/managed-by": "seedpod"},
            },
            "spec": {"holderIdentity": value, "renewTime": format!("{:.6}", Timestamp::now())},
        });
        let query = format!(
            "{path}?{}&force=true",
            parameter("fieldManager", FIELD_MANAGER)
        );
        let mut connection = Given::new(&self.access, over).await?;
        connection
            .send(&Ask::apply(&query, lease.to_string()))
            .await?;
        let read: Lease = connection.send(&Ask::get(&path)).await?.json()?;
        let holder = read.spec.and_then(|spec| spec.holder_identity);
        if holder.as_deref() == Some(value.as_str()) {
            Ok(())
        } else {
            Err(KubeError::NotKept)
        }
    }
}

fn lease_path(namespace: &str, name: &str) -> String {
    path(&[
        "apis",
        "coordination.k8s.io",
        "v1",
        "namespaces",
        namespace,
        "leases",
        name,
    ])
}

/// Names have at most 253 characters, and end in a letter or digit.
fn own_name(node: &str) -> String {
    let mut name: String = format!("seedpod-handoff-{node}")
        .chars()
        .take(253)
        .collect();
    while name.ends_with(['.', '-']) {
        name.pop();
    }
    name
}
