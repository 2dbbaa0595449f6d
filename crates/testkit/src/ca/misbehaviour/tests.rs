use std::collections::BTreeSet;

use http::header::LOCATION;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const AT: Occasion<'_> =
    Occasion { base: "https://127.0.0.1:1", struck: 0, spent_nonce: "spent", first_order: 1 };

fn order() -> Response<Bytes> {
    let order = json!({
        "status": "ready",
        "authorizations": ["https://127.0.0.1:1/authorization/1"],
        "finalize": "https://127.0.0.1:1/order/2/finalize",
    });
    Response::builder()
        .header(LOCATION, "https://127.0.0.1:1/order/2")
        .body(order.to_string().into())
        .unwrap()
}

fn spoiled(misbehaviour: Misbehaviour, verb: Verb) -> Response<Bytes> {
    let mut answer = order();
    assert!(Active::new(misbehaviour).spoil(verb, &mut answer, &AT).is_none());
    answer
}

fn object(answer: &Response<Bytes>) -> Value {
    serde_json::from_slice(answer.body()).unwrap()
}

#[test]
fn there_are_many_and_each_has_a_name_and_a_place() {
    let names: BTreeSet<String> = Misbehaviour::ALL.iter().map(|found| found.name()).collect();
    assert_eq!(names.len(), Misbehaviour::ALL.len());
    assert!(names.len() >= 200, "{}", names.len());
    assert!(names.contains("order-finalize-wrong-type") && names.contains("redirect307"), "{names:?}");
    assert!(Misbehaviour::ALL.iter().all(|found| !found.verbs().is_empty()));
}

#[test]
fn one_that_strikes_once_leaves_the_next_answer_alone() {
    let mut active = Active::new(Misbehaviour::FinalizeNotReady);
    let mut answer = order();
    active.spoil(Verb::Order, &mut answer, &AT);
    assert_eq!(answer.status(), 200, "this is no finalization");
    active.spoil(Verb::Finalize, &mut answer, &AT);
    assert_eq!(answer.status(), 403);
    let mut answer = order();
    active.spoil(Verb::Finalize, &mut answer, &AT);
    assert_eq!(answer.status(), 200);
}

#[test]
fn twenty_nonces_are_refused_whatever_is_answered_meanwhile() {
    let mut active = Active::new(Misbehaviour::NoncesRefused);
    let refused = (0..30).filter(|_| {
        active.spoil(Verb::NewOrder, &mut order(), &AT);
        active.refuses_nonce()
    });
    assert_eq!(refused.count(), 20);
}

#[test]
fn a_field_goes_wrong_in_four_ways() {
    let finalize = |fault| spoiled(Misbehaviour::Field(Field::OrderFinalize, fault), Verb::Order);
    assert_eq!(object(&finalize(FieldFault::WrongType))["finalize"], 7);
    assert_eq!(object(&finalize(FieldFault::Missing)).get("finalize"), None);
    assert!(finalize(FieldFault::Huge).body().len() > 100_000);
    let twice = finalize(FieldFault::Duplicated);
    assert!(twice.body().starts_with(br#"{"authorizations""#), "{twice:?}");
    assert!(
        String::from_utf8_lossy(twice.body()).contains(r#""finalize":null,"finalize":"https"#),
        "{twice:?}"
    );
}

#[test]
fn an_order_flaps_between_two_statuses() {
    let mut active = Active::new(Misbehaviour::OrderFlaps);
    let statuses: Vec<Value> = (0..3)
        .map(|_| {
            let mut answer = order();
            active.spoil(Verb::Order, &mut answer, &AT);
            object(&answer)["status"].clone()
        })
        .collect();
    assert_eq!(statuses, ["pending", "ready", "pending"]);
}

#[test]
fn a_location_becomes_a_path_and_authorizations_multiply() {
    assert_eq!(spoiled(Misbehaviour::LocationPath, Verb::NewOrder).headers()[LOCATION], "/order/2");
    let many = object(&spoiled(Misbehaviour::AuthorizationsWithoutEnd, Verb::Order));
    assert_eq!(many["authorizations"].as_array().unwrap().len(), 900);
}

proptest! {
    #[test]
    fn no_answer_panics(which in any::<prop::sample::Index>(), body in ".{0,60}") {
        let misbehaviour = *which.get(Misbehaviour::ALL);
        for verb in misbehaviour.verbs() {
            let mut answer = Response::new(Bytes::from(body.clone()));
            Active::new(misbehaviour).spoil(*verb, &mut answer, &AT);
        }
    }
}
