//! The handle of an authorization (RFC 8555 §7.5).

use std::sync::{Arc, OnceLock};

use super::{Account, Challenge};
use crate::{
    AuthorizationState, AuthorizationStatus, ChallengeKind, ChallengeState, Error, Identifier,
    NewAuthorization, Url, call,
};

/// What a server wanted proven for one name when it was last asked. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Authorization(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    account: Account,
    url: Url,
    state: AuthorizationState,
    /// Made when all are asked for: most want one.
    challenges: OnceLock<Vec<Challenge>>,
}

impl Authorization {
    pub(super) fn new(account: Account, url: Url, state: AuthorizationState) -> Self {
        Self(Arc::new(Inner { account, url, state, challenges: OnceLock::new() }))
    }

    fn handle(&self, challenge: &ChallengeState) -> Challenge {
        Challenge::new(self.0.account.clone(), self.0.state.identifier.clone(), challenge.clone())
    }

    /// The authorization's URL.
    #[must_use]
    pub fn url(&self) -> &str {
        self.0.url.as_str()
    }

    pub(super) fn location(&self) -> &Url {
        &self.0.url
    }

    /// The name; of a wildcard, the part after the `*.`.
    #[must_use]
    pub fn identifier(&self) -> &Identifier {
        &self.0.state.identifier
    }

    /// Whether it is for `*.` and the name. Only DNS challenges can prove that.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        self.0.state.wildcard
    }

    /// How far it had come.
    #[must_use]
    pub fn status(&self) -> &AuthorizationStatus {
        &self.0.state.status
    }

    /// All that the server said.
    #[must_use]
    pub fn state(&self) -> &AuthorizationState {
        &self.0.state
    }

    /// The ways to prove it, in the server's order, unknown ones too. One is enough.
    #[must_use]
    pub fn challenges(&self) -> &[Challenge] {
        let all = || self.0.state.challenges.iter().map(|challenge| self.handle(challenge)).collect();
        self.0.challenges.get_or_init(all)
    }

    /// The first challenge of that kind.
    #[must_use]
    pub fn challenge(&self, kind: &ChallengeKind) -> Option<Challenge> {
        self.0.state.challenge(kind).map(|challenge| self.handle(challenge))
    }

    /// The dns-01 challenge, if it is offered.
    #[must_use]
    pub fn dns01(&self) -> Option<Challenge> {
        self.challenge(&ChallengeKind::Dns01)
    }

    /// Looks at it again.
    ///
    /// # Errors
    /// [`Error::Server`], [`Error::Misbehaved`] or [`Error::Network`].
    pub async fn refresh(&self) -> Result<Self, Error> {
        let state = self.0.account.run(call::authorization(self.0.url.clone())).await?;
        Ok(Self::new(self.0.account.clone(), self.0.url.clone(), state))
    }

    /// Gives it up, so that a failed attempt leaves none pending: CAs limit how many an account may have.
    ///
    /// # Errors
    /// [`Error::Server`] when the server does not let go.
    pub async fn deactivate(&self) -> Result<Self, Error> {
        let state = self.0.account.run(call::deactivate_authorization(self.0.url.clone())).await?;
        Ok(Self::new(self.0.account.clone(), self.0.url.clone(), state))
    }
}

impl Account {
    /// Authorizes a name ahead of any order, or finds the authorization that there is (RFC 8555 §7.4.1).
    /// Prove it like one of an order; an order for the name is then born `ready`. Few CAs offer it.
    ///
    /// # Errors
    /// [`Misuse::NotOffered`](crate::Misuse::NotOffered) when the CA does not, or authorizes no subdomains
    /// where they are asked for, and [`Misuse::WildcardAuthorization`](crate::Misuse::WildcardAuthorization)
    /// for a wildcard: nothing is sent then. [`Error::Server`] when it is refused.
    pub async fn new_authorization(&self, request: &NewAuthorization) -> Result<Authorization, Error> {
        let created = self.run(call::new_authorization(request)).await?;
        Ok(Authorization::new(self.clone(), created.url, created.state))
    }

    /// Takes an authorization up again by its URL: looks at it once.
    ///
    /// # Errors
    /// [`Error::Misuse`] when the URL is not this server's, [`Error::Server`] when it does not know the
    /// authorization any more.
    pub async fn authorization(&self, url: &str) -> Result<Authorization, Error> {
        let url = self.client().server.readmit(url)?;
        let state = self.run(call::authorization(url.clone())).await?;
        Ok(Authorization::new(self.clone(), url, state))
    }
}
