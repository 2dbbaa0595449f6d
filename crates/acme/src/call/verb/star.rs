//! Orders whose certificate the CA renews by itself (RFC 8739).

use super::{order::order_state, post_as_get, spec};
use crate::{
    CertificateChain, OrderState, StarCertificate, Url,
    call::{Call, Payload, Spec, Target},
    certificate::MAX_CHAIN_BYTES,
};

/// Ends the renewals of an order (RFC 8739 §3.1.2). Only of one that is `valid`: a server refuses others.
pub fn cancel_order(url: Url) -> Call<OrderState> {
    let payload = Payload::Fixed(r#"{"status":"canceled"}"#.into());
    Call::new(spec("cancellation", Target::Url(url), payload, order_state))
}

/// Fetches the certificate of the moment from an order's `star-certificate` URL (RFC 8739 §3.3), in the name
/// of the account, whether or not plain GETs are allowed.
pub fn star_certificate(url: Url) -> Call<StarCertificate> {
    Call::new(Spec {
        accept: Some("application/pem-certificate-chain"),
        limit: MAX_CHAIN_BYTES,
        ..spec("certificate", Target::Url(url), post_as_get(), |answer| {
            Ok(StarCertificate::new(CertificateChain::parse(answer.body)?, answer.headers))
        })
    })
}
