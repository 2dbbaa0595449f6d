//! Finalizing an order for onion services (RFC 9799 §6.4).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;

use super::{order::order_state, spec};
use crate::{
    OrderState, SignedOnionCaa, Url,
    call::{Call, Payload, Target},
    onion,
};

/// Sends the certificate signing request to the order's `finalize` URL, and with it the CAA records of the
/// order's onion services: for a CA that wants them so ([`Meta`](crate::Meta::in_band_onion_caa_required)).
pub fn finalize_onion(url: Url, csr_der: &[u8], records: &[SignedOnionCaa]) -> Call<OrderState> {
    let payload = json!({ "csr": URL_SAFE_NO_PAD.encode(csr_der), "onionCAA": onion::to_json(records) });
    Call::new(spec("finalize", Target::Url(url), Payload::Fixed(payload.to_string().into()), order_state))
}
