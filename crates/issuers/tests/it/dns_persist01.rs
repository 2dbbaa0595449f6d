//! A record that stays, before a CA of somebody else's that speaks the draft.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use perennial_acme::challenge::dns_persist01::{Draft, Record};
use perennial_core::{ReqwestClient, SystemClock};
use perennial_issuers::{
    AcmeIssuer, AcmeIssuerBuilder, DnsPersist01, Error,
    solver::{Selector, WantedRecord},
};
use perennial_lifecycle::{
    CertificateSpec, IssueError, IssueErrorClass, IssuedChain, Issuer as _, Journal, KeyAlgorithm,
    MemoryStore, PrivateKey, SigningRequest, Store,
};
use perennial_testkit::{
    World,
    dns::Data,
    real::{self, Pebble, Tool},
};

use crate::scene::{checker, counted, direct, dns01};

pub(crate) const NAME: &str = "app.site.example.com";
pub(crate) const AT: &str = "_validation-persist.app.site.example.com";
pub(crate) const WILDCARD: [&str; 2] = ["*.app.site.example.com", NAME];

pub(crate) async fn scene() -> Option<(World, Pebble)> {
    real::require(&[Tool::Pebble])?;
    let world = World::builder().zone("example.com").build().await.unwrap();
    let pebble = Pebble::builder().dns_server(world.resolver()).start().await.unwrap();
    Some((world, pebble))
}

pub(crate) fn builder(pebble: &Pebble) -> AcmeIssuerBuilder {
    let http = ReqwestClient::builder().root_certificates_pem(pebble.ca_pem()).build().unwrap();
    AcmeIssuer::builder(pebble.directory_url()).http(Arc::new(http)).agree_to_terms()
}

pub(crate) fn solver(world: &World) -> DnsPersist01 {
    DnsPersist01::new(Draft::V01).checker(checker(world)).timeout(Duration::from_secs(20))
}

/// One issuance after the other by one account.
pub(crate) async fn issue(
    store: &Arc<dyn Store>,
    issuer: &AcmeIssuer,
    id: &str,
    names: &[&str],
) -> Result<IssuedChain, IssueError> {
    let spec = CertificateSpec::new(id, names.iter().copied()).unwrap();
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let request = SigningRequest::of(&spec, &key).unwrap();
    let journal = Journal::begin(store.clone(), spec, Arc::new(SystemClock::new())).await.unwrap();
    let issued = issuer.issue(&request, &journal).await;
    assert!(journal.debts().await.is_empty(), "a record that stays is no debt");
    issued
}

#[tokio::test]
async fn the_record_is_set_once_and_serves_every_issuance_after_that() {
    let Some((world, pebble)) = scene().await else { return };
    let batches = Arc::new(Mutex::new(Vec::new()));
    let solver = solver(&world).provider(Arc::new(counted(direct(&world), &batches)));
    let issuer = builder(&pebble).solver(solver).build().unwrap();
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    world.zone().add(AT, Data::txt("foreign")).unwrap();
    issue(&store, &issuer, "one", &WILDCARD).await.unwrap();
    let there = world.zone().txt_values(AT);
    assert_eq!((there.len(), there[0].as_str()), (2, "foreign"), "{there:?}");
    assert!(Record::parse(&there[1]).unwrap().is_wildcard(), "{there:?}");
    issue(&store, &issuer, "two", &WILDCARD).await.unwrap();
    issue(&store, &issuer, "three", &[NAME]).await.unwrap();
    assert_eq!(world.zone().txt_values(AT), there);
    assert_eq!(*batches.lock().unwrap(), [1]);
}

#[tokio::test]
async fn without_a_provider_it_is_told_what_to_set_and_what_was_set_serves() {
    let Some((world, pebble)) = scene().await else { return };
    let issuer = builder(&pebble).solver(solver(&world)).build().unwrap();
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    world.zone().add(AT, Data::txt("ca.elsewhere; accounturi=https://ca.elsewhere/1")).unwrap();
    let error = issue(&store, &issuer, "one", &[NAME]).await.unwrap_err();
    assert_eq!((error.class, error.retry().is_worthwhile()), (IssueErrorClass::Validation, true));
    assert!(error.message.contains(AT), "{error}");
    let (_, value) = error.message.split_once(" TXT \"").unwrap();
    let (value, _) = value.split_once('"').unwrap();
    assert_eq!(world.zone().txt_values(AT).len(), 1);

    // Somebody sets it in another form.
    let record = Record::parse(value).unwrap();
    let end = perennial_core::Timestamp::from_unix(4_000_000_000);
    let text = record.wildcard().persist_until(end).to_string();
    assert_ne!(text, value);
    world.zone().add(AT, Data::txt(text)).unwrap();
    issue(&store, &issuer, "two", &WILDCARD).await.unwrap();
    assert_eq!(world.zone().txt_values(AT).len(), 2);
}

#[tokio::test]
async fn all_records_that_are_lacking_are_told_at_once() {
    let Some((world, pebble)) = scene().await else { return };
    // Two solvers, each for names of its own.
    let selector = Selector::new().name("two.site.example.com".parse().unwrap());
    let issuer =
        builder(&pebble).solver(solver(&world)).solver_for(selector, solver(&world)).build().unwrap();
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let names = [WILDCARD[0], NAME, "one.site.example.com", "two.site.example.com"];
    let error = issue(&store, &issuer, "one", &names).await.unwrap_err();
    let records: Vec<_> = error.message.split(" TXT \"").skip(1).map(|rest| rest.split('"').next()).collect();
    assert_eq!(records.len(), 3, "{error}");
    for (name, record) in [NAME, "one.site.example.com", "two.site.example.com"].iter().zip(records) {
        world.zone().add(&format!("_validation-persist.{name}"), Data::txt(record.unwrap())).unwrap();
    }
    issue(&store, &issuer, "two", &names).await.unwrap();
}

#[tokio::test]
async fn where_nobody_sets_the_record_the_next_solver_proves_the_name_in_the_same_order() {
    let Some((world, pebble)) = scene().await else { return };
    let issuer = builder(&pebble).solver(solver(&world)).solver(dns01(&world)).build().unwrap();
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    issue(&store, &issuer, "one", &WILDCARD).await.unwrap();
    assert_eq!(world.zone().txt_values(AT), Vec::<String>::new());
}

#[test]
fn a_record_that_is_wanted_is_asked_for_until_somebody_has_set_it() {
    let (reason, value) = ("there is no record for this CA", "ca.example; accounturi=https://ca.example/1");
    let record = |name: &str| {
        let at = format!("_validation-persist.{name}");
        WantedRecord::new(name.parse().unwrap(), at, value, reason)
    };
    let error = Error::RecordWanted { records: vec![record(NAME)] };
    assert!(error.retry().is_worthwhile());
    let text = format!(
        "{NAME} cannot be proven yet: {reason}; set `{AT} TXT \"{value}\"`, which stays there, or give the solver a \
         provider that does"
    );
    assert_eq!(error.to_string(), text);
    // Whoever has a hundred to set is told of all of them, and why of a few.
    let names: Vec<String> = (0..100).map(|number| format!("a{number}.example")).collect();
    let text = Error::RecordWanted { records: names.iter().map(|name| record(name)).collect() }.to_string();
    assert!(text.starts_with("100 names cannot be proven yet: a0.example: there is no record"), "{text}");
    assert!(text.contains("; and 97 more names; set `"), "{text}");
    for name in names {
        assert_eq!(text.matches(&format!("`_validation-persist.{name} TXT")).count(), 1, "{text}");
    }
}
