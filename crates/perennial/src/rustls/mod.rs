//! Certificates for servers over rustls: the right one for each handshake, exchanged while they serve.
//!
//! A [`CertificateResolver`] is what a server's configuration asks for a certificate at each handshake. It is fed
//! by a [`Manager`](crate::Manager) ([`resolver`](crate::Manager::resolver)), by one kept certificate
//! ([`Serve::rustls`]), or by hand ([`CertificateResolver::insert`]). A connection keeps the certificate that it
//! began with; the next one gets the new one; neither waits.
//!
//! ```no_run
//! use std::{io, sync::Arc};
//! use perennial::Manager;
//! use tokio::{io::AsyncWriteExt as _, net::TcpListener};
//! use tokio_rustls::TlsAcceptor;
//!
//! async fn serve(manager: Manager) -> Result<(), Box<dyn std::error::Error>> {
//!     let config = manager.resolver().await?.server_config(&[]);
//!     let acceptor = TlsAcceptor::from(Arc::new(config));
//!     let listener = TcpListener::bind("[::]:443").await?;
//!     loop {
//!         let (stream, _) = listener.accept().await?;
//!         let acceptor = acceptor.clone();
//!         tokio::spawn(async move {
//!             let mut stream = acceptor.accept(stream).await?; // give it a time limit
//!             stream.write_all(b"hello\n").await?;
//!             stream.shutdown().await?;
//!             io::Result::Ok(())
//!         });
//!     }
//! }
//! ```

mod certificate;
pub use certificate::ServedCertificate;

mod error;
pub use error::ServingError;

mod follow;
pub use follow::Serve;

mod resolver;
pub use resolver::{CertificateResolver, CertificateResolverBuilder, UnknownNames};

mod slots;
mod table;

#[cfg(test)]
mod testing;
