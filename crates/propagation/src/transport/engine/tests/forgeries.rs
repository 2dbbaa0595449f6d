//! Answers that are none.

use super::*;

#[test]
fn only_the_answer_to_our_question_from_whom_we_asked_lands() {
    let mut world = World::new();
    world.ask(LONG, 1);
    let sent = world.one();
    let truth = answer(&sent.octets, |_| ());
    let forged = |amend: fn(&mut op::Message)| answer(&sent.octets, amend);
    let wrong_id = forged(|message| message.metadata.id ^= 1);
    let wrong_name = forged(|message| {
        message.queries[0].set_name(rr::Name::from_ascii("b.example.").unwrap());
    });
    let wrong_type = forged(|message| {
        message.queries[0].set_query_type(rr::RecordType::A);
    });
    let no_answer = forged(|message| message.metadata.message_type = op::MessageType::Query);
    let broken = truth[..truth.len() - 3].to_vec();
    for octets in [wrong_id, wrong_name, wrong_type, no_answer, broken, b"x".to_vec(), Vec::new()] {
        world.hear(&sent, &octets);
        assert!(world.landed().is_empty());
    }
    let mut elsewhere = sent.clone();
    elsewhere.server = "192.0.2.1:54".parse().unwrap();
    world.hear(&elsewhere, &truth);
    let mut other_port = sent.clone();
    other_port.socket.number += 1;
    world.hear(&other_port, &truth);
    assert!(world.landed().is_empty());
    world.now += Duration::from_millis(30);
    world.hear(&sent, &truth);
    let landed = world.landed();
    let [(1, Outcome::Answer(read, elapsed))] = &landed[..] else { panic!("{landed:?}") };
    assert_eq!((&read.answers[0].data, *elapsed), (&Data::Txt(b"true".to_vec()), Duration::from_millis(30)));
    world.hear(&sent, &truth);
    assert!(world.landed().is_empty(), "it has landed already");
    let counters = world.engine.counters();
    assert_eq!(
        (counters.accepted, counters.strangers, counters.mismatches, counters.malformed),
        (1, 1, 9, 1)
    );
}

#[test]
fn another_server_that_we_asked_cannot_answer_for_this_one() {
    let mut world = World::new();
    world.settle("b.example", |_| ());
    let other = "192.0.2.7:53".parse().unwrap();
    world.engine.ask(world.now, other, query("c.example"), 2);
    world.ask(LONG, 1);
    let sent = world.sent().into_iter().find(|sent| sent.server == server()).unwrap();
    let impostor = Sent { server: other, ..sent.clone() };
    world.hear(&impostor, &answer(&sent.octets, |_| ()));
    assert!(world.landed().is_empty());
    world.hear(&sent, &answer(&sent.octets, |_| ()));
    assert_eq!(world.landed().len(), 1);
}

#[test]
fn a_flood_of_guesses_costs_no_memory_and_drives_the_question_to_tcp() {
    let mut world = World::new();
    world.ask(LONG, 1);
    let sent = world.one();
    let mut guess = answer(&sent.octets, |_| ());
    let id = u16::from_be_bytes([guess[0], guess[1]]);
    for wrong in 1..=50_000_u16 {
        guess[..2].copy_from_slice(&id.wrapping_add(wrong).to_be_bytes());
        world.hear(&sent, &guess);
    }
    assert!(matches!(world.landed()[..], [(1, Outcome::Stream(_))]));
    let counters = world.engine.counters();
    assert_eq!((counters.accepted, counters.mismatches, counters.storms), (0, 50_000, 1));
    assert_eq!((world.engine.len(), world.engine.in_flight), (0, 0));
    assert!(world.engine.timers.next().is_some() && world.engine.poll_timeout().is_none());
}

#[test]
fn late_repetitions_of_a_busy_server_are_no_storm() {
    let mut world = World::new();
    world.ask("patient.example", 9999);
    let patient = world.one();
    for round in 0..200 {
        world.ask(&format!("h{round}.example"), round);
        let sent = world.one();
        let truth = answer(&sent.octets, |_| ());
        world.hear(&sent, &truth);
        world.hear(&sent, &truth);
    }
    assert_eq!(world.landed().len(), 200);
    world.hear(&patient, &answer(&patient.octets, |_| ()));
    assert!(matches!(world.landed()[..], [(9999, Outcome::Answer(..))]));
}
