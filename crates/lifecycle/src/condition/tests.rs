use std::time::Duration;

use perennial_core::Retry;
use proptest::prelude::*;

use super::*;
use crate::{Attempt, CertificateSpec, Generation, IssueError, IssueErrorClass, ladder, schedule::Spread};

const DAY: i64 = 86_400;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix(seconds)
}

/// A certificate of ninety days, issued at `from`.
fn issued(record: &mut Record, from: i64) {
    let mut current = crate::record::tests::current(record.last_generation.next().number());
    current.facts.not_before = at(from);
    current.facts.not_after = at(from + 90 * DAY);
    current.issued_at = at(from);
    current.issued_for = record.spec.clone();
    record.last_generation = current.generation;
    record.current = Some(current);
    (record.attempt, record.failures) = (None, None);
}

fn failed(record: &mut Record, now: i64) {
    let error = IssueError::new(IssueErrorClass::Transient, "the CA is busy", Retry::Backoff);
    let expires = record.current.as_ref().map(|current| current.facts.not_after);
    let spread = Spread::of(record.id());
    record.failures = Some(ladder::fail(record.failures.as_ref(), &error, at(now), expires, spread));
}

fn spec() -> CertificateSpec {
    CertificateSpec::new("a", ["a.example"]).unwrap()
}

fn record() -> Record {
    Record::new(spec())
}

fn ready(record: &Record, material: Material, now: i64) -> (Status, ConditionReason) {
    let ready = conditions(record, material, at(now)).ready;
    (ready.status, ready.reason)
}

fn issuing(record: &Record, now: i64) -> (Status, ConditionReason) {
    let issuing = conditions(record, Material::Whole, at(now)).issuing;
    (issuing.status, issuing.reason)
}

#[test]
fn each_thing_that_is_wrong_has_its_own_reason() {
    use ConditionReason as Why;
    let mut record = record();
    assert_eq!(ready(&record, Material::Missing, 0), (Status::False, Why::DoesNotExist));
    issued(&mut record, 0);
    for (material, expected) in [
        (Material::Whole, (Status::True, Why::Ready)),
        (Material::Missing, (Status::False, Why::MissingData)),
        (Material::Mismatched, (Status::False, Why::InvalidKeyPair)),
    ] {
        assert_eq!(ready(&record, material, DAY), expected);
    }
    assert_eq!(ready(&record, Material::Whole, 80 * DAY), (Status::True, Why::Ready), "due, and still good");
    assert_eq!(ready(&record, Material::Whole, 91 * DAY), (Status::False, Why::Expired));
    let generation = record.last_generation;
    let compromised = crate::Compromised { generation, issuer: "default".parse().unwrap(), at: at(1) };
    record.compromised.push(compromised);
    assert_eq!(ready(&record, Material::Whole, DAY), (Status::False, Why::KeyCompromised));
    assert_eq!(issuing(&record, DAY), (Status::True, Why::KeyCompromised));
    record.compromised.clear();
    for (spec, why) in [
        (spec().issuer("other").unwrap(), Why::IncorrectIssuer),
        (spec().key_algorithm(crate::KeyAlgorithm::EcdsaP384), Why::SecretMismatch),
        (CertificateSpec::new("a", ["b.example"]).unwrap(), Why::RequestChanged),
    ] {
        record.spec = spec;
        assert_eq!(ready(&record, Material::Whole, DAY), (Status::False, why));
        assert_eq!(issuing(&record, DAY), (Status::True, why));
    }
}

#[test]
fn issuing_follows_what_is_decided() {
    use ConditionReason as Why;
    let mut record = record();
    assert_eq!(issuing(&record, 0), (Status::True, Why::DoesNotExist));
    failed(&mut record, 10);
    assert_eq!(issuing(&record, 11), (Status::False, Why::Failed));
    let message = conditions(&record, Material::Missing, at(11)).issuing.message;
    assert!(message.contains("will be retried at") && message.contains("the CA is busy"), "{message}");
    issued(&mut record, 20);
    assert_eq!(issuing(&record, 21), (Status::False, Why::NotDue));
    assert_eq!(issuing(&record, 80 * DAY), (Status::True, Why::Renewing));
    record.denied = Some(Denied { by: "policy".to_owned(), reason: "no".to_owned(), at: at(7) });
    assert_eq!(issuing(&record, 80 * DAY), (Status::False, Why::Denied));
    assert_eq!(issuing(&record, 21), (Status::False, Why::NotDue), "what nobody asks for, nobody denies");
    record.denied = None;
    record.spec = spec().give_up_after(Duration::ZERO);
    failed(&mut record, 91 * DAY);
    assert_eq!(issuing(&record, 92 * DAY), (Status::False, Why::GivenUp));
}

#[test]
fn a_record_that_cannot_be_read_is_unknown() {
    let error = StoreError::NewerSchema { id: "a".parse().unwrap(), found: 9, known: 1 };
    let conditions = Conditions::unreadable(&error, at(7));
    assert_eq!((conditions.ready.status, conditions.issuing.status), (Status::Unknown, Status::Unknown));
    assert!(conditions.ready.message.contains("schema 9"), "{conditions:?}");
    assert_eq!(conditions.ready.last_transition_time, at(7));
}

fn since(record: &Record, now: i64) -> (i64, i64) {
    let seen = conditions(record, Material::Whole, at(now));
    (seen.ready.last_transition_time.unix(), seen.issuing.last_transition_time.unix())
}

#[test]
fn renewals_do_not_move_the_moment_since_when_it_is_ready() {
    let mut record = record();
    record.observe(Some(Material::Missing), at(5));
    assert_eq!(since(&record, 9), (5, 5));
    for from in [10, 70 * DAY, 140 * DAY] {
        record.observe(Some(Material::Whole), at(from));
        issued(&mut record, from);
        record.observe(Some(Material::Whole), at(from));
        assert_eq!(since(&record, from + 1), (10, from));
    }
}

#[test]
fn an_end_that_nobody_wrote_down_is_known_to_the_second_and_counts_when_the_next_one_comes() {
    let mut record = record();
    issued(&mut record, 0);
    record.observe(Some(Material::Whole), at(0));
    assert_eq!(since(&record, 95 * DAY).0, 90 * DAY + 1);
    issued(&mut record, 100 * DAY);
    record.observe(Some(Material::Whole), at(100 * DAY));
    assert_eq!(since(&record, 101 * DAY).0, 100 * DAY);
}

#[test]
fn what_nobody_has_looked_at_keeps_the_moment_that_is_on_record() {
    let mut record = record();
    issued(&mut record, 0);
    record.observe(Some(Material::Missing), at(DAY));
    let known = record.transitions.unwrap().ready;
    assert_eq!((known.status, known.at), (Status::False, at(DAY)));
    record.observe(None, at(2 * DAY));
    assert_eq!(record.transitions.unwrap().ready, known);
}

#[test]
fn an_old_record_without_transitions_is_read_and_tells_the_same_moments_every_time() {
    let mut record = record();
    issued(&mut record, 0);
    let text = serde_json::to_string(&record).unwrap();
    assert!(!text.contains("transitions"), "{text}");
    let old = text.replace(r#""spec_generation":1,"#, "");
    assert_ne!(old, text);
    assert_eq!(serde_json::from_str::<Record>(&old).unwrap(), record);
    assert_eq!(since(&record, DAY), since(&record, 2 * DAY));
    record.observe(Some(Material::Whole), at(3 * DAY));
    let text = serde_json::to_string(&record).unwrap();
    assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
}

#[test]
fn moments_that_nobody_wrote_down_are_told_by_the_rest_of_the_record() {
    let mut record = record();
    assert_eq!(since(&record, 7), (7, 7), "nothing tells");
    record.attempt = Some(Attempt::new(Generation::from_number(1), spec(), at(5)));
    assert_eq!(since(&record, 7), (5, 5), "since the attempt began");
    assert_eq!(since(&record, 4), (4, 4), "what lies ahead was written by another clock");
    failed(&mut record, 20);
    let first_retry = record.failures.as_ref().unwrap().retry_at.unix();
    failed(&mut record, first_retry);
    assert_eq!(since(&record, first_retry + 1), (20, first_retry), "since the first failure, and the last");
    let retry = record.failures.as_ref().unwrap().retry_at.unix();
    assert_eq!(since(&record, retry + 9), (20, retry), "since it may be tried again");
    issued(&mut record, 100);
    assert_eq!(since(&record, DAY), (100, 100), "since it was issued");
    let current = record.current.as_ref().unwrap();
    let due = crate::renews_at(&record.spec, &Holding::new(current, Material::Whole), at(DAY)).unix();
    assert_eq!(since(&record, 85 * DAY), (100, due), "since it is due");
    record.denied = Some(Denied { by: "policy".to_owned(), reason: "no".to_owned(), at: at(82 * DAY) });
    assert_eq!(since(&record, 85 * DAY), (100, 82 * DAY), "since somebody has said no");
}

#[test]
fn a_moment_that_the_record_tells_counts_between_the_last_change_and_now() {
    let mut record = record();
    record.observe(Some(Material::Missing), at(50));
    for (from, moment) in [(10, 60), (55, 55), (1_000, 60)] {
        issued(&mut record, from);
        assert_eq!(since(&record, 60).0, moment, "issued at {from}");
    }
}

#[test]
fn who_is_renewed_in_the_last_second_was_ready_all_the_time() {
    let mut record = record();
    issued(&mut record, 0);
    record.observe(Some(Material::Whole), at(0));
    issued(&mut record, 90 * DAY);
    assert_eq!(since(&record, 90 * DAY).0, 0);
    issued(&mut record, 90 * DAY + 1);
    assert_eq!(since(&record, 91 * DAY).0, 90 * DAY + 1);
}

#[test]
fn conditions_say_in_words_what_operators_look_for_and_of_which_spec() {
    let mut record = record();
    record.spec_generation = 3;
    let said = |record: &Record, now: i64| {
        let Conditions { ready, issuing } = conditions(record, Material::Whole, at(now));
        assert_eq!((ready.observed_generation, issuing.observed_generation), (3, 3));
        (ready.message, issuing.message)
    };
    let pair = |ready: &str, issuing: &str| (ready.to_owned(), issuing.to_owned());
    assert_eq!(
        said(&record, 0),
        pair("there is no certificate yet", "Issuing certificate, because there is no certificate yet")
    );
    issued(&mut record, 0);
    let held = Holding::new(record.current.as_ref().unwrap(), Material::Whole);
    let due = crate::renews_at(&record.spec, &held, at(DAY));
    let good = "Certificate is up to date and has not expired";
    assert_eq!(said(&record, DAY), pair(good, &format!("nothing is to be done before {due}")));
    let renewing = format!("Renewing certificate as renewal was scheduled at {due}");
    assert_eq!(said(&record, 80 * DAY), pair(good, &renewing));
    record.denied = Some(Denied { by: "policy".to_owned(), reason: "no".to_owned(), at: at(0) });
    assert_eq!(said(&record, 80 * DAY), pair(good, "The certificate request was denied by policy: no"));
    assert_eq!(said(&record, 91 * DAY).0, "Certificate expired on 1970-04-01T00:00:00Z");
}

/// What can happen to a record.
#[derive(Clone, Copy, Debug)]
enum Step {
    Begin,
    ChangeSpec(bool),
    Fail,
    Issue,
    Lose,
    Wait(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        Just(Step::Begin),
        any::<bool>().prop_map(Step::ChangeSpec),
        Just(Step::Fail),
        Just(Step::Issue),
        Just(Step::Lose),
        (0..50 * DAY).prop_map(Step::Wait),
    ];
    proptest::collection::vec(step, 0..40)
}

proptest! {
    /// The rule of Kubernetes: the moment moves when the status does, and at no other time.
    #[test]
    fn a_transition_time_changes_when_its_status_does_and_never_lies_ahead(steps in steps()) {
        let (mut record, mut now, mut material) = (record(), 0, Material::Whole);
        record.observe(Some(material), at(now));
        let mut before = conditions(&record, material, at(now));
        for step in steps {
            match step {
                Step::Begin => {
                    record.attempt = Some(Attempt::new(Generation::from_number(1), spec(), at(now)));
                }
                Step::ChangeSpec(other) => {
                    record.spec = if other { spec().issuer("other").unwrap() } else { spec() };
                }
                Step::Fail => failed(&mut record, now),
                Step::Issue => {
                    material = Material::Whole;
                    issued(&mut record, now);
                }
                Step::Lose => material = Material::Missing,
                Step::Wait(seconds) => now += seconds,
            }
            let seen = conditions(&record, material, at(now));
            prop_assert_eq!(&seen, &conditions(&record, material, at(now)));
            record.observe(Some(material), at(now));
            let noted = conditions(&record, material, at(now));
            prop_assert_eq!(&noted, &seen, "noting it changes nothing");
            let pairs = [(&before.ready, &seen.ready), (&before.issuing, &seen.issuing)];
            for (old, new) in pairs {
                prop_assert!(new.last_transition_time <= at(now));
                if old.status == new.status && !matches!(step, Step::Issue) {
                    prop_assert_eq!(old.last_transition_time, new.last_transition_time);
                } else if old.status != new.status {
                    prop_assert!(new.last_transition_time >= old.last_transition_time);
                }
            }
            before = seen;
        }
    }
}
