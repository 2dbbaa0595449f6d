//! First issuances and renewals: a flood of one keeps nothing of the other waiting.

use std::collections::BTreeSet;

use perennial_core::Timestamp;

use super::{
    LONG_AGO, NEVER,
    claim::{claim, expect_ids, remove},
    due, ok,
};
use crate::{
    Current, Facts, Generation, Record,
    store::{Batch, Claim, Owner, Store},
};

pub(super) async fn check(store: &dyn Store) -> Result<(), String> {
    a_renewal_is_handed_out_beside_a_flood_of_wishes(store).await?;
    a_wish_is_handed_out_beside_a_flood_of_renewals(store).await?;
    who_claims_one_at_a_time_serves_both(store).await?;
    whoever_gets_a_certificate_changes_the_line(store).await
}

/// Many times as many as are claimed at once here.
const FLOOD: i64 = 60;

async fn a_renewal_is_handed_out_beside_a_flood_of_wishes(store: &dyn Store) -> Result<(), String> {
    let mut records = flood("wish", due)?;
    records.push(served("late-renewal", LONG_AGO + 2 * FLOOD)?);
    commit(store, records).await?;
    let owner = Owner::unique();
    let two = claim(store, &owner, 2).await?;
    expect_set(
        &two,
        &["late-renewal", "wish-000"],
        "beside a flood of wishes a renewal has every second place",
    )?;
    let rest = claim(store, &owner, 5).await?;
    let wanted = ["wish-001", "wish-002", "wish-003", "wish-004", "wish-005"];
    expect_ids(&rest, &wanted, "what renewals do not need is the wishes', the longest due first")?;
    finish(store, &owner, two.into_iter().chain(rest).collect()).await
}

async fn a_wish_is_handed_out_beside_a_flood_of_renewals(store: &dyn Store) -> Result<(), String> {
    let mut records = flood("renewal", served)?;
    records.push(due("late-wish", LONG_AGO + 2 * FLOOD)?);
    commit(store, records).await?;
    let owner = Owner::unique();
    let four = claim(store, &owner, 4).await?;
    let wanted = ["late-wish", "renewal-000", "renewal-001", "renewal-002"];
    expect_set(&four, &wanted, "beside a flood of renewals a wish has every second place")?;
    let rest = claim(store, &owner, 3).await?;
    let wanted = ["renewal-003", "renewal-004", "renewal-005"];
    expect_ids(&rest, &wanted, "what wishes do not need is the renewals', the longest due first")?;
    finish(store, &owner, four.into_iter().chain(rest).collect()).await
}

async fn who_claims_one_at_a_time_serves_both(store: &dyn Store) -> Result<(), String> {
    let mut records = flood("renewal", served)?;
    records.extend(flood("wish", due)?);
    commit(store, records).await?;
    let owner = Owner::unique();
    let mut claims = Vec::new();
    for _ in 0..4 {
        claims.extend(claim(store, &owner, 1).await?);
    }
    let wanted = ["renewal-000", "renewal-001", "wish-000", "wish-001"];
    expect_set(&claims, &wanted, "who claims one at a time is given of both lines in turn")?;
    finish(store, &owner, claims).await
}

async fn whoever_gets_a_certificate_changes_the_line(store: &dyn Store) -> Result<(), String> {
    let mut records = flood("wish", due)?;
    records.push(due("changes", NEVER)?);
    records.push(due("held", LONG_AGO - 1)?);
    let versions = commit(store, records).await?;
    let [.., changes, _] = versions[..] else { return Err("a change has a version".to_owned()) };
    let owner = Owner::unique();
    let held = claim(store, &owner, 1).await?;
    expect_ids(&held, &["held"], "the longest due is claimed first")?;
    let [held] = &held[..] else { return Err("one claim".to_owned()) };
    let batch =
        Batch::new().change(served("held", LONG_AGO + 2 * FLOOD)?, Some(held.version)).held(&held.held);
    ok(store.apply(&batch).await, "a write of who holds")?;
    ok(store.release(std::slice::from_ref(&held.held)).await, "letting go")?;
    let changed = served("changes", LONG_AGO + 3 * FLOOD)?;
    ok(store.commit(&changed, Some(changes)).await, "a commit")?;
    let four = claim(store, &owner, 4).await?;
    let wanted = ["changes", "held", "wish-000", "wish-001"];
    expect_set(&four, &wanted, "whoever has got a certificate stands among the renewals")?;
    finish(store, &owner, four).await
}

/// A row of records that have been due for long, a second apart.
fn flood(name: &str, make: fn(&str, i64) -> Result<Record, String>) -> Result<Vec<Record>, String> {
    (0..FLOOD).map(|number| make(&format!("{name}-{number:03}"), LONG_AGO + number)).collect()
}

/// A record of a certificate that was issued, and that somebody should look at then.
fn served(name: &str, next_at: i64) -> Result<Record, String> {
    let mut record = due(name, next_at)?;
    let facts = Facts {
        not_before: Timestamp::from_unix(LONG_AGO),
        not_after: Timestamp::from_unix(NEVER),
        names: BTreeSet::new(),
        addresses: BTreeSet::new(),
        uris: BTreeSet::new(),
        emails: BTreeSet::new(),
        other_names: Vec::new(),
        issuer: "CN=law".to_owned(),
        serial: "01".to_owned(),
        fingerprint: "00".repeat(32),
        public_key_fingerprint: "00".repeat(32),
        is_ca: false,
    };
    // A store need not look whether its key and chain are there.
    let spec = record.spec.clone();
    record.current =
        Some(Current::new(Generation::from_number(1), spec, facts, Timestamp::from_unix(LONG_AGO)));
    Ok(record)
}

async fn commit(store: &dyn Store, records: Vec<Record>) -> Result<Vec<crate::Version>, String> {
    let batch = records.into_iter().fold(Batch::new(), |batch, record| batch.change(record, None));
    ok(store.apply(&batch).await, "a batch of new records")
}

fn expect_set(claims: &[Claim], wanted: &[&str], law: &str) -> Result<(), String> {
    let mut found: Vec<_> = claims.iter().map(|claim| claim.held.id.as_str()).collect();
    found.sort_unstable();
    if found == wanted { Ok(()) } else { Err(format!("{law}: wanted {wanted:?}, got {found:?}")) }
}

/// Removes what a law has made.
async fn finish(store: &dyn Store, owner: &Owner, mut claims: Vec<Claim>) -> Result<(), String> {
    claims.extend(claim(store, owner, usize::MAX).await?);
    for claim in &claims {
        remove(store, claim).await?;
    }
    Ok(())
}
