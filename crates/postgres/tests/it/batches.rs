//! Batches: all of it or nothing, whoever else writes and whatever breaks.

use std::{sync::Arc, time::Duration};

use perennial_core::{Clock as _, SecretBytes, SystemClock, Timestamp};
use perennial_lifecycle::{
    Record, Slot, Store as _, StoreError, Version,
    budget::{Bucket, BudgetKey, Limit},
    store::{Batch, Owner},
};
use perennial_postgres::PostgresStore;
use tokio::{sync::Barrier, task::JoinSet};

use crate::scene::{Holder, aside, record, server, store};

const MINUTE: Duration = Duration::from_secs(60);

fn key(record: &Record) -> Slot {
    Slot::PrivateKey { certificate: record.id().clone(), generation: record.last_generation.next() }
}

fn budget(name: &str) -> BudgetKey {
    BudgetKey::Provider(name.to_owned())
}

/// One that is full so many seconds after 2100, so that nobody forgets it.
fn bucket(seconds: i64) -> Bucket {
    Bucket::emptied(Limit::pace(MINUTE), Timestamp::from_unix(4_102_444_800 + seconds))
}

/// Everything that a batch can hold, for two certificates.
fn whole(names: [&str; 2], expected: Option<Version>) -> Batch {
    let mut batch = Batch::new();
    for name in names {
        let record = record(name);
        batch = batch
            .write(key(&record), SecretBytes::new(format!("the key of {name}")))
            .bucket(budget(name), expected, bucket(7))
            .change(record, expected);
    }
    batch
}

/// What there is of it: records, keys, buckets.
async fn found(store: &PostgresStore, names: [&str; 2]) -> [usize; 3] {
    let mut found = [0; 3];
    for name in names {
        let record = record(name);
        found[0] += usize::from(store.load(record.id()).await.unwrap().is_some());
        found[1] += usize::from(store.read(&key(&record)).await.unwrap().is_some());
        found[2] += store.buckets(&[budget(name)]).await.unwrap().iter().flatten().count();
    }
    found
}

#[tokio::test]
async fn a_batch_is_written_whole_and_read_back_to_the_letter() {
    let Some(server) = server().await else { return };
    let store = store(&server).await;
    let hostile = BudgetKey::Domain("ca".parse().unwrap(), "no\0t '; DROP TABLE x; -- \u{10ffff}".to_owned());
    let batch = whole(["b", "a"], None).bucket(hostile.clone(), None, bucket(9));
    assert_eq!(store.apply(&batch).await.unwrap(), [Version::FIRST, Version::FIRST]);
    assert_eq!(found(&store, ["a", "b"]).await, [2, 2, 2]);
    let asked = [hostile, budget("nobody's"), budget("a")];
    let buckets = store.buckets(&asked).await.unwrap();
    let first = |seconds| Some((Version::FIRST, bucket(seconds)));
    assert_eq!(buckets, [first(9), None, first(7)]);
}

#[tokio::test]
async fn a_batch_of_which_one_part_does_not_fit_is_not_written_at_all() {
    let Some(server) = server().await else { return };
    let store = store(&server).await;
    store.commit(&record("there"), None).await.unwrap();
    store.apply(&Batch::new().bucket(budget("spent"), None, bucket(1))).await.unwrap();
    let claim = store.claim_one(&Owner::unique(), MINUTE, record("there").id()).await.unwrap().unwrap();
    store.release(std::slice::from_ref(&claim.held)).await.unwrap();
    let good = || whole(["one", "two"], None);
    let bad = [
        good().change(record("there"), None),
        good().change(record("there"), Some(Version::from_number(7))),
        good().change(record("gone"), Some(Version::FIRST)),
        good().bucket(budget("spent"), None, bucket(2)),
        good().bucket(budget("fresh"), Some(Version::FIRST), bucket(2)),
        good().held(&claim.held),
    ];
    let mut said = Vec::new();
    for batch in &bad {
        said.push(store.apply(batch).await.unwrap_err());
        assert_eq!(found(&store, ["one", "two"]).await, [0, 0, 0]);
    }
    let conflict =
        |id: &str, expected, found| StoreError::Conflict { id: id.parse().unwrap(), expected, found };
    let spent = |name, expected, found| StoreError::BudgetConflict { key: budget(name), expected, found };
    let first = Some(Version::FIRST);
    assert_eq!(said[0], conflict("there", None, first));
    assert_eq!(said[1], conflict("there", Some(Version::from_number(7)), first));
    assert_eq!(said[2], conflict("gone", first, None));
    assert_eq!(said[3], spent("spent", None, first));
    assert_eq!(said[4], spent("fresh", first, None));
    assert!(matches!(&said[5], StoreError::Fenced { held, newest: Some(newest), .. } if newest > held));
    assert_eq!(store.apply(&good()).await.unwrap().len(), 2);
}

#[tokio::test]
async fn of_changes_of_one_record_in_one_batch_the_last_counts() {
    let Some(server) = server().await else { return };
    let store = store(&server).await;
    let mut last = record("twice");
    last.next_at = Timestamp::from_unix(7);
    let batch = Batch::new()
        .change(record("twice"), None)
        .change(last.clone(), Some(Version::FIRST))
        .write(key(&last), SecretBytes::new(*b"first"))
        .write(key(&last), SecretBytes::new(*b"second"))
        .bucket(budget("twice"), None, bucket(1))
        .bucket(budget("twice"), Some(Version::FIRST), bucket(2));
    let second = Version::FIRST.next();
    assert_eq!(store.apply(&batch).await.unwrap(), [Version::FIRST, second]);
    assert_eq!(store.load(last.id()).await.unwrap(), Some((second, last.clone())));
    assert_eq!(store.read(&key(&last)).await.unwrap().unwrap().expose(), b"second");
    assert_eq!(store.buckets(&[budget("twice")]).await.unwrap(), [Some((second, bucket(2)))]);
    store.apply(&Batch::new().write(key(&last), SecretBytes::new(*b"third"))).await.unwrap();
    assert_eq!(store.read(&key(&last)).await.unwrap().unwrap().expose(), b"third");
}

/// Each round everybody writes the same things at once, every second one in the opposite order: whoever waits
/// for one who waits for him is ended by the server after a second, with an error that is no conflict.
#[tokio::test(flavor = "multi_thread")]
async fn batches_in_opposite_orders_do_not_wait_for_each_other() {
    const WRITERS: usize = 8;
    const ROUNDS: usize = 40;
    let Some(server) = server().await else { return };
    let stores = [store(&server).await, store(&server).await];
    let barrier = Arc::new(Barrier::new(WRITERS));
    let mut writers = JoinSet::new();
    for number in 0..WRITERS {
        let (store, barrier) = (stores[number / 4].clone(), barrier.clone());
        writers.spawn(async move {
            let mut won = 0;
            for round in 0..ROUNDS {
                // Every second round makes new rows.
                let names = [format!("x{}", round / 2), format!("y{}", round / 2)];
                let names = if number % 2 == 0 { [&names[0], &names[1]] } else { [&names[1], &names[0]] };
                let expected = (round % 2 == 1).then_some(Version::FIRST);
                barrier.wait().await;
                match store.apply(&whole(names.map(String::as_str), expected)).await {
                    Ok(_) => won += 1,
                    Err(StoreError::Conflict { .. } | StoreError::BudgetConflict { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
                barrier.wait().await;
            }
            won
        });
    }
    assert_eq!(writers.join_all().await.into_iter().sum::<usize>(), ROUNDS, "one winner a round");
}

#[tokio::test]
async fn a_server_that_crashes_in_between_leaves_all_or_nothing_and_the_next_call_works() {
    let Some(mut server) = server().await else { return };
    let store = store(&server).await;
    for round in 0..5 {
        let names = [format!("a{round}"), format!("b{round}")];
        let names = names.each_ref().map(String::as_str);
        let batch = whole(names, None);
        let (applied, crashed) = tokio::join!(store.apply(&batch), async {
            tokio::time::sleep(Duration::from_millis(round)).await;
            server.crash().await
        });
        crashed.unwrap();
        server.start().await.unwrap();
        let there = found(&store, names).await;
        match applied {
            Ok(_) => assert_eq!(there, [2, 2, 2], "it was said to be durable"),
            Err(StoreError::Unavailable { .. }) => {
                assert!([[0, 0, 0], [2, 2, 2]].contains(&there), "{there:?}")
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn a_batch_that_is_dropped_half_way_holds_nobody_up() {
    let Some(server) = server().await else { return };
    let store = PostgresStore::builder(server.socket()).pool_size(1).connect().await.unwrap();
    store.apply(&whole(["a", "b"], None)).await.unwrap();
    let batch = whole(["a", "b"], Some(Version::FIRST));
    for locked in ["SELECT 1 FROM perennial_records FOR UPDATE", "SELECT 1 FROM perennial_buckets FOR UPDATE"]
    {
        let holder = Holder::begin(&server, locked).await;
        tokio::select! {
            applied = store.apply(&batch) => panic!("nobody waited: {applied:?}"),
            () = holder.is_waited_for(&server) => {} // And here it is dropped.
        }
        holder.commit().await;
    }
    store.apply(&batch).await.unwrap();
}

#[tokio::test]
async fn what_somebody_else_makes_at_the_same_moment_is_a_conflict() {
    let Some(server) = server().await else { return };
    let store = store(&server).await;
    let key = serde_json::to_string(&budget("a")).unwrap();
    let made = [
        "INSERT INTO perennial_records VALUES ('a', 7, '{}')".to_owned(),
        format!("INSERT INTO perennial_buckets VALUES ('{key}', 7, 0)"),
    ];
    let seventh = Some(Version::from_number(7));
    for statement in made {
        let holder = Holder::begin(&server, &statement).await;
        let batch = whole(["a", "b"], None);
        let (applied, ()) = tokio::join!(store.apply(&batch), async {
            holder.is_waited_for(&server).await;
            holder.commit().await;
        });
        match applied.unwrap_err() {
            StoreError::Conflict { expected: None, found, .. }
            | StoreError::BudgetConflict { expected: None, found, .. } => assert_eq!(found, seventh),
            error => panic!("{error}"),
        }
        assert!(store.load(record("b").id()).await.unwrap().is_none(), "nothing of it was written");
        aside(server.socket(), "TRUNCATE perennial_records").await;
    }
}

#[tokio::test]
async fn what_is_removed_takes_its_keys_along_and_only_when_nobody_wrote_or_took_it_over() {
    let Some(server) = server().await else { return };
    let store = store(&server).await;
    store.apply(&whole(["a", "ab"], None)).await.unwrap();
    let id = record("a").id().clone();
    let held = store.claim_one(&Owner::unique(), MINUTE, &id).await.unwrap().unwrap().held;
    let error = store.remove(&id, Version::FIRST.next(), Some(&held)).await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict { found: Some(Version::FIRST), .. }), "{error}");
    store.release(std::slice::from_ref(&held)).await.unwrap();
    let error = store.remove(&id, Version::FIRST, Some(&held)).await.unwrap_err();
    assert!(matches!(error, StoreError::Fenced { .. }), "{error}");
    assert_eq!(found(&store, ["a", "ab"]).await, [2, 2, 2]);
    store.remove(&id, Version::FIRST, None).await.unwrap();
    assert_eq!(found(&store, ["a", "ab"]).await, [1, 1, 2]);
    let error = store.remove(&id, Version::FIRST, None).await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict { found: None, .. }), "{error}");
}

#[tokio::test]
async fn buckets_that_have_been_full_for_long_are_forgotten_and_no_others() {
    let Some(server) = server().await else { return };
    let store = store(&server).await;
    let full = |days: i64| {
        let now = SystemClock::new().now().unix();
        Bucket::emptied(Limit::pace(MINUTE), Timestamp::from_unix(now - days * 86_400))
    };
    for number in 0..50 {
        let batch = Batch::new().bucket(budget(&format!("old-{number}")), None, full(9));
        store.apply(&batch.bucket(budget(&format!("used-{number}")), None, full(0))).await.unwrap();
    }
    let kept = "SELECT count(*) FILTER (WHERE key LIKE '%old-%') || ' ' || count(*) FROM perennial_buckets";
    assert_eq!(aside(server.socket(), kept).await, ["0 50"]);
    // Whoever knew it reads it again.
    let spend = |expected| Batch::new().bucket(budget("old-7"), expected, bucket(1));
    let error = store.apply(&spend(Some(Version::FIRST))).await.unwrap_err();
    assert!(matches!(error, StoreError::BudgetConflict { found: None, .. }), "{error}");
    store.apply(&spend(None)).await.unwrap();
}

/// A standby that takes over without the last claims hands out the same fences once more.
#[tokio::test]
async fn a_fence_that_came_twice_is_told_by_its_owner() {
    let Some(server) = server().await else { return };
    let store = store(&server).await;
    store.apply(&whole(["a", "b"], None)).await.unwrap();
    let id = record("a").id().clone();
    let late = store.claim_one(&Owner::unique(), MINUTE, &id).await.unwrap().unwrap().held;
    let lost =
        "UPDATE perennial_records SET owner = NULL, fence = 0; SELECT setval('perennial_fences', 1, false)";
    aside(server.socket(), lost).await;
    let held = store.claim_one(&Owner::unique(), MINUTE, &id).await.unwrap().unwrap().held;
    assert_eq!(held.fence, late.fence, "that is what this is about");
    let change = || Batch::new().change(record("a"), Some(Version::FIRST));
    for batch in
        [change().held(&late), change().write(key(&record("a")), SecretBytes::new(*b"late")).held(&late)]
    {
        let error = store.apply(&batch).await.unwrap_err();
        assert!(matches!(error, StoreError::Fenced { .. }), "{error}");
    }
    let error = store.remove(&id, Version::FIRST, Some(&late)).await.unwrap_err();
    assert!(matches!(error, StoreError::Fenced { .. }), "{error}");
    store.release(std::slice::from_ref(&late)).await.unwrap();
    assert_eq!(store.extend(&[late], MINUTE).await.unwrap(), [id]);
    store.apply(&change().held(&held)).await.unwrap();
}
