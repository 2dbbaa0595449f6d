//! What is good for a while: kept, and renewed before it ends.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use perennial_core::{Clock, Timestamp};

use crate::Error;

/// What somebody hands out for a while: a token, a key.
#[derive(Clone)]
pub(crate) struct Lease<T> {
    pub(crate) value: T,
    /// When it ends; `None` when it does not.
    pub(crate) until: Option<Timestamp>,
}

impl<T> Lease<T> {
    /// Good until somebody says otherwise.
    pub(crate) const fn forever(value: T) -> Self {
        Self { value, until: None }
    }

    /// Good for so many seconds from now on, as OAuth 2.0 says it (RFC 6749 §5.1).
    pub(crate) fn lasting(value: T, now: Timestamp, seconds: u64) -> Self {
        Self { value, until: Some(now + Duration::from_secs(seconds)) }
    }
}

/// The lease that is good now.
///
/// Whoever finds it near its end renews it, one at a time; the others go on with the old one. When that has ended
/// they wait, and take what came of the renewal, success or failure. While the old one is still good a renewal that
/// failed is nobody's trouble: it is tried again later.
pub(crate) struct Renewed<T> {
    /// Held by the one who renews.
    renewing: tokio::sync::Mutex<()>,
    /// Held for no longer than a look.
    state: Mutex<State<T>>,
}

struct State<T> {
    kept: Option<Kept<T>>,
    /// How many renewals were tried, so that who waited for one can tell that it is over.
    tried: u64,
    /// Why the last of them failed.
    failure: Option<Error>,
}

struct Kept<T> {
    lease: Lease<T>,
    since: Timestamp,
    /// After a renewal that failed: not again before.
    not_before: Timestamp,
}

/// What to do about a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// It is good.
    None,
    /// It is good, and ends soon.
    Renewal,
    /// It has ended.
    Another,
}

impl<T: Clone> Renewed<T> {
    pub(crate) const fn new() -> Self {
        let state = State { kept: None, tried: 0, failure: None };
        Self { renewing: tokio::sync::Mutex::const_new(()), state: Mutex::new(state) }
    }

    /// What is good now: the kept one, or what `fetch` brings.
    ///
    /// # Errors
    /// What `fetch` says, when nothing that is still good is kept.
    pub(crate) async fn get(
        &self,
        clock: &dyn Clock,
        fetch: impl Future<Output = Result<Lease<T>, Error>>,
    ) -> Result<T, Error> {
        let (old, seen) = {
            let state = self.state();
            if let Some(value) = state.good(clock.now()) {
                return Ok(value);
            }
            (state.usable(clock.now()), state.tried)
        };
        let _renewing = match (self.renewing.try_lock(), old) {
            (Ok(renewing), _) => renewing,
            (Err(_), Some(old)) => return Ok(old),
            (Err(_), None) => self.renewing.lock().await,
        };
        {
            let state = self.state();
            if let Some(value) = state.good(clock.now()) {
                return Ok(value);
            }
            if let Some(error) = state.failure.as_ref().filter(|_| state.tried != seen) {
                return Err(error.clone());
            }
        }
        let fetched = fetch.await;
        self.state().settle(fetched, clock.now())
    }

    /// The other side does not accept what was handed out. Whether another one may help: not when this one is
    /// brand new.
    pub(crate) fn refused(&self, now: Timestamp) -> bool {
        let mut state = self.state();
        match &state.kept {
            Some(kept) if kept.lease.until.is_some() && now.since(kept.since) >= BRAND_NEW => {
                state.kept = None;
                true
            }
            _ => false,
        }
    }

    /// A lease is replaced whole, so one that panicked left it whole too.
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Clone> State<T> {
    fn good(&self, now: Timestamp) -> Option<T> {
        let kept = self.kept.as_ref().filter(|kept| kept.need(now) == Need::None)?;
        Some(kept.lease.value.clone())
    }

    fn usable(&self, now: Timestamp) -> Option<T> {
        let kept = self.kept.as_ref().filter(|kept| kept.need(now) != Need::Another)?;
        Some(kept.lease.value.clone())
    }

    /// Takes in what a renewal came to.
    fn settle(&mut self, fetched: Result<Lease<T>, Error>, now: Timestamp) -> Result<T, Error> {
        self.tried += 1;
        match fetched {
            Ok(lease) => {
                let value = lease.value.clone();
                self.kept = Some(Kept { lease, since: now, not_before: now });
                self.failure = None;
                Ok(value)
            }
            Err(error) => {
                let Some(kept) = self.kept.as_mut().filter(|kept| kept.need(now) != Need::Another) else {
                    self.failure = Some(error.clone());
                    return Err(error);
                };
                tracing::warn!(%error, "credentials could not be renewed; the old ones are still good");
                kept.not_before = now + RETRY;
                kept.since = kept.since.min(now);
                Ok(kept.lease.value.clone())
            }
        }
    }
}

impl<T> Kept<T> {
    fn need(&self, now: Timestamp) -> Need {
        let Some(until) = self.lease.until else { return Need::None };
        if now >= until {
            return Need::Another;
        }
        // A clock that was set back makes an end that was counted from it come late.
        if now < self.since {
            return Need::Renewal;
        }
        let lead = LEAD.min(self.since.until(until) / 2);
        if now.until(until) > lead || now < self.not_before { Need::None } else { Need::Renewal }
    }
}

/// How long before its end a lease is renewed, if it lasts twice as long at least: AWS has the next one ready five
/// minutes ahead, Google hands the old one out again until then.
const LEAD: Duration = Duration::from_secs(300);

/// How long to leave a service alone that did not renew, while the old lease is good.
const RETRY: Duration = Duration::from_secs(30);

/// Who refuses a lease that is as new as this will refuse the next one too.
const BRAND_NEW: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use perennial_testkit::ManualClock;
    use std::sync::atomic::{AtomicU32, Ordering};

    const START: Timestamp = Timestamp::from_unix(1_800_000_000);

    fn trouble() -> Error {
        Error::Network { provider: "memory".into(), server: "sts".into(), reason: "gone".into() }
    }

    /// Hands out 1, 2, 3 …, each for an hour.
    struct Desk {
        clock: ManualClock,
        renewed: Renewed<u32>,
        issued: AtomicU32,
    }

    impl Desk {
        fn new() -> Self {
            let clock = ManualClock::new(START);
            Self { clock, renewed: Renewed::new(), issued: AtomicU32::new(0) }
        }

        async fn get(&self) -> Result<u32, Error> {
            let fetch = async {
                tokio::task::yield_now().await;
                let number = self.issued.fetch_add(1, Ordering::SeqCst) + 1;
                Ok(Lease::lasting(number, self.clock.now(), 3600))
            };
            self.renewed.get(&self.clock, fetch).await
        }

        async fn fail(&self) -> Result<u32, Error> {
            let fetch = async {
                tokio::task::yield_now().await;
                self.issued.fetch_add(1, Ordering::SeqCst);
                Err(trouble())
            };
            self.renewed.get(&self.clock, fetch).await
        }

        fn after(&self, seconds: u64) {
            self.clock.set(START + Duration::from_secs(seconds));
        }
    }

    #[tokio::test]
    async fn a_token_is_kept_and_renewed_five_minutes_before_its_end() {
        let desk = Desk::new();
        for (seconds, expected) in [(0, 1), (3299, 1), (3300, 2), (6599, 2), (6600, 3)] {
            desk.after(seconds);
            assert_eq!(desk.get().await, Ok(expected), "after {seconds} s");
        }
    }

    #[tokio::test]
    async fn many_who_come_at_once_cause_one_renewal() {
        let desk = Desk::new();
        let all = futures_util::future::join_all((0..20).map(|_| desk.get())).await;
        assert!(all.iter().all(|value| *value == Ok(1)), "{all:?}");
    }

    #[tokio::test]
    async fn many_who_come_at_once_share_one_failure_and_the_next_one_tries_again() {
        let desk = Desk::new();
        let all = futures_util::future::join_all((0..20).map(|_| desk.fail())).await;
        assert!(all.iter().all(|value| *value == Err(trouble())), "{all:?}");
        assert_eq!(desk.issued.load(Ordering::SeqCst), 1);
        assert_eq!(desk.get().await, Ok(2));
    }

    #[tokio::test]
    async fn a_renewal_that_fails_early_hurts_nobody_and_is_not_repeated_at_once() {
        let desk = Desk::new();
        desk.get().await.unwrap();
        desk.after(3400);
        assert_eq!(desk.fail().await, Ok(1));
        desk.after(3429);
        assert_eq!(desk.get().await, Ok(1));
        desk.after(3430);
        assert_eq!(desk.get().await, Ok(3));
    }

    #[tokio::test]
    async fn while_one_renews_the_others_go_on_with_the_old_one() {
        let desk = Desk::new();
        desk.get().await.unwrap();
        desk.after(3400);
        let all = futures_util::future::join_all((0..20).map(|_| desk.get())).await;
        assert_eq!(all[0], Ok(2));
        assert!(all[1..].iter().all(|value| *value == Ok(1)), "{all:?}");
    }

    #[tokio::test]
    async fn a_token_that_has_ended_is_not_handed_out() {
        let desk = Desk::new();
        desk.get().await.unwrap();
        desk.after(3600);
        assert_eq!(desk.fail().await, Err(trouble()));
        assert_eq!(desk.get().await, Ok(3));
    }

    #[tokio::test]
    async fn a_clock_that_was_set_back_makes_a_token_doubtful() {
        let desk = Desk::new();
        desk.get().await.unwrap();
        desk.clock.set(START - Duration::from_secs(1));
        assert_eq!(desk.get().await, Ok(2));
    }

    #[tokio::test]
    async fn a_refused_token_is_forgotten_unless_it_is_brand_new() {
        let desk = Desk::new();
        assert!(!desk.renewed.refused(desk.clock.now()));
        desk.get().await.unwrap();
        desk.after(59);
        assert!(!desk.renewed.refused(desk.clock.now()));
        desk.after(60);
        assert!(desk.renewed.refused(desk.clock.now()));
        assert_eq!(desk.get().await, Ok(2));
    }

    #[tokio::test]
    async fn a_renewal_that_is_given_up_leaves_the_next_one_free() {
        let desk = Desk::new();
        let never = desk.renewed.get(&desk.clock, std::future::pending());
        assert!(futures_util::FutureExt::now_or_never(never).is_none());
        assert_eq!(desk.get().await, Ok(1));
    }

    #[test]
    fn a_short_lease_is_renewed_at_its_half() {
        let kept = Kept { lease: Lease::lasting((), START, 120), since: START, not_before: START };
        for (seconds, need) in
            [(59, Need::None), (60, Need::Renewal), (119, Need::Renewal), (120, Need::Another)]
        {
            assert_eq!(kept.need(START + Duration::from_secs(seconds)), need, "after {seconds} s");
        }
    }
}
