//! A record that stays, where others have a part in it: hooks that cannot look, other solvers, silent name servers.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use perennial_acme::ChallengeKind;
use perennial_issuers::{Error, Proof, Solver as _};
use perennial_lifecycle::{CertificateSpec, EventKind, Keeper, MemoryStore, Outcome, Stage, Store};
use perennial_testkit::{
    World,
    dns::{Behaviour, Data},
};

use crate::{
    dns_persist01::{AT, NAME, WILDCARD, builder, issue, scene, solver},
    scene::{counted, direct, dns01, hooked},
};

#[tokio::test]
async fn through_a_hook_the_record_is_set_once_and_seen_at_the_name_servers_after_that() {
    let Some((world, pebble)) = scene().await else { return };
    let batches = Arc::new(Mutex::new(Vec::new()));
    let hook = hooked(Arc::new(counted(direct(&world), &batches)));
    let issuer = builder(&pebble).solver(solver(&world).provider(hook)).build().unwrap();
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    issue(&store, &issuer, "one", &WILDCARD).await.unwrap();
    let there = world.zone().txt_values(AT);
    issue(&store, &issuer, "two", &WILDCARD).await.unwrap();
    issue(&store, &issuer, "three", &[NAME]).await.unwrap();
    assert_eq!((there.len(), world.zone().txt_values(AT)), (1, there));
    assert_eq!(*batches.lock().unwrap(), [1]);
}

#[tokio::test]
async fn of_several_names_those_whose_record_stands_are_proven_by_it_and_the_others_by_the_next_solver() {
    const NAMES: [&str; 4] = ["a.example.com", "b.example.com", "*.c.example.com", "d.example.com"];
    let Some((world, pebble)) = scene().await else { return };
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let sets = builder(&pebble).solver(solver(&world).provider(direct(&world))).build().unwrap();
    // What stands for the names below it stands for itself, and the CA has no proof of that name yet to use again.
    issue(&store, &sets, "first", &["*.b.example.com"]).await.unwrap();

    let issuer = builder(&pebble).solver(solver(&world)).solver(dns01(&world)).build().unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = told.clone();
    let keeper = Keeper::builder(store.clone())
        .issuer("default".parse().unwrap(), Arc::new(issuer))
        .observer(move |event| {
            if let EventKind::Stage { stage } = &event.kind {
                heard.lock().unwrap().push(stage.clone());
            }
        })
        .build();
    let spec = CertificateSpec::new("several", NAMES).unwrap();
    keeper.wish(spec.clone()).await.unwrap();
    let outcome = keeper.step(spec.id()).await.unwrap();
    assert!(matches!(outcome, Outcome::Issued { .. }), "{outcome:?}");
    let (mut orders, mut verified) = (BTreeSet::new(), BTreeMap::new());
    for stage in told.lock().unwrap().iter() {
        match stage {
            Stage::OrderCreated { url } => drop(orders.insert(url.clone())),
            Stage::DomainVerified { name, kind } => drop(verified.insert(name.to_string(), kind.clone())),
            _ => {}
        }
    }
    let by = |name: &str| verified.get(name).map_or("", String::as_str).to_owned();
    let ways = ["a.example.com", "b.example.com", "*.c.example.com", "d.example.com"].map(by);
    assert_eq!(
        (orders.len(), ways),
        (1, ["dns-01", "dns-persist-01", "dns-01", "dns-01"].map(str::to_owned))
    );
    assert!(["a", "c", "d"].iter().all(|name| {
        let challenge = world.zone().txt_values(&format!("_acme-challenge.{name}.example.com"));
        let standing = world.zone().txt_values(&format!("_validation-persist.{name}.example.com"));
        challenge.is_empty() && standing.is_empty()
    }));
}

const OURS: &str = "ca.example; accounturi=https://ca.example/acct/1";

fn proof(value: &str) -> [Proof; 1] {
    [Proof::new(&ChallengeKind::DnsPersist01, NAME.parse().unwrap(), AT, value)]
}

#[tokio::test]
async fn a_record_that_is_too_long_for_one_string_is_there_all_the_same() {
    let world = World::builder().zone("example.com").build().await.unwrap();
    let long = format!("{OURS}?{}; policy=wildcard; persistUntil=4000000000", "x".repeat(400));
    world.zone().add(AT, Data::txt(long.as_str())).unwrap();
    solver(&world).present(&proof(&long)).await.unwrap();
    let another = long.replace("x;", "y;");
    let error = solver(&world).present(&proof(&another)).await.unwrap_err();
    assert!(error.to_string().contains(AT), "{error}");
}

#[tokio::test]
async fn a_record_that_does_not_appear_is_waited_for_no_longer_than_was_said() {
    let world = World::builder().zone("example.com").build().await.unwrap();
    let (solver, proofs) = (solver(&world).timeout(Duration::from_millis(50)), proof(OURS));
    let waited = solver.wait(&proofs, Duration::from_secs(3600));
    let waited = tokio::time::timeout(Duration::from_secs(8), waited);
    waited.await.unwrap().unwrap_err();
}

#[tokio::test]
async fn where_no_server_says_that_a_record_is_lacking_none_is_asked_for() {
    for [one, two] in [
        [Behaviour::Refuse, Behaviour::Refuse],
        [Behaviour::ServerFailure, Behaviour::ServerFailure],
        [Behaviour::Refuse, Behaviour::Garbage],
    ] {
        let said = format!("{one:?} {two:?}");
        let world = World::builder().zone("example.com").behaviour(0, one).behaviour(1, two);
        let world = world.build().await.unwrap();
        let error = solver(&world).present(&proof(OURS)).await.unwrap_err();
        assert!(!matches!(error, Error::RecordWanted { .. }), "{said}: {error}");
    }
}
