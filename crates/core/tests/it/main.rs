//! The HTTP client against small servers on loopback that do one thing each.
#![allow(clippy::unwrap_used)] // A test that cannot go on says where.
#![cfg(feature = "reqwest")]

mod http;
mod server;
