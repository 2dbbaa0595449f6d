//! Budgets that the store holds: what they do not allow waits, and is no failure.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use async_trait::async_trait;
use perennial_core::Retry;
use perennial_lifecycle::{
    Error, EventKind, IssueError, IssueErrorClass, IssuedChain, Issuer, IssuerName, Journal, Outcome,
    SigningRequest,
    budget::{Counted, Limit, Limits},
};

use crate::{
    engine::{DAY, HOUR, Scene, Unreachable, name, spec},
    issuer::Mischief,
};

pub(crate) fn five_a_week() -> Limits {
    let mut limits = Limits::default();
    limits.account = Some(Limit::new(5, DAY * 7));
    limits
}

#[tokio::test]
async fn what_the_budget_does_not_allow_waits_without_a_failure_and_is_asked_for_in_time() {
    let scene = Scene::new();
    let issuer = scene.signer();
    let keeper = scene.builder(issuer.clone()).limits(IssuerName::default(), five_a_week()).build();
    for number in 0..7 {
        keeper.wish(spec(&format!("host-{number}"))).await.unwrap();
    }
    keeper.start().await;
    keeper.rested().await;
    assert_eq!(issuer.asked.lock().unwrap().len(), 5);
    assert_eq!(scene.told(|kind| matches!(kind, EventKind::OverBudget { .. })), 2);
    assert_eq!(scene.told(|kind| matches!(kind, EventKind::Failed { .. })), 0);
    for _ in 0..3 {
        scene.clock.advance(DAY * 7 / 5 + HOUR);
        keeper.rested().await;
    }
    assert_eq!(issuer.asked.lock().unwrap().len(), 7);
}

#[tokio::test]
async fn budgets_are_shared_through_the_store_and_survive_a_restart() {
    let scene = Scene::new();
    let issuer = scene.signer();
    for number in 0..7 {
        // A process of its own each time.
        let keeper = scene.builder(issuer.clone()).limits(IssuerName::default(), five_a_week()).build();
        let id = format!("host-{number}");
        keeper.wish(spec(&id)).await.unwrap();
        let outcome = keeper.step(&name(&id)).await.unwrap();
        let waits = matches!(outcome, Outcome::Waiting { error: Error::OverBudget { .. }, .. });
        assert_eq!(waits, number >= 5, "{number}: {outcome:?}");
    }
}

#[tokio::test]
async fn what_was_never_ordered_costs_nothing_and_an_order_that_goes_on_costs_nothing_more() {
    let scene = Scene::new();
    let issuer = Arc::new(Unreachable { signer: scene.signer(), down: AtomicBool::new(true) });
    let keeper = scene.builder(issuer.clone()).limits(IssuerName::default(), five_a_week()).build();
    keeper.wish(spec("a")).await.unwrap();
    let mut attempts = 0;
    while attempts < 9 {
        match keeper.step(&name("a")).await.unwrap() {
            Outcome::Failed { until, .. } => {
                attempts += 1;
                scene.clock.set(until);
            }
            Outcome::Waiting { until, error: Error::Resting { .. } } => scene.clock.set(until),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(scene.orders_left(five_a_week()).await, 5);
    issuer.down.store(false, Ordering::SeqCst);
    // An order is made, and fails to be walked to its end more often than there are orders in a week.
    for _ in 0..6 {
        issuer.signer.next(Mischief::Fail(IssueErrorClass::Validation, Retry::Backoff));
        let outcome = keeper.step(&name("a")).await.unwrap();
        let Outcome::Failed { until, .. } = outcome else { panic!("{outcome:?}") };
        scene.clock.set(until);
    }
    assert_eq!(scene.orders_left(five_a_week()).await, 4);
}

#[tokio::test]
async fn a_flood_of_new_certificates_leaves_a_renewal_its_tokens_and_the_other_way_round() {
    let scene = Scene::new();
    let keeper = scene.builder(scene.signer()).pace(Limit::pace(HOUR)).build();
    keeper.wish(spec("old")).await.unwrap();
    assert!(matches!(keeper.step(&name("old")).await.unwrap(), Outcome::Issued { .. }));
    let due = keeper.step(&name("old")).await.unwrap().until();
    scene.clock.set(due + HOUR);
    let flood: Vec<_> = (0..40).map(|number| format!("new-{number}")).collect();
    for id in &flood {
        keeper.wish(spec(id)).await.unwrap();
    }
    let (mut firsts, mut renewed_after) = (0, None);
    for hour in 0..12 {
        // Those who are many are always there first.
        for id in flood.iter().map(|id| name(id)) {
            firsts += usize::from(matches!(keeper.step(&id).await, Ok(Outcome::Issued { .. })));
        }
        if matches!(keeper.step(&name("old")).await, Ok(Outcome::Issued { .. })) {
            renewed_after.get_or_insert(hour);
        }
        scene.clock.advance(HOUR);
    }
    assert!(renewed_after.is_some_and(|hours| hours <= 2), "{renewed_after:?}");
    assert!(firsts >= 8, "{firsts} of twelve hours were theirs");
}

#[tokio::test]
async fn what_one_hears_of_a_limit_the_others_need_not_hear_too() {
    let scene = Scene::new();
    let issuer = Arc::new(Full { asked: AtomicUsize::new(0) });
    let keeper = scene.builder(issuer.clone()).limits(IssuerName::default(), five_a_week()).build();
    for number in 0..3 {
        keeper.wish(spec(&format!("host-{number}"))).await.unwrap();
    }
    assert!(matches!(keeper.step(&name("host-0")).await.unwrap(), Outcome::Failed { .. }));
    for number in 1..3 {
        let outcome = keeper.step(&name(&format!("host-{number}"))).await.unwrap();
        assert!(matches!(outcome, Outcome::Waiting { error: Error::OverBudget { .. }, .. }), "{outcome:?}");
    }
    assert_eq!(issuer.asked.load(Ordering::SeqCst), 1);
}

/// Has counted more than we have.
struct Full {
    asked: AtomicUsize,
}

#[async_trait]
impl Issuer for Full {
    async fn issue(&self, _: &SigningRequest, _: &Journal) -> Result<IssuedChain, IssueError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let error = IssueError::new(IssueErrorClass::Transient, "too many new orders", Retry::Backoff);
        Err(error.limit_of(Counted::Account))
    }
}
