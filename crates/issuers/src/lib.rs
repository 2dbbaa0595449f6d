//! Where the perennial crates meet: issuers of certificates, and the solvers that prove names for them.
//!
//! [`AcmeIssuer`] implements [`perennial_lifecycle::Issuer`] over `perennial-acme`; a [`Solver`] puts the
//! proof of a name where the CA looks for it, waits until it is visible there, and takes it away again.
//! [`Dns01`] does so with any [`DnsProvider`](perennial_providers::DnsProvider) and the propagation checker,
//! [`DnsPersist01`] by a record that stays, [`Http01`] by what a web server answers, [`TlsAlpn01`] in the handshakes
//! of a TLS server; a [`Selector`] says which of several is for which name.
//! [`CaIssuer`] signs with the key of a CA, and [`SelfSignedIssuer`] with the certificate's own.
//! [`VaultIssuer`] asks a Vault or an OpenBao to sign. [`CaaLookup`] looks at CAA records before an order is sent;
//! [`HttpHook`] tells a server that a certificate was delivered, and a [`Probe`] looks whether it is served.

pub mod acme;
pub use acme::{AcmeIssuer, AcmeIssuerBuilder};

pub mod ca;
pub use ca::{CaIssuer, CaIssuerBuilder, CaSource};

mod caa;
pub use caa::CaaLookup;

mod error;
pub use error::Error;

mod handshake;
pub use handshake::NoHandshake;

mod http_hook;
pub use http_hook::HttpHook;

pub mod probe;
pub use probe::Probe;

mod self_signed;
pub use self_signed::{SelfSignedIssuer, SelfSignedIssuerBuilder};

mod signing;

pub mod solver;
pub use solver::{Dns01, DnsPersist01, Http01, Proof, Selector, Solver, Task, TlsAlpn01};

pub mod vault;
pub use vault::{VaultAuth, VaultIssuer, VaultIssuerBuilder, VaultSecret};
