//! How much is sent, and when.

use super::*;

#[test]
fn a_server_is_sent_as_much_as_it_takes() {
    let mut world = World::new();
    for token in 0..1_000 {
        world.ask(&format!("h{token}.example"), token);
    }
    let first = world.sent();
    assert_eq!(first.len(), 64);
    for sent in &first {
        world.hear(sent, &answer(&sent.octets, |_| ()));
    }
    assert_eq!(world.sent().len(), 128, "one more for each answer");
    world.pass(MILLIS_400);
    assert_eq!(world.sent().len(), 128, "once more");
    world.pass(MILLIS_800);
    assert_eq!(world.landed().len(), 64 + 128 + (1_000 - 64 - 128), "a silent server's queue is no queue");
}

#[test]
fn the_ids_and_ports_of_many_questions_are_drawn() {
    let mut world = World::new();
    for token in 0..1_000 {
        let address = SocketAddr::from(([192, 0, 2, 1], u16::try_from(1_000 + token).unwrap()));
        world.engine.ask(world.now, address, query("a.example"), token);
    }
    let sent = world.sent();
    let sockets: HashSet<SocketKey> = sent.iter().map(|sent| sent.socket).collect();
    let ids: HashSet<&[u8]> = sent.iter().map(|sent| &sent.octets[..2]).collect();
    let pairs: HashSet<_> = sent.iter().map(|sent| (sent.socket, &sent.octets[..2])).collect();
    let questions: HashSet<&[u8]> = sent.iter().map(|sent| &sent.octets[12..25]).collect();
    assert_eq!((sent.len(), sockets.len(), pairs.len()), (1_000, 4, 1_000));
    assert!(ids.len() > 950 && questions.len() > 100, "{} {}", ids.len(), questions.len());
}

#[test]
fn the_same_question_waits_for_the_next_second_when_it_is_asked_too_often() {
    let mut world = World::new();
    for token in 0..8 {
        world.ask("a.example", token);
    }
    assert_eq!(world.sent().len(), 5);
    assert!(world.engine.poll_timeout().is_some());
    world.pass(Duration::from_millis(300));
    assert!(world.sent().is_empty());
    world.pass(Duration::from_millis(720));
    // Those of the first second, repeated, and the three that waited.
    assert_eq!(world.sent().len(), 5 + 3);
}

#[test]
fn no_server_is_sent_more_at_once_than_was_chosen() {
    let mut world = World::new();
    world.engine = Engine::new(Settings { in_flight: 4, ..settings() }, [7; 32], [9; 16]);
    for token in 0..20 {
        world.ask(&format!("h{token}.example"), token);
    }
    let sent = world.sent();
    assert_eq!(sent.len(), 4);
    world.hear(&sent[0], &answer(&sent[0].octets, |_| ()));
    assert_eq!(world.sent().len(), 1);
    world.pass(MILLIS_400);
    world.sent();
    world.pass(MILLIS_800);
    assert!(world.sent().len() <= 4, "nor after losses");
}

#[test]
fn a_question_is_not_held_back_for_ever() {
    let mut world = World::new();
    for token in 0..100 {
        world.ask("a.example", token);
    }
    let mut streamed = 0;
    for _ in 0..60 {
        for sent in world.sent() {
            world.hear(&sent, &answer(&sent.octets, |_| ()));
        }
        streamed += world.landed().iter().filter(|(_, end)| matches!(end, Outcome::Stream(_))).count();
        world.pass(Duration::from_millis(100));
    }
    assert_eq!((world.engine.len(), streamed), (0, 100 - 5 * 5));
}
