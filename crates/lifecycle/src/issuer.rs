//! Who signs certificates.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use perennial_core::{DomainName, RequestedNames, Retry, Timestamp};
use rustls_pki_types::{
    CertificateDer,
    pem::{PemObject as _, SectionKind},
};
use serde::{Deserialize, Serialize};

use crate::{
    CertificateId, CertificateSpec, Contract, Facts, FactsError, Journal, PrivateKey, StoreError, Subject,
    SuggestedWindow, Usage, budget::Counted, contract,
};

/// Who signs certificates: an ACME CA, a private key, a Vault.
///
/// # Contract
/// - `issue` MUST be safe to call again with the same request after a crash: it reads
///   [`Journal::progress`] first and goes on where it stopped.
/// - What it presents (a TXT record) MUST be on record by [`Journal::owe`] before it is presented, so that a
///   crash leaves a debt rather than litter; what it got (an order's URL) MUST be on record before the next
///   step.
/// - It MUST remove what it presented before it returns, after failure too; what cannot be removed stays on
///   record, and the keeper calls [`settle`](Self::settle) until it is paid.
/// - It MUST return within a bounded time, from [`ready`](Self::ready) within seconds.
/// - It MUST refuse what it cannot put into a certificate (a URI, a subject) with
///   [`IssueErrorClass::Policy`] and [`Retry::Never`]; leaving it out in silence is a breach.
/// - The chain's leaf has the request's key and exactly its names; the keeper checks that again.
/// - Waiting for something outside, such as propagation, goes through [`Journal::parked`], so that it holds no
///   slot of the keeper.
/// - All methods may be called at once for different certificates.
///
/// A CA that no crate of ours knows is an issuer that asks it over whatever it speaks. This one has a function that
/// takes the request and returns the chain:
///
/// ```
/// use perennial_lifecycle::{IssueError, IssueErrorClass, IssuedChain, Issuer, Journal, SigningRequest};
/// # use perennial_core::{Retry, SystemClock};
/// # use perennial_lifecycle::{CertificateSpec, KeyAlgorithm, PrivateKey};
///
/// /// The CA of the company: a request in DER goes in, a chain in PEM comes out.
/// struct CompanyCa<F> {
///     sign: F,
/// }
///
/// #[async_trait::async_trait]
/// impl<F> Issuer for CompanyCa<F>
/// where
///     F: Fn(&[u8]) -> Result<String, String> + Send + Sync,
/// {
///     async fn issue(&self, request: &SigningRequest, _: &Journal) -> Result<IssuedChain, IssueError> {
///         if request.is_ca {
///             let message = format!("{} asks for a CA: the company's signs none", request.certificate);
///             return Err(IssueError::new(IssueErrorClass::Policy, message, Retry::Never));
///         }
///         let busy = |reason| IssueError::new(IssueErrorClass::Transient, reason, Retry::Backoff);
///         let pem = (self.sign)(&request.csr_der).map_err(busy)?;
///         IssuedChain::from_pem(pem)
///             .map_err(|error| IssueError::new(IssueErrorClass::Contract, error.to_string(), Retry::Backoff))
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let ca_key = rcgen::KeyPair::generate()?;
/// # let sign = move |request: &[u8]| {
/// #     let ca = rcgen::Issuer::new(rcgen::CertificateParams::default(), &ca_key);
/// #     let mut asked = rcgen::CertificateSigningRequestParams::from_der(&request.into()).map_err(|error| error.to_string())?;
/// #     asked.params.not_after = rcgen::date_time_ymd(2099, 1, 1);
/// #     Ok(asked.signed_by(&ca).map_err(|error| error.to_string())?.pem())
/// # };
/// let ca = CompanyCa { sign };
/// let spec = CertificateSpec::new("intranet", ["intranet.example.com"])?;
/// let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256)?;
/// let journal = Journal::in_memory(spec.clone(), std::sync::Arc::new(SystemClock::new())).await?;
/// let chain = ca.issue(&SigningRequest::of(&spec, &key)?, &journal).await?;
/// assert!(chain.facts().has_key(&key));
/// assert!(ca.issue(&SigningRequest::of(&spec.ca(), &key)?, &journal).await.is_err());
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait Issuer: Send + Sync {
    /// Signs the request and returns the chain.
    ///
    /// # Errors
    /// [`IssueError`], which says whose fault it is and when to try again.
    async fn issue(&self, request: &SigningRequest, journal: &Journal) -> Result<IssuedChain, IssueError>;

    /// Whether it could sign now: its key is there, its CA has not ended, its token is taken. A keeper asks before it makes
    /// a key or spends anything, and its error is then the failure of the attempt. Unless an issuer looks by itself
    /// it is taken to be ready.
    ///
    /// # Errors
    /// [`IssueError`], as of [`issue`](Self::issue): who waits for somebody else says so with
    /// [`elsewhere`](IssueError::elsewhere).
    async fn ready(&self) -> Result<(), IssueError> {
        Ok(())
    }

    /// Whether it signs with the certificate's own key, and wants to be [given](SigningRequest::key) it. A key leaves the
    /// keeper for nobody who does not say so.
    fn needs_key(&self) -> bool {
        false
    }

    /// Pays the [debts](Journal::debts) on record: removes what earlier calls presented, and strikes it out.
    ///
    /// # Errors
    /// [`IssueError`] when something is left; it stays on record, and this is called again later.
    async fn settle(&self, journal: &Journal) -> Result<(), IssueError> {
        let _ = journal;
        Ok(())
    }

    /// Whether it has wishes about when its certificates are renewed. Unless it says so it is not asked for them.
    fn suggests_windows(&self) -> bool {
        false
    }

    /// When it would like a certificate to be renewed (RFC 9773), or `None` when it does not mind.
    ///
    /// # Errors
    /// [`IssueError`] when it does not say; it is asked again, and nothing is lost.
    async fn suggested_window(&self, current: &IssuedChain) -> Result<Option<SuggestedWindow>, IssueError> {
        let _ = current;
        Ok(None)
    }

    /// Revokes a certificate whose key is in other hands. One that is revoked already stays so.
    ///
    /// # Errors
    /// [`IssueError`] when it is not revoked; with [`Retry::Never`] it is not asked again, unless it was this machine's
    /// fault or that of our credentials.
    async fn revoke(&self, revocation: &Revocation, journal: &Journal) -> Result<(), IssueError> {
        let _ = journal;
        let serial = &revocation.chain.facts().serial;
        let message = format!("this issuer revokes nothing: have the certificate {serial} revoked by hand");
        Err(IssueError::new(IssueErrorClass::Policy, message, Retry::Never))
    }

    /// The DNS providers that it needs for a certificate, by the names under which their requests are counted
    /// ([`KeeperBuilder::provider_limit`](crate::KeeperBuilder::provider_limit)).
    fn providers(&self, spec: &CertificateSpec) -> Vec<String> {
        let _ = spec;
        Vec::new()
    }
}

/// A certificate that must not be trusted any more.
#[non_exhaustive]
pub struct Revocation {
    /// The certificate, with its chain.
    pub chain: IssuedChain,
    /// Its key, if that is still there: some CAs want to see it.
    pub key: Option<PrivateKey>,
}

impl Revocation {
    /// What an issuer is told when a key is in other hands.
    #[must_use]
    pub const fn new(chain: IssuedChain, key: Option<PrivateKey>) -> Self {
        Self { chain, key }
    }
}

/// What an issuer is asked to sign.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SigningRequest {
    /// For which certificate.
    pub certificate: CertificateId,
    /// The DNS names, in the order of the spec.
    pub names: Vec<DomainName>,
    /// The IP addresses.
    pub addresses: BTreeSet<IpAddr>,
    /// The URIs.
    pub uris: BTreeSet<String>,
    /// The mailboxes.
    pub emails: BTreeSet<String>,
    /// Whom it names beside its alternative names.
    pub subject: Subject,
    /// For how long it should be valid; as long as the issuer likes, without one.
    pub duration: Option<Duration>,
    /// What its key may be used for; what the issuer gives to all, without one. They are not in `csr_der`.
    pub usages: BTreeSet<Usage>,
    /// Whether it may sign others. This is not in `csr_der` either.
    pub is_ca: bool,
    /// The PKCS#10 request (RFC 2986) in DER.
    pub csr_der: Vec<u8>,
    /// The public key in it, as DER SubjectPublicKeyInfo.
    pub public_key_der: Vec<u8>,
    /// The profile asked for.
    pub profile: Option<String>,
    /// The labels of the certificate, by which an issuer may choose among its ways; none of them is in the certificate.
    pub labels: BTreeMap<String, String>,
    /// The certificate that the new one takes the place of, if the same issuer has issued it (RFC 9773 §5).
    pub replaces: Option<IssuedChain>,
    key: Option<OwnKey>,
}

/// The key of a request, for an issuer that signs with it. It is neither shown nor written down.
#[derive(Clone)]
struct OwnKey(Arc<PrivateKey>);

impl PartialEq for OwnKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.public_key_der() == other.0.public_key_der()
    }
}

impl Eq for OwnKey {}

impl fmt::Debug for OwnKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(at hand)")
    }
}

impl SigningRequest {
    /// A request for these DNS names with this key, and nothing else.
    ///
    /// # Errors
    /// [`crate::KeyError`] when the key cannot sign.
    pub fn new(
        certificate: CertificateId,
        names: Vec<DomainName>,
        key: &PrivateKey,
    ) -> Result<Self, crate::KeyError> {
        Ok(Self {
            csr_der: key.signing_request(&names, &[])?,
            certificate,
            names,
            addresses: BTreeSet::new(),
            uris: BTreeSet::new(),
            emails: BTreeSet::new(),
            subject: Subject::default(),
            duration: None,
            usages: BTreeSet::new(),
            is_ca: false,
            public_key_der: key.public_key_der(),
            profile: None,
            labels: BTreeMap::new(),
            replaces: None,
            key: None,
        })
    }

    /// A request for all that a spec asks for, with this key.
    ///
    /// # Errors
    /// [`crate::KeyError`] when the key cannot sign, or a name is one that no request can hold.
    pub fn of(spec: &CertificateSpec, key: &PrivateKey) -> Result<Self, crate::KeyError> {
        let addresses: Vec<IpAddr> = spec.addresses().iter().copied().collect();
        let uris: Vec<String> = spec.uris().iter().cloned().collect();
        let emails: Vec<String> = spec.emails().iter().cloned().collect();
        let subject: Vec<_> = spec.distinguished_name().attributes().collect();
        let wanted = RequestedNames {
            names: spec.names(),
            addresses: &addresses,
            uris: &uris,
            emails: &emails,
            subject: &subject,
        };
        Ok(Self {
            certificate: spec.id().clone(),
            csr_der: key.signing_request_for(&wanted)?,
            public_key_der: key.public_key_der(),
            names: spec.names().to_vec(),
            addresses: spec.addresses().clone(),
            uris: spec.uris().clone(),
            emails: spec.emails().clone(),
            subject: spec.distinguished_name().clone(),
            duration: spec.lifetime(),
            usages: spec.key_usages().clone(),
            is_ca: spec.is_ca(),
            profile: spec.profile_name().map(str::to_owned),
            labels: spec.labels().clone(),
            replaces: None,
            key: None,
        })
    }

    /// Whether a certificate is what was asked for: its key, exactly the names, the kind, and that it is valid now. The
    /// keeper asks that of every issuer's; an issuer that can say more about it, such as the request at the other
    /// side, asks before.
    ///
    /// # Errors
    /// The [`Contract`] that is broken.
    pub fn check(&self, facts: &Facts, now: Timestamp) -> Result<(), Contract> {
        contract::check(facts, self, &Facts::fingerprint_of_der(&self.public_key_der), now)
    }

    /// The key itself, for an issuer that [needs](Issuer::needs_key) it.
    #[must_use]
    pub fn key(&self) -> Option<&PrivateKey> {
        self.key.as_ref().map(|key| &*key.0)
    }

    /// Hands the key over, too.
    #[must_use]
    pub fn with_key(self, key: PrivateKey) -> Self {
        Self { key: Some(OwnKey(Arc::new(key))), ..self }
    }

    /// Asks for a profile.
    #[must_use]
    pub fn profile(mut self, profile: Option<&str>) -> Self {
        self.profile = profile.map(str::to_owned);
        self
    }
}

/// A chain that an issuer returned, leaf first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedChain {
    pem: String,
    facts: Facts,
}

impl IssuedChain {
    /// Reads a PEM chain, leaf first.
    ///
    /// # Errors
    /// [`FactsError`] when it holds no certificate or something else beside: a chain is readable by
    /// everybody, and some interfaces return the private key in the same text.
    pub fn from_pem(pem: impl Into<String>) -> Result<Self, FactsError> {
        let pem = pem.into();
        for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(pem.as_bytes()) {
            match section {
                Ok((SectionKind::Certificate, _)) => {}
                Ok((kind, _)) => {
                    let reason = format!("the chain holds a {kind:?} beside its certificates");
                    return Err(FactsError::Malformed { reason });
                }
                Err(error) => return Err(FactsError::Malformed { reason: error.to_string() }),
            }
        }
        let facts = Facts::from_pem(pem.as_bytes())?;
        Ok(Self { pem, facts })
    }

    /// The chain as PEM.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The leaf's DER.
    #[must_use]
    pub fn leaf_der(&self) -> Vec<u8> {
        // It was read once, or there would be no chain.
        let leaf = CertificateDer::pem_slice_iter(self.pem.as_bytes()).next();
        leaf.and_then(Result::ok).map(|leaf| leaf.to_vec()).unwrap_or_default()
    }

    /// What the leaf is.
    #[must_use]
    pub const fn facts(&self) -> &Facts {
        &self.facts
    }
}

/// Why an issuer returned no chain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
#[non_exhaustive]
pub struct IssueError {
    /// Whose fault.
    pub class: IssueErrorClass,
    /// What happened, naming the thing, the value and the remedy.
    pub message: String,
    retry: Retry,
    elsewhere: bool,
    limit: bool,
    store: bool,
    counted: Option<Counted>,
}

impl IssueError {
    /// An error of this class.
    #[must_use]
    pub fn new(class: IssueErrorClass, message: impl Into<String>, retry: Retry) -> Self {
        Self {
            class,
            message: message.into(),
            retry,
            elsewhere: false,
            limit: false,
            counted: None,
            store: false,
        }
    }

    /// Says that it is not the issuer itself that is in trouble, but somebody that it needs, such as a DNS
    /// provider: then it does not rest because of it.
    #[must_use]
    pub fn elsewhere(self) -> Self {
        Self { elsewhere: true, ..self }
    }

    /// Whether it is the issuer itself that is in trouble.
    #[must_use]
    pub const fn is_the_issuers(&self) -> bool {
        !self.elsewhere
    }

    /// Says that the issuer is well and has counted: too much was asked for these names, or this account. It does
    /// not rest because of that, for it may well serve others.
    #[must_use]
    pub fn limit(self) -> Self {
        Self { limit: true, ..self }
    }

    /// Says which limit that is: others that would meet it do not ask before there is a token again.
    #[must_use]
    pub fn limit_of(self, counted: Counted) -> Self {
        Self { limit: true, counted: Some(counted), ..self }
    }

    /// Which limit it is, if the issuer said so.
    #[must_use]
    pub const fn counted(&self) -> Option<Counted> {
        self.counted
    }

    /// Whether it is a limit that the issuer counts.
    #[must_use]
    pub const fn is_limit(&self) -> bool {
        self.limit
    }

    /// Whether it is the store that could not be reached while something was written down: it says nothing about the
    /// certificate, nor about the issuer.
    #[must_use]
    pub const fn is_the_stores(&self) -> bool {
        self.store
    }

    /// Whether and when to try again.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        self.retry
    }
}

impl From<StoreError> for IssueError {
    fn from(error: StoreError) -> Self {
        let store = error.is_unavailable();
        Self { store, ..Self::new(IssueErrorClass::Local, error.to_string(), error.retry()) }
    }
}

/// Whose fault a failed issuance is: it sets the pace of retries and the metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum IssueErrorClass {
    /// Our credentials are wrong or lack a permission.
    Auth,
    /// The issuer returned something other than what was asked for.
    Contract,
    /// This machine: the store, a key, a setting.
    Local,
    /// The issuer refuses this request as it is: a forbidden name, a missing agreement.
    Policy,
    /// The network or the other side, for now: no connection, a busy server.
    Transient,
    /// The CA could not see the proof.
    Validation,
}

impl fmt::Display for IssueErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auth => "credentials",
            Self::Contract => "the issuer broke its contract",
            Self::Local => "this machine",
            Self::Policy => "the issuer refuses",
            Self::Transient => "network or issuer, for now",
            Self::Validation => "the proof was not seen",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_handed_over_is_not_shown() {
        let key = PrivateKey::generate(crate::KeyAlgorithm::EcdsaP256).unwrap();
        let pem = key.to_pem();
        let request = SigningRequest::new("a".parse().unwrap(), vec!["a.example".parse().unwrap()], &key);
        let request = request.unwrap();
        assert!(request.key().is_none());
        let request = request.with_key(key);
        assert!(request.key().is_some_and(|key| key.to_pem().expose() == pem.expose()));
        let shown = format!("{request:?}");
        assert!(shown.contains("(at hand)") && !shown.contains("PRIVATE"), "{shown}");
    }

    #[test]
    fn a_chain_with_a_private_key_in_it_is_refused() {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        let chain = params.self_signed(&key).unwrap().pem();
        assert_eq!(IssuedChain::from_pem(chain.as_str()).unwrap().pem(), chain);
        let error = IssuedChain::from_pem(format!("{chain}{}", key.serialize_pem())).unwrap_err();
        assert!(error.to_string().contains("PrivateKey"), "{error}");
        assert_eq!(IssuedChain::from_pem("").unwrap_err(), FactsError::NoCertificate);
        let cut = format!("{chain}{}", &chain[..chain.len() / 2]);
        assert!(matches!(IssuedChain::from_pem(cut), Err(FactsError::Malformed { .. })));
    }
}
