//! What a store is told before it connects.

use std::time::Duration;

use perennial_core::SecretString;

use crate::{
    Error, PostgresStore,
    session::Sessions,
    target::{Plaintext, Roots, Target},
    tls,
};

/// Describes a store; see [`PostgresStore::builder`].
///
/// # TLS
/// Over a Unix socket and on loopback none is needed. To another machine the connection string has to say
/// `sslmode=require`: then certificate and host name are verified, always, as `verify-full` does elsewhere.
/// A string that would send private keys through a network in clear text is refused.
pub struct PostgresStoreBuilder {
    connection: SecretString,
    roots_pem: Vec<u8>,
    plaintext: Plaintext,
    pool_size: usize,
    time_limit: Duration,
}

/// A statement takes about a millisecond, so that four connections carry thousands a second: more than any
/// CA's limits leave to do. And PostgreSQL takes 100 connections by default, enough for nearly two dozen
/// processes.
const POOL_SIZE: usize = 4;

/// Every statement touches a few rows by their keys, or the first of an index. One that is not done after ten
/// seconds waits for a server that is gone, and whoever asked does better to come back later.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// PostgreSQL's own largest timeout, some 24 days, is no limit any more; a day is long enough for anybody.
const LONGEST_TIME_LIMIT: Duration = Duration::from_secs(24 * 60 * 60);

impl PostgresStoreBuilder {
    pub(crate) const fn new(connection: SecretString) -> Self {
        Self {
            connection,
            roots_pem: Vec::new(),
            plaintext: Plaintext::Refused,
            pool_size: POOL_SIZE,
            time_limit: TIME_LIMIT,
        }
    }

    /// The roots to trust, as PEM, instead of the operating system's; repeatable. A database mostly has a
    /// private CA, and then no other should be able to vouch for it.
    #[must_use]
    pub fn root_certificates_pem(mut self, pem: impl AsRef<[u8]>) -> Self {
        self.roots_pem.extend_from_slice(pem.as_ref());
        self.roots_pem.push(b'\n');
        self
    }

    /// The most connections that are open at once, at least one, besides the one that listens. Default: 4,
    /// which carry thousands of statements a second, while PostgreSQL's own default of 100 is enough for nearly
    /// two dozen processes.
    #[must_use]
    pub fn pool_size(mut self, connections: usize) -> Self {
        self.pool_size = connections.max(1);
        self
    }

    /// The longest that each wait takes: for a free connection, for a new one, and for a statement, which the
    /// server itself ends then. Default: 10 seconds, four orders of magnitude more than a statement needs;
    /// the most is a day.
    #[must_use]
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit.clamp(Duration::from_millis(1), LONGEST_TIME_LIMIT);
        self
    }

    /// Lets private keys cross a network in clear text, for one that is encrypted by other means: a VPN, a
    /// service mesh. Whoever reads along can take over every certificate.
    #[must_use]
    pub const fn dangerous_allow_plaintext(mut self) -> Self {
        self.plaintext = Plaintext::Allowed;
        self
    }

    /// Connects, and makes the tables or brings them up to date. Any number of processes may do so at once.
    ///
    /// # Errors
    /// [`Error::ConnectionString`], [`Error::Plaintext`] and [`Error::Certificate`] for what this builder was
    /// told; [`Error::NewerSchema`] when a newer version has changed the tables;
    /// [`StoreError::Unavailable`](perennial_lifecycle::StoreError::Unavailable) when the database cannot be
    /// reached or refuses.
    pub async fn connect(self) -> Result<PostgresStore, Error> {
        let roots = if self.roots_pem.is_empty() { Roots::OfTheSystem } else { Roots::Given };
        let target = Target::parse(self.connection.expose(), self.plaintext, roots)?;
        let tls = tls::connector(&self.roots_pem)?;
        let sessions = Sessions::new(target, tls, self.pool_size, self.time_limit)?;
        sessions.bring_schema_up_to_date().await?;
        Ok(PostgresStore::new(sessions))
    }
}
