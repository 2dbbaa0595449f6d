//! Claims of what is due.

use std::time::Duration;

use perennial_lifecycle::{
    StoreError,
    store::{Claim, Owner},
};
use tokio::time::Instant;
use tokio_postgres::{Row, types::Type};

use crate::{
    PostgresStore,
    claim::{CLAIM, CLAIMED, END_OF_LEASE, NEXT_FENCE, claimed, is_readable, length, put_aside, seconds},
    front::{Lines, Look, Place},
};

/// Claims what is due: of both lines, in each the longest due first.
pub(crate) async fn claim(
    store: &PostgresStore,
    owner: &Owner,
    ttl: Duration,
    most: usize,
) -> Result<Vec<Claim>, StoreError> {
    let front = store.sessions.front();
    let look = front.look(Instant::now());
    let mut rows = walk(store, owner, ttl, most, &look).await?;
    let is_short = rows.len() < most && !look.is_whole();
    if is_short {
        // What is missing may lie before.
        front.forget();
        match walk(store, owner, ttl, most - rows.len(), &Look::whole()).await {
            Ok(more) => rows.extend(more),
            Err(error) if rows.is_empty() => return Err(error),
            // What was claimed is ours.
            Err(_) => {}
        }
    }
    let entries = Entry::all(store, &rows)?;
    if !is_short {
        front.found(&look, first(&entries));
    }
    claims(store, owner, &entries).await
}

/// Claims what is found from there on. The rows are those of [`statement`], in no order.
async fn walk(
    store: &PostgresStore,
    owner: &Owner,
    ttl: Duration,
    most: usize,
    look: &Look,
) -> Result<Vec<Row>, StoreError> {
    let statement = statement(most);
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let half = store.renewals_of(most);
    let Lines { renewals, firsts } = &look.from;
    let parameters = [
        (&owner.as_str() as _, Type::TEXT),
        (&length(ttl) as _, Type::FLOAT8),
        (&most as _, Type::INT8),
        (&half as _, Type::INT8),
        (&renewals.at as _, Type::INT8),
        (&renewals.id as _, Type::TEXT),
        (&firsts.at as _, Type::INT8),
        (&firsts.id as _, Type::TEXT),
    ];
    store.sessions.rows_of_prepared(CLAIM, &statement, &parameters).await
}

/// A row that was claimed, and where it was. Entries are put in order instead of claims, which are large.
struct Entry<'a> {
    at: i64,
    id: &'a str,
    is_renewal: bool,
    row: &'a Row,
}

impl<'a> Entry<'a> {
    /// The entries of these rows of [`statement`], the longest due first.
    fn all(store: &PostgresStore, rows: &'a [Row]) -> Result<Vec<Self>, StoreError> {
        let mut entries = Vec::with_capacity(rows.len());
        for row in rows {
            let (id, at) = (store.column(CLAIM, row, 0)?, store.column(CLAIM, row, 5)?);
            entries.push(Self { at, id, is_renewal: store.column(CLAIM, row, 6)?, row });
        }
        entries.sort_unstable_by_key(|entry| (entry.at, entry.id));
        Ok(entries)
    }
}

/// The first of each line.
fn first(entries: &[Entry<'_>]) -> Lines<Option<Place>> {
    let first = |is_renewal| {
        let entry = entries.iter().find(|entry| entry.is_renewal == is_renewal)?;
        Some(Place { at: entry.at, id: entry.id.to_owned() })
    };
    Lines { renewals: first(true), firsts: first(false) }
}

async fn claims(
    store: &PostgresStore,
    owner: &Owner,
    entries: &[Entry<'_>],
) -> Result<Vec<Claim>, StoreError> {
    let mut claims = Vec::with_capacity(entries.len());
    let mut bad = Vec::new();
    for entry in entries {
        match claimed(store, owner, entry.row)? {
            Ok(claim) => claims.push(claim),
            Err(damaged) => bad.push(damaged),
        }
    }
    if !bad.is_empty() {
        // What could not be put aside is held for as long as the others, and tried again then.
        let _ = put_aside(store, &bad).await;
    }
    Ok(claims)
}

/// The statement that claims.
///
/// Rows that others are about to claim are passed over instead of waited for, and no more are locked than are
/// claimed: of an inner look, which finds more than are missing, only so many are taken. The row is locked before its
/// fence is drawn, so fences grow in the order of claims.
///
/// The rows are joined by where they are, since they are locked and stay there. One that was written between the
/// statement's snapshot and its lock is not found there, and is left to the next claim.
///
/// How many first issuances there are is counted beforehand, so that one walk through the renewals finds as many as
/// there is room for: all claimers begin at the same end, and each walk passes what the others have just claimed.
/// Where others are faster with what was counted, a second walk fills the room.
///
/// A plan for any parameters must know that few rows are meant, or it would be one for a whole table and never be
/// used: so the text has a bound, one of few, since each text is planned apart.
fn statement(most: usize) -> String {
    let bound = most.max(LEAST_BOUND).checked_next_power_of_two().unwrap_or(usize::MAX).min(MOST_BOUND);
    let (renewals, firsts) = ("has_certificate", "NOT has_certificate");
    let from = |at, id| format!("(next_at, id) >= (to_timestamp({at}), {id})");
    let (of_renewals, of_firsts) = (from("$5", "$6"), from("$7", "$8"));
    format!(
        "WITH waiting AS (
             SELECT FROM ({waiting}) AS line LIMIT $3 - $4
         ),
         renewals AS (
             SELECT * FROM ({some}) AS line LIMIT $3 - (SELECT count(*) FROM waiting)
         ),
         firsts AS (
             SELECT * FROM ({rest}) AS line LIMIT $3 - (SELECT count(*) FROM renewals)
         ),
         more AS (
             SELECT * FROM ({more}) AS line
             LIMIT $3 - (SELECT count(*) FROM renewals) - (SELECT count(*) FROM firsts)
         ),
         due AS (
             SELECT place, next_at FROM (
                 SELECT * FROM renewals UNION ALL SELECT * FROM firsts UNION ALL SELECT * FROM more
             ) AS lines LIMIT $3
         )
         UPDATE perennial_records AS kept
         SET owner = $1, damage = NULL, newer = NULL, fence = {NEXT_FENCE}, next_at = (SELECT {END_OF_LEASE})
         FROM due WHERE kept.ctid = due.place
         RETURNING {CLAIMED}, {was}, kept.has_certificate",
        waiting = line(firsts, &of_firsts, bound),
        some = locked(renewals, &of_renewals, bound),
        rest = locked(firsts, &of_firsts, bound),
        more = locked(
            &format!("{renewals} AND id <> ALL (ARRAY(SELECT id FROM renewals))"),
            &of_renewals,
            bound
        ),
        was = seconds("due.next_at"),
    )
}

/// Smaller claims have one plan.
const LEAST_BOUND: usize = 16;

/// More than anybody claims at a time.
const MOST_BOUND: usize = 1 << 30;

/// Those of a line that are due, the longest due first, locked by somebody or not.
fn line(line: &str, from: &str, bound: usize) -> String {
    format!(
        "SELECT ctid AS place, id, next_at FROM perennial_records
         WHERE {line} AND {from} AND next_at <= now() AND {}
         ORDER BY next_at, id LIMIT {bound}",
        is_readable(),
    )
}

/// Locks those of a line that nobody else has locked.
fn locked(of: &str, from: &str, bound: usize) -> String {
    format!("{} FOR UPDATE SKIP LOCKED", line(of, from, bound))
}
