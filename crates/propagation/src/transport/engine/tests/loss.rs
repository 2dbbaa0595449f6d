//! Datagrams that are lost, and what cannot be reached.

use super::*;

#[test]
fn a_lost_datagram_is_repeated_and_two_lead_to_tcp() {
    let mut world = World::new();
    world.ask(LONG, 1);
    let first = world.one();
    world.pass(Duration::from_millis(399));
    assert!(world.sent().is_empty());
    world.pass(Duration::from_millis(20));
    let second = world.one();
    assert_eq!(second.socket, first.socket);
    let question = 12 + LONG.len() + 2 + 4;
    assert_eq!(second.octets[..10], first.octets[..10]);
    assert_eq!(second.octets[12..question], first.octets[12..question], "so that a late answer counts");
    assert!(cookie_of(&first.octets).is_some() && cookie_of(&second.octets).is_none());
    world.pass(MILLIS_400);
    assert!(world.landed().is_empty(), "it waits twice as long");
    world.pass(MILLIS_400);
    let landed = world.landed();
    let [(1, Outcome::Stream(elapsed))] = landed[..] else { panic!("{landed:?}") };
    assert!(elapsed >= Duration::from_millis(1200));
    world.hear(&first, &answer(&first.octets, |_| ()));
    assert!(world.landed().is_empty(), "too late");
}

#[test]
fn a_truncated_answer_leads_to_tcp() {
    let mut world = World::new();
    world.ask(LONG, 1);
    let sent = world.one();
    world.hear(&sent, &answer(&sent.octets, |message| message.metadata.truncation = true));
    assert!(matches!(world.landed()[..], [(1, Outcome::Stream(_))]));
}

#[test]
fn a_server_that_stays_silent_keeps_nobody_waiting() {
    let mut world = World::new();
    for token in 0..10_000 {
        world.ask(&format!("h{token}.example"), token);
    }
    world.sent();
    world.pass(MILLIS_400);
    world.sent();
    world.pass(MILLIS_800);
    assert_eq!(world.landed().len(), 10_000);
    // The next one looks whether it is back, and whoever comes meanwhile does not wait for that.
    world.ask("probe.example", 1);
    let probe = world.one();
    world.ask("beside.example", 2);
    assert_eq!(world.landed(), [(2, Outcome::Stream(Duration::ZERO))]);
    world.hear(&probe, &answer(&probe.octets, |_| ()));
    assert_eq!(world.landed().len(), 1);
    world.ask("beside.example", 3);
    assert_eq!(world.sent().len(), 1);
}

#[test]
fn what_the_network_says_cannot_be_reached_is_told_at_once() {
    let mut world = World::new();
    let error = TransportError::Unreachable { reason: "no route".to_owned() };
    for token in 0..100 {
        world.ask(&format!("h{token}.example"), token);
    }
    world.sent();
    world.engine.handle_unreachable(world.now, "192.0.2.9:53".parse().unwrap(), &error);
    assert!(world.landed().is_empty(), "that was another server");
    world.engine.handle_unreachable(world.now, server(), &error);
    let landed = world.landed();
    assert_eq!(landed.len(), 100);
    assert!(landed.iter().all(|(_, outcome)| *outcome == Outcome::Failed(error.clone())));
    world.ask("a.example", 1);
    world.sent();
    world.engine.handle_unreachable(world.now, server(), &TransportError::Refused);
    assert!(matches!(world.landed()[..], [(1, Outcome::Stream(_))]), "TCP is another port");
    world.ask("b.example", 2);
    let sent = world.one();
    world.engine.handle_refusal(world.now, sent.socket, "192.0.2.9".parse().unwrap());
    assert!(world.landed().is_empty());
    world.engine.handle_refusal(world.now, sent.socket, server().ip());
    assert!(matches!(world.landed()[..], [(2, Outcome::Stream(_))]));
}

#[test]
fn a_socket_that_cannot_be_had_fails_its_questions() {
    let mut world = World::new();
    world.ask("a.example", 1);
    let sent = world.one();
    world.engine.handle_socket_failure(world.now, sent.socket, &TransportError::Timeout);
    assert_eq!(world.landed(), [(1, Outcome::Failed(TransportError::Timeout))]);
    world.settle("b.example", |_| ());
}

#[test]
fn a_question_that_is_cancelled_makes_room_and_never_lands() {
    let mut world = World::new();
    let keys: Vec<Key> = (0..200).map(|token| world.ask(&format!("h{token}.example"), token)).collect();
    let first = world.sent();
    assert_eq!(first.len(), 64);
    for key in &keys {
        assert!(world.engine.waits(*key) && world.engine.cancel(*key));
        assert!(!world.engine.waits(*key) && !world.engine.cancel(*key));
    }
    for sent in &first {
        world.hear(sent, &answer(&sent.octets, |_| ()));
    }
    world.pass(Duration::from_secs(9));
    assert!(world.landed().is_empty() && world.sent().is_empty());
    world.settle("after.example", |_| ());
}

#[test]
fn what_has_landed_and_nobody_was_told_is_given_back_when_all_is_abandoned() {
    let mut world = World::new();
    world.ask("a.example", 1);
    let sent = world.one();
    world.hear(&sent, &answer(&sent.octets, |_| ()));
    world.ask("b.example", 2);
    assert_eq!(world.engine.abandon(), [2, 1]);
    assert!(world.landed().is_empty());
}

#[test]
fn where_the_system_has_no_more_sockets_those_that_are_open_serve() {
    let mut world = World::new();
    world.settle("a.example", |_| ());
    let open = world.engine.sockets.pick(world.now, Family::V4, &mut world.engine.random);
    // Later, when that one would be replaced.
    world.now += Duration::from_secs(61);
    for token in 0..50 {
        world.ask(&format!("h{token}.example"), token);
    }
    let mut sent = Vec::new();
    for _ in 0..9 {
        for one in world.sent() {
            if one.socket == open {
                sent.push(one);
            } else {
                world.engine.handle_socket_failure(world.now, one.socket, &TransportError::Timeout);
            }
        }
    }
    assert!(world.landed().is_empty());
    assert_eq!(sent.len(), 50);
    for one in &sent {
        world.hear(one, &answer(&one.octets, |_| ()));
    }
    assert_eq!(world.landed().len(), 50);
}
