//! Authorizations (RFC 8555 §7.1.4): what a server wants proven for one name.

use perennial_core::Timestamp;
use serde_json::json;

use crate::{
    ChallengeKind, ChallengeState, Identifier, Misbehaved,
    json::{Kept, Object},
    open_enum::open_enum,
};

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

/// A request to authorize a name ahead of any order (RFC 8555 §7.4.1).
///
/// ```
/// use perennial_acme::{Identifier, NewAuthorization};
/// use perennial_core::DomainName;
///
/// let name: DomainName = "example.org".parse()?;
/// let request = NewAuthorization::new(name).with_subdomains();
/// assert_eq!(
///     request.to_json(),
///     r#"{"identifier":{"subdomainAuthAllowed":true,"type":"dns","value":"example.org"}}"#
/// );
/// # Ok::<(), perennial_core::DomainNameError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a request does nothing until it is sent"]
pub struct NewAuthorization {
    identifier: Identifier,
    subdomains: bool,
}

impl NewAuthorization {
    /// A request for this name, and none below it. A wildcard is refused when it is sent: only an order can
    /// have one.
    pub fn new(identifier: impl Into<Identifier>) -> Self {
        Self { identifier: identifier.into(), subdomains: false }
    }

    /// Asks that the authorization counts for all names below, too (RFC 9444 §4.2). The server may grant
    /// less: see [`AuthorizationState::subdomain_auth_allowed`]. Default: no.
    pub const fn with_subdomains(mut self) -> Self {
        self.subdomains = true;
        self
    }

    /// The name.
    #[must_use]
    pub const fn identifier(&self) -> &Identifier {
        &self.identifier
    }

    /// Whether the names below are asked for.
    pub(crate) const fn asks_for_subdomains(&self) -> bool {
        self.subdomains
    }

    /// The payload.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut identifier = self.identifier.to_json();
        if let Some(identifier) = identifier.as_object_mut().filter(|_| self.subdomains) {
            identifier.insert("subdomainAuthAllowed".to_owned(), json!(true));
        }
        json!({ "identifier": identifier }).to_string()
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
    /// Whether it counts for all names below, too (RFC 9444 §4.1).
    pub subdomain_auth_allowed: bool,
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
        let kept = Kept::whole(body);
        let challenges = authorization.list("challenges", MAX_CHALLENGES)?.iter().enumerate();
        let challenge = |(index, value)| {
            let challenge = Object::inner("challenge", value)?;
            ChallengeState::read(&challenge, || kept.element("challenges", index)).ok()
        };
        Ok(Self {
            identifier: authorization
                .value("identifier")
                .and_then(Identifier::read)
                .ok_or_else(|| authorization.lacks("identifier", "an identifier"))?,
            status: authorization.required_text("status")?.into(),
            expires: authorization.moment("expires"),
            challenges: challenges.filter_map(challenge).collect(),
            wildcard: authorization.flag("wildcard").unwrap_or(false),
            subdomain_auth_allowed: authorization.flag("subdomainAuthAllowed").unwrap_or(false),
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
        assert!(!authorization.wildcard && !authorization.subdomain_auth_allowed);
        let challenge = authorization.challenge(&ChallengeKind::Http01).unwrap();
        assert_eq!(challenge.token().unwrap().as_str(), "DGyRejmCefe7v4NfDGDKfA");
        assert_eq!(challenge.validated.unwrap().to_string(), "2014-12-01T12:05:58Z");
    }

    #[test]
    fn rfc9444_4_1_an_authorization_for_subdomains() {
        let text = SAMPLE.replace(r#""wildcard": false"#, r#""subdomainAuthAllowed": true"#);
        assert!(AuthorizationState::parse(text.as_bytes()).unwrap().subdomain_auth_allowed);
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
