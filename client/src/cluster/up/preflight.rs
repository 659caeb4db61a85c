//! Looking at every node before anything is changed.
//!
//! `look` asks the nodes, `judge` (pure) says what is wrong.

mod judge;
mod look;

use std::fmt;

use super::{Installer, Phase, UpError};

/// What was found on the nodes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub struct Preflight {
    /// The nodes that answered.
    pub nodes: Vec<CheckedNode>,
    /// Everything that is wrong or seldom meant, by node.
    pub findings: Vec<Finding>,
}

/// A node that answered.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub struct CheckedNode {
    /// The node.
    pub node: String,
    /// The version of its seedpodd.
    pub seedpod_version: String,
    /// The version of its kubelet. Empty when it cannot be told.
    pub kubelet_version: String,
}

/// One thing that is wrong, or seldom meant.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub struct Finding {
    /// The node. `None`: it is about several.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub node: Option<String>,
    /// Which check it was, such as `Port-6443`; by this it can be ignored.
    pub check: String,
    /// Whether the cluster may be brought up all the same.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

/// How bad a [`Finding`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "camelCase")
)]
#[non_exhaustive]
pub enum Severity {
    /// It would not work.
    Fault,
    /// It may work.
    Warning,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            node,
            check,
            message,
            remedy,
            ..
        } = self;
        if let Some(node) = node {
            write!(f, "node {node}: ")?;
        }
        write!(f, "{message} [{check}]: {remedy}")
    }
}

impl Preflight {
    /// What has to be put right first.
    pub fn faults(&self) -> impl Iterator<Item = &Finding> {
        let findings = self.findings.iter();
        findings.filter(|finding| finding.severity == Severity::Fault)
    }

    /// What somebody should know.
    pub fn warnings(&self) -> impl Iterator<Item = &Finding> {
        let findings = self.findings.iter();
        findings.filter(|finding| finding.severity == Severity::Warning)
    }

    pub(super) fn summary(&self) -> String {
        let faults: Vec<String> = self.faults().map(|fault| format!("\n  {fault}")).collect();
        let number = match faults.len() {
            1 => "1 fault".to_owned(),
            number => format!("{number} faults"),
        };
        format!(
            "the nodes are not ready for this: {number}, nothing was changed{}",
            faults.concat()
        )
    }
}

impl Installer {
    /// Looks at every node, all at the same time, and changes nothing: whether it can be reached and is who it should be,
    /// versions, clocks, ports, images, disk space, memory, the container runtime and the kubelet. What an earlier run
    /// has done is no fault.
    ///
    /// # Errors
    /// [`UpError::Preflight`], with everything that is wrong on all nodes.
    pub async fn preflight(&self) -> Result<Preflight, UpError> {
        let scope = self.begin(Phase::Preflight);
        let looks = self.look_at_nodes().await;
        let mut findings = judge::all(&self.loaded, &looks);
        for finding in &mut findings {
            let ignored = |check: &str| self.ignored.contains(check);
            if finding.severity == Severity::Fault
                && (ignored("all") || ignored(&finding.check.to_lowercase()))
            {
                finding.severity = Severity::Warning;
                finding.remedy = format!("ignored, as was asked for; else: {}", finding.remedy);
            }
        }
        let nodes = looks.iter().filter_map(look::Look::checked).collect();
        let preflight = Preflight { nodes, findings };
        for warning in preflight.warnings() {
            let scope = self
                .reporter
                .scope(Phase::Preflight, warning.node.as_deref());
            scope.warning(&format!(
                "{} [{}]: {}",
                warning.message, warning.check, warning.remedy
            ));
        }
        if preflight.faults().next().is_some() {
            return Err(UpError::Preflight(Box::new(preflight)));
        }
        scope.done(&match preflight.nodes.len() {
            1 => "the node is ready for this".to_owned(),
            number => format!("{number} nodes are ready for this"),
        });
        Ok(preflight)
    }
}
