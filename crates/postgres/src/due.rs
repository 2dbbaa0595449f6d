//! Claims of what is due.

use std::time::Duration;

use perennial_lifecycle::{
    StoreError,
    store::{Claim, Owner},
};
use tokio_postgres::types::Type;

use crate::{
    PostgresStore,
    claim::{CLAIM, CLAIMED, END_OF_LEASE, NEXT_FENCE, claimed, is_readable, length, put_aside, seconds},
};

/// Claims what is due: of both lines, in each the longest due first.
///
/// Rows that others are about to claim are passed over instead of waited for, and no more are locked than are
/// claimed. The row is locked before its fence is drawn, so fences grow in the order of claims.
///
/// How many first issuances there are is counted beforehand, so that one walk through the renewals finds as many as
/// there is room for: all claimers begin at the same end, and each walk passes what the others have just claimed.
/// Where others are faster with what was counted, a second walk fills the room.
pub(crate) async fn claim(
    store: &PostgresStore,
    owner: &Owner,
    ttl: Duration,
    most: usize,
) -> Result<Vec<Claim>, StoreError> {
    let (renewals, firsts) = ("has_certificate", "NOT has_certificate");
    let statement = format!(
        "WITH waiting AS ({waiting}),
         renewals AS ({some}),
         firsts AS ({rest}),
         more AS ({more}),
         due AS (
             SELECT id, next_at FROM (
                 SELECT * FROM renewals UNION ALL SELECT * FROM firsts UNION ALL SELECT * FROM more
             ) AS lines LIMIT $3
         )
         UPDATE perennial_records AS kept
         SET owner = $1, damage = NULL, newer = NULL, fence = {NEXT_FENCE}, next_at = {END_OF_LEASE}
         FROM due WHERE kept.id = due.id
         RETURNING {CLAIMED}, {was}",
        waiting = waiting(firsts, "$3 - $4"),
        some = head(renewals, "$3 - (SELECT count(*) FROM waiting)"),
        rest = head(firsts, "$3 - (SELECT count(*) FROM renewals)"),
        more = head(
            &format!("{renewals} AND id <> ALL (ARRAY(SELECT id FROM renewals))"),
            "$3 - (SELECT count(*) FROM renewals) - (SELECT count(*) FROM firsts)",
        ),
        was = seconds("due.next_at"),
    );
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let half = store.renewals_of(most);
    let parameters = [
        (&owner.as_str() as _, Type::TEXT),
        (&length(ttl) as _, Type::FLOAT8),
        (&most as _, Type::INT8),
        (&half as _, Type::INT8),
    ];
    let rows = store.sessions.rows(CLAIM, &statement, &parameters).await?;
    let mut claims = Vec::with_capacity(rows.len());
    let mut bad = Vec::new();
    for row in &rows {
        let was: i64 = store.column(CLAIM, row, 5)?;
        match claimed(store, owner, row)? {
            Ok(claim) => claims.push((was, claim)),
            Err(damaged) => bad.push(damaged),
        }
    }
    if !bad.is_empty() {
        // What could not be put aside is held for as long as the others, and tried again then.
        let _ = put_aside(store, &bad).await;
    }
    claims.sort_by(|(one, a), (two, b)| (one, &a.held.id).cmp(&(two, &b.held.id)));
    Ok(claims.into_iter().map(|(_, claim)| claim).collect())
}

/// Locks those of a line that are due for the longest time and that nobody else has locked.
fn head(line: &str, most: &str) -> String {
    format!(
        "SELECT id, next_at FROM perennial_records WHERE {line} AND next_at <= now() AND {}
         ORDER BY next_at, id LIMIT {most} FOR UPDATE SKIP LOCKED",
        is_readable(),
    )
}

/// Those of a line that are due, no more than so many, locked by somebody or not. In the order of the index, or a
/// server that does not know yet how few there are looks for them through the whole table.
fn waiting(line: &str, most: &str) -> String {
    format!(
        "SELECT FROM perennial_records WHERE {line} AND next_at <= now() AND {}
         ORDER BY next_at, id LIMIT {most}",
        is_readable(),
    )
}
