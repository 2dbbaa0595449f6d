//! The store against real PostgreSQL servers.

mod connection;
mod scene;
mod schema;
mod store;
