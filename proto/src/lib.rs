//! Seedpod's gRPC API as Rust types.
//!
//! The source of truth are the commented files in `proto/seedpod/v1`. The code in `src/generated` is made from them
//! by `tests/generated.rs` (no `protoc` needed) and committed, so that users of this crate build nothing; the same
//! test fails when the two differ. `SEEDPOD_REGENERATE=1 cargo test -p seedpod-proto` writes it anew.

mod debug;

/// The API that installers and operators call: package `seedpod.v1`.
#[allow(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    clippy::pedantic
)]
pub mod v1 {
    include!("generated/seedpod.v1.rs");
}

/// The part of the Container Runtime Interface that the daemon calls: package `runtime.v1`, client only.
#[allow(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    clippy::pedantic
)]
pub mod cri {
    include!("generated/runtime.v1.rs");
}

/// The part of the kubelet's Pods API that the daemon calls: package `v1alpha1`, with the little of a Pod that is read.
#[allow(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    clippy::pedantic
)]
pub mod kubelet {
    include!("generated/v1alpha1.rs");
}

/// The encoded `google.protobuf.FileDescriptorSet` of `seedpod.v1`, with comments, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("generated/seedpod.v1.binpb");

/// The domain of each `google.rpc.ErrorInfo` that Seedpod sends.
pub const ERROR_DOMAIN: &str = "seedpod.dev";
