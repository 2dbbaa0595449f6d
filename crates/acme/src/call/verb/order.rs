//! Orders (RFC 8555 §7.4).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::StatusCode;
use perennial_core::Timestamp;
use serde_json::json;

use super::{Created, location, post_as_get, spec};
use crate::{
    Directory, Error, Misbehaved, Misuse, NewOrder, OrderState, OrderStatus, Url,
    call::{Answer, Call, Payload, Reading, Spec, Target},
    retry_after,
};

/// What an order is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums)] // RFC 8555 §7.1.6 has two states that pass by themselves.
pub enum Settled {
    /// That it is no longer `pending`: the server has validated, or given up.
    Validated,
    /// That it is no longer `processing`: the certificate is there, or will not come.
    Issued,
}

impl Settled {
    /// Whether an order of that status has still to be waited for.
    pub(crate) const fn awaits(self, status: &OrderStatus) -> bool {
        match status {
            OrderStatus::Unknown(_) => true,
            OrderStatus::Pending => matches!(self, Self::Validated),
            OrderStatus::Processing => matches!(self, Self::Issued),
            OrderStatus::Ready | OrderStatus::Valid | OrderStatus::Invalid => false,
        }
    }
}

/// Makes an order (RFC 8555 §7.4).
///
/// The URL in the answer is the only way back to the order: write it down before anything else.
pub fn new_order(request: &NewOrder) -> Call<Created<OrderState>> {
    let asked = request.identifiers().to_vec();
    let (text, request) = (request.to_json(), request.clone());
    let payload = Payload::For(Box::new(move |_, directory| {
        check_order(&request, directory)?;
        Ok(text.clone())
    }));
    Call::new(Spec {
        expected: &[StatusCode::CREATED],
        ..spec("newOrder", Target::Endpoint(|directory| &directory.new_order), payload, move |answer| {
            let state = order_state(answer)?;
            if !state.is_for(&asked) {
                let list = |names: &[_]| names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                let (asked, answered) = (list(&asked), list(&state.identifiers));
                return Err(Misbehaved::Identifiers { asked, answered }.into());
            }
            Ok(Created { url: location(answer)?, state })
        })
    })
}

/// That an order has names, and a profile that the server offers.
fn check_order(request: &NewOrder, directory: &Directory) -> Result<(), Misuse> {
    if request.identifiers().is_empty() {
        return Err(Misuse::NoIdentifiers);
    }
    let profiles = &directory.meta.profiles;
    match request.asked_profile() {
        Some(profile) if !profiles.contains_key(profile) => {
            let offered = profiles.keys().cloned().collect::<Vec<_>>().join(", ");
            Err(Misuse::Profile { profile: profile.to_owned(), offered })
        }
        _ => Ok(()),
    }
}

/// Looks at an order (RFC 8555 §7.4).
pub fn order(url: Url) -> Call<OrderState> {
    Call::new(spec("order", Target::Url(url), post_as_get(), order_state))
}

/// Looks at an order until it is settled or the deadline comes, at the server's pace.
///
/// A refusal or a lost answer that is likely to pass does not end the wait.
pub fn wait_for_order(url: Url, settled: Settled, deadline: Timestamp) -> Call<OrderState> {
    Call::new(Spec {
        patience: Some(deadline),
        read: Box::new(move |answer| {
            let state = order_state(answer)?;
            Ok(if settled.awaits(&state.status) {
                Reading::NotYet { status: state.status, retry_at: state.retry_at }
            } else {
                Reading::Done(state)
            })
        }),
        ..spec("order", Target::Url(url), post_as_get(), order_state)
    })
}

/// Sends the certificate signing request (RFC 8555 §7.4) to the order's `finalize` URL.
pub fn finalize(url: Url, csr_der: &[u8]) -> Call<OrderState> {
    let payload = Payload::Fixed(json!({ "csr": URL_SAFE_NO_PAD.encode(csr_der) }).to_string());
    Call::new(spec("finalize", Target::Url(url), payload, order_state))
}

fn order_state(answer: &Answer<'_>) -> Result<OrderState, Error> {
    let retry_at = retry_after::read(answer.headers, answer.now, retry_after::POLL_BOUNDS);
    Ok(OrderState { retry_at, ..OrderState::parse(answer.body)? })
}
