//! Name servers, asked by hand.

use std::{net::IpAddr, sync::Arc, time::Duration};

use crate::dns_client::{CHALLENGE, ask, question, signer, tcp, texts, udp, udp_within, update};
use hickory_proto::{
    op::{Edns, Message, ResponseCode},
    rr::{Name, RData, RecordType, rdata::tsig},
};
use perennial_core::{Clock, Timestamp};
use perennial_testkit::{
    ManualClock,
    dns::{
        AuthoritativeServer, Behaviour, Data, Endpoint, Freshness, Operation, RecursiveServer, Transport,
        TsigAlgorithm, TsigKey, UpdatePolicy, Zone,
    },
};

async fn texts_at(server: &AuthoritativeServer) -> Vec<String> {
    texts(&ask(server.address(), CHALLENGE, RecordType::TXT).await)
}

async fn endpoint() -> Endpoint {
    Endpoint::bind("127.0.0.1:0").await.unwrap()
}

fn zone() -> Zone {
    let zone = Zone::new("example.com").unwrap();
    zone.add_name_server("ns1.example.com", &[IpAddr::from([127, 0, 0, 1])]).unwrap();
    zone
}

#[tokio::test]
async fn a_change_is_seen_over_both_transports_and_the_queries_are_remembered() {
    let zone = zone();
    let server = AuthoritativeServer::builder().zone(&zone).start(endpoint().await);
    let before = ask(server.address(), CHALLENGE, RecordType::TXT).await;
    assert_eq!(before.metadata.response_code, ResponseCode::NXDomain);
    assert_eq!(before.authorities[0].record_type(), RecordType::SOA);
    zone.add(CHALLENGE, Data::txt("value")).unwrap();
    let mut request = question(CHALLENGE, RecordType::TXT);
    request.metadata.recursion_desired = true;
    request.set_edns(Edns::new());
    let bytes = tcp(server.address(), &request.to_vec().unwrap()).await.unwrap();
    let answer = Message::from_vec(&bytes).unwrap();
    assert!(answer.metadata.authoritative && !answer.metadata.recursion_available);
    assert!(answer.edns.is_some() && answer.metadata.recursion_desired);
    assert_eq!(texts(&answer), ["value"]);
    let queries = server.queries();
    assert_eq!(queries.len(), 2);
    assert_eq!((queries[0].name.as_str(), queries[0].kind.as_str()), (CHALLENGE, "TXT"));
    assert_eq!((queries[0].transport, queries[1].transport), (Transport::Udp, Transport::Tcp));
    assert!(queries[1].recursion_desired && queries[1].edns && !queries[0].edns);
    assert_eq!(queries[0].operation, Operation::Query);
}

#[tokio::test]
async fn the_case_of_the_question_comes_back() {
    let server = AuthoritativeServer::builder().zone(&zone()).start(endpoint().await);
    let answer = ask(server.address(), "eXaMpLe.CoM", RecordType::SOA).await;
    assert!(answer.queries[0].name().eq_case(&Name::from_ascii("eXaMpLe.CoM.").unwrap()));
    assert_eq!(server.queries()[0].name, "example.com");
}

#[tokio::test]
async fn an_answer_too_large_for_a_datagram_is_cut_and_whole_over_tcp() {
    let zone = zone();
    for index in 0..12 {
        zone.add(CHALLENGE, Data::txt(format!("{index:043}"))).unwrap();
    }
    let server = AuthoritativeServer::builder().zone(&zone).start(endpoint().await);
    let cut = ask(server.address(), CHALLENGE, RecordType::TXT).await;
    assert!(cut.metadata.truncation && cut.answers.is_empty());
    let mut request = question(CHALLENGE, RecordType::TXT);
    let whole = tcp(server.address(), &request.to_vec().unwrap()).await.unwrap();
    assert_eq!(Message::from_vec(&whole).unwrap().answers.len(), 12);
    let mut edns = Edns::new();
    edns.set_max_payload(1232);
    request.set_edns(edns);
    let fits = udp(server.address(), &request.to_vec().unwrap()).await.unwrap();
    assert_eq!(Message::from_vec(&fits).unwrap().answers.len(), 12);
}

#[tokio::test]
async fn a_lagging_server_shows_a_change_when_its_time_has_come() {
    let clock = ManualClock::new(Timestamp::from_unix(1_800_000_000));
    let zone = Zone::with_clock("example.com", Arc::new(clock.clone())).unwrap();
    let primary = AuthoritativeServer::builder().zone(&zone).start(endpoint().await);
    let lag = Freshness::Behind(Duration::from_secs(3));
    let secondary = AuthoritativeServer::builder().zone(&zone).freshness(lag).start(endpoint().await);
    zone.add(CHALLENGE, Data::txt("value")).unwrap();
    assert_eq!(texts_at(&primary).await, ["value"]);
    clock.advance(Duration::from_secs(2));
    assert!(texts_at(&secondary).await.is_empty());
    clock.advance(Duration::from_secs(1));
    assert_eq!(texts_at(&secondary).await, ["value"]);
}

#[tokio::test]
async fn a_frozen_server_shows_the_past_until_it_is_released() {
    let zone = zone();
    let server = AuthoritativeServer::builder().zone(&zone).start(endpoint().await);
    zone.add(CHALLENGE, Data::txt("old")).unwrap();
    server.set_freshness(Freshness::Frozen);
    zone.add(CHALLENGE, Data::txt("new")).unwrap();
    assert_eq!(texts_at(&server).await, ["old"]);
    server.set_freshness(Freshness::Current);
    assert_eq!(texts_at(&server).await, ["old", "new"]);
}

#[tokio::test]
async fn every_behaviour_is_what_it_says() {
    let zone = zone();
    zone.add(CHALLENGE, Data::txt("value")).unwrap();
    let server = AuthoritativeServer::builder().zone(&zone).start(endpoint().await);
    let mut request = question(CHALLENGE, RecordType::TXT);
    request.set_edns(Edns::new());
    let bytes = request.to_vec().unwrap();
    let told = |reply: Option<Vec<u8>>| match reply.map(|reply| Message::from_vec(&reply)) {
        None => "silence".to_owned(),
        Some(Err(_)) => "garbage".to_owned(),
        Some(Ok(message)) => {
            let flag = |set: bool, name: &str| if set { name.to_uppercase() } else { name.to_owned() };
            let (head, texts) = (message.metadata, texts(&message).len());
            let flags = [
                flag(head.authoritative, "aa"),
                flag(head.truncation, "tc"),
                flag(head.recursion_available, "ra"),
            ];
            format!("{:?} {} {texts}", head.response_code, flags.join(" "))
        }
    };
    let honest = "NoError AA tc ra 1";
    for (behaviour, over_udp, over_tcp) in [
        (Behaviour::Honest, honest, honest),
        (Behaviour::Dead, "silence", "silence"),
        (Behaviour::Garbage, "garbage", "garbage"),
        (Behaviour::Intercepted, "NoError aa tc RA 1", "NoError aa tc RA 1"),
        (Behaviour::Lame, "NoError aa tc ra 0", "NoError aa tc ra 0"),
        (Behaviour::NoEdns, "FormErr aa tc ra 0", "FormErr aa tc ra 0"),
        (Behaviour::Refuse, "Refused aa tc ra 0", "Refused aa tc ra 0"),
        (Behaviour::ServerFailure, "ServFail aa tc ra 0", "ServFail aa tc ra 0"),
        (Behaviour::Slow(Duration::from_millis(1)), honest, honest),
        (Behaviour::TcpOnly, "silence", honest),
        (Behaviour::Truncate, "NoError AA TC ra 0", honest),
        (Behaviour::UdpOnly, honest, "silence"),
    ] {
        server.set_behaviour(behaviour);
        // Silence is the one thing that cannot be awaited.
        let patience = Duration::from_millis(if over_udp == "silence" { 150 } else { 20_000 });
        let answer = udp_within(server.address(), &bytes, patience).await;
        assert_eq!(told(answer), over_udp, "{behaviour:?} over UDP");
        assert_eq!(told(tcp(server.address(), &bytes).await), over_tcp, "{behaviour:?} over TCP");
    }
}

#[tokio::test]
async fn a_server_that_tidies_names_up_says_the_question_in_lower_case() {
    let zone = zone();
    zone.add("www.example.com", Data::txt("here")).unwrap();
    let server = AuthoritativeServer::builder().zone(&zone).start(endpoint().await);
    for (behaviour, echoed) in
        [(Behaviour::Honest, "wWw.eXample.COM."), (Behaviour::LowerCase, "www.example.com.")]
    {
        server.set_behaviour(behaviour);
        let answer = ask(server.address(), "wWw.eXample.COM", RecordType::TXT).await;
        assert_eq!(answer.queries[0].name().to_ascii(), echoed);
        assert_eq!(texts(&answer), ["here"]);
    }
}

#[tokio::test]
async fn a_dropped_server_frees_its_port() {
    let server = AuthoritativeServer::builder().zone(&zone()).start(endpoint().await);
    let address = server.address().to_string();
    assert!(Endpoint::bind(&address).await.is_err());
    drop(server);
    // The tasks end when the runtime comes to them.
    tokio::time::timeout(Duration::from_secs(10), async {
        while Endpoint::bind(&address).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}

/// A primary that takes updates, its key, and the time on its clock.
async fn primary(algorithm: TsigAlgorithm) -> (AuthoritativeServer, Zone, TsigKey, u64) {
    let (zone, key) = (zone(), TsigKey::generate("acme-key", algorithm).unwrap());
    let clock = ManualClock::new(Timestamp::from_unix(1_800_000_000));
    let now = u64::try_from(clock.now().unix()).unwrap();
    let server = AuthoritativeServer::builder()
        .zone(&zone)
        .updates(UpdatePolicy::challenges_only(&key))
        .clock(Arc::new(clock))
        .start(endpoint().await);
    (server, zone, key, now)
}

#[tokio::test]
async fn a_signed_update_changes_the_zone_and_the_response_is_signed() {
    for algorithm in [TsigAlgorithm::HmacSha256, TsigAlgorithm::HmacSha384, TsigAlgorithm::HmacSha512] {
        let (server, zone, key, now) = primary(algorithm).await;
        let serial = zone.serial();
        for (text, over_tcp) in [("over UDP", false), ("over TCP", true)] {
            let mut message = update("example.com.", "_acme-challenge.example.com.", text);
            let mut verifier = message.finalize(&signer(&key), now).unwrap().unwrap();
            let bytes = message.to_vec().unwrap();
            let server = server.address();
            let reply = if over_tcp { tcp(server, &bytes).await } else { udp(server, &bytes).await };
            let response = verifier.verify(&reply.unwrap()).unwrap();
            assert_eq!(response.metadata.response_code, ResponseCode::NoError);
        }
        assert_eq!(zone.txt_values(CHALLENGE), ["over UDP", "over TCP"]);
        assert_eq!(zone.serial(), serial + 2);
        assert_eq!(server.queries()[0].operation, Operation::Update);
        assert_eq!(server.queries()[0].name, "example.com");
    }
}

#[tokio::test]
async fn an_update_that_is_not_authentic_says_why_and_changes_nothing() {
    let (server, zone, key, now) = primary(TsigAlgorithm::HmacSha256).await;
    let stranger = TsigKey::generate("stranger", TsigAlgorithm::HmacSha256).unwrap();
    let thief = TsigKey::generate("acme-key", TsigAlgorithm::HmacSha256).unwrap();
    let other_algorithm = TsigKey::generate("acme-key", TsigAlgorithm::HmacSha512).unwrap();
    for (key, time, error, mac) in [
        (&stranger, now, tsig::TsigError::BadKey, false),
        (&other_algorithm, now, tsig::TsigError::BadKey, false),
        (&thief, now, tsig::TsigError::BadSig, false),
        (&key, now - 301, tsig::TsigError::BadTime, true),
        (&key, now + 301, tsig::TsigError::BadTime, true),
    ] {
        let mut message = update("example.com.", "_acme-challenge.example.com.", "x");
        message.finalize(&signer(key), time).unwrap();
        let reply = udp(server.address(), &message.to_vec().unwrap()).await.unwrap();
        let response = Message::from_vec(&reply).unwrap();
        assert_eq!(response.metadata.response_code, ResponseCode::NotAuth);
        let signature = &response.signature.unwrap().data;
        assert_eq!((signature.error, !signature.mac.is_empty()), (Some(error), mac));
        if mac {
            assert_eq!(signature.time, time);
            assert_eq!(signature.other, now.to_be_bytes()[2..]);
        }
    }
    assert!(zone.txt_values(CHALLENGE).is_empty());
}

#[tokio::test]
async fn an_update_outside_the_policy_the_zone_or_without_a_signature_is_refused() {
    let (server, zone, key, now) = primary(TsigAlgorithm::HmacSha256).await;
    for (zone, owner, code) in [
        ("example.com.", "www.example.com.", ResponseCode::Refused),
        ("example.com.", "_acme-challenge.example.org.", ResponseCode::NotZone),
        ("example.org.", "_acme-challenge.example.org.", ResponseCode::NotAuth),
    ] {
        let mut message = update(zone, owner, "x");
        let mut verifier = message.finalize(&signer(&key), now).unwrap().unwrap();
        let reply = udp(server.address(), &message.to_vec().unwrap()).await.unwrap();
        assert_eq!(verifier.verify(&reply).unwrap().metadata.response_code, code, "{zone} {owner}");
    }
    let unsigned = update("example.com.", "_acme-challenge.example.com.", "x").to_vec().unwrap();
    let reply = udp(server.address(), &unsigned).await.unwrap();
    assert_eq!(Message::from_vec(&reply).unwrap().metadata.response_code, ResponseCode::Refused);
    assert!(zone.txt_values(CHALLENGE).is_empty());
}

#[tokio::test]
async fn a_resolver_descends_from_the_root_and_follows_aliases() {
    let addresses: Vec<IpAddr> = (2..=3).map(|last| IpAddr::from([127, 0, 0, last])).collect();
    let mut endpoints = Endpoint::bind_set(&addresses).await.unwrap();
    let (root, com, zone) = (Zone::new(".").unwrap(), Zone::new("com").unwrap(), zone());
    root.delegate("com", "a.tld.com", &addresses[..1]).unwrap();
    com.delegate("example.com", "ns1.example.com", &addresses[1..]).unwrap();
    zone.add(CHALLENGE, Data::Cname("proof.example.com".parse().unwrap())).unwrap();
    zone.add("proof.example.com", Data::txt("value")).unwrap();
    let child = AuthoritativeServer::builder().zone(&zone).start(endpoints.pop().unwrap());
    let parent = AuthoritativeServer::builder().zone(&root).zone(&com).start(endpoints.pop().unwrap());
    let resolver = RecursiveServer::builder().hint(".", &[parent.address()]).unwrap().start(endpoint().await);
    let answer = ask(resolver.address(), CHALLENGE, RecordType::TXT).await;
    assert!(answer.metadata.recursion_available && !answer.metadata.authoritative);
    assert_eq!((texts(&answer), answer.answers.len()), (vec!["value".to_owned()], 2));
    assert!(!child.queries()[0].recursion_desired);
    let missing = ask(resolver.address(), "nowhere.example.com", RecordType::TXT).await;
    assert_eq!(missing.metadata.response_code, ResponseCode::NXDomain);
    assert_eq!(missing.authorities[0].name.to_ascii(), "example.com.");
    child.set_behaviour(Behaviour::ServerFailure);
    let failed = ask(resolver.address(), CHALLENGE, RecordType::TXT).await;
    assert_eq!(failed.metadata.response_code, ResponseCode::ServFail);
}

#[tokio::test]
async fn a_resolver_that_was_asked_too_early_says_no_for_a_while() {
    let zone = zone();
    let server = AuthoritativeServer::builder().zone(&zone).start(endpoint().await);
    let resolver = |remember: bool| {
        let builder = RecursiveServer::builder().hint("example.com", &[server.address()]).unwrap();
        if remember { builder.remember_absence() } else { builder }
    };
    let (caching, fresh) = (resolver(true).start(endpoint().await), resolver(false).start(endpoint().await));
    for resolver in [&caching, &fresh] {
        let answer = ask(resolver.address(), CHALLENGE, RecordType::TXT).await;
        assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
    }
    zone.add(CHALLENGE, Data::txt("value")).unwrap();
    assert_eq!(texts(&ask(fresh.address(), CHALLENGE, RecordType::TXT).await), ["value"]);
    // RFC 2308 §5: what does not exist has no type either.
    for kind in [RecordType::TXT, RecordType::CNAME] {
        let poisoned = ask(caching.address(), CHALLENGE, kind).await;
        assert_eq!(poisoned.metadata.response_code, ResponseCode::NXDomain);
        assert_eq!(poisoned.authorities[0].record_type(), RecordType::SOA);
    }
}

#[tokio::test]
async fn a_lying_resolver_is_honest_about_the_parents() {
    let zone = zone();
    zone.add("_acme-challenge.app.example.com", Data::txt("value")).unwrap();
    let server = AuthoritativeServer::builder().zone(&zone).start(endpoint().await);
    let lie = Zone::new("app.example.com").unwrap();
    lie.add_name_server("ns.dns.app.example.com", &[IpAddr::from([127, 0, 0, 1])]).unwrap();
    let resolver = RecursiveServer::builder()
        .hint("example.com", &[server.address()])
        .unwrap()
        .lie(&lie)
        .start(endpoint().await);
    let lied = ask(resolver.address(), "_acme-challenge.app.example.com", RecordType::TXT).await;
    assert_eq!(lied.metadata.response_code, ResponseCode::NXDomain);
    assert_eq!(lied.authorities[0].name.to_ascii(), "app.example.com.");
    let soa = ask(resolver.address(), "app.example.com", RecordType::SOA).await;
    assert!(soa.metadata.authoritative);
    assert!(
        matches!(&soa.answers[0].data, RData::SOA(soa) if soa.mname.to_ascii() == "ns.dns.app.example.com.")
    );
    let honest = ask(resolver.address(), "example.com", RecordType::NS).await;
    assert!(matches!(&honest.answers[0].data, RData::NS(ns) if ns.to_ascii() == "ns1.example.com."));
    assert!(!honest.metadata.authoritative);
}
