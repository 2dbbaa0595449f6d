//! A store that many processes share.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use perennial_core::{SecretBytes, SecretString, Timestamp};
use perennial_lifecycle::{
    CertificateId, Generation, Record, Slot, Store, StoreError, Version,
    budget::{Bucket, BudgetKey},
    store::{Batch, Claim, Due, Held, Owner, Quarantined},
};
use tokio_postgres::{Row, types::FromSql, types::Type};

use crate::{
    PostgresStoreBuilder,
    row::{self, SlotKey},
    session::Sessions,
};

/// A store in a PostgreSQL database, shared by any number of processes.
///
/// Each operation is one statement, so it happens wholly or not at all, and it is durable when it returns. The
/// tables `perennial_records`, `perennial_slots` and `perennial_schema` lie in the first schema of the
/// account's `search_path`, and are made when they are not there.
///
/// Private keys lie in `perennial_slots` as they are. Give nobody but this account a right to that table, and
/// mind that a server which logs the parameters of statements (`log_min_duration_statement`, `log_statement`)
/// logs keys too unless `log_parameter_max_length` is 0.
///
/// Cloning is cheap and shares the connections.
///
/// ```no_run
/// use perennial_lifecycle::{CertificateSpec, Record, Store as _};
/// use perennial_postgres::PostgresStore;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let store = PostgresStore::builder("postgresql://perennial:secret@db.example/perennial?sslmode=require")
///     .root_certificates_pem(std::fs::read("/etc/ssl/db-ca.pem")?)
///     .connect()
///     .await?;
/// let record = Record::new(CertificateSpec::new("shop", ["shop.example"])?);
/// let version = store.commit(&record, None).await?;
/// assert_eq!(store.load(record.id()).await?, Some((version, record)));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct PostgresStore {
    sessions: Sessions,
}

impl PostgresStore {
    /// Begins to describe a store by a URL, `postgresql://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=require`,
    /// or by keys and values, `host=/run/postgresql user=perennial` (PostgreSQL manual §34.1.1).
    #[must_use]
    pub fn builder(connection: impl Into<SecretString>) -> PostgresStoreBuilder {
        PostgresStoreBuilder::new(connection.into())
    }

    pub(crate) const fn new(sessions: Sessions) -> Self {
        Self { sessions }
    }

    /// Where a record lies, for who has to mend it.
    fn place(&self, id: &str) -> String {
        format!("{}/perennial_records/{id}", self.sessions.name())
    }

    /// A column of a row, which our own statements have chosen: another type there is somebody else's table.
    fn column<'a, T: FromSql<'a>>(
        &self,
        doing: &'static str,
        row: &'a Row,
        number: usize,
    ) -> Result<T, StoreError> {
        row.try_get(number)
            .map_err(|error| self.sessions.unavailable(doing, crate::fault::of_statement(&error)))
    }

    /// The primary key of a slot.
    fn key<'a>(&self, doing: &'static str, slot: &'a Slot) -> Result<SlotKey<'a>, StoreError> {
        SlotKey::of(slot).ok_or_else(|| {
            self.sessions.unavailable(doing, format!("it has no place for {slot}: update perennial-postgres"))
        })
    }

    /// For what the tables have no columns for yet.
    fn not_yet(&self, doing: &'static str) -> StoreError {
        self.sessions.unavailable(doing, "this version has no claims, budgets or batches".to_owned())
    }

    async fn version(&self, id: &CertificateId) -> Result<Option<Version>, StoreError> {
        let doing = "read a version from";
        let statement = "SELECT version FROM perennial_records WHERE id = $1";
        let rows = self.sessions.rows(doing, statement, &[(&id.as_str(), Type::TEXT)]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let version: i64 = self.column(doing, row, 0)?;
        Ok(u64::try_from(version).ok().map(Version::from_number))
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PostgresStore").field(&self.sessions.name()).finish()
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn load(&self, id: &CertificateId) -> Result<Option<(Version, Record)>, StoreError> {
        let doing = "load a record from";
        let statement = "SELECT version, record::text FROM perennial_records WHERE id = $1";
        let rows = self.sessions.rows(doing, statement, &[(&id.as_str(), Type::TEXT)]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let (version, json) = (self.column(doing, row, 0)?, self.column(doing, row, 1)?);
        row::record(id, &self.place(id.as_str()), version, json).map(Some)
    }

    async fn apply(&self, batch: &Batch) -> Result<Vec<Version>, StoreError> {
        match (batch.changes(), batch.writes(), batch.buckets(), batch.holds()) {
            ([change], [], [], []) => Ok(vec![self.commit(&change.record, change.expected).await?]),
            _ => Err(self.not_yet("apply a batch to")),
        }
    }

    async fn commit(&self, record: &Record, expected: Option<Version>) -> Result<Version, StoreError> {
        let doing = "commit a record to";
        let id = record.id().as_str();
        let json = serde_json::to_string(record).map_err(|error| StoreError::Damaged {
            path: self.place(id).into(),
            reason: error.to_string(),
        })?;
        let version = expected.map_or(Version::FIRST, Version::next);
        let new = row::bigint(version);
        let written = match expected {
            None => {
                let statement = "INSERT INTO perennial_records (id, version, record) \
                                 VALUES ($1, $2, $3::text::json) ON CONFLICT (id) DO NOTHING RETURNING 1";
                let parameters = [(&id as _, Type::TEXT), (&new as _, Type::INT8), (&json as _, Type::TEXT)];
                self.sessions.rows(doing, statement, &parameters).await?
            }
            Some(expected) => {
                let old = row::bigint(expected);
                let statement = "UPDATE perennial_records SET version = $2, record = $3::text::json \
                                 WHERE id = $1 AND version = $4 RETURNING 1";
                let parameters = [
                    (&id as _, Type::TEXT),
                    (&new as _, Type::INT8),
                    (&json as _, Type::TEXT),
                    (&old as _, Type::INT8),
                ];
                self.sessions.rows(doing, statement, &parameters).await?
            }
        };
        if written.is_empty() {
            let found = self.version(record.id()).await?;
            return Err(StoreError::Conflict { id: record.id().clone(), expected, found });
        }
        Ok(version)
    }

    async fn list(
        &self,
        after: Option<&CertificateId>,
        most: usize,
    ) -> Result<Vec<CertificateId>, StoreError> {
        let doing = "list the records of";
        // No id is empty, so all of them come after the empty text.
        let after = after.map_or("", CertificateId::as_str);
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let statement = "SELECT id FROM perennial_records WHERE id > $1 ORDER BY id LIMIT $2";
        let parameters = [(&after as _, Type::TEXT), (&most as _, Type::INT8)];
        let rows = self.sessions.rows(doing, statement, &parameters).await?;
        let ids = rows.iter().map(|row| {
            let id: &str = self.column(doing, row, 0)?;
            // To pass over it could make a page look like the last one.
            id.parse().map_err(|error| StoreError::Damaged {
                path: self.place(id).into(),
                reason: format!("{error}"),
            })
        });
        ids.collect()
    }

    async fn read(&self, slot: &Slot) -> Result<Option<SecretBytes>, StoreError> {
        let doing = "read a slot of";
        let SlotKey { kind, owner, generation } = self.key(doing, slot)?;
        let statement =
            "SELECT content FROM perennial_slots WHERE kind = $1 AND owner = $2 AND generation = $3";
        let parameters =
            [(&kind as _, Type::TEXT), (&owner as _, Type::TEXT), (&generation as _, Type::INT8)];
        let rows = self.sessions.rows(doing, statement, &parameters).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let content: &[u8] = self.column(doing, row, 0)?;
        Ok(Some(SecretBytes::new(content)))
    }

    async fn write(&self, slot: &Slot, bytes: &SecretBytes) -> Result<(), StoreError> {
        let doing = "write a slot of";
        let SlotKey { kind, owner, generation } = self.key(doing, slot)?;
        let statement = "INSERT INTO perennial_slots (kind, owner, generation, content) \
                         VALUES ($1, $2, $3, $4) \
                         ON CONFLICT (owner, kind, generation) DO UPDATE SET content = EXCLUDED.content";
        let content = bytes.expose();
        let parameters = [
            (&kind as _, Type::TEXT),
            (&owner as _, Type::TEXT),
            (&generation as _, Type::INT8),
            (&content as _, Type::BYTEA),
        ];
        self.sessions.rows(doing, statement, &parameters).await.map(drop)
    }

    async fn forget(&self, id: &CertificateId, generation: Generation) -> Result<(), StoreError> {
        let statement =
            "DELETE FROM perennial_slots WHERE owner = $1 AND generation = $2 AND kind IN ($3, $4)";
        let (owner, generation) = (id.as_str(), i64::from(generation.number()));
        let parameters = [
            (&owner as _, Type::TEXT),
            (&generation as _, Type::INT8),
            (&row::CHAIN as _, Type::TEXT),
            (&row::PRIVATE_KEY as _, Type::TEXT),
        ];
        self.sessions.rows("forget a generation in", statement, &parameters).await.map(drop)
    }

    async fn claim(&self, _: &Owner, _: Duration, _: usize) -> Result<Vec<Claim>, StoreError> {
        Err(self.not_yet("claim from"))
    }

    async fn claim_one(
        &self,
        _: &Owner,
        _: Duration,
        _: &CertificateId,
    ) -> Result<Option<Claim>, StoreError> {
        Err(self.not_yet("claim from"))
    }

    async fn extend(&self, _: &[Held], _: Duration) -> Result<Vec<CertificateId>, StoreError> {
        Err(self.not_yet("extend claims in"))
    }

    async fn release(&self, _: &[Held]) -> Result<(), StoreError> {
        Err(self.not_yet("release claims in"))
    }

    async fn scan_due(&self, _: Timestamp, _: Option<&Due>, _: usize) -> Result<Vec<Due>, StoreError> {
        Err(self.not_yet("scan"))
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        Err(self.not_yet("scan"))
    }

    async fn buckets(&self, _: &[BudgetKey]) -> Result<Vec<Option<(Version, Bucket)>>, StoreError> {
        Err(self.not_yet("read budgets of"))
    }

    async fn quarantined(&self) -> Result<Vec<Quarantined>, StoreError> {
        Err(self.not_yet("scan"))
    }

    async fn remove(&self, _: &CertificateId, _: Version, _: Option<&Held>) -> Result<(), StoreError> {
        Err(self.not_yet("remove a record from"))
    }
}
