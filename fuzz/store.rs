//! The file store: its records and its index log, on a real disk, as it is opened and read.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{LazyLock, Mutex, PoisonError},
};

use perennial_core::Timestamp;
use perennial_lifecycle::{
    CertificateId, CertificateSpec, Current, FileStore, Record, Store as _, StoreError,
};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

/// `record.json` of a store that is open.
pub fn store_record(bytes: &[u8]) {
    static SCENE: LazyLock<Mutex<(Runtime, TempDir, FileStore)>> = LazyLock::new(|| {
        let directory = directory();
        let store = FileStore::open(directory.path()).expect("a store");
        fs::create_dir_all(directory.path().join("certificates/a")).expect("a directory");
        Mutex::new((runtime(), directory, store))
    });
    let scene = SCENE.lock().unwrap_or_else(PoisonError::into_inner);
    let (runtime, directory, store) = &*scene;
    let (id, path) = (name("a"), directory.path().join("certificates/a/record.json"));
    fs::write(&path, bytes).expect("a file");
    match runtime.block_on(store.load(&id)) {
        Ok(found) => {
            let (version, record) = found.expect("a record is there");
            assert_eq!(*record.id(), id, "the record of another certificate");
            match runtime.block_on(store.commit(&record, Some(version))) {
                Ok(next) => {
                    let again = runtime.block_on(store.load(&id)).expect("its own form");
                    assert_eq!(again, Some((next, record)), "a record does not come back");
                }
                // Somebody may have made its link a thing that cannot be replaced, or its generation a great one.
                Err(error) => assert!(matches!(error, StoreError::Io { .. }), "{error}"),
            }
        }
        Err(error) => {
            assert!(matches!(error, StoreError::Damaged { .. } | StoreError::NewerSchema { .. }), "{error}");
            assert!(!error.to_string().chars().any(char::is_control), "a control character is shown");
            assert_eq!(fs::read(&path).expect("a file"), bytes, "a damaged record was touched");
        }
    }
}

/// The index log of a store that is opened: any bytes as they are, and then a sequence of commits, removals,
/// damage and openings anew.
pub fn store_index_log(bytes: &[u8]) {
    open_with(bytes);
    let (runtime, directory) = (runtime(), directory());
    let log = directory.path().join("index.log");
    let mut model = Model { runtime: &runtime, root: directory.path(), records: Vec::new() };
    let mut store = Some(FileStore::open(directory.path()).expect("a store"));
    for step in bytes.chunks_exact(4).take(40) {
        let (number, moment) = (step[1] % 6, u16::from_le_bytes([step[2], step[3]]));
        let open = store.get_or_insert_with(|| FileStore::open(directory.path()).expect("a store"));
        match step[0] % 8 {
            0..=3 => model.commit(open, number, moment),
            4 => model.remove(open, number),
            5 => {
                store = None;
                damage(&log, usize::from(moment), step[1]);
            }
            _ => store = None,
        }
        match store.take().map_or_else(|| FileStore::open(directory.path()), Ok) {
            Ok(open) => {
                model.check(&open);
                store = Some(open);
            }
            Err(error) => {
                assert!(matches!(error, StoreError::NewerStore { .. }), "{error}");
                fs::remove_file(&log).expect("a file");
            }
        }
    }
}

/// Opens a store that has three records and this log.
fn open_with(log: &[u8]) {
    let (runtime, directory) = (runtime(), directory());
    let mut model = Model { runtime: &runtime, root: directory.path(), records: Vec::new() };
    let store = FileStore::open(directory.path()).expect("a store");
    for number in 0..3 {
        model.commit(&store, number, u16::from(number));
    }
    drop(store);
    // A log without a block of fences is believed where the lock file says that none was used.
    fs::write(directory.path().join("lock"), format!("{:020} {:020}\n", 0, 0)).expect("a file");
    fs::write(directory.path().join("index.log"), log).expect("a file");
    match FileStore::open(directory.path()) {
        Ok(store) => drop(runtime.block_on(store.quarantined())),
        Err(error) => assert!(matches!(error, StoreError::NewerStore { .. }), "{error}"),
    }
}

/// Changes a byte, or cuts the log off.
fn damage(log: &Path, at: usize, how: u8) {
    let mut bytes = fs::read(log).expect("a file");
    let at = at % bytes.len().max(1);
    match how {
        0 => bytes.truncate(at),
        _ => bytes[at] ^= how,
    }
    fs::write(log, bytes).expect("a file");
}

/// What the records say.
struct Model<'a> {
    runtime: &'a Runtime,
    root: &'a Path,
    records: Vec<(CertificateId, Timestamp)>,
}

impl Model<'_> {
    fn commit(&mut self, store: &FileStore, number: u8, moment: u16) {
        let id = name(&format!("c{number}"));
        let at = Timestamp::from_unix(i64::from(moment) * 60_000);
        let found = self.runtime.block_on(store.load(&id)).expect("a record");
        let spec = CertificateSpec::new(id.as_str(), ["a.example"]).expect("a spec");
        let (expected, mut record) = found.map_or_else(|| (None, Record::new(spec)), |(v, r)| (Some(v), r));
        record.next_at = at;
        // Every other one has a certificate, so that each is noted in either line.
        record.current = moment.is_multiple_of(2).then(|| current(&record.spec));
        self.runtime.block_on(store.commit(&record, expected)).expect("a commit");
        self.records.retain(|(known, _)| *known != id);
        self.records.push((id, at));
    }

    fn remove(&mut self, store: &FileStore, number: u8) {
        let id = name(&format!("c{number}"));
        if let Some((version, _)) = self.runtime.block_on(store.load(&id)).expect("a record") {
            self.runtime.block_on(store.remove(&id, version, None)).expect("a removal");
        }
        self.records.retain(|(known, _)| *known != id);
    }

    /// The index has all records and no others, and none later than its record says: earlier is allowed, since
    /// records are read in the background while they are written.
    fn check(&self, store: &FileStore) {
        let rows = self.runtime.block_on(store.scan_due(Timestamp::MAX, None, 99)).expect("rows");
        let place = self.root.display();
        for (id, at) in &self.records {
            let row = rows.iter().find(|row| row.id == *id);
            assert!(row.is_some_and(|row| row.at <= *at), "{id} at {at} in {place}: {row:?}");
        }
        assert_eq!(rows.len(), self.records.len(), "in {place}: {rows:?}");
    }
}

/// A certificate of which nothing lies in the store.
fn current(spec: &CertificateSpec) -> Current {
    let facts = serde_json::json!({
        "not_before": Timestamp::from_unix(0), "not_after": Timestamp::from_unix(1), "names": [], "other_names": [], "issuer": "CN=ca", "serial": "01",
        "fingerprint": "00", "public_key_fingerprint": "00", "is_ca": false,
    });
    let current = serde_json::json!({ "generation": 1, "issued_for": spec, "facts": facts, "issued_at": Timestamp::from_unix(0) });
    serde_json::from_value(current).expect("its own form")
}

fn name(text: &str) -> CertificateId {
    text.parse().expect("an id")
}

fn runtime() -> Runtime {
    Builder::new_current_thread().build().expect("a runtime")
}

/// In memory where there is such a place: nothing here has to survive a power cut.
fn directory() -> TempDir {
    let memory = PathBuf::from("/dev/shm");
    let place = if memory.is_dir() { memory } else { std::env::temp_dir() };
    tempfile::tempdir_in(place).expect("a directory")
}
