//! The checker against real name servers on loopback that lag, lie and drop.
#![allow(clippy::unwrap_used)] // The scene's helpers are as much a test as the tests are.

mod scene;

mod authoritative;
mod caa;
mod diagnosis;
mod discretion;
mod resolvers;
mod situations;
mod split_horizon;
mod transport;
