//! Bounds on what one bundle may make the decoder hold.

use super::tree::Mark;
use crate::Reason;

/// How deep objects and lists may nest. A pod needs about fifteen levels; the bound keeps recursion over a tree safe.
pub(crate) const MAX_DEPTH: usize = 64;

/// All nodes of all manifests: some hundred for an ordinary pod.
const MAX_NODES: usize = 400_000;

/// What anchors and aliases may copy, in bytes of about the memory that the copies take.
const MAX_COPIED: usize = 8 << 20;

/// What is left.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    nodes: usize,
    copied: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            nodes: MAX_NODES,
            copied: MAX_COPIED,
        }
    }
}

impl Budget {
    pub(crate) fn take_node(&mut self, mark: Mark) -> Result<(), Stop> {
        self.nodes = self.nodes.checked_sub(1).ok_or_else(|| {
            Stop::too_complex(
                mark,
                format!("the manifests have more than {MAX_NODES} values in all: split the bundle"),
            )
        })?;
        Ok(())
    }

    pub(crate) fn take_copy(&mut self, mark: Mark, weight: usize) -> Result<(), Stop> {
        self.copied = self.copied.checked_sub(weight).ok_or_else(|| {
            Stop::too_complex(
                mark,
                format!("the YAML aliases expand to more than {MAX_COPIED} bytes: write the values out instead"),
            )
        })?;
        Ok(())
    }
}

/// What ends the reading of a manifest.
#[derive(Debug)]
pub(crate) struct Stop {
    pub(crate) mark: Mark,
    pub(crate) reason: Reason,
    pub(crate) description: String,
}

impl Stop {
    pub(crate) fn syntax(mark: Mark, description: impl Into<String>) -> Self {
        Self {
            mark,
            reason: Reason::SyntaxError,
            description: description.into(),
        }
    }

    pub(crate) fn too_complex(mark: Mark, description: impl Into<String>) -> Self {
        Self {
            mark,
            reason: Reason::TooComplex,
            description: description.into(),
        }
    }

    pub(crate) fn too_deep(mark: Mark) -> Self {
        Self::too_complex(
            mark,
            format!("it nests more than {MAX_DEPTH} levels deep; no pod needs that"),
        )
    }
}
