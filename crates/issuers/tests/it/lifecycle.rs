//! The keeper over the ACME issuer: years of renewals, and a restart in between.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use perennial_core::{Clock as _, SecretString, Timestamp};
use perennial_issuers::Dns01;
use perennial_lifecycle::{EventKind, FileStore, Keeper, MemoryStore, Outcome, Stage, Store};
use perennial_providers::rfc2136::{Algorithm, Rfc2136, TsigKey};
use perennial_testkit::{ManualClock, World, ca::Verb};

use crate::scene::{builder, checker, spec};

const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test]
async fn a_virtual_year_of_renewals_through_a_restart_costs_one_account_and_one_order_each() {
    let clock = Arc::new(ManualClock::new(Timestamp::from_unix(1_800_000_000)));
    let world = World::builder().zone("example.com").clock(clock.clone()).build().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    // While the issuer waits for the CA, the hands of the clock move to what it waits for.
    let hands = clock.clone();
    let hands = tokio::spawn(async move {
        loop {
            hands.wait_for_sleepers(1).await;
            if let Some(deadline) = hands.next_deadline() {
                hands.set(deadline);
            }
            tokio::task::yield_now().await;
        }
    });
    let end = clock.now() + DAY * 365;
    let mut renewals = 0;
    while clock.now() < end {
        // A new process each time: store, issuer and keeper are opened anew.
        let store: Arc<dyn Store> = Arc::new(FileStore::open(directory.path()).unwrap());
        let solver = Dns01::new(signed_now(&world, &clock)).checker(checker(&world));
        let issuer = builder(&world).clock(clock.clone()).solver(solver).build().unwrap();
        let keeper = Keeper::builder(store)
            .clock(clock.clone())
            .issuer("default".parse().unwrap(), Arc::new(issuer))
            .build();
        keeper.wish(spec()).await.unwrap();
        match keeper.step(spec().id()).await.unwrap() {
            Outcome::Issued { until } | Outcome::Kept { until } => clock.set(until),
            other => panic!("{other:?}"),
        }
        renewals += 1;
    }
    hands.abort();
    let requests = world.ca().requests();
    let count = |verb| requests.iter().filter(|request| request.verb == Some(verb)).count();
    assert_eq!(count(Verb::NewAccount), 1);
    assert_eq!(count(Verb::NewOrder), renewals);
    assert!((6..=8).contains(&renewals), "{renewals}");
    assert_eq!(world.zone().txt_values(crate::scene::OWNER), Vec::<String>::new());
}

#[tokio::test]
async fn those_who_watch_are_told_every_stage_once_and_the_wildcard_apart_from_its_apex() {
    let world = crate::scene::world().await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let seen = told.clone();
    let keeper = Keeper::builder(Arc::new(MemoryStore::new()))
        .issuer("default".parse().unwrap(), Arc::new(crate::scene::issuer(&world)))
        .observer(move |event| {
            let line = match &event.kind {
                EventKind::Stage { stage: Stage::ChallengePresented { name, .. } } => {
                    format!("presented {name}")
                }
                EventKind::Stage { stage } => format!("{stage:?}").split(' ').next().unwrap().to_owned(),
                _ => return,
            };
            seen.lock().unwrap().push(line);
        })
        .build();
    keeper.wish(spec()).await.unwrap();
    keeper.step(spec().id()).await.unwrap();
    let mut told = told.lock().unwrap().clone();
    told[2..4].sort();
    assert_eq!(
        told,
        [
            "AccountReady",
            "OrderCreated",
            "presented *.app.site.example.com",
            "presented app.site.example.com",
            "Propagated",
            "ChallengeAnswered",
            "ChallengeAnswered",
            "Validated",
            "CleanedUp",
            "Finalized",
            "Downloaded",
        ]
    );
}

/// Signatures carry the time (RFC 8945 §4.2): the provider lives in the same year as the server.
fn signed_now(world: &World, clock: &Arc<ManualClock>) -> Arc<Rfc2136> {
    let secret = SecretString::new(world.tsig().secret_base64.as_str());
    let key = TsigKey::new(world.tsig().name.as_str(), Algorithm::HmacSha256, &secret).unwrap();
    let server = world.primary().to_string().parse().unwrap();
    Arc::new(Rfc2136::builder(server).key(key).clock(clock.clone()).build())
}
