//! Certificates kept in PostgreSQL.
//!
//! [`PostgresStore`] is a [`Store`](perennial_lifecycle::Store) that many processes share: of two that write
//! the same record one wins, and the other learns which version it lost to.
//!
//! Connections between machines are encrypted, or refused: what goes over them are private keys.

mod builder;
pub use builder::PostgresStoreBuilder;

mod error;
pub use error::Error;

mod fault;

mod row;

mod schema;

mod session;

mod store;
pub use store::PostgresStore;

mod target;

mod tls;
