//! Zones that are not found, move, or are still being verified.

use super::*;

#[test]
fn a_zone_that_is_not_found_is_looked_for_again() {
    let mut late = scene(1, |_, owner, _| has_it(owner));
    late.locate = Box::new(|_, now| {
        if now < seconds(6) { Err("no resolver answers".into()) } else { Ok(located("example.com", &[1])) }
    });
    let run = run(&late, settings(Policy::All, Sweep::UntilReady));
    assert!(run.is_ready());
    assert!((3..=5).contains(&run.located.len()), "every two seconds: {:?}", run.located);
    let first = &run.reports[0];
    assert!(
        matches!(&first.advice[0], Advice::ZoneUnknown { reason, .. } if reason == "no resolver answers")
    );
}

#[test]
fn a_zone_that_moves_while_it_keeps_us_waiting_is_found_again() {
    let mut moving =
        scene(
            0,
            |server, owner, _| {
                if server == 1 { Ok(Answer::new(ResponseCode::REFUSED)) } else { has_it(owner) }
            },
        );
    moving.locate = Box::new(|locate, now| {
        assert_eq!(locate.freshness, if now.is_zero() { Freshness::Cached } else { Freshness::Fresh });
        Ok(located("example.com", if now < seconds(20) { &[1] } else { &[1, 2, 3] }))
    });
    let run = run(&moving, settings(Policy::All, Sweep::UntilReady));
    assert!(run.is_ready());
    assert!(run.end > ZONE_REFRESH && run.end < ZONE_REFRESH + seconds(6), "{:?}", run.end);
    assert_eq!(run.report().verdict, Verdict::ReadyWithWarnings);
}

#[test]
fn what_was_said_about_one_zone_is_not_taken_for_another() {
    let wanted = Wanted::new(name(NAME), ["token".to_owned()]);
    let mut watch = Watch::new(wanted, settings(Policy::All, Sweep::Once), 1);
    let Some(Event::Locate(locate)) = watch.poll_event() else { panic!("the zone is needed first") };
    let claimed =
        Located { verification: Verification::UnderWay, ..located("_acme-challenge.example.com", &[1]) };
    watch.handle_located(millis(1), locate.stage, Ok(claimed));
    let question = watch.poll_query().unwrap();
    let reply = Reply::new(has_it(&name(NAME)).unwrap(), Transport::Udp, ROUND_TRIP);
    watch.handle_answer(millis(2), question.ticket, Ok(reply));
    assert_eq!(watch.report().stages[0].rows[0].state, State::Satisfied);
    // The zone above knows nothing of that zone: its own servers happen to have the same addresses.
    watch.handle_located(millis(3), locate.stage, Ok(located("example.com", &[1])));
    assert_eq!(watch.report().stages[0].rows[0].state, State::Waiting);
    assert!(watch.poll_query().is_some(), "it is asked as a server of the other zone");
}

#[test]
fn a_server_without_a_way_to_it_is_not_asked_and_the_remedy_is_named() {
    let mut unreachable = scene(0, |_, owner, _| has_it(owner));
    unreachable.locate = Box::new(|_, _| {
        let mut located = located("example.com", &[1, 2]);
        located.targets[1].route = Route::None(NoRoute::NoNat64Prefix);
        Ok(located)
    });
    let run = run(&unreachable, settings(Policy::All, Sweep::UntilReady));
    assert!(run.is_ready());
    assert_eq!((run.questions_to(2), run.end), (0, GRACE + ROUND_TRIP));
    assert!(matches!(run.report().advice.as_slice(), [Advice::Nat64Missing { .. }]));
}

#[test]
fn name_servers_without_an_address_are_named() {
    let mut nowhere = scene(0, |_, _, _| has_it_not());
    nowhere.locate = Box::new(|_, _| Ok(Located { targets: vec![], ..located("example.com", &[1]) }));
    let run = run(&nowhere, settings(Policy::All, Sweep::Once));
    assert_eq!(run.report().verdict, Verdict::NotYet);
    assert_eq!(run.report().advice, [Advice::NoAddress { server: "ns1.example.com".into() }]);
}

#[test]
fn answers_to_questions_that_no_longer_matter_are_ignored() {
    let wanted = Wanted::new(name(NAME), ["token".to_owned()]);
    let mut watch = Watch::new(wanted, settings(Policy::All, Sweep::UntilReady), 1);
    let Some(Event::Locate(locate)) = watch.poll_event() else { panic!("the zone is needed first") };
    watch.handle_located(millis(1), locate.stage, Ok(located("example.com", &[1])));
    let question = watch.poll_query().unwrap();
    // The zone moved: the old server is gone, and so is what it may say.
    watch.handle_located(millis(2), locate.stage, Ok(located("example.com", &[2])));
    let reply = Reply::new(has_it(&name(NAME)).unwrap(), Transport::Udp, ROUND_TRIP);
    watch.handle_answer(millis(3), question.ticket, Ok(reply));
    assert_eq!(watch.report().verdict, Verdict::NotYet);
    assert_eq!(watch.report().stages[0].rows[0].state, State::Waiting);
}

#[test]
fn a_zone_whose_verification_fails_is_not_known() {
    for sweep in [Sweep::Once, Sweep::UntilReady] {
        let wanted = Wanted::new(name(NAME), ["token".to_owned()]);
        let mut watch = Watch::new(wanted, settings(Policy::All, sweep), 1);
        let Some(Event::Locate(locate)) = watch.poll_event() else { panic!("the zone is needed first") };
        let claimed = Located { verification: Verification::UnderWay, ..located("example.com", &[1]) };
        watch.handle_located(millis(1), locate.stage, Ok(claimed));
        while let Some(question) = watch.poll_query() {
            let reply = Reply::new(has_it(&name(NAME)).unwrap(), Transport::Udp, ROUND_TRIP);
            watch.handle_answer(millis(2), question.ticket, Ok(reply));
        }
        watch.handle_located(millis(3), locate.stage, Err("the zone above is mute".into()));
        let report = watch.report();
        assert_eq!((report.verdict, report.stages[0].rows.len()), (Verdict::NotYet, 0), "{sweep:?}");
        assert!(report.to_string().contains("the zone above is mute"), "{report}");
        if sweep == Sweep::Once {
            assert!(matches!(watch.poll_event(), Some(Event::Done(Outcome::Finished(_)))));
            continue;
        }
        watch.handle_timeout(millis(3) + LOCATE_AGAIN);
        assert!(matches!(watch.poll_event(), Some(Event::Locate(_))), "it is looked for again");
    }
}

#[test]
fn whom_there_was_no_way_to_ask_is_looked_for_again() {
    let locate = |once: fn(&mut Located)| -> Registry {
        Box::new(move |_, now| {
            let mut located = located("example.com", &[1, 2]);
            if now < seconds(1) {
                once(&mut located);
            }
            Ok(located)
        })
    };
    let cut_off: fn(&mut Located) = |located| located.targets[1].route = Route::None(NoRoute::NoNat64Prefix);
    let unknown: fn(&mut Located) = |located| located.targets.truncate(1);
    for (policy, once) in [(Policy::Strict, cut_off), (Policy::RecursiveOnly, unknown)] {
        let mended = Scene { locate: locate(once), ..scene(0, |_, owner, _| has_it(owner)) };
        let run = run(&mended, settings(policy, Sweep::UntilReady));
        assert!(run.is_ready(), "{policy:?}: {}", run.report());
        assert!(run.end < seconds(3), "{policy:?}: {:?}", run.end);
    }
}

#[test]
fn one_who_stays_out_of_reach_is_looked_for_ever_more_rarely() {
    let mut missing = scene(0, |_, owner, _| has_it(owner));
    missing.locate = Box::new(|_, _| {
        let mut located = located("example.com", &[1, 2]);
        located.targets.truncate(1);
        Ok(located)
    });
    let run = run(&missing, settings(Policy::Strict, Sweep::UntilReady));
    assert!(matches!(run.outcome, Outcome::Expired(_)));
    assert!((6..=8).contains(&run.located.len()), "{:?}", run.located);
}

#[test]
fn a_zone_that_is_being_verified_is_asked_and_the_watch_waits_for_the_last_word() {
    for sweep in [Sweep::Once, Sweep::UntilReady] {
        let wanted = Wanted::new(name(NAME), ["token".to_owned()]);
        let mut watch = Watch::new(wanted, settings(Policy::All, sweep), 1);
        let Some(Event::Locate(locate)) = watch.poll_event() else { panic!("the zone is needed first") };
        let claimed = Located { verification: Verification::UnderWay, ..located("example.com", &[1]) };
        let mut now = millis(1);
        watch.handle_located(now, locate.stage, Ok(claimed));
        let mut asked = 0;
        let mut answer_all = |watch: &mut Watch, now: Duration| {
            while let Some(question) = watch.poll_query() {
                let cut = question.purpose == Purpose::Cut;
                asked += usize::from(!cut);
                let said = if cut { has_it_not() } else { has_it(&name(NAME)) };
                let reply = Reply::new(said.unwrap(), Transport::Udp, ROUND_TRIP);
                watch.handle_answer(now, question.ticket, Ok(reply));
            }
        };
        for _ in 0..400 {
            now += millis(100);
            watch.handle_timeout(now);
            answer_all(&mut watch, now);
            while let Some(event) = watch.poll_event() {
                assert_eq!(event, Event::Changed, "it is neither over nor does it look for the zone again");
            }
        }
        // The zone above knows of one more server.
        watch.handle_located(now, locate.stage, Ok(located("example.com", &[1, 2])));
        assert!(!matches!(watch.poll_event(), Some(Event::Done(_))), "the second has not been asked");
        answer_all(&mut watch, now);
        let Some(Event::Done(outcome)) = watch.poll_event() else { panic!("nothing is left to wait for") };
        assert_eq!(matches!(outcome, Outcome::Ready(_)), sweep == Sweep::UntilReady);
        assert_eq!(
            asked,
            if sweep == Sweep::Once { 2 } else { 5 },
            "the first was confirmed before, and is again"
        );
    }
}
