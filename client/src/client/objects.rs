//! The calls about Secrets and ConfigMaps.

use futures_util::{Stream, TryStreamExt as _};
use seedpod_proto::v1;

use super::{Client, PAGE_SIZE, injection, pages};
use crate::{Error, Object, ObjectKind, retry::Repeat};

impl Client {
    /// The Secrets and ConfigMaps of one bundle, or with `None` of all, of one kind or both, ordered by bundle, kind,
    /// namespace and name: names, keys, sizes and digests, never values.
    ///
    /// # Errors
    /// Those of [`Error`].
    pub async fn list_objects(
        &self,
        bundle: Option<&str>,
        kind: Option<ObjectKind>,
    ) -> Result<Vec<Object>, Error> {
        self.stream_objects(bundle, kind).try_collect().await
    }

    /// As [`Self::list_objects`], read page by page as they are taken from the stream.
    pub fn stream_objects(
        &self,
        bundle: Option<&str>,
        kind: Option<ObjectKind>,
    ) -> impl Stream<Item = Result<Object, Error>> + Send + use<> {
        let client = self.clone();
        let bundle = bundle.unwrap_or_default().to_owned();
        let kind = kind.map_or(v1::ObjectKind::Unspecified, ObjectKind::to_wire);
        pages(move |page_token| {
            let client = client.clone();
            let message = v1::ListObjectsRequest {
                bundle: bundle.clone(),
                kind: kind.into(),
                page_size: PAGE_SIZE,
                page_token,
            };
            async move {
                let page =
                    client
                        .call(
                            "ListObjects",
                            Repeat::Safe,
                            message,
                            |channel, request| async move {
                                injection(channel).list_objects(request).await
                            },
                        )
                        .await?;
                Ok((
                    page.objects.into_iter().map(Object::from).collect(),
                    page.next_page_token,
                ))
            }
        })
    }
}
