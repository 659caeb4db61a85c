//! Secrets and ConfigMaps that travel with the pods, on the real kubelet.
//!
//! [`compare`] holds what a pod finds against what the same pod finds that a kube-apiserver schedules; the others are
//! about what must never happen: somebody else reads them, something outside of their folder changes, a file is torn or
//! left over, a value shows up where it does not belong.

mod api;
mod compare;
mod escape;
mod every;
mod kills;
mod listing;
mod mirror;
mod needle;
mod parts;
mod privacy;
mod reboot;
mod rotation;
mod search;
mod update;
