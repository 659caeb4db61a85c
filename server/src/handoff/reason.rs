//! Why a handoff takes its way back.

use std::fmt;

/// Defines the reasons with what is to be done about each.
macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $remedy:literal;)+) => {
        /// Stable words for programs. docs/errors.md lists them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(crate) enum Reason {
            $($(#[$doc])* $name,)+
        }

        impl Reason {
            #[cfg(test)]
            pub(crate) const ALL: &[Self] = &[$(Self::$name,)+];

            pub(crate) fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }

            /// What to do about it, for people.
            pub(crate) fn remedy(self) -> &'static str {
                match self {
                    $(Self::$name => $remedy,)+
                }
            }
        }
    };
}

reasons! {
    /// Objects could not be applied before the deadline.
    ApplyFailed = "APPLY_FAILED",
        "see that the API server on this node answers the credentials of the kubeconfig";
    /// The API server says that an object is wrong.
    ObjectRefused = "OBJECT_REFUSED",
        "put the object right and start the handoff again";
    /// Nobody serves an object's kind.
    UnknownKind = "UNKNOWN_KIND",
        "correct the object, or apply the CustomResourceDefinition with it, and start the handoff again";
    /// Another field manager has a field.
    FieldManagerConflict = "FIELD_MANAGER_CONFLICT",
        "leave the field out, or give it up there, and start the handoff again";
    /// The API server does not take the kubeconfig's credentials, or they do not suffice.
    CredentialsRefused = "CREDENTIALS_REFUSED",
        "start the handoff again with a kubeconfig of an administrator";
    /// The API server's certificate is of another cluster.
    ApiServerUntrusted = "API_SERVER_UNTRUSTED",
        "start the handoff again with the kubeconfig of this cluster";
    /// What the handoff keeps on the disk, or its kubeconfig, cannot be used.
    MaterialUnusable = "MATERIAL_UNUSABLE",
        "start the handoff again with a kubeconfig and manifests that can be read";
    /// The port cannot be looked at or steered as it was at the beginning.
    SteeringFailed = "STEERING_FAILED",
        "look at who listens on the API server's port, and whether seedpodd still runs as root";
    /// A self-hosted pod did not get Ready.
    PodNotReady = "POD_NOT_READY",
        "look at the pod's events and logs, put its object right and start the handoff again";
    /// The self-hosted API server did not serve, or not for long enough.
    ApiServerNotServing = "API_SERVER_NOT_SERVING",
        "look at the log of the self-hosted API server and whether it reaches its etcd";
    /// The kubelet has not heard from its API server.
    KubeletNotSynced = "KUBELET_NOT_SYNCED",
        "look at the kubelet's log and its kubeconfig";
    /// An injected pod did not stop.
    PodNotStopped = "POD_NOT_STOPPED",
        "look at the kubelet's and the container runtime's logs";
    /// No self-hosted instance took a lease.
    LeaseNotTaken = "LEASE_NOT_TAKEN",
        "look at the log of the self-hosted pod that should hold the lease";
    /// What was handed over does not work.
    VerificationFailed = "VERIFICATION_FAILED",
        "look at the logs of the self-hosted pods";
    /// The node was started anew before the handoff was committed.
    NodeRebooted = "NODE_REBOOTED",
        "start the handoff again";
    /// The daemon was started anew too often.
    DaemonRestarted = "DAEMON_RESTARTED",
        "look at why seedpodd ends, and start the handoff again";
    /// Somebody called AbortHandoff.
    Aborted = "ABORTED",
        "start the handoff again when it is wanted";
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
