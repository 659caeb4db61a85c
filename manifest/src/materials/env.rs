//! Variables from Secrets and ConfigMaps, as the kubelet's `makeEnvironmentVariables` has them.

use std::{borrow::Cow, collections::BTreeMap};

use k8s_openapi::api::core::v1::Container;

use super::{
    Fault,
    resolve::{Found, Resolver},
};
use crate::{Object, ObjectKind, field::Path};

/// What a variable takes in the pod's file besides its name and value, with room to spare.
const OVERHEAD: usize = 128;

/// The variables that one container takes from objects.
#[derive(Default)]
pub(super) struct Variables<'o> {
    /// Those of `envFrom`, by their names.
    pub(super) from: BTreeMap<String, &'o str>,
    /// Those of `env`, by their place in the list. What is optional and missing is not here.
    pub(super) values: BTreeMap<usize, &'o str>,
}

impl<'o> Variables<'o> {
    pub(super) fn is_empty(&self) -> bool {
        self.from.is_empty() && self.values.is_empty()
    }
}

impl<'o> Resolver<'_, 'o> {
    pub(super) fn variables(&mut self, path: &Path<'_>, container: &Container) -> Variables<'o> {
        let mut variables = Variables::default();
        let list = path.key("envFrom");
        for (index, source) in container.env_from.iter().flatten().enumerate() {
            if self.is_full_of_literals() {
                break;
            }
            let item = list.index(index);
            let prefix = source.prefix.as_deref().unwrap_or_default();
            // Of both, which is refused, the kubelet would take the ConfigMap.
            let (kind, field, name, optional) = match (&source.config_map_ref, &source.secret_ref) {
                (Some(source), _) => (
                    ObjectKind::ConfigMap,
                    "configMapRef",
                    &source.name,
                    source.optional,
                ),
                (None, Some(source)) => (
                    ObjectKind::Secret,
                    "secretRef",
                    &source.name,
                    source.optional,
                ),
                (None, None) => continue,
            };
            let reference = item.key(field);
            let found = self.find(&reference.key("name"), kind, name, optional);
            let Found::Object(object) = found else {
                continue;
            };
            for (key, datum) in object.data.iter().filter(|(_, datum)| !datum.binary) {
                if let Some(value) = self.text(&reference, object, key, &datum.bytes)
                    && self.takes_room(&reference, prefix.len() + key.len(), value)
                {
                    variables.from.insert(format!("{prefix}{key}"), value);
                }
            }
        }
        let list = path.key("env");
        for (index, variable) in container.env.iter().flatten().enumerate() {
            let Some(source) = &variable.value_from else {
                continue;
            };
            let item = list.index(index);
            let source_path = item.key("valueFrom");
            let (kind, field, name, key, optional) =
                match (&source.config_map_key_ref, &source.secret_key_ref) {
                    (Some(source), _) => (
                        ObjectKind::ConfigMap,
                        "configMapKeyRef",
                        &source.name,
                        &source.key,
                        source.optional,
                    ),
                    (None, Some(source)) => (
                        ObjectKind::Secret,
                        "secretKeyRef",
                        &source.name,
                        &source.key,
                        source.optional,
                    ),
                    (None, None) => continue,
                };
            let reference = source_path.key(field);
            let key_path = reference.key("key");
            let found = self.find(&reference.key("name"), kind, name, optional);
            let Found::Object(object) = found else {
                continue;
            };
            let datum = object.data.get(key);
            let Some(datum) = datum.filter(|datum| !datum.binary) else {
                self.no_key(&key_path, object, key, optional, datum.is_some());
                continue;
            };
            if let Some(value) = self.text(&key_path, object, key, &datum.bytes)
                && self.takes_room(&key_path, variable.name.len(), value)
            {
                variables.values.insert(index, value);
            }
        }
        variables
    }

    /// A value as the kubelet can hand it to the runtime.
    fn text(
        &mut self,
        path: &Path<'_>,
        object: &Object,
        key: &str,
        bytes: &'o [u8],
    ) -> Option<&'o str> {
        let text = std::str::from_utf8(bytes).ok();
        let text = text.filter(|text| !text.contains('\0'));
        if text.is_none() {
            let object = &object.key;
            self.tell(path, Fault::NoText { object, key });
        }
        text
    }

    fn takes_room(&mut self, path: &Path<'_>, name: usize, value: &str) -> bool {
        let size = json_length(value) + name + OVERHEAD;
        self.literal(path, size)
    }
}

/// How many bytes a text has in JSON at most, once it is escaped as a literal.
fn json_length(text: &str) -> usize {
    let length = |byte: u8| match byte {
        0..0x20 | 0x7f => 6,
        b'"' | b'\\' | b'$' => 2,
        _ => 1,
    };
    text.bytes().map(length).sum()
}

/// A value as the `value` of a variable: the kubelet expands `$(NAME)` in it and makes one `$` of two.
///
/// Only what would change is escaped, since the commands of probes see the literal as it stands.
pub(crate) fn literal(value: &str) -> Cow<'_, str> {
    let reference = value
        .split_once("$(")
        .is_some_and(|(_, rest)| rest.contains(')'));
    if reference || value.contains("$$") {
        Cow::Owned(value.replace('$', "$$"))
    } else {
        Cow::Borrowed(value)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Kubernetes' `third_party/forked/golang/expansion`.
    pub(crate) fn expand(input: &str, mapping: &dyn Fn(&str) -> Option<String>) -> String {
        let mut out = String::new();
        let mut rest = input;
        while let Some(at) = rest.find('$') {
            out.push_str(&rest[..at]);
            let after = &rest[at + 1..];
            let Some(next) = after.chars().next() else {
                return out + "$";
            };
            let read = match next {
                '$' => {
                    out.push('$');
                    1
                }
                '(' => match after.find(')') {
                    Some(end) => {
                        let name = &after[1..end];
                        out.push_str(&mapping(name).unwrap_or_else(|| format!("$({name})")));
                        end + 1
                    }
                    None => {
                        out.push_str("$(");
                        1
                    }
                },
                other => {
                    out.push('$');
                    out.push(other);
                    other.len_utf8()
                }
            };
            rest = &after[read..];
        }
        out + rest
    }

    #[test]
    fn the_expansion_of_these_tests_is_kubernetes_own() {
        let mapping = |name: &str| match name {
            "VAR_A" => Some("A".to_owned()),
            "VAR_B" => Some("B".to_owned()),
            "VAR_REF" => Some("$(VAR_A)".to_owned()),
            "VAR_EMPTY" => Some(String::new()),
            _ => None,
        };
        // From expand_test.go.
        for (input, expected) in [
            ("$(VAR_A)", "A"),
            ("___$(VAR_B)___", "___B___"),
            ("$$(VAR_B)_$(VAR_A)", "$(VAR_B)_A"),
            ("$$$(VAR_A)", "$A"),
            ("$(VAR_A", "$(VAR_A"),
            ("$(VAR_REF)", "$(VAR_A)"),
            ("foo$(VAR_EMPTY)bar", "foobar"),
            ("foo$$$$bar", "foo$$bar"),
            ("$?VAR_A", "$?VAR_A"),
            ("$VAR_A)", "$VAR_A)"),
            ("$(VAR_A)$", "A$"),
            ("$$$$$$$(VAR_A)", "$$$A"),
            ("$(VAR_DNE)", "$(VAR_DNE)"),
            ("$((VAR_A)", "$((VAR_A)"),
            ("$$$(VAR_A))$", "$A)$"),
        ] {
            assert_eq!(expand(input, &mapping), expected, "{input}");
        }
    }

    #[test]
    fn only_what_would_change_is_escaped() {
        for (value, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("$", "$"),
            ("pa$word", "pa$word"),
            ("$(", "$("),
            ("$$", "$$$$"),
            ("$(A)", "$$(A)"),
            (")$(", ")$("),
            ("$a$(B)", "$$a$$(B)"),
        ] {
            assert_eq!(literal(value), expected, "{value}");
        }
    }

    proptest! {
        #[test]
        fn the_kubelet_gives_a_literal_back(value in "[$()Aaß )]{0,12}") {
            let given = expand(&literal(&value), &|_| Some("<found>".to_owned()));
            prop_assert_eq!(given, value);
        }
    }
}
