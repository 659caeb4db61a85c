//! The objects to apply.

use super::{
    Kubeconfigs, Loaded, Pki,
    render::{Files, RenderError},
};

/// What is applied as soon as the API answers: `NN-*.yaml`.
pub(super) fn bootstrap(loaded: &Loaded, pki: &Pki) -> Result<Files, RenderError> {
    let _ = (loaded, pki);
    Ok(Files::new())
}

/// The self-hosted control plane: `NN-*.yaml`.
pub(super) fn self_hosted(
    loaded: &Loaded,
    pki: &Pki,
    kubeconfigs: &Kubeconfigs,
) -> Result<Files, RenderError> {
    let _ = (loaded, pki, kubeconfigs);
    Ok(Files::new())
}
