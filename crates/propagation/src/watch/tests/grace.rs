//! Servers that are dead, lame or late, and for how long that is borne.

use super::*;

#[test]
fn a_dead_server_delays_until_the_grace_is_over_and_is_named() {
    let mut dead = scene(3, |server, owner, _| match server {
        3 => Err(TransportError::Timeout),
        _ => has_it(owner),
    });
    dead.latency = Box::new(|server| if server == 3 { millis(2800) } else { ROUND_TRIP });
    let run = run(&dead, settings(Policy::All, Sweep::UntilReady));
    assert!(run.is_ready());
    let found = ROUND_TRIP;
    assert_eq!(
        run.end,
        found + GRACE + ROUND_TRIP,
        "the others are confirmed, the dead one is not waited for"
    );
    assert_eq!(run.report().verdict, Verdict::ReadyWithWarnings);
    assert!(
        matches!(run.report().advice.as_slice(), [Advice::Unreachable { server, .. }] if server.starts_with("ns3."))
    );
}

#[test]
fn strict_never_forgives_a_dead_server() {
    let dead =
        scene(2, |server, owner, _| if server == 2 { Err(TransportError::Refused) } else { has_it(owner) });
    let run = run(&dead, settings(Policy::Strict, Sweep::UntilReady));
    assert!(matches!(run.outcome, Outcome::Expired(_)));
    assert_eq!(run.end, DEADLINE);
}

#[test]
fn a_denial_is_never_tolerated_however_long_it_lasts() {
    let lagging = scene(3, |server, owner, _| if server == 3 { has_it_not() } else { has_it(owner) });
    let run = run(&lagging, settings(Policy::All, Sweep::UntilReady));
    assert!(matches!(run.outcome, Outcome::Expired(_)));
    let server = "ns3.example.com (192.0.2.3:53)".to_owned();
    assert_eq!(run.report().advice, [Advice::SerialLag { server, serial: 7, newest: 9 }]);
    let questions = run.questions_to(3);
    assert!((55..=90).contains(&questions), "40 in 10 s, then ever fewer: {questions}");
}

#[test]
fn once_asks_everybody_once_and_counts_the_silent_as_dead() {
    let mixed = scene(3, |server, owner, _| match server {
        1 => Err(TransportError::Timeout),
        _ => has_it(owner),
    });
    let run = run(&mixed, settings(Policy::All, Sweep::Once));
    assert!(matches!(run.outcome, Outcome::Finished(_)));
    assert_eq!(run.report().verdict, Verdict::ReadyWithWarnings);
    assert_eq!(run.asked.len(), 3);
    assert_eq!(run.report().queries(), 3);
}

#[test]
fn the_deadline_ends_a_watch_whose_servers_never_answer() {
    let mut mute = scene(2, |_, _, _| Err(TransportError::Timeout));
    mute.latency = Box::new(|_| seconds(1_000_000));
    let run = run(&mute, settings(Policy::All, Sweep::UntilReady));
    assert!(matches!(run.outcome, Outcome::Expired(_)));
    assert_eq!((run.end, run.asked.len()), (DEADLINE, 2));
}

#[test]
fn the_grace_is_what_the_settings_say() {
    let dead = scene(3, |server, owner, _| match server {
        3 => Err(TransportError::Refused),
        _ => has_it(owner),
    });
    for grace in [Duration::ZERO, seconds(1), seconds(60)] {
        let run = run(&dead, Settings { grace, ..settings(Policy::All, Sweep::UntilReady) });
        assert_eq!(run.report().verdict, Verdict::ReadyWithWarnings);
        assert!(run.end >= grace && run.end <= grace + ROUND_TRIP * 3, "{grace:?}: {:?}", run.end);
    }
}

#[test]
fn one_bad_answer_after_a_denial_is_not_death() {
    // The second loads the zone for two seconds, long after the watch began, and has the old copy again.
    let reloading = scene(2, |server, owner, now| match server {
        2 if (seconds(7)..seconds(9)).contains(&now) => Ok(Answer::new(ResponseCode::SERVFAIL)),
        2 => has_it_not(),
        _ => has_it(owner),
    });
    let denied = run(&reloading, settings(Policy::All, Sweep::UntilReady));
    assert!(matches!(denied.outcome, Outcome::Expired(_)), "{}", denied.report());
    // One that dies for good has its grace from then on.
    let dying = scene(2, |server, owner, now| match server {
        2 if now < seconds(7) => has_it_not(),
        2 => Err(TransportError::Timeout),
        _ => has_it(owner),
    });
    let died = run(&dying, settings(Policy::All, Sweep::UntilReady));
    assert_eq!(died.report().verdict, Verdict::ReadyWithWarnings);
    assert!(died.end >= seconds(7) + GRACE && died.end < seconds(8) + GRACE, "{:?}", died.end);
}

#[test]
fn a_server_that_was_found_late_has_its_grace_however_it_answers_first() {
    let mut late = scene(2, |server, owner, now| match server {
        2 if now < seconds(12) => Ok(Answer::new(ResponseCode::SERVFAIL)),
        2 => has_it_not(),
        _ => has_it(owner),
    });
    late.locate = Box::new(|_, now| {
        if now < seconds(9) { Err("no resolver answers".into()) } else { Ok(located("example.com", &[1, 2])) }
    });
    let run = run(&late, settings(Policy::All, Sweep::UntilReady));
    assert!(matches!(run.outcome, Outcome::Expired(_)), "{}", run.report());
}

#[test]
fn an_answer_past_the_end_of_grace_does_not_hide_it() {
    let refused = || Ok(Reply::new(Answer::new(ResponseCode::REFUSED), Transport::Udp, ROUND_TRIP));
    let begin = |grace| {
        let wanted = Wanted::new(name(NAME), ["token".to_owned()]);
        let mut watch = Watch::new(wanted, Settings { grace, ..settings(Policy::All, Sweep::UntilReady) }, 7);
        let Some(Event::Locate(locate)) = watch.poll_event() else { panic!("the zone is needed first") };
        watch.handle_located(Duration::ZERO, locate.stage, Ok(located("example.com", &[1, 2])));
        let first = watch.poll_query().unwrap();
        let reply = Reply::new(has_it(&name(NAME)).unwrap(), Transport::Udp, ROUND_TRIP);
        watch.handle_answer(Duration::ZERO, first.ticket, Ok(reply));
        watch
    };
    let sweep_after_20_s = |watch: &mut Watch| {
        let mut now = Duration::ZERO;
        loop {
            if let Some(question) = watch.poll_query() {
                if now > seconds(20) {
                    return (now, question.ticket);
                }
                watch.handle_answer(now, question.ticket, refused());
            }
            now = watch.poll_timeout().unwrap();
            watch.handle_timeout(now);
        }
    };
    let (sweep, _) = sweep_after_20_s(&mut begin(seconds(60)));
    let mut watch = begin(sweep + millis(500));
    let (same, ticket) = sweep_after_20_s(&mut watch);
    assert_eq!(same, sweep);
    let late = sweep + seconds(1);
    watch.handle_answer(late, ticket, refused());
    let timeout = watch.poll_timeout().unwrap();
    assert!(timeout <= late, "nobody looks before {timeout:?}, and the grace was over before {late:?}");
}

/// Two servers, of which the first is at two addresses, 1 and 2.
fn with_two_addresses() -> Located {
    let mut located = located("example.com", &[1, 2, 3]);
    located.servers.remove(1);
    located.targets[1].servers = located.targets[0].servers.clone();
    located
}

#[test]
fn an_address_that_denied_and_falls_silent_is_borne_with_no_sooner_than_others() {
    for (failure, grace) in [
        (Ok(Answer::new(ResponseCode::SERVFAIL)), GRACE),
        (Err(TransportError::Refused), GRACE),
        (Err(TransportError::Refused), seconds(1)),
    ] {
        let since = seconds(3);
        let mut failing = scene(0, move |server, owner, now| match server {
            2 if now < since => has_it_not(),
            2 => failure.clone(),
            _ => has_it(owner),
        });
        failing.locate = Box::new(|_, _| Ok(with_two_addresses()));
        for policy in [Policy::All, Policy::Quorum(2)] {
            let run = run(&failing, Settings { grace, ..settings(policy, Sweep::UntilReady) });
            assert_eq!(run.report().verdict, Verdict::ReadyWithWarnings, "{policy:?}: {}", run.report());
            let end = run.end - since;
            assert!(end >= grace && end < grace + seconds(1), "{policy:?}, {grace:?}: {end:?}");
        }
    }
}

#[test]
fn an_address_that_had_the_values_or_never_answered_is_borne_with_at_once() {
    for before in [0, 60] {
        let mut dying = scene(0, move |server, owner, now| match server {
            2 if now >= millis(before) && now < seconds(60) => Err(TransportError::Refused),
            3 if now < seconds(1) => has_it_not(),
            _ => has_it(owner),
        });
        dying.locate = Box::new(|_, _| Ok(with_two_addresses()));
        let run = run(&dying, settings(Policy::All, Sweep::UntilReady));
        assert!(run.is_ready() && run.end < seconds(2), "{before} ms: {:?}", run.end);
    }
}

#[test]
fn a_verdict_that_hangs_on_a_last_word_comes_when_that_ceases_to_count() {
    // Late, when everybody is asked every few seconds only; and 3 keeps its word longer.
    let mut failing = scene(0, |server, owner, now| match server {
        2 if now >= seconds(30) => Err(TransportError::Refused),
        3 if now >= seconds(37) => Err(TransportError::Refused),
        1 => has_it(owner),
        _ => has_it_not(),
    });
    failing.locate = Box::new(|_, _| Ok(with_two_addresses()));
    let grace = seconds(7);
    let run = run(&failing, Settings { grace, ..settings(Policy::Any, Sweep::UntilReady) });
    assert!(run.is_ready());
    let failed =
        |(at, server, _): &&(Duration, u8, DomainName)| *server == 2 && *at + ROUND_TRIP >= seconds(30);
    let silent_since = run.asked.iter().find(failed).unwrap().0 + ROUND_TRIP;
    assert_eq!(run.end, silent_since + grace + ROUND_TRIP, "the confirmation takes a round trip");
}
