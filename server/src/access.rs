//! Who may reach the daemon, and how: sockets, TLS, identities and roles.
//!
//! The way of a connection: `listen` binds and accepts, `handshake` does TLS with the credentials that `tls` reads and
//! `reload` keeps fresh, `identity` says who it is, `admission` counts it, and `serve` gives it to tonic as a
//! `Connection` whose identity is an extension of each of its requests. What an identity may call is in `role`; the
//! refusal itself is in `grpc::authorize`.

mod admission;
mod connection;
mod handshake;
mod identity;
mod listen;
mod reload;
mod role;
mod serve;
mod tls;

pub(crate) use admission::{Admission, Admissions, Full};
pub(crate) use identity::Identity;
pub(crate) use listen::Listeners;
pub(crate) use role::{Role, Rule, TABLE, rule_for};
pub(crate) use serve::serve;
pub(crate) use tls::Credentials;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
