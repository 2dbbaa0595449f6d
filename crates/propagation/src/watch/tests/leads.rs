//! Aliases and zones further down.

use super::*;

#[test]
fn an_alias_is_followed_and_both_ends_are_confirmed() {
    let mut aliased = scene(0, |server, owner, _| match server {
        1 | 2 => answer(owner, vec![Data::Cname(name("x.acme.example"))]),
        _ => has_it(owner),
    });
    aliased.locate = Box::new(|locate, _| match &locate.place {
        Place::Holding(sought) if *sought == name(NAME) => Ok(located("example.com", &[1, 2])),
        Place::Holding(_) => Ok(located("acme.example", &[8, 9])),
        Place::Delegated(_) => panic!("nothing is delegated"),
    });
    let run = run(&aliased, settings(Policy::All, Sweep::UntilReady));
    assert!(run.is_ready());
    assert_eq!(run.end, ROUND_TRIP * 5);
    assert_eq!((run.questions_to(1), run.questions_to(9)), (2, 2));
    let aliases: Vec<_> = run.report().aliases().map(|(from, to)| (from.as_str(), to.as_str())).collect();
    assert_eq!(aliases, [(NAME, "x.acme.example")]);
    assert!(run.asked.iter().all(|(_, server, name)| (*server > 7) == (name.as_str() == "x.acme.example")));
}

#[test]
fn a_referral_leads_to_the_zone_below() {
    let mut delegated = scene(0, |server, owner, _| {
        if server != 1 {
            return has_it(owner);
        }
        let mut answer = Answer::new(ResponseCode::NOERROR);
        let ns = Data::Ns(name("ns5._acme-challenge.example.com"));
        answer.authorities = vec![Record { owner: Some(owner.clone()), ttl: 1, data: ns }];
        Ok(answer)
    });
    delegated.locate = Box::new(|locate, _| match &locate.place {
        Place::Holding(_) => Ok(located("example.com", &[1])),
        Place::Delegated(delegation) => Ok(located(delegation.cut.as_str(), &[5])),
    });
    let run = run(&delegated, settings(Policy::All, Sweep::UntilReady));
    assert!(run.is_ready());
    let stages = &run.report().stages;
    assert_eq!(stages[1].origin, Origin::Referral);
    assert_eq!(stages[1].zone.as_ref().unwrap().apex, name(NAME));
    assert_eq!(stages[0].rows[0].state, State::Referral { cut: name(NAME) });
}

#[test]
fn an_alias_that_is_replaced_by_the_record_is_noticed() {
    let mut replaced = scene(0, |server, owner, now| match server {
        1 if now < seconds(7) => answer(owner, vec![Data::Cname(name("dead.acme.example"))]),
        1 => has_it(owner),
        _ => has_it_not(),
    });
    replaced.locate = Box::new(|locate, _| match &locate.place {
        Place::Holding(sought) if *sought == name(NAME) => Ok(located("example.com", &[1])),
        _ => Ok(located("acme.example", &[9])),
    });
    let run = run(&replaced, settings(Policy::All, Sweep::UntilReady));
    assert!(run.is_ready());
    assert!(run.end < seconds(13), "{:?}", run.end);
    assert_eq!(run.report().stages.len(), 1);
}

#[test]
fn a_circle_of_aliases_is_named_and_not_followed() {
    let mut circle = scene(1, |_, owner, _| {
        let other = if *owner == name(NAME) { "b.example.com" } else { NAME };
        answer(owner, vec![Data::Cname(name(other))])
    });
    circle.latency = Box::new(|_| millis(1));
    let run = run(&circle, settings(Policy::Any, Sweep::UntilReady));
    assert!(matches!(run.outcome, Outcome::Expired(_)));
    assert_eq!(run.report().stages.len(), 2);
    assert!(run.report().advice.iter().any(|advice| matches!(advice, Advice::AliasChain { .. })));
    assert!(run.report().to_string().contains("circle"));
}

#[test]
fn a_chain_without_end_is_cut_off() {
    let endless = scene(1, |_, owner, _| {
        answer(
            owner,
            vec![Data::Cname(name(&format!("n{}.example.com", owner.as_str().len())).child("a").unwrap())],
        )
    });
    let longer = scene(1, |_, owner, _| answer(owner, vec![Data::Cname(owner.child("a").unwrap())]));
    for scene in [endless, longer] {
        let run = run(&scene, settings(Policy::All, Sweep::Once));
        assert!(matches!(run.outcome, Outcome::Finished(_)));
        assert!(run.report().stages.len() <= MAX_CHAIN + 1);
        assert_eq!(run.report().verdict, Verdict::NotYet);
    }
}

#[test]
fn a_circle_of_aliases_is_seen_while_the_zone_is_looked_for_again() {
    let mut turning = scene(0, |server, owner, now| match server {
        1 if now < seconds(33) => answer(owner, vec![Data::Cname(name("x.acme.example"))]),
        1 => answer(owner, vec![Data::Cname(name(NAME))]),
        2 => Ok(Answer::new(ResponseCode::REFUSED)),
        _ => has_it_not(),
    });
    turning.locate = Box::new(|locate, now| match &locate.place {
        Place::Holding(sought) if *sought != name(NAME) => Ok(located("acme.example", &[9])),
        _ if now < seconds(29) => Ok(located("example.com", &[1, 2])),
        _ => Err("no resolver answers".into()),
    });
    let run = run(&turning, settings(Policy::Any, Sweep::UntilReady));
    assert!(matches!(run.outcome, Outcome::Expired(_)), "{}", run.report());
    assert!(run.report().to_string().contains("circle"), "{}", run.report());
}
