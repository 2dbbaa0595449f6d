//! What is kept no longer, in each store.

use std::sync::Arc;

use perennial::{
    CertificateSpec, FileStore, Manager, MemoryStore,
    lifecycle::{CertificateId, Error, Store},
};

use crate::authority::Authority;

/// Keeps two and removes one of them.
async fn removes_one_of_two(store: Arc<dyn Store>) {
    let manager = Manager::builder(store.clone()).issuer("test", Authority::new()).unwrap().build();
    let mut kept = Vec::new();
    for id in ["one", "two"] {
        let spec = CertificateSpec::new(id, [format!("{id}.example")]).unwrap();
        kept.push(manager.keep(spec).await.unwrap());
    }
    let (one, two) = (kept[0].ready().await.unwrap(), kept[1].ready().await.unwrap());
    let ids: [CertificateId; 2] = ["one".parse().unwrap(), "two".parse().unwrap()];
    manager.remove(&ids[0]).await.unwrap();
    assert_eq!(store.list(None, 9).await.unwrap(), [ids[1].clone()]);
    assert_eq!(store.load(&ids[0]).await.unwrap(), None);
    let unknown = Some(Error::UnknownCertificate { id: ids[0].clone() });
    assert_eq!(kept[0].changed(&one).await.err(), unknown);
    assert_eq!(manager.remove(&ids[0]).await.err(), unknown);
    let current = manager.keeper().current(&ids[1]).await.unwrap().unwrap();
    assert_eq!(current.facts().serial, two.facts().serial);
    manager.shut_down().await;
}

#[tokio::test]
async fn a_certificate_can_be_removed_from_a_store_in_memory() {
    removes_one_of_two(Arc::new(MemoryStore::new())).await;
}

#[tokio::test]
async fn a_certificate_can_be_removed_from_a_store_of_files() {
    let directory = tempfile::tempdir().unwrap();
    removes_one_of_two(Arc::new(FileStore::open(directory.path()).unwrap())).await;
    let left = std::fs::read_dir(directory.path().join("certificates")).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["two"]);
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn a_certificate_can_be_removed_from_a_store_in_postgres() {
    use perennial::postgres::PostgresStore;
    use perennial_testkit::real::{self, Postgres, Tool};

    if real::require(&[Tool::Postgres]).is_none() {
        return;
    }
    let server = Postgres::builder().start().await.unwrap();
    let store = PostgresStore::builder(server.socket()).connect().await.unwrap();
    removes_one_of_two(Arc::new(store)).await;
}
