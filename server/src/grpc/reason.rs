//! The stable reasons of errors and problems. What each means, and what to do, is in docs/errors.md.

use tonic::Code;

/// Makes the enum, its texts and the list of all of them from one table.
macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal => $code:ident,)*) => {
        /// Why a call failed or what is wrong with the node: stable, for programs.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(crate) enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reason {
            /// Every reason.
            #[cfg(test)]
            pub(crate) const ALL: &[Self] = &[$(Self::$name,)*];

            /// The reason as it stands in errors.
            pub(crate) fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// The code that a call with this reason fails with.
            pub(crate) fn code(self) -> Code {
                match self {
                    $(Self::$name => Code::$code,)*
                }
            }
        }
    };
}

reasons! {
    /// The manifests have faults; each violation has a reason of its own.
    InvalidManifest = "INVALID_MANIFEST" => InvalidArgument,
    InvalidBundleName = "INVALID_BUNDLE_NAME" => InvalidArgument,
    InvalidRequestId = "INVALID_REQUEST_ID" => InvalidArgument,
    InvalidFieldValidation = "INVALID_FIELD_VALIDATION" => InvalidArgument,
    InvalidPageSize = "INVALID_PAGE_SIZE" => InvalidArgument,
    InvalidPageToken = "INVALID_PAGE_TOKEN" => InvalidArgument,
    NoManifests = "NO_MANIFESTS" => InvalidArgument,
    InvalidTrial = "INVALID_TRIAL" => InvalidArgument,
    InvalidRevision = "INVALID_REVISION" => InvalidArgument,
    InvalidKubeconfig = "INVALID_KUBECONFIG" => InvalidArgument,
    InvalidHandoff = "INVALID_HANDOFF" => InvalidArgument,
    InvalidCheck = "INVALID_CHECK" => InvalidArgument,
    InvalidClientCa = "INVALID_CLIENT_CA" => InvalidArgument,
    InvalidDirectory = "INVALID_DIRECTORY" => InvalidArgument,
    /// Larger than the daemon reads at all.
    RequestTooLarge = "REQUEST_TOO_LARGE" => OutOfRange,
    BundleNotFound = "BUNDLE_NOT_FOUND" => NotFound,
    RevisionNotFound = "REVISION_NOT_FOUND" => NotFound,
    NoEarlierRevision = "NO_EARLIER_REVISION" => FailedPrecondition,
    RevisionIsRemoval = "REVISION_IS_REMOVAL" => FailedPrecondition,
    NotOnTrial = "NOT_ON_TRIAL" => FailedPrecondition,
    HandoffNotFound = "HANDOFF_NOT_FOUND" => NotFound,
    /// A second one is to be started.
    HandoffExists = "HANDOFF_EXISTS" => AlreadyExists,
    /// The bundle can't be changed meanwhile.
    HandoffUnderWay = "HANDOFF_UNDER_WAY" => FailedPrecondition,
    HandedOver = "HANDED_OVER" => FailedPrecondition,
    BundleOnTrial = "BUNDLE_ON_TRIAL" => FailedPrecondition,
    BundleNotReady = "BUNDLE_NOT_READY" => FailedPrecondition,
    /// Its pods are not projected.
    BundleIsStandby = "BUNDLE_IS_STANDBY" => FailedPrecondition,
    /// The daemon's configuration does not allow it.
    KubeletNotConfigurable = "KUBELET_NOT_CONFIGURABLE" => FailedPrecondition,
    KubeletFilesFailed = "KUBELET_FILES_FAILED" => Internal,
    /// Also a problem of the node.
    KubeletRestartFailed = "KUBELET_RESTART_FAILED" => Internal,
    PodsStillRun = "PODS_STILL_RUN" => DeadlineExceeded,
    DirectoryNotRemoved = "DIRECTORY_NOT_REMOVED" => Internal,
    ImageMissing = "IMAGE_MISSING" => FailedPrecondition,
    ImagePullFailed = "IMAGE_PULL_FAILED" => FailedPrecondition,
    /// The call needs to know what runs, and there is no runtime to ask.
    RuntimeNotConfigured = "RUNTIME_NOT_CONFIGURED" => FailedPrecondition,
    StaleRevision = "STALE_REVISION" => Aborted,
    ForeignFile = "FOREIGN_FILE" => AlreadyExists,
    ForeignPod = "FOREIGN_POD" => AlreadyExists,
    PodInOtherBundle = "POD_IN_OTHER_BUNDLE" => AlreadyExists,
    ImmutableObject = "IMMUTABLE_OBJECT" => FailedPrecondition,
    InvalidObjectKind = "INVALID_OBJECT_KIND" => InvalidArgument,
    /// The pod whose logs are asked for has no name.
    InvalidPodName = "INVALID_POD_NAME" => InvalidArgument,
    InvalidLogOptions = "INVALID_LOG_OPTIONS" => InvalidArgument,
    PodNotFound = "POD_NOT_FOUND" => NotFound,
    ContainerNotFound = "CONTAINER_NOT_FOUND" => NotFound,
    /// No earlier attempt of a container is left.
    PreviousNotFound = "PREVIOUS_CONTAINER_NOT_FOUND" => NotFound,
    /// A log file was removed before it was read.
    LogLinesLost = "LOG_LINES_LOST" => DataLoss,
    LogUnreadable = "LOG_UNREADABLE" => Internal,
    RequestIdReused = "REQUEST_ID_REUSED" => AlreadyExists,
    /// The events asked for are older than those that are left.
    EventsGone = "EVENTS_GONE" => OutOfRange,
    /// No event has the number yet after which events are asked for.
    SequenceNotReached = "SEQUENCE_NOT_REACHED" => OutOfRange,
    /// The event log cannot be opened. It is tried again.
    EventsUnavailable = "EVENTS_UNAVAILABLE" => Unavailable,
    /// Some events are on a part of the disk that cannot be read.
    EventsUnreadable = "EVENTS_UNREADABLE" => DataLoss,
    InvalidTimeout = "INVALID_TIMEOUT" => InvalidArgument,
    /// The API server finds fault with an object.
    ObjectRefused = "OBJECT_REFUSED" => InvalidArgument,
    UnknownKind = "UNKNOWN_KIND" => InvalidArgument,
    FieldManagerConflict = "FIELD_MANAGER_CONFLICT" => Aborted,
    /// Those of the kubeconfig in the request.
    CredentialsRefused = "CREDENTIALS_REFUSED" => PermissionDenied,
    ApiServerUntrusted = "API_SERVER_UNTRUSTED" => FailedPrecondition,
    /// Some objects were still waiting when the time was up.
    ObjectsNotApplied = "OBJECTS_NOT_APPLIED" => Unavailable,
    Busy = "BUSY" => Unavailable,
    ShuttingDown = "SHUTTING_DOWN" => Unavailable,
    DiskFull = "DISK_FULL" => ResourceExhausted,
    StateDirectoryFailed = "STATE_DIRECTORY_FAILED" => Internal,
    StaticPodDirectoryFailed = "STATIC_POD_DIRECTORY_FAILED" => Internal,
    MethodUnknown = "METHOD_UNKNOWN" => Unimplemented,
    /// A fault of the daemon or of the message's encoding.
    Internal = "INTERNAL" => Internal,
    /// A problem of the node, and the error of a call that needs to know what runs.
    RuntimeUnreachable = "CONTAINER_RUNTIME_UNREACHABLE" => Unavailable,
    /// A problem of the node, never an error of a call.
    KubeletNotSeen = "KUBELET_NOT_SEEN" => Unavailable,
    /// A problem of the node, never an error of a call.
    HandoffReverting = "HANDOFF_REVERTING" => Unavailable,
    /// A problem of the node, never an error of a call.
    StandingIn = "STANDING_IN" => Unavailable,
}

/// The name of a code in gRPC's own spelling.
pub(crate) fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of docs/errors.md that begin a table's row, by the reason in their first cell.
    fn documented() -> Vec<(String, String)> {
        include_str!("../../../docs/errors.md")
            .lines()
            .filter_map(|line| {
                let mut cells = line.strip_prefix("| `")?.splitn(2, "` |");
                Some((cells.next()?.to_owned(), cells.next()?.to_owned()))
            })
            .collect()
    }

    #[test]
    fn the_documentation_lists_every_reason_with_its_code() {
        let documented = documented();
        for reason in Reason::ALL {
            let rows: Vec<_> = documented
                .iter()
                .filter(|(name, _)| name == reason.as_str())
                .collect();
            let is_problem = matches!(
                reason,
                Reason::KubeletNotSeen | Reason::HandoffReverting | Reason::StandingIn
            );
            let code = code_name(reason.code());
            assert!(
                rows.iter()
                    .any(|(_, rest)| is_problem || rest.contains(code)),
                "{reason:?}: docs/errors.md has no row with {code}"
            );
        }
    }

    #[test]
    fn the_documentation_lists_every_reason_of_a_manifest_and_nothing_unknown() {
        let documented = documented();
        let has = |text: &str| documented.iter().any(|(name, _)| name == text);
        for reason in seedpod_manifest::Reason::ALL {
            assert!(has(reason.as_str()), "docs/errors.md lacks {reason}");
        }
        // Those of `authorize`, `admit`, `deadline`, `streams` of the projection and of the event log, which have no list of their own.
        let others = [
            "UNAUTHENTICATED",
            "LOCAL_USER_NOT_ALLOWED",
            "ROLE_REQUIRED",
            "REQUEST_TIMEOUT",
            "TOO_MANY_REQUESTS",
            "TOO_MANY_STREAMS",
            "EVENTS_NOT_WRITTEN",
            "EVENTS_DAMAGED",
            "DRIFT",
            "VOLUMES_FAILED",
            "KUBELET_UNSYNCED",
            "KUBELET_RESTART_FAILED",
        ];
        for reason in crate::handoff::Reason::ALL {
            assert!(has(reason.as_str()), "docs/errors.md lacks {reason}");
        }
        let of_handoff = |text: &str| {
            let mut all = crate::handoff::Reason::ALL.iter();
            all.any(|reason| reason.as_str() == text)
        };
        for (name, _) in &documented {
            let known = of_handoff(name)
                || Reason::ALL.iter().any(|reason| reason.as_str() == name)
                || name.parse::<seedpod_manifest::Reason>().is_ok()
                || others.contains(&name.as_str());
            assert!(known, "docs/errors.md lists {name}, which nothing sends");
        }
        for other in others {
            assert!(has(other), "docs/errors.md lacks {other}");
        }
    }
}
