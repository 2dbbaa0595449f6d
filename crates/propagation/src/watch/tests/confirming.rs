//! The last look, and what comes before it.

use super::*;

#[test]
fn what_is_there_already_is_confirmed_in_two_round_trips() {
    let run = run(&scene(2, |_, owner, _| has_it(owner)), settings(Policy::All, Sweep::UntilReady));
    assert!(run.is_ready());
    assert_eq!(run.end, ROUND_TRIP * 3, "zone, first answers, confirmation");
    assert_eq!((run.questions_to(1), run.questions_to(2)), (2, 2));
    assert_eq!(run.report().verdict, Verdict::Ready);
    assert_eq!(run.report().advice, []);
}

#[test]
fn a_lagging_server_is_polled_and_the_satisfied_one_left_alone() {
    let lag = millis(3000);
    let lagging = scene(2, move |server, owner, now| match server {
        2 if now < lag => has_it_not(),
        _ => has_it(owner),
    });
    let run = run(&lagging, settings(Policy::All, Sweep::UntilReady));
    assert!(run.is_ready());
    assert!(run.end >= lag && run.end <= lag + millis(300) + ROUND_TRIP * 2, "detected at {:?}", run.end);
    assert_eq!(run.questions_to(1), 2, "asked at the beginning and for the confirmation");
    assert!((11..=16).contains(&run.questions_to(2)), "{} questions", run.questions_to(2));
    let first = &run.reports.last().unwrap().stages[0].rows[1];
    assert!(first.since >= lag);
    let waiting = run.reports.iter().find(|report| report.stages[0].rows.len() == 2).unwrap();
    assert_eq!(waiting.verdict, Verdict::NotYet);
}

#[test]
fn a_server_that_takes_its_answer_back_is_not_confirmed() {
    let flapping =
        scene(
            1,
            |_, owner, now| {
                if (millis(100)..millis(5000)).contains(&now) { has_it_not() } else { has_it(owner) }
            },
        );
    let mut flapping = flapping;
    flapping.latency = Box::new(|_| millis(60));
    let run = run(&flapping, settings(Policy::All, Sweep::UntilReady));
    assert!(run.is_ready());
    assert!(run.end >= millis(5000), "the first answer said yes, the confirmation no: {:?}", run.end);
}

#[test]
fn a_good_verdict_settles_before_it_is_confirmed() {
    let healthy = scene(2, |_, owner, _| has_it(owner));
    let patient = Settings { settle: seconds(2), ..settings(Policy::All, Sweep::UntilReady) };
    let run = run(&healthy, patient);
    assert!(run.is_ready());
    assert_eq!((run.end, run.questions_to(1)), (ROUND_TRIP * 2 + seconds(2) + ROUND_TRIP, 2));
}

#[test]
fn settling_is_cut_short_by_the_deadline_and_by_a_bad_verdict() {
    let healthy = scene(2, |_, owner, _| has_it(owner));
    let hurried =
        Settings { settle: seconds(600), deadline: seconds(10), ..settings(Policy::All, Sweep::UntilReady) };
    let ended = run(&healthy, hurried);
    assert!(ended.is_ready());
    assert_eq!(ended.end, seconds(10) - TO_CONFIRM + ROUND_TRIP);
    // The alias is asked about again while the verdict settles, and leads elsewhere by then.
    let mut moving = scene(0, |server, owner, now| match server {
        1 if now < seconds(3) => answer(owner, vec![Data::Cname(name("x.acme.example"))]),
        1 if now < seconds(20) => has_it_not(),
        _ => has_it(owner),
    });
    moving.locate = Box::new(|locate, _| match &locate.place {
        Place::Holding(sought) if *sought == name(NAME) => Ok(located("example.com", &[1])),
        _ => Ok(located("acme.example", &[9])),
    });
    let patient = Settings { settle: seconds(15), ..settings(Policy::All, Sweep::UntilReady) };
    let moved = run(&moving, patient);
    assert!(moved.is_ready());
    assert!(moved.end > seconds(35), "it settles once more from 20 s on: {:?}", moved.end);
}

#[test]
fn a_question_that_was_under_way_before_confirms_nothing() {
    let wanted = Wanted::new(name(NAME), ["token".to_owned()]);
    let mut watch = Watch::new(wanted, settings(Policy::All, Sweep::UntilReady), 7);
    let elsewhere = || answer(&name(NAME), vec![Data::Cname(name("x.acme.example"))]);
    let has_it = || has_it(&name("x.acme.example"));
    let tell = |watch: &mut Watch, now, question: &Question, said: Said| {
        watch.handle_answer(now, question.ticket, Ok(Reply::new(said.unwrap(), Transport::Udp, ROUND_TRIP)));
    };
    let (mut now, mut refresh) = (Duration::ZERO, None);
    loop {
        while let Some(event) = watch.poll_event() {
            if let Event::Locate(Locate { stage, place, .. }) = event {
                let first = place == Place::Holding(name(NAME));
                let found = if first { located("example.com", &[1]) } else { located("acme.example", &[9]) };
                watch.handle_located(now, stage, Ok(found));
            }
        }
        while let Some(question) = watch.poll_query() {
            match question.purpose {
                Purpose::Refresh => refresh = Some(question),
                _ if question.query.name == name(NAME) => tell(&mut watch, now, &question, elsewhere()),
                _ if refresh.is_some() => tell(&mut watch, now, &question, has_it()),
                _ => tell(&mut watch, now, &question, has_it_not()),
            }
        }
        // The zone below has the values, and has been asked once more.
        if watch.report().verdict.is_ready() {
            break;
        }
        now = watch.poll_timeout().unwrap();
        watch.handle_timeout(now);
    }
    tell(&mut watch, now, &refresh.unwrap(), elsewhere());
    while let Some(event) = watch.poll_event() {
        assert_eq!(event, Event::Changed, "the alias was not confirmed");
    }
    let question = watch.poll_query().unwrap();
    assert_eq!((question.purpose, question.query.name.as_str()), (Purpose::Confirm, NAME));
    tell(&mut watch, now, &question, elsewhere());
    assert!(matches!(watch.poll_event(), Some(Event::Done(Outcome::Ready(_)))));
}

#[test]
fn who_only_waits_asks_nobody_and_says_so() {
    let silent = scene(0, |server, _, _| panic!("{server} is asked"));
    let wait = Policy::WaitOnly(seconds(30));
    let waited = run(&silent, settings(wait, Sweep::UntilReady));
    assert!(waited.is_ready() && waited.located.is_empty());
    assert_eq!((waited.end, waited.report().verdict), (seconds(30), Verdict::ReadyWithWarnings));
    assert_eq!(waited.report().advice, [Advice::NotAsked { wait: seconds(30) }]);
    let told = waited.report().to_string();
    assert!(told.contains("nobody was asked") && told.contains("wait for 30s"), "{told}");
    let once = run(&silent, settings(wait, Sweep::Once));
    assert_eq!((once.end, once.report().verdict), (Duration::ZERO, Verdict::NotYet));
    let late = run(&silent, settings(Policy::WaitOnly(DEADLINE * 2), Sweep::UntilReady));
    assert!(matches!(late.outcome, Outcome::Expired(_)));
    assert_eq!((late.end, late.report().verdict), (DEADLINE, Verdict::NotYet));
}

#[test]
fn what_could_not_be_confirmed_in_time_is_not_yet_and_the_reason_is_said() {
    let mut mute =
        scene(1, |_, owner, now| if now < seconds(1) { has_it(owner) } else { Err(TransportError::Timeout) });
    mute.latency = Box::new(|_| millis(600));
    let run = run(&mute, Settings { deadline: seconds(1), ..settings(Policy::All, Sweep::UntilReady) });
    assert!(matches!(run.outcome, Outcome::Expired(_)));
    assert_eq!(
        (run.report().verdict, run.report().advice.last()),
        (Verdict::NotYet, Some(&Advice::Unconfirmed))
    );
}
