//! Who works on what: claims, and the index of what is due.
//!
//! `next_at` is the only thing that a claim looks for, and the end of a lease is written there: with a column
//! of its own for that, every claim would have to look at everything that is held.

use std::time::Duration;

use perennial_core::Timestamp;
use perennial_lifecycle::{
    CertificateId, Record, StoreError,
    store::{Claim, Due, Held, Owner, Quarantined},
};
use tokio_postgres::{Row, types::Type};

use crate::{PostgresStore, fault, row};

/// Claims one, due or not, unless somebody holds it.
pub(crate) async fn one(
    store: &PostgresStore,
    owner: &Owner,
    ttl: Duration,
    id: &CertificateId,
) -> Result<Option<Claim>, StoreError> {
    let statement = format!(
        "UPDATE perennial_records AS kept
         SET owner = $1, damage = NULL, newer = NULL, fence = {NEXT_FENCE}, next_at = {END_OF_LEASE}
         WHERE id = $3 AND NOT ({IS_HELD})
         RETURNING {CLAIMED}",
    );
    let parameters = [
        (&owner.as_str() as _, Type::TEXT),
        (&length(ttl) as _, Type::FLOAT8),
        (&id.as_str() as _, Type::TEXT),
    ];
    let rows = store.sessions.rows(CLAIM, &statement, &parameters).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    match claimed(store, owner, row)? {
        Ok(claim) => Ok(Some(claim)),
        Err(damaged) => {
            put_aside(store, std::slice::from_ref(&damaged)).await?;
            Err(damaged.error)
        }
    }
}

/// Holds them for longer, and returns those that are lost.
pub(crate) async fn extend(
    store: &PostgresStore,
    held: &[Held],
    ttl: Duration,
) -> Result<Vec<CertificateId>, StoreError> {
    let doing = "extend claims in";
    let statement = format!(
        "WITH ours AS ({OURS})
         UPDATE perennial_records AS kept SET owner = ours.owner, next_at = {END_OF_LEASE}
         FROM ours WHERE kept.id = ours.id
         RETURNING kept.id",
    );
    let (ids, fences, owners) = columns(held);
    let parameters = [
        (&ids as _, Type::TEXT_ARRAY),
        (&length(ttl) as _, Type::FLOAT8),
        (&fences as _, Type::INT8_ARRAY),
        (&owners as _, Type::TEXT_ARRAY),
    ];
    let rows = store.sessions.rows(doing, &statement, &parameters).await?;
    let mut extended = std::collections::BTreeSet::new();
    for row in &rows {
        extended.insert(store.column::<&str>(doing, row, 0)?);
    }
    Ok(held.iter().filter(|held| !extended.contains(held.id.as_str())).map(|held| held.id.clone()).collect())
}

/// Lets go. The fence moves on as well, so that nothing is written any more under this claim.
pub(crate) async fn release(store: &PostgresStore, held: &[Held]) -> Result<(), StoreError> {
    let doing = "let go of claims in";
    let statement = format!(
        "WITH ours AS ({OURS})
         UPDATE perennial_records AS kept SET owner = NULL, fence = {NEXT_FENCE}, next_at = due_at
         FROM ours WHERE kept.id = ours.id
         RETURNING {IS_SOON}",
    );
    let (ids, fences, owners) = columns(held);
    let parameters = [
        (&ids as _, Type::TEXT_ARRAY),
        (&0.0_f64 as _, Type::FLOAT8),
        (&fences as _, Type::INT8_ARRAY),
        (&owners as _, Type::TEXT_ARRAY),
    ];
    let rows = store.sessions.rows(doing, &statement, &parameters).await?;
    ring_if_soon(store, doing, &rows)
}

/// The index.
pub(crate) async fn scan(
    store: &PostgresStore,
    until: Timestamp,
    after: Option<&Due>,
    most: usize,
) -> Result<Vec<Due>, StoreError> {
    let doing = "read what is due in";
    let page = |line| {
        format!(
            "(SELECT id, next_at FROM perennial_records
              WHERE {line} AND next_at <= to_timestamp($1) AND (next_at, id) > (to_timestamp($2), $3)
              ORDER BY next_at, id LIMIT $4)"
        )
    };
    let statement = format!(
        "SELECT id, {} FROM ({} UNION ALL {}) AS lines ORDER BY next_at, id LIMIT $4",
        seconds("next_at"),
        page("has_certificate"),
        page("NOT has_certificate"),
    );
    // No id is empty, so all of them come after the empty text.
    let (at, id) = after.map_or((Timestamp::MIN, ""), |due| (due.at, due.id.as_str()));
    let (mut at, mut id) = (at.unix(), id.to_owned());
    let mut due = Vec::new();
    loop {
        let missing = most - due.len();
        let limit = i64::try_from(missing).unwrap_or(i64::MAX);
        let parameters = [
            (&until.unix() as _, Type::INT8),
            (&at as _, Type::INT8),
            (&id as _, Type::TEXT),
            (&limit as _, Type::INT8),
        ];
        let rows = store.sessions.rows(doing, &statement, &parameters).await?;
        for row in &rows {
            // What was called so by somebody else is passed over, and does not make this page the last one.
            let name: &str = store.column(doing, row, 0)?;
            at = store.column(doing, row, 1)?;
            due.extend(store.id(name).ok().map(|id| Due { at: Timestamp::from_unix(at), id }));
            name.clone_into(&mut id);
        }
        if due.len() == most || rows.len() < missing {
            return Ok(due);
        }
    }
}

/// The first moment in the index.
pub(crate) async fn next(store: &PostgresStore) -> Result<Option<Timestamp>, StoreError> {
    let doing = "read what is due in";
    let first = |line| {
        let readable = is_readable();
        format!(
            "(SELECT next_at FROM perennial_records WHERE {line} AND {readable} ORDER BY next_at LIMIT 1)"
        )
    };
    let statement = format!(
        "SELECT {} FROM ({} UNION ALL {}) AS lines ORDER BY next_at LIMIT 1",
        seconds("next_at"),
        first("has_certificate"),
        first("NOT has_certificate"),
    );
    let rows = store.sessions.rows(doing, &statement, &[]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    Ok(Some(Timestamp::from_unix(store.column(doing, row, 0)?)))
}

/// A row that was claimed and that nobody can read.
pub(crate) struct Damaged {
    id: String,
    fence: i64,
    error: StoreError,
}

/// The claim in a row of [`CLAIMED`].
pub(crate) fn claimed(
    store: &PostgresStore,
    owner: &Owner,
    row: &Row,
) -> Result<Result<Claim, Damaged>, StoreError> {
    let (text, fence): (&str, i64) = (store.column(CLAIM, row, 0)?, store.column(CLAIM, row, 1)?);
    let until = Timestamp::from_unix(store.column(CLAIM, row, 2)?);
    let (version, json) = (store.column(CLAIM, row, 3)?, store.column(CLAIM, row, 4)?);
    let damaged = |error| Ok(Err(Damaged { id: text.to_owned(), fence, error }));
    let id = match store.id(text) {
        Ok(id) => id,
        Err(error) => return damaged(error),
    };
    match row::record(&id, &store.place(text), version, json) {
        Ok((version, record)) => {
            let held = Held { id, owner: owner.clone(), fence: row::fence(fence) };
            Ok(Ok(Claim { held, until, version, record }))
        }
        Err(error) => damaged(error),
    }
}

/// Lets go of rows that cannot be read: of damaged ones for a while, in which somebody may mend them. What is
/// written in a newer schema is no damage to a newer process beside this one, so it stays where it was in the
/// index, and only those that cannot read it pass over it from now on.
pub(crate) async fn put_aside(store: &PostgresStore, bad: &[Damaged]) -> Result<(), StoreError> {
    let statement = format!(
        "WITH bad AS (
             SELECT kept.id, given.reason, given.newer FROM perennial_records AS kept
             JOIN unnest($1::text[], $3::bigint[], $4::text[], $5::bigint[])
                 AS given (id, fence, reason, newer) USING (id)
             WHERE kept.fence = given.fence ORDER BY kept.id FOR UPDATE OF kept
         )
         UPDATE perennial_records AS kept
         SET owner = NULL, damage = bad.reason, newer = bad.newer,
             next_at = CASE WHEN bad.newer IS NULL THEN {END_OF_LEASE} ELSE kept.due_at END
         FROM bad WHERE kept.id = bad.id",
    );
    let ids: Vec<&str> = bad.iter().map(|bad| bad.id.as_str()).collect();
    let fences: Vec<i64> = bad.iter().map(|bad| bad.fence).collect();
    let reasons: Vec<String> = bad.iter().map(|bad| fault::presentable(&bad.error.to_string())).collect();
    let newer = bad.iter().map(|bad| match bad.error {
        StoreError::NewerSchema { found, .. } => Some(i64::from(found)),
        _ => None,
    });
    let newer: Vec<Option<i64>> = newer.collect();
    let parameters = [
        (&ids as _, Type::TEXT_ARRAY),
        (&length(LOOK_AGAIN) as _, Type::FLOAT8),
        (&fences as _, Type::INT8_ARRAY),
        (&reasons as _, Type::TEXT_ARRAY),
        (&newer as _, Type::INT8_ARRAY),
    ];
    store.sessions.rows("put a damaged record aside in", &statement, &parameters).await.map(drop)
}

/// What could not be read, looked at once more. What can be read now is due at once.
pub(crate) async fn quarantined(store: &PostgresStore) -> Result<Vec<Quarantined>, StoreError> {
    let doing = "read damaged records of";
    let statement = "SELECT id, version, record::text FROM perennial_records WHERE damage IS NOT NULL
                     ORDER BY id LIMIT 1000";
    let rows = store.sessions.rows(doing, statement, &[]).await?;
    let (mut damaged, mut mended) = (Vec::new(), Vec::new());
    for row in &rows {
        let text: &str = store.column(doing, row, 0)?;
        let (version, json) = (store.column(doing, row, 1)?, store.column(doing, row, 2)?);
        let read = store.id(text).and_then(|id| row::record(&id, &store.place(text), version, json));
        match read {
            Ok(_) => mended.push(text),
            Err(error) => damaged.push(Quarantined { id: text.parse().ok(), error }),
        }
    }
    if !mended.is_empty() {
        let statement = format!(
            "WITH mended AS (
                 SELECT id FROM perennial_records
                 WHERE id = ANY($1) AND damage IS NOT NULL AND owner IS NULL ORDER BY id FOR UPDATE
             )
             UPDATE perennial_records AS kept
             SET damage = NULL, newer = NULL, next_at = to_timestamp({AT_ONCE})
             FROM mended WHERE kept.id = mended.id",
        );
        store.sessions.rows(doing, &statement, &[(&mended as _, Type::TEXT_ARRAY)]).await?;
        store.sessions.ring();
    }
    Ok(damaged)
}

/// Wakes those who wait, here and elsewhere, when one of these rows says that it is [due soon](IS_SOON).
pub(crate) fn ring_if_soon(
    store: &PostgresStore,
    doing: &'static str,
    rows: &[Row],
) -> Result<(), StoreError> {
    for row in rows {
        if store.column(doing, row, 0)? {
            store.sessions.ring();
            break;
        }
    }
    Ok(())
}

/// Ids, fences and owners of claims, for [`OURS`].
fn columns(held: &[Held]) -> (Vec<&str>, Vec<i64>, Vec<&str>) {
    let ids = held.iter().map(|held| held.id.as_str()).collect();
    let fences = held.iter().map(|held| row::number(held.fence)).collect();
    (ids, fences, held.iter().map(|held| held.owner.as_str()).collect())
}

/// A duration in seconds. A year is longer than anybody works on a certificate, and ends before the calendar.
pub(crate) fn length(duration: Duration) -> f64 {
    duration.min(LONGEST).as_secs_f64()
}

const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// When a record that could not be read is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(3_600);

pub(crate) const CLAIM: &str = "claim certificates in";

/// A column that holds a moment, as the program counts.
pub(crate) fn seconds(column: &str) -> String {
    // The type of `extract` is numeric, which is slow.
    format!("date_part('epoch', {column})::bigint")
}

/// Whether this version can read a row, as far as anybody knows.
pub(crate) fn is_readable() -> String {
    format!("(newer IS NULL OR newer <= {})", Record::SCHEMA)
}

/// [`Timestamp::MIN`].
const AT_ONCE: i64 = Timestamp::MIN.unix();

/// No claim has had it yet, whatever a restored backup makes of the sequence.
pub(crate) const NEXT_FENCE: &str = "greatest(kept.fence + 1, nextval('perennial_fences'))";

/// So many seconds from now, by the server's clock, and up to the next whole one: nobody loses a claim early.
pub(crate) const END_OF_LEASE: &str = "to_timestamp(ceil(extract(epoch FROM now()) + $2))";

/// Whether somebody holds a row.
pub(crate) const IS_HELD: &str = "owner IS NOT NULL AND next_at > now()";

/// Whether a row that nobody holds is due before all look again in any case, which they do once a minute.
pub(crate) const IS_SOON: &str = "kept.owner IS NULL AND kept.next_at < now() + interval '1 minute'";

/// What a claim says: see [`claimed`].
pub(crate) const CLAIMED: &str =
    "kept.id, kept.fence, date_part('epoch', kept.next_at)::bigint, kept.version, kept.record::text";

/// The rows whose newest claim is the given one, locked in the order in which everybody locks them.
const OURS: &str = "SELECT kept.id, given.owner FROM perennial_records AS kept
                    JOIN unnest($1::text[], $3::bigint[], $4::text[]) AS given (id, fence, owner) USING (id)
                    WHERE kept.fence = given.fence AND (kept.owner IS NULL OR kept.owner = given.owner)
                    ORDER BY kept.id FOR UPDATE OF kept";
