//! What was left behind in zones, and who clears it away.

use std::{sync::Arc, time::Duration};

use perennial_acme::ChallengeKind;
use perennial_core::{DomainName, Timestamp};
use perennial_issuers::{
    Proof,
    solver::dns01::{Janitor, Leftover, LeftoverState},
};
use perennial_lifecycle::{CertificateSpec, Journal, MemoryStore, Progress, Store};
use perennial_providers::{DnsProvider as _, MemoryProvider};
use perennial_testkit::ManualClock;

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
