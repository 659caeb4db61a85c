//! What a `downwardAPI` source gives beside Secrets and ConfigMaps, as far as it never changes under a static pod.

use k8s_openapi::api::core::v1::{
    Container, DownwardAPIVolumeFile, ObjectFieldSelector, ResourceFieldSelector,
};
use serde_json::Value;

use super::{Fault, resolve::Resolver, volumes::Content};
use crate::{
    field::Path,
    quantity::Quantity,
    stamp::{ANNOTATION_DOMAIN, WAVE},
};

impl<'o> Resolver<'_, 'o> {
    /// The content of a file; `None` when it can not be told, and the fault is.
    pub(super) fn downward(
        &mut self,
        path: &Path<'_>,
        file: &DownwardAPIVolumeFile,
    ) -> Option<Content<'o>> {
        match (&file.field_ref, &file.resource_field_ref) {
            (Some(field), _) => {
                let path = path.key("fieldRef");
                self.field(&path.key("fieldPath"), field)
            }
            (None, Some(field)) => self.resource(&path.key("resourceFieldRef"), field),
            (None, None) => {
                self.tell(path, Fault::Invalid);
                None
            }
        }
    }

    fn field(&mut self, path: &Path<'_>, field: &ObjectFieldSelector) -> Option<Content<'o>> {
        let metadata = self.context.metadata;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let subscript = field
            .field_path
            .strip_suffix("']")
            .and_then(|path| path.split_once("['"));
        let content = match (field.field_path.as_str(), subscript) {
            // As the kubelet names a static pod.
            ("metadata.name", _) => {
                format!("{}-{}", text(&metadata["name"]), self.context.node)
            }
            ("metadata.namespace", _) => self.context.namespace.to_owned(),
            ("metadata.uid", _) => return Some(Content::Uid),
            ("metadata.labels", _) => labels(&metadata["labels"]),
            (_, Some(("metadata.labels", key))) => text(&metadata["labels"][key]),
            (_, Some(("metadata.annotations", key))) => {
                let value = &metadata["annotations"][key];
                let ours = key
                    .split_once('/')
                    .is_some_and(|(domain, _)| domain == ANNOTATION_DOMAIN);
                if value.is_null() || (ours && key != WAVE) {
                    let why = "the manifest has no such annotation, so only the kubelet knows whether the pod gets it";
                    self.tell(path, Fault::NotStatic(why));
                    return None;
                }
                text(value)
            }
            ("metadata.annotations", _) => {
                let why = "the kubelet adds annotations of its own";
                self.tell(path, Fault::NotStatic(why));
                return None;
            }
            _ => {
                self.tell(path, Fault::Invalid);
                return None;
            }
        };
        Some(Content::Text(content))
    }

    fn resource(&mut self, path: &Path<'_>, field: &ResourceFieldSelector) -> Option<Content<'o>> {
        let name = field.container_name.as_deref().unwrap_or_default();
        let Some(container) = self.containers.get(name).copied() else {
            let fault = match name {
                "" => Fault::Invalid,
                name => Fault::NoContainer(name),
            };
            self.tell(&path.key("containerName"), fault);
            return None;
        };
        let Some(amount) = amount(container, &field.resource) else {
            let path = path.key("resource");
            let why =
                "the container has no such limit, so the value is what the node has left for pods";
            self.tell(&path, Fault::NotStatic(why));
            return None;
        };
        let divisor = field.divisor.as_ref().map_or("0", |divisor| &divisor.0);
        let value = divide(&amount, divisor, field.resource.ends_with(".cpu"));
        if value.is_none() {
            self.tell(path, Fault::Invalid);
        }
        Some(Content::Text(value?.to_string()))
    }
}

/// Labels as the kubelet's `FormatMap` has them. What a label may be made of needs no escapes.
fn labels(labels: &Value) -> String {
    let lines: Vec<_> = labels
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}=\"{}\"", value.as_str().unwrap_or_default()))
        .collect();
    lines.join("\n")
}

/// The quantity of a resource such as `limits.cpu`. `None` for a limit that the node gives.
fn amount(container: &Container, resource: &str) -> Option<String> {
    let resources = container.resources.as_ref();
    let limits = resources.and_then(|resources| resources.limits.as_ref());
    let requests = resources.and_then(|resources| resources.requests.as_ref());
    let (name, value) = if let Some(name) = resource.strip_prefix("limits.") {
        let value = limits.and_then(|limits| limits.get(name));
        (Some(name), value)
    } else {
        let name = resource.strip_prefix("requests.").unwrap_or_default();
        // What is not requested defaults to the limit.
        let value = requests.and_then(|requests| requests.get(name));
        (
            None,
            value.or_else(|| limits.and_then(|limits| limits.get(name))),
        )
    };
    let is_zero = |text: &str| Quantity::parse(text).and_then(|it| it.in_thousandths()) == Some(0);
    match (name, value) {
        (Some("cpu" | "memory" | "ephemeral-storage"), None) => None,
        (Some("cpu" | "memory" | "ephemeral-storage"), Some(value)) if is_zero(&value.0) => None,
        (_, value) => Some(value.map_or_else(|| "0".to_owned(), |value| value.0.clone())),
    }
}

/// Divides and rounds up. CPUs are counted in thousandths, all else in ones.
fn divide(amount: &str, divisor: &str, is_cpu: bool) -> Option<i128> {
    let read = |text: &str| {
        let thousandths = Quantity::parse(text)?.in_thousandths()?;
        Some(if is_cpu {
            thousandths
        } else {
            ceil(thousandths, 1000)
        })
    };
    let divisor = match read(divisor)? {
        0 => read("1")?,
        divisor => divisor,
    };
    Some(ceil(read(amount)?, divisor))
}

fn ceil(value: i128, divisor: i128) -> i128 {
    value.div_euclid(divisor) + i128::from(value.rem_euclid(divisor) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_divided_as_by_the_kubelet() {
        for (amount, divisor, is_cpu, expected) in [
            ("250m", "0", true, 1),
            ("250m", "1m", true, 250),
            ("1500m", "1", true, 2),
            ("64Mi", "1Mi", false, 64),
            ("64Mi", "0", false, 67_108_864),
            ("65M", "1Mi", false, 62),
            ("0", "1", false, 0),
            ("1G", "1k", false, 1_000_000),
        ] {
            assert_eq!(
                divide(amount, divisor, is_cpu),
                Some(expected),
                "{amount}/{divisor}"
            );
        }
    }
}
