//! The tables, and how they come to be.

use std::{sync::Arc, time::Duration};

use perennial_core::{Retry, Timestamp};
use perennial_lifecycle::{Store as _, Version, store::Owner};
use perennial_postgres::{Error, PostgresStore};
use perennial_testkit::real::Postgres;
use tokio::{sync::Barrier, task::JoinSet};

use crate::scene::{aside, record, server, store};

#[tokio::test(flavor = "multi_thread")]
async fn eight_first_starts_at_once_make_the_tables_once() {
    const STORES: usize = 8;
    let Some(server) = server().await else { return };
    // Nobody comes to the lock before all have seen an empty database: a transaction that nobody has asked
    // for holds it until they wait.
    let lock = "SELECT pg_advisory_xact_lock(x'706572656e6e6961'::bigint)";
    let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
    let (holder, driver) = tokio_postgres::connect(server.socket(), tokio_postgres::NoTls).await.unwrap();
    let driver = tokio::spawn(driver);
    holder.batch_execute(&format!("BEGIN; {lock}")).await.unwrap();

    let barrier = Arc::new(Barrier::new(STORES));
    let mut starts = JoinSet::new();
    for number in 0..STORES {
        let (connection, barrier) = (server.socket().to_owned(), barrier.clone());
        starts.spawn(async move {
            barrier.wait().await;
            let store = PostgresStore::builder(connection).connect().await?;
            store.commit(&record(&format!("from-{number}")), None).await?;
            Ok::<_, Error>(())
        });
    }
    while aside(server.socket(), waiting).await != [STORES.to_string()] {
        tokio::task::yield_now().await;
    }
    holder.batch_execute("COMMIT").await.unwrap();
    drop(holder);
    driver.await.unwrap().unwrap();
    for start in starts.join_all().await {
        start.unwrap();
    }
    assert_eq!(aside(server.socket(), "SELECT version FROM perennial_schema").await, ["3"]);
    assert_eq!(aside(server.socket(), "SELECT count(*) FROM perennial_records").await, ["8"]);
}

#[tokio::test]
async fn a_newer_schema_is_refused_with_the_remedy_and_left_alone() {
    let Some(server) = server().await else { return };
    store(&server).await;
    aside(server.socket(), "UPDATE perennial_schema SET version = 9").await;
    let error = PostgresStore::builder(server.socket()).connect().await.unwrap_err();
    assert!(matches!(error, Error::NewerSchema { found: 9, known: 3, .. }), "{error}");
    assert_eq!(error.retry(), Retry::Never);
    assert!(error.to_string().contains("update this program"), "{error}");
    assert_eq!(aside(server.socket(), "SELECT version FROM perennial_schema").await, ["9"]);
}

#[tokio::test]
async fn an_account_that_may_make_no_tables_uses_those_that_are_there() {
    let Some(server) = server().await else { return };
    let clerk = server.socket().replace("user=postgres", "user=clerk");
    aside(server.socket(), "CREATE ROLE clerk LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC").await;
    let error = PostgresStore::builder(clerk.as_str()).connect().await.unwrap_err();
    assert!(error.to_string().contains("42501"), "insufficient_privilege: {error}");
    store(&server).await;
    let tables = "perennial_buckets, perennial_records, perennial_slots";
    let grant = format!(
        "GRANT SELECT ON perennial_schema TO clerk; GRANT USAGE ON SEQUENCE perennial_fences TO clerk; \
         GRANT SELECT, INSERT, UPDATE, DELETE ON {tables} TO clerk"
    );
    aside(server.socket(), &grant).await;
    let store = PostgresStore::builder(clerk.as_str()).connect().await.unwrap();
    store.commit(&record("clerk"), None).await.unwrap();
    assert_eq!(store.claim(&Owner::unique(), Duration::from_secs(60), 9).await.unwrap().len(), 1);
}

/// A database of schema 1, with records as they were written then.
async fn old(server: &Postgres, ids: &[&str]) {
    aside(server.socket(), include_str!("../../src/schema/0.sql")).await;
    aside(server.socket(), include_str!("../../src/schema/1.sql")).await;
    aside(server.socket(), "UPDATE perennial_schema SET version = 1").await;
    for id in ids {
        let mut json = serde_json::to_value(record(id)).unwrap();
        json.as_object_mut().unwrap().remove("next_at").unwrap();
        let values = format!("('{id}', 7, '{json}')");
        aside(server.socket(), &format!("INSERT INTO perennial_records VALUES {values}")).await;
    }
}

#[tokio::test]
async fn the_records_of_an_older_schema_are_kept_and_due_at_once() {
    let Some(server) = server().await else { return };
    old(&server, &["b", "a"]).await;
    let store = store(&server).await;
    assert_eq!(aside(server.socket(), "SELECT version FROM perennial_schema").await, ["3"]);
    let version = Version::from_number(7);
    assert_eq!(store.load(record("a").id()).await.unwrap(), Some((version, record("a"))));
    let claims = store.claim(&Owner::unique(), Duration::from_secs(60), 9).await.unwrap();
    let claimed: Vec<_> = claims.iter().map(|claim| (claim.held.id.as_str(), claim.version)).collect();
    assert_eq!(claimed, [("a", version), ("b", version)]);
}

#[tokio::test]
async fn records_of_the_second_schema_are_found_in_the_line_that_they_stand_in() {
    let Some(server) = server().await else { return };
    for step in [include_str!("../../src/schema/0.sql"), include_str!("../../src/schema/1.sql")] {
        aside(server.socket(), step).await;
    }
    aside(server.socket(), include_str!("../../src/schema/2.sql")).await;
    aside(server.socket(), "UPDATE perennial_schema SET version = 2").await;
    let at = |number: i64| format!("to_timestamp({})", 1_000_000_000 + number);
    // Nothing that a record quotes, not even what looks like a certificate, makes it have one.
    let mut wish = record("wish");
    let quoted = r#"{"current": {"generation":1}}"#;
    wish.spec = wish.spec.label("note", quoted);
    for number in 0..20 {
        let json =
            serde_json::to_string(&wish).unwrap().replace("\"wish\"", &format!("\"wish-{number:02}\""));
        let values = format!("('wish-{number:02}', 1, '{json}', {}, {})", at(number), at(number));
        let columns = "(id, version, record, due_at, next_at)";
        aside(server.socket(), &format!("INSERT INTO perennial_records {columns} VALUES {values}")).await;
    }
    let mut json = serde_json::to_value(record("renewal")).unwrap();
    json.as_object_mut().unwrap().insert("current".to_owned(), current());
    let values = format!("('renewal', 1, '{json}', {}, {})", at(99), at(99));
    let columns = "(id, version, record, due_at, next_at)";
    aside(server.socket(), &format!("INSERT INTO perennial_records {columns} VALUES {values}")).await;
    // What nobody can read stays.
    let values = format!("('damaged', 1, '[]', {}, {})", at(999_999_999), at(999_999_999));
    aside(server.socket(), &format!("INSERT INTO perennial_records {columns} VALUES {values}")).await;

    let store = store(&server).await;
    let lines = "SELECT id FROM perennial_records WHERE has_certificate";
    assert_eq!(aside(server.socket(), lines).await, ["renewal"]);
    let claims = store.claim(&Owner::unique(), Duration::from_secs(60), 2).await.unwrap();
    let claimed: Vec<_> = claims.iter().map(|claim| claim.held.id.as_str()).collect();
    assert_eq!(claimed, ["wish-00", "renewal"]);
}

/// What a record says of a certificate that serves.
fn current() -> serde_json::Value {
    let spec = record("renewal").spec;
    serde_json::json!({
        "generation": 1,
        "issued_for": spec,
        "issued_at": Timestamp::from_unix(1),
        "facts": {
            "not_before": Timestamp::from_unix(1), "not_after": Timestamp::from_unix(2_000_000_000), "names": ["shop.example"], "other_names": [],
            "issuer": "CN=ca", "serial": "01", "fingerprint": "00", "public_key_fingerprint": "00", "is_ca": false,
        },
    })
}

#[tokio::test]
async fn whoever_changes_the_tables_may_take_longer_than_a_statement() {
    let Some(server) = server().await else { return };
    old(&server, &["a"]).await;
    let (holder, driver) = tokio_postgres::connect(server.socket(), tokio_postgres::NoTls).await.unwrap();
    let driver = tokio::spawn(driver);
    holder.batch_execute("BEGIN; LOCK TABLE perennial_records IN ACCESS SHARE MODE").await.unwrap();
    let connecting = PostgresStore::builder(server.socket()).time_limit(Duration::from_millis(500)).connect();
    let (connected, ()) = tokio::join!(connecting, async {
        // Longer than we would wait for the answer to a statement, either.
        tokio::time::sleep(Duration::from_secs(4)).await;
        holder.batch_execute("COMMIT").await.unwrap();
    });
    assert_eq!(connected.unwrap().list(None, 9).await.unwrap().len(), 1);
    drop(holder);
    driver.await.unwrap().unwrap();
}

#[tokio::test]
async fn the_tables_lie_in_the_schema_that_the_connection_names() {
    let Some(server) = server().await else { return };
    aside(server.socket(), "CREATE SCHEMA certificates").await;
    let connection = format!("{} options='-c search_path=certificates'", server.socket());
    for _ in 0..2 {
        PostgresStore::builder(connection.as_str()).connect().await.unwrap();
    }
    let places =
        "SELECT DISTINCT table_schema FROM information_schema.tables WHERE table_name LIKE 'perennial%'";
    assert_eq!(aside(server.socket(), places).await, ["certificates"]);
}
