//! INWX over its fake.

use std::sync::Arc;

use perennial_core::Clock;
use perennial_providers::{
    Change, DnsProvider, Error, Outcome,
    inwx::{Inwx, InwxBuilder},
};
use perennial_testkit::vendor::{self, VendorServer};

use crate::law::{Case, Means, NAME, ZONE};

const USER: &str = "user";
const PASSWORD: &str = "c0ffeepassw0rd";

fn make(means: Means) -> Arc<dyn DnsProvider> {
    let builder = Inwx::builder(USER, PASSWORD).base_url(means.base_url).clock(means.clock).http(means.http);
    Arc::new(builder.build().unwrap())
}

#[tokio::test]
async fn every_law_is_kept() {
    let fake = VendorServer::start(vendor::Inwx::new(USER, PASSWORD), &[ZONE]).await.unwrap();
    Case::new(&fake, &make).secret(PASSWORD).keeps().await;
}

/// "Hello!\xde\xad\xbe\xef" in base32.
const SHARED_SECRET: &str = "JBSW Y3DP EHPK 3PXP";

fn with_factor(means: Means, secret: Option<&str>) -> Inwx {
    let builder = Inwx::builder(USER, PASSWORD).base_url(means.base_url).clock(means.clock).http(means.http);
    secret.into_iter().fold(builder, InwxBuilder::shared_secret).build().unwrap()
}

fn service() -> vendor::Inwx {
    vendor::Inwx::new(USER, PASSWORD)
}

fn methods(fake: &VendorServer) -> Vec<String> {
    let body = |it: &vendor::Exchange| serde_json::from_slice::<serde_json::Value>(&it.body).unwrap();
    fake.exchanges().iter().map(|it| body(it)["method"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn adding_needs_no_look_first() {
    let fake = VendorServer::start(service(), &[ZONE]).await.unwrap();
    let provider = make(Means::of(&fake));
    let zone = provider.zone(&ZONE.parse().unwrap()).await.unwrap();
    let add = |value: &str| Change::add(NAME.parse().unwrap(), value);
    provider.apply(&zone, &[add("a")]).await.unwrap();
    let again = provider.apply(&zone, &[add("a"), add("b")]).await.unwrap();
    assert_eq!(again.outcomes, [Outcome::AlreadyDone, Outcome::Made]);
    let create = "nameserver.createRecord";
    assert_eq!(methods(&fake), ["account.login", "nameserver.info", create, create, create]);
    assert_eq!(fake.store().values(NAME), ["a", "b"]);
}

#[tokio::test]
async fn a_session_that_ended_is_opened_again() {
    let service = service();
    let fake = VendorServer::start(service.clone(), &[ZONE]).await.unwrap();
    let provider = make(Means::of(&fake));
    let zone = provider.zone(&ZONE.parse().unwrap()).await.unwrap();
    service.end_sessions();
    fake.clear_exchanges();
    provider.apply(&zone, &[Change::add(NAME.parse().unwrap(), "v")]).await.unwrap();
    let create = "nameserver.createRecord";
    assert_eq!(methods(&fake), [create, "account.login", create]);
    assert_eq!(fake.store().values(NAME), ["v"]);
}

#[tokio::test]
async fn a_number_of_the_second_factor_is_used_once() {
    let service = service().second_factor(b"Hello!\xde\xad\xbe\xef");
    let fake = VendorServer::start(service.clone(), &[ZONE]).await.unwrap();
    let means = Means::of(&fake);
    let (clock, name) = (means.clock.clone(), NAME.parse().unwrap());
    let provider = with_factor(means, Some(SHARED_SECRET));
    let zone = provider.zone(&name).await.unwrap();
    assert!(clock.naps().iter().all(|nap| nap.as_secs() < 2), "{:?}", clock.naps());
    // Another session needs another number, which there is in the next half minute.
    service.end_sessions();
    let before = clock.now().unix();
    provider.apply(&zone, &[Change::add(name.clone(), "v")]).await.unwrap();
    assert_eq!(clock.now().unix() / 30, before / 30 + 1);
    assert_eq!(fake.store().values(NAME), ["v"]);
}

#[tokio::test]
async fn where_another_process_used_the_number_the_next_one_is_waited_for() {
    let service = service().second_factor(b"Hello!\xde\xad\xbe\xef");
    let fake = VendorServer::start(service, &[ZONE]).await.unwrap();
    let name = NAME.parse().unwrap();
    for _ in 0..2 {
        with_factor(Means::of(&fake), Some(SHARED_SECRET)).zone(&name).await.unwrap();
    }
    let unlocks = methods(&fake).iter().filter(|method| *method == "account.unlock").count();
    assert_eq!(unlocks, 3);
}

#[tokio::test]
async fn what_is_wrong_with_the_second_factor_is_told_with_the_remedy() {
    let service = service().second_factor(b"Hello!\xde\xad\xbe\xef");
    let fake = VendorServer::start(service, &[ZONE]).await.unwrap();
    for (secret, part) in [(None, "give its secret as `shared-secret`"), (Some("0189"), "not base32")] {
        let provider = with_factor(Means::of(&fake), secret);
        let error = provider.zone(&NAME.parse().unwrap()).await.unwrap_err();
        assert!(matches!(error, Error::Auth { .. }), "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
    let provider = with_factor(Means::of(&fake), Some("AAAAAAAAAAAAAAAA"));
    let error = provider.zone(&NAME.parse().unwrap()).await.unwrap_err();
    assert!(matches!(error, Error::Auth { .. }), "{error}");
    assert!(!format!("{error:?}").contains("AAAAAAAAAAAAAAAA"), "{error:?}");
}

#[tokio::test]
async fn every_law_is_kept_with_a_second_factor() {
    let service = service().second_factor(b"Hello!\xde\xad\xbe\xef");
    let fake = VendorServer::start(service, &[ZONE]).await.unwrap();
    // A session is enough for all clients: one a half minute is what there is.
    let shared = with_factor(Means::of(&fake), Some(SHARED_SECRET));
    let report = perennial_providers::laws::check(&shared, &NAME.parse().unwrap()).await;
    assert!(report.is_kept(), "{report}");
}
