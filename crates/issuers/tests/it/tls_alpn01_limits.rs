//! What tls-alpn-01 gives to those who connect: ten seconds, and a place.

use std::{io::ErrorKind, sync::Arc, time::Duration};

use perennial_issuers::solver::tls_alpn01::{ChallengeAcceptor, ChallengeCertificates};
use rustls::crypto::ring::default_provider;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::tls_alpn01::{NAMES, hello, listener, ordinary};

/// The words of a client that goes on with its handshake, over this stream.
async fn shake_hands<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(
    stream: S,
    root: rustls_pki_types::CertificateDer<'static>,
) -> std::io::Result<tokio_rustls::client::TlsStream<S>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(root).unwrap();
    let builder = rustls::ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let config = builder.with_root_certificates(roots).with_no_client_auth();
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(NAMES[0]).unwrap(), stream).await
}

#[tokio::test(start_paused = true)]
async fn who_connects_and_says_nothing_is_gone_after_ten_seconds() {
    use tokio::time::{Instant, sleep};
    let acceptor = ChallengeAcceptor::new(ChallengeCertificates::new());
    let (config, root) = ordinary();
    let began = Instant::now();
    // Nothing at all, and the beginning of a first word.
    for said in [0, 5] {
        let (mut client, server) = tokio::io::duplex(4096);
        tokio::io::AsyncWriteExt::write_all(&mut client, &hello(&[])[..said]).await.unwrap();
        let error = acceptor.accept(server, config.clone()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        drop(client);
    }
    assert_eq!(began.elapsed().as_secs(), 20);
    // Who is slow, and no slower than that, is served.
    let (client, server) = tokio::io::duplex(4096);
    let slow = async {
        sleep(Duration::from_secs(9)).await;
        shake_hands(client, root).await
    };
    let (accepted, client) = tokio::join!(acceptor.accept(server, config.clone()), slow);
    assert!(accepted.unwrap().is_some() && client.is_ok());
    // What comes after the handshake has all the time.
    assert_eq!(began.elapsed().as_secs(), 29);
}

#[tokio::test]
async fn a_listener_serves_sixty_four_at_once_and_the_next_one_when_one_of_them_has_gone() {
    let certificates = ChallengeCertificates::new();
    let listener = listener(&certificates, 0).await;
    let at = listener.addresses()[0];
    let asks = async || {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut stream = TcpStream::connect(at).await.unwrap();
        stream.write_all(&hello(&["h2"])).await.unwrap();
        // Nothing is shown to it, which it is told.
        let mut alert = [0; 7];
        stream.read_exact(&mut alert).await.map(|_| alert[0])
    };
    assert_eq!(asks().await.unwrap(), 21, "an alert");
    let mut idle = Vec::new();
    for _ in 0..64 {
        idle.push(TcpStream::connect(at).await.unwrap());
    }
    let mut next = std::pin::pin!(asks());
    let served = tokio::time::timeout(Duration::from_millis(200), &mut next).await;
    assert!(served.is_err(), "there was a place for it: {served:?}");
    drop(idle.pop());
    assert_eq!(next.await.unwrap(), 21);
}

#[tokio::test(start_paused = true)]
async fn a_listener_lets_go_of_who_says_nothing_after_ten_seconds() {
    let listener = listener(&ChallengeCertificates::new(), 0).await;
    let began = tokio::time::Instant::now();
    let mut idle = TcpStream::connect(listener.addresses()[0]).await.unwrap();
    let read = tokio::io::AsyncReadExt::read(&mut idle, &mut [0; 8]).await;
    assert!(matches!(read, Ok(0) | Err(_)), "it was told something: {read:?}");
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(10) && took < Duration::from_secs(30), "{took:?}");
}
