//! What was left behind in zones, and who clears it away.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use perennial_acme::ChallengeKind;
use perennial_core::{DomainName, Timestamp};
use perennial_issuers::{
    Proof,
    solver::dns01::{Janitor, Leftover, LeftoverState},
};
use perennial_lifecycle::{CertificateSpec, Journal, MemoryStore, Progress, Store};
use perennial_providers::{
    Applied, Capabilities, Change, DnsProvider, Error as ProviderError, MemoryProvider, Zone,
};
use perennial_testkit::ManualClock;
use tokio::time;

pub(crate) const DAY: Duration = Duration::from_secs(86_400);

pub(crate) struct Scene {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) provider: MemoryProvider,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_unix(1_800_000_000)));
        let store = Arc::new(MemoryStore::with_clock(clock.clone()));
        Self { clock, store, provider: MemoryProvider::new(["example.com".parse().unwrap()]) }
    }

    pub(crate) fn janitor(&self) -> Janitor {
        Janitor::new(self.store.clone(), Arc::new(self.provider.clone())).clock(self.clock.clone())
    }

    /// A certificate that has put this value at this name, and nobody has come back for it.
    pub(crate) async fn owes(&self, id: &str, at: &str, value: &str) {
        let spec = CertificateSpec::new(id, ["a.example.com"]).unwrap();
        let journal = Journal::begin(self.store.clone(), spec, self.clock.clone()).await.unwrap();
        let name = "a.example.com".parse().unwrap();
        let proof = Proof::new(&ChallengeKind::Dns01, name, at, value);
        journal.owe(&[Progress::encode(&proof).unwrap()]).await.unwrap();
    }

    pub(crate) fn has(&self, at: &str, value: &str) {
        self.provider.put(name(at), value, Duration::from_secs(60));
    }

    pub(crate) fn values(&self, at: &str) -> Vec<String> {
        self.provider.records(&name(at)).into_keys().collect()
    }

    pub(crate) async fn debts(&self, id: &str) -> usize {
        let (_, record) = self.store.load(&id.parse().unwrap()).await.unwrap().unwrap();
        record.debts.len()
    }
}

pub(crate) fn name(text: &str) -> DomainName {
    text.parse().unwrap()
}

pub(crate) fn states(leftovers: &[Leftover]) -> Vec<(&str, LeftoverState)> {
    leftovers.iter().map(|it| (it.certificate.as_str(), it.state.clone())).collect()
}

pub(crate) const AT: &str = "_acme-challenge.a.example.com";

/// A provider that takes a quarter of an hour to say what is there; the store's clock goes on so fast meanwhile.
struct Slow {
    inner: MemoryProvider,
    clock: Arc<ManualClock>,
    each_second: Duration,
}

const SECOND: Duration = Duration::from_secs(1);

#[async_trait]
impl DnsProvider for Slow {
    fn kind(&self) -> &str {
        "slow"
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn zone(&self, name: &DomainName) -> Result<Zone, ProviderError> {
        self.inner.zone(name).await
    }

    async fn apply(&self, zone: &Zone, changes: &[Change]) -> Result<Applied, ProviderError> {
        self.inner.apply(zone, changes).await
    }

    async fn values(&self, zone: &Zone, name: &DomainName) -> Result<Vec<String>, ProviderError> {
        for _ in 0..900 {
            time::sleep(SECOND).await;
            self.clock.advance(self.each_second);
        }
        self.inner.values(zone, name).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_certificate_is_held_for_as_long_as_the_provider_takes() {
    let scene = Scene::new();
    scene.owes("old", AT, "ours").await;
    scene.has(AT, "ours");
    scene.clock.advance(DAY);
    let provider = Slow { inner: scene.provider.clone(), clock: scene.clock.clone(), each_second: SECOND };
    let janitor = Janitor::new(scene.store.clone(), Arc::new(provider)).clock(scene.clock.clone());
    let (owner, id) = ("keeper".parse().unwrap(), "old".parse().unwrap());
    let others = async {
        loop {
            time::sleep(7 * SECOND).await;
            let claim = scene.store.claim_one(&owner, DAY, &id).await.unwrap();
            assert!(claim.is_none(), "it was lost in the middle");
        }
    };
    let swept = tokio::select! {
        swept = janitor.sweep() => swept.unwrap(),
        () = others => unreachable!(),
    };
    assert_eq!(states(&swept), [("old", LeftoverState::Removed)]);
    assert_eq!(scene.debts("old").await, 0);
    assert!(scene.store.claim_one(&owner, DAY, &id).await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn what_somebody_else_has_taken_over_is_left_to_him() {
    let scene = Scene::new();
    for value in ["one", "two"] {
        scene.has(AT, value);
    }
    scene.owes("old", AT, "one").await;
    scene.clock.advance(DAY);
    // The store's clock runs away, and somebody else works on it.
    let provider =
        Slow { inner: scene.provider.clone(), clock: scene.clock.clone(), each_second: 10 * SECOND };
    let janitor = Janitor::new(scene.store.clone(), Arc::new(provider)).clock(scene.clock.clone());
    let (owner, id) = ("keeper".parse().unwrap(), "old".parse().unwrap());
    let other = async {
        loop {
            time::sleep(SECOND).await;
            if let Some(claim) = scene.store.claim_one(&owner, DAY, &id).await.unwrap() {
                return claim;
            }
        }
    };
    let (swept, claim) = tokio::join!(janitor.sweep(), other);
    assert_eq!(states(&swept.unwrap()), [("old", LeftoverState::Held)]);
    assert_eq!((scene.values(AT).len(), scene.debts("old").await), (2, 1));
    let (version, _) = scene.store.load(&id).await.unwrap().unwrap();
    assert_eq!(version, claim.version);
}

#[tokio::test]
async fn old_records_of_ours_are_removed_and_struck_out_and_nobody_elses_is_touched() {
    let scene = Scene::new();
    scene.owes("old", AT, "ours").await;
    scene.owes("gone", "_acme-challenge.b.example.com", "ours").await;
    scene.has(AT, "ours");
    scene.has(AT, "foreign");
    scene.clock.advance(DAY);
    scene.owes("young", AT, "of today").await;
    scene.has(AT, "of today");
    let before = scene.values(AT);

    let looked = scene.janitor().look().await.unwrap();
    let seen = [("gone", LeftoverState::Absent), ("old", LeftoverState::Found)];
    assert_eq!(states(&looked), seen);
    assert_eq!((scene.values(AT), scene.debts("old").await), (before, 1), "a look has changed something");

    let swept = scene.janitor().sweep().await.unwrap();
    assert_eq!(states(&swept), [("gone", LeftoverState::Absent), ("old", LeftoverState::Removed)]);
    assert_eq!(scene.values(AT), ["foreign", "of today"]);
    let debts = [scene.debts("old").await, scene.debts("gone").await, scene.debts("young").await];
    assert_eq!(debts, [0, 0, 1]);
    assert_eq!(scene.janitor().sweep().await.unwrap(), []);
    let told = swept[1].to_string();
    for part in [AT, "ours", "certificate old", "2027-01-15", "removed"] {
        assert!(told.contains(part), "{told}");
    }
}

#[tokio::test]
async fn a_certificate_that_somebody_works_on_is_left_alone_until_he_lets_go() {
    let scene = Scene::new();
    scene.owes("busy", AT, "ours").await;
    scene.has(AT, "ours");
    scene.clock.advance(DAY);
    let (owner, id) = ("keeper".parse().unwrap(), "busy".parse().unwrap());
    let claim = scene.store.claim_one(&owner, DAY, &id).await.unwrap().unwrap();
    let swept = scene.janitor().sweep().await.unwrap();
    assert_eq!(states(&swept), [("busy", LeftoverState::Held)]);
    assert_eq!(scene.values(AT), ["ours"]);
    scene.store.release(&[claim.held]).await.unwrap();
    let swept = scene.janitor().sweep().await.unwrap();
    assert_eq!(states(&swept), [("busy", LeftoverState::Removed)]);
    // It lets go in its turn.
    assert!(scene.store.claim_one(&owner, DAY, &id).await.unwrap().is_some());
}

#[tokio::test]
async fn what_is_out_of_reach_or_no_txt_record_stays_on_record() {
    let scene = Scene::new();
    scene.owes("elsewhere", "_acme-challenge.a.example.net", "ours").await;
    let spec = CertificateSpec::new("web", ["a.example.com"]).unwrap();
    let journal = Journal::begin(scene.store.clone(), spec, scene.clock.clone()).await.unwrap();
    let web = Proof::new(&ChallengeKind::Http01, name("a.example.com"), AT, "ours");
    let strange = Progress::encode(&"of another version").unwrap();
    journal.owe(&[Progress::encode(&web).unwrap(), strange]).await.unwrap();
    scene.has(AT, "ours");
    scene.clock.advance(DAY);
    let swept = scene.janitor().sweep().await.unwrap();
    assert_eq!(states(&swept), [("elsewhere", LeftoverState::OutOfReach)]);
    assert_eq!(scene.values(AT), ["ours"]);
    assert_eq!((scene.debts("elsewhere").await, scene.debts("web").await), (1, 2));
    let version = async || scene.store.load(&"elsewhere".parse().unwrap()).await.unwrap().unwrap().0;
    let before = version().await;
    scene.janitor().sweep().await.unwrap();
    assert_eq!(version().await, before, "it has written what was there");
}

#[tokio::test]
async fn how_old_is_old_can_be_said_and_more_than_a_page_is_seen() {
    let scene = Scene::new();
    for number in 0..501 {
        scene.owes(&format!("c{number:03}"), AT, &format!("v{number}")).await;
    }
    let zone = scene.provider.zone(&name(AT)).await.unwrap();
    assert_eq!(zone.apex, name("example.com"));
    scene.clock.advance(Duration::from_secs(3600));
    assert_eq!(scene.janitor().look().await.unwrap(), []);
    let found = scene.janitor().older_than(Duration::from_secs(3600)).look().await.unwrap();
    assert_eq!(found.len(), 501);
}
