//! A store in a directory of one machine.
//!
//! ```text
//! ROOT/
//!   lock                                  held while a process has the store open
//!   certificates/ID/record.json           version and record, replaced atomically
//!   certificates/ID/00000001/privkey.pem  one directory a generation, 0600
//!   certificates/ID/00000001/cert.pem chain.pem fullchain.pem
//!   certificates/ID/current -> 00000001   flips after the record names a new generation
//!   issuers/NAME                          an issuer's own state, 0600
//! ```

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use perennial_core::{Clock, SecretBytes, SystemClock, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::{
    Batch, Claim, Due, Fence, Held, Owner, Quarantined, Slot, Store, Version, check_bucket, check_version,
    due::DueIndex,
};
use crate::{
    CertificateId, Generation, Record, StoreError,
    budget::{Bucket, BudgetKey},
    durable::{self, Mode, io_error},
    output,
};

/// A store in a directory of one machine.
///
/// A server reads `ROOT/certificates/ID/current/fullchain.pem` and `…/privkey.pem`: the link flips from one
/// generation to the next in one step, so key and chain always belong together. One process at a time has
/// the directory open; use a local file system, since locks on network ones lie.
///
/// ```
/// use perennial_lifecycle::{CertificateSpec, FileStore, Record, Store as _};
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// # let directory = tempfile::tempdir()?;
/// let store = FileStore::open(directory.path().join("certificates"))?;
/// let record = Record::new(CertificateSpec::new("shop", ["shop.example"])?);
/// store.commit(&record, None).await?;
/// assert_eq!(store.load(record.id()).await?.map(|(_, record)| record), Some(record));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct FileStore {
    inner: Arc<Inner>,
}

struct Inner {
    root: PathBuf,
    /// Held for as long as the store is open.
    _lock: File,
    clock: Arc<dyn Clock>,
    /// Serializes read-compare-write; the lock file keeps other processes out.
    state: Mutex<State>,
    woken: Notify,
}

#[derive(Default)]
struct State {
    index: DueIndex,
    buckets: HashMap<BudgetKey, (Version, Bucket)>,
    quarantine: BTreeMap<CertificateId, StoreError>,
}

/// `record.json`.
#[derive(Serialize, Deserialize)]
struct Stored {
    version: Version,
    /// The newest claim that wrote it: claims of later processes are newer.
    #[serde(default)]
    fence: Fence,
    record: Record,
}

/// The one field of a record that is read before the others.
#[derive(Deserialize)]
struct SchemaOnly {
    record: SchemaField,
}

#[derive(Deserialize)]
struct SchemaField {
    schema: u32,
}

/// Describes a store; see [`FileStore::builder`].
pub struct FileStoreBuilder {
    root: PathBuf,
    clock: Arc<dyn Clock>,
}

impl FileStoreBuilder {
    /// Who says what is due and whose claim is over. Default: the operating system.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Opens the directory, and makes it if there is none.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another process has it open, [`StoreError::Io`] when it cannot be made.
    pub fn open(self) -> Result<FileStore, StoreError> {
        let Self { root, clock } = self;
        durable::create_directory(&root.join("certificates"))?;
        durable::create_directory(&root.join("issuers"))?;
        let lock = lock(&root)?;
        sweep(&root.join("issuers"));
        let inner = Inner { root, _lock: lock, clock, state: Mutex::default(), woken: Notify::new() };
        inner.read_all()?;
        Ok(FileStore { inner: Arc::new(inner) })
    }
}

impl FileStore {
    /// Begins to describe a store in this directory.
    #[must_use]
    pub fn builder(root: impl Into<PathBuf>) -> FileStoreBuilder {
        FileStoreBuilder { root: root.into(), clock: Arc::new(SystemClock::new()) }
    }

    /// Opens the directory, and makes it if there is none.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another process has it open, [`StoreError::Io`] when it cannot be made.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, StoreError> {
        Self::builder(root).open()
    }

    /// The directory whose `current` link servers read: `fullchain.pem` and `privkey.pem` lie below it.
    #[must_use]
    pub fn current(&self, id: &CertificateId) -> PathBuf {
        self.inner.certificate(id).join("current")
    }

    /// File work on a thread that may block.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let inner = self.inner.clone();
        let root = inner.root.clone();
        tokio::task::spawn_blocking(move || work(&inner)).await.unwrap_or_else(|error| {
            Err(StoreError::Io { doing: "work on", path: root, reason: error.to_string() })
        })
    }
}

impl Inner {
    fn certificate(&self, id: &CertificateId) -> PathBuf {
        self.root.join("certificates").join(id.as_str())
    }

    fn generation(&self, id: &CertificateId, generation: Generation) -> PathBuf {
        self.certificate(id).join(generation.to_string())
    }

    fn slot(&self, slot: &Slot) -> PathBuf {
        match slot {
            Slot::Chain { certificate, generation } => {
                self.generation(certificate, *generation).join("fullchain.pem")
            }
            Slot::IssuerState { issuer } => self.root.join("issuers").join(issuer.as_str()),
            Slot::PrivateKey { certificate, generation } => {
                self.generation(certificate, *generation).join("privkey.pem")
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the index of the records.
    fn read_all(&self) -> Result<(), StoreError> {
        let directory = self.root.join("certificates");
        let fault = |error: io::Error| io_error("list", &directory, &error);
        let mut state = self.state();
        for entry in fs::read_dir(&directory).map_err(fault)? {
            // What is not named like a certificate is somebody else's.
            let name = entry.map_err(fault)?.file_name();
            let Some(id) = name.to_str().and_then(|name| name.parse::<CertificateId>().ok()) else {
                continue;
            };
            match self.stored(&id) {
                Ok(Some(stored)) => {
                    state.index.fences_from(stored.fence);
                    state.index.put(&id, stored.record.next_at);
                }
                Ok(None) => {}
                Err(error) => state.set_aside(&id, error),
            }
        }
        if let Some(bytes) = durable::read(&self.budgets())? {
            let buckets: Vec<(BudgetKey, Version, Bucket)> =
                serde_json::from_slice(&bytes).unwrap_or_default();
            state.buckets.extend(buckets.into_iter().map(|(key, version, bucket)| (key, (version, bucket))));
        }
        Ok(())
    }

    fn budgets(&self) -> PathBuf {
        self.root.join("budgets.json")
    }

    /// The record; mends the `current` link if a crash came between writing the record and moving the link:
    /// the next commit may be a lifetime away.
    fn load(&self, id: &CertificateId) -> Result<Option<(Version, Record)>, StoreError> {
        let found = self.record(id)?;
        if found.as_ref().is_some_and(|(_, record)| !self.is_pointed_at(record)) {
            let _guard = self.state();
            // Under the lock the record is read again: a commit may be between its two halves.
            if let Some((_, record)) = self.record(id)? {
                // A link that cannot be moved is told to whoever commits; reading goes on without it.
                let _ = self.point_current(&record);
            }
        }
        Ok(found)
    }

    fn record(&self, id: &CertificateId) -> Result<Option<(Version, Record)>, StoreError> {
        Ok(self.stored(id)?.map(|stored| (stored.version, stored.record)))
    }

    fn stored(&self, id: &CertificateId) -> Result<Option<Stored>, StoreError> {
        let path = self.certificate(id).join("record.json");
        let Some(bytes) = durable::read(&path)? else { return Ok(None) };
        parse(id, &path, &bytes).map(Some)
    }

    fn apply(&self, batch: &Batch) -> Result<Vec<Version>, StoreError> {
        let mut state = self.state();
        let state = &mut *state;
        batch.holds().iter().try_for_each(|held| state.index.check(held))?;
        let (mut written, mut versions) = (BTreeMap::new(), Vec::new());
        for change in batch.changes() {
            let id = change.record.id();
            let found: Option<&Stored> = written.get(id);
            let found = match found {
                Some(stored) => Some((stored.version, stored.fence)),
                None => self.stored(id)?.map(|stored| (stored.version, stored.fence)),
            };
            let version = check_version(id, change.expected, found.map(|(version, _)| version))?;
            let held = batch.holds().iter().find(|held| held.id == *id).map(|held| held.fence);
            let fence = held.max(found.map(|(_, fence)| fence)).unwrap_or_default();
            written.insert(id.clone(), Stored { version, fence, record: change.record.clone() });
            versions.push(version);
        }
        let mut buckets = state.buckets.clone();
        for change in batch.buckets() {
            let found = buckets.get(&change.key).map(|(version, _)| *version);
            buckets.insert(change.key.clone(), (check_bucket(change, found)?, change.bucket));
        }
        for (slot, bytes) in batch.writes() {
            self.write(slot, bytes.expose())?;
        }
        if !batch.buckets().is_empty() {
            let rows: Vec<_> =
                buckets.iter().map(|(key, (version, bucket))| (key, version, bucket)).collect();
            let bytes = serde_json::to_vec(&rows).unwrap_or_default();
            durable::replace(&self.budgets(), &bytes, Mode::Private)?;
            state.buckets = buckets;
        }
        for (id, stored) in written {
            self.put(&id, &stored)?;
            state.quarantine.remove(&id);
            if state.index.put(&id, stored.record.next_at) {
                self.wake();
            }
            self.point_current(&stored.record)?;
        }
        Ok(versions)
    }

    fn put(&self, id: &CertificateId, stored: &Stored) -> Result<(), StoreError> {
        let directory = self.certificate(id);
        let path = directory.join("record.json");
        let bytes = serde_json::to_vec_pretty(stored)
            .map_err(|error| StoreError::Damaged { path: path.clone(), reason: error.to_string() })?;
        durable::create_directory(&directory)?;
        durable::replace(&path, &bytes, Mode::Private)
    }

    /// Whoever waits now, and whoever waits next: it may be about to.
    fn wake(&self) {
        self.woken.notify_waiters();
        self.woken.notify_one();
    }

    fn claim(&self, owner: &Owner, ttl: Duration, most: usize) -> Vec<Claim> {
        let now = self.clock.now();
        let mut state = self.state();
        let mut claims = Vec::new();
        while claims.len() < most
            && let Some(held) = state.index.claim(now, owner, ttl)
        {
            match self.record(&held.id) {
                Ok(Some((version, record))) => claims.push(Claim { held, until: now + ttl, version, record }),
                Ok(None) => state.index.remove(&held.id),
                Err(error) => state.set_aside(&held.id, error),
            }
        }
        claims
    }

    fn claim_one(
        &self,
        owner: &Owner,
        ttl: Duration,
        id: &CertificateId,
    ) -> Result<Option<Claim>, StoreError> {
        let now = self.clock.now();
        let mut state = self.state();
        let Some((version, record)) = self.record(id)? else { return Ok(None) };
        let held = state.index.claim_one(now, owner, ttl, id);
        Ok(held.map(|held| Claim { held, until: now + ttl, version, record }))
    }

    /// Looks at what could not be read once more: somebody may have restored it.
    fn quarantined(&self) -> Vec<Quarantined> {
        let mut state = self.state();
        let ids: Vec<CertificateId> = state.quarantine.keys().cloned().collect();
        for id in ids {
            match self.stored(&id) {
                Ok(found) => {
                    state.quarantine.remove(&id);
                    if let Some(stored) = found
                        && state.index.put(&id, stored.record.next_at)
                    {
                        self.wake();
                    }
                }
                Err(error) => state.set_aside(&id, error),
            }
        }
        let rows = state.quarantine.iter().take(MOST_NAMED);
        rows.map(|(id, error)| Quarantined { id: Some(id.clone()), error: error.clone() }).collect()
    }

    fn remove(&self, id: &CertificateId, expected: Version, held: Option<&Held>) -> Result<(), StoreError> {
        let mut state = self.state();
        held.map_or(Ok(()), |held| state.index.check(held))?;
        check_version(id, Some(expected), self.record(id)?.map(|(version, _)| version))?;
        let directory = self.certificate(id);
        // The record first: what is left without it is nobody's.
        let path = directory.join("record.json");
        fs::remove_file(&path).map_err(|error| io_error("remove", &path, &error))?;
        durable::sync_directory(Some(&directory)).map_err(|error| io_error("make durable", &path, &error))?;
        state.index.remove(id);
        fs::remove_dir_all(&directory).map_err(|error| io_error("remove", &directory, &error))
    }

    fn is_pointed_at(&self, record: &Record) -> bool {
        let Some(current) = &record.current else { return true };
        let link = self.certificate(record.id()).join("current");
        fs::read_link(link).is_ok_and(|there| there == Path::new(&current.generation.to_string()))
    }

    /// Makes the `current` link agree with the record. The record is the truth; until the link is moved it
    /// names the previous, whole generation.
    fn point_current(&self, record: &Record) -> Result<(), StoreError> {
        let Some(current) = record.current.as_ref().filter(|_| !self.is_pointed_at(record)) else {
            return Ok(());
        };
        let directory = self.certificate(record.id());
        let link = directory.join("current");
        let target = PathBuf::from(current.generation.to_string());
        let temporary = durable::temporary_beside(&link);
        let _ = fs::remove_file(&temporary);
        symlink(&target, &temporary)
            .and_then(|()| fs::rename(&temporary, &link))
            .and_then(|()| durable::sync_directory(Some(&directory)))
            .map_err(|error| io_error("point", &link, &error))
    }

    fn write(&self, slot: &Slot, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.slot(slot);
        if let Some(directory) = path.parent() {
            durable::create_directory(directory)?;
        }
        match (slot, path.parent(), std::str::from_utf8(bytes)) {
            (Slot::Chain { .. }, Some(directory), Ok(fullchain)) => output::write_chain(directory, fullchain),
            _ => durable::replace(&path, bytes, Mode::Private),
        }
    }

    fn forget(&self, id: &CertificateId, generation: Generation) -> Result<(), StoreError> {
        let directory = self.generation(id, generation);
        match fs::remove_dir_all(&directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(io_error("remove", &directory, &error))
            }
            _ => Ok(()),
        }
    }
}

impl State {
    fn set_aside(&mut self, id: &CertificateId, error: StoreError) {
        self.index.put(id, Timestamp::MAX);
        self.index.set_aside(id);
        self.quarantine.insert(id.clone(), error);
    }
}

/// See [`Store::quarantined`].
const MOST_NAMED: usize = 1_000;

fn parse(id: &CertificateId, path: &Path, bytes: &[u8]) -> Result<Stored, StoreError> {
    let damaged =
        |error: serde_json::Error| StoreError::Damaged { path: path.to_owned(), reason: error.to_string() };
    let schema = serde_json::from_slice::<SchemaOnly>(bytes).map_err(damaged)?.record.schema;
    if schema > Record::SCHEMA {
        return Err(StoreError::NewerSchema { id: id.clone(), found: schema, known: Record::SCHEMA });
    }
    let stored: Stored = serde_json::from_slice(bytes).map_err(damaged)?;
    if stored.record.id() != id {
        let reason = format!("it is the record of certificate {}", stored.record.id());
        return Err(StoreError::Damaged { path: path.to_owned(), reason });
    }
    Ok(stored)
}

/// Removes what a crash between writing and renaming left: nobody else has the store open. What it leaves
/// beside certificates' keys goes with their generation, and beside records it is no secret.
fn sweep(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(durable::is_temporary) {
            let _ = fs::remove_file(entry.path()); // It is in nobody's way.
        }
    }
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(windows)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_dir(target, link)
}

fn lock(root: &Path) -> Result<File, StoreError> {
    let path = root.join("lock");
    let mut options = File::options();
    options.create(true).truncate(false).write(true);
    // Windows locks by opening: a second opener is refused with ERROR_SHARING_VIOLATION.
    #[cfg(windows)]
    std::os::windows::fs::OpenOptionsExt::share_mode(&mut options, 0);
    let file = options.open(&path).map_err(|error| match error.raw_os_error() {
        Some(32) if cfg!(windows) => StoreError::Locked { path: root.to_owned() },
        _ => io_error("open", &path, &error),
    })?;
    #[cfg(unix)]
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Err(StoreError::Locked { path: root.to_owned() }),
        Err(error) => return Err(io_error("lock", &path, &error.into())),
    }
    Ok(file)
}

#[async_trait]
impl Store for FileStore {
    async fn load(&self, id: &CertificateId) -> Result<Option<(Version, Record)>, StoreError> {
        let id = id.clone();
        self.blocking(move |inner| inner.load(&id)).await
    }

    async fn apply(&self, batch: &Batch) -> Result<Vec<Version>, StoreError> {
        let batch = batch.clone();
        self.blocking(move |inner| inner.apply(&batch)).await
    }

    async fn list(
        &self,
        after: Option<&CertificateId>,
        most: usize,
    ) -> Result<Vec<CertificateId>, StoreError> {
        Ok(self.inner.state().index.list(after, most))
    }

    async fn claim(&self, owner: &Owner, ttl: Duration, most: usize) -> Result<Vec<Claim>, StoreError> {
        let owner = owner.clone();
        self.blocking(move |inner| Ok(inner.claim(&owner, ttl, most))).await
    }

    async fn claim_one(
        &self,
        owner: &Owner,
        ttl: Duration,
        id: &CertificateId,
    ) -> Result<Option<Claim>, StoreError> {
        let (owner, id) = (owner.clone(), id.clone());
        self.blocking(move |inner| inner.claim_one(&owner, ttl, &id)).await
    }

    async fn extend(&self, held: &[Held], ttl: Duration) -> Result<Vec<CertificateId>, StoreError> {
        let now = self.inner.clock.now();
        let mut state = self.inner.state();
        let lost = held.iter().filter(|held| !state.index.extend(now, held, ttl));
        Ok(lost.map(|held| held.id.clone()).collect())
    }

    async fn release(&self, held: &[Held]) -> Result<(), StoreError> {
        let mut state = self.inner.state();
        if held.iter().filter(|held| state.index.release(held)).count() > 0 {
            self.inner.wake();
        }
        Ok(())
    }

    async fn scan_due(
        &self,
        until: Timestamp,
        after: Option<&Due>,
        most: usize,
    ) -> Result<Vec<Due>, StoreError> {
        let after = after.cloned();
        self.blocking(move |inner| Ok(inner.state().index.scan(until, after.as_ref(), most))).await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.inner.state().index.next())
    }

    async fn woken(&self) {
        self.inner.woken.notified().await;
    }

    async fn read(&self, slot: &Slot) -> Result<Option<SecretBytes>, StoreError> {
        let slot = slot.clone();
        self.blocking(move |inner| Ok(durable::read(&inner.slot(&slot))?.map(SecretBytes::new))).await
    }

    async fn write(&self, slot: &Slot, bytes: &SecretBytes) -> Result<(), StoreError> {
        let (slot, bytes) = (slot.clone(), bytes.clone());
        self.blocking(move |inner| inner.write(&slot, bytes.expose())).await
    }

    async fn forget(&self, id: &CertificateId, generation: Generation) -> Result<(), StoreError> {
        let id = id.clone();
        self.blocking(move |inner| inner.forget(&id, generation)).await
    }

    async fn buckets(&self, keys: &[BudgetKey]) -> Result<Vec<Option<(Version, Bucket)>>, StoreError> {
        let state = self.inner.state();
        Ok(keys.iter().map(|key| state.buckets.get(key).copied()).collect())
    }

    async fn quarantined(&self) -> Result<Vec<Quarantined>, StoreError> {
        self.blocking(|inner| Ok(inner.quarantined())).await
    }

    async fn remove(
        &self,
        id: &CertificateId,
        expected: Version,
        held: Option<&Held>,
    ) -> Result<(), StoreError> {
        let (id, held) = (id.clone(), held.cloned());
        self.blocking(move |inner| inner.remove(&id, expected, held.as_ref())).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CertificateSpec, store::laws};

    fn record(id: &str) -> Record {
        Record::new(CertificateSpec::new(id, ["a.example"]).unwrap())
    }

    #[tokio::test]
    async fn keeps_the_laws_of_stores() {
        let directory = tempfile::tempdir().unwrap();
        laws::check(&FileStore::open(directory.path()).unwrap()).await.unwrap();
    }

    #[tokio::test]
    async fn what_was_committed_survives_the_process() {
        let directory = tempfile::tempdir().unwrap();
        let record = record("a");
        let store = FileStore::open(directory.path()).unwrap();
        let version = store.commit(&record, None).await.unwrap();
        drop(store);
        let store = FileStore::open(directory.path()).unwrap();
        assert_eq!(store.load(record.id()).await.unwrap(), Some((version, record)));
    }

    #[test]
    fn a_second_process_is_kept_out() {
        let directory = tempfile::tempdir().unwrap();
        let _first = FileStore::open(directory.path()).unwrap();
        assert!(matches!(FileStore::open(directory.path()), Err(StoreError::Locked { .. })));
    }

    #[tokio::test]
    async fn a_damaged_or_newer_record_is_named_and_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let store = FileStore::open(directory.path()).unwrap();
        let record = record("a");
        store.commit(&record, None).await.unwrap();
        let path = directory.path().join("certificates/a/record.json");
        let good = fs::read_to_string(&path).unwrap();

        fs::write(&path, &good[..good.len() / 2]).unwrap();
        let error = store.load(record.id()).await.unwrap_err();
        assert!(matches!(&error, StoreError::Damaged { path: named, .. } if *named == path), "{error}");
        assert!(store.commit(&record, None).await.is_err(), "a damaged record is not overwritten");

        fs::write(&path, good.replace("\"schema\": 1", "\"schema\": 9")).unwrap();
        let error = store.load(record.id()).await.unwrap_err();
        assert!(matches!(error, StoreError::NewerSchema { found: 9, .. }), "{error}");

        fs::write(&path, good.replace("\"id\": \"a\"", "\"id\": \"b\"")).unwrap();
        assert!(matches!(store.load(record.id()).await.unwrap_err(), StoreError::Damaged { .. }));
    }

    #[test]
    fn a_key_that_a_crash_left_half_written_is_swept_away() {
        let directory = tempfile::tempdir().unwrap();
        drop(FileStore::open(directory.path()).unwrap());
        let issuers = directory.path().join("issuers");
        let left = durable::temporary_beside(&issuers.join("le"));
        for path in [&left, &issuers.join("le"), &issuers.join(".hidden")] {
            fs::write(path, "key").unwrap();
        }
        FileStore::open(directory.path()).unwrap();
        assert!(!left.exists() && issuers.join("le").exists() && issuers.join(".hidden").exists());
    }

    #[tokio::test]
    async fn slots_are_found_where_the_module_says() {
        let directory = tempfile::tempdir().unwrap();
        let store = FileStore::open(directory.path()).unwrap();
        let certificate: CertificateId = "a".parse().unwrap();
        let generation = Generation::from_number(1);
        let chain = Slot::Chain { certificate: certificate.clone(), generation };
        store.write(&chain, &SecretBytes::new(*b"chain")).await.unwrap();
        store.write(&Slot::PrivateKey { certificate, generation }, &SecretBytes::new(*b"key")).await.unwrap();
        store
            .write(&Slot::IssuerState { issuer: "le".parse().unwrap() }, &SecretBytes::new(*b"x"))
            .await
            .unwrap();
        for path in
            ["00000001/privkey.pem", "00000001/cert.pem", "00000001/chain.pem", "00000001/fullchain.pem"]
        {
            assert!(directory.path().join("certificates/a").join(path).exists(), "{path}");
        }
        assert!(directory.path().join("issuers/le").exists());
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_link_that_a_crash_left_behind_is_mended_when_the_record_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let store = FileStore::open(directory.path()).unwrap();
        let mut record = record("a");
        record.current = Some(crate::record::tests::current(2));
        store.commit(&record, None).await.unwrap();
        let link = store.current(record.id());
        for crash in [
            // Killed after the record was written, before the link was moved.
            |link: &Path| std::os::unix::fs::symlink("00000001", link).unwrap(),
            // Restored from a backup that knows no links.
            |_: &Path| {},
        ] {
            fs::remove_file(&link).unwrap();
            crash(&link);
            store.load(record.id()).await.unwrap();
            assert_eq!(fs::read_link(&link).unwrap(), Path::new("00000002"));
        }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn keys_and_issuer_state_are_readable_by_their_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let store = FileStore::open(directory.path()).unwrap();
        let generation = Generation::from_number(1);
        let certificate: CertificateId = "a".parse().unwrap();
        let key = Slot::PrivateKey { certificate, generation };
        let state = Slot::IssuerState { issuer: "le".parse().unwrap() };
        for slot in [&key, &state] {
            store.write(slot, &SecretBytes::new(*b"secret")).await.unwrap();
            let mode = fs::metadata(store.inner.slot(slot)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{slot}");
        }
    }
}
