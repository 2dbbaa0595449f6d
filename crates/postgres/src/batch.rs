//! What is written together, in one transaction or not at all.
//!
//! All that a batch names is locked before anything is compared: records, then buckets, each in the order of
//! their keys; what is new is inserted in the same order afterwards. Since everybody does it in this order,
//! nobody waits for one who waits for him.

use std::collections::{BTreeMap, BTreeSet};

use deadpool_postgres::{Client, Transaction};
use perennial_lifecycle::{
    CertificateId, StoreError, Version,
    store::{Batch, BucketChange, Change, Fence, Held},
};
use tokio::time::timeout;
use tokio_postgres::{
    Row,
    types::{ToSql, Type},
};

use crate::{
    PostgresStore,
    claim::{self, IS_HELD, IS_SOON},
    row::{self, SlotKey},
    store::{BUCKETS, json},
};

const DOING: &str = "write to";

/// Writes a batch, and returns the new versions of its records.
pub(crate) async fn apply(store: &PostgresStore, batch: &Batch) -> Result<Vec<Version>, StoreError> {
    let draft = Draft::of(store, batch)?;
    if let Some(version) = one_change(store, batch, &draft).await? {
        return Ok(vec![version]);
    }
    let mut client = store.sessions.client(DOING).await?;
    let done = timeout(store.sessions.patience(), transact(&mut client, batch, &draft)).await;
    let done = store.sessions.close(DOING, client, done)?;
    if done.soon {
        store.sessions.ring();
    }
    Ok(done.versions)
}

/// Why nothing was written.
pub(crate) enum Fault {
    Driver(tokio_postgres::Error),
    Store(StoreError),
}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Driver(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// The rows of a batch, made before anything is locked. Of two changes of one row the later is written.
struct Draft<'a> {
    records: BTreeMap<&'a str, RecordRow>,
    slots: BTreeMap<SlotKey<'a>, &'a [u8]>,
    /// The changes of buckets, each with its key and its content as they are kept.
    buckets: Vec<(String, i64, &'a BucketChange)>,
}

/// A record as its row has it.
struct RecordRow {
    json: String,
    due_at: i64,
    /// In which line it stands.
    has_certificate: bool,
}

impl<'a> Draft<'a> {
    fn of(store: &PostgresStore, batch: &'a Batch) -> Result<Self, StoreError> {
        let mut draft = Self { records: BTreeMap::new(), slots: BTreeMap::new(), buckets: Vec::new() };
        for Change { record, .. } in batch.changes() {
            let id = record.id().as_str();
            let json = json(&store.place(id), record)?;
            let (due_at, has_certificate) = (record.next_at.unix(), record.current.is_some());
            draft.records.insert(id, RecordRow { json, due_at, has_certificate });
        }
        for (slot, bytes) in batch.writes() {
            draft.slots.insert(store.key(DOING, slot)?, bytes.expose());
        }
        for change in batch.buckets() {
            draft.buckets.push((json(BUCKETS, &change.key)?, row::full_at(change.bucket)?, change));
        }
        Ok(draft)
    }
}

/// The commonest batch, a change of one record that is there, in one statement. `None` when it is another
/// batch, or does not fit what is there: then the long way tells why.
async fn one_change(
    store: &PostgresStore,
    batch: &Batch,
    draft: &Draft<'_>,
) -> Result<Option<Version>, StoreError> {
    let ([Change { record, expected: Some(expected) }], [], []) =
        (batch.changes(), batch.writes(), batch.buckets())
    else {
        return Ok(None);
    };
    let id = record.id();
    let held = match batch.holds() {
        [] => None,
        [held] if held.id == *id => Some(held),
        _ => return Ok(None),
    };
    let (fence, owner) = (held.map(|held| row::number(held.fence)), held.map(|held| held.owner.as_str()));
    let Some(RecordRow { json, due_at, has_certificate }) = draft.records.get(id.as_str()) else {
        return Ok(None);
    };
    let statement = format!(
        "UPDATE perennial_records AS kept
         SET version = $2, record = $3::text::json, due_at = to_timestamp($4), has_certificate = $8, {MOVED}
         WHERE id = $1 AND version = $5 AND ($6 IS NULL OR fence = $6 AND (owner IS NULL OR owner = $7))
         RETURNING {IS_SOON}",
        MOVED = moved("to_timestamp($4)"),
    );
    let version = expected.next();
    let parameters = [
        (&id.as_str() as _, Type::TEXT),
        (&row::bigint(version) as _, Type::INT8),
        (json as _, Type::TEXT),
        (due_at as _, Type::INT8),
        (&row::bigint(*expected) as _, Type::INT8),
        (&fence as _, Type::INT8),
        (&owner as _, Type::TEXT),
        (has_certificate as _, Type::BOOL),
    ];
    let rows = store.sessions.rows(DOING, &statement, &parameters).await?;
    claim::ring_if_soon(store, DOING, &rows)?;
    Ok((!rows.is_empty()).then_some(version))
}

/// Where a record that was written stands in the index: where it says itself, unless somebody holds it.
fn moved(due_at: &str) -> String {
    format!(
        "damage = NULL, newer = NULL, next_at = CASE WHEN {IS_HELD} THEN next_at ELSE {due_at} END, \
         owner = CASE WHEN {IS_HELD} THEN owner END"
    )
}

/// What came of a transaction.
struct Done {
    versions: Vec<Version>,
    /// Whether something may be due earlier than others think.
    soon: bool,
}

async fn transact(client: &mut Client, batch: &Batch, draft: &Draft<'_>) -> Result<Done, Fault> {
    let transaction = client.transaction().await?;
    let found = Found::lock(&transaction, batch, draft).await?;
    let next = Next::of(batch, draft, &found)?;
    let updated = update_records(&transaction, draft, &next).await?;
    let inserted = insert_records(&transaction, draft, &next).await?;
    write_buckets(&transaction, &next).await?;
    write_slots(&transaction, &draft.slots).await?;
    transaction.commit().await?;
    Ok(Done { versions: next.versions, soon: updated || inserted })
}

/// What is there, locked.
#[derive(Default)]
struct Found {
    records: BTreeMap<String, Kept>,
    buckets: BTreeMap<String, Version>,
}

/// A record that is there, and who claimed it last.
struct Kept {
    version: Version,
    fence: Fence,
    owner: Option<String>,
}

impl Kept {
    /// Whether this is the newest claim. The owner says nothing new, except where a standby took over that had
    /// not heard of the last claims: then fences come twice. Nobody is the owner of what a wish has moved after
    /// its claim was over.
    fn is_held_by(&self, held: &Held) -> bool {
        let owner = self.owner.as_deref();
        self.fence == held.fence && owner.is_none_or(|owner| owner == held.owner.as_str())
    }
}

impl Found {
    async fn lock(transaction: &Transaction<'_>, batch: &Batch, draft: &Draft<'_>) -> Result<Self, Fault> {
        let mut found = Self::default();
        let mut ids: Vec<&str> = draft.records.keys().copied().collect();
        ids.extend(batch.holds().iter().map(|held| held.id.as_str()));
        let statement = "SELECT id, version, fence, owner FROM perennial_records WHERE id = ANY($1) \
                         ORDER BY id FOR UPDATE";
        for row in transaction.query_typed(statement, &[(&ids, Type::TEXT_ARRAY)]).await? {
            let (version, fence) = (row::version(row.try_get(1)?), row::fence(row.try_get(2)?));
            found.records.insert(row.try_get(0)?, Kept { version, fence, owner: row.try_get(3)? });
        }
        if !draft.buckets.is_empty() {
            let keys: Vec<&str> = draft.buckets.iter().map(|(key, ..)| key.as_str()).collect();
            let statement = "SELECT key, version FROM perennial_buckets WHERE key = ANY($1) \
                             ORDER BY key FOR UPDATE";
            for row in transaction.query_typed(statement, &[(&keys, Type::TEXT_ARRAY)]).await? {
                found.buckets.insert(row.try_get(0)?, row::version(row.try_get(1)?));
            }
        }
        Ok(found)
    }
}

/// What will be there.
struct Next<'a> {
    /// The version that each change makes.
    versions: Vec<Version>,
    records: BTreeMap<&'a str, Written<'a, Change>>,
    /// By the keys as they are kept, with the content as it is kept.
    buckets: BTreeMap<&'a str, (i64, Written<'a, BucketChange>)>,
}

/// A row that is written.
struct Written<'a, T> {
    version: Version,
    /// There was none under lock.
    is_new: bool,
    change: &'a T,
}

impl<'a> Next<'a> {
    /// Compares what is there with what the batch expects: the claims first.
    fn of(batch: &'a Batch, draft: &'a Draft<'a>, found: &Found) -> Result<Self, StoreError> {
        for held in batch.holds() {
            let kept = found.records.get(held.id.as_str());
            if !kept.is_some_and(|kept| kept.is_held_by(held)) {
                return Err(fenced(held, kept.map(|kept| kept.fence)));
            }
        }
        let mut next = Self { versions: Vec::new(), records: BTreeMap::new(), buckets: BTreeMap::new() };
        for change in batch.changes() {
            let id = change.record.id().as_str();
            let there = found.records.get(id).map(|kept| kept.version);
            let is = next.records.get(id).map(|written| written.version).or(there);
            if is != change.expected {
                return Err(conflict(change, is));
            }
            let version = is.map_or(Version::FIRST, Version::next);
            next.versions.push(version);
            next.records.insert(id, Written { version, is_new: there.is_none(), change });
        }
        for (key, full_at, change) in &draft.buckets {
            let there = found.buckets.get(key).copied();
            let is = next.buckets.get(key.as_str()).map(|(_, written)| written.version).or(there);
            if is != change.expected {
                return Err(bucket_conflict(change, is));
            }
            let version = is.map_or(Version::FIRST, Version::next);
            next.buckets.insert(key, (*full_at, Written { version, is_new: there.is_none(), change }));
        }
        Ok(next)
    }
}

fn fenced(held: &Held, newest: Option<Fence>) -> StoreError {
    StoreError::Fenced { id: held.id.clone(), held: held.fence, newest }
}

fn conflict(change: &Change, found: Option<Version>) -> StoreError {
    StoreError::Conflict { id: change.record.id().clone(), expected: change.expected, found }
}

fn bucket_conflict(change: &BucketChange, found: Option<Version>) -> StoreError {
    StoreError::BudgetConflict { key: change.key.clone(), expected: change.expected, found }
}

/// The columns of those records that are there already, or of those that are not.
#[derive(Default)]
struct Records<'a> {
    ids: Vec<&'a str>,
    versions: Vec<i64>,
    jsons: Vec<&'a str>,
    due: Vec<i64>,
    have_certificates: Vec<bool>,
}

impl<'a> Records<'a> {
    fn of(draft: &'a Draft<'_>, next: &Next<'a>, are_new: bool) -> Self {
        let mut records = Self::default();
        for (id, written) in &next.records {
            let Some(row) = draft.records.get(id).filter(|_| written.is_new == are_new) else {
                continue;
            };
            records.ids.push(id);
            records.versions.push(row::bigint(written.version));
            records.jsons.push(&row.json);
            records.due.push(row.due_at);
            records.have_certificates.push(row.has_certificate);
        }
        records
    }

    fn parameters(&self) -> [(&(dyn ToSql + Sync), Type); 5] {
        [
            (&self.ids, Type::TEXT_ARRAY),
            (&self.versions, Type::INT8_ARRAY),
            (&self.jsons, Type::TEXT_ARRAY),
            (&self.due, Type::INT8_ARRAY),
            (&self.have_certificates, Type::BOOL_ARRAY),
        ]
    }
}

/// [`Records`] as a table.
const NEW_RECORDS: &str = "unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[], $5::boolean[]) \
                           AS new (id, version, record, due, has_certificate)";

/// Writes the records that are there. Whether one of them is due soon.
async fn update_records(
    transaction: &Transaction<'_>,
    draft: &Draft<'_>,
    next: &Next<'_>,
) -> Result<bool, Fault> {
    let records = Records::of(draft, next, false);
    if records.ids.is_empty() {
        return Ok(false);
    }
    let statement = format!(
        "UPDATE perennial_records AS kept
         SET version = new.version, record = new.record::json, due_at = to_timestamp(new.due),
             has_certificate = new.has_certificate, {MOVED}
         FROM {NEW_RECORDS}
         WHERE kept.id = new.id
         RETURNING {IS_SOON}",
        MOVED = moved("to_timestamp(new.due)"),
    );
    let rows = transaction.query_typed(&statement, &records.parameters()).await?;
    any(&rows)
}

/// Writes the records that are not there. Whether one of them is due soon.
async fn insert_records(
    transaction: &Transaction<'_>,
    draft: &Draft<'_>,
    next: &Next<'_>,
) -> Result<bool, Fault> {
    let records = Records::of(draft, next, true);
    if records.ids.is_empty() {
        return Ok(false);
    }
    let statement = format!(
        "INSERT INTO perennial_records AS kept (id, version, record, due_at, next_at, has_certificate)
         SELECT id, version, record::json, to_timestamp(due), to_timestamp(due), has_certificate
         FROM {NEW_RECORDS}
         ON CONFLICT (id) DO NOTHING
         RETURNING {IS_SOON}, kept.id",
    );
    let rows = transaction.query_typed(&statement, &records.parameters()).await?;
    let mut written = BTreeSet::new();
    for row in &rows {
        written.insert(row.try_get::<_, &str>(1)?);
    }
    // Somebody else has made it since we looked.
    let lost = next.records.iter().find(|(id, new)| new.is_new && !written.contains(*id));
    if let Some((id, Written { change, .. })) = lost {
        let statement = "SELECT version FROM perennial_records WHERE id = $1";
        return Err(conflict(change, version(transaction, statement, id).await?).into());
    }
    any(&rows)
}

/// Writes the buckets.
async fn write_buckets(transaction: &Transaction<'_>, next: &Next<'_>) -> Result<(), Fault> {
    if next.buckets.is_empty() {
        return Ok(());
    }
    // One that is there is locked, so its version cannot have changed; one that was not and is there now is
    // somebody else's.
    let statement = "INSERT INTO perennial_buckets AS kept (key, version, full_at)
                     SELECT key, version, full_at
                     FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS new (key, version, full_at)
                     ON CONFLICT (key) DO UPDATE SET version = EXCLUDED.version, full_at = EXCLUDED.full_at
                     WHERE kept.key = ANY($4)
                     RETURNING key";
    let keys: Vec<&str> = next.buckets.keys().copied().collect();
    let versions: Vec<i64> = next.buckets.values().map(|(_, new)| row::bigint(new.version)).collect();
    let moments: Vec<i64> = next.buckets.values().map(|(full_at, _)| *full_at).collect();
    let there = next.buckets.iter().filter(|(_, (_, written))| !written.is_new);
    let there: Vec<&str> = there.map(|(key, _)| *key).collect();
    let parameters = [
        (&keys as _, Type::TEXT_ARRAY),
        (&versions as _, Type::INT8_ARRAY),
        (&moments as _, Type::INT8_ARRAY),
        (&there as _, Type::TEXT_ARRAY),
    ];
    let rows = transaction.query_typed(statement, &parameters).await?;
    let mut written = BTreeSet::new();
    for row in &rows {
        written.insert(row.try_get::<_, &str>(0)?);
    }
    let lost = next.buckets.iter().find(|(key, _)| !written.contains(*key));
    if let Some((key, (_, Written { change, .. }))) = lost {
        let statement = "SELECT version FROM perennial_buckets WHERE key = $1";
        return Err(bucket_conflict(change, version(transaction, statement, key).await?).into());
    }
    if there.len() < keys.len() {
        forget_full(transaction).await?;
    }
    Ok(())
}

/// Whoever adds a bucket takes some away that have been full for a day, so that there are never many more than
/// are in use. A day, so that nobody still knows their versions.
async fn forget_full(transaction: &Transaction<'_>) -> Result<(), Fault> {
    let statement = "DELETE FROM perennial_buckets WHERE key IN (
                         SELECT key FROM perennial_buckets
                         WHERE full_at < (extract(epoch FROM now()) - 86400) * 1000
                         ORDER BY full_at LIMIT 8 FOR UPDATE SKIP LOCKED
                     )";
    transaction.query_typed(statement, &[]).await?;
    Ok(())
}

/// Writes the slots.
async fn write_slots(
    transaction: &Transaction<'_>,
    slots: &BTreeMap<SlotKey<'_>, &[u8]>,
) -> Result<(), Fault> {
    if slots.is_empty() {
        return Ok(());
    }
    let statement = "INSERT INTO perennial_slots (kind, owner, generation, content)
                     SELECT kind, owner, generation, content
                     FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bytea[])
                         AS new (kind, owner, generation, content)
                     ON CONFLICT (owner, kind, generation) DO UPDATE SET content = EXCLUDED.content";
    let kinds: Vec<&str> = slots.keys().map(|slot| slot.kind).collect();
    let owners: Vec<&str> = slots.keys().map(|slot| slot.owner).collect();
    let generations: Vec<i64> = slots.keys().map(|slot| slot.generation).collect();
    let contents: Vec<&[u8]> = slots.values().copied().collect();
    let parameters = [
        (&kinds as _, Type::TEXT_ARRAY),
        (&owners as _, Type::TEXT_ARRAY),
        (&generations as _, Type::INT8_ARRAY),
        (&contents as _, Type::BYTEA_ARRAY),
    ];
    transaction.query_typed(statement, &parameters).await?;
    Ok(())
}

/// Whether the first column of one of these rows says so.
fn any(rows: &[Row]) -> Result<bool, Fault> {
    for row in rows {
        if row.try_get(0)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The version in the first column of the only row, if there is one.
async fn version(
    transaction: &Transaction<'_>,
    statement: &str,
    key: &str,
) -> Result<Option<Version>, Fault> {
    let rows = transaction.query_typed(statement, &[(&key, Type::TEXT)]).await?;
    Ok(rows.first().map(|row| row.try_get(0)).transpose()?.map(row::version))
}

/// Removes a record and all that lies beside it.
pub(crate) async fn remove(
    store: &PostgresStore,
    id: &CertificateId,
    expected: Version,
    held: Option<&Held>,
) -> Result<(), StoreError> {
    let doing = "remove a record from";
    let statement = "WITH gone AS (
                         DELETE FROM perennial_records
                         WHERE id = $1 AND version = $2
                             AND ($3 IS NULL OR fence = $3 AND (owner IS NULL OR owner = $6))
                         RETURNING id
                     ), emptied AS (
                         DELETE FROM perennial_slots USING gone WHERE owner = gone.id AND kind IN ($4, $5)
                     )
                     SELECT 1 FROM gone";
    let (fence, owner) = (held.map(|held| row::number(held.fence)), held.map(|held| held.owner.as_str()));
    let parameters = [
        (&id.as_str() as _, Type::TEXT),
        (&row::bigint(expected) as _, Type::INT8),
        (&fence as _, Type::INT8),
        (&row::CHAIN as _, Type::TEXT),
        (&row::PRIVATE_KEY as _, Type::TEXT),
        (&owner as _, Type::TEXT),
    ];
    if !store.sessions.rows(doing, statement, &parameters).await?.is_empty() {
        return Ok(());
    }
    let statement = "SELECT version, fence, owner FROM perennial_records WHERE id = $1";
    let rows = store.sessions.rows(doing, statement, &[(&id.as_str(), Type::TEXT)]).await?;
    let mut kept = None;
    if let Some(row) = rows.first() {
        let (version, fence) = (store.column(doing, row, 0)?, store.column(doing, row, 1)?);
        let (version, fence) = (row::version(version), row::fence(fence));
        kept = Some(Kept { version, fence, owner: store.column(doing, row, 2)? });
    }
    match held.filter(|held| !kept.as_ref().is_some_and(|kept| kept.is_held_by(held))) {
        Some(held) => Err(fenced(held, kept.map(|kept| kept.fence))),
        None => {
            let (expected, found) = (Some(expected), kept.map(|kept| kept.version));
            Err(StoreError::Conflict { id: id.clone(), expected, found })
        }
    }
}
