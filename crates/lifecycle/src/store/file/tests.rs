use super::*;
use crate::{CertificateSpec, durable, store::laws};
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
        let mode = fs::metadata(store.open.inner.place.slot(slot)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{slot}");
    }
}
