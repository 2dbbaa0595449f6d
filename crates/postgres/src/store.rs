//! A store that many processes share.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use perennial_core::{SecretBytes, SecretString, Timestamp};
use perennial_lifecycle::{
    CertificateId, Generation, Record, Slot, Store, StoreError, Version,
    budget::{Bucket, BudgetKey},
    store::{Batch, Claim, Due, Held, Owner, Quarantined},
};
use serde::Serialize;
use tokio_postgres::{
    Row,
    types::{FromSql, Type},
};

use crate::{
    PostgresStoreBuilder, batch, claim, due,
    row::{self, SlotKey},
    session::Sessions,
};

/// A store in a PostgreSQL database, shared by any number of processes.
///
/// Each operation is one statement or one transaction, so it happens wholly or not at all, and it is durable
/// when it returns. The tables `perennial_buckets`, `perennial_records`, `perennial_schema` and
/// `perennial_slots`, and the sequence `perennial_fences`, lie in the first schema of the account's
/// `search_path`, and are made when they are not there.
///
/// # Claims
/// The server's clock decides what is due and when a claim ends, in whole seconds, rounded up. Processes that
/// claim at once pass over each other's rows instead of waiting for them. What one process writes wakes the
/// others within half a second or so (LISTEN and NOTIFY, on a connection of its own); a bell that is not
/// heard, behind a pooler that knows no LISTEN, costs up to a minute and nothing else.
///
/// While more is due than is claimed at a time, each claim begins where the last one found the first, and at the very
/// beginning once a second and when the bell is heard: what another process puts before all others may come that much
/// later.
///
/// # Damage
/// A record that cannot be read, or that a newer version wrote, stays as it is. Its column `damage` says why,
/// and it is tried again after an hour, so that it comes back by itself once it is mended. One of a newer
/// version is left to processes that can read it, at once.
///
/// # Secrets
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
    pub(crate) sessions: Sessions,
    /// Whether the odd one of a claim is the renewals'.
    renewals_turn: Arc<AtomicBool>,
}

impl PostgresStore {
    /// Begins to describe a store by a URL, `postgresql://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=require`,
    /// or by keys and values, `host=/run/postgresql user=perennial` (PostgreSQL manual §34.1.1).
    #[must_use]
    pub fn builder(connection: impl Into<SecretString>) -> PostgresStoreBuilder {
        PostgresStoreBuilder::new(connection.into())
    }

    pub(crate) fn new(sessions: Sessions) -> Self {
        Self { sessions, renewals_turn: Arc::new(AtomicBool::new(true)) }
    }

    /// How many of so many certificates are claimed among the renewals, when others wait as well: half, and each
    /// line has the odd one in turn.
    pub(crate) fn renewals_of(&self, most: i64) -> i64 {
        let odd = most % 2;
        most / 2 + odd * i64::from(odd == 1 && self.renewals_turn.fetch_xor(true, Ordering::Relaxed))
    }

    /// Where a record lies, for who has to mend it.
    pub(crate) fn place(&self, id: &str) -> String {
        format!("{}/perennial_records/{id}", self.sessions.name())
    }

    /// A column of a row, which our own statements have chosen: another type there is somebody else's table.
    pub(crate) fn column<'a, T: FromSql<'a>>(
        &self,
        doing: &'static str,
        row: &'a Row,
        number: usize,
    ) -> Result<T, StoreError> {
        row.try_get(number)
            .map_err(|error| self.sessions.unavailable(doing, crate::fault::of_statement(&error)))
    }

    /// An id that we may not have written ourselves.
    pub(crate) fn id(&self, text: &str) -> Result<CertificateId, StoreError> {
        text.parse().map_err(|error| StoreError::Damaged {
            path: self.place(&crate::fault::presentable(text)).into(),
            reason: format!("{error}"),
        })
    }

    /// The primary key of a slot.
    pub(crate) fn key<'a>(&self, doing: &'static str, slot: &'a Slot) -> Result<SlotKey<'a>, StoreError> {
        SlotKey::of(slot).ok_or_else(|| {
            self.sessions.unavailable(doing, format!("it has no place for {slot}: update perennial-postgres"))
        })
    }
}

/// Something of ours as JSON.
pub(crate) fn json(place: &str, value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value)
        .map_err(|error| StoreError::Damaged { path: place.into(), reason: error.to_string() })
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
        batch::apply(self, batch).await
    }

    async fn list(
        &self,
        after: Option<&CertificateId>,
        most: usize,
    ) -> Result<Vec<CertificateId>, StoreError> {
        let doing = "list the records of";
        let statement = "SELECT id FROM perennial_records WHERE id > $1 ORDER BY id LIMIT $2";
        // No id is empty, so all of them come after the empty text.
        let mut after = after.map_or("", CertificateId::as_str).to_owned();
        let mut ids = Vec::new();
        loop {
            let missing = most - ids.len();
            let limit = i64::try_from(missing).unwrap_or(i64::MAX);
            let parameters = [(&after as _, Type::TEXT), (&limit as _, Type::INT8)];
            let rows = self.sessions.rows(doing, statement, &parameters).await?;
            for row in &rows {
                // What was called so by somebody else is passed over, and does not make this page the last one.
                let id: &str = self.column(doing, row, 0)?;
                ids.extend(self.id(id).ok());
                id.clone_into(&mut after);
            }
            if ids.len() == most || rows.len() < missing {
                return Ok(ids);
            }
        }
    }

    async fn claim(&self, owner: &Owner, ttl: Duration, most: usize) -> Result<Vec<Claim>, StoreError> {
        due::claim(self, owner, ttl, most).await
    }

    async fn claim_one(
        &self,
        owner: &Owner,
        ttl: Duration,
        id: &CertificateId,
    ) -> Result<Option<Claim>, StoreError> {
        claim::one(self, owner, ttl, id).await
    }

    async fn extend(&self, held: &[Held], ttl: Duration) -> Result<Vec<CertificateId>, StoreError> {
        claim::extend(self, held, ttl).await
    }

    async fn release(&self, held: &[Held]) -> Result<(), StoreError> {
        claim::release(self, held).await
    }

    async fn scan_due(
        &self,
        until: Timestamp,
        after: Option<&Due>,
        most: usize,
    ) -> Result<Vec<Due>, StoreError> {
        claim::scan(self, until, after, most).await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        claim::next(self).await
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn woken(&self) {
        self.sessions.heard().await;
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

    async fn write_if(
        &self,
        slot: &Slot,
        expected: Option<&SecretBytes>,
        bytes: &SecretBytes,
    ) -> Result<(), StoreError> {
        let doing = "write a slot of";
        let SlotKey { kind, owner, generation } = self.key(doing, slot)?;
        let (content, expected) = (bytes.expose(), expected.map(SecretBytes::expose));
        // Whoever waits for another one's write sees what that one has written, and compares with it.
        let statement = match expected {
            None => {
                "INSERT INTO perennial_slots (kind, owner, generation, content) \
                 SELECT $1, $2, $3, $4 WHERE $5::bytea IS NULL \
                 ON CONFLICT (owner, kind, generation) DO NOTHING RETURNING 1"
            }
            Some(_) => {
                "UPDATE perennial_slots SET content = $4 \
                 WHERE kind = $1 AND owner = $2 AND generation = $3 AND content = $5 RETURNING 1"
            }
        };
        let parameters = [
            (&kind as _, Type::TEXT),
            (&owner as _, Type::TEXT),
            (&generation as _, Type::INT8),
            (&content as _, Type::BYTEA),
            (&expected as _, Type::BYTEA),
        ];
        let rows = self.sessions.rows(doing, statement, &parameters).await?;
        if rows.is_empty() { Err(StoreError::SlotConflict { slot: slot.clone() }) } else { Ok(()) }
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

    async fn buckets(&self, keys: &[BudgetKey]) -> Result<Vec<Option<(Version, Bucket)>>, StoreError> {
        let doing = "read budgets from";
        let keys = keys.iter().map(|key| json(BUCKETS, key)).collect::<Result<Vec<_>, _>>()?;
        let statement = "SELECT key, version, full_at FROM perennial_buckets WHERE key = ANY($1)";
        let rows = self.sessions.rows(doing, statement, &[(&keys, Type::TEXT_ARRAY)]).await?;
        let mut found = BTreeMap::new();
        for row in &rows {
            let (version, full_at) = (self.column(doing, row, 1)?, self.column(doing, row, 2)?);
            found.insert(self.column::<&str>(doing, row, 0)?, (row::version(version), row::bucket(full_at)));
        }
        Ok(keys.iter().map(|key| found.get(key.as_str()).copied()).collect())
    }

    async fn quarantined(&self) -> Result<Vec<Quarantined>, StoreError> {
        claim::quarantined(self).await
    }

    async fn remove(
        &self,
        id: &CertificateId,
        expected: Version,
        held: Option<&Held>,
    ) -> Result<(), StoreError> {
        batch::remove(self, id, expected, held).await
    }
}

/// Where budgets lie.
pub(crate) const BUCKETS: &str = "perennial_buckets";
