//! Authorizations (RFC 8555 §7.1.4): what a server wants proven for one name.

use perennial_core::Timestamp;

use crate::{ChallengeKind, ChallengeState, Identifier, Misbehaved, json::Object, open_enum::open_enum};

open_enum! {
    /// How far an authorization has come (RFC 8555 §7.1.6).
    pub enum AuthorizationStatus {
        /// We gave it up.
        Deactivated => "deactivated",
        /// It was valid once.
        Expired => "expired",
        /// The proof failed; a new order is needed.
        Invalid => "invalid",
        /// A challenge is waiting for an answer, or for its validation.
        Pending => "pending",
        /// The server took it back.
        Revoked => "revoked",
        /// The name is ours.
        Valid => "valid",
    }
}

/// What a server says about an authorization.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuthorizationState {
    /// The name; of a wildcard, the part after the `*.`.
    pub identifier: Identifier,
    /// How far it has come.
    pub status: AuthorizationStatus,
    /// Until when it counts.
    pub expires: Option<Timestamp>,
    /// The ways to prove it, unknown ones too. One is enough.
    pub challenges: Vec<ChallengeState>,
    /// Whether it is for `*.` and the name.
    pub wildcard: bool,
}

impl AuthorizationState {
    /// Reads an authorization object.
    ///
    /// A challenge that has no type or no URL is left out, and no reason to refuse the others.
    ///
    /// # Errors
    /// [`Misbehaved`] when a required field is missing, or there are more than 100 challenges.
    pub fn parse(body: &[u8]) -> Result<Self, Misbehaved> {
        let authorization = Object::parse("authorization", body)?;
        Ok(Self {
            identifier: authorization
                .value("identifier")
                .and_then(Identifier::read)
                .ok_or_else(|| authorization.lacks("identifier", "an identifier"))?,
            status: authorization.required_text("status")?.into(),
            expires: authorization.moment("expires"),
            challenges: authorization
                .list("challenges", MAX_CHALLENGES)?
                .iter()
                .filter_map(|value| ChallengeState::read(&Object::inner("challenge", value)?).ok())
                .collect(),
            wildcard: authorization.flag("wildcard").unwrap_or(false),
        })
    }

    /// The first challenge of that kind.
    #[must_use]
    pub fn challenge(&self, kind: &ChallengeKind) -> Option<&ChallengeState> {
        self.challenges.iter().find(|challenge| challenge.kind == *kind)
    }
}

/// Servers offer three to six.
const MAX_CHALLENGES: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SAMPLE: &str = r#"{
  "status": "valid",
  "expires": "2015-03-01T14:09:07.99Z",

  "identifier": {
    "type": "dns",
    "value": "www.example.org"
  },

  "challenges": [
    {
      "url": "https://example.com/acme/chall/prV_B7yEyA4",
      "type": "http-01",
      "status": "valid",
      "token": "DGyRejmCefe7v4NfDGDKfA",
      "validated": "2014-12-01T12:05:58.16Z"
    }
  ],

  "wildcard": false
}"#;

    #[test]
    fn rfc8555_7_1_4_authorization() {
        let authorization = AuthorizationState::parse(SAMPLE.as_bytes()).unwrap();
        assert_eq!(authorization.identifier.to_string(), "www.example.org");
        assert_eq!(authorization.status, AuthorizationStatus::Valid);
        assert!(!authorization.wildcard);
        let challenge = authorization.challenge(&ChallengeKind::Http01).unwrap();
        assert_eq!(challenge.token().unwrap().as_str(), "DGyRejmCefe7v4NfDGDKfA");
        assert_eq!(challenge.validated.unwrap().to_string(), "2014-12-01T12:05:58Z");
    }

    #[test]
    fn a_challenge_without_token_or_of_no_known_shape_spoils_nothing() {
        let text = SAMPLE.replace(
            r#""challenges": ["#,
            r#""challenges": [
                7, {}, {"type": "broken-01"},
                {"type": "telepathy-01", "url": "https://example.com/acme/chall/p", "status": "pending",
                 "mediums": ["ca.example"]},"#,
        );
        let authorization = AuthorizationState::parse(text.as_bytes()).unwrap();
        assert_eq!(authorization.challenges.len(), 2);
        let kind = ChallengeKind::Unknown("telepathy-01".into());
        let challenge = authorization.challenge(&kind).unwrap();
        assert_eq!(challenge.field("mediums").as_deref(), Some(r#"["ca.example"]"#));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = AuthorizationState::parse(&body);
        }
    }
}
