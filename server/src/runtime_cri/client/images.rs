//! Images: whether they are there, and fetching them.

use std::time::Duration;

use seedpod_proto::cri::{ImageSpec, ImageStatusRequest, PullImageRequest};

use super::{CriRuntime, QUESTION, ask};
use crate::runtime_cri::RuntimeError;

impl CriRuntime {
    /// Whether the image is on the node.
    pub(crate) async fn has_image(&self, image: &str) -> Result<bool, RuntimeError> {
        let mut client = self.images.clone();
        let request = ImageStatusRequest {
            image: Some(spec(image)),
            verbose: false,
        };
        let answer = ask("ImageStatus", QUESTION, request, |request| {
            client.image_status(request)
        })
        .await?;
        Ok(answer.image.is_some())
    }

    /// Fetches an image, without credentials.
    pub(crate) async fn pull_image(
        &self,
        image: &str,
        limit: Duration,
    ) -> Result<(), RuntimeError> {
        let mut client = self.images.clone();
        let request = PullImageRequest {
            image: Some(spec(image)),
        };
        ask("PullImage", limit, request, |request| {
            client.pull_image(request)
        })
        .await?;
        Ok(())
    }
}

fn spec(image: &str) -> ImageSpec {
    ImageSpec {
        image: image.to_owned(),
        ..ImageSpec::default()
    }
}
