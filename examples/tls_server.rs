//! The shortest TLS server: plain tokio-rustls, with a certificate that is kept.
//!
//! ```sh
//! cargo run --release --example tls_server                  # says hello to itself and ends
//! cargo run --release --example tls_server -- [::]:8443     # serves there until it is stopped
//! ```
//!
//! The certificate is self-signed, so that it needs no network; with another issuer nothing else changes.
#![allow(clippy::print_stdout)] // It is a program.

use perennial::{CertificateSpec, Manager, MemoryStore, SelfSignedIssuer, rustls::Serve as _};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use std::{error::Error, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

const NAME: &str = "hello.example.com";
/// A client on the other side of the world needs one second; one that says nothing is let go.
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let manager = Manager::builder(MemoryStore::new())
        .issuer("self-signed", SelfSignedIssuer::builder().build())?
        .build();
    let certificate = manager.keep(CertificateSpec::new("hello", [NAME])?).await?;
    let issued = certificate.ready().await?;
    let resolver = certificate.rustls(); // serves it, and each renewal from its first moment

    let stays = std::env::args().nth(1);
    let listener = TcpListener::bind(stays.as_deref().unwrap_or("127.0.0.1:0")).await?;
    let address = listener.local_addr()?;
    println!("{NAME} at {address} serves until {}", issued.facts().not_after);
    let serving = tokio::spawn(serve(listener, TlsAcceptor::from(Arc::new(resolver.server_config(&[])))));
    if stays.is_none() {
        println!("{}", ask(address, issued.chain_pem()).await?);
        serving.abort();
    }
    let _ = serving.await;
    Ok(())
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor) {
    loop {
        // That the process has no more files, say, passes; asking again at once would only cost its processor.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let acceptor = acceptor.clone();
        // All at once: a client that is slow holds no other up.
        tokio::spawn(timeout(PATIENCE, async move {
            let mut stream = acceptor.accept(stream).await?;
            stream.write_all(b"hello").await?;
            stream.shutdown().await
        }));
    }
}

/// A client that trusts this certificate and no other.
async fn ask(address: SocketAddr, anchor: &str) -> Result<String, Box<dyn Error>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(anchor.as_bytes())?)?;
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions()?;
    let config = builder.with_root_certificates(roots).with_no_client_auth();
    let stream = TcpStream::connect(address).await?;
    let connector = TlsConnector::from(Arc::new(config));
    let mut stream = connector.connect(ServerName::try_from(NAME)?, stream).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}
