//! Route 53 as others have built it: the wire format, against moto.

use std::{sync::Arc, time::Duration};

use perennial_core::{Clock as _, DomainName, SystemClock};
use perennial_providers::{
    Change, DnsProvider, Error, Outcome,
    credentials::aws::Access,
    engine,
    route53::{KIND, Route53},
};
use perennial_testkit::{
    SkippingClock,
    real::{self, Moto, MotoRecordSet, Tool},
};
use tokio::sync::OnceCell;

/// Python takes a second to start: one for all, and a zone for each.
static MOTO: OnceCell<Moto> = OnceCell::const_new();

struct Scene {
    moto: &'static Moto,
    zone_id: String,
    name: DomainName,
    clock: Arc<SkippingClock>,
}

impl Scene {
    async fn new(zone: &str) -> Option<Self> {
        real::require(&[Tool::Moto])?;
        let moto =
            MOTO.get_or_init(|| async { Moto::start().await.unwrap_or_else(|error| panic!("{error}")) });
        let moto = moto.await;
        let zone_id = moto.make_zone(zone).await.unwrap();
        let name = format!("_acme-challenge.www.{zone}").parse().unwrap();
        let clock = Arc::new(SkippingClock::new(SystemClock::new().now()));
        Some(Self { moto, zone_id, name, clock })
    }

    fn provider(&self) -> Route53 {
        let access = Access::builder(KIND).fixed("AKIDFORTESTS".into(), "any".into(), None);
        let builder = Route53::builder(access).base_url(self.moto.base_url()).clock(self.clock.clone());
        builder.upsert(true).build().unwrap()
    }

    async fn sets(&self) -> Vec<MotoRecordSet> {
        self.moto.record_sets(&self.zone_id).await.unwrap()
    }

    fn add(&self, value: impl Into<String>) -> [Change; 1] {
        [Change::add(self.name.clone(), value)]
    }
}

#[tokio::test]
async fn a_value_comes_and_goes_beside_its_sibling() {
    let Some(scene) = Scene::new("sibling.test").await else { return };
    scene.moto.create(&scene.zone_id, scene.name.as_str(), 300, &["somebody else's"]).await.unwrap();
    let provider = scene.provider();
    let zone = provider.zone(&scene.name).await.unwrap();
    assert_eq!(zone.id.as_deref(), Some(scene.zone_id.as_str()));
    let long = "v".repeat(300);
    let applied = provider.apply(&zone, &scene.add(&long)).await.unwrap();
    assert_eq!(applied.outcomes, [Outcome::Made]);
    let again = provider.apply(&zone, &scene.add(&long)).await.unwrap();
    assert_eq!(again.outcomes, [Outcome::AlreadyDone]);
    let (first, rest) = long.split_at(255);
    let [set] = &scene.sets().await[..] else { panic!("{:?}", scene.sets().await) };
    assert_eq!(set.values, ["\"somebody else's\"".to_owned(), format!("\"{first}\" \"{rest}\"")]);
    assert_eq!(set.ttl, 300);
    let records = provider.records(&zone, &scene.name).await.unwrap();
    assert!(records.iter().all(|record| record.ttl == Some(Duration::from_secs(300))), "{records:?}");
    provider.apply(&zone, &[applied.receipts[0].removal()]).await.unwrap();
    assert_eq!(provider.values(&zone, &scene.name).await.unwrap(), ["somebody else's"]);
}

#[tokio::test]
async fn a_change_is_in_sync_and_an_unknown_zone_is_told() {
    let Some(scene) = Scene::new("insync.test").await else { return };
    let provider = scene.provider();
    let applied = engine::apply(&provider, &scene.add("v")).await.unwrap();
    assert_eq!(applied.pending.len(), 1);
    let deadline = scene.clock.now() + Duration::from_secs(60);
    engine::wait_in_sync(&provider, &applied.pending, &*scene.clock, deadline).await.unwrap();
    let error = provider.zone(&"www.nowhere.test".parse().unwrap()).await.unwrap_err();
    assert!(matches!(error, Error::ZoneNotFound { .. }), "{error}");
    let gone = perennial_providers::Zone::new("insync.test".parse().unwrap()).with_id("Z0GONE");
    let error = provider.apply(&gone, &scene.add("w")).await.unwrap_err();
    assert!(matches!(error, Error::ZoneNotFound { .. }), "{error}");
}

#[tokio::test]
async fn two_clients_with_ten_writers_each_converge() {
    let Some(scene) = Scene::new("writers.test").await else { return };
    let clients: Vec<Arc<dyn DnsProvider>> = (0..2).map(|_| Arc::new(scene.provider()) as _).collect();
    let values: Vec<_> = (0..20).map(|writer| format!("writer-{writer:02}")).collect();
    let writes = values.iter().enumerate().map(|(writer, value)| {
        let (client, change) = (clients[writer % 2].clone(), scene.add(value));
        async move { engine::apply(&*client, &change).await.unwrap() }
    });
    futures_util::future::join_all(writes).await;
    let [set] = &scene.sets().await[..] else { panic!("{:?}", scene.sets().await) };
    let mut served = set.values.clone();
    served.sort();
    let quoted: Vec<_> = values.iter().map(|value| format!("\"{value}\"")).collect();
    assert_eq!(served, quoted);
}

#[tokio::test]
async fn among_three_hundred_record_sets_each_is_found() {
    let Some(scene) = Scene::new("many.test").await else { return };
    let provider = scene.provider();
    let name =
        |number: usize| format!("_acme-challenge.host{number:03}.many.test").parse::<DomainName>().unwrap();
    // As somebody else has made them: a look at each costs a request.
    for number in 0..300 {
        scene.moto.create(&scene.zone_id, name(number).as_str(), 60, &["there"]).await.unwrap();
    }
    assert_eq!(scene.sets().await.len(), 300);
    let zone = provider.zone(&name(0)).await.unwrap();
    for number in [0, 150, 299] {
        assert_eq!(provider.values(&zone, &name(number)).await.unwrap(), ["there"]);
    }
    provider.apply(&zone, &[Change::remove(name(150), "there")]).await.unwrap();
    assert!(provider.values(&zone, &name(150)).await.unwrap().is_empty());
    let left = scene.sets().await;
    assert_eq!(left.len(), 299);
    assert!(left.iter().all(|set| set.name != name(150).as_str()));
}
