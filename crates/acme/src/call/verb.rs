//! The verbs of RFC 8555 §7: what each sends, which status it wants, and what its answer means.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{StatusCode, header::LOCATION};
use perennial_core::Timestamp;
use serde_json::json;

use super::{Answer, Call, Credential, Payload, Reading, Spec, Target};
use crate::{
    AccountState, AuthorizationState, CertificateChain, ChallengeState, Directory, Error, Misbehaved, Misuse,
    NewAccount, NewOrder, OrderState, OrderStatus, Url, certificate::MAX_CHAIN_BYTES, link, retry_after,
};

/// A resource that was made, or found, and the URL that the server gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs)] // Plain data: where, and what.
pub struct Created<T> {
    /// Where it is from now on.
    pub url: Url,
    /// What it is now.
    pub state: T,
}

/// A chain, and where the others are that the server offers for the same certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs)] // Plain data: what RFC 8555 §7.4.2 answers.
pub struct Download {
    /// The chain.
    pub chain: CertificateChain,
    /// The URLs of alternate chains, in the server's order.
    pub alternates: Vec<Url>,
}

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

/// Fetches the directory (RFC 8555 §7.1.1), also if it is known.
pub fn directory() -> Call<Arc<Directory>> {
    Call::new(Spec {
        credential: Credential::None,
        ..spec("directory", Target::Directory, Payload::Fixed(String::new()), |answer| {
            let directory = Directory::parse(answer.body)?;
            Ok(answer.session.server().learn(directory, answer.now)?)
        })
    })
}

/// Makes an account, or finds the one that the key has (RFC 8555 §7.3, §7.3.1).
pub fn new_account(request: &NewAccount) -> Call<Created<AccountState>> {
    let (text, only_existing) = (request.to_json(), request.is_only_existing());
    let payload = Payload::For(Box::new(move |directory| {
        if directory.meta.external_account_required && !only_existing {
            return Err(Misuse::ExternalAccountRequired.into());
        }
        Ok(text.clone())
    }));
    Call::new(Spec {
        credential: Credential::Jwk,
        expected: &[StatusCode::CREATED, StatusCode::OK],
        ..spec("newAccount", Target::Endpoint(|directory| &directory.new_account), payload, |answer| {
            Ok(Created { url: location(answer)?, state: AccountState::parse(answer.body)? })
        })
    })
}

/// Makes an order (RFC 8555 §7.4).
///
/// The URL in the answer is the only way back to the order: write it down before anything else.
pub fn new_order(request: &NewOrder) -> Call<Created<OrderState>> {
    let asked = request.identifiers().to_vec();
    let (text, request) = (request.to_json(), request.clone());
    let payload = Payload::For(Box::new(move |directory| {
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

/// Looks at an authorization (RFC 8555 §7.5).
pub fn authorization(url: Url) -> Call<AuthorizationState> {
    Call::new(spec("authorization", Target::Url(url), post_as_get(), |answer| {
        Ok(AuthorizationState::parse(answer.body)?)
    }))
}

/// Gives an authorization up (RFC 8555 §7.5.2).
pub fn deactivate_authorization(url: Url) -> Call<AuthorizationState> {
    let payload = Payload::Fixed(json!({ "status": "deactivated" }).to_string());
    Call::new(spec("deactivation", Target::Url(url), payload, |answer| {
        Ok(AuthorizationState::parse(answer.body)?)
    }))
}

/// Tells the server that a challenge can be validated (RFC 8555 §7.5.1).
pub fn answer_challenge(url: Url) -> Call<ChallengeState> {
    let payload = Payload::Fixed("{}".to_owned());
    Call::new(spec("challenge", Target::Url(url), payload, |answer| Ok(ChallengeState::parse(answer.body)?)))
}

/// Sends the certificate signing request (RFC 8555 §7.4) to the order's `finalize` URL.
pub fn finalize(url: Url, csr_der: &[u8]) -> Call<OrderState> {
    let payload = Payload::Fixed(json!({ "csr": URL_SAFE_NO_PAD.encode(csr_der) }).to_string());
    Call::new(spec("finalize", Target::Url(url), payload, order_state))
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

/// What most verbs have in common: signed in the name of the account, answered 200, done when read.
fn spec<T>(
    verb: &'static str,
    target: Target,
    payload: Payload,
    read: impl Fn(&Answer<'_>) -> Result<T, Error> + Send + Sync + 'static,
) -> Spec<T> {
    Spec {
        verb,
        target,
        credential: Credential::Kid,
        payload,
        accept: None,
        expected: &[StatusCode::OK],
        limit: MAX_JSON_BYTES,
        patience: None,
        read: Box::new(move |answer| read(answer).map(Reading::Done)),
    }
}

/// The largest honest object is an order of a few hundred names, well under 100 KiB.
const MAX_JSON_BYTES: usize = 1 << 20;

/// RFC 8555 §6.3: a GET that is signed has an empty payload, not an empty object.
const fn post_as_get() -> Payload {
    Payload::Fixed(String::new())
}

fn order_state(answer: &Answer<'_>) -> Result<OrderState, Error> {
    let retry_at = retry_after::read(answer.headers, answer.now, retry_after::POLL_BOUNDS);
    Ok(OrderState { retry_at, ..OrderState::parse(answer.body)? })
}

fn location(answer: &Answer<'_>) -> Result<Url, Error> {
    let missing = || Misbehaved::Header { url: answer.url.to_string(), header: "Location" };
    let text = answer.headers.get(LOCATION).and_then(|value| value.to_str().ok()).ok_or_else(missing)?;
    let url = answer.url.join(text).map_err(|fault| Misbehaved::url(text, fault))?;
    answer.session.server().check(&url)?;
    Ok(url)
}
