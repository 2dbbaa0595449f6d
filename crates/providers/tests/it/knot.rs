//! Against a real Knot: another implementation, other words for the same refusals.

use std::sync::Arc;

use perennial_core::DomainName;
use perennial_providers::{
    Change, DnsProvider, Zone, engine, laws,
    rfc2136::{Algorithm, Rfc2136, Rfc2136Builder, Transport},
};
use perennial_testkit::{
    ManualClock,
    real::{self, Knot, Tool, ZoneFile},
};

use crate::{signed, texts};

const NAME: &str = "_acme-challenge.www.example.test";

fn name() -> DomainName {
    NAME.parse().unwrap()
}

async fn knot() -> Option<Knot> {
    real::require(&[Tool::Knotd])?;
    let zone = ZoneFile::new("example.test")
        .name_server("ns1.example.test", [127, 0, 0, 1])
        .record("_acme-challenge.www 300 TXT foreign")
        .record("_acme-challenge.alias CNAME x.elsewhere.test.");
    let knot = Knot::builder().zone(zone).zone("sub.example.test").signed_updates_only().start().await;
    Some(knot.unwrap_or_else(|error| panic!("{error}")))
}

fn builder(knot: &Knot) -> Rfc2136Builder {
    let tsig = knot.tsig();
    signed(knot.socket_addr(), &tsig.name, tsig.algorithm.parse().unwrap(), &tsig.secret_base64)
}

#[tokio::test]
async fn every_law_is_kept_over_udp_and_tcp() {
    let Some(knot) = knot().await else { return };
    for transport in [Transport::Udp, Transport::Tcp] {
        let provider = builder(&knot).transport(transport).build();
        let report = laws::check(&provider, &name()).await;
        assert!(report.is_kept(), "{transport}\n{report}\n{}", knot.log());
        assert_eq!(texts(knot.socket_addr(), NAME).await, [("foreign".into(), 300)]);
    }
}

#[tokio::test]
async fn siblings_keep_their_time_to_live_and_zones_below_zones_are_found() {
    let Some(knot) = knot().await else { return };
    let provider = builder(&knot).build();
    let below: DomainName = "_acme-challenge.sub.example.test".parse().unwrap();
    let changes = [Change::add(name(), "one"), Change::add(name(), "two"), Change::add(below.clone(), "v")];
    let applied = engine::apply(&provider, &changes).await.unwrap();
    assert_eq!(applied.receipts[2].zone.to_string(), "sub.example.test");
    let expected = ["foreign", "one", "two"].map(|value| (value.to_owned(), 300));
    assert_eq!(texts(knot.socket_addr(), NAME).await, expected);
    assert_eq!(texts(knot.socket_addr(), below.as_str()).await, [("v".into(), 60)]);
}

#[tokio::test]
async fn each_refusal_is_explained() {
    let Some(knot) = knot().await else { return };
    let secret = knot.tsig().secret_base64.clone();
    let (server, sha256) = (knot.socket_addr(), Algorithm::HmacSha256);
    let clock = Arc::new(ManualClock::new("2020-01-01T00:00:00Z".parse().unwrap()));
    for (provider, zone, name, part) in [
        (
            signed(server, "acme-key", sha256, "c2VjcmV0").build(),
            "example.test",
            NAME,
            "(BADSIG): the secret is not the one it has",
        ),
        (
            signed(server, "other-key", sha256, &secret).build(),
            "example.test",
            NAME,
            "(BADKEY): it has no key of that name",
        ),
        (
            signed(server, "acme-key", Algorithm::HmacSha512, &secret).build(),
            "example.test",
            NAME,
            "the key acme-key. hmac-sha512 (BADKEY)",
        ),
        (Rfc2136::builder(server.into()).build(), "example.test", NAME, "or a key by `key-name`"),
        (builder(&knot).clock(clock).build(), "example.test", NAME, "it is 2020-01-01T00:00:00Z here and 20"),
        (builder(&knot).build(), "other.test", "a.other.test", "is not authoritative for it (NOTAUTH, in an"),
        (
            builder(&knot).build(),
            "example.test",
            "_acme-challenge.alias.example.test",
            "is an alias of x.elsewhere.test.",
        ),
    ] {
        let zone = Zone::new(zone.parse().unwrap());
        let change = Change::add(name.parse().unwrap(), "v");
        let text = provider.apply(&zone, &[change]).await.unwrap_err().to_string();
        assert!(text.contains(part), "{text}\n{}", knot.log());
        assert!(!text.contains(&secret), "{text}");
    }
}

#[tokio::test]
async fn two_processes_with_twenty_values_each_lose_none() {
    let Some(knot) = knot().await else { return };
    let providers = [(); 2].map(|()| builder(&knot).timeout(std::time::Duration::from_secs(30)).build());
    let mut writers = tokio::task::JoinSet::new();
    for (owner, provider) in providers.into_iter().enumerate() {
        for number in 0..20 {
            let provider = provider.clone();
            writers.spawn(async move {
                let zone = Zone::new("example.test".parse().unwrap());
                provider.apply(&zone, &[Change::add(name(), format!("{owner}-{number}"))]).await
            });
        }
    }
    while let Some(written) = writers.join_next().await {
        written.unwrap().unwrap();
    }
    let values = texts(knot.socket_addr(), NAME).await;
    assert_eq!(values.len(), 41);
    assert!(values.iter().all(|(_, ttl)| *ttl == 300), "{values:?}");
}
