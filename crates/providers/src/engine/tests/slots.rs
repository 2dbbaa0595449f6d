//! A fixed number of values.

use super::*;

#[tokio::test]
async fn slots_hold_as_many_as_there_are_and_a_batch_of_more_is_refused() {
    let paper = Paper::new(WriteClass::Slots(2));
    let provider = Slots::new(paper.clone(), settings());
    let add = |value: &str| Change::add(name("a"), value);
    provider.apply(&zone(), &[add("one"), add("two")]).await.unwrap();
    let again = provider.apply(&zone(), &[add("one"), Change::remove(name("a"), "two")]).await.unwrap();
    assert_eq!(again.outcomes, [Outcome::AlreadyDone, Outcome::Made]);
    assert_eq!(paper.values(&name("a")), ["one"]);
    let error = provider.apply(&zone(), &[add("x"), add("y"), add("z")]).await.unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error}");
    let forever = Slots::new(Paper { slots_delete: false, ..paper.clone() }, settings());
    let removed = forever.apply(&zone(), &[Change::remove(name("a"), "one")]).await.unwrap();
    assert_eq!(removed.outcomes, [Outcome::Unknown]);
    assert_eq!(paper.values(&name("a")), ["one"]);
}
