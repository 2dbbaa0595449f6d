//! Who works on what: one at a time, in order, and nobody who is late writes.

use std::{collections::BTreeSet, time::Duration};

use perennial_core::Timestamp;

use super::{LONG_AGO, NEVER, conflict, due, expect, id, ok};
use crate::{
    CertificateId, Record, StoreError,
    store::{Batch, Claim, Due, Held, Owner, Store, Version},
};

pub(super) async fn check(store: &dyn Store) -> Result<(), String> {
    what_is_due_is_claimed_once_and_the_longest_due_first(store).await?;
    of_many_claimers_each_certificate_has_one(store).await?;
    one_is_claimed_by_its_name_while_nobody_holds_it(store).await?;
    who_is_late_is_fenced_and_who_extends_is_not(store).await?;
    who_holds_writes_and_a_wish_needs_no_claim(store).await?;
    what_is_let_go_is_due_when_its_record_says(store).await?;
    a_commit_moves_what_nobody_holds(store).await?;
    the_index_is_scanned_in_order_and_paged(store).await?;
    who_holds_may_remove_and_who_is_late_may_not(store).await
}

/// Longer than any law takes.
const HOUR: Duration = Duration::from_secs(3_600);

async fn what_is_due_is_claimed_once_and_the_longest_due_first(store: &dyn Store) -> Result<(), String> {
    let versions = commit(
        store,
        &[
            ("due-second", LONG_AGO + 2),
            ("due-first", LONG_AGO + 1),
            ("due-third", LONG_AGO + 3),
            ("due-never", NEVER),
        ],
    )
    .await?;
    let owner = Owner::unique();
    let some = claim(store, &owner, 2).await?;
    expect_ids(
        &some,
        &["due-first", "due-second"],
        "the longest due are claimed first, and no more than asked for",
    )?;
    let [_, second] = &some[..] else { return Err("two claims".to_owned()) };
    let known = versions.first().copied();
    if second.held.owner != owner
        || Some(second.version) != known
        || second.record != due("due-second", LONG_AGO + 2)?
    {
        return Err(format!("a claim has its owner, and record and version as they are stored: {second:?}"));
    }
    let rest = claim(store, &Owner::unique(), 10).await?;
    expect_ids(&rest, &["due-third"], "what is held is not claimed again, nor what is not due")?;
    expect_ids(&claim(store, &owner, 10).await?, &[], "not by its owner either")?;
    for claim in some.iter().chain(&rest) {
        remove(store, claim).await?;
    }
    Ok(())
}

async fn of_many_claimers_each_certificate_has_one(store: &dyn Store) -> Result<(), String> {
    let names: Vec<String> = (0..24).map(|number| format!("many-{number:02}")).collect();
    for name in &names {
        ok(store.commit(&due(name, LONG_AGO)?, None).await, "a first commit")?;
    }
    let claimer = async || {
        let owner = Owner::unique();
        let mut claims = Vec::new();
        loop {
            let some = claim(store, &owner, 3).await?;
            if some.is_empty() {
                return Ok::<_, String>(claims);
            }
            claims.extend(some);
        }
    };
    let (a, b, c, d) = tokio::join!(claimer(), claimer(), claimer(), claimer());
    let claims: Vec<Claim> = [a?, b?, c?, d?].into_iter().flatten().collect();
    let distinct: BTreeSet<&str> = claims.iter().map(|claim| claim.held.id.as_str()).collect();
    if claims.len() != names.len() || !distinct.into_iter().eq(names.iter().map(String::as_str)) {
        return Err(format!(
            "each of 24 certificates is claimed by one of four, there are {} claims",
            claims.len()
        ));
    }
    for claim in &claims {
        remove(store, claim).await?;
    }
    Ok(())
}

async fn one_is_claimed_by_its_name_while_nobody_holds_it(store: &dyn Store) -> Result<(), String> {
    commit(store, &[("named", NEVER)]).await?;
    let (owner, id) = (Owner::unique(), id("named")?);
    let Some(claim) = claim_one(store, &owner, &id).await? else {
        return Err("a certificate is claimed by its name, due or not".to_owned());
    };
    for again in [&owner, &Owner::unique()] {
        if let Some(second) = claim_one(store, again, &id).await? {
            return Err(format!("a certificate has one claim at a time: {second:?}"));
        }
    }
    if let Some(claim) = claim_one(store, &owner, &super::id("nobody")?).await? {
        return Err(format!("what is unknown is not claimed: {claim:?}"));
    }
    remove(store, &claim).await
}

async fn who_is_late_is_fenced_and_who_extends_is_not(store: &dyn Store) -> Result<(), String> {
    commit(store, &[("late", LONG_AGO), ("on-time", LONG_AGO + 1)]).await?;
    let (first, second) = (Owner::unique(), Owner::unique());
    let moment = Duration::from_secs(1);
    let claims = ok(store.claim(&first, moment, 2).await, "a claim")?;
    let [late, on_time] = &claims[..] else { return Err(format!("two are due: {claims:?}")) };
    let lost = ok(store.extend(std::slice::from_ref(&on_time.held), HOUR).await, "extending")?;
    if !lost.is_empty() {
        return Err(format!("what is extended in time is not lost: {lost:?}"));
    }
    let taken = wait_for_a_claim(store, &second).await?;
    if taken.held.id != late.held.id {
        return Err(format!(
            "what was extended is held for longer: {:?} took {:?}",
            taken.held, on_time.held
        ));
    }
    if taken.held.fence <= late.held.fence {
        return Err(format!("what is over is claimed with a newer fence: {:?}, {:?}", late.held, taken.held));
    }
    // The other one would be over as well by now, had it not been extended.
    tokio::time::sleep(2 * moment).await;
    expect_ids(&claim(store, &second, 10).await?, &[], "what was extended is held for longer")?;

    let write = Batch::new().change(late.record.clone(), Some(late.version)).held(&late.held);
    fenced(store.apply(&write).await, &taken.held, "a write")?;
    let both = Batch::new()
        .change(on_time.record.clone(), Some(on_time.version))
        .held(&on_time.held)
        .change(late.record.clone(), Some(late.version))
        .held(&late.held);
    fenced(store.apply(&both).await, &taken.held, "a batch of which one certificate is lost")?;
    expect(
        store.load(&on_time.held.id).await,
        &Some((on_time.version, on_time.record.clone())),
        "a batch that is fenced changes nothing",
    )?;
    fenced(store.remove(&late.held.id, late.version, Some(&late.held)).await, &taken.held, "a removal")?;
    let held = [late.held.clone(), on_time.held.clone()];
    let lost = ok(store.extend(&held, HOUR).await, "extending")?;
    if lost != [late.held.id.clone()] {
        return Err(format!("who extends learns what is lost, and that alone: {lost:?}"));
    }
    ok(store.release(std::slice::from_ref(&late.held)).await, "letting go of what is lost")?;
    if let Some(third) = claim_one(store, &first, &late.held.id).await? {
        return Err(format!("letting go of what is lost frees nothing: {third:?}"));
    }
    remove(store, &taken).await?;
    remove(store, on_time).await
}

async fn who_holds_writes_and_a_wish_needs_no_claim(store: &dyn Store) -> Result<(), String> {
    commit(store, &[("writes", LONG_AGO)]).await?;
    let claim = only(claim(store, &Owner::unique(), 10).await?)?;
    let write = |version| Batch::new().change(claim.record.clone(), Some(version)).held(&claim.held);
    let second = ok(store.apply(&write(claim.version)).await, "a write of who holds")?;
    let Some(second) = second.first().copied() else { return Err("a change has a version".to_owned()) };
    let third = ok(store.commit(&claim.record, Some(second)).await, "a wish while it is held")?;
    conflict(store.apply(&write(second)).await, "who holds and does not know a wish")?;
    let batch = write(third);
    ok(store.apply(&batch).await, "a write after the wish")?;
    ok(store.release(std::slice::from_ref(&claim.held)).await, "letting go")?;
    match store.apply(&batch).await {
        Err(StoreError::Fenced { .. }) => {}
        other => return Err(format!("who has let go writes no more, got {other:?}")),
    }
    remove_unheld(store, "writes").await
}

async fn what_is_let_go_is_due_when_its_record_says(store: &dyn Store) -> Result<(), String> {
    commit(store, &[("let-go", LONG_AGO)]).await?;
    let owner = Owner::unique();
    let first = only(claim(store, &owner, 10).await?)?;
    let mut record = first.record.clone();
    record.next_at = Timestamp::from_unix(NEVER + 1);
    let version = ok(store.commit(&record, Some(first.version)).await, "a commit while it is held")?;
    ok(store.release(std::slice::from_ref(&first.held)).await, "letting go")?;
    expect_ids(&claim(store, &owner, 10).await?, &[], "what is let go is not due before its record says")?;
    let wanted = Due { at: record.next_at, id: record.id().clone() };
    if !rows(store, NEVER + 1).await?.contains(&wanted) {
        return Err(format!("what is let go stands in the index as its record says: {wanted:?}"));
    }
    let Some(second) = claim_one(store, &owner, record.id()).await? else {
        return Err("what is let go can be claimed".to_owned());
    };
    if second.held.fence <= first.held.fence {
        return Err(format!("fences grow: {} follows {}", second.held.fence, first.held.fence));
    }
    record.next_at = Timestamp::from_unix(LONG_AGO);
    ok(store.commit(&record, Some(version)).await, "a wish while it is held")?;
    expect_ids(
        &claim(store, &owner, 10).await?,
        &[],
        "what is held is not claimed, whatever was wished for",
    )?;
    ok(store.release(std::slice::from_ref(&second.held)).await, "letting go")?;
    let third = only(claim(store, &owner, 10).await?)?;
    remove(store, &third).await
}

async fn a_commit_moves_what_nobody_holds(store: &dyn Store) -> Result<(), String> {
    let versions = commit(store, &[("moved", NEVER)]).await?;
    let owner = Owner::unique();
    expect_ids(&claim(store, &owner, 10).await?, &[], "what is not due is not claimed")?;
    let mut record = due("moved", LONG_AGO)?;
    let second = ok(store.commit(&record, versions.first().copied()).await, "a commit")?;
    let next = ok(store.next_due().await, "the first moment")?;
    if next.is_none_or(|next| next > record.next_at) {
        return Err(format!("the first moment is no later than what is due first, got {next:?}"));
    }
    record.next_at = Timestamp::from_unix(NEVER);
    let third = ok(store.commit(&record, Some(second)).await, "a commit")?;
    expect_ids(&claim(store, &owner, 10).await?, &[], "what was put off is not claimed")?;
    record.next_at = Timestamp::MIN;
    ok(store.commit(&record, Some(third)).await, "a commit")?;
    let moved = only(claim(store, &owner, 10).await?)?;
    remove(store, &moved).await
}

async fn the_index_is_scanned_in_order_and_paged(store: &dyn Store) -> Result<(), String> {
    let names = [("scan-c", 10), ("scan-a", 10), ("scan-b", 10), ("scan-d", 5), ("scan-late", 90)];
    let due: Vec<_> = names.iter().map(|(name, at)| (*name, NEVER + 1_000 + at)).collect();
    commit(store, &due).await?;
    let mut names: Vec<String> = Vec::new();
    for row in rows(store, NEVER + 1_010).await? {
        if row.id.as_str().starts_with("scan-") {
            names.push(row.id.to_string());
        }
    }
    if names != ["scan-d", "scan-a", "scan-b", "scan-c"] {
        return Err(format!(
            "the index is in the order of time, then of ids, and ends where it is told: {names:?}"
        ));
    }
    for (name, _) in due {
        remove_unheld(store, name).await?;
    }
    Ok(())
}

async fn who_holds_may_remove_and_who_is_late_may_not(store: &dyn Store) -> Result<(), String> {
    commit(store, &[("ended", LONG_AGO)]).await?;
    let owner = Owner::unique();
    let claim = only(claim(store, &owner, 10).await?)?;
    ok(store.remove(&claim.held.id, claim.version, Some(&claim.held)).await, "a removal by who holds")?;
    let lost = ok(store.extend(std::slice::from_ref(&claim.held), HOUR).await, "extending")?;
    if lost != [claim.held.id.clone()] {
        return Err(format!("what is removed is lost: {lost:?}"));
    }
    match store.apply(&Batch::new().change(claim.record, None).held(&claim.held)).await {
        Err(StoreError::Fenced { .. }) => Ok(()),
        other => Err(format!("a claim of what was removed makes it not anew, got {other:?}")),
    }
}

/// Makes records that are due then.
async fn commit(store: &dyn Store, records: &[(&str, i64)]) -> Result<Vec<Version>, String> {
    let mut versions = Vec::new();
    for (name, at) in records {
        versions.push(ok(store.commit(&due(name, *at)?, None).await, "a first commit")?);
    }
    Ok(versions)
}

pub(super) async fn claim(store: &dyn Store, owner: &Owner, most: usize) -> Result<Vec<Claim>, String> {
    ok(store.claim(owner, HOUR, most).await, "a claim")
}

async fn claim_one(store: &dyn Store, owner: &Owner, id: &CertificateId) -> Result<Option<Claim>, String> {
    ok(store.claim_one(owner, HOUR, id).await, "a claim of one")
}

/// Claims something as soon as it can be: a store may round the end of a claim up.
async fn wait_for_a_claim(store: &dyn Store, owner: &Owner) -> Result<Claim, String> {
    for _ in 0..100 {
        if let Some(claim) = claim(store, owner, 1).await?.pop() {
            return Ok(claim);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err("a claim of a second is over after ten".to_owned())
}

/// The whole index up to a moment, by pages of two.
async fn rows(store: &dyn Store, until: i64) -> Result<Vec<Due>, String> {
    let mut rows: Vec<Due> = Vec::new();
    loop {
        let page =
            ok(store.scan_due(Timestamp::from_unix(until), rows.last(), 2).await, "a page of the index")?;
        if page.len() > 2 {
            return Err(format!("a page of two holds two rows at most: {page:?}"));
        }
        if page.is_empty() {
            return Ok(rows);
        }
        rows.extend(page);
        if !rows.is_sorted_by(|one, next| one < next) {
            return Err(format!(
                "the index is in the order of time, then of ids, and goes on after its cursor: {rows:?}"
            ));
        }
    }
}

fn only(claims: Vec<Claim>) -> Result<Claim, String> {
    match <[Claim; 1]>::try_from(claims) {
        Ok([claim]) => Ok(claim),
        Err(claims) => Err(format!("one certificate is due: {claims:?}")),
    }
}

pub(super) fn expect_ids(claims: &[Claim], wanted: &[&str], law: &str) -> Result<(), String> {
    let found: Vec<_> = claims.iter().map(|claim| claim.held.id.as_str()).collect();
    if found == wanted { Ok(()) } else { Err(format!("{law}: wanted {wanted:?}, got {found:?}")) }
}

fn fenced<T: std::fmt::Debug>(
    result: Result<T, StoreError>,
    newest: &Held,
    what: &str,
) -> Result<(), String> {
    match result {
        Err(StoreError::Fenced { id, newest: Some(named), .. })
            if id == newest.id && named == newest.fence =>
        {
            Ok(())
        }
        other => Err(format!("{what} of who is late is fenced, got {other:?}")),
    }
}

/// Removes what a law has claimed, whatever its version is by now.
pub(super) async fn remove(store: &dyn Store, claim: &Claim) -> Result<(), String> {
    let (version, _) = stored(store, &claim.held.id).await?;
    ok(store.remove(&claim.held.id, version, Some(&claim.held)).await, "a removal by who holds")
}

async fn remove_unheld(store: &dyn Store, name: &str) -> Result<(), String> {
    let id = id(name)?;
    let (version, _) = stored(store, &id).await?;
    ok(store.remove(&id, version, None).await, "a removal")
}

async fn stored(store: &dyn Store, id: &CertificateId) -> Result<(Version, Record), String> {
    ok(store.load(id).await, "reading a record")?.ok_or_else(|| format!("certificate {id} has a record"))
}
