//! One component of a `StartHandoffRequest`.

use seedpod_manifest::{PodKey, is_dns_label, is_dns_subdomain};
use seedpod_proto::v1::{HandoffComponent, handoff_component};

use super::{Faults, check_labels};
use crate::handoff::{Component, Kind};

const DEFAULT_NAMESPACE: &str = "kube-system";
const DEFAULT_PORT: u16 = 6443;

/// `None` when something is wrong, which is among the faults then.
pub(super) fn parse(
    field: &str,
    given: &HandoffComponent,
    faults: &mut Faults,
) -> Option<Component> {
    let before = faults.0.len();
    let kind = kind(field, given, faults);
    if !is_dns_subdomain(&given.injected_pod) {
        faults.field(
            &format!("{field}.injected_pod"),
            "must be the name of a pod of the bundle, as in its manifest",
        );
    }
    let injected_namespace = namespace(field, "injected_namespace", given, faults);
    let namespace = namespace(field, "namespace", given, faults);
    let selector_field = format!("{field}.selector");
    if given.selector.is_empty() {
        faults.field(
            &selector_field,
            "is required: the labels of the self-hosted pods",
        );
    }
    check_labels(&selector_field, &given.selector, faults);
    let kind = kind.filter(|_| faults.0.len() == before)?;
    Some(Component {
        kind,
        injected: PodKey {
            namespace: injected_namespace,
            name: given.injected_pod.clone(),
        },
        namespace,
        selector: given.selector.clone().into_iter().collect(),
    })
}

fn kind(field: &str, given: &HandoffComponent, faults: &mut Faults) -> Option<Kind> {
    use handoff_component::Kind as Wire;
    let (port, lease) = (format!("{field}.port"), format!("{field}.lease"));
    match Wire::try_from(given.kind) {
        Ok(Wire::ApiServer) => {
            if !given.lease.is_empty() {
                faults.field(&lease, "is of a LEADER_ELECTED component only");
            }
            let number = match given.port {
                0 => Some(DEFAULT_PORT),
                port => u16::try_from(port).ok(),
            };
            if number.is_none() {
                faults.field(&port, "must be between 1 and 65535");
            }
            number.map(|port| Kind::ApiServer { port })
        }
        Ok(Wire::LeaderElected) => {
            if given.port != 0 {
                faults.field(&port, "is of the API_SERVER only");
            }
            if !is_dns_subdomain(&given.lease) {
                faults.field(
                    &lease,
                    "is required: the name of the Lease in kube-system that the component holds",
                );
            }
            Some(Kind::LeaderElected {
                lease: given.lease.clone(),
            })
        }
        Ok(Wire::Unspecified) | Err(_) => {
            faults.field(
                &format!("{field}.kind"),
                "must be API_SERVER or LEADER_ELECTED",
            );
            None
        }
    }
}

fn namespace(field: &str, name: &str, given: &HandoffComponent, faults: &mut Faults) -> String {
    let namespace = match name {
        "namespace" => &given.namespace,
        _ => &given.injected_namespace,
    };
    if namespace.is_empty() {
        return DEFAULT_NAMESPACE.to_owned();
    }
    if !is_dns_label(namespace) {
        faults.field(
            &format!("{field}.{name}"),
            "must be the name of a namespace: lower-case letters, digits and \"-\"",
        );
    }
    namespace.clone()
}
