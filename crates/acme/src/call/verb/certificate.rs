//! Certificates (RFC 8555 §7.4.2).

use super::{post_as_get, spec};
use crate::{
    CertificateChain, Url,
    call::{Call, Spec, Target},
    certificate::MAX_CHAIN_BYTES,
    link,
};

/// A chain, and where the others are that the server offers for the same certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs)] // Plain data: what RFC 8555 §7.4.2 answers.
pub struct Download {
    /// The chain.
    pub chain: CertificateChain,
    /// The URLs of alternate chains, in the server's order.
    pub alternates: Vec<Url>,
}

/// Fetches a certificate (RFC 8555 §7.4.2).
pub fn certificate(url: Url) -> Call<Download> {
    Call::new(Spec {
        accept: Some("application/pem-certificate-chain"),
        limit: MAX_CHAIN_BYTES,
        ..spec("certificate", Target::Url(url), post_as_get(), |answer| {
            let chain = CertificateChain::parse(answer.body)?;
            let server = answer.session.server();
            // An alternate that leads nowhere is no reason to lose the chain that we have.
            let alternates = link::references(answer.headers, "alternate")
                .filter_map(|reference| answer.url.join(&reference).ok())
                .filter(|url| server.check(url).is_ok())
                .collect();
            Ok(Download { chain, alternates })
        })
    })
}
