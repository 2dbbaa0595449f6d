//! The keeper over the ACME issuer: years of renewals, and a restart in between.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use perennial_core::{Clock as _, ReqwestClient, SecretString, SystemClock, Timestamp, http::WatchedClient};
use perennial_issuers::Dns01;
use perennial_lifecycle::{
    ChallengeState, ConditionReason, Description, EventKind, FileStore, Keeper, Material, MemoryStore,
    OrderState, Outcome, Stage, Status, Store, describe, metrics::Metrics,
};
use perennial_providers::rfc2136::{Algorithm, Rfc2136, TsigKey};
use perennial_testkit::{ManualClock, World, ca::Verb};

use crate::scene::{OWNER, builder, checker, dns01, spec};

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
    assert_eq!(world.zone().txt_values(OWNER), Vec::<String>::new());
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
    told[7..9].sort();
    assert_eq!(
        told,
        [
            "AccountReady",
            "OrderCreated",
            "OrderDescribed",
            "AuthorizationFound",
            "AuthorizationFound",
            "ChallengeChosen",
            "ChallengeChosen",
            "presented *.app.site.example.com",
            "presented app.site.example.com",
            "Propagated",
            "ChallengeAnswered",
            "ChallengeAnswered",
            "DomainVerified",
            "DomainVerified",
            "Validated",
            "CleanedUp",
            "Finalized",
            "OrderDescribed",
            "Downloaded",
        ]
    );
}

/// A keeper over a store of its own, with metrics of it and of its requests.
async fn observed(world: &World) -> (Keeper, Arc<dyn Store>, Metrics) {
    let metrics = Metrics::builder().build();
    let store = metrics.store(Arc::new(MemoryStore::new()));
    let http = ReqwestClient::builder().root_certificates_pem(world.ca().https_root_pem()).build().unwrap();
    let (counted, heard) = (metrics.clone(), metrics.clone());
    let http = WatchedClient::new(Arc::new(http), move |exchange| counted.exchange(exchange));
    let issuer = builder(world).http(Arc::new(http)).solver(dns01(world)).build().unwrap();
    let keeper = Keeper::builder(store.clone())
        .issuer("default".parse().unwrap(), Arc::new(issuer))
        .observer(move |event| heard.hear(event))
        .build();
    keeper.wish(spec()).await.unwrap();
    (keeper, store, metrics)
}

async fn described(store: &dyn Store, material: Material) -> Description {
    let (_, record) = store.load(spec().id()).await.unwrap().unwrap();
    describe(&record, material, SystemClock::new().now())
}

/// The value of the only series that begins like this.
fn value(metrics: &Metrics, series: &str) -> f64 {
    let text = metrics.text();
    let found: Vec<_> = text.lines().filter(|line| line.starts_with(series)).collect();
    let [line] = found.as_slice() else { panic!("{series} is {found:?}") };
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn an_operator_sees_order_challenges_and_the_classic_sequence_after_all_is_done() {
    let world = crate::scene::world().await;
    let (keeper, store, metrics) = observed(&world).await;
    assert!(matches!(keeper.step(spec().id()).await.unwrap(), Outcome::Issued { .. }));
    let description = described(&*store, Material::Whole).await;
    let order = description.order.as_ref().unwrap();
    assert_eq!(order.state, OrderState::Valid);
    let mut challenges: Vec<_> = order
        .challenges
        .iter()
        .map(|it| (it.name.to_string(), it.kind.as_str(), it.state, it.presented, it.at.as_deref()))
        .collect();
    challenges.sort_by(|one, other| one.0.cmp(&other.0));
    let expected = crate::scene::NAMES
        .map(|name| (name.to_owned(), "dns-01", ChallengeState::Valid, false, Some(OWNER)));
    assert_eq!(challenges, expected);
    for (url, path) in [(&order.finalize_url, "/finalize/"), (&order.certificate_url, "/cert")] {
        assert!(url.as_ref().is_some_and(|url| url.contains(path)), "{path}: {url:?}");
    }
    let mut authorizations: Vec<_> = order
        .authorizations
        .iter()
        .map(|it| (it.wildcard, it.identifier.as_str(), it.initial_state.as_str()))
        .collect();
    authorizations.sort_unstable();
    let apex = "app.site.example.com";
    assert_eq!(authorizations, [(false, apex, "pending"), (true, apex, "pending")]);
    for (authorization, challenge) in order.authorizations.iter().zip(&order.challenges) {
        let chosen = authorization.offered.iter().find(|offer| offer.url == challenge.url);
        assert_eq!(chosen.map(|offer| offer.kind.as_str()), Some("dns-01"), "{authorization:?}");
    }
    let text = description.to_string();
    assert!(text.contains("Offered:     dns-01 https://"), "{text}");
    let reasons: BTreeSet<_> = description.events.iter().map(|event| event.kind.reason()).collect();
    for reason in ["CreateOrder", "DomainVerified", "IssueCert", "CertObtained", "CertIssued"] {
        assert!(reasons.contains(reason), "{reason} is not among {reasons:?}");
    }
    assert_eq!(description.conditions.ready.status, Status::True);
    for (series, count) in [
        ("certmanager_dns01_challenge_duration_seconds_count{", 2.0),
        ("certmanager_acme_order_processing_seconds_count{", 1.0),
        ("perennial_challenges_total{", 2.0),
        ("certmanager_certificate_ready_status{condition=\"True\"", 1.0),
        ("perennial_issuance_total{issuer=\"default\",outcome=\"issued\",reason=\"DoesNotExist\"}", 1.0),
        ("perennial_store_available ", 1.0),
    ] {
        assert_eq!(value(&metrics, series), count, "{series}");
    }
    // What each request was for is known, and a nonce is no order.
    let text = metrics.text();
    for (action, method) in
        [("newNonce", "HEAD"), ("newOrder", "POST"), ("finalize", "POST"), ("challenge", "POST")]
    {
        let labels = format!("action=\"{action}\",method=\"{method}\",status=\"20");
        assert!(text.contains(&labels), "{labels} is not in\n{text}");
    }
}

#[tokio::test]
async fn an_operator_sees_which_proof_the_ca_refused_and_why() {
    // The CA looks elsewhere and does not see the records.
    let world = crate::scene::world().await;
    let elsewhere = World::builder().zone("example.com").build().await.unwrap();
    world.ca().validate_through(&[elsewhere.servers()[0].address()]);
    let (keeper, store, metrics) = observed(&world).await;
    assert!(matches!(keeper.step(spec().id()).await.unwrap(), Outcome::Failed { .. }));
    let description = described(&*store, Material::Missing).await;
    let order = description.order.as_ref().unwrap();
    assert_eq!(order.state, OrderState::Invalid);
    let refused: Vec<_> = order.challenges.iter().filter(|it| it.state == ChallengeState::Invalid).collect();
    assert!(!refused.is_empty(), "{description}");
    for challenge in refused {
        assert!(challenge.reason.as_ref().is_some_and(|reason| reason.contains("NXDOMAIN")));
        assert!(!challenge.presented, "it was removed again");
    }
    assert_eq!(description.conditions.issuing.reason, ConditionReason::Failed);
    let failed = "perennial_issuance_total{issuer=\"default\",outcome=\"failed\",reason=\"validation\"}";
    assert_eq!(value(&metrics, failed), 1.0);
    assert!(value(&metrics, "perennial_challenges_total{") >= 1.0);
}

/// Signatures carry the time (RFC 8945 §4.2): the provider lives in the same year as the server.
fn signed_now(world: &World, clock: &Arc<ManualClock>) -> Arc<Rfc2136> {
    let secret = SecretString::new(world.tsig().secret_base64.as_str());
    let key = TsigKey::new(world.tsig().name.as_str(), Algorithm::HmacSha256, &secret).unwrap();
    let server = world.primary().to_string().parse().unwrap();
    Arc::new(Rfc2136::builder(server).key(key).clock(clock.clone()).build())
}
