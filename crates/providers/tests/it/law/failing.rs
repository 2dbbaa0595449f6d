//! Answers that get lost, vendors that are busy, callers that give up.

use std::time::Duration;

use perennial_core::{Clock, Retry};
use perennial_testkit::vendor::{Fault, RetryAfter, When};

use super::{Case, NAME, Outcome, add, apply, doing, remove, same, zone};

fn troubles() -> [(&'static str, Fault); 8] {
    [
        ("a lost answer", Fault::Lost),
        ("a closed connection", Fault::Reset),
        ("429", Fault::Busy(None)),
        ("429 with seconds", Fault::Busy(Some(RetryAfter::Seconds(2)))),
        ("429 with a date", Fault::Busy(Some(RetryAfter::Date(3)))),
        ("503", Fault::Trouble(None)),
        ("503 with seconds", Fault::Trouble(Some(RetryAfter::Seconds(1)))),
        ("a slow answer", Fault::Slow(Duration::from_millis(20))),
    ]
}

/// 11: exactly one value, and exactly one removed.
pub(super) async fn writes_once_whatever_becomes_of_an_answer(case: &Case<'_>) -> Outcome {
    for when in [When::Read, When::Write] {
        for number in 0..troubles().len() {
            case.reset();
            case.plant();
            let provider = case.client();
            zone(&*provider).await?;
            let nth = || troubles().into_iter().nth(number).unwrap_or(("nothing", Fault::Lost));
            let (what, fault) = nth();
            case.fake.fault(when, fault);
            apply(&*provider, &format!("adding with {what} at {when:?}"), &[add("one"), add("two")]).await?;
            case.expect(&format!("adding with {what} at {when:?}"), NAME, &["one", "two"])?;
            case.fake.clear_faults();
            case.fake.fault(when, nth().1);
            apply(&*provider, &format!("removing with {what} at {when:?}"), &[remove("two")]).await?;
            case.expect(&format!("removing with {what} at {when:?}"), NAME, &["one"])?;
            case.is_untouched()?;
        }
    }
    Ok(())
}

pub(super) async fn waits_as_it_is_told(case: &Case<'_>) -> Outcome {
    let clock = case.clock();
    let provider = case.client_with(&clock);
    zone(&*provider).await?;
    let before = clock.now();
    case.fake.fault(When::Write, Fault::Busy(Some(RetryAfter::Seconds(9))));
    apply(&*provider, "adding after 429", &[add("v")]).await?;
    let waited = clock.now().since(before);
    // A vendor without a lock of ours may pause a little besides.
    if waited < Duration::from_secs(9) || waited > Duration::from_secs(14) {
        return Err(format!("asked to wait nine seconds, it waited {waited:?}"));
    }
    Ok(())
}

/// A long wait is the caller's, and meanwhile nobody is asked.
pub(super) async fn does_not_wait_for_long(case: &Case<'_>) -> Outcome {
    let clock = case.clock();
    let provider = case.client_with(&clock);
    let zone = zone(&*provider).await?;
    let before = clock.now();
    case.fake.fault(When::Any, Fault::Busy(Some(RetryAfter::Seconds(600))));
    let Err(error) = provider.apply(&zone, &[add("v")]).await else {
        return Err("it waited for ten minutes, or did not listen".to_owned());
    };
    if clock.now().since(before) > Duration::from_secs(30) {
        return Err("it waited for long before it said so".to_owned());
    }
    let Retry::At(until) = error.retry() else { return Err(format!("it does not say when: {error}")) };
    let wait = clock.now().until(until);
    if wait < Duration::from_secs(595) || wait > Duration::from_secs(605) {
        return Err(format!("ten minutes became {wait:?}: {error}"));
    }
    let asked = case.fake.exchanges().len();
    let again = provider.apply(&zone, &[add("v")]).await;
    same("requests while the vendor wants none", case.fake.exchanges().len(), asked)?;
    if again.is_ok() {
        return Err("a change was made without a request".to_owned());
    }
    clock.sleep(Duration::from_secs(601)).await;
    doing("adding when the time has come", provider.apply(&zone, &[add("v")]).await)?;
    case.expect("the wait", NAME, &["v"])
}

/// To the vendor the two are one.
pub(super) async fn is_held_back_with_whoever_shows_the_same_credential(case: &Case<'_>) -> Outcome {
    let clock = case.clock();
    let [told, other] = [(); 2].map(|()| case.client_with(&clock));
    let zone = zone(&*told).await?;
    case.fake.fault(When::Any, Fault::Busy(Some(RetryAfter::Seconds(600))));
    let Err(error) = told.apply(&zone, &[add("v")]).await else {
        return Err("it waited for ten minutes, or did not listen".to_owned());
    };
    let asked = case.fake.exchanges().len();
    match other.apply(&zone, &[add("w")]).await {
        Err(refused) if refused.retry() == error.retry() => {}
        came => return Err(format!("{error} was told to the one, and the other came to {came:?}")),
    }
    same("requests while the vendor wants none", case.fake.exchanges().len(), asked)?;
    clock.sleep(Duration::from_secs(601)).await;
    doing("adding when the time has come", other.apply(&zone, &[add("w")]).await)?;
    case.expect("the wait", NAME, &["w"])
}

/// 17: a dropped future leaves what the same batch, or a removal, brings in order.
pub(super) async fn leaves_what_can_be_cleaned_up_when_it_is_dropped(case: &Case<'_>) -> Outcome {
    case.plant();
    let provider = case.client();
    let zone = zone(&*provider).await?;
    for _ in 0..2 {
        case.fake.fault(When::Any, Fault::Slow(Duration::from_millis(60)));
    }
    for patience in [10, 70, 100] {
        let changes = [add("one"), add("two")];
        let apply = provider.apply(&zone, &changes);
        let _ = tokio::time::timeout(Duration::from_millis(patience), apply).await;
    }
    case.fake.clear_faults();
    // What was under way when the caller went may still arrive.
    tokio::time::sleep(Duration::from_millis(80)).await;
    apply(&*case.client(), "doing it again", &[add("one"), add("two")]).await?;
    case.expect("doing it again", NAME, &["one", "two"])?;
    apply(&*case.client(), "cleaning up", &[remove("one"), remove("two")]).await?;
    case.expect("cleaning up", NAME, &[])?;
    case.is_untouched()
}
