//! Requests and limits.

use std::{cmp::Ordering, collections::BTreeMap};

use k8s_openapi::{api::core::v1::ResourceRequirements, apimachinery::pkg::api::resource};

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
