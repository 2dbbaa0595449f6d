//! Orders (RFC 8555 §7.4).

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::StatusCode;
use perennial_core::Timestamp;

use super::{Created, location, post_as_get, spec};
use crate::{
    Directory, Error, Misbehaved, Misuse, NewOrder, OrderState, OrderStatus, Problem, ProblemType, Server,
    Url,
    call::{Answer, Call, Fallback, Payload, Reading, Spec, Target},
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
            OrderStatus::Canceled | OrderStatus::Ready | OrderStatus::Valid | OrderStatus::Invalid => false,
        }
    }
}

/// Makes an order (RFC 8555 §7.4).
///
/// The URL in the answer is the only way back to the order: write it down before anything else.
///
/// What the order [`replaces`](NewOrder::replaces) is a hint (RFC 9773 §5): if the server refuses the order for
/// a reason that may lie in it, the order is asked for once more without. A renewal never fails for it.
pub fn new_order(request: &NewOrder) -> Call<Created<OrderState>> {
    let request = Arc::new(request.clone());
    let fallback = request.replaced().map(|_| -> Fallback {
        let request = request.clone();
        Box::new(move |problem, server, now| {
            let spared = is_told(&request, server, now) && may_be_due_to_replaces(problem);
            spared.then(|| order_payload(request.clone(), |_, _, _| false))
        })
    });
    let asked = request.clone();
    Call::new(Spec {
        expected: &[StatusCode::CREATED],
        fallback,
        ..spec(
            "newOrder",
            Target::Endpoint(|directory| &directory.new_order),
            order_payload(request, names_replaced),
            move |answer| {
                let state = order_state(answer)?;
                check_echo(&asked, &state)?;
                if is_told(&asked, answer.session.server(), answer.now) {
                    warn_of_missing_echo(&asked, &state);
                }
                Ok(Created { url: location(answer)?, state })
            },
        )
    })
}

fn order_payload(
    request: Arc<NewOrder>,
    names_replaced: fn(&NewOrder, &Server, &Directory) -> bool,
) -> Payload {
    Payload::For(Box::new(move |session, directory| {
        check_order(&request, directory)?;
        let named = names_replaced(&request, session.server(), directory);
        Ok(request.payload(request.replaced().filter(|_| named)))
    }))
}

/// Whether the server has heard what the order replaces.
fn is_told(request: &NewOrder, server: &Server, now: Timestamp) -> bool {
    request.replaced().is_some()
        && server.directory(now).is_some_and(|directory| names_replaced(request, server, &directory))
}

/// Whether the server is told what the order replaces. RFC 9773 §5: only one that offers renewal information; and
/// an identifier of another CA's certificate means nothing to this one.
fn names_replaced(request: &NewOrder, server: &Server, directory: &Directory) -> bool {
    directory.renewal_info.is_some() && request.replaces_one_of(server.directory_url())
}

/// Whether a refusal may lie in the certificate that the order replaces. RFC 9773 §5 names one problem type;
/// servers that do not find the certificate, or find it another account's, answer with these, too.
fn may_be_due_to_replaces(problem: &Problem) -> bool {
    match problem.kind {
        ProblemType::AlreadyReplaced | ProblemType::Malformed | ProblemType::Unauthorized => true,
        ProblemType::Unknown(_) => matches!(problem.status, Some(400 | 403 | 404 | 409)),
        _ => false,
    }
}

/// That the server has made the order that was asked for.
fn check_echo(request: &NewOrder, state: &OrderState) -> Result<(), Misbehaved> {
    if !state.is_for(request.identifiers()) {
        let list = |names: &[_]| names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let (asked, answered) = (list(request.identifiers()), list(&state.identifiers));
        return Err(Misbehaved::Identifiers { asked, answered });
    }
    Ok(())
}

/// A server that has heard what the order replaces says so in its answer (RFC 9773 §5), or counts the order.
fn warn_of_missing_echo(request: &NewOrder, state: &OrderState) {
    if let Some(replaced) = request.replaced().map(ToString::to_string)
        && state.replaces.as_ref() != Some(&replaced)
    {
        tracing::warn!(
            replaced,
            echoed = state.replaces.as_deref(),
            "the server does not confirm which certificate the order replaces: rate limits may count"
        );
    }
}

/// That an order has names, and a profile that the server offers.
fn check_order(request: &NewOrder, directory: &Directory) -> Result<(), Misuse> {
    if request.identifiers().is_empty() {
        return Err(Misuse::NoIdentifiers);
    }
    request.check_extensions(&directory.meta)?;
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
    // Base64url has nothing to escape.
    let mut payload = String::with_capacity(csr_der.len() * 4 / 3 + 16);
    payload.push_str(r#"{"csr":""#);
    URL_SAFE_NO_PAD.encode_string(csr_der, &mut payload);
    payload.push_str(r#""}"#);
    Call::new(spec("finalize", Target::Url(url), Payload::Fixed(payload.into()), order_state))
}

pub(super) fn order_state(answer: &Answer<'_>) -> Result<OrderState, Error> {
    let retry_at = retry_after::read(answer.headers, answer.now, retry_after::POLL_BOUNDS);
    Ok(OrderState { retry_at, ..OrderState::parse(answer.body)? })
}
