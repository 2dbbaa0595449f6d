//! Certificates for servers over rustls: the right one for each handshake, exchanged while they serve.
//!
//! A [`CertificateResolver`] is what a server's configuration asks for a certificate at each handshake. It is fed
//! by a [`Manager`](crate::Manager) ([`resolver`](crate::Manager::resolver)), by one kept certificate
//! ([`Serve::rustls`]), or by hand ([`CertificateResolver::insert`]). A connection keeps the certificate that it
//! began with; the next one gets the new one; neither waits.

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
