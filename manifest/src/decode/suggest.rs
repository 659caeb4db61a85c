//! Which field may have been meant.
//!
//! The generated types know their fields only while they are being decoded. So a decoder is used that walks along the
//! path of the unknown field and notes the names which the object there would take.

use k8s_openapi::{api::core::v1::Pod, serde};
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, SeqAccess, Visitor,
    value::{Error, StrDeserializer},
};

use crate::field::OwnedSegment;

/// The known field of the same object that is nearest to the unknown one at the end of the path, when one is near.
pub(crate) fn nearest_field(path: &[OwnedSegment]) -> Option<&'static str> {
    let (OwnedSegment::Key(unknown), parents) = path.split_last()? else {
        return None;
    };
    let mut fields: &'static [&'static str] = &[];
    // Always an error in the end: only the notes count.
    let _ = <Pod as serde::Deserialize>::deserialize(Probe {
        path: parents,
        fields: &mut fields,
    });
    nearest(unknown, fields)
}

/// The one of the fields that is nearest to the unknown one, when one is near.
pub(crate) fn nearest(unknown: &str, fields: &[&'static str]) -> Option<&'static str> {
    let wanted = unknown.to_lowercase();
    // One slip for each four letters or so; more would suggest what nobody meant.
    let tolerance = unknown.chars().count().div_ceil(4).min(3);
    fields
        .iter()
        .map(|field| (distance(&wanted, &field.to_lowercase()), *field))
        .filter(|(distance, _)| *distance <= tolerance)
        .min()
        .map(|(_, field)| field)
}

/// The name that is nearest to an unknown one, when one is near.
pub(crate) fn nearest_name<'n>(
    unknown: &str,
    names: impl IntoIterator<Item = &'n str>,
) -> Option<&'n str> {
    let tolerance = unknown.chars().count().div_ceil(4).min(3);
    names
        .into_iter()
        .map(|name| (distance(unknown, name), name))
        .filter(|(distance, _)| *distance <= tolerance)
        .min()
        .map(|(_, name)| name)
}

/// The number of letters to insert, remove, replace or swap with their neighbour. Bounded by the length of field names.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(64).collect();
    let b: Vec<char> = b.chars().take(64).collect();
    let mut rows: [Vec<usize>; 3] = [
        vec![0; b.len() + 1],
        vec![0; b.len() + 1],
        (0..=b.len()).collect(),
    ];
    for i in 1..=a.len() {
        rows.rotate_left(1);
        let [before, last, row] = &mut rows;
        row[0] = i;
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
    }
    rows[2][b.len()]
}

struct Probe<'p, 'f> {
    path: &'p [OwnedSegment],
    fields: &'f mut &'static [&'static str],
}

impl<'de> Deserializer<'de> for Probe<'_, '_> {
    type Error = Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if self.path.is_empty() {
            *self.fields = fields;
            return Err(Error::custom("the end of the path"));
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.path.split_first() {
            Some((OwnedSegment::Key(_), _)) => visitor.visit_map(self),
            Some((OwnedSegment::Index(_), _)) => visitor.visit_seq(self),
            None => Err(Error::custom("the end of the path")),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf unit unit_struct newtype_struct seq
        tuple tuple_struct map enum identifier ignored_any
    }
}

impl<'de> MapAccess<'de> for Probe<'_, '_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        match self.path.first() {
            Some(OwnedSegment::Key(key)) => {
                let key: StrDeserializer<'_, Error> = key.as_str().into_deserializer();
                seed.deserialize(key).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        self.step(seed)
    }
}

impl<'de> SeqAccess<'de> for Probe<'_, '_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        self.step(seed).map(Some)
    }
}

impl Probe<'_, '_> {
    fn step<'de, S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        let path = self.path.get(1..).unwrap_or_default();
        seed.deserialize(Probe {
            path,
            fields: self.fields,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(key: &str) -> OwnedSegment {
        OwnedSegment::Key(key.to_owned())
    }

    #[test]
    fn the_nearest_field_of_the_object_at_the_path_is_found() {
        let spec = |field: &str| nearest_field(&[key("spec"), key(field)]);
        assert_eq!(spec("hostNetwrok"), Some("hostNetwork"));
        assert_eq!(spec("hostnetwork"), Some("hostNetwork"));
        assert_eq!(spec("somethingElse"), None);
        let in_port = [
            key("spec"),
            key("containers"),
            OwnedSegment::Index(3),
            key("ports"),
            OwnedSegment::Index(0),
            key("hostport"),
        ];
        assert_eq!(nearest_field(&in_port), Some("hostPort"));
        assert_eq!(
            nearest_field(&[key("metadata"), key("lables")]),
            Some("labels")
        );
        assert_eq!(nearest_field(&[key("sepc")]), Some("spec"));
        assert_eq!(nearest_field(&[]), None);
    }

    #[test]
    fn distance_counts_single_slips() {
        assert_eq!(distance("image", "image"), 0);
        assert_eq!(distance("iamge", "image"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("comand", "command"), 1);
    }
}
