//! Authorizations and challenges (RFC 8555 §7.5).

use serde_json::{Map, Value, json};

use super::{post_as_get, spec};
use crate::{
    AuthorizationState, ChallengeState, Misuse, Url,
    call::{Call, Payload, Target},
    text::printable,
};

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
    challenge(url, "{}".to_owned())
}

/// Answers a challenge with a payload of its type's own, a JSON object (RFC 8555 §7.5.1). It is sent to the
/// byte as it is given.
///
/// # Errors
/// [`Misuse::Payload`] when it is no JSON object.
pub fn answer_challenge_with(url: Url, payload: &str) -> Result<Call<ChallengeState>, Misuse> {
    serde_json::from_str::<Map<String, Value>>(payload)
        .map_err(|error| Misuse::Payload { reason: printable(&error.to_string(), 200) })?;
    Ok(challenge(url, payload.to_owned()))
}

fn challenge(url: Url, payload: String) -> Call<ChallengeState> {
    let payload = Payload::Fixed(payload);
    Call::new(spec("challenge", Target::Url(url), payload, |answer| Ok(ChallengeState::parse(answer.body)?)))
}
