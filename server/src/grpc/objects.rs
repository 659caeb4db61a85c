//! `ListObjects`: names, keys, sizes and digests of Secrets and ConfigMaps, never their values.

use std::collections::BTreeMap;

use seedpod_manifest::{ObjectKey, ObjectKind};
use seedpod_proto::v1::{self, ListObjectsRequest, ListObjectsResponse};
use tonic::Status;

use super::{
    Api, convert,
    page::{List, Page},
    reason::Reason,
    status::{self, Fault},
};

const OBJECTS_PER_PAGE: usize = 500;

/// An object's place in the list: its bundle and what identifies it there.
type Key = (String, ObjectKey);

impl Api {
    pub(super) fn list_objects(
        &self,
        request: &ListObjectsRequest,
    ) -> Result<ListObjectsResponse, Status> {
        let only = match request.bundle.as_str() {
            "" => None,
            name => Some(status::bundle_name("bundle", name)?),
        };
        let kind = kind(request.kind)?;
        let list = List::Objects(&request.bundle, request.kind);
        let page = Page::<Key>::parse(
            list,
            request.page_size,
            OBJECTS_PER_PAGE,
            &request.page_token,
        )?;
        let state = self.handle.state();
        let bundles = state.bundles.values();
        let bundles = bundles.filter(|bundle| only.as_ref().is_none_or(|it| *it == bundle.name));
        let objects = bundles.flat_map(|bundle| {
            let objects = bundle.objects.iter();
            objects.map(move |object| (bundle, object))
        });
        let objects = objects.filter(|(_, it)| kind.is_none_or(|kind| it.summary.key.kind == kind));
        let (objects, next_page_token) = page.take(list, objects.collect(), |(bundle, object)| {
            (bundle.name.to_string(), object.summary.key.clone())
        });
        // Only of the bundles on this page: it means to read their pods.
        let mut users = BTreeMap::new();
        let objects = objects.into_iter().map(|(bundle, object)| {
            let users = users.entry(&bundle.name).or_insert_with(|| bundle.users());
            convert::object(&bundle.name, object, users.get(&object.summary.key))
        });
        Ok(ListObjectsResponse {
            objects: objects.collect(),
            next_page_token,
        })
    }
}

/// `None`: all kinds.
fn kind(given: i32) -> Result<Option<ObjectKind>, Fault> {
    match v1::ObjectKind::try_from(given) {
        Ok(v1::ObjectKind::Unspecified) => Ok(None),
        Ok(v1::ObjectKind::ConfigMap) => Ok(Some(ObjectKind::ConfigMap)),
        Ok(v1::ObjectKind::Secret) => Ok(Some(ObjectKind::Secret)),
        Err(_) => Err(Fault::field(
            Reason::InvalidObjectKind,
            "kind",
            format!(
                "{given} is not known to this version; use OBJECT_KIND_CONFIG_MAP, \
                 OBJECT_KIND_SECRET or none for both"
            ),
        )),
    }
}
