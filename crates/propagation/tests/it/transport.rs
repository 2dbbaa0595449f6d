//! The network against name servers, those of the testkit and real ones.

use std::{
    collections::HashMap,
    fs,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use perennial_propagation::{
    Exchange,
    transport::{Endpoint as At, Network, Reply, Transport, TransportError},
    wire::{Data, Query, RecordType, ResponseCode},
};
use perennial_testkit::{
    dns::{self, AuthoritativeServer, Behaviour, Data as Record, Endpoint, Zone},
    real::{self, Bind, Knot, Tool, ZoneFile},
};
use tokio::{net::UdpSocket, runtime, time};

/// Long, so that some letter is drawn in upper case but once in 2⁴⁰.
const NAME: &str = "_acme-challenge.a-name-with-so-many-letters-that-some-are-upper-case.example.test";

fn query(name: &str) -> Query {
    Query::authoritative(name.parse().unwrap(), RecordType::Txt)
}

async fn server(behaviour: Behaviour) -> AuthoritativeServer {
    let zone = Zone::new("example.test").unwrap();
    zone.add_name_server("ns.example.test", &["127.0.0.1".parse().unwrap()]).unwrap();
    zone.add(NAME, Record::txt("token")).unwrap();
    let server = AuthoritativeServer::builder().zone(&zone).behaviour(behaviour);
    server.start(Endpoint::bind("127.0.0.1:0").await.unwrap())
}

fn assert_visible(reply: &Reply) {
    let texts = reply.answer.answers.iter().map(|record| &record.data);
    assert!(texts.eq(&[Data::Txt(b"token".to_vec())]), "{reply:?}");
}

#[tokio::test]
async fn a_server_that_changes_letters_is_believed_when_it_was_asked_in_plain_ones() {
    let server = server(Behaviour::LowerCase).await;
    let network = Network::new();
    for round in 1..=3 {
        let reply = network.exchange(&At::Udp(server.address()), &query(NAME)).await.unwrap();
        assert_visible(&reply);
        assert_eq!(reply.transport, Transport::Udp);
        assert_eq!(server.queries().len(), round + 1, "once twice, and then remembered");
    }
    assert_eq!(network.counters().other_case, 1);
}

/// How often a server was asked this over UDP.
fn datagrams(server: &AuthoritativeServer, query: &Query) -> usize {
    let same =
        |asked: &&dns::Query| asked.transport == dns::Transport::Udp && asked.name == query.name.as_str();
    server.queries().iter().filter(same).count()
}

#[tokio::test]
async fn servers_of_every_kind_are_asked_all_at_once() {
    let behaviours = [
        (Behaviour::Honest, Ok(Transport::Udp)),
        (Behaviour::LowerCase, Ok(Transport::Udp)),
        (Behaviour::NoEdns, Ok(Transport::Udp)),
        (Behaviour::TcpOnly, Ok(Transport::Tcp)),
        (Behaviour::Truncate, Ok(Transport::Tcp)),
        (Behaviour::Dead, Err(TransportError::Closed)),
    ];
    const NAMES: usize = 80;
    let (mut servers, mut questions) = (Vec::new(), Vec::new());
    for (behaviour, _) in &behaviours {
        let server = server(*behaviour).await;
        // Many names, of which all but one do not exist: each question has its own answer.
        questions.extend((0..NAMES).map(|index| match index {
            0 => (At::Udp(server.address()), query(NAME)),
            _ => (At::Udp(server.address()), query(&format!("h{index}.example.test"))),
        }));
        servers.push(server);
    }
    questions.push((At::Tcp(servers[0].address()), query(NAME)));
    let network = Network::new();
    let mut results = HashMap::new();
    network
        .exchange_all(&questions, &mut |index, result| {
            assert!(results.insert(index, result).is_none(), "landed twice");
        })
        .await;
    assert_eq!(results.len(), questions.len());
    for (place, (behaviour, expected)) in behaviours.iter().enumerate() {
        for index in place * NAMES..(place + 1) * NAMES {
            let result = &results[&index];
            let transport = result.as_ref().map(|reply| reply.transport).map_err(Clone::clone);
            // On a machine that is busy with other things a datagram counts as lost that is only late, and two
            // lead to TCP.
            let late = transport == Ok(Transport::Tcp) && datagrams(&servers[place], &questions[index].1) > 1;
            assert!(transport == *expected || late, "{behaviour:?}: {transport:?}");
            if let Ok(reply) = result {
                let there = if index % NAMES == 0 { ResponseCode::NOERROR } else { ResponseCode::NXDOMAIN };
                assert_eq!(reply.answer.code, there);
            }
        }
    }
    assert_eq!(results[&(behaviours.len() * NAMES)].as_ref().unwrap().transport, Transport::Tcp);
}

#[tokio::test]
async fn ten_thousand_questions_need_few_sockets_and_a_dropped_call_leaves_none() {
    let server = server(Behaviour::Dead).await;
    let questions: Vec<_> = (0..10_000)
        .map(|index| (At::Udp(server.address()), query(&format!("h{index}.example.test"))))
        .collect();
    let network = Network::new();
    let before = sockets();
    let landed = AtomicUsize::new(0);
    let mut count = |_, _| _ = landed.fetch_add(1, Ordering::Relaxed);
    let all = network.exchange_all(&questions, &mut count);
    assert!(time::timeout(Duration::from_millis(300), all).await.is_err());
    assert!(sockets().saturating_sub(before) <= 64, "{before} {}", sockets());
    assert_eq!(landed.load(Ordering::Relaxed), 0);
    server.set_behaviour(Behaviour::Honest);
    let reply = network.exchange(&At::Udp(server.address()), &query(NAME)).await.unwrap();
    assert_visible(&reply);
}

/// Descriptors of this process. Other tests run beside this one, so they are all that can be bounded.
fn sockets() -> usize {
    fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

#[tokio::test]
async fn a_silent_server_does_not_keep_ten_thousand_questions_waiting_one_after_the_other() {
    let silent = server(Behaviour::Dead).await;
    let questions: Vec<_> = (0..10_000)
        .map(|index| (At::Udp(silent.address()), query(&format!("h{index}.example.test"))))
        .collect();
    let mut landed = 0;
    let all = async {
        Network::new()
            .exchange_all(&questions, &mut |_, result| {
                assert!(result.is_err());
                landed += 1;
            })
            .await;
    };
    time::timeout(Duration::from_secs(60), all).await.expect("some seconds, not half an hour");
    assert_eq!(landed, 10_000);
}

#[tokio::test]
async fn a_flood_of_forgeries_from_the_servers_own_address_is_not_believed() {
    let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let address = socket.local_addr().unwrap();
    let forger = Arc::clone(&socket);
    let flood = tokio::spawn(async move {
        let mut buffer = [0; 512];
        loop {
            let (length, client) = forger.recv_from(&mut buffer).await.unwrap();
            let mut forgery = buffer[..length].to_vec();
            let id = u16::from_be_bytes([forgery[0], forgery[1]]);
            // NOERROR, AA, and no value: a wrong "it is not there".
            (forgery[2], forgery[11]) = (0x84, 0);
            for wrong in 1..2_000_u16 {
                forgery[..2].copy_from_slice(&id.wrapping_add(wrong).to_be_bytes());
                let _ = forger.send_to(&forgery, client).await;
            }
        }
    });
    let network = Network::new();
    let result = network.exchange(&At::Udp(address), &query(NAME)).await;
    flood.abort();
    assert_eq!(result, Err(TransportError::Refused), "TCP was asked, where nobody listens");
    let counters = network.counters();
    assert!(counters.mismatches >= 32 && counters.storms == 1, "{counters:?}");
    assert_eq!(counters.accepted, 0);
}

#[tokio::test]
async fn a_closed_port_is_known_within_a_round_trip() {
    let address = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let network = Network::new();
    let (at, question) = (At::Udp(address), query(NAME));
    let soon = network.exchange(&at, &question);
    let result = time::timeout(Duration::from_millis(390), soon).await;
    // Elsewhere than on Linux nobody tells, and it takes two lost datagrams to find out.
    assert!(result == Ok(Err(TransportError::Refused)) || !cfg!(target_os = "linux"), "{result:?}");
}

#[test]
fn the_network_moves_from_one_runtime_to_the_next() {
    let network = Network::new();
    let build = || runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ask = async |server: SocketAddr| {
        let reply = network.exchange(&At::Udp(server), &query(NAME)).await.unwrap();
        assert_visible(&reply);
    };
    // The servers live elsewhere.
    let servers = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let server = servers.block_on(server(Behaviour::Honest));
    let first = build();
    first.block_on(ask(server.address()));
    // The first one stands still: nobody runs what serves its sockets.
    build().block_on(ask(server.address()));
    drop(first);
    build().block_on(ask(server.address()));
    assert_eq!(network.counters().accepted, 3);
}

#[test]
fn a_runtime_that_ends_while_others_wait_leaves_nobody_hanging() {
    let network = Network::new();
    let servers = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let server = servers.block_on(server(Behaviour::Slow(Duration::from_millis(150))));
    let address = server.address();
    let first = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (begun, clone) = (std::sync::mpsc::channel(), network.clone());
    first.spawn(async move {
        begun.0.send(()).unwrap();
        clone.exchange(&At::Udp(address), &query("first.example.test")).await
    });
    begun.1.recv().unwrap();
    let second = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let reply = second.block_on(async {
        let question = query(NAME);
        let at = At::Udp(address);
        let asked = network.exchange(&at, &question);
        let end = async {
            time::sleep(Duration::from_millis(50)).await;
            first.shutdown_background();
        };
        tokio::join!(asked, end).0.unwrap()
    });
    assert_visible(&reply);
}

#[tokio::test]
async fn bind_and_knot_are_given_the_cookies_that_they_make() {
    let Some(_) = real::require(&[Tool::Named, Tool::Knotd]) else { return };
    let zone = ZoneFile::new("example.test").record(format!("{NAME}. TXT token"));
    let bind = Bind::builder().zone(zone.clone()).start().await.unwrap();
    let knot = Knot::builder().zone(zone).start().await.unwrap();
    for address in [bind.socket_addr(), knot.socket_addr()] {
        let network = Network::new();
        for _ in 0..4 {
            let reply = network.exchange(&At::Udp(address), &query(NAME)).await.unwrap();
            assert_visible(&reply);
            assert_eq!(reply.transport, Transport::Udp);
        }
        let counters = network.counters();
        assert_eq!(
            (counters.accepted, counters.other_cookie, counters.other_case),
            (4, 0, 0),
            "{counters:?}"
        );
    }
}
