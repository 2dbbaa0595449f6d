//! Restarts, secrets and TLS.

use std::time::Duration;

use perennial_core::Retry;
use perennial_lifecycle::{Store as _, StoreError, store::laws};
use perennial_postgres::{Error, PostgresStore};
use perennial_testkit::real::{self, Postgres, Tool};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::broadcast,
    task::JoinSet,
};

use crate::scene::{aside, record, server, store};

#[tokio::test]
async fn the_pool_recovers_from_a_restart_of_the_server() {
    let Some(mut server) = server().await else { return };
    let store = store(&server).await;
    let version = store.commit(&record("lasting"), None).await.unwrap();
    // Several connections, so that several are dead afterwards.
    let record = record("lasting");
    let (a, b, c) = tokio::join!(store.load(record.id()), store.load(record.id()), store.load(record.id()));
    for loaded in [a, b, c] {
        loaded.unwrap();
    }
    server.stop().await.unwrap();
    let error = store.load(record.id()).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
    assert_eq!(error.retry(), Retry::Backoff);
    server.start().await.unwrap();
    assert_eq!(store.load(record.id()).await.unwrap(), Some((version, record.clone())));
}

#[tokio::test]
async fn a_restart_that_nobody_noticed_costs_nothing() {
    let Some(mut server) = server().await else { return };
    let store = store(&server).await;
    store.commit(&record("lasting"), None).await.unwrap();
    server.stop().await.unwrap();
    server.start().await.unwrap();
    assert!(store.load(record("lasting").id()).await.unwrap().is_some());
}

#[tokio::test]
async fn connections_that_somebody_else_ended_are_replaced() {
    let Some(server) = server().await else { return };
    let store = store(&server).await;
    let end = "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity WHERE application_name = 'perennial'";
    assert_eq!(aside(server.socket(), end).await, ["1"]);
    store.commit(&record("lasting"), None).await.unwrap();
}

#[tokio::test]
async fn connections_that_a_firewall_has_forgotten_are_replaced() {
    let Some(server) = server().await else { return };
    let firewall = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = firewall.local_addr().unwrap().port();
    let url = server.url().replace(&server.socket_addr().port().to_string(), &port.to_string());
    let (forget, _) = broadcast::channel::<()>(1);
    let (to, told) = (server.socket_addr(), forget.clone());
    let forwarding = tokio::spawn(async move {
        let mut held = JoinSet::new();
        while let Ok((mut client, _)) = firewall.accept().await {
            let mut forgotten = told.subscribe();
            held.spawn(async move {
                let mut server = TcpStream::connect(to).await.unwrap();
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
                    // From now on nothing passes, and nobody is told.
                    _ = forgotten.recv() => std::future::pending().await,
                }
            });
        }
    });
    let limit = Duration::from_secs(4);
    let store = PostgresStore::builder(url).time_limit(limit).connect().await.unwrap();
    forget.send(()).unwrap();
    store.commit(&record("lasting"), None).await.unwrap();
    forwarding.abort();
}

#[tokio::test]
async fn a_password_opens_the_store_and_is_never_shown() {
    let Some(mut server) = server().await else { return };
    let (url, password) = (server.url(), server.password().to_owned());
    let store = PostgresStore::builder(url.as_str()).connect().await.unwrap();
    store.commit(&record("secret"), None).await.unwrap();

    let wrong = url.replace(&password, "Hunter2Secret");
    let refused = PostgresStore::builder(wrong).connect().await.unwrap_err();
    assert!(refused.to_string().contains("password authentication failed"), "{refused}");
    server.stop().await.unwrap();
    let unreachable = PostgresStore::builder(url).connect().await.unwrap_err();
    let lost = store.load(record("secret").id()).await.unwrap_err();
    for said in [
        format!("{refused} {refused:?}"),
        format!("{unreachable} {unreachable:?}"),
        format!("{lost} {lost:?}"),
        format!("{store:?}"),
    ] {
        assert!(!said.contains(&password) && !said.contains("Hunter2Secret"), "{said}");
    }
}

#[tokio::test]
async fn a_refused_statement_shows_nothing_of_what_was_to_be_written() {
    let Some(server) = server().await else { return };
    let store = store(&server).await;
    aside(
        server.socket(),
        "ALTER TABLE perennial_records ADD CHECK (record::text NOT LIKE '%shop.example%')",
    )
    .await;
    let error = store.commit(&record("refused"), None).await.unwrap_err();
    let said = format!("{error} {error:?}");
    assert!(said.contains("23514"), "check_violation: {said}");
    assert!(!said.contains("shop.example"), "the server's detail quotes the row: {said}");
}

/// A certificate authority, and a server that has a certificate for 127.0.0.1 from it.
async fn server_with_tls() -> Option<(Postgres, String)> {
    real::require(&[Tool::Postgres])?;
    let root = authority("the database's own");
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &root).unwrap();
    let server = Postgres::builder().tls(leaf.pem(), key.serialize_pem()).start().await.unwrap();
    Some((server, root.pem()))
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

#[tokio::test]
async fn with_tls_the_laws_hold_and_the_connection_is_encrypted() {
    let Some((server, root)) = server_with_tls().await else { return };
    // The password is bound to this very TLS connection (RFC 5929): nobody can stand in between.
    let connection = format!("{}?sslmode=require&channel_binding=require", server.url());
    let store = PostgresStore::builder(connection).root_certificates_pem(root).connect().await.unwrap();
    laws::check(&store).await.unwrap();
    let encrypted = "SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                     WHERE application_name = 'perennial'";
    assert_eq!(aside(server.socket(), encrypted).await, ["t"]);
}

#[tokio::test]
async fn a_server_that_a_stranger_vouches_for_is_refused() {
    let Some((server, root)) = server_with_tls().await else { return };
    let connection = format!("{}?sslmode=require", server.url());
    let stranger = authority("a stranger").pem();
    let builder = PostgresStore::builder(connection.as_str()).root_certificates_pem(stranger);
    let error = builder.connect().await.unwrap_err();
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
    let elsewhere = connection.replace("127.0.0.1", "localhost");
    let error = PostgresStore::builder(elsewhere).root_certificates_pem(root).connect().await.unwrap_err();
    assert!(error.to_string().contains("not valid for name"), "{error}");
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_tls_was_asked_for() {
    let Some(server) = server().await else { return };
    let connection = format!("{}?sslmode=require", server.url());
    let error = PostgresStore::builder(connection).connect().await.unwrap_err();
    assert!(error.to_string().contains("does not support TLS"), "{error}");
}

#[tokio::test]
async fn clear_text_to_another_machine_is_refused_before_anything_is_sent() {
    // An address that nobody has (RFC 5737): if it were tried, the error would be another one.
    let connection = "postgresql://me:Hunter2Secret@192.0.2.1/x";
    let error = PostgresStore::builder(connection).connect().await.unwrap_err();
    assert_eq!(error, Error::Plaintext { host: "192.0.2.1".to_owned() });
    assert_eq!(error.retry(), Retry::Never);
}

#[tokio::test]
async fn a_database_that_is_not_there_is_told_with_its_place() {
    let Some(server) = server().await else { return };
    let connection = server.socket().replace("dbname=postgres", "dbname=nowhere");
    let builder = PostgresStore::builder(connection).time_limit(Duration::from_secs(30)).pool_size(0);
    let error = builder.connect().await.unwrap_err();
    assert!(error.to_string().contains("/nowhere: database \"nowhere\" does not exist"), "{error}");
}
