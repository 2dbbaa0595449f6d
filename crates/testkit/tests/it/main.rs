//! The little internet, used over real sockets as a program would use it.
#![allow(clippy::unwrap_used)] // A test that cannot go on says where.

mod acme_client;
mod ca;
mod challenge;
mod dns;
mod dns_client;
mod misbehaviour;
#[cfg(feature = "specifications")]
mod specification;
mod world;
