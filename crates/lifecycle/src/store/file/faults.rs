//! A disk that fails at every call that an issuance makes, one after the other.

use std::{
    fs, io,
    path::Path,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use super::*;
use crate::{
    Attempt, CertificateSpec,
    budget::Limit,
    durable::{Call, Faults},
    store::due::Row,
};

/// Fails one call, or all from one on until it is mended.
struct Failing {
    calls: AtomicUsize,
    at: usize,
    lasts: bool,
    is_mended: AtomicBool,
    fails: fn(Call, &Path) -> bool,
    errno: i32,
}

impl Faults for Failing {
    fn before(&self, call: Call, path: &Path) -> io::Result<()> {
        if !(self.fails)(call, path) || self.is_mended.load(Ordering::SeqCst) {
            return Ok(());
        }
        let number = self.calls.fetch_add(1, Ordering::SeqCst);
        let fails = if self.lasts { number >= self.at } else { number == self.at };
        if fails { Err(io::Error::from_raw_os_error(self.errno)) } else { Ok(()) }
    }
}

impl Failing {
    fn new(at: usize, lasts: bool, fails: fn(Call, &Path) -> bool, errno: i32) -> Arc<Self> {
        let (calls, is_mended) = (AtomicUsize::new(0), AtomicBool::new(false));
        Arc::new(Self { calls, at, lasts, is_mended, fails, errno })
    }
}

fn open(root: &Path, faults: Option<Arc<Failing>>) -> Result<FileStore, StoreError> {
    let mut builder = FileStore::builder(root);
    builder.disk =
        faults.map_or_else(|| Disk::with(Failing::new(0, false, |_, _| false, 0)), |f| Disk::with(f));
    builder.open()
}

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

/// What counts: both records and the budget.
#[derive(Clone, Debug, Default, PartialEq)]
struct Seen {
    one: Option<Record>,
    two: Option<Record>,
    bucket: Option<Bucket>,
}

fn record(name: &str) -> Record {
    Record::new(CertificateSpec::new(name, ["a.example"]).unwrap())
}

fn id(name: &str) -> CertificateId {
    name.parse().unwrap()
}

fn generation(number: u32) -> Generation {
    Generation::from_number(number)
}

fn key(number: u32) -> (Slot, SecretBytes) {
    let slot = Slot::PrivateKey { certificate: id("one"), generation: generation(number) };
    (slot, SecretBytes::new(format!("key {number}")))
}

fn chain(number: u32) -> (Slot, SecretBytes) {
    let slot = Slot::Chain { certificate: id("one"), generation: generation(number) };
    (slot, SecretBytes::new(format!("chain {number}")))
}

async fn seen(store: &FileStore) -> Result<Seen, StoreError> {
    let load = async |name| Ok(store.load(&id(name)).await?.map(|(_, record)| record));
    let bucket = store.buckets(&[BudgetKey::Fleet]).await?.remove(0).map(|(_, bucket)| bucket);
    Ok(Seen { one: load("one").await?, two: load("two").await?, bucket })
}

/// The steps of two issuances: what is seen after each.
fn steps() -> Vec<Seen> {
    let limit = Limit::pace(Duration::from_secs(1_000_000_000));
    let mut steps = vec![Seen::default()];
    let mut one = record("one");
    let mut step = |one: &Record, two: Option<&Record>, bucket: Option<i64>| {
        let bucket = bucket.map(|at| Bucket::emptied(limit, Timestamp::from_unix(at)));
        steps.push(Seen { one: Some(one.clone()), two: two.cloned(), bucket });
    };
    step(&one, None, None); // 1: a wish
    let attempt = |record: &mut Record, number| {
        record.last_generation = generation(number);
        let (started_at, asked_for) = (Timestamp::from_unix(1), record.spec.clone());
        record.attempt = Some(Attempt::new(generation(number), asked_for, started_at));
    };
    attempt(&mut one, 1);
    step(&one, None, Some(3_000_000_000)); // 2: a key, an attempt, and a token of the budget
    one.next_at = Timestamp::from_unix(2_000_000_000);
    step(&one, None, Some(3_000_000_000)); // 3: it goes on later
    one.attempt = None;
    one.current = Some(crate::record::tests::current(1));
    let mut two = record("two");
    step(&one, Some(&two), Some(3_000_000_000)); // 4: it is issued, and another is wished for, in one
    one.next_at = Timestamp::from_unix(1_900_000_000);
    step(&one, Some(&two), Some(3_000_000_000)); // 5: it is to be renewed earlier
    attempt(&mut one, 2);
    two.next_at = Timestamp::from_unix(7);
    step(&one, Some(&two), Some(3_000_000_001)); // 6: both are changed in one
    one.attempt = None;
    one.current = Some(crate::record::tests::current(2));
    step(&one, Some(&two), Some(3_000_000_001)); // 7: it is renewed
    step(&one, None, Some(3_000_000_001)); // 8: the other is removed
    steps
}

/// Leads from what is seen to the next step.
async fn take(store: &FileStore, number: usize, next: &Seen) -> Result<(), StoreError> {
    let version = async |name| Ok::<_, StoreError>(store.load(&id(name)).await?.map(|(version, _)| version));
    if number == 8 {
        let Some(version) = version("two").await? else { return Ok(()) };
        return store.remove(&id("two"), version, None).await;
    }
    let mut batch = Batch::new();
    if let Some(one) = next.one.clone() {
        batch = batch.change(one, version("one").await?);
    }
    if matches!(number, 4 | 6)
        && let Some(two) = next.two.clone()
    {
        batch = batch.change(two, version("two").await?);
    }
    if matches!(number, 2 | 6)
        && let Some(bucket) = next.bucket
    {
        let known = store.buckets(&[BudgetKey::Fleet]).await?.remove(0);
        batch = batch.bucket(BudgetKey::Fleet, known.map(|(version, _)| version), bucket);
    }
    let slot = match number {
        2 => Some(key(1)),
        4 => Some(chain(1)),
        6 => Some(key(2)),
        7 => Some(chain(2)),
        _ => None,
    };
    if let Some((slot, bytes)) = slot {
        batch = batch.write(slot, bytes);
    }
    let held = if number > 1 {
        store.claim_one(&"o".parse().unwrap(), Duration::from_secs(60), &id("one")).await?
    } else {
        None
    };
    if let Some(claim) = &held {
        batch = batch.held(&claim.held);
    }
    let applied = store.apply(&batch).await;
    if let Some(claim) = &held {
        store.release(std::slice::from_ref(&claim.held)).await?;
    }
    applied.map(drop)
}

/// What must hold whatever has happened.
async fn check_whole(store: &FileStore, seen: &Seen, rows: &[Due], when: &str) {
    let Some(one) = &seen.one else { return };
    for (slot, bytes) in one.attempt.iter().map(|attempt| key(attempt.generation.number())) {
        assert!(store.read(&slot).await.unwrap().is_some_and(|found| found == bytes), "{when}: {slot}");
    }
    if let Some(current) = &one.current {
        for (slot, bytes) in [key(current.generation.number()), chain(current.generation.number())] {
            assert!(store.read(&slot).await.unwrap().is_some_and(|found| found == bytes), "{when}: {slot}");
        }
        let link = store.current(&id("one"));
        let (key, chain) =
            (fs::read(link.join("privkey.pem")).unwrap(), fs::read(link.join("fullchain.pem")).unwrap());
        let number = |bytes: &[u8]| bytes.last().copied();
        assert_eq!(number(&key), number(&chain), "{when}: what serves belongs together");
    }
    for record in [&seen.one, &seen.two].into_iter().flatten() {
        let row = rows.iter().find(|row| row.id == *record.id());
        let says = row.unwrap_or_else(|| panic!("{when}: {} is not in the index", record.id())).at;
        assert!(says <= Row::of(record).at, "{when}: {says} is later than {}", record.next_at);
    }
}

async fn rows(store: &FileStore) -> Vec<Due> {
    store.scan_due(Timestamp::MAX, None, 9).await.unwrap()
}

/// Walks until something fails, and returns at which step.
async fn walk(store: &FileStore, steps: &[Seen]) -> Option<usize> {
    for (number, next) in steps.iter().enumerate().skip(1) {
        if take(store, number, next).await.is_err() {
            return Some(number);
        }
    }
    None
}

/// Fails at each call of a kind until a walk ends without; returns how many there were.
async fn sweep(lasts: bool, fails: fn(Call, &Path) -> bool, errno: i32) -> usize {
    let steps = steps();
    for at in 0.. {
        let directory = tempfile::tempdir().unwrap();
        let faults = Failing::new(at, lasts, fails, errno);
        let failed = match open(directory.path(), Some(faults.clone())) {
            Ok(store) => {
                let failed = walk(&store, &steps).await;
                if failed.is_none() && faults.calls.load(Ordering::SeqCst) <= at {
                    return at;
                }
                failed
            }
            Err(error) => {
                assert!(matches!(error, StoreError::Io { .. }), "{error}");
                Some(0)
            }
        };
        let when = format!("at call {at}, lasting: {lasts}, in step {failed:?}");
        let store = open(directory.path(), None).unwrap();
        // Before anything is read: the index learns from what is read.
        let rows = rows(&store).await;
        let found = seen(&store).await.unwrap();
        let (old, new) = match failed {
            Some(number) => (steps.get(number.saturating_sub(1)), steps.get(number)),
            None => (steps.last(), None),
        };
        assert!(old == Some(&found) || new == Some(&found), "{when}: {found:#?}");
        check_whole(&store, &found, &rows, &when).await;
        assert_eq!(store.quarantined().await.unwrap(), [], "{when}");
    }
    unreachable!()
}

#[tokio::test]
async fn whichever_sync_fails_what_is_found_afterwards_is_old_or_new() {
    let syncs = |call, _: &Path| matches!(call, Call::Sync | Call::SyncDirectory);
    assert!(sweep(false, syncs, EIO).await > 40);
}

#[tokio::test]
async fn whichever_call_fails_what_is_found_afterwards_is_old_or_new() {
    assert!(sweep(false, |_, _| true, EIO).await > 100);
}

#[tokio::test]
async fn whenever_the_disk_is_full_what_is_found_afterwards_is_old_or_new() {
    let takes_space =
        |call, _: &Path| matches!(call, Call::Create | Call::CreateDirectory | Call::Link | Call::Write);
    assert!(sweep(true, takes_space, ENOSPC).await > 40);
}

/// A store goes on by itself when the disk does.
#[tokio::test]
async fn when_there_is_space_again_everything_goes_on() {
    let steps = steps();
    let takes_space =
        |call, _: &Path| matches!(call, Call::Create | Call::CreateDirectory | Call::Link | Call::Write);
    for at in 0.. {
        let directory = tempfile::tempdir().unwrap();
        drop(open(directory.path(), None).unwrap()); // A store that was there before.
        let faults = Failing::new(at, true, takes_space, ENOSPC);
        let store = open(directory.path(), Some(faults.clone())).unwrap();
        let Some(mut number) = walk(&store, &steps).await else { return };
        let when = format!("at call {at}, in step {number}");
        let error = take(&store, number, &steps[number]).await.unwrap_err();
        assert!(error.to_string().contains("os error 28"), "{when}: {error}");
        let found = seen(&store).await.unwrap();
        assert!(found == steps[number - 1] || found == steps[number], "{when}: old state can be read");
        faults.is_mended.store(true, Ordering::SeqCst);
        while number < steps.len() {
            if seen(&store).await.unwrap() != steps[number] {
                take(&store, number, &steps[number]).await.unwrap_or_else(|error| panic!("{when}: {error}"));
            }
            number += 1;
        }
        let last = seen(&store).await.unwrap();
        assert_eq!(Some(&last), steps.last(), "{when}");
        check_whole(&store, &last, &rows(&store).await, &when).await;
        drop(store);
        let store = open(directory.path(), None).unwrap();
        let rows = rows(&store).await;
        assert_eq!(seen(&store).await.unwrap(), last, "{when}");
        check_whole(&store, &last, &rows, &when).await;
        assert_eq!(store.quarantined().await.unwrap(), [], "{when}");
    }
}

#[tokio::test]
async fn what_was_removed_after_a_batch_is_not_made_anew_and_the_rest_of_the_batch_is() {
    let directory = tempfile::tempdir().unwrap();
    let of_two = |call, path: &Path| call == Call::Rename && path.ends_with("two/record.json");
    let faults = Failing::new(0, true, of_two, EIO);
    let store = open(directory.path(), Some(faults)).unwrap();
    let (one, two) = (record("one"), record("two"));
    store.apply(&Batch::new().change(one.clone(), None).change(two.clone(), None)).await.unwrap();
    // The batch counts, though one of its records cannot be put in place.
    assert_eq!(store.load(two.id()).await.unwrap(), Some((Version::FIRST, two.clone())));
    store.remove(one.id(), Version::FIRST, None).await.unwrap();
    let refused = store.commit(&two, Some(Version::FIRST)).await.unwrap_err();
    assert!(matches!(refused, StoreError::Io { .. }), "{refused}");
    drop(store);
    let store = open(directory.path(), None).unwrap();
    assert_eq!(store.load(one.id()).await.unwrap(), None);
    assert_eq!(store.load(two.id()).await.unwrap(), Some((Version::FIRST, two.clone())));
    let rows = store.scan_due(Timestamp::MAX, None, 9).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), ["two"]);
}

#[tokio::test]
async fn a_batch_whose_sync_failed_is_not_half_there_after_a_later_commit() {
    for at in 0..20 {
        let directory = tempfile::tempdir().unwrap();
        let (mut one, two) = (record("one"), record("two"));
        let store = open(directory.path(), None).unwrap();
        store.commit(&one, None).await.unwrap();
        drop(store);
        let of_log = |call, path: &Path| call == Call::Sync && path.ends_with("index.log");
        let faults = Failing::new(at, false, of_log, EIO);
        let store = open(directory.path(), Some(faults)).unwrap();
        one.last_generation = generation(1);
        let batch = Batch::new().change(one.clone(), Some(Version::FIRST)).change(two.clone(), None);
        if store.apply(&batch).await.is_ok() {
            continue;
        }
        one.last_generation = generation(2);
        let version = store.commit(&one, Some(Version::FIRST)).await.unwrap();
        drop(store);
        let store = open(directory.path(), None).unwrap();
        assert_eq!(store.load(one.id()).await.unwrap(), Some((version, one)), "at {at}");
        assert_eq!(store.load(two.id()).await.unwrap(), None, "at {at}");
        return;
    }
    panic!("no sync of the log belongs to a batch");
}

/// A store whose disk works until it is told to fail in this way.
fn fails_later(root: &Path, fails: fn(Call, &Path) -> bool) -> (FileStore, Arc<Failing>) {
    let faults = Failing::new(0, true, fails, EIO);
    faults.is_mended.store(true, Ordering::SeqCst);
    (open(root, Some(faults.clone())).unwrap(), faults)
}

#[tokio::test]
async fn what_could_not_be_written_is_in_no_index() {
    let directory = tempfile::tempdir().unwrap();
    let syncs = |call, path: &Path| call == Call::Sync && path.ends_with("index.log");
    let (one, two) = (record("one"), record("two"));
    for batch in
        [Batch::new().change(one.clone(), None), Batch::new().change(one.clone(), None).change(two, None)]
    {
        let (store, faults) = fails_later(directory.path(), syncs);
        faults.is_mended.store(false, Ordering::SeqCst);
        let refused = store.apply(&batch).await.unwrap_err();
        assert!(matches!(refused, StoreError::Io { .. }), "{refused}");
        assert_eq!(rows(&store).await, [], "nobody is told to come for what is not there");
        assert_eq!(store.next_due().await.unwrap(), None);
    }
}

#[tokio::test]
async fn what_may_be_gone_with_the_next_power_cut_is_due_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let of_directory = |call, path: &Path| call == Call::SyncDirectory && path.ends_with("certificates/one");
    let (store, faults) = fails_later(directory.path(), of_directory);
    let mut one = record("one");
    one.next_at = Timestamp::from_unix(1_000);
    store.commit(&one, None).await.unwrap();
    faults.is_mended.store(false, Ordering::SeqCst);
    one.next_at = Timestamp::from_unix(4_000_000_000);
    assert!(store.commit(&one, Some(Version::FIRST)).await.is_err());
    let rows = rows(&store).await;
    assert_eq!(rows.iter().map(|row| row.at.unix()).collect::<Vec<_>>(), [1_000]);
    let found = store.load(one.id()).await.unwrap().unwrap().1;
    assert_eq!(found.next_at, one.next_at, "which is what this is about: it can be read, and may be gone");
}

/// A disk on which somebody else claims just while a batch is made durable, and which then takes no record.
#[derive(Default)]
struct Meddling {
    inner: OnceLock<Weak<Inner>>,
    is_armed: AtomicBool,
}

impl Faults for Meddling {
    fn before(&self, call: Call, path: &Path) -> io::Result<()> {
        if !self.is_armed.load(Ordering::SeqCst) {
            return Ok(());
        }
        match call {
            Call::Sync if path.ends_with("index.log") => {
                let inner = self.inner.get().and_then(Weak::upgrade);
                inner.iter().for_each(|inner| inner.put_all_in_place());
                Ok(())
            }
            Call::Rename if path.ends_with("record.json") => Err(io::Error::from_raw_os_error(ENOSPC)),
            _ => Ok(()),
        }
    }
}

#[tokio::test]
async fn a_batch_that_somebody_else_meets_halfway_still_counts() {
    let directory = tempfile::tempdir().unwrap();
    let faults = Arc::new(Meddling::default());
    let mut builder = FileStore::builder(directory.path());
    builder.disk = Disk::with(faults.clone());
    let store = builder.open().unwrap();
    faults.inner.set(Arc::downgrade(&store.open.inner)).unwrap();
    faults.is_armed.store(true, Ordering::SeqCst);
    let (one, two) = (record("one"), record("two"));
    store.apply(&Batch::new().change(one.clone(), None).change(two.clone(), None)).await.unwrap();
    drop(store);
    let store = open(directory.path(), None).unwrap();
    let found = seen(&store).await.unwrap();
    assert_eq!((found.one, found.two), (Some(one), Some(two)), "what was acknowledged is there");
}

#[tokio::test]
async fn a_link_that_could_not_be_moved_is_moved_by_the_next_claim() {
    let directory = tempfile::tempdir().unwrap();
    let faults = Failing::new(0, true, |call, _| call == Call::Link, EIO);
    let store = open(directory.path(), Some(faults.clone())).unwrap();
    let mut one = record("one");
    store.commit(&one, None).await.unwrap();
    for (slot, bytes) in [key(1), chain(1)] {
        store.write(&slot, &bytes).await.unwrap();
    }
    one.current = Some(crate::record::tests::current(1));
    one.next_at = Timestamp::from_unix(4_000_000_000);
    assert!(store.commit(&one, Some(Version::FIRST)).await.is_err());
    faults.is_mended.store(true, Ordering::SeqCst);
    let claims = store.claim(&Owner::unique(), Duration::from_secs(60), 9).await.unwrap();
    assert_eq!(claims.len(), 1, "it was not put off");
    assert!(store.current(one.id()).join("privkey.pem").exists());
}

#[tokio::test]
async fn what_may_not_survive_a_power_cut_is_made_durable_before_the_index_follows_it() {
    let directory = tempfile::tempdir().unwrap();
    let of_one = |call, path: &Path| call == Call::SyncDirectory && path.ends_with("one");
    let faults = Failing::new(0, true, of_one, EIO);
    faults.is_mended.store(true, Ordering::SeqCst);
    let store = open(directory.path(), Some(faults.clone())).unwrap();
    let mut one = record("one");
    one.next_at = Timestamp::from_unix(7);
    let version = store.commit(&one, None).await.unwrap();
    faults.is_mended.store(false, Ordering::SeqCst);
    one.next_at = Timestamp::from_unix(2_000_000_000);
    assert!(store.commit(&one, Some(version)).await.is_err());
    let (owner, term) = (Owner::unique(), Duration::from_secs(60));
    assert!(store.claim_one(&owner, term, one.id()).await.is_err(), "it is still not durable");
    let at = async || rows(&store).await.first().map(|due| due.at.unix());
    assert_eq!(at().await, Some(7), "a power cut may bring the old record back");
    faults.is_mended.store(true, Ordering::SeqCst);
    let claim = store.claim_one(&owner, term, one.id()).await.unwrap().unwrap();
    assert_eq!(claim.record, one);
    store.release(&[claim.held]).await.unwrap();
    assert_eq!(at().await, Some(2_000_000_000));
}

/// A batch of which one record is not in place, in a store that is closed.
async fn half_placed(root: &Path, two: &Record) {
    let of_two = |call, path: &Path| call == Call::Rename && path.ends_with("two/record.json");
    let store = open(root, Some(Failing::new(0, true, of_two, EIO))).unwrap();
    store.apply(&Batch::new().change(record("one"), None).change(two.clone(), None)).await.unwrap();
}

#[tokio::test]
async fn what_is_noted_of_a_batch_in_place_is_no_older_than_what_the_log_says_already() {
    let directory = tempfile::tempdir().unwrap();
    let of_two = |call, path: &Path| call == Call::Rename && path.ends_with("two/record.json");
    let faults = Failing::new(0, true, of_two, EIO);
    let store = open(directory.path(), Some(faults.clone())).unwrap();
    let (mut one, soon) = (record("one"), Timestamp::from_unix(7));
    one.next_at = Timestamp::from_unix(2_000_000_000);
    store.apply(&Batch::new().change(one.clone(), None).change(record("two"), None)).await.unwrap();
    faults.is_mended.store(true, Ordering::SeqCst);
    let inner = store.open.inner.clone();
    {
        let mut writer = inner.log.writer();
        let other = inner.clone();
        let other = std::thread::spawn(move || other.put_all_in_place());
        // It comes as far as the log, which is ours: somebody wishes for something sooner.
        (0..10_000).for_each(|_| std::thread::yield_now());
        let row = crate::store::due::Row { at: soon, ..crate::store::due::Row::of(&one) };
        inner.log.append(&mut writer, &[inner::due(one.id(), row)]).unwrap();
        inner.state().put(one.id(), row);
        drop(writer);
        other.join().unwrap();
    }
    drop((inner, store));
    let store = open(directory.path(), None).unwrap();
    let row = rows(&store).await.into_iter().find(|due| due.id == *one.id());
    assert_eq!(row.map(|due| due.at), Some(soon));
}

#[tokio::test]
async fn a_batch_is_put_in_place_when_what_is_in_its_way_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let two = record("two");
    half_placed(directory.path(), &two).await;
    let path = directory.path().join("certificates/two/record.json");
    fs::create_dir(&path).unwrap(); // It can neither be read nor replaced.
    let store = open(directory.path(), None).unwrap();
    assert_eq!(store.load(two.id()).await.unwrap(), Some((Version::FIRST, two)));
    fs::remove_dir(&path).unwrap();
    store.claim(&Owner::unique(), Duration::from_secs(60), 0).await.unwrap();
    assert!(path.is_file());
}

#[tokio::test]
async fn a_batch_of_a_newer_version_is_left_to_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut two = record("two");
    two.schema = Record::SCHEMA + 1;
    half_placed(directory.path(), &two).await;
    let refused = open(directory.path(), None).map(drop).unwrap_err();
    assert!(matches!(refused, StoreError::NewerStore { found: 2, known: 1, .. }), "{refused}");
}
