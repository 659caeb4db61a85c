//! What each role may call: one table, and what is not in it does not exist.

use std::fmt;

/// What a client may do. Each role may do all that the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Role {
    /// Looks, changes nothing.
    Reader,
    /// Injects and removes bundles.
    Injector,
    /// Everything.
    Admin,
}

impl Role {
    /// The role that an Organization of a certificate gives.
    pub(crate) fn from_organization(organization: &str) -> Option<Self> {
        [Self::Reader, Self::Injector, Self::Admin]
            .into_iter()
            .find(|role| role.as_str() == organization)
    }

    /// As it stands in a certificate's Organization.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Reader => "seedpod:reader",
            Self::Injector => "seedpod:injector",
            Self::Admin => "seedpod:admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who may call a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Everybody whom the daemon knows, with or without a role.
    Authenticated,
    /// This role and those above it.
    AtLeast(Role),
}

/// The rule of each method that is served.
pub(crate) const TABLE: &[(&str, Rule)] = &[
    ("/grpc.health.v1.Health/Check", Rule::Authenticated),
    ("/grpc.health.v1.Health/Watch", Rule::Authenticated),
    (
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        Rule::Authenticated,
    ),
    (
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        Rule::Authenticated,
    ),
    (
        "/seedpod.v1.HandoffService/AbortHandoff",
        Rule::AtLeast(Role::Injector),
    ),
    (
        "/seedpod.v1.HandoffService/ApplyObjects",
        Rule::AtLeast(Role::Injector),
    ),
    (
        "/seedpod.v1.HandoffService/GetHandoff",
        Rule::AtLeast(Role::Reader),
    ),
    (
        "/seedpod.v1.HandoffService/StartHandoff",
        Rule::AtLeast(Role::Injector),
    ),
    (
        "/seedpod.v1.HandoffService/WatchHandoff",
        Rule::AtLeast(Role::Reader),
    ),
    (
        "/seedpod.v1.NodeService/CheckNode",
        Rule::AtLeast(Role::Reader),
    ),
    (
        "/seedpod.v1.NodeService/ConfigureKubelet",
        Rule::AtLeast(Role::Admin),
    ),
    (
        "/seedpod.v1.NodeService/GetNode",
        Rule::AtLeast(Role::Reader),
    ),
    (
        "/seedpod.v1.NodeService/ResetNode",
        Rule::AtLeast(Role::Admin),
    ),
    (
        "/seedpod.v1.PodInjectionService/ConfirmRevision",
        Rule::AtLeast(Role::Injector),
    ),
    (
        "/seedpod.v1.PodInjectionService/GetBundle",
        Rule::AtLeast(Role::Reader),
    ),
    (
        "/seedpod.v1.PodInjectionService/GetPodLogs",
        Rule::AtLeast(Role::Reader),
    ),
    (
        "/seedpod.v1.PodInjectionService/ListObjects",
        Rule::AtLeast(Role::Reader),
    ),
    // With `show_secrets` it needs Admin, which `grpc::revisions` sees to.
    (
        "/seedpod.v1.PodInjectionService/GetRevision",
        Rule::AtLeast(Role::Reader),
    ),
    (
        "/seedpod.v1.PodInjectionService/InjectPods",
        Rule::AtLeast(Role::Injector),
    ),
    (
        "/seedpod.v1.PodInjectionService/ListBundles",
        Rule::AtLeast(Role::Reader),
    ),
    (
        "/seedpod.v1.PodInjectionService/ListPods",
        Rule::AtLeast(Role::Reader),
    ),
    (
        "/seedpod.v1.PodInjectionService/ListRevisions",
        Rule::AtLeast(Role::Reader),
    ),
    (
        "/seedpod.v1.PodInjectionService/RemoveBundle",
        Rule::AtLeast(Role::Injector),
    ),
    (
        "/seedpod.v1.PodInjectionService/RollbackBundle",
        Rule::AtLeast(Role::Injector),
    ),
    (
        "/seedpod.v1.PodInjectionService/WatchEvents",
        Rule::AtLeast(Role::Reader),
    ),
    (
        "/seedpod.v1.PodInjectionService/WatchPods",
        Rule::AtLeast(Role::Reader),
    ),
];

/// The rule for a request's path. `None`: nobody may call it, since there is no such method.
pub(crate) fn rule_for(path: &str) -> Option<Rule> {
    TABLE
        .iter()
        .find(|(method, _)| *method == path)
        .map(|(_, rule)| *rule)
}
