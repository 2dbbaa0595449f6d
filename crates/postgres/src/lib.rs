//! Certificates kept in PostgreSQL.
//!
//! [`PostgresStore`] is a [`Store`](perennial_lifecycle::Store) that many processes share: each claims what
//! is due, no two the same certificate; of two that write the same record one wins, and the other learns which
//! version it lost to; and whoever was held up for longer than its claim writes nothing any more.
//!
//! Connections between machines are encrypted, or refused: what goes over them are private keys.

mod batch;

mod bell;

mod builder;
pub use builder::PostgresStoreBuilder;

mod claim;

mod due;

mod error;
pub use error::Error;

mod fault;

mod front;

mod row;

mod schema;

mod session;

mod store;
pub use store::PostgresStore;

mod target;

mod tls;
