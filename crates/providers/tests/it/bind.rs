//! Against a real BIND 9.

use std::{sync::Arc, time::Duration};

use perennial_core::{DomainName, SecretString};
use perennial_providers::{
    Change, DnsProvider, Error, Registry, Zone, engine, laws,
    rfc2136::{Algorithm, Rfc2136, Rfc2136Builder, Transport, TsigKey},
};
use perennial_testkit::{
    ManualClock,
    real::{self, Bind, Tool, ZoneFile},
};

use crate::{signed, texts};

const NAME: &str = "_acme-challenge.www.example.test";

fn name() -> DomainName {
    NAME.parse().unwrap()
}

async fn bind() -> Option<Bind> {
    real::require(&[Tool::Named])?;
    let zone = ZoneFile::new("example.test")
        .name_server("ns1.example.test", [127, 0, 0, 1])
        .record("_acme-challenge.www 300 TXT foreign")
        .record("_acme-challenge.alias CNAME x.elsewhere.test.")
        .delegation("child.example.test", "ns1.child.example.test", [127, 0, 0, 1]);
    let bind = Bind::builder().zone(zone).zone("sub.example.test").start().await;
    Some(bind.unwrap_or_else(|error| panic!("{error}")))
}

fn builder(bind: &Bind) -> Rfc2136Builder {
    let tsig = bind.tsig();
    signed(bind.socket_addr(), &tsig.name, tsig.algorithm.parse().unwrap(), &tsig.secret_base64)
}

async fn failure(provider: Rfc2136, zone: &str, name: &str) -> String {
    let zone = Zone::new(zone.parse().unwrap());
    let change = Change::add(name.parse().unwrap(), "v");
    provider.apply(&zone, &[change]).await.unwrap_err().to_string()
}

#[tokio::test]
async fn every_law_is_kept_over_udp_and_tcp() {
    let Some(bind) = bind().await else { return };
    for transport in [Transport::Udp, Transport::Tcp] {
        let provider = builder(&bind).transport(transport).build();
        let report = laws::check(&provider, &name()).await;
        assert!(report.is_kept(), "{transport}\n{report}\n{}", bind.log());
        assert_eq!(texts(bind.socket_addr(), NAME).await, [("foreign".into(), 300)]);
    }
}

#[tokio::test]
async fn siblings_keep_their_time_to_live() {
    let Some(bind) = bind().await else { return };
    let provider = builder(&bind).build();
    engine::apply(&provider, &[Change::add(name(), "one"), Change::add(name(), "two")]).await.unwrap();
    let expected = ["foreign", "one", "two"].map(|value| (value.to_owned(), 300));
    assert_eq!(texts(bind.socket_addr(), NAME).await, expected);
}

#[tokio::test]
async fn zones_below_zones_are_found_and_delegated_names_are_not_taken() {
    let Some(bind) = bind().await else { return };
    let provider = builder(&bind).build();
    let zone = async |name: &str| provider.zone(&name.parse().unwrap()).await;
    assert_eq!(zone(NAME).await.unwrap().to_string(), "example.test");
    assert_eq!(zone("a.sub.example.test").await.unwrap().to_string(), "sub.example.test");
    assert_eq!(zone("_acme-challenge.alias.example.test").await.unwrap().to_string(), "example.test");
    for (name, part) in [
        ("a.child.example.test", "has delegated child.example.test to other servers"),
        ("a.elsewhere.test", "authoritative for none of its ancestors"),
    ] {
        let text = zone(name).await.unwrap_err().to_string();
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test]
async fn an_add_at_an_alias_is_an_error_and_not_lost_in_silence() {
    let Some(bind) = bind().await else { return };
    let text = failure(builder(&bind).build(), "example.test", "_acme-challenge.alias.example.test").await;
    assert!(text.contains("is an alias of x.elsewhere.test."), "{text}");
}

#[tokio::test]
async fn each_refusal_is_explained() {
    let Some(bind) = bind().await else { return };
    let secret = bind.tsig().secret_base64.clone();
    let (server, sha256) = (bind.socket_addr(), Algorithm::HmacSha256);
    let wrong_secret = signed(server, "acme-key", sha256, "c2VjcmV0").build();
    let unknown_key = signed(server, "other-key", sha256, &secret).build();
    let wrong_algorithm = signed(server, "acme-key", Algorithm::HmacSha512, &secret).build();
    let unsigned = Rfc2136::builder(server.into()).build();
    let clock = Arc::new(ManualClock::new("2020-01-01T00:00:00Z".parse().unwrap()));
    let early = builder(&bind).clock(clock).build();
    for (provider, zone, part) in [
        (wrong_secret, "example.test", "(BADSIG): the secret is not the one it has"),
        (unknown_key, "example.test", "(BADKEY): it has no key of that name"),
        (wrong_algorithm, "example.test", "the key acme-key. hmac-sha512 (BADKEY)"),
        (unsigned, "example.test", "without a key (REFUSED)"),
        (early, "example.test", "it is 2020-01-01T00:00:00Z here and 20"),
        (builder(&bind).build(), "www.example.test", "is not authoritative for it (NOTAUTH)"),
    ] {
        let text = failure(provider, zone, NAME).await;
        assert!(text.contains(part), "{text}\n{}", bind.log());
        assert!(!text.contains(&secret), "{text}");
    }
}

#[tokio::test]
async fn two_processes_with_twenty_values_each_lose_none() {
    let Some(bind) = bind().await else { return };
    let providers = [(); 2].map(|()| builder(&bind).timeout(Duration::from_secs(30)).build());
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
    let values = texts(bind.socket_addr(), NAME).await;
    assert_eq!(values.len(), 41);
    assert!(values.iter().all(|(_, ttl)| *ttl == 300), "{values:?}");
}

#[tokio::test]
async fn a_stopped_server_is_out_of_reach_and_a_restarted_client_cleans_up() {
    let Some(bind) = bind().await else { return };
    let provider = builder(&bind).timeout(Duration::from_millis(300)).build();
    let patient = builder(&bind).build();
    let applied = engine::apply(&patient, &[Change::add(name(), "v")]).await.unwrap();
    let stored = serde_json::to_string(&applied.receipts).unwrap();
    bind.pause().await.unwrap();
    let removal = [Change::remove(name(), "v")];
    let zone = Zone::new("example.test".parse().unwrap());
    let error = provider.apply(&zone, &removal).await.unwrap_err();
    assert!(matches!(error, Error::Network { .. }), "{error}");
    bind.resume().await.unwrap();
    let receipts: Vec<perennial_providers::Receipt> = serde_json::from_str(&stored).unwrap();
    for receipt in receipts {
        patient.apply(&receipt.zone, &[receipt.removal()]).await.unwrap();
    }
    assert_eq!(texts(bind.socket_addr(), NAME).await, [("foreign".into(), 300)]);
}

#[tokio::test]
async fn fifty_names_with_two_values_each_are_one_message() {
    let Some(bind) = bind().await else { return };
    let provider = builder(&bind).zone("example.test".parse().unwrap()).build();
    let serial = bind.serial("example.test").await.unwrap();
    let challenges: Vec<String> = (0..50).map(|n| format!("_acme-challenge.n{n}.example.test")).collect();
    // As long as real ones are: RFC 8555 §8.4.
    let changes: Vec<Change> = challenges
        .iter()
        .flat_map(|name| ["base", "wildcard"].map(|value| (name, format!("{value:-<43}"))))
        .map(|(name, value)| Change::add(name.parse().unwrap(), value))
        .collect();
    let applied = engine::apply(&provider, &changes).await.unwrap();
    assert_eq!(applied.receipts.len(), 100);
    for name in &challenges {
        assert_eq!(texts(bind.socket_addr(), name).await.len(), 2, "{name}");
    }
    // A server counts the serial number up once for each message (RFC 2136 §3.7).
    let requests = bind.serial("example.test").await.unwrap() - serial;
    println!("providers/requests_rfc2136_50 = {requests}");
    assert_eq!(requests, 1);
    let removals: Vec<Change> = applied.receipts.iter().map(perennial_providers::Receipt::removal).collect();
    engine::apply(&provider, &removals).await.unwrap();
    assert_eq!(
        bind.challenge_records("example.test").await.unwrap().len(),
        1,
        "only the foreign one is left"
    );
}

#[tokio::test]
async fn a_server_on_ipv6_is_updated() {
    if real::require(&[Tool::Named]).is_none() {
        return;
    }
    let started = Bind::builder().zone("example.test").address(std::net::Ipv6Addr::LOCALHOST).start().await;
    let bind = started.unwrap_or_else(|error| panic!("{error}"));
    for transport in [Transport::Udp, Transport::Tcp] {
        let provider = builder(&bind).transport(transport).build();
        let report = laws::check(&provider, &name()).await;
        assert!(report.is_kept(), "{transport}\n{report}\n{}", bind.log());
    }
}

#[tokio::test]
async fn the_servers_own_key_file_is_enough() {
    let Some(bind) = bind().await else { return };
    let options = [
        ("server".to_owned(), bind.socket_addr().to_string()),
        ("key-file".to_owned(), bind.key_file().to_str().unwrap().to_owned()),
    ];
    let provider = Registry::standard().create("rfc2136", &options.into_iter().collect()).unwrap();
    engine::apply(&*provider, &[Change::add(name(), "v")]).await.unwrap();
    assert_eq!(texts(bind.socket_addr(), NAME).await.len(), 2);
}

#[tokio::test]
async fn weak_algorithms_work_where_they_were_chosen() {
    if real::require(&[Tool::Named]).is_none() {
        return;
    }
    let algorithms = [
        ("hmac-sha1", Algorithm::HmacSha1),
        #[cfg(feature = "hmac-md5")]
        ("hmac-md5", Algorithm::HmacMd5),
    ];
    for (text, algorithm) in algorithms {
        let started = Bind::builder().zone("example.test").key_algorithm(text).start().await;
        let bind = started.unwrap_or_else(|error| panic!("{error}"));
        let provider = signed(bind.socket_addr(), "acme-key", algorithm, &bind.tsig().secret_base64).build();
        engine::apply(&provider, &[Change::add(name(), "v")]).await.unwrap();
        assert_eq!(texts(bind.socket_addr(), NAME).await, [("v".into(), 60)], "{text}");
        let wrong = signed(bind.socket_addr(), "acme-key", algorithm, "c2VjcmV0").build();
        let text = failure(wrong, "example.test", NAME).await;
        assert!(text.contains("(BADSIG)"), "{text}");
    }
}

#[tokio::test]
async fn an_old_and_a_new_key_work_while_they_are_changed() {
    let Some(bind) = bind().await else { return };
    let coming = TsigKey::new("coming-key", Algorithm::HmacSha256, &"c2VjcmV0".into()).unwrap();
    let tsig = bind.tsig();
    let known = TsigKey::new(&tsig.name, Algorithm::HmacSha256, &tsig.secret_base64.as_str().into()).unwrap();
    let both = Rfc2136::builder(bind.socket_addr().into()).key(coming.clone()).key(known).build();
    engine::apply(&both, &[Change::add(name(), "v")]).await.unwrap();
    assert_eq!(texts(bind.socket_addr(), NAME).await.len(), 2);
    let too_early = Rfc2136::builder(bind.socket_addr().into()).key(coming).build();
    let text = failure(too_early, "example.test", NAME).await;
    assert!(text.contains("(BADKEY)"), "{text}");
}

/// Keeps the types that a secret passes through from growing a way to print it.
#[test]
fn a_key_shows_its_name_only() {
    let secret: SecretString = "c2VjcmV0".into();
    let key = TsigKey::new("acme-key", Algorithm::HmacSha256, &secret).unwrap();
    assert_eq!(format!("{key:?} {key}"), "TsigKey(acme-key. hmac-sha256) acme-key. hmac-sha256");
}
