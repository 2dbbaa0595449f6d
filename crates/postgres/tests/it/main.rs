//! The store against real PostgreSQL servers.
#![allow(clippy::unwrap_used)] // A test that cannot go on says where: helpers too.

mod batches;
mod claims;
mod connection;
mod scene;
mod schema;
mod store;
