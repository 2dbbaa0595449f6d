//! Authorizations and challenges (RFC 8555 §7.5).

use std::borrow::Cow;

use http::StatusCode;
use serde_json::{Map, Value};

use super::{Created, location, post_as_get, spec};
use crate::{
    AuthorizationState, AuthorizationStatus, ChallengeState, Directory, Identifier, Misbehaved, Misuse,
    NewAuthorization, Url,
    call::{Call, Payload, Spec, Target},
    text::printable,
};

/// Looks at an authorization (RFC 8555 §7.5).
pub fn authorization(url: Url) -> Call<AuthorizationState> {
    Call::new(spec("authorization", Target::Url(url), post_as_get(), |answer| {
        Ok(AuthorizationState::parse(answer.body)?)
    }))
}

/// Authorizes a name ahead of any order (RFC 8555 §7.4.1), or finds the authorization that there is.
///
/// Refused with [`Misuse`] before anything is sent: a wildcard, and what the server does not offer.
pub fn new_authorization(request: &NewAuthorization) -> Call<Created<AuthorizationState>> {
    let (asked, text) = (request.identifier().clone(), request.to_json());
    let request = request.clone();
    let payload = Payload::For(Box::new(move |_, directory| {
        check_authorization(&request, directory)?;
        Ok(text.clone())
    }));
    Call::new(Spec {
        expected: &[StatusCode::CREATED, StatusCode::OK],
        ..spec(
            "newAuthz",
            Target::Optional(|directory| directory.new_authz.as_ref()),
            payload,
            move |answer| {
                let state = AuthorizationState::parse(answer.body)?;
                if state.identifier != asked {
                    let (asked, answered) = (asked.to_string(), state.identifier.to_string());
                    return Err(Misbehaved::AuthorizationIdentifier { asked, answered }.into());
                }
                Ok(Created { url: location(answer)?, state })
            },
        )
    })
}

/// RFC 8555 §7.4.1: no wildcards. RFC 9444 §4.4: a server may say that it authorizes no subdomains.
fn check_authorization(request: &NewAuthorization, directory: &Directory) -> Result<(), Misuse> {
    match request.identifier() {
        Identifier::Dns(name) if name.is_wildcard() => {
            Err(Misuse::WildcardAuthorization { name: name.to_string() })
        }
        _ if request.asks_for_subdomains() && directory.meta.subdomain_auth_allowed == Some(false) => {
            Err(Misuse::NotOffered { what: "the authorization of subdomains" })
        }
        _ => Ok(()),
    }
}

/// Gives an authorization up (RFC 8555 §7.5.2).
pub fn deactivate_authorization(url: Url) -> Call<AuthorizationState> {
    let payload = Payload::Fixed(r#"{"status":"deactivated"}"#.into());
    Call::new(spec("deactivation", Target::Url(url), payload, |answer| {
        let state = AuthorizationState::parse(answer.body)?;
        if state.status != AuthorizationStatus::Deactivated {
            let (url, status) = (answer.url.to_string(), state.status.to_string());
            return Err(Misbehaved::NotDeactivated { url, status }.into());
        }
        Ok(state)
    }))
}

/// Tells the server that a challenge can be validated (RFC 8555 §7.5.1).
pub fn answer_challenge(url: Url) -> Call<ChallengeState> {
    challenge(url, "{}".into())
}

/// Answers a challenge with a payload of its type's own, a JSON object (RFC 8555 §7.5.1). It is sent to the
/// byte as it is given.
///
/// # Errors
/// [`Misuse::Payload`] when it is no JSON object.
pub fn answer_challenge_with(url: Url, payload: &str) -> Result<Call<ChallengeState>, Misuse> {
    serde_json::from_str::<Map<String, Value>>(payload)
        .map_err(|error| Misuse::Payload { reason: printable(&error.to_string(), 200) })?;
    Ok(challenge(url, payload.to_owned().into()))
}

fn challenge(url: Url, payload: Cow<'static, str>) -> Call<ChallengeState> {
    Call::new(spec("challenge", Target::Url(url), Payload::Fixed(payload), |answer| {
        Ok(ChallengeState::parse(answer.body)?)
    }))
}
