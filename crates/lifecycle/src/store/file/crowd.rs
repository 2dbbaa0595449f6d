//! Many at once in one process, on a disk that hiccups and then dies: what a crash in between leaves.

use std::{
    collections::BTreeMap,
    io,
    path::Path,
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use super::*;
use crate::{
    CertificateSpec,
    budget::Limit,
    durable::{Call, Faults},
    store::Fence,
};

/// A disk that refuses some writes of the log, and everything from one call on.
struct Mortal {
    calls: AtomicUsize,
    dies_at: usize,
    is_dead: AtomicBool,
}

impl Faults for Mortal {
    fn before(&self, call: Call, path: &Path) -> io::Result<()> {
        let number = self.calls.fetch_add(1, Ordering::SeqCst);
        if number >= self.dies_at {
            self.is_dead.store(true, Ordering::SeqCst);
        }
        if call == Call::Sync && path.ends_with("index.log") {
            // It takes its time, and others go on meanwhile.
            (0..5).for_each(|_| thread::yield_now());
        }
        let hiccups = call == Call::Write && path.ends_with("index.log") && number.is_multiple_of(5);
        let fails = hiccups || self.is_dead.load(Ordering::SeqCst);
        if fails { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) }
    }
}

const WORKERS: u32 = 3;
const SOON: Timestamp = Timestamp::from_unix(1_900_000_000);
const FAR: Timestamp = Timestamp::from_unix(4_000_000_000);

fn record(name: &str, number: u32) -> Record {
    Record::new(CertificateSpec::new(&format!("{name}-{number}"), ["a.example"]).unwrap())
}

/// What a round leaves: two records and a bucket that say its number.
fn pair(worker: u32) -> [CertificateId; 2] {
    ["one", "two"].map(|name| record(name, worker).id().clone())
}

fn key(worker: u32) -> BudgetKey {
    BudgetKey::Provider(format!("dns-{worker}"))
}

fn taken(round: u32) -> Bucket {
    let limit = Limit::pace(Duration::from_secs(1));
    Bucket::emptied(limit, Timestamp::from_unix(4_000_000_000 + i64::from(round)))
}

/// Writes rounds until the disk is dead, and returns the last that was acknowledged.
fn work(inner: &Inner, disk: &Mortal, worker: u32) -> u32 {
    let mut acknowledged = 0;
    for round in 1.. {
        if disk.is_dead.load(Ordering::SeqCst) {
            break;
        }
        let mut batch = Batch::new();
        for (id, name) in pair(worker).iter().zip(["one", "two"]) {
            let Ok(found) = inner.load(id) else { continue };
            let mut next = record(name, worker);
            next.last_generation = Generation::from_number(round);
            next.next_at = if round.is_multiple_of(2) { FAR } else { SOON };
            batch = batch.change(next, found.map(|(version, _)| version));
        }
        let known = inner.state().buckets.get(&key(worker)).map(|(version, _)| *version);
        if batch.changes().len() == 2 && inner.apply(&batch.bucket(key(worker), known, taken(round))).is_ok()
        {
            acknowledged = round;
        }
    }
    acknowledged
}

/// Wishes, without any claim, for what the other worker writes far away.
fn wish(inner: &Inner, disk: &Mortal) {
    let id = pair(0)[0].clone();
    while !disk.is_dead.load(Ordering::SeqCst) {
        if let Ok(Some((version, mut found))) = inner.load(&id) {
            found.next_at = SOON;
            let _ = inner.apply(&Batch::new().change(found, Some(version)));
        }
        thread::yield_now();
    }
}

/// Claims whatever is due, and lets go of it.
fn claim(inner: &Inner, disk: &Mortal) {
    let owner = Owner::unique();
    while !disk.is_dead.load(Ordering::SeqCst) {
        for claim in inner.claim(&owner, Duration::from_secs(60), 9).into_iter().flatten() {
            inner.state().index.release(&claim.held);
        }
        thread::yield_now();
    }
}

fn check(root: &Path, acknowledged: &[u32], when: &str) {
    let mut builder = FileStore::builder(root);
    builder.disk = Disk::with(Arc::new(Mortal {
        calls: AtomicUsize::new(1),
        dies_at: usize::MAX,
        is_dead: AtomicBool::new(false),
    }));
    let store = builder.open().unwrap();
    let inner = &store.open.inner;
    let rows = inner.state().index.scan(Timestamp::MAX, None, 99);
    let rows: BTreeMap<_, _> = rows.into_iter().map(|due| (due.id, due.at)).collect();
    for worker in 0..WORKERS {
        let found = pair(worker).map(|id| inner.load(&id).unwrap());
        let number =
            |found: &Option<(Version, Record)>| found.as_ref().map(|(_, it)| it.last_generation.number());
        let of_bucket = inner.state().buckets.get(&key(worker)).map(|(_, bucket)| *bucket);
        assert_eq!(number(&found[0]), number(&found[1]), "{when}: both or none of worker {worker}");
        assert_eq!(number(&found[0]).map(taken), of_bucket, "{when}: with what they took");
        let last = acknowledged.get(worker as usize).copied().unwrap_or_default();
        assert!(number(&found[0]).unwrap_or_default() >= last, "{when}: {last} was acknowledged");
        for (_, record) in found.into_iter().flatten() {
            let row = rows.get(record.id()).copied();
            assert!(row.is_some_and(|at| at <= record.next_at), "{when}: {row:?} of {}", record.id());
        }
    }
}

/// One life of a store: from an empty directory to a disk that dies at a call.
fn live(dies_at: usize) {
    let directory = tempfile::tempdir().unwrap();
    let when = format!("a disk that dies at call {dies_at}");
    let disk = Arc::new(Mortal { calls: AtomicUsize::new(1), dies_at, is_dead: AtomicBool::new(false) });
    let mut builder = FileStore::builder(directory.path());
    builder.disk = Disk::with(disk.clone());
    let mut acknowledged = Vec::new();
    if let Ok(store) = builder.open() {
        let inner = &store.open.inner;
        thread::scope(|scope| {
            let workers: Vec<_> = (0..WORKERS)
                .map(|worker| {
                    scope.spawn({
                        let disk = &disk;
                        move || work(inner, disk, worker)
                    })
                })
                .collect();
            scope.spawn(|| wish(inner, &disk));
            scope.spawn(|| claim(inner, &disk));
            acknowledged = workers.into_iter().map(|worker| worker.join().unwrap()).collect();
        });
    }
    check(directory.path(), &acknowledged, &when);
}

#[test]
fn of_many_who_write_while_the_disk_dies_each_batch_is_whole_and_none_that_was_acknowledged_is_lost() {
    // Not a divisor of anything that repeats, so that it dies at another step of a round each time.
    (0..16).for_each(|life| live(30 + 61 * life));
}

/// A disk that takes no note of fences, until it is mended.
#[derive(Default)]
struct Noteless {
    is_mended: AtomicBool,
}

impl Faults for Noteless {
    fn before(&self, call: Call, path: &Path) -> io::Result<()> {
        let fails = call == Call::Sync && path.ends_with("lock") && !self.is_mended.load(Ordering::SeqCst);
        if fails { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) }
    }
}

#[test]
fn of_many_who_claim_at_a_blocks_end_none_has_a_fence_that_is_not_noted() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Arc::new(Noteless { is_mended: AtomicBool::new(true) });
    let mut builder = FileStore::builder(directory.path());
    builder.disk = Disk::with(disk.clone());
    let store = builder.open().unwrap();
    let inner = &store.open.inner;
    for number in 0..16 {
        let mut due = record("due", number);
        due.next_at = Timestamp::from_unix(7);
        inner.apply(&Batch::new().change(due, None)).unwrap();
    }
    let (owner, term) = (Owner::unique(), Duration::from_secs(60));
    let claim = || inner.claim(&owner, term, 1).into_iter().flatten().next().map(|claim| claim.held);
    for round in 0..500 {
        let reserved = inner.state().reserved;
        inner.state().index.fences_from(Fence::from_number(reserved.number() - 3));
        disk.is_mended.store(false, Ordering::SeqCst);
        let start = Barrier::new(8);
        let held: Vec<Held> = thread::scope(|scope| {
            let claims = (0..8).map(|_| {
                scope.spawn(|| {
                    start.wait();
                    claim()
                })
            });
            let claims: Vec<_> = claims.collect();
            claims.into_iter().filter_map(|claim| claim.join().unwrap()).collect()
        });
        assert!(held.iter().all(|held| held.fence <= reserved), "round {round}: {held:?} after {reserved}");
        assert_eq!(held.len(), 3, "round {round}: so many were left");
        disk.is_mended.store(true, Ordering::SeqCst);
        let next = claim().unwrap();
        assert!(next.fence > reserved && next.fence <= inner.lock.read().unwrap().fences, "round {round}");
        for held in held.iter().chain([&next]) {
            assert!(inner.state().index.release(held));
        }
    }
}
