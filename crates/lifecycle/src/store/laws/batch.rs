//! What is written together is there together.

use perennial_core::{SecretBytes, Timestamp};

use super::{conflict, expect, ok, record};
use crate::{
    Generation, Record, StoreError,
    budget::{Bucket, BudgetKey, Limit},
    store::{Batch, Slot, Store, Version},
};

pub(super) async fn check(store: &dyn Store) -> Result<(), String> {
    a_batch_is_written_whole_or_not_at_all(store).await?;
    buckets_are_compared_and_swapped(store).await?;
    an_empty_batch_is_nothing(store).await
}

async fn a_batch_is_written_whole_or_not_at_all(store: &dyn Store) -> Result<(), String> {
    let (one, two, three) = (record("batch-one")?, record("batch-two")?, record("batch-three")?);
    let first = ok(store.commit(&one, None).await, "a first commit")?;
    let slot = Slot::PrivateKey { certificate: one.id().clone(), generation: Generation::from_number(7) };
    let batch = |expected_of_two| {
        Batch::new()
            .change(changed(&one), Some(first))
            .change(two.clone(), expected_of_two)
            .change(three.clone(), None)
            .write(slot.clone(), SecretBytes::new(*b"key"))
            .bucket(key("batch"), None, emptied(1))
    };
    let refused = store.apply(&batch(Some(Version::FIRST))).await;
    conflict(refused, "a batch of which one record has another version")?;
    expect(store.load(one.id()).await, &Some((first, one.clone())), "a refused batch changes no record")?;
    expect(store.load(three.id()).await, &None, "a refused batch makes no record")?;
    if ok(store.read(&slot).await, "reading a slot")?.is_some() {
        return Err("a refused batch writes no slot".to_owned());
    }
    if ok(store.buckets(&[key("batch")]).await, "reading a bucket")? != [None] {
        return Err("a refused batch takes from no bucket".to_owned());
    }
    let versions = ok(store.apply(&batch(None)).await, "a batch")?;
    let [of_one, of_two, of_three] = versions[..] else {
        return Err(format!("a batch answers a version for each record: {versions:?}"));
    };
    if of_one <= first {
        return Err(format!("versions grow: {of_one:?} follows {first:?}"));
    }
    expect(store.load(one.id()).await, &Some((of_one, changed(&one))), "a batch changes its records")?;
    expect(store.load(two.id()).await, &Some((of_two, two.clone())), "a batch makes its records")?;
    expect(store.load(three.id()).await, &Some((of_three, three.clone())), "a batch makes all its records")?;
    if ok(store.read(&slot).await, "reading a slot")?.is_none_or(|key| key.expose() != b"key") {
        return Err("a batch writes its slots".to_owned());
    }
    match ok(store.buckets(&[key("batch")]).await, "reading a bucket")?[..] {
        [Some((_, bucket))] if bucket == emptied(1) => Ok(()),
        ref other => Err(format!("a batch takes from its buckets, got {other:?}")),
    }
}

async fn buckets_are_compared_and_swapped(store: &dyn Store) -> Result<(), String> {
    let write = async |expected, bucket| {
        store.apply(&Batch::new().bucket(key("swapped"), expected, bucket)).await.map(drop)
    };
    let read = async || {
        let found = ok(store.buckets(&[key("unused"), key("swapped")]).await, "reading buckets")?;
        match found[..] {
            [None, found] => Ok(found),
            ref other => Err(format!("buckets come in the order of their keys, got {other:?}")),
        }
    };
    if let Some(found) = read().await? {
        return Err(format!("nobody has used this bucket: {found:?}"));
    }
    ok(write(None, emptied(1)).await, "a first change of a bucket")?;
    let Some((first, _)) = read().await? else { return Err("a bucket is kept".to_owned()) };
    ok(write(Some(first), emptied(2)).await, "a second change of a bucket")?;
    for expected in [None, Some(first)] {
        match write(expected, emptied(3)).await {
            Err(StoreError::BudgetConflict { .. }) => {}
            other => return Err(format!("who does not know the bucket as it is is refused, got {other:?}")),
        }
    }
    let (a, b, c) = {
        let expected = read().await?.map(|(version, _)| version);
        tokio::join!(write(expected, emptied(4)), write(expected, emptied(4)), write(expected, emptied(4)))
    };
    let winners = [a, b, c].iter().filter(|result| result.is_ok()).count();
    match read().await? {
        Some((version, bucket)) if winners == 1 && version > first && bucket == emptied(4) => Ok(()),
        found => Err(format!("of three who take from a bucket one wins, {winners} did: {found:?}")),
    }
}

async fn an_empty_batch_is_nothing(store: &dyn Store) -> Result<(), String> {
    match ok(store.apply(&Batch::new()).await, "an empty batch")?[..] {
        [] => Ok(()),
        ref versions => Err(format!("an empty batch changes nothing, got {versions:?}")),
    }
}

fn key(name: &str) -> BudgetKey {
    BudgetKey::Provider(format!("law-{name}"))
}

/// A bucket that somebody has emptied in so many seconds after 2099, so that no store has forgotten it.
fn emptied(second: i64) -> Bucket {
    let limit = Limit::pace(std::time::Duration::from_secs(1));
    Bucket::emptied(limit, Timestamp::from_unix(super::NEVER + second))
}

fn changed(record: &Record) -> Record {
    let mut changed = record.clone();
    changed.last_generation = Generation::from_number(7);
    changed
}
