//! Requests and limits.

use std::{cmp::Ordering, collections::BTreeMap};

use k8s_openapi::{
    api::core::v1::{Container, PodSpec, ResourceRequirements},
    apimachinery::pkg::api::resource,
};

use super::{names::is_qualified_name, report::Report};
use crate::{
    Reason,
    field::{Path, shorten},
    quantity::Quantity,
};

/// Checks requests and limits of a container or a pod.
pub(crate) fn check(report: &mut Report<'_>, path: &Path<'_>, requirements: &ResourceRequirements) {
    let none = BTreeMap::new();
    let limits = requirements.limits.as_ref().unwrap_or(&none);
    let requests = requirements.requests.as_ref().unwrap_or(&none);
    check_list(report, &path.key("limits"), limits);
    check_list(report, &path.key("requests"), requests);
    let path = path.key("requests");
    for (name, request) in requests {
        let Some(limit) = limits.get(name) else {
            if !may_overcommit(name) && is_known(name) {
                let description = format!("a request for {} wants an equal limit", shorten(name));
                report.refuse(&path.key(name), Reason::MissingField, description);
            }
            continue;
        };
        let (Some(asked), Some(most)) = (Quantity::parse(&request.0), Quantity::parse(&limit.0))
        else {
            continue;
        };
        match asked.compare(&most) {
            Some(Ordering::Greater) => {
                let description = format!(
                    "the request is larger than the limit of {}",
                    shorten(&limit.0)
                );
                report.refuse(&path.key(name), Reason::InvalidValue, description);
            }
            Some(Ordering::Less) if !may_overcommit(name) => {
                let description =
                    format!("the request must equal the limit of {}", shorten(&limit.0));
                report.refuse(&path.key(name), Reason::InvalidValue, description);
            }
            _ => {}
        }
    }
    let has = |name: &str| limits.contains_key(name) || requests.contains_key(name);
    let huge = |list: &BTreeMap<String, _>| list.keys().any(|name| name.starts_with(HUGE_PAGES));
    if (huge(limits) || huge(requests)) && !has("cpu") && !has("memory") {
        report.refuse(
            &path,
            Reason::MissingField,
            "huge pages want cpu or memory to be given too",
        );
    }
}

/// Checks the pod's own requests and limits against those of its containers.
pub(crate) fn check_pod(
    report: &mut Report<'_>,
    path: &Path<'_>,
    spec: &PodSpec,
    of_pod: &ResourceRequirements,
) {
    let path = path.key("resources");
    for (field, list) in [("limits", &of_pod.limits), ("requests", &of_pod.requests)] {
        let path = path.key(field);
        for name in list.iter().flat_map(BTreeMap::keys) {
            if !matches!(name.as_str(), "cpu" | "memory") && !name.starts_with(HUGE_PAGES) {
                let description = "a pod as a whole can have cpu, memory and hugepages-<size> only";
                report.refuse_key(&path.key(name), Reason::InvalidName, description);
            }
        }
    }
    let requests = path.key("requests");
    for (name, request) in of_pod.requests.iter().flatten() {
        let Some(most) = in_thousandths(&request.0) else {
            continue;
        };
        // Init containers run one by one; those that keep running add to the others.
        let (kept, once): (Vec<_>, Vec<_>) = spec
            .init_containers
            .iter()
            .flatten()
            .partition(|container| container.restart_policy.as_deref() == Some("Always"));
        let together = spec
            .containers
            .iter()
            .chain(kept)
            .filter_map(|one| request_of(one, name));
        let sum = together.fold(0_i128, i128::saturating_add);
        let single = once
            .into_iter()
            .filter_map(|one| request_of(one, name))
            .max();
        if sum > most || single.is_some_and(|single| single > most) {
            let description = "the containers request more than the pod as a whole";
            report.refuse(&requests.key(name), Reason::InvalidValue, description);
        }
    }
    let limits = path.key("limits");
    for (name, limit) in of_pod.limits.iter().flatten() {
        let Some(most) = in_thousandths(&limit.0) else {
            continue;
        };
        let above = |container: &Container| {
            let limits = container.resources.as_ref().and_then(|r| r.limits.as_ref());
            let own = limits.and_then(|limits| in_thousandths(&limits.get(name)?.0));
            own.is_some_and(|own| own > most)
        };
        if spec.containers.iter().any(above) {
            let description = "the limit of a container is larger than that of the pod as a whole";
            report.refuse(&limits.key(name), Reason::InvalidValue, description);
        }
    }
}

/// What a container requests; without a request of its own, its limit.
fn request_of(container: &Container, name: &str) -> Option<i128> {
    let resources = container.resources.as_ref()?;
    let of = |list: &Option<BTreeMap<String, resource::Quantity>>| {
        in_thousandths(&list.as_ref()?.get(name)?.0)
    };
    of(&resources.requests).or_else(|| of(&resources.limits))
}

fn in_thousandths(quantity: &str) -> Option<i128> {
    Quantity::parse(quantity)?.in_thousandths()
}

const HUGE_PAGES: &str = "hugepages-";

/// Checks names and quantities.
pub(crate) fn check_list(
    report: &mut Report<'_>,
    path: &Path<'_>,
    list: &BTreeMap<String, resource::Quantity>,
) {
    for (name, quantity) in list {
        let path = path.key(name);
        if !is_known(name) {
            let description = format!(
                "\"{}\" is no resource: it must be cpu, memory, ephemeral-storage, hugepages-<size> or \
                 <domain>/<name>",
                shorten(name)
            );
            report.refuse_key(&path, Reason::InvalidName, description);
        }
        if let Some(quantity) = check_quantity(report, &path, &quantity.0)
            && !may_overcommit(name)
            && !quantity.is_integer()
        {
            report.refuse(
                &path,
                Reason::InvalidValue,
                "this resource comes in whole numbers only",
            );
        }
    }
}

/// Checks the form of a quantity, and that it is not negative.
pub(crate) fn check_quantity(
    report: &mut Report<'_>,
    path: &Path<'_>,
    text: &str,
) -> Option<Quantity> {
    let quantity = Quantity::parse(text);
    match &quantity {
        None => {
            let description = format!(
                "\"{}\" is no quantity: write a number with one of the suffixes m, k, M, G, T, P, E, Ki, Mi, Gi, Ti, \
                 Pi, Ei or none",
                shorten(text)
            );
            report.refuse(path, Reason::InvalidValue, description);
        }
        Some(quantity) if quantity.is_negative() => {
            report.refuse(
                path,
                Reason::InvalidValue,
                "a quantity must not be negative",
            );
        }
        Some(_) => {}
    }
    quantity
}

fn is_known(name: &str) -> bool {
    match name.split_once('/') {
        Some(_) => {
            let is_extended =
                !name.starts_with("requests.") && is_qualified_name(&format!("requests.{name}"));
            if is_native(name) {
                is_qualified_name(name)
            } else {
                is_extended
            }
        }
        None => {
            matches!(name, "cpu" | "memory" | "ephemeral-storage")
                || (name.starts_with(HUGE_PAGES) && is_qualified_name(name))
        }
    }
}

/// Whether the resource is Kubernetes' own and not a device of the node.
fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// Whether more can be promised than there is; of other resources a request must equal its limit.
fn may_overcommit(name: &str) -> bool {
    is_native(name) && !name.starts_with(HUGE_PAGES)
}
