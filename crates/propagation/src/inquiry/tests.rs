//! The next questions, and what their answers explain.

use std::time::Duration;

use super::*;
use crate::{
    Verdict, Wanted,
    probe::{Asked, Role, interpret},
    report::{LastAnswer, Origin},
    target::Route,
    wire::{ExtendedError, Record, ResponseCode},
    zone::ZoneServer,
};

const NAME: &str = "_acme-challenge.www.example.com";

fn name(text: &str) -> DomainName {
    text.parse().unwrap()
}

fn endpoint(last: u8) -> Endpoint {
    Endpoint::Udp(([192, 0, 2, last], 53).into())
}

fn record(owner: &str, data: Data) -> Record {
    Record { owner: Some(name(owner)), ttl: 60, data }
}

fn txt(owner: &str, text: &str) -> Record {
    record(owner, Data::Txt(text.as_bytes().to_vec()))
}

fn says(answers: Vec<Record>) -> Result<Reply, TransportError> {
    let mut answer = Answer::new(ResponseCode::NOERROR);
    answer.authoritative = true;
    answer.answers = answers;
    Ok(Reply::new(answer, Transport::Udp, Duration::ZERO))
}

fn fails() -> Result<Reply, TransportError> {
    Ok(Reply::new(Answer::new(ResponseCode::SERVFAIL), Transport::Udp, Duration::ZERO))
}

fn wanted() -> Wanted {
    Wanted::new(name(NAME), ["token".to_owned()])
}

/// An address of a name server that has said this.
fn row(last: u8, said: &Result<Reply, TransportError>) -> Row {
    let (zone, wanted) = (name("example.com"), wanted());
    let asked = Asked { name: wanted.name(), values: wanted.values(), role: Role::Authority(&zone) };
    let (state, last_answer) = match said {
        Err(error) => (State::Unreachable { error: error.clone() }, None),
        Ok(reply) => {
            let finding = interpret(&asked, &reply.answer);
            let state = match &finding {
                crate::probe::Finding::Alias { target } => State::Alias { target: target.clone() },
                crate::probe::Finding::Satisfied { .. } => State::Satisfied,
                _ => State::Lacking,
            };
            (state, Some(LastAnswer::new(reply, &finding)))
        }
    };
    Row {
        servers: vec![format!("ns{last}.example.com")],
        endpoint: endpoint(last),
        nat64: None,
        state,
        since: Duration::ZERO,
        asked: None,
        queries: 1,
        serial: None,
        last: last_answer,
    }
}

fn report(rows: Vec<Row>) -> Report {
    let apex = name("example.com");
    let servers = rows.iter().map(|row| ZoneServer::new(name(&row.servers[0]))).collect();
    let stage = Stage {
        name: name(NAME),
        origin: Origin::Wanted,
        zone: Some(ZoneView { apex, servers, evidence: vec![] }),
        servers: rows.iter().map(|row| row.servers[0].clone()).collect(),
        rows,
        problem: None,
    };
    Report::new(wanted(), Verdict::NotYet, Duration::ZERO, vec![stage])
}

fn resolver() -> Target {
    Target {
        servers: vec!["10.0.0.1".to_owned()],
        endpoint: Endpoint::Udp(([10, 0, 0, 1], 53).into()),
        nat64: None,
        route: Route::Exists,
    }
}

/// Asks everything that there is to ask of a world that answers like this.
fn explained(
    mut report: Report,
    world: impl Fn(&Endpoint, &Query) -> Result<Reply, TransportError>,
) -> (Vec<Clue>, Report) {
    let questions = questions(&report, &[resolver()]);
    let heard: Vec<_> = questions.iter().map(|asked| (asked, world(&asked.endpoint, &asked.query))).collect();
    let pairs: Vec<Heard<'_>> = heard.iter().map(|(asked, reply)| (*asked, reply)).collect();
    let again = pairs.iter().filter_map(|pair| Some((pair.0.endpoint.clone(), unchecked(*pair)?)));
    let again: Vec<_> = again
        .filter_map(|(endpoint, query)| Some((endpoint.clone(), world(&endpoint, &query).ok()?.answer)))
        .collect();
    learn(&mut report, &pairs, &again);
    (report.clues.clone(), report)
}

/// A world in which the zone exists and nothing stands at any other name.
fn empty(_: &Endpoint, query: &Query) -> Result<Reply, TransportError> {
    match query.record_type {
        RecordType::Soa => says(vec![record("example.com", Data::Soa { serial: 7, minimum: 60 })]),
        _ => says(vec![]),
    }
}

#[test]
fn no_resolver_ever_hears_of_the_name_that_is_waited_for() {
    let report = report(vec![row(1, &says(vec![])), row(2, &Err(TransportError::Timeout))]);
    let to_resolver: Vec<Inquiry> =
        questions(&report, &[resolver()]).into_iter().filter(|asked| asked.query.recursion_desired).collect();
    assert_eq!(to_resolver.len(), 1);
    assert_eq!(to_resolver[0].query.to_string(), "example.com SOA");
    assert!(to_resolver[0].query.dnssec_ok);
}

#[test]
fn the_serial_numbers_are_completed_where_somebody_lacks_the_values() {
    let rows = || vec![row(1, &says(vec![txt(NAME, "token")])), row(2, &says(vec![]))];
    let (clues, told) = explained(report(rows()), |endpoint, query| match query.record_type {
        RecordType::Soa => {
            let serial = if *endpoint == self::endpoint(1) { 9 } else { 7 };
            says(vec![record("example.com", Data::Soa { serial, minimum: 60 })])
        }
        _ => says(vec![]),
    });
    assert_eq!(clues, []);
    let serials: Vec<_> = told.stages[0].rows.iter().map(|row| row.serial).collect();
    assert_eq!(serials, [Some(9), Some(7)]);
}

#[test]
fn a_silent_server_that_answers_a_small_question_is_noticed() {
    let rows = || vec![row(1, &says(vec![])), row(2, &Err(TransportError::Timeout))];
    let small = Clue::AnswersSmall { endpoint: endpoint(2).to_string() };
    assert_eq!(explained(report(rows()), empty).0, [small]);
    let dead = |to: &Endpoint, query: &Query| {
        if *to == endpoint(2) { Err(TransportError::Timeout) } else { empty(to, query) }
    };
    assert_eq!(explained(report(rows()), dead).0, []);
}

#[test]
fn the_value_is_found_at_the_name_where_it_was_put() {
    for (place, mistake) in [
        ("_acme-challenge.www.example.com.example.com", Mistake::Doubled),
        ("www.example.com", Mistake::Misplaced),
    ] {
        let (clues, _) = explained(report(vec![row(1, &says(vec![]))]), |to, query| {
            if query.name == name(place) && query.record_type == RecordType::Txt {
                return says(vec![txt(place, "token")]);
            }
            empty(to, query)
        });
        assert_eq!(clues, [Clue::Elsewhere { name: name(place), mistake }]);
    }
    let (clues, _) = explained(report(vec![row(1, &says(vec![]))]), |to, query| match query.record_type {
        RecordType::Txt => says(vec![txt(query.name.as_str(), "other")]),
        _ => empty(to, query),
    });
    assert_eq!(clues, [], "somebody else's value");
}

#[test]
fn a_value_that_a_wildcard_makes_up_everywhere_else_stands_at_the_wildcard() {
    let (clues, _) = explained(report(vec![row(1, &says(vec![]))]), |to, query| match query.record_type {
        RecordType::Txt => says(vec![txt(query.name.as_str(), "token")]),
        _ => empty(to, query),
    });
    assert_eq!(clues, [Clue::Elsewhere { name: name("*.example.com"), mistake: Mistake::Misplaced }]);
}

#[test]
fn no_resolver_hears_of_a_challenge_name_that_is_a_zone_or_of_a_zone_whose_servers_are_dead() {
    let shown = |report: &Report| {
        let asked = questions(report, &[resolver()]);
        let to_resolver = asked.into_iter().filter(|asked| asked.query.recursion_desired);
        to_resolver.map(|asked| asked.query.to_string()).collect::<Vec<_>>()
    };
    let mut delegated = report(vec![row(1, &says(vec![]))]);
    let mut own = delegated.stages[0].clone();
    own.zone.as_mut().unwrap().apex = name(NAME);
    delegated.stages.push(own);
    assert_eq!(shown(&delegated), ["example.com SOA"]);
    let dead = report(vec![row(1, &Err(TransportError::Timeout))]);
    assert_eq!(shown(&dead), ["com SOA"], "silence about it would prove nothing");
    let mut unknown = report(vec![]);
    unknown.stages[0].zone = None;
    assert_eq!(shown(&unknown), ["example.com SOA"]);
}

#[test]
fn what_a_wildcard_makes_up_is_traced_to_it_and_what_stands_there_is_not() {
    let alias = |owner: &str, target: &str| record(owner, Data::Cname(name(target)));
    let at_name = says(vec![alias(NAME, "t.example.net")]);
    // The server makes up whatever it is asked below its one wildcard.
    let wild = |to: &Endpoint, query: &Query| match query.record_type {
        RecordType::Txt => says(vec![alias(query.name.as_str(), "t.example.net")]),
        _ => empty(to, query),
    };
    let wildcard = |wildcard: &str, target: Option<&str>| Clue::Wildcard {
        name: name(NAME),
        wildcard: name(wildcard),
        target: target.map(name),
    };
    let (clues, _) = explained(report(vec![row(1, &at_name)]), wild);
    assert_eq!(clues, [wildcard("*.example.com", Some("t.example.net"))]);
    let nearer = |to: &Endpoint, query: &Query| match query.name.as_str() {
        "*.www.example.com" => says(vec![alias("*.www.example.com", "t.example.net")]),
        _ => empty(to, query),
    };
    let (clues, _) = explained(report(vec![row(1, &at_name)]), nearer);
    assert_eq!(clues, [wildcard("*.www.example.com", Some("t.example.net"))]);
    assert_eq!(explained(report(vec![row(1, &at_name)]), empty).0, [], "it stands there itself");
    let other = |to: &Endpoint, query: &Query| match query.record_type {
        RecordType::Txt => says(vec![alias(query.name.as_str(), "other.example.net")]),
        _ => empty(to, query),
    };
    assert_eq!(explained(report(vec![row(1, &at_name)]), other).0, [], "another alias");
    let text = says(vec![txt(NAME, "any")]);
    let texts = |to: &Endpoint, query: &Query| match query.record_type {
        RecordType::Txt => says(vec![txt(query.name.as_str(), "any")]),
        _ => empty(to, query),
    };
    assert_eq!(explained(report(vec![row(1, &text)]), texts).0, [wildcard("*.example.com", None)]);
}

#[test]
fn resolvers_that_are_dead_or_find_the_zone_bogus_are_named() {
    let is_resolver = |to: &Endpoint| *to == resolver().endpoint;
    let (clues, _) = explained(report(vec![row(1, &says(vec![]))]), |to, query| {
        if is_resolver(to) { Err(TransportError::Timeout) } else { empty(to, query) }
    });
    assert_eq!(clues, [Clue::ResolverDead { resolver: "10.0.0.1".into(), error: TransportError::Timeout }]);
    let expired = || ExtendedError { code: 7, text: String::new() };
    let (clues, _) = explained(report(vec![row(1, &says(vec![]))]), |to, query| {
        if !is_resolver(to) || query.checking_disabled {
            return empty(to, query);
        }
        let mut reply = fails();
        if let Ok(reply) = &mut reply {
            reply.answer.extended_error = Some(expired());
        }
        reply
    });
    let (zone, extended_error) = (name("example.com"), Some(expired()));
    assert_eq!(clues, [Clue::ZoneBogus { zone, resolver: "10.0.0.1".into(), extended_error }]);
}

#[test]
fn a_referral_to_a_zone_that_a_resolver_should_know_is_where_it_stumbled() {
    let mut stumbled = report(vec![row(1, &says(vec![]))]);
    stumbled.stages[0].zone.as_mut().unwrap().apex = name("com");
    let mut below = report(vec![row(2, &says(vec![]))]).stages.remove(0);
    below.origin = Origin::Referral;
    stumbled.stages.push(below.clone());
    assert_eq!(stumbled_over(&stumbled), Some(&name("example.com")));
    // A delegated challenge label is shown to no resolver, so none can have failed on it.
    below.zone.as_mut().unwrap().apex = name(NAME);
    stumbled.stages[1] = below;
    assert_eq!(stumbled_over(&stumbled), None);
}

#[test]
fn the_questions_are_bounded_however_long_the_chain_is() {
    let stage = report((1..=30).map(|last| row(last, &says(vec![]))).collect()).stages.remove(0);
    let mut long = report(vec![]);
    long.stages = vec![stage; 17];
    assert_eq!(questions(&long, &[resolver()]).len(), MAX_INQUIRIES);
}
