//! Access tokens as OAuth 2.0 hands them out (RFC 6749 §5).

use perennial_core::{SecretString, Timestamp};
use serde::{Deserialize, Deserializer, de};

use super::renewed::Lease;
use crate::{
    Error,
    vendor::{Answer, Blame, Complaint},
};

/// RFC 6749 §5.1. Some write the seconds as a text.
#[derive(Deserialize)]
struct Token {
    access_token: String,
    #[serde(default, deserialize_with = "seconds")]
    expires_in: Option<u64>,
}

impl Token {
    const fn is_one(&self) -> bool {
        !self.access_token.is_empty()
    }
}

/// The token of an answer.
pub(super) fn read_token(answer: &Answer, now: Timestamp) -> Result<Lease<SecretString>, Error> {
    let Some(Token { access_token, expires_in }) = answer.json_if_any().filter(Token::is_one) else {
        return Err(answer
            .misbehaved("its answer holds no token as documented; it is not shown, since it may hold one"));
    };
    let token = SecretString::new(access_token);
    Ok(match expires_in {
        Some(seconds) => Lease::lasting(token, now, seconds),
        // RFC 6749 §5.1: to be known by other means; an hour is what all of them give.
        None => Lease::lasting(token, now, 3600),
    })
}

/// RFC 6749 §5.2.
#[derive(Deserialize)]
struct Refusal {
    error: String,
    #[serde(default)]
    error_description: String,
}

/// Reads a refusal; `remedy` has a sentence for what it knows: the error's code and its description go in.
pub(super) fn read_complaint(
    answer: &Answer,
    remedy: impl Fn(&str, &str) -> Option<&'static str>,
) -> Option<Complaint> {
    let complaint = Complaint::of_status(answer)?;
    let Some(Refusal { error, error_description }) = answer.json_if_any() else {
        return Some(complaint);
    };
    let message = match remedy(&error, &error_description) {
        Some(remedy) => format!("{error_description}; {remedy}"),
        None => error_description,
    };
    let complaint = complaint.code(&error).message(message.trim_start_matches("; "));
    let blame = match error.as_str() {
        "access_denied" | "invalid_client" | "invalid_grant" | "unauthorized_client" => Blame::Auth,
        "invalid_scope" => Blame::Permission,
        "temporarily_unavailable" | "server_error" => Blame::Unavailable,
        "slow_down" => Blame::RateLimit,
        _ => return Some(complaint),
    };
    Some(complaint.blame(blame))
}

/// A number, or a text with a number in it.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Seconds {
        Number(u64),
        Text(String),
    }
    match Option::<Seconds>::deserialize(deserializer)? {
        None => Ok(None),
        Some(Seconds::Number(seconds)) => Ok(Some(seconds)),
        Some(Seconds::Text(text)) => text.trim().parse().map(Some).map_err(de::Error::custom),
    }
}
