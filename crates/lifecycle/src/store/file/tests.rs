use super::*;
use crate::{
    CertificateSpec, durable,
    record::tests::current,
    store::{Fence, laws},
};
use std::{fs, path::Path};

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
    for path in ["00000001/privkey.pem", "00000001/cert.pem", "00000001/chain.pem", "00000001/fullchain.pem"]
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
    record.current = Some(current(2));
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
        let mode = fs::metadata(store.open.inner.place.slot(slot)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{slot}");
    }
}

/// Records that are due at these moments, in a store that is closed again.
async fn filled(root: &Path, rows: &[(&str, i64)]) {
    let store = FileStore::open(root).unwrap();
    for (name, at) in rows {
        let mut record = record(name);
        record.next_at = Timestamp::from_unix(*at);
        store.commit(&record, None).await.unwrap();
    }
}

/// A store that is open, and that nobody looks around in: what it knows it has from its log.
fn inner(root: &Path) -> Inner {
    let place = Place { root: root.to_owned(), disk: Disk::default() };
    Inner::open(place, Arc::new(SystemClock::new())).unwrap()
}

fn rows(inner: &Inner) -> Vec<(String, i64)> {
    let rows = inner.state().index.scan(Timestamp::MAX, None, 99);
    rows.into_iter().map(|row| (row.id.to_string(), row.at.unix())).collect()
}

async fn index(store: &FileStore) -> Vec<(String, i64)> {
    let rows = store.scan_due(Timestamp::MAX, None, 99).await.unwrap();
    rows.into_iter().map(|row| (row.id.to_string(), row.at.unix())).collect()
}

fn owned(rows: &[(&str, i64)]) -> Vec<(String, i64)> {
    rows.iter().map(|(name, at)| ((*name).to_owned(), *at)).collect()
}

const ROWS: [(&str, i64); 3] = [("a", 1_000), ("b", 2_000), ("c", 4_000_000_000)];

#[tokio::test]
async fn a_store_without_an_index_is_read_from_its_records_and_has_one_afterwards() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path(), &ROWS).await;
    let log = directory.path().join("index.log");
    fs::remove_file(&log).unwrap();
    fs::write(directory.path().join("lock"), "").unwrap(); // As an older version left it.
    assert_eq!(index(&FileStore::open(directory.path()).unwrap()).await, owned(&ROWS));
    assert!(log.exists());
    // The index is believed from now on: without reading records it says the same.
    fs::write(directory.path().join("certificates/a/record.json"), "no longer looked at").unwrap();
    assert_eq!(rows(&inner(directory.path())), owned(&ROWS));
}

#[tokio::test]
async fn a_scan_asks_the_index_and_no_record() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path(), &ROWS).await;
    let inner = inner(directory.path());
    fs::rename(directory.path().join("certificates"), directory.path().join("elsewhere")).unwrap();
    assert_eq!(rows(&inner), owned(&ROWS));
}

#[tokio::test]
async fn whatever_happens_to_the_index_no_certificate_looks_later_than_its_record_says() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path(), &ROWS).await;
    // Moved to earlier, to later, and to earlier again.
    let store = FileStore::open(directory.path()).unwrap();
    for at in [3_000_000_000, 3_500_000_000, 3_000] {
        let (version, mut record) = store.load(&"c".parse().unwrap()).await.unwrap().unwrap();
        record.next_at = Timestamp::from_unix(at);
        store.commit(&record, Some(version)).await.unwrap();
    }
    drop(store);
    let wanted = owned(&[("a", 1_000), ("b", 2_000), ("c", 3_000)]);
    let (log, lock) = (directory.path().join("index.log"), directory.path().join("lock"));
    let (whole, number) = (fs::read(&log).unwrap(), fs::read(&lock).unwrap());
    for at in (0..whole.len()).step_by(3) {
        let (mut damaged, cut) = (whole.clone(), &whole[..at]);
        damaged[at] ^= 0x10;
        for (content, how) in [(&damaged[..], "damaged"), (cut, "cut")] {
            fs::write(&log, content).unwrap();
            fs::write(&lock, &number).unwrap();
            let place = Place { root: directory.path().to_owned(), disk: Disk::default() };
            match Inner::open(place, Arc::new(SystemClock::new())) {
                Ok(store) => assert_eq!(rows(&store), wanted, "{how} at {at} of {}", whole.len()),
                // The four bytes that say which schema it has.
                Err(error) => {
                    assert!(matches!(error, StoreError::NewerStore { .. }) && (16..20).contains(&at))
                }
            }
        }
    }
}

#[tokio::test]
async fn damage_in_the_middle_of_the_index_is_named_and_kept() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path(), &ROWS).await;
    let log = directory.path().join("index.log");
    let mut bytes = fs::read(&log).unwrap();
    bytes[60] ^= 1;
    fs::write(&log, &bytes).unwrap();
    let store = FileStore::open(directory.path()).unwrap();
    let named = store.quarantined().await.unwrap();
    let [Quarantined { id: None, error: StoreError::Damaged { path, reason } }] = &named[..] else {
        panic!("{named:?}")
    };
    assert_eq!(fs::read(path).unwrap(), bytes, "what was damaged is kept");
    assert!(reason.contains("bytes") && reason.contains("damaged"), "{reason}");
    drop(store);
    assert_eq!(FileStore::open(directory.path()).unwrap().quarantined().await.unwrap(), []);
}

#[tokio::test]
async fn an_older_index_that_somebody_restored_is_not_believed() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path(), &ROWS).await;
    let log = directory.path().join("index.log");
    let older = fs::read(&log).unwrap();
    let store = FileStore::open(directory.path()).unwrap();
    let (version, mut record) = store.load(&"c".parse().unwrap()).await.unwrap().unwrap();
    record.next_at = Timestamp::from_unix(3_000);
    store.commit(&record, Some(version)).await.unwrap();
    drop(store);
    let lock = directory.path().join("lock");
    let noted = fs::read_to_string(&lock).unwrap();
    let (fences, _) = noted.split_once(' ').unwrap();
    let after_a_crash = format!("{fences} {:020}\n", 0);
    for noted in [&noted, &after_a_crash] {
        fs::write(&log, &older).unwrap();
        fs::write(&lock, noted).unwrap();
        assert_eq!(rows(&inner(directory.path())), owned(&[("a", 1_000), ("b", 2_000), ("c", 3_000)]));
    }
}

#[tokio::test]
async fn an_index_of_a_newer_version_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path(), &ROWS).await;
    let log = directory.path().join("index.log");
    let mut bytes = fs::read(&log).unwrap();
    bytes[16] = 9;
    fs::write(&log, &bytes).unwrap();
    let refused = FileStore::open(directory.path()).map(drop).unwrap_err();
    assert_eq!(refused, StoreError::NewerStore { path: log.clone(), found: 9, known: 2 });
    assert_eq!(fs::read(&log).unwrap(), bytes);
}

#[tokio::test]
async fn what_somebody_put_there_or_took_away_by_hand_is_found() {
    let (directory, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    filled(directory.path(), &ROWS).await;
    filled(other.path(), &[("d", 3_000)]).await;
    let certificates = directory.path().join("certificates");
    fs::rename(other.path().join("certificates/d"), certificates.join("d")).unwrap();
    fs::remove_dir_all(certificates.join("a")).unwrap();
    fs::create_dir(certificates.join(".gone.1-1.new")).unwrap();
    let store = FileStore::open(directory.path()).unwrap();
    while index(&store).await.len() < 4 {
        tokio::time::sleep(Duration::from_millis(5)).await; // It looks while the store is used.
    }
    let claims = store.claim(&Owner::unique(), Duration::from_secs(60), 9).await.unwrap();
    let names: Vec<_> = claims.iter().map(|claim| claim.held.id.as_str()).collect();
    assert_eq!(names, ["b", "d"]);
    let ids = store.list(None, 9).await.unwrap();
    assert_eq!(ids.iter().map(CertificateId::as_str).collect::<Vec<_>>(), ["b", "c", "d"]);
    assert!(!certificates.join(".gone.1-1.new").exists());
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_set_aside_and_comes_back_when_it_can() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path(), &[("a", 1_000), ("b", 2_000), ("c", 3_000), ("d", 4_000)]).await;
    let path = |name: &str| directory.path().join(format!("certificates/{name}/record.json"));
    let good = fs::read_to_string(path("a")).unwrap();
    fs::write(path("a"), "{}").unwrap();
    fs::write(path("b"), fs::read_to_string(path("b")).unwrap().replace("\"schema\": 1", "\"schema\": 9"))
        .unwrap();
    fs::write(path("c"), fs::read_to_string(path("d")).unwrap()).unwrap();
    let before: Vec<_> = ["a", "b", "c"].map(|name| fs::read(path(name)).unwrap()).into();
    for read_from_records in [false, true] {
        if read_from_records {
            fs::remove_file(directory.path().join("index.log")).unwrap();
        }
        let store = FileStore::open(directory.path()).unwrap();
        let owner = Owner::unique();
        let claims = store.claim(&owner, Duration::from_secs(60), 9).await.unwrap();
        assert_eq!(claims.iter().map(|claim| claim.held.id.as_str()).collect::<Vec<_>>(), ["d"]);
        assert_eq!(store.claim(&owner, Duration::from_secs(60), 9).await.unwrap(), []);
        let named = store.quarantined().await.unwrap();
        let ids: Vec<_> = named.iter().filter_map(|row| row.id.as_ref().map(CertificateId::as_str)).collect();
        assert_eq!(ids, ["a", "b", "c"]);
        assert!(matches!(named[1].error, StoreError::NewerSchema { found: 9, .. }), "{named:?}");
        let error =
            store.claim_one(&owner, Duration::from_secs(60), &"a".parse().unwrap()).await.unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    }
    let after: Vec<_> = ["a", "b", "c"].map(|name| fs::read(path(name)).unwrap()).into();
    assert_eq!(before, after, "what cannot be read is left as it is");

    let store = FileStore::open(directory.path()).unwrap();
    let owner = Owner::unique();
    store.claim(&owner, Duration::from_secs(60), 9).await.unwrap();
    fs::write(path("a"), good).unwrap();
    assert_eq!(store.quarantined().await.unwrap().len(), 2);
    let claims = store.claim(&owner, Duration::from_secs(60), 9).await.unwrap();
    assert_eq!(claims.iter().map(|claim| claim.held.id.as_str()).collect::<Vec<_>>(), ["a"]);
}

#[tokio::test]
async fn no_fence_is_used_again_whatever_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path(), &[("a", 1_000)]).await;
    let mut highest = Fence::default();
    for lost in ["", "lock", "index.log", "lock index.log"] {
        for name in lost.split_whitespace() {
            fs::remove_file(directory.path().join(name)).unwrap();
        }
        let store = FileStore::open(directory.path()).unwrap();
        for _ in 0..3 {
            let claim =
                store.claim_one(&Owner::unique(), Duration::from_secs(9), &"a".parse().unwrap()).await;
            let claim = claim.unwrap().unwrap();
            assert!(claim.held.fence > highest, "{} after {highest}, without {lost:?}", claim.held.fence);
            highest = claim.held.fence;
            // It is written with the record, too.
            let write = Batch::new().change(claim.record, Some(claim.version)).held(&claim.held);
            store.apply(&write).await.unwrap();
            store.release(&[claim.held]).await.unwrap();
        }
    }
}

#[tokio::test]
async fn fences_that_are_used_up_are_followed_by_others() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path(), &[("a", 1_000)]).await;
    let store = FileStore::open(directory.path()).unwrap();
    let reserved = store.open.inner.state().reserved;
    store.open.inner.state().index.fences_from(reserved);
    let claims = store.claim(&Owner::unique(), Duration::from_secs(9), 1).await.unwrap();
    assert_eq!(claims[0].held.fence, reserved.next());
    drop(store);
    let store = FileStore::open(directory.path()).unwrap();
    assert!(store.open.inner.state().index.newest_fence() > reserved.next());
}

#[tokio::test]
async fn a_long_index_is_written_anew_and_says_the_same() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path(), &ROWS).await;
    let store = inner(directory.path());
    let (id, log) = ("b".parse::<CertificateId>().unwrap(), directory.path().join("index.log"));
    let mut longest = 0;
    for at in 0..10_000 {
        let at = Row::new(Timestamp::from_unix(2_000 + at), Line::First);
        store.note(&[inner::due(&id, at)], |state| state.put(&id, at)).unwrap();
        longest = longest.max(fs::metadata(&log).unwrap().len());
    }
    let length = fs::metadata(&log).unwrap().len();
    assert!(length < longest && longest < 200_000, "{length} of {longest}");
    let before = rows(&store);
    assert_eq!(before[1], ("b".to_owned(), 11_999));
    drop(store);
    assert_eq!(rows(&inner(directory.path())), before);
}

#[tokio::test]
async fn budgets_survive_the_process_until_they_are_full() {
    let directory = tempfile::tempdir().unwrap();
    let (key, now) = (BudgetKey::Provider("dns".to_owned()), SystemClock::new().now());
    let limit = crate::budget::Limit::pace(Duration::from_secs(3_600));
    let (taken, full) = (Bucket::emptied(limit, now), Bucket::FULL);
    let keys = [key.clone(), BudgetKey::Fleet];
    let store = FileStore::open(directory.path()).unwrap();
    store.apply(&Batch::new().bucket(key, None, taken).bucket(BudgetKey::Fleet, None, full)).await.unwrap();
    let kept = store.buckets(&keys).await.unwrap();
    drop(store);
    let store = FileStore::open(directory.path()).unwrap();
    assert_eq!(store.buckets(&keys).await.unwrap(), kept);
    store.open.inner.rewrite(&mut store.open.inner.log.writer()).unwrap();
    assert_eq!(store.buckets(&keys).await.unwrap(), [kept[0], None]);
    // One that comes back has another version than anybody remembers.
    store.apply(&Batch::new().bucket(BudgetKey::Fleet, None, full)).await.unwrap();
    assert!(store.buckets(&keys).await.unwrap()[1].unwrap().0 > kept[1].unwrap().0);
}

#[tokio::test]
async fn whoever_waits_is_woken_by_what_is_due_earlier() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path(), &[("c", 4_000_000_000)]).await;
    let store = FileStore::open(directory.path()).unwrap();
    assert_eq!(store.next_due().await.unwrap(), Some(Timestamp::from_unix(4_000_000_000)));
    let soon = Duration::from_millis(50);
    assert!(tokio::time::timeout(soon, store.woken()).await.is_err());
    store.commit(&record("a"), None).await.unwrap();
    // Also who begins to wait just after it.
    tokio::time::timeout(Duration::from_secs(10), store.woken()).await.unwrap();
}

/// Waits for what is looked at while the store is used.
async fn until(mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..2_000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it was not found");
}

#[tokio::test]
async fn an_earlier_record_that_somebody_restored_is_found_and_noted() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path(), &[("a", 4_000_000_000)]).await;
    let path = directory.path().join("certificates/a/record.json");
    let restored = fs::read_to_string(&path).unwrap().replace("2096-10-02T07:06:40Z", "2033-05-18T03:33:20Z");
    fs::write(&path, restored).unwrap();
    let wanted = owned(&[("a", 2_000_000_000)]);
    {
        let store = FileStore::open(directory.path()).unwrap();
        until(async || index(&store).await == wanted).await;
    }
    assert_eq!(rows(&inner(directory.path())), wanted, "the log knows, too");
}

#[tokio::test]
async fn what_could_not_be_read_is_tried_again_after_an_hour() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path(), &[("a", 1_000)]).await;
    let path = directory.path().join("certificates/a/record.json");
    let good = fs::read(&path).unwrap();
    fs::write(&path, "{}").unwrap();
    let clock = perennial_testkit::ManualClock::new(Timestamp::from_unix(1_800_000_000));
    let store = FileStore::builder(directory.path()).clock(Arc::new(clock.clone())).open().unwrap();
    let claim = async || store.claim(&Owner::unique(), Duration::from_secs(60), 9).await.unwrap().len();
    assert_eq!(claim().await, 0);
    fs::write(&path, good).unwrap();
    assert_eq!(claim().await, 0);
    clock.advance(Duration::from_secs(3_600));
    assert_eq!(claim().await, 1);
    assert_eq!(store.quarantined().await.unwrap(), []);
}

#[tokio::test]
async fn what_a_crash_left_half_written_anywhere_is_swept_away() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path(), &[("a", 1_000)]).await;
    let generation = directory.path().join("certificates/a/00000001");
    fs::create_dir(&generation).unwrap();
    let left: Vec<_> = [
        directory.path().join("index.log"),
        directory.path().join("certificates/a/record.json"),
        generation.join("privkey.pem"),
    ]
    .iter()
    .map(|path| durable::temporary_beside(path))
    .collect();
    left.iter().for_each(|path| fs::write(path, "half").unwrap());
    let _store = FileStore::open(directory.path()).unwrap();
    until(async || left.iter().all(|path| !path.exists())).await;
}

/// In which line a store that is open has a certificate.
fn line(inner: &Inner, name: &str) -> Option<Line> {
    inner.state().index.row(&name.parse().unwrap()).map(|row| row.line)
}

#[tokio::test]
async fn the_lines_survive_the_process_and_follow_the_record() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path(), &ROWS).await;
    let a = record("a");
    let serves = |inner: &Inner, number| {
        let (version, mut record) = inner.load(a.id()).unwrap().unwrap();
        record.current = Some(current(number));
        inner.apply(&Batch::new().change(record, Some(version))).unwrap();
    };
    serves(&inner(directory.path()), 1);
    let store = inner(directory.path());
    assert_eq!([line(&store, "a"), line(&store, "b")], [Some(Line::Renewal), Some(Line::First)]);
    store.rewrite(&mut store.log.writer()).unwrap();
    drop(store);
    let store = inner(directory.path());
    assert_eq!([line(&store, "a"), line(&store, "b")], [Some(Line::Renewal), Some(Line::First)]);
    // Without a log it is read from the records.
    drop(store);
    fs::remove_file(directory.path().join("index.log")).unwrap();
    let store = inner(directory.path());
    assert_eq!([line(&store, "a"), line(&store, "b")], [Some(Line::Renewal), Some(Line::First)]);
}

#[tokio::test]
async fn an_index_that_knows_no_lines_is_put_right_in_the_background() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path(), &ROWS).await;
    let store = inner(directory.path());
    // As it was written before: all of one kind.
    for (name, at) in ROWS {
        let row = Row::new(Timestamp::from_unix(at), Line::Renewal);
        let id = name.parse().unwrap();
        store.note(&[inner::due(&id, row)], |state| state.put(&id, row)).unwrap();
    }
    store.rewrite(&mut store.log.writer()).unwrap();
    drop(store);
    let log = directory.path().join("index.log");
    let mut bytes = fs::read(&log).unwrap();
    let schema = |bytes: &[u8]| u32::from_le_bytes(bytes[16..20].try_into().unwrap());
    bytes[16..20].copy_from_slice(&1_u32.to_le_bytes());
    fs::write(&log, &bytes).unwrap();

    let store = inner(directory.path());
    assert_eq!(rows(&store), owned(&ROWS), "it is believed");
    assert_eq!(line(&store, "a"), Some(Line::Renewal), "nothing else is known");
    assert_eq!(schema(&fs::read(&log).unwrap()), 2, "nothing new is added to an old one");
    drop(store);
    let store = FileStore::open(directory.path()).unwrap();
    let inner = &store.open.inner;
    let put_right = async {
        while ["a", "b", "c"].iter().any(|name| line(inner, name) != Some(Line::First)) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), put_right).await.expect("it is never put right");
    assert_eq!(rows(inner), owned(&ROWS));
}
