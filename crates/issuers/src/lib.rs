//! Where the perennial crates meet: issuers of certificates, and the solvers that prove names for them.
//!
//! [`AcmeIssuer`] implements [`perennial_lifecycle::Issuer`] over `perennial-acme`; a [`Solver`] puts the
//! proof of a name where the CA looks for it, waits until it is visible there, and takes it away again.
//! [`Dns01`] does so with any [`DnsProvider`](perennial_providers::DnsProvider) and the propagation checker.
//! [`CaaLookup`] looks at CAA records before an order is sent. [`VaultIssuer`] asks a Vault or an OpenBao to sign.

pub mod acme;
pub use acme::{AcmeIssuer, AcmeIssuerBuilder};

mod caa;
pub use caa::CaaLookup;

mod error;
pub use error::Error;

pub mod solver;
pub use solver::{Dns01, Proof, Solver, Task};

pub mod vault;
pub use vault::{VaultAuth, VaultIssuer, VaultIssuerBuilder, VaultSecret};
