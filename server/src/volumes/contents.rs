//! Where the contents of volumes come from.

use std::fmt;

use seedpod_manifest::{Materials, NodeName, Unsatisfied, VolumeContent};

use crate::{
    node::{Bundle, BundlePod},
    store::{OpenError, Reader},
};

/// Does something with the files of a pod's volumes.
pub(crate) type Use<'u> = &'u mut dyn FnMut(&[VolumeContent<'_>]);

/// Gives the contents of pods' volumes. A trait, so that tests can have contents without a store.
pub(crate) trait Contents: fmt::Debug + Send + Sync + 'static {
    /// Reads the contents, has them used, and wipes them.
    fn with_volumes(
        &self,
        bundle: &Bundle,
        pod: &BundlePod,
        using: Use<'_>,
    ) -> Result<(), ContentsError>;
}

/// Why the contents cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContentsError {
    #[error("what is kept of the pod is damaged; inject the bundle anew")]
    Damaged,
    #[error("its Secrets and ConfigMaps cannot be read from the state directory")]
    Store(#[source] Box<OpenError>),
    #[error("a Secret or ConfigMap that it takes from is not kept; inject the bundle anew")]
    Unsatisfied(#[source] Unsatisfied),
}

/// The contents of what is committed.
#[derive(Debug)]
pub(crate) struct Committed {
    pub(crate) kept: Reader,
    pub(crate) node: NodeName,
}

impl Contents for Committed {
    fn with_volumes(
        &self,
        bundle: &Bundle,
        pod: &BundlePod,
        using: Use<'_>,
    ) -> Result<(), ContentsError> {
        let injected = pod.pod().ok_or(ContentsError::Damaged)?;
        let references = injected.references();
        let objects = bundle.objects.iter();
        let objects = objects.filter(|object| references.contains(&object.summary.key));
        let objects = self.kept.objects(objects);
        let objects = objects.map_err(|error| ContentsError::Store(Box::new(error)))?;
        let materials =
            Materials::of(&injected, &objects, &self.node).map_err(ContentsError::Unsatisfied)?;
        using(&materials.volumes(&pod.uid));
        Ok(())
    }
}
