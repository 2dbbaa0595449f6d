//! Any sequence of events.

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Ask(u8, u8),
    Cancel(prop::sample::Index),
    Answer(prop::sample::Index, u8),
    Junk(prop::sample::Index, Vec<u8>),
    Pass(u16),
    Send,
    Unreachable(u8),
    Abandon,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (any::<u8>(), 0_u8..4).prop_map(|(name, server)| Step::Ask(name, server)),
        1 => any::<prop::sample::Index>().prop_map(Step::Cancel),
        6 => (any::<prop::sample::Index>(), 0_u8..12).prop_map(|(at, kind)| Step::Answer(at, kind)),
        2 => (any::<prop::sample::Index>(), prop::collection::vec(any::<u8>(), 0..60))
            .prop_map(|(at, octets)| Step::Junk(at, octets)),
        3 => (0_u16..2_000).prop_map(Step::Pass),
        6 => Just(Step::Send),
        1 => (0_u8..4).prop_map(Step::Unreachable),
        1 => Just(Step::Abandon),
    ]
}

/// An answer of some kind: right, wrong in one respect, or unwilling.
fn some_answer(question: &[u8], kind: u8) -> Vec<u8> {
    let cookie = cookie_of(question).map(|ours| [&ours[..8], b"a-server"].concat());
    match kind {
        0 => answer(question, with_code(op::ResponseCode::FormErr)),
        1 => answer(question, with_code(op::ResponseCode::BADCOOKIE)),
        2 => answer(question, |message| message.metadata.truncation = true),
        3 => answer(question, |message| message.metadata.id ^= 0x55),
        4 => answer(question, with_cookie(b"forged-forged-forged".to_vec())),
        5 => answer(question, with_code(op::ResponseCode::NXDomain)),
        6 => answer(question, |_| ()).to_ascii_lowercase(),
        _ => answer(question, |message| cookie.into_iter().for_each(|cookie| with_cookie(cookie)(message))),
    }
}

proptest! {
    #[test]
    fn whatever_happens_each_question_lands_once_and_in_time(
        steps in prop::collection::vec(step(), 1..200), seed: [u8; 32],
    ) {
        let mut world = World::new();
        world.engine = Engine::new(settings(), seed, [1; 16]);
        let address = |server: u8| SocketAddr::from(([192, 0, 2, server], 53));
        let (mut keys, mut sent, mut open) = (Vec::new(), Vec::new(), HashSet::new());
        let mut token = 0;
        let settle = |world: &mut World, open: &mut HashSet<u32>| {
            for (token, _) in world.landed() {
                assert!(open.remove(&token), "landed twice, or after it was cancelled");
            }
        };
        for step in steps {
            match step {
                Step::Ask(name, to) => {
                    token += 1;
                    let key = world.engine.ask(world.now, address(to), query(&format!("n{name}.example")), token);
                    keys.push((key, token));
                    open.insert(token);
                }
                Step::Cancel(at) if !keys.is_empty() => {
                    let (key, token) = keys[at.index(keys.len())];
                    world.engine.cancel(key);
                    settle(&mut world, &mut open);
                    open.remove(&token);
                }
                Step::Answer(at, kind) if !sent.is_empty() => {
                    let at = at.index(sent.len());
                    let to: Sent = sent.swap_remove(at);
                    world.hear(&to, &some_answer(&to.octets, kind));
                }
                Step::Junk(at, octets) if !sent.is_empty() => {
                    let to = sent[at.index(sent.len())].clone();
                    world.hear(&to, &[&to.octets[..2], &octets].concat());
                }
                Step::Pass(millis) => world.pass(Duration::from_millis(millis.into())),
                Step::Send => sent.extend(world.sent()),
                Step::Unreachable(server) => {
                    let error = TransportError::Refused;
                    world.engine.handle_unreachable(world.now, address(server), &error);
                }
                Step::Abandon => {
                    settle(&mut world, &mut open);
                    for token in world.engine.abandon() {
                        assert!(open.remove(&token));
                    }
                    assert!(open.is_empty());
                }
                _ => {}
            }
            settle(&mut world, &mut open);
            prop_assert!(world.engine.sockets.len() <= socket::MAX_SOCKETS);
            prop_assert_eq!(world.engine.len(), open.len());
            let in_flight = world.engine.questions.iter().filter(|(_, question)| {
                matches!(question.state, State::InFlight { .. })
            });
            prop_assert_eq!(in_flight.count(), world.engine.in_flight);
        }
        // Nobody answers any more: what is left lands by itself. Some hundred of the same question, at five a
        // second, take their time.
        for _ in 0..4_000 {
            world.sent();
            if world.engine.len() == 0 {
                break;
            }
            prop_assert!(world.engine.poll_timeout().is_some(), "a question without a timer waits for ever");
            world.pass(Duration::from_millis(50));
            settle(&mut world, &mut open);
        }
        settle(&mut world, &mut open);
        prop_assert!(open.is_empty());
        prop_assert_eq!(world.engine.in_flight, 0);
    }
}
