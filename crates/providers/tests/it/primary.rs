//! Against the testkit's primary, which takes updates signed with TSIG.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use perennial_core::{Clock, DomainName, Retry, SystemClock, Timestamp};
use perennial_providers::{
    Change, DnsProvider, Error, Options, Registry, Zone, engine, laws,
    rfc2136::{self, Algorithm, Rfc2136, Rfc2136Builder, Transport},
};
use perennial_testkit::{
    ManualClock,
    dns::{
        self, AuthoritativeServer, Behaviour, Data, Endpoint, Operation, TsigAlgorithm, TsigKey, UpdatePolicy,
    },
};

use crate::{signed, texts};

struct Scene {
    zone: dns::Zone,
    server: AuthoritativeServer,
    key: TsigKey,
}

const NAME: &str = "_acme-challenge.www.example.com";

fn name() -> DomainName {
    NAME.parse().unwrap()
}

async fn scene() -> Scene {
    Scene::new(TsigAlgorithm::HmacSha256, Arc::new(SystemClock::new())).await
}

impl Scene {
    async fn new(algorithm: TsigAlgorithm, clock: Arc<dyn Clock>) -> Self {
        let zone = dns::Zone::new("example.com").unwrap();
        zone.add_name_server("ns1.example.com", &["127.0.0.1".parse().unwrap()]).unwrap();
        zone.delegate("child.example.com", "ns.elsewhere.net", &[]).unwrap();
        let key = TsigKey::generate("acme-key", algorithm).unwrap();
        let server = AuthoritativeServer::builder()
            .zone(&zone)
            .updates(UpdatePolicy::everything(&key))
            .clock(clock)
            .start(Endpoint::bind("127.0.0.1:0").await.unwrap());
        Self { zone, server, key }
    }

    fn builder(&self) -> Rfc2136Builder {
        signed(self.server.address(), "acme-key", Algorithm::HmacSha256, &self.key.secret_base64)
    }

    fn provider(&self) -> Rfc2136 {
        self.builder().build()
    }

    /// Adds a value with this provider, which must fail without a word of the secret.
    async fn failure(&self, provider: Rfc2136) -> Error {
        let zone = Zone::new("example.com".parse().unwrap());
        let error = provider.apply(&zone, &[Change::add(name(), "v")]).await.unwrap_err();
        for text in [format!("{error}"), format!("{error:?}"), format!("{provider:?}")] {
            assert!(!text.contains(&self.key.secret_base64), "{text}");
        }
        assert!(self.zone.txt_values(NAME).is_empty());
        error
    }

    fn updates(&self) -> usize {
        let queries = self.server.queries();
        queries.iter().filter(|query| query.operation == Operation::Update).count()
    }
}

#[tokio::test]
async fn every_law_is_kept_over_udp_and_tcp() {
    let scene = scene().await;
    scene.zone.add_with_ttl(NAME, 300, Data::txt("foreign")).unwrap();
    for transport in [Transport::Udp, Transport::Tcp] {
        let provider = scene.builder().transport(transport).build();
        let report = laws::check(&provider, &name()).await;
        assert!(report.is_kept(), "{transport}\n{report}");
        assert_eq!(scene.zone.txt_values(NAME), ["foreign"]);
    }
}

#[tokio::test]
async fn every_algorithm_is_understood() {
    for (theirs, ours) in [
        (TsigAlgorithm::HmacSha256, Algorithm::HmacSha256),
        (TsigAlgorithm::HmacSha384, Algorithm::HmacSha384),
        (TsigAlgorithm::HmacSha512, Algorithm::HmacSha512),
    ] {
        let scene = Scene::new(theirs, Arc::new(SystemClock::new())).await;
        let provider = signed(scene.server.address(), "ACME-key.", ours, &scene.key.secret_base64).build();
        engine::apply(&provider, &[Change::add(name(), "v")]).await.unwrap();
        assert_eq!(scene.zone.txt_values(NAME), ["v"]);
    }
}

#[tokio::test]
async fn a_wildcard_and_its_base_name_are_one_message() {
    let scene = scene().await;
    let provider = scene.builder().zone("example.com".parse().unwrap()).build();
    let changes = [Change::add(name(), "base"), Change::add(name(), "wildcard")];
    engine::apply(&provider, &changes).await.unwrap();
    assert_eq!(scene.zone.txt_values(NAME), ["base", "wildcard"]);
    assert_eq!(scene.server.queries().len(), 1);
}

#[tokio::test]
async fn siblings_keep_their_time_to_live_and_lend_it() {
    let scene = scene().await;
    scene.zone.add_with_ttl(NAME, 300, Data::txt("foreign")).unwrap();
    let provider = scene.provider();
    let other: DomainName = "other.example.com".parse().unwrap();
    let changes =
        [Change::add(name(), "ours"), Change::add(other.clone(), "v").with_ttl(Duration::from_secs(7))];
    engine::apply(&provider, &changes).await.unwrap();
    let server = scene.server.address();
    assert_eq!(texts(server, NAME).await, [("foreign".into(), 300), ("ours".into(), 300)]);
    assert_eq!(texts(server, other.as_str()).await, [("v".into(), 7)]);
    engine::apply(&provider, &[Change::remove(name(), "ours")]).await.unwrap();
    assert_eq!(texts(server, NAME).await, [("foreign".into(), 300)]);
}

#[tokio::test]
async fn an_add_at_an_alias_is_an_error_and_not_lost_in_silence() {
    let scene = scene().await;
    let target = Data::Cname("x.acme.example.net".parse().unwrap());
    scene.zone.add(NAME, target).unwrap();
    let error = scene.failure(scene.provider()).await;
    assert_eq!(
        error.to_string(),
        "rfc2136: _acme-challenge.www.example.com is an alias of x.acme.example.net., where nothing can be \
         added; add the value there"
    );
}

#[tokio::test]
async fn the_zone_is_found_by_asking_the_server() {
    let scene = scene().await;
    let provider = scene.provider();
    for text in ["example.com", NAME, "a.b.c.d.example.com"] {
        assert_eq!(provider.zone(&text.parse().unwrap()).await.unwrap().to_string(), "example.com");
    }
    let alias = Data::Cname("x.example.net".parse().unwrap());
    scene.zone.add("alias.example.com", alias).unwrap();
    assert_eq!(
        provider.zone(&"alias.example.com".parse().unwrap()).await.unwrap().to_string(),
        "example.com"
    );
    assert!(scene.server.queries().iter().all(|query| !query.recursion_desired));
}

#[tokio::test]
async fn a_name_without_a_zone_here_is_an_error_with_what_was_tried() {
    let scene = scene().await;
    let error = scene.provider().zone(&"a.example.net".parse().unwrap()).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("is authoritative for none of its ancestors"), "{text}");
    assert!(text.contains("(tried a.example.net, example.net, net)"), "{text}");
    let error = scene.provider().zone(&"x.child.example.com".parse().unwrap()).await.unwrap_err();
    assert!(error.to_string().contains("has delegated child.example.com to other servers"), "{error}");
    let provider = scene.builder().zone("example.com".parse().unwrap()).build();
    let error = provider.zone(&"badexample.com".parse().unwrap()).await.unwrap_err();
    assert!(matches!(error, Error::ZoneNotFound { .. }), "{error}");
}

#[tokio::test]
async fn a_wrong_secret_an_unknown_key_and_a_wrong_algorithm_are_told_apart() {
    let scene = scene().await;
    let (server, secret) = (scene.server.address(), scene.key.secret_base64.as_str());
    let wrong = signed(server, "acme-key", Algorithm::HmacSha256, "c2VjcmV0").build();
    let error = scene.failure(wrong).await;
    assert!(matches!(error, Error::Auth { .. }) && error.retry() == Retry::Never);
    let text = error.to_string();
    assert!(text.contains("does not accept the key acme-key. hmac-sha256 (BADSIG)"), "{text}");
    let unknown = signed(server, "other-key", Algorithm::HmacSha256, secret).build();
    let text = scene.failure(unknown).await.to_string();
    assert!(text.contains("the key other-key. hmac-sha256 (BADKEY)"), "{text}");
    let other = signed(server, "acme-key", Algorithm::HmacSha512, secret).build();
    let text = scene.failure(other).await.to_string();
    assert!(text.contains("the key acme-key. hmac-sha512 (BADKEY)"), "{text}");
}

#[tokio::test]
async fn clocks_that_differ_are_both_shown() {
    let scene = scene().await;
    let clock = Arc::new(ManualClock::new("2020-01-01T00:00:00Z".parse().unwrap()));
    let error = scene.failure(scene.builder().clock(clock).build()).await;
    let Error::ClockSkew { here, there, .. } = &error else { panic!("{error}") };
    assert_eq!(here.to_string(), "2020-01-01T00:00:00Z");
    assert!(*there > Timestamp::from_unix(1_700_000_000), "{error}");
    assert_eq!(error.retry(), Retry::Backoff);
}

/// A primary that lets its key change the names of challenges and no others.
async fn challenges_only() -> (dns::Zone, AuthoritativeServer, Rfc2136) {
    let zone = dns::Zone::new("example.com").unwrap();
    let key = TsigKey::generate("acme-key", TsigAlgorithm::HmacSha256).unwrap();
    let server = AuthoritativeServer::builder()
        .zone(&zone)
        .updates(UpdatePolicy::challenges_only(&key))
        .start(Endpoint::bind("127.0.0.1:0").await.unwrap());
    let provider = signed(server.address(), "acme-key", Algorithm::HmacSha256, &key.secret_base64).build();
    (zone, server, provider)
}

#[tokio::test]
async fn a_wrong_zone_and_a_forbidden_name_are_told_apart() {
    let (_zone, _server, provider) = challenges_only().await;
    let apply = async |apex: &str, name: &str| {
        let zone = Zone::new(apex.parse().unwrap());
        provider.apply(&zone, &[Change::add(name.parse().unwrap(), "v")]).await.unwrap_err()
    };
    let error = apply("www.example.com", "x.example.com").await;
    assert!(matches!(error, Error::InvalidRequest { .. }), "{error}");
    let error = apply("www.example.com", "a.www.example.com").await;
    assert!(matches!(error, Error::ZoneNotFound { .. }), "{error}");
    assert!(error.to_string().contains("is not authoritative for it (NOTAUTH)"), "{error}");
    let error = apply("example.com", "www.example.com").await;
    assert!(matches!(error, Error::Permission { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("does not let the key acme-key. hmac-sha256 change TXT at www.example.com"),
        "{text}"
    );
    assert!(text.contains("grant acme-key. name www.example.com. TXT;"), "{text}");
}

#[tokio::test]
async fn those_who_come_at_once_are_one_message_and_a_forbidden_name_fails_alone() {
    let (zone, _server, provider) = challenges_only().await;
    let apex = Zone::new("example.com".parse().unwrap());
    let write = async |names: &[String]| {
        let before = zone.serial();
        let changes: Vec<_> = names.iter().map(|name| [Change::add(name.parse().unwrap(), "v")]).collect();
        let all = join_all(changes.iter().map(|changes| provider.apply(&apex, changes))).await;
        (all, zone.serial() - before)
    };
    let challenges = |at: &str| -> Vec<_> {
        (0..20).map(|number| format!("_acme-challenge.{at}{number}.example.com")).collect()
    };
    let (all, messages) = write(&challenges("good")).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(messages, 1);
    // The server refuses a message as a whole, for whichever name.
    let mut names = challenges("more");
    names[7] = "www.example.com".to_owned();
    let (all, messages) = write(&names).await;
    let refused: Vec<_> =
        all.iter().enumerate().filter_map(|(place, it)| Some((place, it.as_ref().err()?))).collect();
    assert!(matches!(refused[..], [(7, Error::Permission { .. })]), "{refused:?}");
    assert!(messages <= 6, "{messages}");
    for (place, name) in names.iter().enumerate() {
        let values = provider.values(&apex, &name.parse().unwrap()).await.unwrap();
        assert_eq!(values.len(), usize::from(place != 7), "{name}");
    }
}

#[tokio::test]
async fn without_a_key_a_server_that_wants_one_says_so() {
    let scene = scene().await;
    let error = scene.failure(Rfc2136::builder(scene.server.address().into()).build()).await;
    assert!(matches!(error, Error::Permission { .. }), "{error}");
    assert!(error.to_string().ends_with("without a key (REFUSED); give `key-name` and `secret`"), "{error}");
}

#[tokio::test]
async fn a_server_in_trouble_or_out_of_reach_is_worth_another_try() {
    let scene = scene().await;
    scene.server.set_behaviour(Behaviour::ServerFailure);
    let error = scene.failure(scene.provider()).await;
    assert!(matches!(error, Error::Unavailable { .. }) && error.retry() == Retry::Backoff, "{error}");
    let soon = Duration::from_millis(300);
    scene.server.set_behaviour(Behaviour::Dead);
    for transport in [Transport::Udp, Transport::Tcp] {
        let error = scene.failure(scene.builder().transport(transport).timeout(soon).build()).await;
        assert!(matches!(error, Error::Network { .. }) && error.retry() == Retry::Backoff, "{error}");
    }
    scene.server.set_behaviour(Behaviour::Garbage);
    let error = scene.failure(scene.builder().timeout(soon).build()).await;
    assert!(matches!(error, Error::Network { .. }), "{error}");
    // An address of its own: nobody takes the port there while we believe it free.
    let nobody = Endpoint::bind("127.0.0.77:0").await.unwrap().address();
    for transport in [Transport::Udp, Transport::Tcp] {
        let provider = Rfc2136::builder(nobody.into()).transport(transport).build();
        let text = scene.failure(provider).await.to_string();
        assert!(text.contains(&format!("{nobody} cannot be reached: connection refused")), "{text}");
    }
}

#[tokio::test]
async fn what_does_not_fit_into_a_datagram_goes_over_tcp() {
    let scene = scene().await;
    let provider = scene.provider();
    scene.server.set_behaviour(Behaviour::Truncate);
    engine::apply(&provider, &[Change::add(name(), "v")]).await.unwrap();
    let zone = provider.zone(&name()).await.unwrap();
    assert_eq!(provider.values(&zone, &name()).await.unwrap(), ["v"]);
    scene.server.set_behaviour(Behaviour::Honest);
    scene.server.clear_queries();
    let long: Vec<_> =
        (0..40).map(|n| Change::add(name(), format!("value-{n}-{}", "x".repeat(300)))).collect();
    provider.apply(&zone, &long).await.unwrap();
    assert_eq!(scene.zone.txt_values(NAME).len(), 41);
    let queries = scene.server.queries();
    let mut updates = queries.iter().filter(|query| query.operation == Operation::Update);
    assert!(updates.all(|query| query.transport == dns::Transport::Tcp), "{queries:?}");
}

#[tokio::test]
async fn where_no_udp_passes_tcp_is_tried() {
    let scene = scene().await;
    scene.server.set_behaviour(Behaviour::TcpOnly);
    let provider = scene.builder().zone("example.com".parse().unwrap()).build();
    engine::apply(&provider, &[Change::add(name(), "v")]).await.unwrap();
    assert_eq!(scene.zone.txt_values(NAME), ["v"]);
}

#[tokio::test]
async fn the_server_may_be_a_host_name() {
    let scene = scene().await;
    let port = scene.server.address().port();
    let options: Options = [
        ("server".to_owned(), format!("localhost:{port}")),
        ("key-name".to_owned(), "acme-key".to_owned()),
        ("secret".to_owned(), scene.key.secret_base64.clone()),
    ]
    .into_iter()
    .collect();
    let provider = Registry::standard().create("rfc2136", &options).unwrap();
    engine::apply(&*provider, &[Change::add(name(), "v")]).await.unwrap();
    assert_eq!(scene.zone.txt_values(NAME), ["v"]);
    assert_eq!(scene.updates(), 1);
}

#[tokio::test]
async fn a_key_file_that_is_replaced_is_read_again_without_a_restart() {
    let scene = scene().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "acme-key:hmac-sha256:b2xk").unwrap();
    let builder = Rfc2136::builder(scene.server.address().into()).zone("example.com".parse().unwrap());
    let provider = builder.key_file(file.path()).unwrap().build();
    let error = scene.failure(provider.clone()).await;
    assert!(error.to_string().contains("(BADSIG)"), "{error}");
    std::fs::write(file.path(), format!("acme-key:hmac-sha256:{}", scene.key.secret_base64)).unwrap();
    engine::apply(&provider, &[Change::add(name(), "v")]).await.unwrap();
    assert_eq!(scene.zone.txt_values(NAME), ["v"]);
}

#[tokio::test]
async fn the_key_that_was_accepted_is_not_looked_for_again() {
    let scene = scene().await;
    let unknown = TsigKey::generate("coming-key", TsigAlgorithm::HmacSha256).unwrap();
    let builder = signed(scene.server.address(), "coming-key", Algorithm::HmacSha256, &unknown.secret_base64);
    let key =
        rfc2136::TsigKey::new("acme-key", Algorithm::HmacSha256, &scene.key.secret_base64.as_str().into());
    let provider = builder.key(key.unwrap()).zone("example.com".parse().unwrap()).build();
    for value in ["a", "b", "c"] {
        engine::apply(&provider, &[Change::add(name(), value)]).await.unwrap();
    }
    assert_eq!(scene.zone.txt_values(NAME), ["a", "b", "c"]);
    // One was refused; then one for the first value, and for each other one that is refused since values are
    // there already, and one that adds beside them.
    assert_eq!(scene.updates(), 1 + 1 + 2 + 2);
}

#[tokio::test]
async fn of_two_refusals_the_one_of_the_key_that_is_known_is_told() {
    let zone = dns::Zone::new("example.com").unwrap();
    let key = TsigKey::generate("acme-key", TsigAlgorithm::HmacSha256).unwrap();
    let server = AuthoritativeServer::builder()
        .zone(&zone)
        .updates(UpdatePolicy::challenges_only(&key))
        .start(Endpoint::bind("127.0.0.1:0").await.unwrap());
    let ours = |name: &str| {
        let secret = key.secret_base64.as_str().into();
        rfc2136::TsigKey::new(name, Algorithm::HmacSha256, &secret).unwrap()
    };
    for names in [["coming-key", "acme-key"], ["acme-key", "coming-key"]] {
        let builder = Rfc2136::builder(server.address().into()).zone("example.com".parse().unwrap());
        let provider = names.into_iter().fold(builder, |builder, name| builder.key(ours(name))).build();
        let change = [Change::add("www.example.com".parse().unwrap(), "v")];
        let error = engine::apply(&provider, &change).await.unwrap_err();
        assert!(matches!(error, Error::Permission { .. }), "{names:?}: {error}");
    }
}

#[tokio::test]
async fn only_a_refused_key_is_a_reason_to_try_the_next_one() {
    let scene = scene().await;
    let coming = rfc2136::TsigKey::new("coming-key", Algorithm::HmacSha256, &"c2VjcmV0".into()).unwrap();
    scene.server.set_behaviour(Behaviour::ServerFailure);
    let error = scene.failure(scene.builder().key(coming).build()).await;
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    assert_eq!(scene.server.queries().len(), 1);
}
