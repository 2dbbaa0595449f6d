//! The contract of stores, and what only a shared one can get wrong.

use std::{collections::BTreeSet, sync::Arc};

use perennial_core::{Retry, SecretBytes, Timestamp};
use perennial_lifecycle::{Failures, IssueErrorClass, Slot, Store as _, StoreError, Version, store::laws};
use perennial_postgres::PostgresStore;
use tokio::{sync::Barrier, task::JoinSet};

use crate::scene::{aside, record, server, store};

#[tokio::test]
async fn keeps_the_laws_of_stores() {
    let Some(server) = server().await else { return };
    laws::check(&store(&server).await).await.unwrap();
}

#[tokio::test]
async fn keeps_the_laws_where_the_server_isolates_more_strictly() {
    let Some(server) = server().await else { return };
    aside(server.socket(), "ALTER ROLE postgres SET default_transaction_isolation = 'serializable'").await;
    laws::check(&store(&server).await).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_committers_in_two_processes_one_wins_each_round() {
    const COMMITTERS: usize = 8;
    const ROUNDS: u64 = 20;
    let Some(server) = server().await else { return };
    let stores = [store(&server).await, store(&server).await];
    let barrier = Arc::new(Barrier::new(COMMITTERS));
    let mut committers = JoinSet::new();
    for number in 0..COMMITTERS {
        let (store, barrier) = (stores[number % stores.len()].clone(), barrier.clone());
        committers.spawn(async move {
            let mut won = Vec::new();
            for round in 0..ROUNDS {
                barrier.wait().await;
                // Every round expects what the winner of the one before has written; the first, nothing.
                let expected = (round > 0).then(|| Version::from_number(round));
                match store.commit(&record("contended"), expected).await {
                    Ok(version) => won.push(version),
                    Err(StoreError::Conflict { found, .. }) => {
                        assert_eq!(found, Some(Version::from_number(round + 1)));
                    }
                    Err(error) => panic!("{error}"),
                }
                barrier.wait().await;
            }
            won
        });
    }
    let won = committers.join_all().await.concat();
    assert_eq!(won.len() as u64, ROUNDS, "one winner a round");
    let versions: BTreeSet<u64> = won.iter().map(|version| version.number()).collect();
    assert_eq!(versions, (1..=ROUNDS).collect());
}

#[tokio::test]
async fn a_commit_on_a_record_that_is_gone_conflicts_with_nothing() {
    let Some(server) = server().await else { return };
    let store = store(&server).await;
    let error = store.commit(&record("gone"), Some(Version::FIRST)).await.unwrap_err();
    let expected = Some(Version::FIRST);
    assert_eq!(error, StoreError::Conflict { id: "gone".parse().unwrap(), expected, found: None });
    assert_eq!(store.load(record("gone").id()).await.unwrap(), None);
}

#[tokio::test]
async fn what_an_outsider_said_is_kept_to_the_letter() {
    let Some(server) = server().await else { return };
    let store = store(&server).await;
    let mut record = record("hostile");
    let said = "no\0t \u{1b}[2J \"quoted\" '; DROP TABLE perennial_records; -- 1e999 \u{feff}\u{10ffff}";
    record.failures = Some(Failures {
        count: 1,
        streak: 1,
        first_at: None,
        issuers_since: None,
        last_at: Timestamp::from_unix(7),
        retry_at: Timestamp::from_unix(8),
        class: IssueErrorClass::Transient,
        message: said.to_owned(),
        retry: Retry::Backoff,
    });
    let version = store.commit(&record, None).await.unwrap();
    assert_eq!(store.load(record.id()).await.unwrap(), Some((version, record)));
}

#[tokio::test]
async fn ids_come_in_the_programs_order_whatever_the_databases_language() {
    let Some(server) = server().await else { return };
    let language = "CREATE DATABASE english TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'";
    aside(server.socket(), language).await;
    let english = server.socket().replace("dbname=postgres", "dbname=english");
    let store = PostgresStore::builder(english.as_str()).connect().await.unwrap();
    let ids = ["a-b", "a.b", "a0", "a_b", "ab", "b-"];
    for id in ids {
        store.commit(&record(id), None).await.unwrap();
    }
    let by_language = "SELECT id FROM perennial_records ORDER BY id COLLATE \"en-US-x-icu\"";
    assert_ne!(aside(&english, by_language).await, ids, "the language has another order");
    let mut seen = Vec::new();
    while let Some(id) = store.list(seen.last(), 1).await.unwrap().pop() {
        seen.push(id);
    }
    assert_eq!(seen.iter().map(|id| id.as_str()).collect::<Vec<_>>(), ids);
}

#[tokio::test]
async fn every_byte_of_a_key_comes_back() {
    let Some(server) = server().await else { return };
    let store = store(&server).await;
    let record = record("keys");
    let slot =
        Slot::PrivateKey { certificate: record.id().clone(), generation: record.last_generation.next() };
    for length in [0, 1, 256, 100_000] {
        let key: Vec<u8> = (0..length).map(|number: u32| number.to_le_bytes()[0]).collect();
        store.write(&slot, &SecretBytes::new(key.clone())).await.unwrap();
        assert_eq!(store.read(&slot).await.unwrap().unwrap().expose(), key);
    }
}

#[tokio::test]
async fn chain_key_and_issuer_state_of_one_name_lie_apart() {
    let Some(server) = server().await else { return };
    let store = store(&server).await;
    let record = record("same");
    let (certificate, generation) = (record.id().clone(), record.last_generation.next());
    let slots = [
        Slot::Chain { certificate: certificate.clone(), generation },
        Slot::IssuerState { issuer: "same".parse().unwrap() },
        Slot::PrivateKey { certificate, generation },
    ];
    for slot in &slots {
        store.write(slot, &SecretBytes::new(slot.to_string())).await.unwrap();
    }
    for slot in &slots {
        assert_eq!(store.read(slot).await.unwrap().unwrap().expose(), slot.to_string().as_bytes());
    }
    store.forget(record.id(), generation).await.unwrap();
    let [chain, state, key] = &slots;
    assert!(store.read(chain).await.unwrap().is_none() && store.read(key).await.unwrap().is_none());
    assert!(store.read(state).await.unwrap().is_some(), "an issuer is no generation");
}

#[tokio::test]
async fn a_damaged_or_newer_record_is_named_and_left_alone() {
    let Some(server) = server().await else { return };
    let store = store(&server).await;
    let record = record("hurt");
    let version = store.commit(&record, None).await.unwrap();
    let look = "SELECT record::text FROM perennial_records";
    let good = aside(server.socket(), look).await.remove(0);
    for (bad, newer) in [
        ("[]".to_owned(), false),
        (good.replace("\"hurt\"", "\"other\""), false),
        (good.replace("\"schema\":1", "\"schema\":9"), true),
    ] {
        aside(server.socket(), &format!("UPDATE perennial_records SET record = '{bad}'")).await;
        let error = store.load(record.id()).await.unwrap_err();
        match &error {
            StoreError::Damaged { path, .. } if !newer => {
                assert!(path.ends_with("postgres/perennial_records/hurt"), "{error}");
            }
            StoreError::NewerSchema { found: 9, .. } if newer => {}
            _ => panic!("{error}"),
        }
        let refused = store.commit(&record, None).await.unwrap_err();
        assert!(matches!(refused, StoreError::Conflict { found, .. } if found == Some(version)), "{refused}");
        assert_eq!(aside(server.socket(), look).await, [bad]);
    }
}
