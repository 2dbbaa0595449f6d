//! tls-alpn-01 by a challenge's handle (RFC 8737).

use super::Challenge;
use crate::{
    ChallengeKind, Error,
    challenge::tls_alpn01::{ValidationCertificate, certificate},
};

impl Challenge {
    /// Makes the certificate that a tls-alpn-01 challenge wants to see on port 443, with a new key. Present
    /// it to connections that offer [`PROTOCOL`](crate::challenge::tls_alpn01::PROTOCOL), and to no others.
    ///
    /// # Errors
    /// [`Misuse::ChallengeKind`](crate::Misuse::ChallengeKind) for another kind,
    /// [`Misbehaved::Token`](crate::Misbehaved::Token) without a usable token,
    /// [`Misuse::Unprovable`](crate::Misuse::Unprovable) for an identifier that is neither a name nor an
    /// address.
    pub fn tls_alpn01_certificate(&self) -> Result<ValidationCertificate, Error> {
        self.require(&ChallengeKind::TlsAlpn01, "tls-alpn-01")?;
        Ok(certificate(self.identifier(), &self.key_authorization()?)?)
    }
}
