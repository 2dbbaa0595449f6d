//! Every way in which the testkit's name servers can disappoint, once at one server of three and once at all.

use perennial_propagation::{Checker, NameServer, Verdict, Wanted};
use perennial_testkit::{
    World,
    dns::{Behaviour, Data},
};
use std::time::Duration;

const NAME: &str = "_acme-challenge.www.example.com";
const SLOW: Behaviour = Behaviour::Slow(Duration::from_millis(50));

use Verdict::{NotYet, Ready, ReadyWithWarnings as Warned};

/// What a check says of a zone with three servers, of which the last ones behave like this.
async fn said(behaviour: Behaviour, bad: std::ops::Range<usize>) -> (Verdict, Vec<&'static str>) {
    let builder = bad.fold(World::builder().servers(3), |world, server| world.behaviour(server, behaviour));
    let world = builder.build().await.unwrap();
    world.zone().add(NAME, Data::txt("token")).unwrap();
    let checker = Checker::builder()
        .nameservers([NameServer::at(world.resolver())])
        .authoritative_port(world.authoritative_port());
    let wanted = Wanted::new(NAME.parse().unwrap(), ["token".to_owned()]);
    let report = checker.build().unwrap().check(&wanted).await.unwrap();
    let asked = world.recursive_server().queries();
    assert!(!asked.iter().any(|query| query.name.contains("_acme-challenge")), "{behaviour:?}: {asked:?}");
    let mut codes: Vec<_> = report.advice.iter().map(|advice| advice.code()).collect();
    codes.dedup();
    (report.verdict, codes)
}

async fn assert_said(bad: std::ops::Range<usize>, table: &[(Behaviour, Verdict, &[&str])]) {
    // All at once: most of them wait for somebody who keeps silent.
    let all = table.iter().map(|(behaviour, ..)| said(*behaviour, bad.clone()));
    let found = futures_util::future::join_all(all).await;
    for ((behaviour, verdict, advice), found) in table.iter().zip(found) {
        assert_eq!(found, (*verdict, advice.to_vec()), "{behaviour:?}");
    }
}

#[tokio::test]
async fn one_server_of_three_may_be_anything_and_is_named() {
    let table: &[(Behaviour, Verdict, &[&str])] = &[
        (Behaviour::Honest, Ready, &[]),
        (Behaviour::Dead, Warned, &["unreachable"]),
        (Behaviour::Garbage, Warned, &["unreachable"]),
        (Behaviour::Intercepted, Warned, &["intercepted"]),
        (Behaviour::Lame, Warned, &["lame_server"]),
        (Behaviour::LowerCase, Ready, &[]),
        (Behaviour::NoEdns, Ready, &[]),
        (Behaviour::Refuse, Warned, &["lame_server"]),
        (Behaviour::ServerFailure, Warned, &["lame_server"]),
        (SLOW, Ready, &[]),
        (Behaviour::TcpOnly, Ready, &["tcp_only"]),
        (Behaviour::Truncate, Ready, &["tcp_only"]),
        (Behaviour::UdpOnly, Ready, &[]),
    ];
    assert_said(2..3, table).await;
}

#[tokio::test]
async fn three_servers_of_three_that_are_of_no_use_are_never_ready() {
    let table: &[(Behaviour, Verdict, &[&str])] = &[
        (Behaviour::Intercepted, NotYet, &["intercepted"]),
        (Behaviour::Lame, NotYet, &["lame_server"]),
        (Behaviour::LowerCase, Ready, &[]),
        (Behaviour::NoEdns, Ready, &[]),
        (Behaviour::Refuse, NotYet, &["lame_server"]),
        (Behaviour::ServerFailure, NotYet, &["lame_server"]),
        (SLOW, Ready, &[]),
        (Behaviour::TcpOnly, Ready, &["tcp_only"]),
        (Behaviour::UdpOnly, Ready, &[]),
    ];
    assert_said(0..3, table).await;
}
