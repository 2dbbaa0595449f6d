//! Callers of one writer who come together, one of whom may be refused, leave, or contradict another.

use std::collections::BTreeSet;

use futures_util::{FutureExt as _, future::join_all};
use perennial_core::Retry;
use proptest::prelude::*;
use tokio::sync::Semaphore;

use super::*;
use crate::{Pending, Receipt};

/// Somebody whose writes end when the test says so, and who refuses some values.
struct Paper {
    open: Semaphore,
    written: SyncMutex<Vec<Vec<Change>>>,
    /// The values that are refused, and the error for a write in which one of them is.
    refuses: Option<(Values, Error)>,
    permits_by_name: bool,
}

type Values = Box<dyn Fn(&str) -> bool + Send + Sync>;

impl Paper {
    fn new() -> Self {
        let open = Semaphore::new(Semaphore::MAX_PERMITS);
        Self { open, written: SyncMutex::default(), refuses: None, permits_by_name: true }
    }

    fn closed() -> Self {
        Self { open: Semaphore::new(0), ..Self::new() }
    }

    fn refusing(value: impl Into<String>, error: Error) -> Self {
        let value = value.into();
        Self::refusing_all(move |it| it == value, error)
    }

    fn refusing_all(bad: impl Fn(&str) -> bool + Send + Sync + 'static, error: Error) -> Self {
        Self { refuses: Some((Box::new(bad), error)), ..Self::new() }
    }

    /// The values of each write that was begun.
    fn written(&self) -> Vec<Vec<String>> {
        let values = |changes: &Vec<Change>| changes.iter().map(|change| change.value.clone()).collect();
        self.written.lock().unwrap().iter().map(values).collect()
    }

    fn sizes(&self) -> Vec<usize> {
        self.written().iter().map(Vec::len).collect()
    }
}

#[async_trait]
impl Commit for Paper {
    async fn commit(&self, zone: &Zone, changes: &[Change]) -> Answer {
        self.written.lock().unwrap().push(changes.to_vec());
        self.open.acquire().await.unwrap().forget();
        if let Some((is_bad, error)) = &self.refuses
            && changes.iter().any(|change| is_bad(&change.value))
        {
            return Err(error.clone());
        }
        let adds = changes.iter().filter(|change| change.action == Action::Add);
        let applied = Applied::new(adds.map(|change| Receipt::new("paper", zone, change)).collect());
        let outcomes = changes.iter().map(|change| match change.action {
            Action::Add => Outcome::Made,
            Action::Remove => Outcome::AlreadyDone,
        });
        Ok(applied.with_outcomes(outcomes).with_pending([Pending::new("paper", zone, "1")]))
    }

    fn permits_by_name(&self) -> bool {
        self.permits_by_name
    }
}

fn zone() -> Zone {
    Zone::new("example.com".parse().unwrap())
}

fn add(value: &str) -> Change {
    Change::add("a.example.com".parse().unwrap(), value)
}

fn remove(value: &str) -> Change {
    Change::remove("a.example.com".parse().unwrap(), value)
}

fn invalid() -> Error {
    Error::InvalidRequest { provider: "paper".into(), reason: "no".into(), fault: None }
}

/// Each caller makes one batch, all at the same moment.
async fn all(paper: &Paper, gather: &Gather, most: usize, batches: &[Vec<Change>]) -> Vec<Answer> {
    let zone = zone();
    let write = |batch| gather.write(paper, Reach::Zone, most, &zone, batch);
    join_all(batches.iter().map(|batch| write(batch))).await
}

fn values(count: usize) -> Vec<Vec<Change>> {
    (0..count).map(|number| vec![add(&format!("v{number}"))]).collect()
}

#[tokio::test]
async fn those_who_come_in_one_moment_are_one_write_and_each_is_told_of_their_own() {
    let (paper, gather) = (Paper::new(), Gather::default());
    let batches = [vec![add("a"), add("b")], vec![add("c")], vec![add("d"), add("e"), add("f")]];
    let answers = all(&paper, &gather, 100, &batches).await;
    assert_eq!(paper.written(), [["a", "b", "c", "d", "e", "f"]]);
    for (answer, batch) in answers.into_iter().zip(&batches) {
        let applied = answer.unwrap();
        let receipts: Vec<_> = applied.receipts.iter().map(|receipt| receipt.value.clone()).collect();
        let wanted: Vec<_> = batch.iter().map(|change| change.value.clone()).collect();
        assert_eq!((receipts, applied.outcomes.len(), applied.pending.len()), (wanted, batch.len(), 1));
    }
}

#[tokio::test]
async fn those_who_come_while_a_write_is_on_its_way_go_together_in_the_next() {
    let (paper, gather, zone) = (Paper::closed(), Gather::default(), zone());
    let batches = values(8);
    let write = |batch| gather.write(&paper, Reach::Zone, 100, &zone, batch).boxed();
    let mut callers = Vec::new();
    for batch in &batches {
        let mut caller = write(batch);
        // A first look, and one more for whoever has let others come.
        assert!((&mut caller).now_or_never().is_none() && (&mut caller).now_or_never().is_none());
        callers.push(caller);
    }
    assert_eq!(paper.sizes(), [1]);
    paper.open.add_permits(100);
    assert!(join_all(callers).await.iter().all(Result::is_ok));
    assert_eq!(paper.sizes(), [1, 7]);
}

#[tokio::test]
async fn one_who_is_refused_does_not_fail_the_others() {
    let paper = Paper::refusing("v17", invalid());
    let answers = all(&paper, &Gather::default(), 100, &values(50)).await;
    let refused: Vec<_> = (0..50).filter(|place| answers[*place].is_err()).collect();
    assert_eq!((refused, &answers[17]), (vec![17], &Err(invalid())));
    // All, and then the two halves of what was refused, down to one.
    assert!(paper.written().len() <= 1 + 2 * 6, "{:?}", paper.sizes());
}

#[tokio::test]
async fn what_is_nobodys_fault_is_told_to_all_after_one_write() {
    let until = perennial_core::Timestamp::from_unix(1_800_000_000);
    for error in [
        Error::Network { provider: "paper".into(), server: "it".into(), reason: "lost".into() },
        Error::RateLimited { provider: "paper".into(), until: Some(until), fault: None },
        Error::Auth { provider: "paper".into(), reason: "who?".into(), fault: None },
    ] {
        let paper = Paper::refusing("v3", error.clone());
        let answers = all(&paper, &Gather::default(), 100, &values(10)).await;
        assert!(answers.iter().all(|answer| answer.as_ref() == Err(&error)), "{answers:?}");
        assert_eq!(paper.sizes(), [10]);
    }
}

/// Each about a name of its own.
fn of_names(count: usize) -> Vec<Vec<Change>> {
    let add =
        |number| Change::add(format!("n{number}.example.com").parse().unwrap(), format!("v{number:02}"));
    (0..count).map(|number| vec![add(number)]).collect()
}

fn forbidden() -> Error {
    Error::Permission { provider: "paper".into(), reason: "no".into(), fault: None }
}

#[tokio::test]
async fn what_a_credential_may_not_do_in_a_zone_or_at_a_name_is_told_to_all_after_one_write() {
    let in_a_zone = Paper { permits_by_name: false, ..Paper::refusing("v07", forbidden()) };
    let at_a_name = Paper::refusing("v7", forbidden());
    for (paper, batches) in [(in_a_zone, of_names(50)), (at_a_name, values(50))] {
        let answers = all(&paper, &Gather::default(), 100, &batches).await;
        assert!(answers.iter().all(|answer| answer.as_ref() == Err(&forbidden())), "{answers:?}");
        assert_eq!(paper.sizes(), [50]);
    }
}

#[tokio::test]
async fn a_credential_that_is_good_for_some_names_fails_the_others_alone() {
    let paper = Paper::refusing("v17", forbidden());
    let answers = all(&paper, &Gather::default(), 100, &of_names(50)).await;
    let refused: Vec<_> = (0..50).filter(|place| answers[*place].is_err()).collect();
    assert_eq!((refused, &answers[17]), (vec![17], &Err(forbidden())));
    assert!(paper.written().len() <= 1 + 2 * 6, "{:?}", paper.sizes());
}

#[tokio::test]
async fn where_everybody_is_refused_halves_end_soon_and_whoever_is_not_goes_on_by_halves() {
    for error in [forbidden(), invalid()] {
        let paper = Paper::refusing_all(|_| true, error.clone());
        let answers = all(&paper, &Gather::default(), 100, &of_names(50)).await;
        assert!(answers.iter().all(|answer| answer.as_ref() == Err(&error)), "{answers:?}");
        // The halves down to one, and everybody.
        assert!(paper.written().len() <= 7 + 50, "{:?}", paper.sizes());
    }
    let paper = Paper::refusing_all(|value| value < "v10", forbidden());
    let answers = all(&paper, &Gather::default(), 100, &of_names(50)).await;
    let refused: Vec<_> = (0..50).filter(|place| answers[*place].is_err()).collect();
    assert_eq!(refused, (0..10).collect::<Vec<_>>());
    assert!(paper.written().len() <= 25, "{:?}", paper.sizes());
}

#[tokio::test]
async fn what_is_found_after_a_refusal_may_be_anybodys_work() {
    let (paper, gather) = (Paper::refusing("v1", invalid()), Gather::default());
    let batches = [vec![remove("v0")], vec![remove("v1")], vec![remove("v2")]];
    let answers = all(&paper, &gather, 100, &batches).await;
    let outcome = |place: usize| answers[place].as_ref().unwrap().outcomes.clone();
    assert_eq!((outcome(0), outcome(2)), (vec![Outcome::Unknown], vec![Outcome::Unknown]));
    let alone = all(&paper, &gather, 100, &[vec![remove("v0")]]).await.remove(0).unwrap();
    assert_eq!(alone.outcomes, [Outcome::AlreadyDone]);
}

#[tokio::test]
async fn a_writer_who_is_dropped_leaves_the_others_to_write() {
    let (paper, gather, zone) = (Paper::closed(), Gather::default(), zone());
    let batches: Vec<_> = (0..4).map(|number| vec![remove(&format!("v{number}"))]).collect();
    let write = |batch| gather.write(&paper, Reach::Zone, 100, &zone, batch).boxed();
    let mut callers: Vec<_> = batches.iter().map(|batch| write(batch)).collect();
    for _ in 0..2 {
        for caller in &mut callers {
            assert!(caller.now_or_never().is_none());
        }
    }
    assert_eq!(paper.sizes(), [4]);
    // One is dropped in the middle of its write, which may be done or not, and one while it waits.
    drop(callers.remove(0));
    drop(callers.remove(1));
    paper.open.add_permits(100);
    let answers = join_all(callers).await;
    for answer in answers {
        assert_eq!(answer.unwrap().outcomes, [Outcome::Unknown], "the first write may have done it");
    }
    assert_eq!(paper.written()[1..], [["v1", "v3"]]);
}

#[tokio::test]
async fn what_two_say_of_one_value_is_two_writes_and_so_are_adding_and_removing() {
    let (paper, gather) = (Paper::new(), Gather::default());
    let batches =
        [vec![add("same")], vec![add("same")], vec![remove("same")], vec![add("x")], vec![remove("y")]];
    let answers = all(&paper, &gather, 100, &batches).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(paper.written(), [vec!["same", "x"], vec!["same"], vec!["same", "y"]]);
}

#[tokio::test]
async fn a_write_is_no_larger_than_the_vendor_takes() {
    let (paper, gather) = (Paper::new(), Gather::default());
    assert!(all(&paper, &gather, 4, &values(10)).await.iter().all(Result::is_ok));
    assert_eq!(paper.sizes(), [4, 4, 2]);
    let paper = Paper::new();
    let long: Vec<_> = (0..4).map(|number| vec![add(&format!("{number}{}", "v".repeat(8000)))]).collect();
    assert!(all(&paper, &gather, 100, &long).await.iter().all(Result::is_ok));
    assert_eq!(paper.sizes(), [2, 2]);
}

#[tokio::test]
async fn writes_that_reach_one_set_are_gathered_by_name_and_zones_never_mix() {
    let (paper, gather) = (Paper::new(), Gather::default());
    let (public, private) = (zone(), zone().with_id("private"));
    let other = Change::add("b.example.com".parse().unwrap(), "b");
    let [one, two, apart, mixed, twin] =
        [vec![add("1")], vec![add("2")], vec![other.clone()], vec![add("3"), other], vec![add("4")]];
    let write = |zone, batch| gather.write(&paper, Reach::Set, 100, zone, batch);
    let writes = [(&public, &one), (&public, &two), (&public, &apart), (&public, &mixed), (&private, &twin)];
    let answers = join_all(writes.map(|(zone, batch)| write(zone, batch))).await;
    assert!(answers.iter().all(Result::is_ok));
    let mut written = paper.written();
    written.sort();
    assert_eq!(written, [vec!["1", "2"], vec!["3", "b"], vec!["4"], vec!["b"]]);
}

#[tokio::test]
async fn lines_that_nobody_stands_in_are_swept() {
    let (paper, gather) = (Paper::new(), Gather::default());
    for number in 0..3 * SWEEP_AT {
        let change = [Change::add(format!("n{number}.example.com").parse().unwrap(), "v")];
        gather.write(&paper, Reach::Set, 100, &zone(), &change).await.unwrap();
    }
    assert!(gather.0.lock().unwrap().len() <= SWEEP_AT);
}

proptest! {
    /// Whoever would have been refused alone is refused, and nobody else.
    #[test]
    fn each_is_answered_as_if_there_were_nobody_else(
        sizes in proptest::collection::vec(1_usize..4, 1..24),
        bad in 0_usize..30,
        most in 1_usize..12,
    ) {
        let mut number = 0;
        let batches: Vec<Vec<Change>> = sizes.iter().map(|size| {
            (0..*size).map(|_| { number += 1; add(&format!("v{}", number - 1)) }).collect()
        }).collect();
        let bad = format!("v{bad}");
        let paper = Paper::refusing(bad.as_str(), invalid());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let answers = runtime.block_on(all(&paper, &Gather::default(), most, &batches));
        for (batch, answer) in batches.iter().zip(&answers) {
            let is_bad = batch.iter().any(|change| change.value == bad);
            prop_assert_eq!(answer.is_err(), is_bad, "{:?}", batch);
            if let Ok(applied) = answer {
                let receipts: BTreeSet<_> = applied.receipts.iter().map(|it| it.value.as_str()).collect();
                let wanted: BTreeSet<_> = batch.iter().map(|it| it.value.as_str()).collect();
                prop_assert_eq!(receipts, wanted);
            } else {
                prop_assert_eq!(answer.as_ref().unwrap_err().retry(), Retry::Never);
            }
        }
        let largest = paper.sizes().into_iter().max().unwrap_or_default();
        prop_assert!(largest <= most.max(3), "{largest} of {most}");
    }
}
