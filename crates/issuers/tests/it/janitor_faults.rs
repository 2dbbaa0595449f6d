//! The janitor where something goes wrong: providers that cannot do everything, and stores in which others are quicker.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use perennial_acme::ChallengeKind;
use perennial_core::DomainName;
use perennial_issuers::{
    Error, Proof, Selector,
    solver::dns01::{Janitor, Leftover, LeftoverState},
};
use perennial_lifecycle::{
    CertificateSpec, FileStore, Journal, MemoryStore, Progress, Store, StoreError, Version,
    store::{self, Batch, Held},
};
use perennial_providers::{
    Applied, Capabilities, Change, DnsProvider, Error as ProviderError, MemoryProvider, Zone,
};
use perennial_testkit::ManualClock;

use crate::janitor::{AT, DAY, Scene, name, states};

/// A provider that cannot do everything.
struct Limited {
    inner: MemoryProvider,
    lacks: Lacks,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Lacks {
    /// To say what is there, as hooks do.
    Reading,
    /// To remove what is there.
    Writing,
}

#[async_trait]
impl DnsProvider for Limited {
    fn kind(&self) -> &str {
        "limited"
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn zone(&self, name: &DomainName) -> Result<Zone, ProviderError> {
        self.inner.zone(name).await
    }

    async fn apply(&self, zone: &Zone, changes: &[Change]) -> Result<Applied, ProviderError> {
        let (provider, reason) = ("limited".to_owned(), "it may not remove anything".to_owned());
        match self.lacks {
            Lacks::Reading => self.inner.apply(zone, changes).await,
            Lacks::Writing => Err(ProviderError::Permission { provider, reason, fault: None }),
        }
    }

    async fn values(&self, zone: &Zone, name: &DomainName) -> Result<Vec<String>, ProviderError> {
        let (provider, reason) = ("limited".to_owned(), "it cannot be asked".to_owned());
        match self.lacks {
            Lacks::Reading => Err(ProviderError::Unsupported { provider, reason, fault: None }),
            Lacks::Writing => self.inner.values(zone, name).await,
        }
    }
}

impl Scene {
    /// One record that was left behind a day ago, and a janitor for whom that is so.
    async fn left_behind(&self, lacks: Lacks) -> Janitor {
        self.owes("old", AT, "ours").await;
        self.has(AT, "ours");
        self.clock.advance(DAY);
        let provider = Limited { inner: self.provider.clone(), lacks };
        Janitor::new(self.store.clone(), Arc::new(provider)).clock(self.clock.clone())
    }
}

fn reason(leftovers: &[Leftover]) -> &str {
    match leftovers {
        [Leftover { state: LeftoverState::Failed { reason }, .. }] => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_the_provider_refuses_to_remove_stays_on_record_with_its_reason() {
    let scene = Scene::new();
    let janitor = scene.left_behind(Lacks::Writing).await;
    assert_eq!(states(&janitor.look().await.unwrap()), [("old", LeftoverState::Found)]);
    let swept = janitor.sweep().await.unwrap();
    assert!(reason(&swept).contains("it may not remove anything"), "{swept:?}");
    assert!(swept[0].to_string().ends_with(reason(&swept)), "{}", swept[0]);
    assert_eq!((scene.values(AT).len(), scene.debts("old").await), (1, 1));
    // Whoever may is not kept from it.
    let swept = scene.janitor().sweep().await.unwrap();
    assert_eq!(states(&swept), [("old", LeftoverState::Removed)]);
}

#[tokio::test]
async fn a_hook_cannot_look_and_removes_all_the_same() {
    let scene = Scene::new();
    let janitor = scene.left_behind(Lacks::Reading).await;
    let looked = janitor.look().await.unwrap();
    assert!(reason(&looked).contains("it cannot be asked"), "{looked:?}");
    assert_eq!((scene.values(AT).len(), scene.debts("old").await), (1, 1));
    let swept = janitor.sweep().await.unwrap();
    assert_eq!(states(&swept), [("old", LeftoverState::Removed)]);
    assert_eq!((scene.values(AT).len(), scene.debts("old").await), (0, 0));
}

#[tokio::test]
async fn of_two_zones_of_one_name_a_janitor_looks_after_its_own_solver_s() {
    let scene = Scene::new();
    let internal = Selector::new().zone(name("corp.example.com"));
    let spec = CertificateSpec::new("both", ["a.example.com"]).unwrap();
    let journal = Journal::begin(scene.store.clone(), spec, scene.clock.clone()).await.unwrap();
    let proof = |value: &str, selector: &Selector| {
        let mut proof = Proof::new(&ChallengeKind::Dns01, name("a.example.com"), AT, value);
        proof.selector = selector.clone();
        Progress::encode(&proof).unwrap()
    };
    let debts = [proof("public", &Selector::new()), proof("internal", &internal)];
    journal.owe(&debts).await.unwrap();
    scene.has(AT, "public");
    scene.clock.advance(DAY);
    // The internal one's zone has nothing of what the public one's has.
    let swept = scene.janitor().selector(internal).sweep().await.unwrap();
    assert_eq!(states(&swept), [("both", LeftoverState::Absent)]);
    assert_eq!((swept[0].value.as_str(), scene.debts("both").await), ("internal", 1));
    let swept = scene.janitor().selector(Selector::new()).sweep().await.unwrap();
    assert_eq!((swept[0].value.as_str(), swept[0].state.clone()), ("public", LeftoverState::Removed));
    assert_eq!(scene.debts("both").await, 0);
}

/// A store in which something happens once, just before something is written under a claim.
struct Overtaken {
    inner: MemoryStore,
    clock: Arc<ManualClock>,
    by: Mutex<Option<Overtaking>>,
    /// The claim of whoever was quicker.
    theirs: Mutex<Option<Held>>,
}

enum Overtaking {
    /// The claim has ended, and somebody else has one.
    Claim,
    /// The disk is full.
    Fault,
    /// The wish is changed.
    Wish,
}

fn full() -> StoreError {
    StoreError::Io { doing: "write", path: "record.json".into(), reason: "no space left".to_owned() }
}

#[async_trait]
impl store::Overlay for Overtaken {
    type Below = MemoryStore;

    fn below(&self) -> &MemoryStore {
        &self.inner
    }

    async fn apply(&self, batch: &Batch) -> Result<Vec<Version>, StoreError> {
        let is_held = !batch.holds().is_empty();
        let by = if is_held { self.by.lock().unwrap().take() } else { None };
        if let Some(by) = by {
            let id = batch.changes()[0].record.id();
            let (version, record) = self.inner.load(id).await?.unwrap();
            match by {
                Overtaking::Claim => {
                    self.clock.advance(Duration::from_secs(301));
                    let thief = "thief".parse().unwrap();
                    let claim = self.inner.claim_one(&thief, DAY, id).await?.unwrap();
                    *self.theirs.lock().unwrap() = Some(claim.held);
                }
                Overtaking::Fault => return Err(full()),
                Overtaking::Wish => drop(self.inner.commit(&record, Some(version)).await?),
            }
        }
        self.inner.apply(batch).await
    }
}

#[tokio::test]
async fn whoever_is_quicker_strikes_out_what_was_removed_in_his_turn() {
    for by in [Overtaking::Claim, Overtaking::Wish] {
        let mut scene = Scene::new();
        let store = Arc::new(Overtaken {
            inner: MemoryStore::with_clock(scene.clock.clone()),
            clock: scene.clock.clone(),
            by: Mutex::default(),
            theirs: Mutex::default(),
        });
        scene.store = store.clone();
        scene.owes("old", AT, "ours").await;
        scene.has(AT, "ours");
        scene.clock.advance(DAY);
        *store.by.lock().unwrap() = Some(by);
        let swept = scene.janitor().sweep().await.unwrap();
        assert_eq!(states(&swept), [("old", LeftoverState::Removed)]);
        assert!(store.by.lock().unwrap().is_none(), "nobody was quicker");
        assert_eq!((scene.values(AT).len(), scene.debts("old").await), (0, 1));
        let theirs = store.theirs.lock().unwrap().take();
        scene.store.release(&theirs.into_iter().collect::<Vec<_>>()).await.unwrap();
        let swept = scene.janitor().sweep().await.unwrap();
        assert_eq!((states(&swept), scene.debts("old").await), (vec![("old", LeftoverState::Absent)], 0));
    }
}

#[tokio::test]
async fn a_store_that_cannot_write_is_an_error_and_nobody_is_locked_out() {
    let mut scene = Scene::new();
    let (inner, clock) = (MemoryStore::with_clock(scene.clock.clone()), scene.clock.clone());
    let store = Arc::new(Overtaken { inner, clock, by: Mutex::default(), theirs: Mutex::default() });
    scene.store = store.clone();
    scene.owes("old", AT, "ours").await;
    scene.clock.advance(DAY);
    *store.by.lock().unwrap() = Some(Overtaking::Fault);
    let error = scene.janitor().sweep().await.unwrap_err();
    assert!(matches!(&error, Error::Store(error) if *error == full()), "{error}");
    let swept = scene.janitor().sweep().await.unwrap();
    assert_eq!(states(&swept), [("old", LeftoverState::Absent)], "it let go");
}

#[tokio::test]
async fn a_record_that_cannot_be_read_hides_nobody_elses() {
    let mut scene = Scene::new();
    let directory = tempfile::tempdir().unwrap();
    let open = || FileStore::builder(directory.path()).clock(scene.clock.clone()).open().unwrap();
    let store: Arc<dyn Store> = Arc::new(open());
    scene.store = store;
    for id in ["a", "b", "c"] {
        scene.owes(id, AT, id).await;
        scene.has(AT, id);
    }
    scene.clock.advance(DAY);
    let id = "b".parse().unwrap();
    let (_, record) = scene.store.load(&id).await.unwrap().unwrap();
    assert_eq!(record.debts.len(), 1);
    std::fs::write(directory.path().join("certificates/b/record.json"), "{").unwrap();
    assert!(matches!(scene.store.load(&id).await, Err(StoreError::Damaged { .. })));
    let swept = scene.janitor().sweep().await.unwrap();
    assert_eq!(states(&swept), [("a", LeftoverState::Removed), ("c", LeftoverState::Removed)]);
    assert_eq!(scene.values(AT), ["b"]);
}
