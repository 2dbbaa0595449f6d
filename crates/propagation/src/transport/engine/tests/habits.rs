//! What is learnt about a server.

use super::*;

#[test]
fn a_server_from_before_edns_is_asked_without_and_that_is_remembered() {
    for code in [op::ResponseCode::FormErr, op::ResponseCode::NotImp, op::ResponseCode::BADVERS] {
        let mut world = World::new();
        world.ask(LONG, 1);
        let first = world.one();
        world.hear(&first, &answer(&first.octets, with_code(code)));
        let second = world.one();
        assert!(op::Message::from_vec(&second.octets).unwrap().edns.is_none());
        assert_ne!(second.octets[..2], first.octets[..2], "with an id of its own");
        world.hear(&second, &answer(&second.octets, |_| ()));
        assert!(matches!(world.landed()[..], [(1, Outcome::Answer(..))]));
        world.ask("next.example", 2);
        let third = world.one();
        assert!(op::Message::from_vec(&third.octets).unwrap().edns.is_none());
        world.hear(&third, &answer(&third.octets, with_code(op::ResponseCode::FormErr)));
        assert!(matches!(world.landed()[..], [(2, Outcome::Answer(..))]), "nothing is left to take off");
        world.now += Duration::from_secs(601);
        world.ask("later.example", 3);
        assert!(op::Message::from_vec(&world.one().octets).unwrap().edns.is_some());
    }
}

#[test]
fn a_server_that_changes_letters_is_asked_in_plain_ones_and_that_is_remembered() {
    let mut world = World::new();
    world.ask(LONG, 1);
    let first = world.one();
    assert!(is_mixed(&first.octets));
    let lower = |octets: &[u8]| {
        let end = 12 + octets[12..].iter().position(|octet| *octet == 0).unwrap();
        let mut folded = octets.to_vec();
        folded[12..end].make_ascii_lowercase();
        folded
    };
    let folded = lower(&answer(&first.octets, |_| ()));
    world.hear(&first, &folded);
    assert!(world.landed().is_empty());
    let second = world.one();
    assert!(!is_mixed(&second.octets));
    assert_ne!(second.octets[..2], first.octets[..2], "a forger must guess anew");
    world.hear(&first, &folded);
    assert!(world.landed().is_empty());
    world.hear(&second, &answer(&second.octets, |_| ()));
    assert!(matches!(world.landed()[..], [(1, Outcome::Answer(..))]));
    world.ask("another-name-with-many-letters.example", 2);
    assert!(!is_mixed(&world.one().octets));
    assert_eq!(world.engine.counters().other_case, 1);
}

#[test]
fn cookies_are_kept_and_an_answer_without_ours_is_not_believed() {
    let mut world = World::new();
    world.ask(LONG, 1);
    let first = world.one();
    let ours = cookie_of(&first.octets).unwrap();
    assert_eq!(ours.len(), 8);
    let given = [&ours[..], b"the-server"].concat();
    world.hear(&first, &answer(&first.octets, with_cookie(b"somebody-elses-x".to_vec())));
    assert!(world.landed().is_empty());
    world.hear(&first, &answer(&first.octets, with_cookie(given.clone())));
    assert!(matches!(world.landed()[..], [(1, Outcome::Answer(..))]));
    world.ask("next.example", 2);
    let second = world.one();
    assert_eq!(cookie_of(&second.octets), Some(given));
    world.pass(MILLIS_400);
    assert!(cookie_of(&world.one().octets).is_some(), "this server is known to take them");
    world.hear(&second, &answer(&second.octets, |_| ()));
    assert!(matches!(world.landed()[..], [(2, Outcome::Stream(_))]), "without a cookie it may be anybody's");
    let counters = world.engine.counters();
    assert_eq!((counters.other_cookie, counters.accepted), (1, 1));
}

#[test]
fn a_server_that_wants_its_cookie_gets_it_once() {
    let mut world = World::new();
    world.ask(LONG, 1);
    let first = world.one();
    let given = [&cookie_of(&first.octets).unwrap()[..], b"the-server"].concat();
    let refuse = |sent: &Sent| {
        answer(&sent.octets, |message| {
            with_cookie(given.clone())(message);
            with_code(op::ResponseCode::BADCOOKIE)(message);
        })
    };
    world.hear(&first, &refuse(&first));
    let second = world.one();
    assert_eq!(cookie_of(&second.octets), Some(given.clone()));
    world.hear(&second, &refuse(&second));
    assert!(matches!(world.landed()[..], [(1, Outcome::Stream(_))]));
}

#[test]
fn cookies_that_walls_drop_are_left_away_after_a_while() {
    let mut world = World::new();
    for round in 0..2 {
        world.ask(&format!("h{round}.example"), round);
        assert!(cookie_of(&world.one().octets).is_some());
        world.pass(MILLIS_400);
        let second = world.one();
        world.hear(&second, &answer(&second.octets, |_| ()));
        assert_eq!(world.landed().len(), 1);
    }
    world.ask("next.example", 3);
    assert!(cookie_of(&world.one().octets).is_none());
}

#[test]
fn what_was_learned_of_a_server_survives_its_sockets() {
    let mut world = World::new();
    world.ask(LONG, 1);
    let first = world.one();
    world.hear(&first, &answer(&first.octets, with_code(op::ResponseCode::FormErr)));
    let second = world.one();
    world.hear(&second, &answer(&second.octets, |_| ()));
    assert_eq!(world.landed().len(), 1);
    world.ask("b.example", 2);
    assert_eq!(world.engine.abandon(), [2]);
    assert_eq!((world.engine.len(), world.engine.in_flight), (0, 0));
    assert!(world.sent().is_empty() && world.engine.poll_timeout().is_none());
    world.ask("c.example", 3);
    assert!(op::Message::from_vec(&world.one().octets).unwrap().edns.is_none());
}

#[test]
fn a_server_is_not_forgotten_while_a_question_to_it_is_held() {
    let mut world = World::new();
    for token in 0..6 {
        world.ask("a.example", token);
    }
    for sent in world.sent() {
        world.hear(&sent, &answer(&sent.octets, |_| ()));
    }
    assert_eq!(world.landed().len(), 5);
    for port in 1..=5_000 {
        let other = SocketAddr::from(([192, 0, 2, 9], port));
        let key = world.engine.ask(world.now, other, query("b.example"), 99);
        world.sent();
        world.engine.cancel(key);
    }
    world.pass(Duration::from_millis(1_020));
    let held = world.one();
    assert_eq!(held.server, server());
    world.hear(&held, &answer(&held.octets, |_| ()));
    assert!(matches!(world.landed()[..], [(5, Outcome::Answer(..))]));
    // One that is cancelled while it is held is not counted for ever.
    let keys: Vec<Key> = (0..6).map(|token| world.ask("c.example", token)).collect();
    for key in keys {
        world.engine.cancel(key);
    }
    let server = world.engine.servers.find(server()).unwrap();
    assert_eq!(world.engine.servers.get(server).unwrap().held, 0);
}

#[test]
fn a_question_that_was_put_differently_is_repeated_once() {
    let mut world = World::new();
    world.ask(LONG, 1);
    let first = world.one();
    world.now += Duration::from_millis(10);
    world.hear(&first, &answer(&first.octets, with_code(op::ResponseCode::FormErr)));
    let second = world.one();
    // The timer of the first has run out, and that of the second soon after it.
    world.pass(Duration::from_millis(399));
    assert!(world.sent().is_empty());
    world.pass(Duration::from_millis(20));
    assert_eq!(world.one().octets[12..], second.octets[12..]);
    world.pass(MILLIS_800);
    let landed = world.landed();
    let [(1, Outcome::Stream(elapsed))] = landed[..] else { panic!("{landed:?}") };
    assert!(elapsed < Duration::from_millis(1300), "{elapsed:?}");
}

#[test]
fn a_server_that_does_not_like_the_question_itself_is_asked_the_next_with_edns() {
    let mut world = World::new();
    world.ask("strange-type.example", 1);
    for _ in 0..2 {
        let sent = world.one();
        world.hear(&sent, &answer(&sent.octets, with_code(op::ResponseCode::NotImp)));
    }
    let landed = world.landed();
    let [(1, Outcome::Answer(answer, _))] = &landed[..] else { panic!("{landed:?}") };
    assert_eq!(answer.code, ResponseCode::NOTIMP);
    world.ask("a.example", 2);
    assert!(op::Message::from_vec(&world.one().octets).unwrap().edns.is_some());
}
