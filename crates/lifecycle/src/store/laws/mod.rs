//! The contract of [`Store`] as runnable checks, for authors of other stores.

use futures_util::future::join_all;
use perennial_core::{SecretBytes, Timestamp};

use super::{Slot, Store, Version};
use crate::{Attempt, CertificateId, CertificateSpec, Generation, Record, StoreError};

mod batch;

#[cfg(test)]
mod broken;

mod claim;

mod lines;

/// Runs every law against an empty store and returns the first that is broken.
///
/// It takes some seconds: claims have to end. The store's clock must show the present time.
///
/// # Errors
/// A sentence that says which law and how it was broken.
///
/// ```
/// # use perennial_lifecycle::{MemoryStore, store::laws};
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// laws::check(&MemoryStore::new()).await.unwrap();
/// # });
/// ```
pub async fn check(store: &dyn Store) -> Result<(), String> {
    what_was_committed_is_loaded(store).await?;
    a_stale_writer_is_refused(store).await?;
    of_many_writers_one_wins(store).await?;
    ids_are_listed_in_order_and_paged(store).await?;
    slots_hold_what_was_put_there(store).await?;
    slots_are_compared_and_swapped(store).await?;
    a_forgotten_generation_is_gone_and_its_neighbour_stays(store).await?;
    a_removed_certificate_is_gone_with_its_material(store).await?;
    batch::check(store).await?;
    claim::check(store).await?;
    lines::check(store).await
}

async fn what_was_committed_is_loaded(store: &dyn Store) -> Result<(), String> {
    let record = record("committed")?;
    expect(store.load(record.id()).await, &None, "an unknown certificate has no record")?;
    let version = ok(store.commit(&record, None).await, "a first commit")?;
    expect(store.load(record.id()).await, &Some((version, record.clone())), "what was committed is loaded")?;
    let mut changed = record;
    let attempt = Attempt::new(Generation::from_number(1), changed.spec.clone(), Timestamp::from_unix(7));
    changed.attempt = Some(attempt);
    let next = ok(store.commit(&changed, Some(version)).await, "a second commit")?;
    if next <= version {
        return Err(format!("versions grow: {next:?} follows {version:?}"));
    }
    expect(store.load(changed.id()).await, &Some((next, changed.clone())), "the second commit is loaded")
}

async fn a_stale_writer_is_refused(store: &dyn Store) -> Result<(), String> {
    let record = record("stale")?;
    let first = ok(store.commit(&record, None).await, "a first commit")?;
    let second = ok(store.commit(&record, Some(first)).await, "a second commit")?;
    for (expected, who) in
        [(None, "a writer that knows no record"), (Some(first), "a writer with an old version")]
    {
        match store.commit(&record, expected).await {
            Err(StoreError::Conflict { found, .. }) if found == Some(second) => {}
            other => return Err(format!("{who} is refused with a conflict, got {other:?}")),
        }
    }
    expect(store.load(record.id()).await, &Some((second, record.clone())), "a refused commit changes nothing")
}

async fn of_many_writers_one_wins(store: &dyn Store) -> Result<(), String> {
    let record = record("contended")?;
    let version = ok(store.commit(&record, None).await, "a first commit")?;
    let (a, b, c, d) = tokio::join!(
        store.commit(&record, Some(version)),
        store.commit(&record, Some(version)),
        store.commit(&record, Some(version)),
        store.commit(&record, Some(version)),
    );
    let winners = [a, b, c, d].iter().filter(|result| result.is_ok()).count();
    if winners == 1 { Ok(()) } else { Err(format!("of four writers one wins, {winners} did")) }
}

async fn ids_are_listed_in_order_and_paged(store: &dyn Store) -> Result<(), String> {
    for id in ["listed-b", "listed-a", "listed-c"] {
        ok(store.commit(&record(id)?, None).await, "a first commit")?;
    }
    let mut seen = Vec::new();
    let mut after: Option<CertificateId> = None;
    loop {
        let page = ok(store.list(after.as_ref(), 2).await, "a page of ids")?;
        if page.len() > 2 {
            return Err(format!("a page of two holds two ids at most: {page:?}"));
        }
        let Some(last) = page.last() else { break };
        if !page.iter().chain(&after).all(|id| id <= last) || after.as_ref() == Some(last) {
            return Err(format!("a page of ids comes after {after:?}, in order: {page:?}"));
        }
        after = Some(last.clone());
        seen.extend(page.into_iter().filter(|id| id.as_str().starts_with("listed-")));
    }
    let seen: Vec<_> = seen.iter().map(CertificateId::as_str).collect();
    if seen == ["listed-a", "listed-b", "listed-c"] {
        Ok(())
    } else {
        Err(format!("ids come once and in order: {seen:?}"))
    }
}

async fn slots_hold_what_was_put_there(store: &dyn Store) -> Result<(), String> {
    let id = id("slots")?;
    ok(store.commit(&record("slots")?, None).await, "a first commit")?;
    let issuer = "slots".parse().map_err(|error| format!("{error}"))?;
    let generation = Generation::from_number(1);
    let slots = [
        Slot::PrivateKey { certificate: id.clone(), generation },
        Slot::Chain { certificate: id, generation },
        Slot::IssuerState { issuer },
    ];
    for (number, slot) in slots.iter().enumerate() {
        if ok(store.read(slot).await, "reading an empty slot")?.is_some() {
            return Err(format!("{slot} is empty at first"));
        }
        for content in [format!("first {number}\n"), format!("second {number}\n")] {
            ok(store.write(slot, &SecretBytes::new(content.as_bytes())).await, "writing a slot")?;
            let read = ok(store.read(slot).await, "reading a slot")?;
            if read.is_none_or(|read| read.expose() != content.as_bytes()) {
                return Err(format!("{slot} holds what was put there last"));
            }
        }
    }
    Ok(())
}

async fn slots_are_compared_and_swapped(store: &dyn Store) -> Result<(), String> {
    let slot = Slot::IssuerState { issuer: "swapped".parse().map_err(|error| format!("{error}"))? };
    let [first, second, third] = ["first", "second", "third"].map(|text| SecretBytes::new(text.as_bytes()));
    let writes = async |expected, bytes| store.write_if(&slot, expected, bytes).await;
    let refused = async |expected, who: &str| match writes(expected, &third).await {
        Err(StoreError::SlotConflict { .. }) => Ok(()),
        other => Err(format!(
            "who does not know the slot as it is, {who}, is refused with a conflict, got {other:?}"
        )),
    };
    refused(Some(&first), "because it is empty").await?;
    ok(writes(None, &first).await, "a first write of an empty slot")?;
    refused(None, "because it is empty no more").await?;
    refused(Some(&second), "because something else lies there").await?;
    ok(writes(Some(&first), &second).await, "a write of who knows the slot")?;
    refused(Some(&first), "because it was written since").await?;
    let read = ok(store.read(&slot).await, "reading a slot")?;
    if read.is_none_or(|read| read.expose() != second.expose()) {
        return Err("a refused write changes nothing in a slot".to_owned());
    }
    let rivals: Vec<_> = (0..8).map(|rival| SecretBytes::new(format!("rival {rival}"))).collect();
    let written = join_all(rivals.iter().map(|rival| writes(Some(&second), rival))).await;
    match written.iter().filter(|written| written.is_ok()).count() {
        1 => Ok(()),
        winners => Err(format!("of eight writers of a slot one wins, {winners} did")),
    }
}

async fn a_forgotten_generation_is_gone_and_its_neighbour_stays(store: &dyn Store) -> Result<(), String> {
    let id = id("forgotten")?;
    ok(store.commit(&record("forgotten")?, None).await, "a first commit")?;
    let key =
        |number| Slot::PrivateKey { certificate: id.clone(), generation: Generation::from_number(number) };
    for number in [1, 2] {
        ok(store.write(&key(number), &SecretBytes::new(*b"key")).await, "writing a slot")?;
    }
    for _ in 0..2 {
        ok(store.forget(&id, Generation::from_number(1)).await, "forgetting, also twice")?;
    }
    let (first, second) =
        (ok(store.read(&key(1)).await, "reading")?, ok(store.read(&key(2)).await, "reading")?);
    match (first.is_none(), second.is_some()) {
        (true, true) => Ok(()),
        (false, _) => Err("a forgotten key is gone".to_owned()),
        (_, false) => Err("forgetting one generation leaves the next".to_owned()),
    }
}

async fn a_removed_certificate_is_gone_with_its_material(store: &dyn Store) -> Result<(), String> {
    let record = record("removed")?;
    let first = ok(store.commit(&record, None).await, "a first commit")?;
    let second = ok(store.commit(&record, Some(first)).await, "a second commit")?;
    let (certificate, generation) = (record.id().clone(), Generation::from_number(1));
    let slots = [
        Slot::Chain { certificate: certificate.clone(), generation },
        Slot::PrivateKey { certificate, generation },
    ];
    for slot in &slots {
        ok(store.write(slot, &SecretBytes::new(*b"material")).await, "writing a slot")?;
    }
    conflict(store.remove(record.id(), first, None).await, "who would remove what has changed")?;
    expect(
        store.load(record.id()).await,
        &Some((second, record.clone())),
        "a refused removal changes nothing",
    )?;
    ok(store.remove(record.id(), second, None).await, "a removal")?;
    expect(store.load(record.id()).await, &None, "a removed certificate has no record")?;
    for slot in &slots {
        if ok(store.read(slot).await, "reading a slot")?.is_some() {
            return Err(format!("{slot} is removed with the certificate"));
        }
    }
    if ok(store.list(None, usize::MAX).await, "listing")?.contains(record.id()) {
        return Err("a removed certificate is not listed".to_owned());
    }
    conflict(store.remove(record.id(), second, None).await, "who would remove what is gone")?;
    ok(store.commit(&record, None).await.map(drop), "a first commit after the removal")
}

fn id(text: &str) -> Result<CertificateId, String> {
    text.parse().map_err(|error| format!("{error}"))
}

fn record(text: &str) -> Result<Record, String> {
    due(text, NEVER)
}

/// A record that somebody should look at then.
fn due(text: &str, next_at: i64) -> Result<Record, String> {
    let spec = CertificateSpec::new(text, ["law.example"]).map_err(|error| error.to_string())?;
    let mut record = Record::new(spec);
    record.next_at = Timestamp::from_unix(next_at);
    Ok(record)
}

/// 2100-01-01: later than any law is checked.
const NEVER: i64 = 4_102_444_800;
/// 2001-09-09: long ago.
const LONG_AGO: i64 = 1_000_000_000;

fn conflict<T: std::fmt::Debug>(result: Result<T, StoreError>, who: &str) -> Result<(), String> {
    match result {
        Err(StoreError::Conflict { .. }) => Ok(()),
        other => Err(format!("{who} is refused with a conflict, got {other:?}")),
    }
}

fn ok<T>(result: Result<T, StoreError>, what: &str) -> Result<T, String> {
    result.map_err(|error| format!("{what} succeeds, got: {error}"))
}

fn expect(
    result: Result<Option<(Version, Record)>, StoreError>,
    wanted: &Option<(Version, Record)>,
    law: &str,
) -> Result<(), String> {
    match result {
        Ok(found) if found == *wanted => Ok(()),
        other => Err(format!("{law}, got {other:?}")),
    }
}
