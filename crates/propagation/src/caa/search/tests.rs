use super::*;
use crate::{
    caa::Decision,
    target::{Route, Target},
    transport::Endpoint,
    wire::{Record as WireRecord, ResponseCode},
};
use proptest::prelude::*;

fn name(text: &str) -> DomainName {
    text.parse().unwrap()
}

fn record(owner: &str, data: Data) -> WireRecord {
    WireRecord { owner: Some(name(owner)), ttl: 60, data }
}

fn caa(owner: &str, value: &str) -> WireRecord {
    record(owner, Data::Caa { critical: false, tag: "issue".into(), value: value.as_bytes().to_vec() })
}

fn cname(owner: &str, target: &str) -> WireRecord {
    record(owner, Data::Cname(name(target)))
}

fn says(authoritative: bool, answers: Vec<WireRecord>) -> Answer {
    let mut answer = Answer::new(ResponseCode::NOERROR);
    answer.authoritative = authoritative;
    answer.answers = answers;
    answer
}

fn refers(cut: &str) -> Answer {
    let mut answer = Answer::new(ResponseCode::NOERROR);
    answer.authorities = vec![record(cut, Data::Ns(name("ns.example.net")))];
    answer
}

fn zone(apex: &str) -> ZoneView {
    ZoneView { apex: name(apex), servers: vec![], evidence: vec![] }
}

const NAME: &str = "www.example.com";

/// Goes on until nothing is left to ask; `world` is what all servers of a zone say about a name.
fn search(world: impl Fn(&str, &str) -> Vec<Answer>) -> Level {
    let mut search = Search::new(name(NAME));
    while let Some(lead) = search.poll_lead() {
        let apex = match &lead.delegation {
            Some(delegation) => delegation.cut.clone(),
            None => DomainName::parse(lead.name.as_str().split_once('.').unwrap().1).unwrap(),
        };
        let target = Target {
            servers: vec![],
            endpoint: Endpoint::Udp("192.0.2.1:53".parse().unwrap()),
            nat64: None,
            route: Route::Exists,
        };
        let heard = world(apex.as_str(), lead.name.as_str()).into_iter().map(|answer| {
            let heard = hear(&lead.name, Role::Authority(&apex), &answer);
            (Row::new(&target, crate::caa::Said::from_heard(&heard)), Some(heard))
        });
        search.handle_answers(&lead, Some(zone(apex.as_str())), heard.collect());
    }
    search.finish()
}

/// The outcomes in short: the records' owners, `none`, or a reason.
fn short(level: &Level) -> Vec<String> {
    let word = |outcome: &Outcome| match outcome {
        Outcome::Empty => "none".to_owned(),
        Outcome::Failed { reason } => reason.clone(),
        Outcome::Records { records } => {
            records.iter().map(|record| format!("{} {record}", record.domain)).collect::<Vec<_>>().join(", ")
        }
    };
    level.outcomes.iter().map(word).collect()
}

#[test]
fn an_alias_is_followed_and_the_records_are_those_of_its_target() {
    let level = search(|_, asked| {
        vec![match asked {
            // The server knows a copy of the target's records, which is for the target's servers to say.
            NAME => says(true, vec![cname(NAME, "cdn.example.net"), caa("cdn.example.net", "old.example")]),
            "cdn.example.net" => says(true, vec![caa("cdn.example.net", "new.example")]),
            other => panic!("nobody should be asked about {other}"),
        }]
    });
    assert_eq!(short(&level), ["cdn.example.net 0 issue \"new.example\""]);
    assert_eq!(
        level.steps.iter().map(|step| step.origin).collect::<Vec<_>>(),
        [Origin::Wanted, Origin::Alias]
    );
}

#[test]
fn the_ancestors_of_an_aliass_target_are_not_asked() {
    let level = search(|_, asked| {
        vec![if asked == NAME { says(true, vec![cname(NAME, "a.cdn.example")]) } else { says(true, vec![]) }]
    });
    assert_eq!(short(&level), ["none"]);
    assert_eq!(level.steps.len(), 2);
}

#[test]
fn a_referral_leads_to_the_servers_of_the_zone_below() {
    let level = search(|zone, _| {
        vec![if zone == "example.com" { refers(NAME) } else { says(true, vec![caa(NAME, "ca.example")]) }]
    });
    assert_eq!(short(&level), ["www.example.com 0 issue \"ca.example\""]);
    assert_eq!(level.steps[1].zone, Some(zone(NAME)));
}

#[test]
fn aliases_that_do_not_end_are_a_failure() {
    let circle = search(|_, asked| {
        let next = if asked == NAME { "b.example.com" } else { NAME };
        vec![says(true, vec![cname(asked, next)])]
    });
    assert_eq!(short(&circle), ["the aliases of www.example.com lead in a circle"]);
    let itself = search(|_, asked| vec![says(true, vec![cname(asked, asked)])]);
    assert_eq!(short(&itself), short(&circle));
    let endless = search(|_, asked| vec![says(true, vec![cname(asked, &format!("a.{asked}"))])]);
    assert_eq!(short(&endless), ["more than 16 aliases and zone cuts lie behind www.example.com"]);
    assert_eq!(endless.steps.len(), MAX_CHAIN + 1);
}

#[test]
fn servers_that_agree_in_another_order_agree_and_others_do_not() {
    let (one, two) = (caa(NAME, "one.example"), caa(NAME, "two.example"));
    let both = |first: &WireRecord, second: &WireRecord| says(true, vec![first.clone(), second.clone()]);
    let agree = search(|_, _| vec![both(&one, &two), both(&two, &one)]);
    assert_eq!(agree.outcomes.len(), 1);
    let differ = search(|_, _| vec![both(&one, &two), says(true, vec![])]);
    assert_eq!(differ.outcomes.len(), 2);
}

#[test]
fn who_is_lame_is_passed_over_while_somebody_is_not() {
    let servfail = || Answer::new(ResponseCode::SERVFAIL);
    let level = search(|_, _| vec![servfail(), says(true, vec![])]);
    assert_eq!(short(&level), ["none"]);
    let level = search(|_, _| vec![servfail(), says(false, vec![caa(NAME, "ca.example")])]);
    assert_eq!(short(&level), ["no name server of example.com gives a usable answer for www.example.com"]);
}

#[test]
fn more_records_than_anybody_has_are_no_answer() {
    let many = |count| {
        let records = (0..count).map(|number| caa(NAME, &format!("ca{number}.example"))).collect();
        search(move |_, _| vec![says(true, Clone::clone(&records))])
    };
    assert!(matches!(many(MAX_RECORDS).outcomes[..], [Outcome::Records { .. }]));
    assert!(matches!(many(MAX_RECORDS + 1).outcomes[..], [Outcome::Failed { .. }]));
}

#[test]
fn a_resolver_has_followed_the_aliases_itself() {
    let answer =
        says(false, vec![caa("b.example", "ca.example"), cname(NAME, "b.example"), caa(NAME, "no.example")]);
    let Heard::Records(records) = hear(&name(NAME), Role::Resolver, &answer) else { panic!() };
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].domain, name("b.example"));
}

proptest! {
    #[test]
    fn whatever_servers_say_the_search_ends(words in prop::collection::vec(0_u8..7, 1..40)) {
        let at = std::cell::Cell::new(0);
        let level = search(|_, asked| {
            let next = || {
                at.set(at.get() + 1);
                words[at.get() % words.len()]
            };
            let answer = |word| match word {
                0 => says(true, vec![]),
                1 => says(true, vec![caa(asked, "ca.example")]),
                2 => says(true, vec![cname(asked, &format!("n{}.example.com", at.get() % 9))]),
                3 => says(true, vec![cname(asked, &format!("n{}.example.com", at.get()))]),
                4 => refers(asked),
                5 => Answer::new(ResponseCode::REFUSED),
                _ => says(false, vec![]),
            };
            (0..3).map(|_| answer(next())).collect()
        });
        prop_assert!(!level.outcomes.is_empty());
        prop_assert!(level.steps.len() <= MAX_CHAIN + 1);
        let said = [(level.name.clone(), level.outcomes.clone())];
        let _: Decision = crate::caa::decide(&crate::caa::Question::new(&level.name), &said);
    }
}
