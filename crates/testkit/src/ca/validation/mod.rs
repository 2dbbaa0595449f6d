//! Does the account control the name?

mod dns01;

mod http01;

mod tls_alpn01;

use std::net::SocketAddr;

use super::{identifier::Identifier, problem::Problem};

/// A challenge that was answered and must be looked at.
#[derive(Clone, Debug)]
pub(super) struct Validation {
    pub(super) authorization: u64,
    pub(super) part: usize,
    pub(super) name: Identifier,
    pub(super) proof: Proof,
}

/// What must be found, and where.
#[derive(Clone, Debug)]
pub(super) enum Proof {
    /// A TXT record (RFC 8555 §8.4).
    Dns { owner: String, expected: String },
    /// A file (RFC 8555 §8.3), at this address whatever the name's is.
    Http { at: SocketAddr, token: String, expected: String },
    /// A certificate (RFC 8737), at this address whatever the name's is.
    TlsAlpn { at: SocketAddr, digest: Vec<u8> },
}

/// Looks; the name servers are those that the CA was told to ask.
pub(super) async fn validate(servers: &[SocketAddr], validation: &Validation) -> Result<(), Problem> {
    match &validation.proof {
        Proof::Dns { owner, expected } => dns01::look(servers, owner, expected).await,
        Proof::Http { at, token, expected } => http01::look(*at, &validation.name, token, expected).await,
        Proof::TlsAlpn { at, digest } => tls_alpn01::look(*at, &validation.name, digest).await,
    }
}

/// How long the other side may take.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);
