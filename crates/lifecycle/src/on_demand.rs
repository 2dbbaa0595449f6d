//! Who says whether a certificate may be had at first sight.

use async_trait::async_trait;
use perennial_core::DomainName;

use crate::CertificateSpec;

/// Says whether a certificate for a name that somebody asks for right now may be had, and what it is like: a list of
/// customers, a look into a database.
///
/// # Contract
/// - It MUST be strict: whoever connects can ask for any name, and each yes is an order.
/// - What it allows once is kept and renewed like any other, for ninety days after somebody has asked for it last, or as
///   long as the spec [says](CertificateSpec::lapse_after). Attempts that fail go on for as long, unless the spec has
///   less [patience](CertificateSpec::give_up_after).
/// - It returns within a bounded time: somebody waits.
#[async_trait]
pub trait OnDemand: Send + Sync {
    /// The spec of the certificate for this name, made of a `plain` one; it keeps that one's id.
    ///
    /// # Errors
    /// Why it is not to be had, in words.
    async fn allow(&self, name: &DomainName, plain: CertificateSpec) -> Result<CertificateSpec, String>;
}
