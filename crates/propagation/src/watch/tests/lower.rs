//! A zone further down that the same servers serve, and others too.

use super::*;

/// The challenge name is a zone of its own. Servers 1 and 2 are those of the zone above and serve it as well.
fn both(lower: &'static [u8], script: impl Fn(u8, &DomainName, Duration) -> Said + 'static) -> Scene {
    let mut scene = scene(2, script);
    let host = |server: &u8| Data::Ns(name(&format!("ns{server}.example.com")));
    scene.cut = Box::new(move |_, owner, _| answer(owner, lower.iter().map(host).collect()));
    scene.locate = Box::new(|locate, _| match &locate.place {
        Place::Holding(_) => Ok(located("example.com", &[1, 2])),
        Place::Delegated(delegation) => Ok(delegated(delegation)),
    });
    scene
}

/// As the locator finds them: `nsN.example.com` is at `192.0.2.N`.
fn delegated(delegation: &Delegation) -> Located {
    let number = |host: &DomainName| host.as_str()["ns".len()..].split('.').next().unwrap().parse().unwrap();
    let servers: Vec<u8> = delegation.name_servers.iter().map(number).collect();
    Located { zone: Some(ZoneView::new(delegation.cut.clone(), vec![])), ..located("example.com", &servers) }
}

/// NXDOMAIN, on behalf of the lower zone.
fn denies(zone: &str) -> Said {
    let mut answer = has_it_not()?;
    answer.authorities[0].owner = Some(name(zone));
    Ok(answer)
}

/// The value, with the name servers of its zone beside it, as BIND tells them.
fn has_it_in(zone: &str, servers: &[u8]) -> Said {
    let mut answer = has_it(&name(NAME))?;
    let host = |server: &u8| Data::Ns(name(&format!("ns{server}.example.com")));
    let record = |data| Record { owner: Some(name(zone)), ttl: 1, data };
    answer.authorities = servers.iter().map(host).map(record).collect();
    Ok(answer)
}

#[test]
fn a_third_server_that_lags_is_found_although_nobody_refers_to_it() {
    let lag = seconds(5);
    let lagging = || {
        both(&[1, 3], move |server, owner, now| match server {
            3 if now < lag => denies(NAME),
            _ => has_it(owner),
        })
    };
    let watched = run(&lagging(), settings(Policy::All, Sweep::UntilReady));
    assert!(watched.is_ready() && watched.end >= lag, "{:?}: {}", watched.end, watched.report());
    assert!(watched.end < lag + seconds(1), "{:?}", watched.end);
    let [above, below] = &watched.report().stages[..] else { panic!("{}", watched.report()) };
    assert!(
        above.rows.iter().all(|row| row.state == State::Referral { cut: name(NAME) }),
        "{}",
        watched.report()
    );
    assert_eq!((below.origin, below.rows.len()), (Origin::Referral, 3), "{}", watched.report());
    let once = run(&lagging(), settings(Policy::All, Sweep::Once));
    assert_eq!(once.report().verdict, Verdict::NotYet, "{}", once.report());
    assert_eq!(once.end, ROUND_TRIP * 5, "two zones are found and asked, and one for its serial number");
}

#[test]
fn a_look_for_a_lower_zone_costs_a_question_and_no_round_trip() {
    let healthy = || scene(2, |_, owner, _| has_it(owner));
    let watched = run(&healthy(), settings(Policy::All, Sweep::UntilReady));
    assert!(watched.is_ready());
    assert_eq!((watched.end, watched.asked_for_cut.len()), (ROUND_TRIP * 3, 1));
    let once = run(&healthy(), settings(Policy::All, Sweep::Once));
    let [(at, _, about)] = &once.asked_for_cut[..] else { panic!("{:?}", once.asked_for_cut) };
    assert_eq!((once.end, *at, about), (ROUND_TRIP * 2, ROUND_TRIP, &name(NAME)));
}

#[test]
fn where_the_answers_tell_the_zone_nobody_is_asked_for_it() {
    let telling = scene(2, |_, _, _| has_it_in("example.com", &[1, 2]));
    let run = run(&telling, settings(Policy::All, Sweep::UntilReady));
    assert!(run.is_ready());
    assert_eq!((run.end, run.asked_for_cut.len()), (ROUND_TRIP * 3, 0));
}

#[test]
fn name_servers_beside_the_record_lead_to_the_lower_zone() {
    let lagging = both(&[], |server, _, now| match server {
        3 if now < seconds(2) => denies(NAME),
        _ => has_it_in(NAME, &[1, 3]),
    });
    let run = run(&lagging, settings(Policy::All, Sweep::UntilReady));
    assert!(run.is_ready() && run.end >= seconds(2), "{}", run.report());
    assert_eq!(run.report().stages[1].rows.len(), 3);
    assert_eq!(run.asked_for_cut, []);
}

#[test]
fn a_denial_on_behalf_of_a_lower_zone_gives_it_away_at_once() {
    let lagging = both(&[3], |server, owner, now| match server {
        3 if now < seconds(6) => denies(NAME),
        1 | 2 if now < seconds(3) => denies(NAME),
        _ => has_it(owner),
    });
    let run = run(&lagging, settings(Policy::All, Sweep::UntilReady));
    assert!(run.is_ready() && run.end >= seconds(6), "{}", run.report());
    let third = run.asked.iter().find(|(_, server, _)| *server == 3).unwrap();
    assert!(third.0 <= ROUND_TRIP * 5, "{third:?}");
    assert_eq!(run.asked_for_cut.len(), 1);
}

#[test]
fn a_denial_on_behalf_of_a_zone_that_is_none_is_looked_into_once() {
    // A load balancer that makes up the zone beside which it says no.
    let mut balancer = scene(2, |_, owner, now| if now < seconds(3) { denies(NAME) } else { has_it(owner) });
    balancer.cut = Box::new(|_, _, _| denies(NAME));
    let run = run(&balancer, settings(Policy::All, Sweep::UntilReady));
    assert!(run.is_ready(), "{}", run.report());
    assert_eq!(run.report().stages.len(), 1);
    assert!(run.asked_for_cut.len() <= 3, "each server once, and before the end: {:?}", run.asked_for_cut);
}

#[test]
fn servers_that_do_not_tell_whether_there_is_a_lower_zone_do_not_hold_up_the_verdict() {
    for (told_by, asked) in [(3, 3), (9, 3)] {
        let mut mute = scene(5, |_, owner, _| has_it(owner));
        mute.cut =
            Box::new(
                move |server, _, _| {
                    if server == told_by { has_it_not() } else { Ok(Answer::new(ResponseCode::NOTIMP)) }
                },
            );
        for sweep in [Sweep::Once, Sweep::UntilReady] {
            let run = run(&mute, settings(Policy::All, sweep));
            assert_eq!(run.report().verdict, Verdict::Ready, "{}", run.report());
            assert_eq!(run.asked_for_cut.len(), asked, "{:?}", run.asked_for_cut);
        }
    }
}

#[test]
fn servers_of_the_zone_above_that_serve_the_lower_one_have_to_have_the_record_too() {
    let lagging = both(&[3], |server, owner, now| match server {
        2 if now < seconds(4) => denies(NAME),
        _ => has_it(owner),
    });
    let run = run(&lagging, settings(Policy::All, Sweep::UntilReady));
    assert!(run.is_ready() && run.end >= seconds(4), "{:?}: {}", run.end, run.report());
    let servers: Vec<&str> = run.report().stages[1].servers.iter().map(String::as_str).collect();
    assert_eq!(servers, ["ns3.example.com", "ns1.example.com", "ns2.example.com"]);
}

#[test]
fn name_servers_of_a_lower_zone_that_are_dead_are_borne_with_as_others_are() {
    let sloppy =
        both(&[9], |server, owner, _| if server == 9 { Err(TransportError::Refused) } else { has_it(owner) });
    let run = run(&sloppy, settings(Policy::All, Sweep::UntilReady));
    assert!(run.is_ready(), "{}", run.report());
    assert_eq!(run.report().verdict, Verdict::ReadyWithWarnings);
}

#[test]
fn a_lower_zone_that_is_given_up_is_left_again() {
    let moved = seconds(20);
    let mut given_up = both(&[3], move |server, owner, now| match server {
        3 => denies(NAME),
        _ if now < moved => denies(NAME),
        _ => has_it(owner),
    });
    given_up.cut = Box::new(move |_, owner, now| {
        if now < moved { answer(owner, vec![Data::Ns(name("ns3.example.com"))]) } else { has_it_not() }
    });
    let run = run(&given_up, settings(Policy::All, Sweep::UntilReady));
    assert!(run.is_ready(), "{}", run.report());
    assert!(run.end > moved && run.end < moved + ZONE_REFRESH, "{:?}", run.end);
    assert_eq!(run.report().stages.len(), 1, "{}", run.report());
}

#[test]
fn servers_that_were_given_are_not_asked_for_lower_zones() {
    let mut given = scene(2, |_, owner, _| has_it(owner));
    given.locate = Box::new(|_, _| {
        Ok(Located {
            zone: Some(ZoneView::new(name("example.com"), vec![])),
            ..located("example.com", &[1, 2])
        })
    });
    for sweep in [Sweep::Once, Sweep::UntilReady] {
        let run = run(&given, settings(Policy::All, sweep));
        assert_eq!((run.report().verdict, run.asked_for_cut.len()), (Verdict::Ready, 0));
    }
}

#[test]
fn a_delegation_that_grows_meanwhile_is_followed_before_anything_is_confirmed() {
    // Between the first questions and the confirmation the zone above hears of the third.
    let mut growing = both(&[], |server, owner, now| match server {
        1 | 2 => {
            let mut answer = Answer::new(ResponseCode::NOERROR);
            let servers: &[u8] = if now < millis(90) { &[4] } else { &[3, 4] };
            let host = |server: &u8| Data::Ns(name(&format!("ns{server}.example.com")));
            let record = |data| Record { owner: Some(name(NAME)), ttl: 1, data };
            answer.authorities = servers.iter().map(host).map(record).collect();
            Ok(answer)
        }
        3 if now < seconds(12) => denies(NAME),
        _ => has_it(owner),
    });
    growing.cut = Box::new(|_, _, _| panic!("a referral leaves no question"));
    let run = run(&growing, settings(Policy::All, Sweep::UntilReady));
    assert!(run.is_ready() && run.end >= seconds(12), "{:?}: {}", run.end, run.report());
}

#[test]
fn what_was_told_is_asked_again_when_a_verdict_was_taken_back() {
    // The second server takes its answer back, and before it has it again there is a lower zone.
    let mut late = both(&[], |server, owner, now| match server {
        2 if (millis(50)..seconds(3)).contains(&now) => has_it_not(),
        3 if now < seconds(8) => denies(NAME),
        _ => has_it(owner),
    });
    late.cut = Box::new(|_, owner, now| {
        if now < seconds(2) { has_it_not() } else { answer(owner, vec![Data::Ns(name("ns3.example.com"))]) }
    });
    let run = run(&late, settings(Policy::All, Sweep::UntilReady));
    assert!(run.is_ready() && run.end >= seconds(8), "{:?}: {}", run.end, run.report());
}

#[test]
fn one_that_says_no_on_behalf_of_the_upper_zone_is_not_sent_below() {
    let divided = both(&[3], |server, owner, _| if server == 2 { has_it_not() } else { has_it(owner) });
    let once = run(&divided, settings(Policy::All, Sweep::Once));
    let rows = &once.report().stages[0].rows;
    assert_eq!(rows[0].state, State::Referral { cut: name(NAME) }, "{}", once.report());
    assert_eq!((&rows[1].state, once.report().verdict), (&State::Lacking, Verdict::NotYet));
}

#[test]
fn the_serial_number_of_a_lower_zone_is_not_held_against_the_upper_one() {
    let mut mute = both(&[], |server, owner, _| if server == 2 { denies(NAME) } else { has_it(owner) });
    mute.cut = Box::new(|_, _, _| Ok(Answer::new(ResponseCode::NOTIMP)));
    let once = run(&mute, settings(Policy::All, Sweep::Once));
    assert_eq!(once.asked_for_serial, [1, 2], "what the second told beside its no is another one");
    let lag = |advice: &Advice| matches!(advice, Advice::SerialLag { .. });
    assert!(!once.report().advice.iter().any(lag), "{}", once.report());
}
