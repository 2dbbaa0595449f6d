//! What a server shows in a TLS handshake, whoever trusts it.
//!
//! The self-check of tls-alpn-01 looks so before a CA does, and the [probe](crate::probe) looks what a name is served
//! with. Nothing secret is sent over such a connection, and nothing that comes is trusted: it is compared, and text of it
//! is shortened and stripped of control characters.

use std::{fmt, net::IpAddr, net::SocketAddr};

use perennial_propagation::target::Embedded;
use rustls_pki_types::CertificateDer;
use serde::Serialize;

use crate::solver::http01::Phase;

mod connect;
mod destination;
pub(crate) use destination::{Destinations, look_at};

mod witness;
pub(crate) use witness::any_certificate;

/// What is said in the beginning, and how well is looked.
#[derive(Clone, Copy)]
pub(crate) struct Question<'a> {
    /// The name that is asked for (SNI, RFC 6066 §3).
    pub(crate) name: &'a str,
    /// The one protocol that is offered (ALPN, RFC 7301), if any is.
    pub(crate) protocol: Option<&'a [u8]>,
    pub(crate) possession: Possession,
}

/// Whether the server has to show that it holds the key of its certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Possession {
    Shown,
    /// What a certificate looks like is all that matters. Of one with a critical extension that webpki does not know, as
    /// a proof of tls-alpn-01 is, the signature cannot be verified.
    Waived,
}

/// What was shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Handshake {
    /// The certificates as they were sent, the leaf first: one at least.
    pub(crate) chain: Vec<CertificateDer<'static>>,
    /// The protocol that the server has chosen.
    pub(crate) protocol: Option<Vec<u8>>,
}

/// What was seen at one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sighting {
    /// Whose address: as everybody else knows it.
    pub(crate) address: IpAddr,
    /// Where it was asked.
    pub(crate) asked: SocketAddr,
    /// What lies in between, where it was asked through NAT64.
    pub(crate) nat64: Option<Embedded>,
    pub(crate) seen: Result<Handshake, NoHandshake>,
}

/// Why no certificate was seen at an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NoHandshake {
    /// A connection, and no handshake over it: an alert, or no TLS.
    Broken {
        /// What happened.
        reason: String,
    },
    /// This host has no way to it.
    NoRoute {
        /// Why.
        reason: String,
    },
    /// The port is closed.
    Refused,
    /// Nobody answered in time.
    Silent {
        /// How far it had come.
        during: Phase,
    },
    /// The network says that there is no way.
    Unreachable {
        /// In the operating system's words.
        reason: String,
    },
}

impl fmt::Display for NoHandshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken { reason } => write!(f, "a connection, and no handshake: {reason}"),
            Self::NoRoute { reason } => write!(f, "not asked: {reason}"),
            Self::Refused => f.write_str("connection refused"),
            Self::Silent { during: Phase::Connecting } => f.write_str("no connection in time"),
            Self::Silent { during: Phase::Answering } => f.write_str("a connection, and no answer in time"),
            Self::Unreachable { reason } => write!(f, "unreachable: {reason}"),
        }
    }
}
