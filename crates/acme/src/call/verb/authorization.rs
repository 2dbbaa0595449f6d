//! Authorizations and challenges (RFC 8555 §7.5).

use serde_json::json;

use super::{post_as_get, spec};
use crate::{
    AuthorizationState, ChallengeState, Url,
    call::{Call, Payload, Target},
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
    let payload = Payload::Fixed("{}".to_owned());
    Call::new(spec("challenge", Target::Url(url), payload, |answer| Ok(ChallengeState::parse(answer.body)?)))
}
