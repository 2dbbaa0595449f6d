//! Records that somebody else removes while they are waited for.
//!
//! Controllers that keep a zone as it is written down somewhere, and clean-up jobs, remove what they do not know. A
//! challenge's record needs to be there for minutes alone, so it is put there again a few times before that is called a
//! failure.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use futures_util::{
    StreamExt as _,
    future::{self, join_all},
    stream,
};
use perennial_core::DomainName;
use perennial_lifecycle::Stage;
use perennial_propagation::{Report, Wanted, report::State};
use perennial_providers::{Change, Zone, engine};
use tokio::{
    sync::Notify,
    time::{self, Instant},
};

use super::{Dns01, TOGETHER};
use crate::Error;

/// Who looks whether records are still there.
pub(super) struct Guard<'a> {
    solver: &'a Dns01,
    places: Vec<Place>,
    alarm: Notify,
}

/// A name, and the values that should be there.
pub(super) struct Place {
    owner: DomainName,
    values: Vec<String>,
    /// How often some of them were put there again.
    restored: AtomicU32,
}

/// Whoever removes them five times does so for ever.
const MOST: u32 = 5;

/// Name servers that lose a record one after the other are one loss.
const SHORTEST_PAUSE: Duration = Duration::from_secs(5);

impl<'a> Guard<'a> {
    pub(super) fn new(solver: &'a Dns01, owners: BTreeMap<DomainName, Vec<String>>) -> Self {
        let place = |(owner, values)| Place { owner, values, restored: AtomicU32::new(0) };
        Self { solver, places: owners.into_iter().map(place).collect(), alarm: Notify::new() }
    }

    pub(super) fn places(&self) -> &[Place] {
        &self.places
    }

    /// Somebody has seen that a record is gone.
    pub(super) fn alarm(&self) {
        self.alarm.notify_one();
    }

    /// Looks again and again, and returns when there is no point in going on.
    pub(super) async fn keep(&self, tell: &(dyn Fn(Stage) + Send + Sync)) -> Error {
        loop {
            let looked = Instant::now();
            // An alarm that comes too soon after the last look is heard a little later.
            let _ = time::timeout(self.solver.look_again, self.alarm.notified()).await;
            time::sleep_until(looked + SHORTEST_PAUSE.min(self.solver.look_again)).await;
            if let Err(contested) = self.look(tell).await {
                return contested;
            }
        }
    }

    /// Puts there again what is missing, of each zone in one change. A provider that does not answer is asked the next
    /// time.
    async fn look(&self, tell: &(dyn Fn(Stage) + Send + Sync)) -> Result<(), Error> {
        let looks: Vec<_> = self.places.iter().map(|place| self.missing(place)).collect();
        let missing: Vec<Missing<'_>> =
            stream::iter(looks).buffered(TOGETHER).filter_map(future::ready).collect().await;
        if let Some(Missing { place, .. }) = missing.iter().find(|missing| missing.place.restored() >= MOST) {
            return Err(Error::Contested { at: place.owner.clone(), times: MOST + 1 });
        }
        let mut zones = BTreeMap::<DomainName, Vec<Missing<'_>>>::new();
        for missing in missing {
            zones.entry(missing.zone.apex.clone()).or_default().push(missing);
        }
        let puts = zones.into_values().map(|missing| async move {
            let change = |it: &Missing<'_>| self.solver.changes(&it.place.owner, it.values.clone());
            let changes: Vec<Change> = missing.iter().flat_map(change).collect();
            if engine::apply(self.solver.provider.as_ref(), &changes).await.is_ok() {
                for Missing { place, .. } in missing {
                    place.restored.fetch_add(1, Ordering::SeqCst);
                    tell(Stage::PresentedAgain { at: place.owner.to_string() });
                }
            }
        });
        join_all(puts).await;
        Ok(())
    }

    /// What the provider does not have any more, if something. Its interface tells of one name at a time.
    async fn missing<'p>(&self, place: &'p Place) -> Option<Missing<'p>> {
        let provider = self.solver.provider.as_ref();
        let zone = provider.zone(&place.owner).await.ok()?;
        let values = place.missing(&provider.values(&zone, &place.owner).await.ok()?);
        (!values.is_empty()).then_some(Missing { place, zone, values })
    }
}

/// What somebody else has removed.
struct Missing<'a> {
    place: &'a Place,
    zone: Zone,
    values: Vec<String>,
}

impl Place {
    pub(super) fn wanted(&self) -> Wanted {
        Wanted::new(self.owner.clone(), self.values.iter().cloned())
    }

    pub(super) fn restored(&self) -> u32 {
        self.restored.load(Ordering::SeqCst)
    }

    fn missing(&self, there: &[String]) -> Vec<String> {
        self.values.iter().filter(|value| !there.contains(value)).cloned().collect()
    }
}

/// Those that were put there again after they were seen, by how often that had happened then: servers may still lack
/// what they showed a moment ago.
pub(super) fn lost<'p>(places: Vec<&'p Place>, seen: &[u32]) -> Vec<&'p Place> {
    places
        .into_iter()
        .zip(seen)
        .filter(|(place, seen)| place.restored() > **seen)
        .map(|(place, _)| place)
        .collect()
}

/// Which name servers had the values in the reports so far.
#[derive(Default)]
pub(super) struct Sight {
    had: BTreeSet<String>,
}

impl Sight {
    /// Whether somebody lacks by this report what it had before.
    pub(super) fn loses(&mut self, report: &Report) -> bool {
        let rows = report.stages.iter().flat_map(|stage| &stage.rows);
        let said = rows.map(|row| (row.endpoint.to_string(), &row.state));
        self.hear(said)
    }

    fn hear<'a>(&mut self, said: impl Iterator<Item = (String, &'a State)>) -> bool {
        let mut is_lost = false;
        for (server, state) in said {
            match state {
                State::Satisfied => {
                    self.had.insert(server);
                }
                State::Lacking => is_lost |= self.had.remove(&server),
                _ => {}
            }
        }
        is_lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Proof, Solver as _};
    use async_trait::async_trait;
    use perennial_acme::ChallengeKind;
    use perennial_providers::{Applied, Capabilities, DnsProvider, Error as ProviderError, MemoryProvider};
    use std::sync::{Arc, Mutex};

    const OWNER: &str = "_acme-challenge.a.example";

    fn owner() -> DomainName {
        OWNER.parse().unwrap()
    }

    fn provider() -> MemoryProvider {
        MemoryProvider::new(["example".parse().unwrap()])
    }

    fn proofs(values: &[&str]) -> Vec<Proof> {
        let proof =
            |value: &&str| Proof::new(&ChallengeKind::Dns01, "a.example".parse().unwrap(), OWNER, *value);
        values.iter().map(proof).collect()
    }

    fn values(provider: &MemoryProvider) -> Vec<String> {
        provider.records(&owner()).into_keys().collect()
    }

    /// Somebody else removes a value.
    async fn remove(provider: &MemoryProvider, value: &str) {
        let zone = provider.zone(&owner()).await.unwrap();
        provider.apply(&zone, &[Change::remove(owner(), value)]).await.unwrap();
    }

    /// What a guard over these values does for a while, in virtual time, while somebody else does something now and then.
    async fn kept(
        provider: &MemoryProvider,
        minutes: u64,
        mut meanwhile: impl AsyncFnMut(&Guard<'_>),
    ) -> (usize, Option<Error>) {
        let solver = Dns01::new(Arc::new(provider.clone()));
        solver.present(&proofs(&["one", "two"])).await.unwrap();
        let guard = Guard::new(&solver, super::super::by_owner(&proofs(&["one", "two"])).unwrap());
        let told = Mutex::new(Vec::new());
        let tell = |stage| told.lock().unwrap().push(stage);
        let mut over = None;
        let others = async {
            for _ in 0..minutes {
                time::sleep(Duration::from_secs(59)).await;
                meanwhile(&guard).await;
                time::sleep(Duration::from_secs(1)).await;
            }
        };
        tokio::select! {
            error = guard.keep(&tell) => over = Some(error),
            () = others => {}
        }
        let told = told.into_inner().unwrap();
        assert!(
            told.iter().all(|stage| *stage == Stage::PresentedAgain { at: OWNER.to_owned() }),
            "{told:?}"
        );
        (told.len(), over)
    }

    #[tokio::test(start_paused = true)]
    async fn what_stays_is_left_alone_whatever_else_is_there() {
        let provider = provider();
        provider.put(owner(), "foreign", Duration::from_secs(60));
        let (told, over) = kept(&provider, 20, async |_| {}).await;
        assert_eq!((told, over.is_none()), (0, true));
        assert_eq!(values(&provider), ["foreign", "one", "two"]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_somebody_else_has_removed_is_put_there_again_and_told() {
        let provider = provider();
        provider.put(owner(), "foreign", Duration::from_secs(60));
        let mut rounds = 0;
        let (told, over) = kept(&provider, 4, async |_| {
            rounds += 1;
            match rounds {
                1 => remove(&provider, "two").await,
                3 => {
                    remove(&provider, "one").await;
                    remove(&provider, "foreign").await;
                }
                _ => assert_eq!(values(&provider).iter().filter(|value| *value != "foreign").count(), 2),
            }
        })
        .await;
        assert_eq!((told, over.is_none()), (2, true));
        assert_eq!(values(&provider), ["one", "two"], "what is somebody else's is his own matter");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_removes_it_for_the_sixth_time_is_named_as_the_failure() {
        let provider = provider();
        let (told, over) = kept(&provider, 20, async |_| remove(&provider, "one").await).await;
        assert_eq!(told, 5);
        let error = over.unwrap();
        assert!(matches!(&error, Error::Contested { times: 6, .. }), "{error}");
        for part in [OWNER, "6 times"] {
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_server_that_has_lost_a_record_is_reason_to_look_at_once() {
        let provider = provider();
        let begun = Instant::now();
        let (told, _) = kept(&provider, 1, async |guard| {
            remove(&provider, "one").await;
            guard.alarm();
            while values(&provider).len() < 2 {
                time::sleep(Duration::from_millis(100)).await;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "it was the clock");
        })
        .await;
        assert_eq!(told, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn alarms_that_come_close_together_are_one_look() {
        let provider = provider();
        let (told, over) = kept(&provider, 1, async |guard| {
            for _ in 0..20 {
                remove(&provider, "one").await;
                guard.alarm();
                time::sleep(Duration::from_millis(200)).await;
            }
        })
        .await;
        assert!(told <= 2 && over.is_none(), "{told} looks in four seconds");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_put_there_again_after_it_was_seen_is_to_be_seen_again() {
        let provider = provider();
        let mut rounds = 0;
        kept(&provider, 2, async |guard| {
            rounds += 1;
            let places: Vec<&Place> = guard.places().iter().collect();
            let seen = [places[0].restored()];
            assert!(lost(places.clone(), &seen).is_empty());
            if rounds == 2 {
                assert_eq!((seen, lost(places, &[0]).len()), ([1], 1));
            }
            remove(&provider, "two").await;
        })
        .await;
        assert_eq!(rounds, 2);
    }

    /// A provider that takes a second for each answer, and counts its changes.
    struct Slow(MemoryProvider, Mutex<Vec<usize>>);

    #[async_trait]
    impl DnsProvider for Slow {
        fn kind(&self) -> &str {
            "slow"
        }

        fn capabilities(&self) -> Capabilities {
            self.0.capabilities().batch_max(usize::MAX)
        }

        async fn zone(&self, name: &DomainName) -> Result<Zone, ProviderError> {
            self.0.zone(name).await
        }

        async fn apply(&self, zone: &Zone, changes: &[Change]) -> Result<Applied, ProviderError> {
            self.1.lock().unwrap().push(changes.len());
            self.0.apply(zone, changes).await
        }

        async fn values(&self, zone: &Zone, name: &DomainName) -> Result<Vec<String>, ProviderError> {
            time::sleep(Duration::from_secs(1)).await;
            self.0.values(zone, name).await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn many_names_are_looked_at_together_and_put_there_in_one_change_of_their_zone() {
        let provider = Arc::new(Slow(provider(), Mutex::default()));
        let solver = Dns01::new(provider.clone());
        let owners = (0..32).map(|number| {
            let owner: DomainName = format!("_acme-challenge.a{number}.example").parse().unwrap();
            (owner, vec!["one".to_owned()])
        });
        let guard = Guard::new(&solver, owners.collect());
        let (begun, told) = (Instant::now(), Mutex::new(0));
        guard.look(&|_| *told.lock().unwrap() += 1).await.unwrap();
        assert_eq!((*told.lock().unwrap(), provider.1.lock().unwrap().as_slice()), (32, &[32][..]));
        assert!(begun.elapsed() <= Duration::from_secs(3), "one after the other: {:?}", begun.elapsed());
    }

    #[test]
    fn a_loss_is_what_somebody_had_before() {
        let mut sight = Sight::default();
        let mut hears = |said: &[(&str, State)]| {
            sight.hear(said.iter().map(|(server, state)| ((*server).to_owned(), state)))
        };
        assert!(!hears(&[("1", State::Lacking), ("2", State::Waiting)]));
        assert!(!hears(&[("1", State::Satisfied), ("2", State::Lacking)]));
        assert!(!hears(&[("1", State::Waiting), ("2", State::Satisfied)]));
        assert!(hears(&[("1", State::Lacking), ("2", State::Satisfied)]));
        assert!(!hears(&[("1", State::Lacking), ("2", State::Satisfied)]), "it is told once");
    }
}
