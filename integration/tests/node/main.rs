//! Tests on a real kubelet. All of this binary share one node; see [`rig`].

mod rig;
mod smoke;
