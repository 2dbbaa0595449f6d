//! Revocation (RFC 8555 §7.6).

use super::spec;
use crate::{
    Revocation,
    call::{Call, Credential, Payload, Spec, Target},
};

/// Revokes a certificate in the name of an account (RFC 8555 §7.6): the one that it was issued to, or one that
/// may speak for all its names.
///
/// Nothing but 200 counts: who believes that a key is dead must be right.
pub fn revoke_certificate(revocation: &Revocation) -> Call<()> {
    Call::new(revocation_spec(revocation))
}

/// Revokes a certificate with its own key, which is the session's (RFC 8555 §7.6). No account is needed.
pub fn revoke_certificate_by_key(revocation: &Revocation) -> Call<()> {
    Call::new(Spec { credential: Credential::Jwk, ..revocation_spec(revocation) })
}

fn revocation_spec(revocation: &Revocation) -> Spec<()> {
    let target = Target::Optional(|directory| directory.revoke_cert.as_ref());
    spec("revokeCert", target, Payload::Fixed(revocation.to_json().into()), |_| Ok(()))
}
