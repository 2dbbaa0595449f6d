//! The HTTP client against small servers on loopback that do one thing each.
#![cfg(feature = "reqwest")]

mod http;
mod server;
