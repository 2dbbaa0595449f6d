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
    collections::BTreeSet,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use perennial_core::SecretBytes;
use serde::{Deserialize, Serialize};

use super::{Slot, Store, Version, check_version};
use crate::{
    CertificateId, Generation, Record, StoreError,
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
    /// Serializes read-compare-write; the lock file keeps other processes out.
    commit: Mutex<()>,
}

/// `record.json`.
#[derive(Serialize, Deserialize)]
struct Stored {
    version: Version,
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

impl FileStore {
    /// Opens the directory, and makes it if there is none.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another process has it open, [`StoreError::Io`] when it cannot be made.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let root = root.into();
        durable::create_directory(&root.join("certificates"))?;
        durable::create_directory(&root.join("issuers"))?;
        let lock = lock(&root)?;
        Ok(Self { inner: Arc::new(Inner { root, _lock: lock, commit: Mutex::new(()) }) })
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

    /// The record; mends the `current` link if a crash came between writing the record and moving the link:
    /// the next commit may be a lifetime away.
    fn load(&self, id: &CertificateId) -> Result<Option<(Version, Record)>, StoreError> {
        let found = self.record(id)?;
        if found.as_ref().is_some_and(|(_, record)| !self.is_pointed_at(record)) {
            let _guard = self.commit.lock().unwrap_or_else(PoisonError::into_inner);
            // Under the lock the record is read again: a commit may be between its two halves.
            if let Some((_, record)) = self.record(id)? {
                // A link that cannot be moved is told to whoever commits; reading goes on without it.
                let _ = self.point_current(&record);
            }
        }
        Ok(found)
    }

    fn record(&self, id: &CertificateId) -> Result<Option<(Version, Record)>, StoreError> {
        let path = self.certificate(id).join("record.json");
        let Some(bytes) = durable::read(&path)? else { return Ok(None) };
        parse(id, &path, &bytes).map(Some)
    }

    fn commit(&self, record: &Record, expected: Option<Version>) -> Result<Version, StoreError> {
        let _guard = self.commit.lock().unwrap_or_else(PoisonError::into_inner);
        let found = self.record(record.id())?;
        let version = check_version(record, expected, found.map(|(version, _)| version))?;
        let directory = self.certificate(record.id());
        let path = directory.join("record.json");
        let stored = Stored { version, record: record.clone() };
        let bytes = serde_json::to_vec_pretty(&stored)
            .map_err(|error| StoreError::Damaged { path: path.clone(), reason: error.to_string() })?;
        durable::create_directory(&directory)?;
        durable::replace(&path, &bytes, Mode::Private)?;
        self.point_current(record)?;
        Ok(version)
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

    fn list(&self, after: Option<&CertificateId>, most: usize) -> Result<Vec<CertificateId>, StoreError> {
        let directory = self.root.join("certificates");
        let fault = |error: io::Error| io_error("list", &directory, &error);
        let mut ids = BTreeSet::new();
        for entry in fs::read_dir(&directory).map_err(fault)? {
            let entry = entry.map_err(fault)?;
            // What is not named like a certificate is somebody else's.
            let id = entry.file_name().to_str().and_then(|name| name.parse::<CertificateId>().ok());
            let Some(id) = id.filter(|id| after.is_none_or(|after| id > after)) else { continue };
            if entry.path().join("record.json").exists() {
                ids.insert(id);
                if ids.len() > most {
                    ids.pop_last();
                }
            }
        }
        Ok(ids.into_iter().collect())
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

fn parse(id: &CertificateId, path: &Path, bytes: &[u8]) -> Result<(Version, Record), StoreError> {
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
    Ok((stored.version, stored.record))
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

    async fn commit(&self, record: &Record, expected: Option<Version>) -> Result<Version, StoreError> {
        let record = record.clone();
        self.blocking(move |inner| inner.commit(&record, expected)).await
    }

    async fn list(
        &self,
        after: Option<&CertificateId>,
        most: usize,
    ) -> Result<Vec<CertificateId>, StoreError> {
        let after = after.cloned();
        self.blocking(move |inner| inner.list(after.as_ref(), most)).await
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
