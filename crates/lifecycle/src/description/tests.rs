use perennial_core::Retry;

use super::*;
use crate::{Attempt, CertificateSpec, IssueErrorClass};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix(1_800_000_000 + seconds)
}

fn spec() -> CertificateSpec {
    CertificateSpec::new("site", ["example.com", "www.example.com", "192.0.2.1"])
        .unwrap()
        .issuer("letsencrypt")
        .unwrap()
}

fn order(stages: impl IntoIterator<Item = Stage>) -> Option<OrderRecord> {
    let mut order = None;
    for (stage, second) in stages.into_iter().zip(1..) {
        OrderRecord::hear(&mut order, &stage, at(second));
    }
    order
}

fn proven(name: &str) -> [Stage; 2] {
    let (of, kind) = (name.parse().unwrap(), "http-01".to_owned());
    let chosen = Stage::ChallengeChosen {
        name: of,
        kind: kind.clone(),
        url: format!("https://ca.example/chall/{name}"),
    };
    [chosen, Stage::DomainVerified { name: name.parse().unwrap(), kind }]
}

fn created() -> Stage {
    Stage::OrderCreated { url: "https://ca.example/order/1".to_owned() }
}

#[test]
fn the_classic_sequence_is_told_again_from_what_is_on_record() {
    let mut record = Record::new(spec());
    let mut current = crate::record::tests::current(2);
    (current.issued_for, current.issued_at) = (spec(), at(60));
    (current.facts.names, current.facts.addresses) = (spec().name_set(), spec().addresses().clone());
    (current.facts.not_before, current.facts.not_after) = (at(0), at(90 * 86_400));
    let [one, other] = [proven("example.com"), proven("www.example.com")];
    let stages = [created()].into_iter().chain(one).chain(other).chain([Stage::Finalized, Stage::Downloaded]);
    current.order = order(stages);
    current.approved_by = Some("policy".to_owned());
    record.current = Some(current);
    let description = describe(&record, Material::Whole, at(3_600));
    let reasons: Vec<_> = description.events.iter().map(|event| event.kind.reason()).collect();
    assert_eq!(
        reasons,
        ["CreateOrder", "DomainVerified", "DomainVerified", "IssueCert", "CertObtained", "CertIssued"]
    );
    let request = description.request.as_ref().unwrap();
    assert_eq!((request.state, request.revision.number()), (RequestState::Issued, 2));
    let text = description.to_string();
    for expected in [
        "Names:           example.com, www.example.com, 192.0.2.1",
        "  Ready    True     Ready            2027-01-15T08:01:00Z Certificate is up to date and has not expired",
        "  Approved By:   policy",
        "    Type:        http-01",
        "  Normal   DomainVerified     2027-01-15T08:00:03Z Domain \"example.com\" verified with \"http-01\" validation",
    ] {
        assert!(text.lines().any(|line| line == expected), "{expected:?} is missing from\n{text}");
    }
}

#[test]
fn a_denied_request_is_shown_with_who_said_no() {
    let mut record = Record::new(spec());
    let denied = Denied { by: "policy".to_owned(), reason: "too many names".to_owned(), at: at(3) };
    (record.denied, record.requester) = (Some(denied), Some("team-a".to_owned()));
    let text = describe(&record, Material::Missing, at(4)).to_string();
    for expected in ["State:         Denied", "Requester:     team-a", "denied by policy: too many names"] {
        assert!(text.contains(expected), "{expected:?} is missing from\n{text}");
    }
}

#[test]
fn a_failed_attempt_shows_its_challenge_its_reason_and_when_it_goes_on() {
    let mut record = Record::new(spec());
    let mut attempt = Attempt::new(Generation::from_number(1), spec(), at(0));
    let [chosen, _] = proven("example.com");
    let reason = "no TXT at _acme-challenge.example.com".to_owned();
    let refused = Stage::ChallengeFailed { name: "example.com".parse().unwrap(), reason };
    attempt.order = order([created(), chosen, refused, Stage::OrderFailed { reason: "invalid".to_owned() }]);
    record.attempt = Some(attempt);
    record.failures = Some(Failures {
        count: 1,
        streak: 1,
        first_at: Some(at(9)),
        issuers_since: None,
        last_at: at(9),
        retry_at: at(69),
        class: IssueErrorClass::Validation,
        message: "the CA refuses".to_owned(),
        retry: Retry::Backoff,
    });
    let description = describe(&record, Material::Missing, at(10));
    assert_eq!(description.request.as_ref().unwrap().state, RequestState::Failed);
    let last = description.events.last().unwrap();
    assert_eq!((last.kind.reason(), last.at), ("Failed", at(9)));
    let text = description.to_string();
    for expected in
        ["no TXT at _acme-challenge.example.com", "Next Attempt:  2027-01-15T08:01:09Z", "invalid"]
    {
        assert!(text.contains(expected), "{expected:?} is missing from\n{text}");
    }
    // What a program reads is the same as what a person does.
    let json = serde_json::to_value(&description).unwrap();
    assert_eq!(json["order"]["challenges"][0]["state"], "invalid");
    assert_eq!(json["conditions"]["issuing"]["reason"], "Failed");
}

fn failures(at: Timestamp, message: &str) -> Failures {
    Failures {
        count: 2,
        streak: 1,
        first_at: None,
        issuers_since: None,
        last_at: at,
        retry_at: at + std::time::Duration::from_secs(60),
        class: IssueErrorClass::Transient,
        message: message.to_owned(),
        retry: Retry::Backoff,
    }
}

/// A certificate that serves, with an order of its own.
fn serving() -> crate::Current {
    let mut current = crate::record::tests::current(2);
    (current.issued_for, current.issued_at) = (spec(), at(0));
    (current.facts.names, current.facts.addresses) = (spec().name_set(), spec().addresses().clone());
    (current.facts.not_before, current.facts.not_after) = (at(0), at(90 * 86_400));
    (current.facts.serial, current.facts.issuer) = ("0a1b".to_owned(), "CN=a CA".to_owned());
    current.order = order([Stage::OrderCreated { url: "https://ca.example/order/old".to_owned() }]);
    current
}

#[test]
fn a_renewal_under_way_is_described_to_the_letter() {
    let names =
        ["example.com", "www.example.com", "192.0.2.1", "spiffe://example.com/web", "ops@example.com"];
    let spec = || CertificateSpec::new("site", names).unwrap().issuer("letsencrypt").unwrap();
    let mut record = Record::new(spec());
    let mut current = serving();
    (current.facts.uris, current.facts.emails) = (spec().uris().clone(), spec().emails().clone());
    current.issued_for = spec();
    record.current = Some(current);
    let mut attempt = Attempt::new(Generation::from_number(3), spec(), at(65 * 86_400));
    attempt.approved_by = Some("policy".to_owned());
    let presented = |name: &str, kind: &str, at: &str| {
        let (name, kind, at) = (name.parse().unwrap(), kind.to_owned(), at.to_owned());
        Stage::ChallengePresented { name, kind, at }
    };
    let refused = Stage::ChallengeFailed { name: "example.com".parse().unwrap(), reason: "404".to_owned() };
    let [one, other] = [proven("example.com"), proven("www.example.com")];
    attempt.order = order([
        created(),
        one[0].clone(),
        other[0].clone(),
        presented("example.com", "http-01", "http://example.com/1"),
        presented("www.example.com", "http-01", "http://www.example.com/2"),
        other[1].clone(),
        refused,
        Stage::OrderFailed { reason: "it is invalid".to_owned() },
    ]);
    record.attempt = Some(attempt);
    record.requester = Some("team-a".to_owned());
    record.failures = Some(failures(at(65 * 86_400 - 1), "the CA is busy"));
    record.elsewhere = [("other".parse().unwrap(), failures(at(9), "the other is busy"))].into();
    let (issuer, what) = ("letsencrypt".parse().unwrap(), crate::Progress::encode(&"txt").unwrap());
    record.debts = vec![crate::Debt { issuer, what, since: None }];
    let description = describe(&record, Material::Whole, at(65 * 86_400 + 70));
    let request = description.request.as_ref().unwrap();
    assert_eq!(
        (request.state, request.revision.number()),
        (RequestState::Pending, 3),
        "that failure was before"
    );
    let renewal = description.serving.as_ref().unwrap().renewal_time;
    assert!(renewal < at(61 * 86_400) && renewal > at(50 * 86_400), "{renewal}");
    let text = description.to_string().replace(&renewal.to_string(), "RENEWAL");
    assert_eq!(text, include_str!("renewal.txt"));
}

#[test]
fn a_request_that_is_done_tells_of_its_own_order_and_one_that_was_denied_of_none() {
    let mut record = Record::new(spec());
    record.current = Some(serving());
    let done = describe(&record, Material::Whole, at(10)).request.unwrap();
    assert_eq!((done.created_at, done.issuer.as_str()), (Some(at(1)), "letsencrypt"));
    record.denied = Some(Denied { by: "policy".to_owned(), reason: "no".to_owned(), at: at(5) });
    let denied = describe(&record, Material::Whole, at(10)).request.unwrap();
    assert_eq!((denied.state, denied.created_at), (RequestState::Denied, Some(at(5))));
    (record.denied, record.failures) = (None, Some(failures(at(7), "busy")));
    let reasons: Vec<_> =
        describe(&record, Material::Whole, at(10)).events.iter().map(|it| it.kind.reason()).collect();
    assert_eq!(reasons, ["CreateOrder", "Failed"], "what came after it was issued");
}
