//! A machine that is to become a cluster's: a bare kubelet, in a network of its own.

mod join;
mod machine;
