//! The handle of a challenge (RFC 8555 §7.5.1, §8).

use std::sync::Arc;

use perennial_core::DomainName;

use super::Account;
use crate::{
    ChallengeKind, ChallengeState, ChallengeStatus, Error, Identifier, Misbehaved, Misuse, Problem, call,
    challenge::{KeyAuthorization, Token, dns_account01, dns01, http01},
};

/// One way to prove a name, as the server offered it. Cheap to clone, and it needs nothing else: it may be
/// solved in a task of its own.
#[derive(Clone, Debug)]
pub struct Challenge(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    account: Account,
    identifier: Identifier,
    state: ChallengeState,
}

impl Challenge {
    pub(super) fn new(account: Account, identifier: Identifier, state: ChallengeState) -> Self {
        Self(Arc::new(Inner { account, identifier, state }))
    }

    /// The challenge's URL.
    #[must_use]
    pub fn url(&self) -> &str {
        self.0.state.url.as_str()
    }

    /// Which way it is.
    #[must_use]
    pub fn kind(&self) -> &ChallengeKind {
        &self.0.state.kind
    }

    /// How far it had come.
    #[must_use]
    pub fn status(&self) -> &ChallengeStatus {
        &self.0.state.status
    }

    /// Why the proof failed, if it did.
    #[must_use]
    pub fn error(&self) -> Option<&Problem> {
        self.0.state.error.as_ref()
    }

    /// All that the server said.
    #[must_use]
    pub fn state(&self) -> &ChallengeState {
        &self.0.state
    }

    /// The name that it proves, without the `*.` of a wildcard.
    #[must_use]
    pub fn identifier(&self) -> &Identifier {
        &self.0.identifier
    }

    /// The key authorization (RFC 8555 §8.1).
    ///
    /// # Errors
    /// [`Misbehaved::Token`] when the challenge has no usable token.
    pub fn key_authorization(&self) -> Result<KeyAuthorization, Error> {
        let thumbprint =
            &self.0.account.key_thumbprint().ok_or(Misuse::NoAccount { verb: "key authorization" })?;
        Ok(KeyAuthorization::new(self.token()?, thumbprint))
    }

    fn token(&self) -> Result<&Token, Misbehaved> {
        let token = self.0.state.token();
        token.map_err(|fault| Misbehaved::Token { url: self.url().to_owned(), fault })
    }

    /// What the TXT record has to hold for a dns-01 challenge.
    ///
    /// # Errors
    /// [`Misuse::ChallengeKind`] for another kind, [`Misbehaved::Token`] without a usable token.
    pub fn dns01_value(&self) -> Result<String, Error> {
        self.require(&ChallengeKind::Dns01, "dns-01")?;
        Ok(dns01::value(&self.key_authorization()?))
    }

    /// Where the TXT record has to be for a dns-01 challenge.
    ///
    /// # Errors
    /// [`Misuse::ChallengeKind`] for another kind or a name that is no DNS name, [`Misuse::NoRoom`] for a
    /// name that is too long.
    pub fn dns01_record_name(&self) -> Result<DomainName, Error> {
        self.require(&ChallengeKind::Dns01, "dns-01")?;
        let name = self.dns_name()?;
        dns01::record_name(name).map_err(|_| Misuse::NoRoom { name: name.to_string() }.into())
    }

    /// What the TXT record has to hold for a dns-account-01 challenge.
    ///
    /// # Errors
    /// [`Misuse::ChallengeKind`] for another kind, [`Misbehaved::Token`] without a usable token.
    pub fn dns_account01_value(&self) -> Result<String, Error> {
        self.require(&ChallengeKind::DnsAccount01, "dns-account-01")?;
        Ok(dns_account01::value(&self.key_authorization()?))
    }

    /// Where the TXT record has to be for a dns-account-01 challenge: a name of this account's own.
    ///
    /// # Errors
    /// [`Misuse::ChallengeKind`] for another kind or a name that is no DNS name, [`Misuse::NoRoom`] for a
    /// name that is too long.
    pub fn dns_account01_record_name(&self) -> Result<DomainName, Error> {
        self.require(&ChallengeKind::DnsAccount01, "dns-account-01")?;
        let name = self.dns_name()?;
        dns_account01::record_name(self.0.account.url(), name)
            .map_err(|_| Misuse::NoRoom { name: name.to_string() }.into())
    }

    /// The path at which an http-01 challenge's proof is fetched, below port 80 of the name or address.
    ///
    /// # Errors
    /// [`Misuse::ChallengeKind`] for another kind, [`Misbehaved::Token`] without a usable token.
    pub fn http01_path(&self) -> Result<String, Error> {
        self.require(&ChallengeKind::Http01, "http-01")?;
        Ok(http01::path(self.token()?))
    }

    /// What is served at [`http01_path`](Self::http01_path): the key authorization, nothing around it. Serve
    /// it as [`http01::CONTENT_TYPE`].
    ///
    /// # Errors
    /// [`Misuse::ChallengeKind`] for another kind, [`Misbehaved::Token`] without a usable token.
    pub fn http01_body(&self) -> Result<String, Error> {
        self.require(&ChallengeKind::Http01, "http-01")?;
        Ok(self.key_authorization()?.as_str().to_owned())
    }

    pub(super) fn account(&self) -> &Account {
        &self.0.account
    }

    pub(super) fn dns_name(&self) -> Result<&DomainName, Misuse> {
        self.0.identifier.dns().ok_or_else(|| self.no_dns_name())
    }

    pub(super) fn require(&self, kind: &ChallengeKind, wanted: &'static str) -> Result<(), Misuse> {
        if self.kind() == kind {
            return Ok(());
        }
        let (url, found) = (self.url().to_owned(), self.kind().to_string());
        Err(Misuse::ChallengeKind { url, found, wanted })
    }

    fn no_dns_name(&self) -> Misuse {
        let (url, found) = (self.url().to_owned(), format!("for {}", self.0.identifier));
        Misuse::ChallengeKind { url, found, wanted: "for a DNS name" }
    }

    /// Tells the server to look. The proof has to be visible by now: a failure spends the authorization.
    ///
    /// # Errors
    /// [`Error::Server`] when the server refuses to look.
    pub async fn answer(&self) -> Result<Self, Error> {
        let state = self.0.account.run(call::answer_challenge(self.0.state.url.clone())).await?;
        Ok(Self::new(self.0.account.clone(), self.0.identifier.clone(), state))
    }

    /// Answers with a payload of the challenge type's own: a JSON object, as text. For the types whose proof
    /// is the answer itself, such as `{"attObj": "…"}` of device-attest-01 or `{"csr": "…"}` of onion-csr-01
    /// ([`onion_csr01::payload`](crate::challenge::onion_csr01::payload)).
    ///
    /// # Errors
    /// [`Misuse::Payload`] when it is no JSON object, and nothing is sent; [`Error::Server`] when the server
    /// refuses it.
    pub async fn answer_with(&self, payload: &str) -> Result<Self, Error> {
        let call = call::answer_challenge_with(self.0.state.url.clone(), payload)?;
        let state = self.0.account.run(call).await?;
        Ok(Self::new(self.0.account.clone(), self.0.identifier.clone(), state))
    }
}
