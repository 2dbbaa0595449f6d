use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn id(text: &str) -> CertificateId {
    text.parse().unwrap()
}

fn owner(text: &str) -> Owner {
    text.parse().unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix(seconds)
}

/// Due then, and without a certificate.
fn first(seconds: i64) -> Row {
    Row::new(at(seconds), Line::First)
}

fn renewal(seconds: i64) -> Row {
    Row::new(at(seconds), Line::Renewal)
}

const MINUTE: Duration = Duration::from_secs(60);

/// Certificates that are due at these moments.
fn index(rows: &[(&str, i64)]) -> DueIndex {
    let mut index = DueIndex::default();
    for (name, due) in rows {
        index.put(&id(name), first(*due));
    }
    index
}

#[test]
fn the_longest_due_comes_first_and_what_is_held_does_not_come_again() {
    let mut index = index(&[("b", 20), ("a", 10), ("later", 1_000)]);
    let mut claimed = || index.claim(at(100), &owner("o"), MINUTE).map(|held| held.id.to_string());
    assert_eq!((claimed(), claimed(), claimed()), (Some("a".into()), Some("b".into()), None));
    assert_eq!(index.next(), Some(at(161)), "the end of a claim, rounded up");
}

#[test]
fn while_both_lines_have_something_due_they_take_turns_and_else_one_has_all() {
    let mut index = index(&[("f1", 1), ("f2", 2), ("f3", 3), ("f4", 4)]);
    index.put(&id("r1"), renewal(50));
    index.put(&id("r2"), renewal(40));
    let mut claimed = |most: usize| {
        let claims = std::iter::from_fn(|| index.claim(at(100), &owner("o"), MINUTE));
        claims.take(most).map(|held| held.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(claimed(1), ["r2"], "renewals begin");
    assert_eq!(claimed(1), ["f1"], "and the next is a first one");
    assert_eq!(claimed(9), ["r1", "f2", "f3", "f4"]);
    index.put(&id("r3"), renewal(60));
    index.put(&id("f5"), first(5));
    assert_eq!(index.claim(at(100), &owner("o"), MINUTE).unwrap().id, id("r3"), "its line has waited longer");
}

#[test]
fn who_gets_a_certificate_while_it_is_held_stands_in_the_other_line_when_it_is_let_go() {
    let mut index = index(&[("a", 10), ("b", 11), ("c", 12)]);
    let held = index.claim(at(100), &owner("o"), MINUTE).unwrap();
    index.put(&id("a"), renewal(90));
    assert_eq!(index.row(&id("a")), Some(renewal(90)));
    index.release(&held);
    let next = index.claim(at(100), &owner("o"), MINUTE).unwrap();
    assert_eq!(next.id, id("a"), "it stands before no first one, and beside them");
}

#[test]
fn a_claim_that_is_let_go_unwritten_is_due_as_it_was() {
    let mut index = index(&[("a", 10)]);
    let held = index.claim(at(100), &owner("o"), MINUTE).unwrap();
    assert_eq!(index.row(&id("a")), Some(first(10)));
    index.release(&held);
    assert_eq!(index.next(), Some(at(10)));
}

#[test]
fn a_claim_whose_time_is_over_is_anybodys_and_its_owner_is_fenced() {
    let mut index = index(&[("a", 10)]);
    let first = index.claim(at(100), &owner("one"), MINUTE).unwrap();
    assert_eq!(index.claim(at(160), &owner("two"), MINUTE), None);
    index.check(&first).unwrap();
    let second = index.claim(at(161), &owner("two"), MINUTE).unwrap();
    assert!(second.fence > first.fence);
    let refused = StoreError::Fenced { id: id("a"), held: first.fence, newest: Some(second.fence) };
    assert_eq!(index.check(&first), Err(refused));
    index.release(&first);
    assert!(!index.extend(at(162), &first, MINUTE), "it is lost");
    index.check(&second).unwrap();
}

#[test]
fn who_is_late_and_has_lost_nothing_may_go_on() {
    let mut index = index(&[("a", 10)]);
    let held = index.claim(at(100), &owner("one"), MINUTE).unwrap();
    index.check(&held).unwrap();
    assert!(index.extend(at(500), &held, MINUTE));
    assert_eq!(index.claim(at(560), &owner("two"), MINUTE), None);
}

#[test]
fn what_was_wished_for_while_it_was_held_counts_when_it_is_let_go() {
    let mut index = index(&[("a", 10)]);
    let held = index.claim(at(100), &owner("one"), MINUTE).unwrap();
    index.put(&id("a"), first(5_000));
    assert_eq!(index.next(), Some(at(161)));
    index.release(&held);
    assert_eq!(index.next(), Some(at(5_000)));
    assert!(index.check(&held).is_err(), "it was let go");
    let one = index.claim_one(at(200), &owner("one"), MINUTE, &id("a")).unwrap();
    assert!(index.claim_one(at(200), &owner("one"), MINUTE, &id("a")).is_none(), "not even its owner");
    assert_eq!(index.row(&id("a")), Some(first(5_000)));
    index.release(&one);
    assert_eq!(index.claim(at(200), &owner("one"), MINUTE), None);
}

#[test]
fn a_claim_that_is_over_keeps_the_moment_that_the_record_names() {
    let mut index = index(&[("a", 10)]);
    index.claim(at(100), &owner("one"), MINUTE).unwrap();
    index.put(&id("a"), first(7_000));
    let taken = index.claim(at(200), &owner("two"), MINUTE).unwrap();
    index.release(&taken);
    assert_eq!(index.next(), Some(at(7_000)));
}

#[test]
fn one_that_was_removed_is_not_claimed_and_its_fences_are_not_used_again() {
    let mut index = index(&[("a", 10), ("b", 10)]);
    let held = index.claim_one(at(100), &owner("o"), MINUTE, &id("a")).unwrap();
    index.remove(&id("a"));
    assert!(matches!(index.check(&held), Err(StoreError::Fenced { newest: None, .. })));
    let other = index.claim(at(1_000), &owner("o"), MINUTE).unwrap();
    index.let_go(&id("b"));
    assert!(index.check(&other).is_err() && index.claim(at(1_000), &owner("o"), MINUTE).is_some());
    assert!(index.knows(&id("b")) && !index.knows(&id("a")));
    index.put(&id("a"), first(10));
    let again = index.claim(at(1_000), &owner("o"), MINUTE).unwrap();
    assert!(again.fence > held.fence);
}

#[test]
fn a_scan_is_in_the_order_of_time_then_of_ids_and_goes_on_after_its_cursor() {
    let mut index = index(&[("c", 10), ("a", 10), ("b", 10), ("early", 5), ("late", 90)]);
    let mut rows = Vec::new();
    loop {
        let page = index.scan(at(50), rows.last(), 2);
        if page.is_empty() {
            break;
        }
        rows.extend(page);
    }
    let names: Vec<_> = rows.iter().map(|row| row.id.as_str()).collect();
    assert_eq!(names, ["early", "a", "b", "c"]);
    assert_eq!(index.scan(at(50), None, 0), []);
    index.claim_one(at(20), &owner("o"), MINUTE, &id("early")).unwrap();
    assert_eq!(index.scan(Timestamp::MAX, None, 9).last().unwrap(), &Due { at: at(90), id: id("late") });
    assert_eq!(index.scan(at(50), None, 1)[0].id, id("a"), "one that is held stands at the end of its claim");
}

/// All rows, by pages of this size, where somebody may do something after each.
fn paged(index: &mut DueIndex, most: usize, mut between: impl FnMut(&mut DueIndex, &[Due])) -> Vec<Due> {
    let mut rows: Vec<Due> = Vec::new();
    loop {
        let page = index.scan(Timestamp::MAX, rows.last(), most);
        if page.is_empty() {
            return rows;
        }
        rows.extend(page);
        between(index, &rows);
    }
}

#[test]
fn the_pages_after_a_page_are_found_with_it_and_what_is_set_meanwhile_is_in_them() {
    let mut index = DueIndex::default();
    for number in 0..40_000 {
        index.put(&id(&format!("c{number:05}")), first(1_000_000 + number % 2_000));
    }
    let mut looked = 0;
    let mut looks = |index: &DueIndex| looked += usize::from(index.pages.is_empty());
    let all = paged(&mut index, 500, |index, _| looks(index));
    assert!(all.is_sorted() && all.len() == 40_000);
    assert!(looked <= 1, "only the last page leaves nothing behind");
    // One that comes in before the cursor is not seen, one after it is, and one that moves on is seen there.
    let rows = paged(&mut index, 500, |index, rows| {
        if rows.len() == 1_000 {
            index.put(&id("early"), first(5));
            index.put(&id("soon"), renewal(1_000_100));
            index.put(&id("c01999"), renewal(3_000_000));
            index.remove(&id("c01998"));
        }
    });
    let names: Vec<_> = rows.iter().map(|row| row.id.as_str()).collect();
    assert!(rows.is_sorted() && names.contains(&"soon") && !names.contains(&"early"));
    assert!(!names.contains(&"c01998") && names.last() == Some(&"c01999") && rows.len() == 40_000);
}

#[test]
fn only_what_is_earlier_than_was_said_wakes() {
    let mut index = index(&[("a", 100)]);
    assert_eq!(index.next(), Some(at(100)));
    assert!(
        !index.put(&id("b"), first(100))
            && !index.put(&id("c"), first(200))
            && index.put(&id("c"), first(99))
    );
    let held = index.claim_one(at(0), &owner("o"), MINUTE, &id("c")).unwrap();
    assert!(!index.put(&id("c"), first(1)), "it is held");
    assert!(index.release(&held) && !index.release(&held));
}

#[derive(Clone, Debug)]
enum Operation {
    Put(u8, u16),
    Remove(u8),
    Claim(u16),
    Release(usize),
    Extend(usize),
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        (0u8..12, any::<u16>()).prop_map(|(which, at)| Operation::Put(which, at)),
        (0u8..12).prop_map(Operation::Remove),
        (0u16..500).prop_map(Operation::Claim),
        (0usize..50).prop_map(Operation::Release),
        (0usize..50).prop_map(Operation::Extend),
    ]
}

proptest! {
    #[test]
    fn at_no_moment_do_two_claims_hold_one_certificate(operations in proptest::collection::vec(operation(), 1..200)) {
        let (mut index, mut now, mut claims) = (DueIndex::default(), 0, Vec::new());
        let mut highest = Fence::default();
        for operation in operations {
            match operation {
                Operation::Put(which, due) => { index.put(&id(&format!("c{which}")), first(due.into())); }
                Operation::Remove(which) => index.remove(&id(&format!("c{which}"))),
                Operation::Claim(later) => {
                    now += i64::from(later);
                    let owner = owner(&format!("o{}", claims.len() % 3));
                    if let Some(held) = index.claim(at(now), &owner, MINUTE) {
                        prop_assert!(held.fence > highest, "fences grow");
                        highest = held.fence;
                        claims.push(held);
                    }
                }
                Operation::Release(which) => { claims.get(which).map(|held| index.release(held)); }
                Operation::Extend(which) => { claims.get(which).map(|held| index.extend(at(now), held, MINUTE)); }
            }
            let mut holders = BTreeMap::new();
            for held in claims.iter().filter(|held| index.check(held).is_ok()) {
                prop_assert!(holders.insert(held.id.clone(), held.fence).is_none(), "{} has two holders", held.id);
            }
            prop_assert_eq!(index.scan(Timestamp::MAX, None, 99).len(), index.len(), "every certificate has its moment");
        }
    }
}
