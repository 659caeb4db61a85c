//! Tests on a real kubelet. All of this binary share one node; see [`rig`].
#![allow(
    clippy::disallowed_methods,
    reason = "the ban is for the daemon's state"
)]

mod daemon;
mod injection;
mod lifecycle;
mod rig;
mod scene;
mod smoke;
