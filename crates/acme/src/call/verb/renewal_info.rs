//! Renewal information (RFC 9773 §4.1).

use super::spec;
use crate::{
    CertificateId, Misbehaved, RenewalInfo,
    call::{Call, Credential, Payload, Spec, Target},
    renewal_info::{MAX_INFO_BYTES, RETRY_BOUNDS},
    retry_after,
};

/// Asks when a certificate should be renewed (RFC 9773 §4.1): the one request besides the directory that
/// nobody signs.
pub fn renewal_info(certificate: &CertificateId) -> Call<RenewalInfo> {
    let target = Target::Below(|directory| directory.renewal_info.as_ref(), certificate.to_string());
    Call::new(Spec {
        credential: Credential::None,
        limit: MAX_INFO_BYTES,
        ..spec("renewalInfo", target, Payload::Fixed("".into()), |answer| {
            let missing = || Misbehaved::Header { url: answer.url.to_string(), header: "Retry-After" };
            let retry_at = retry_after::read(answer.headers, answer.now, RETRY_BOUNDS).ok_or_else(missing)?;
            Ok(RenewalInfo::parse(answer.body, retry_at)?)
        })
    })
}
