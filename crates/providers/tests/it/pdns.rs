//! Against a real PowerDNS, with the answers read back over DNS.

use std::sync::Arc;

use perennial_core::DomainName;
use perennial_providers::{Change, DnsProvider, Error, engine, laws, powerdns::PowerDns};
use perennial_testkit::real::{self, PdnsApi, Tool};

const NAME: &str = "_acme-challenge.www.example.test";

fn name() -> DomainName {
    NAME.parse().unwrap()
}

async fn pdns() -> Option<PdnsApi> {
    real::require_whole(&[Tool::Pdns])?;
    let pdns = PdnsApi::start(&["example.test", "sub.example.test"]).await;
    Some(pdns.unwrap_or_else(|error| panic!("{error}")))
}

fn provider(pdns: &PdnsApi) -> PowerDns {
    PowerDns::builder(pdns.base_url(), pdns.key()).build().unwrap()
}

#[tokio::test]
async fn every_law_is_kept() {
    let Some(pdns) = pdns().await else { return };
    pdns.put("example.test", NAME, 300, &[("foreign", false)]).await.unwrap();
    let report = laws::check(&provider(&pdns), &name()).await;
    assert!(report.is_kept(), "{report}\n{}", pdns.log());
    assert_eq!(pdns.txt_values(NAME).await.unwrap(), ["foreign"]);
}

#[tokio::test]
async fn siblings_keep_their_time_to_live_and_stay_disabled() {
    let Some(pdns) = pdns().await else { return };
    pdns.put("example.test", NAME, 300, &[("foreign", false), ("off", true)]).await.unwrap();
    let provider = provider(&pdns);
    let changes = ["one", "two"].map(|value| Change::add(name(), value));
    engine::apply(&provider, &changes).await.unwrap();
    let mut served = pdns.txt_values(NAME).await.unwrap();
    served.sort();
    assert_eq!(served, ["foreign", "one", "two"]);
    // Asked about one name, the LMDB backend leaves out what is disabled.
    let zone = pdns.get("/api/v1/servers/localhost/zones/example.test.").await.unwrap();
    assert!(
        zone.contains(r#""ttl": 300"#) && zone.contains(r#"{"content": "\"off\"", "disabled": true}"#),
        "{zone}"
    );
    engine::apply(&provider, &changes.map(|change| Change::remove(change.name, change.value))).await.unwrap();
    assert_eq!(pdns.txt_values(NAME).await.unwrap(), ["foreign"]);
}

#[tokio::test]
async fn two_clients_with_ten_writers_each_converge() {
    let Some(pdns) = pdns().await else { return };
    let clients: Vec<Arc<dyn DnsProvider>> = (0..2).map(|_| Arc::new(provider(&pdns)) as _).collect();
    let values: Vec<_> = (0..20).map(|writer| format!("writer-{writer:02}")).collect();
    let writes = values.iter().enumerate().map(|(writer, value)| {
        let client = clients[writer % 2].clone();
        async move { engine::apply(&*client, &[Change::add(name(), value.clone())]).await.unwrap() }
    });
    futures_util::future::join_all(writes).await;
    let mut served = pdns.txt_values(NAME).await.unwrap();
    served.sort();
    assert_eq!(served, values);
}

#[tokio::test]
async fn zones_below_zones_are_found_and_refusals_are_explained() {
    let Some(pdns) = pdns().await else { return };
    let good = provider(&pdns);
    assert_eq!(
        good.zone(&"x.sub.example.test".parse().unwrap()).await.unwrap().to_string(),
        "sub.example.test"
    );
    assert!(matches!(good.zone(&"x.other.test".parse().unwrap()).await, Err(Error::ZoneNotFound { .. })));
    let bad = PowerDns::builder(pdns.base_url(), "another-k3y").build().unwrap();
    let error = bad.zone(&name()).await.unwrap_err();
    assert!(matches!(error, Error::Auth { .. }) && error.status() == Some(401), "{error}");
    let outside = perennial_providers::Zone::new("other.test".parse().unwrap());
    let error = good.apply(&outside, &[Change::add("a.other.test".parse().unwrap(), "v")]).await.unwrap_err();
    assert!(matches!(error, Error::ZoneNotFound { .. }), "{error}");
}
