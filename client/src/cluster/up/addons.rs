//! The user's own manifests.

use zeroize::Zeroizing;

use super::{AppliedCount, Installer, Phase, RegisteredNode, UpError, read_manifests};

/// How many bytes of manifests one call has at most: the node takes no larger ones.
const MOST_BYTES: usize = 3 << 20;

/// What the phase has done.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub struct AppliedAddons {
    /// What has become of the objects.
    pub applied: AppliedCount,
    /// The nodes, which are Ready.
    pub nodes: Vec<RegisteredNode>,
}

impl Installer {
    /// Applies the user's own manifests through a node, if there are any, and waits until all nodes are Ready.
    ///
    /// # Errors
    /// Those of [`UpError`].
    pub async fn addons(&self) -> Result<AppliedAddons, UpError> {
        let scope = self.begin(Phase::Addons);
        let manifests = read_manifests(&self.render()?.addons)?;
        let mut applied = AppliedCount::default();
        for batch in batches(&manifests) {
            applied += self.apply_through_a_node(&scope, batch).await?;
        }
        if manifests.is_empty() {
            scope.done("there are no addons");
        }
        let nodes = self.wait_nodes_ready(Phase::Addons).await?;
        Ok(AppliedAddons { applied, nodes })
    }
}

/// The manifests in their order, so many at once as one call can have.
fn batches(manifests: &[Zeroizing<String>]) -> Vec<&[Zeroizing<String>]> {
    let mut batches = Vec::new();
    let mut start = 0;
    let mut bytes = 0;
    for (index, manifest) in manifests.iter().enumerate() {
        if bytes + manifest.len() > MOST_BYTES && index > start {
            batches.push(&manifests[start..index]);
            (start, bytes) = (index, 0);
        }
        bytes += manifest.len();
    }
    if start < manifests.len() {
        batches.push(&manifests[start..]);
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests_are_applied_in_their_order_and_no_call_is_too_large() {
        let manifest = |bytes: usize| Zeroizing::new("x".repeat(bytes));
        let half = MOST_BYTES / 2;
        let sizes = |manifests: &[Zeroizing<String>]| {
            let batches = batches(manifests);
            batches.iter().map(|batch| batch.len()).collect::<Vec<_>>()
        };
        assert!(sizes(&[]).is_empty());
        assert_eq!(sizes(&[manifest(half), manifest(half)]), [2]);
        assert_eq!(sizes(&[manifest(half), manifest(half + 1)]), [1, 1]);
        let large = [manifest(1), manifest(2 * MOST_BYTES), manifest(1)];
        assert_eq!(sizes(&large), [1, 1, 1]);
    }
}
