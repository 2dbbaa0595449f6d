use super::*;
use std::sync::LazyLock;

use crate::{
    AuthorizationState, Identifier, Misbehaved, OrderState, UrlFault,
    error::Refusal,
    flow::{Event, Task},
};
use perennial_core::HttpError;
use proptest::prelude::*;

const BASE: &str = "https://ca.example";

fn url(path: &str) -> Url {
    format!("{BASE}/{path}").parse().unwrap()
}

fn order(status: &str) -> OrderState {
    let body = format!(
        r#"{{"status":"{status}","identifiers":[{{"type":"dns","value":"example.org"}}],
            "authorizations":["{BASE}/authz/1"],"finalize":"{BASE}/finalize","certificate":"{BASE}/cert"}}"#
    );
    OrderState::parse(body.as_bytes()).unwrap()
}

fn authorization(status: &str, challenge: &str) -> AuthorizationState {
    let body = format!(
        r#"{{"status":"{status}","identifier":{{"type":"dns","value":"example.org"}},"challenges":[
            {{"type":"http-01","url":"{BASE}/chall/1","status":"{challenge}"}},
            {{"type":"dns-01","url":"{BASE}/chall/2","status":"{challenge}"}}]}}"#
    );
    AuthorizationState::parse(body.as_bytes()).unwrap()
}

fn certification_request(names: &[&str]) -> CertificationRequest {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = rcgen::CertificateParams::new(names).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    let key = rcgen::KeyPair::generate().unwrap();
    CertificationRequest::parse(params.serialize_request(&key).unwrap().der()).unwrap()
}

/// Made once: a signature for each of a thousand walks would be most of the work.
static REQUEST: LazyLock<CertificationRequest> = LazyLock::new(|| certification_request(&["example.org"]));

fn plan() -> Plan {
    let name: perennial_core::DomainName = "example.org".parse().unwrap();
    let certification_request = REQUEST.clone();
    Plan {
        request: NewOrder::new([name]),
        certification_request,
        deadline: Timestamp::from_unix(1_800_000_000),
    }
}

fn answered(reply: Reply) -> Event {
    Event::Answered(vec![Ok(reply)])
}

fn placed(status: &str) -> Event {
    answered(Reply::Created(call::Created { url: url("order/1"), state: order(status) }))
}

/// A walk that waits for a choice.
fn choosing() -> Walk {
    let mut walk = Walk::new(plan()).unwrap();
    for event in [
        Event::Recorded,
        placed("pending"),
        Event::Recorded,
        answered(Reply::Authorization(authorization("pending", "pending"))),
    ] {
        walk.handle(event).unwrap();
    }
    walk
}

#[test]
fn a_choice_is_one_challenge_a_name() {
    for chosen in [vec![], vec![url("chall/9")], vec![url("chall/1"), url("chall/2")]] {
        let error = choosing().handle(Event::Chosen(chosen)).unwrap_err();
        assert_eq!(error, Misuse::Choice { name: "example.org".into() }.into());
    }
    let mut walk = choosing();
    walk.handle(Event::Chosen(vec![url("chall/2")])).unwrap();
    assert_eq!(walk.state().tasks().first().map(|task| &task.challenge), Some(&url("chall/2")));
}

#[test]
fn what_nobody_asked_for_is_not_heard() {
    let mut walk = Walk::new(plan()).unwrap();
    assert_eq!(
        walk.handle(Event::Visible).unwrap_err(),
        Misuse::OutOfStep { expected: "recorded", told: "visible" }.into()
    );
    let mut walk = choosing();
    assert_eq!(
        walk.handle(Event::Presented).unwrap_err(),
        Misuse::OutOfStep { expected: "chosen", told: "presented" }.into()
    );
    assert!(matches!(walk.poll(), Step::Do(Errand::Choose(_))), "and changes nothing");
}

#[test]
fn a_challenge_that_the_ca_is_looking_at_is_not_answered_again() {
    let mut walk = Walk::resume(plan(), State::Ordered { order: url("order/1") }).unwrap();
    for event in [
        answered(Reply::Order(order("pending"))),
        answered(Reply::Authorization(authorization("pending", "processing"))),
        Event::Chosen(vec![url("chall/2")]),
        Event::Recorded,
        Event::Presented,
        Event::Visible,
        Event::Recorded,
    ] {
        walk.handle(event).unwrap();
    }
    let Step::Send(calls) = walk.poll() else { panic!("{:?}", walk.poll()) };
    assert_eq!(calls.iter().map(Call::verb).collect::<Vec<_>>(), ["order"]);
}

#[test]
fn a_ca_that_has_looked_in_vain_and_waits_to_be_told_again_is_not_waited_for() {
    let answering = || {
        let mut walk = choosing();
        let presented = [Event::Recorded, Event::Presented, Event::Visible, Event::Recorded];
        for event in [Event::Chosen(vec![url("chall/2")])].into_iter().chain(presented) {
            walk.handle(event).unwrap();
        }
        walk
    };
    let reply = |error: &str| {
        let body = format!(r#"{{"type":"dns-01","url":"{BASE}/chall/2","status":"pending"{error}}}"#);
        answered(Reply::Challenge(crate::ChallengeState::parse(body.as_bytes()).unwrap()))
    };
    let problem = r#","error":{"type":"urn:ietf:params:acme:error:dns","detail":"no TXT there"}"#;
    let mut walk = answering();
    let error = walk.handle(reply(problem)).unwrap_err();
    assert!(matches!(&error, Error::OrderInvalid(order) if order.failures.len() == 1), "{error}");
    assert!(
        error.to_string().contains("example.org") && error.to_string().contains("no TXT there"),
        "{error}"
    );
    assert!(error.retry().is_worthwhile());
    assert_eq!(walk.leftovers().len(), 1);
    // One that says nothing of a failure is looking.
    let mut walk = answering();
    walk.handle(reply("")).unwrap();
    assert!(matches!(walk.next, Position::Validate));
}

#[test]
fn what_was_presented_before_a_crash_is_removed_before_the_order_is_finalized() {
    let tasks = vec![Task {
        authorization: url("authz/1"),
        challenge: url("chall/2"),
        kind: crate::ChallengeKind::Dns01,
        identifier: Identifier::Dns("example.org".parse().unwrap()),
        wildcard: false,
    }];
    for status in ["ready", "processing", "valid"] {
        let state = State::Answering { order: url("order/1"), tasks: tasks.clone() };
        let mut walk = Walk::resume(plan(), state).unwrap();
        walk.handle(answered(Reply::Order(order(status)))).unwrap();
        assert!(matches!(walk.poll(), Step::Do(Errand::CleanUp(removed)) if removed == tasks), "{status}");
        walk.handle(Event::CleanedUp).unwrap();
        assert_eq!(*walk.state(), State::Finalizing { order: url("order/1") }, "{status}");
    }
}

#[test]
fn an_order_that_is_placed_but_useless_is_looked_at_and_no_other_is_placed_beside_it() {
    let mut walk = Walk::new(plan()).unwrap();
    walk.handle(Event::Recorded).unwrap();
    let state = OrderState { certificate: None, ..order("valid") };
    let created = Reply::Created(call::Created { url: url("order/1"), state });
    assert!(matches!(walk.handle(answered(created)), Err(Error::Misbehaved(Misbehaved::Field { .. }))));
    walk.handle(Event::Recorded).unwrap();
    assert!(!walk.is_ordering());
    assert!(matches!(walk.poll(), Step::Send(calls) if calls.iter().all(|call| call.verb() == "order")));
}

#[test]
fn rfc8739_3_3_of_a_certificate_that_renews_itself_the_one_of_the_moment_is_taken() {
    let mut walk = Walk::resume(plan(), State::Finalizing { order: url("order/1") }).unwrap();
    let star_certificate = Some(url("star"));
    let state = OrderState { certificate: None, star_certificate, ..order("valid") };
    walk.handle(answered(Reply::Order(state))).unwrap();
    assert!(matches!(&walk.next, Position::Download(at) if *at == url("star")));
}

#[test]
fn an_order_that_lost_its_proofs_before_a_resumption_is_proven_again() {
    let mut walk = Walk::resume(plan(), State::Finalizing { order: url("order/1") }).unwrap();
    walk.handle(answered(Reply::Order(order("pending")))).unwrap();
    assert_eq!(*walk.state(), State::Ordered { order: url("order/1") });
    walk.handle(Event::Recorded).unwrap();
    walk.handle(answered(Reply::Authorization(authorization("pending", "pending")))).unwrap();
    assert!(matches!(walk.poll(), Step::Do(Errand::Choose(_))));
}

#[test]
fn a_pending_order_whose_name_has_failed_is_not_waited_for() {
    for status in ["invalid", "deactivated", "expired", "revoked", "new-word"] {
        let mut walk = Walk::resume(plan(), State::Ordered { order: url("order/1") }).unwrap();
        walk.handle(answered(Reply::Order(order("pending")))).unwrap();
        let heard = walk.handle(answered(Reply::Authorization(authorization(status, "invalid"))));
        let Err(Error::OrderInvalid(invalid)) = heard else { panic!("{status}: {heard:?}") };
        assert_eq!(invalid.failures.len(), 1, "{status}");
    }
}

fn lost() -> Error {
    HttpError::Timeout { url: url("chall/2").to_string() }.into()
}

/// A walk with two names that waits for the answers to their challenges.
fn answering_two() -> Walk {
    let names = ["example.org", "example.net"];
    let offer = |name: &str, path: &str| {
        let body = format!(
            r#"{{"status":"pending","identifier":{{"type":"dns","value":"{name}"}},
                "challenges":[{{"type":"dns-01","url":"{BASE}/{path}"}}]}}"#
        );
        AuthorizationState::parse(body.as_bytes()).unwrap()
    };
    let request = NewOrder::new(names.map(|name| Identifier::Dns(name.parse().unwrap())));
    let mut order = order("pending");
    order.identifiers = request.identifiers().to_vec();
    order.authorizations = vec![url("authz/1"), url("authz/2")];
    let plan = Plan { request, certification_request: certification_request(&names), ..plan() };
    let mut walk = Walk::resume(plan, State::Ordered { order: url("order/1") }).unwrap();
    let offers = [offer(names[0], "chall/1"), offer(names[1], "chall/2")];
    for event in [
        answered(Reply::Order(order)),
        Event::Answered(offers.map(|state| Ok(Reply::Authorization(state))).to_vec()),
        Event::Chosen(vec![url("chall/1"), url("chall/2")]),
        Event::Recorded,
        Event::Presented,
        Event::Visible,
        Event::Recorded,
    ] {
        walk.handle(event).unwrap();
    }
    walk
}

fn challenge(path: &str, status: &str, more: &str) -> Reply {
    let body = format!(r#"{{"type":"dns-01","url":"{BASE}/{path}","status":"{status}"{more}}}"#);
    Reply::Challenge(crate::ChallengeState::parse(body.as_bytes()).unwrap())
}

#[test]
fn after_a_failure_only_the_challenges_that_the_ca_was_not_told_of_are_answered() {
    let mut walk = answering_two();
    let reply = challenge("chall/2", "pending", "");
    let silent = |walk: &Walk| walk.unanswered().collect::<Vec<_>>();
    assert_eq!(silent(&walk), [url("chall/1"), url("chall/2")]);
    let heard = walk.handle(Event::Answered(vec![Err(lost()), Ok(reply.clone())]));
    assert_eq!((heard, silent(&walk)), (Err(lost()), vec![url("chall/1")]));
    walk.handle(answered(reply)).unwrap();
    assert!(matches!(walk.next, Position::Validate));
}

#[test]
fn a_name_that_is_proven_or_looked_at_is_not_given_up_for_one_that_failed() {
    for (status, left) in [("valid", "valid"), ("processing", "pending"), ("pending", "pending")] {
        let mut walk = answering_two();
        let problem = r#","error":{"type":"urn:ietf:params:acme:error:dns","detail":"no TXT there"}"#;
        let replies = [challenge("chall/1", "pending", problem), challenge("chall/2", status, "")];
        let heard = walk.handle(Event::Answered(replies.map(Ok).to_vec()));
        let Err(Error::OrderInvalid(invalid)) = heard else { panic!("{status}: {heard:?}") };
        assert_eq!(invalid.failures.len(), 1, "{status}");
        let failed = walk.known.iter().find(|offer| offer.url == url("authz/1")).unwrap();
        assert_eq!(failed.state.status.to_string(), "pending", "{status}");
        assert_eq!(walk.known[1].state.status.to_string(), left, "{status}");
        assert_eq!(walk.leftovers().len(), 1, "{status}");
    }
}

#[test]
fn rfc8555_7_1_6_names_of_an_order_that_is_ready_are_proven_and_no_leftovers() {
    let mut walk = answering_two();
    let replies = [challenge("chall/1", "pending", ""), challenge("chall/2", "pending", "")];
    walk.handle(Event::Answered(replies.map(Ok).to_vec())).unwrap();
    walk.handle(answered(Reply::Order(order("ready")))).unwrap();
    for event in [Event::CleanedUp, Event::Recorded] {
        walk.handle(event).unwrap();
    }
    let mut failed = order("invalid");
    failed.error = refused(403, "badCSR").problem().cloned();
    assert!(matches!(walk.handle(answered(Reply::Order(failed))), Err(Error::OrderInvalid(_))));
    let is_proven = |offer: &Offer| offer.state.status == crate::AuthorizationStatus::Valid;
    assert!(walk.known.iter().all(is_proven) && walk.leftovers().is_empty());
}

#[test]
fn a_signing_request_that_may_have_arrived_is_not_sent_again_before_a_look_that_succeeds() {
    let mut walk = Walk::resume(plan(), State::Finalizing { order: url("order/1") }).unwrap();
    walk.handle(answered(Reply::Order(order("ready")))).unwrap();
    let verb = |walk: &Walk| match walk.poll() {
        Step::Send(calls) => calls.first().map(Call::verb),
        Step::Do(_) => None,
    };
    let failed = || Event::Answered(vec![Err(lost())]);
    // Lost, and so is the look; the look again, and the request once more; lost for the last time.
    for (event, heard, next) in [
        (failed(), Ok(()), "order"),
        (failed(), Err(lost()), "order"),
        (failed(), Err(lost()), "order"),
        (answered(Reply::Order(order("ready"))), Ok(()), "finalize"),
        (failed(), Err(lost()), "order"),
        (answered(Reply::Order(order("valid"))), Ok(()), "certificate"),
    ] {
        assert_eq!(walk.handle(event), heard);
        assert_eq!(verb(&walk), Some(next));
    }
}

fn refused(status: u16, kind: &str) -> Error {
    let body = format!(r#"{{"type":"urn:ietf:params:acme:error:{kind}","status":{status}}}"#);
    let (verb, url, problem) =
        ("order", url("order/1").to_string(), Problem::parse(body.as_bytes()).unwrap());
    Error::Server(Box::new(Refusal { verb, url, problem }))
}

#[test]
fn only_an_order_that_is_lost_is_left_for_a_new_one() {
    let ours = url("order/1");
    let bad = |text: &str| Misbehaved::url(text, UrlFault::Insecure).into();
    for (error, lost) in [
        (refused(404, "malformed"), true),
        (refused(403, "unauthorized"), true),
        (bad(ours.as_str()), true),
        (refused(403, "userActionRequired"), false),
        (refused(429, "rateLimited"), false),
        (bad("http://ca.example/finalize"), false),
    ] {
        let mut walk = Walk::resume(plan(), State::Ordered { order: ours.clone() }).unwrap();
        let heard = walk.handle(Event::Answered(vec![Err(error.clone())]));
        assert_eq!(heard, if lost { Ok(()) } else { Err(error.clone()) });
        assert_eq!(walk.state().order().is_none(), lost, "{error}");
    }
}

fn status() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["pending", "ready", "processing", "valid", "invalid", "new-word"])
}

fn event() -> impl Strategy<Value = Event> {
    let challenge = prop::sample::select(vec!["pending", "processing", "valid", "invalid"]);
    prop_oneof![
        Just(Event::Recorded),
        Just(Event::Presented),
        Just(Event::Visible),
        Just(Event::CleanedUp),
        Just(Event::Chosen(vec![url("chall/2")])),
        Just(Event::Answered(Vec::new())),
        status().prop_map(placed),
        status().prop_map(|status| answered(Reply::Order(order(status)))),
        (status(), challenge).prop_map(|(status, challenge)| {
            answered(Reply::Authorization(authorization(status, challenge)))
        }),
        Just(Event::Answered(vec![
            Err(Misbehaved::Header { url: String::new(), header: "Location" }.into())
        ])),
    ]
}

proptest! {
    #[test]
    fn whatever_is_told_a_walk_never_orders_twice_unless_its_order_is_lost(
        events in prop::collection::vec(event(), 0..60),
    ) {
        let mut walk = Walk::new(plan()).unwrap();
        let mut placed = 0;
        for event in events {
            let here = matches!(walk.next, Position::Place) && !walk.unrecorded;
            let created = matches!(&event, Event::Answered(replies)
                if matches!(replies.first(), Some(Ok(Reply::Created(_)))));
            if here && created {
                placed += 1;
                prop_assert!(walk.state().order().is_none());
            }
            let _ = walk.handle(event);
            let _ = walk.poll();
            let _ = walk.leftovers();
            if placed > 0 && walk.state().order().is_none() {
                // Only an order that cannot be taken up is left: one at a time.
                placed -= 1;
            }
            prop_assert!(placed <= 1);
        }
    }
}
