//! What the tests have in common: a server, stores on it, and somebody else who looks in from the side.

use perennial_lifecycle::{CertificateSpec, Record};
use perennial_postgres::PostgresStore;
use perennial_testkit::real::{self, Postgres, Tool};

/// A server of the test's own, or `None` where there is none to be had.
pub(crate) async fn server() -> Option<Postgres> {
    real::require(&[Tool::Postgres])?;
    Some(Postgres::builder().start().await.unwrap())
}

pub(crate) async fn store(server: &Postgres) -> PostgresStore {
    PostgresStore::builder(server.socket()).connect().await.unwrap()
}

pub(crate) fn record(id: &str) -> Record {
    Record::new(CertificateSpec::new(id, ["shop.example"]).unwrap())
}

/// Somebody else, in the middle of a transaction.
pub(crate) struct Holder {
    client: tokio_postgres::Client,
    driver: tokio::task::JoinHandle<Result<(), tokio_postgres::Error>>,
}

impl Holder {
    /// Does something, and does not commit it yet.
    pub(crate) async fn begin(server: &Postgres, statement: &str) -> Self {
        let (client, driver) = tokio_postgres::connect(server.socket(), tokio_postgres::NoTls).await.unwrap();
        let driver = tokio::spawn(driver);
        client.batch_execute(&format!("BEGIN; {statement}")).await.unwrap();
        Self { client, driver }
    }

    /// Waits until a store waits for it.
    pub(crate) async fn is_waited_for(&self, server: &Postgres) {
        let waiting = "SELECT count(*) FROM pg_stat_activity \
                       WHERE wait_event_type = 'Lock' AND application_name = 'perennial'";
        while aside(server.socket(), waiting).await != ["1"] {
            tokio::task::yield_now().await;
        }
    }

    pub(crate) async fn commit(self) {
        self.client.batch_execute("COMMIT").await.unwrap();
        drop(self.client);
        self.driver.await.unwrap().unwrap();
    }
}

/// Does something in the database behind the store's back, and returns the first column of its rows.
pub(crate) async fn aside(connection: &str, statement: &str) -> Vec<String> {
    let (client, driver) = tokio_postgres::connect(connection, tokio_postgres::NoTls).await.unwrap();
    let driver = tokio::spawn(driver);
    let messages = client.simple_query(statement).await.unwrap();
    drop(client);
    driver.await.unwrap().unwrap();
    let rows = messages.iter().filter_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    rows.collect()
}
