//! The CA issuer: certificates signed with the key of a CA (RFC 5280), and what it takes back.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use perennial_core::{Clock, Retry, SystemClock, Timestamp};
use perennial_lifecycle::{
    IssueError, IssueErrorClass, IssuedChain, Issuer, IssuerName, Journal, Revocation, SigningRequest, Stage,
    Store,
};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, pem::PemObject as _};

use crate::{
    Error,
    signing::{self, BACKDATE, LIFETIME, Terms, Urls, Validity},
};

mod authority;
use authority::Authority;

mod constraints;

mod fault;
pub use fault::AuthorityFault;

mod ledger;
use ledger::Ledger;

mod pen;
use pen::{Leaf, RevocationList};

mod signer;
pub use signer::{SignatureAlgorithm, Signer, SignerError};

mod source;
pub use source::CaSource;
use source::Source;

/// Signs certificates with the key of a CA.
///
/// None of them begins before or ends after the CA and those above it; one that is cut short for that is told of
/// ([`Stage::Warned`]). A CA that has ended, that is none, that may not sign, or not these names, signs nothing: the
/// request is refused before anything is made of it.
///
/// What is served is the leaf, the CA and what stands between it and the root. The root is given apart
/// ([`trust_anchors`](Self::trust_anchors)), and with it the one before while that is valid: whoever trusts both sees
/// nothing of a change.
///
/// ```
/// use std::sync::Arc;
/// use perennial_core::SystemClock;
/// use perennial_issuers::{CaIssuer, CaSource, SelfSignedIssuer};
/// use perennial_lifecycle::{CertificateSpec, Keeper, MemoryStore, Store, Subject};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
/// let ca = CaIssuer::builder(CaSource::certificate(store.clone(), "root".parse()?)).build()?;
/// let keeper = Keeper::builder(store)
///     .issuer("self-signed".parse()?, Arc::new(SelfSignedIssuer::builder().build()))
///     .issuer("ca".parse()?, Arc::new(ca))
///     .build();
///
/// let root = CertificateSpec::authority("root", Subject::named("Example Root"))?.issuer("self-signed")?;
/// keeper.keep(root).await?.ready().await?;
/// let leaf = keeper.keep(CertificateSpec::new("intranet", ["intranet.example.com"])?.issuer("ca")?).await?;
/// assert_eq!(leaf.ready().await?.facts().issuer, "CN=Example Root");
/// # Ok(())
/// # }
/// ```
pub struct CaIssuer {
    anchors: Vec<CertificateDer<'static>>,
    backdate: Duration,
    clock: Arc<dyn Clock>,
    ledger: Option<Ledger>,
    lifetime: Duration,
    list_lifetime: Duration,
    path_length: Option<u8>,
    source: Source,
    urls: Urls,
}

impl CaIssuer {
    /// Starts an issuer that signs as this CA.
    pub fn builder(source: CaSource) -> CaIssuerBuilder {
        CaIssuerBuilder {
            anchors: String::new(),
            backdate: BACKDATE,
            clock: Arc::new(SystemClock::new()),
            ledger: None,
            lifetime: LIFETIME,
            list_lifetime: LIST_LIFETIME,
            path_length: None,
            source,
            urls: Urls::default(),
        }
    }

    /// The roots under which what was issued here is to be trusted, newest first: that of the CA, those of the CAs before
    /// it while they are valid, and those that were [given](CaIssuerBuilder::trust_anchors). A root that its own CA does
    /// not bring along has to be given; that of a CA above is known to the issuer of that one.
    ///
    /// After a restart the CA before is known where its certificate is kept in a store, and else has to be given.
    ///
    /// # Errors
    /// [`Error::Authority`] when the CA's certificate cannot be read, [`Error::Store`] when the store cannot be asked.
    pub async fn trust_anchors(&self) -> Result<Vec<CertificateDer<'static>>, Error> {
        let now = self.clock.now();
        let authorities = self.authorities(now).await?;
        let mut anchors = Vec::new();
        let own = authorities.iter().filter_map(|authority| authority.anchor().cloned());
        for anchor in own.chain(self.anchors.iter().cloned()) {
            if !anchors.contains(&anchor) {
                anchors.push(anchor);
            }
        }
        Ok(anchors)
    }

    /// The lists of what was revoked (RFC 5280 §5), signed now: that of the CA, and that of each CA before it that is
    /// valid and whose key is there. They are to be published, as they are, at the [places](CaIssuerBuilder::crl_url)
    /// that certificates name, and again before they end.
    ///
    /// # Errors
    /// [`Error::Configuration`] when the issuer has no [ledger](CaIssuerBuilder::ledger), [`Error::Authority`] when a CA
    /// cannot be read or may not sign lists, [`Error::Store`] when the store cannot be asked.
    pub async fn crls(&self) -> Result<Vec<CertificateRevocationListDer<'static>>, Error> {
        let now = self.clock.now();
        let mut authorities: Vec<Arc<Authority>> = Vec::new();
        for authority in self.authorities(now).await? {
            // One that was renewed with its key has one list.
            if authorities.iter().all(|known| known.key_fingerprint != authority.key_fingerprint) {
                authority.check_lists()?;
                authorities.push(authority);
            }
        }
        if authorities.is_empty() {
            // It says why.
            self.authority(now).await?;
        }
        let lists = self.ledger()?.lists(&authorities, now, self.list_lifetime).await?;
        let mut signed = Vec::new();
        for (authority, list) in authorities.iter().zip(lists) {
            signed.push(authority.sign(RevocationList(list)).await?.into());
        }
        Ok(signed)
    }

    /// The CA that signs now.
    async fn authority(&self, now: Timestamp) -> Result<Arc<Authority>, Error> {
        let mut all = self.source.all().await?.into_iter();
        let Some(authority) = all.next() else { return Err(AuthorityFault::NoCertificate.into()) };
        authority.check(now)?;
        Ok(authority)
    }

    /// All that are valid: the one that signs now comes first.
    async fn authorities(&self, now: Timestamp) -> Result<Vec<Arc<Authority>>, Error> {
        let mut all = self.source.all().await?;
        all.retain(|authority| authority.check(now).is_ok());
        Ok(all)
    }

    fn ledger(&self) -> Result<&Ledger, Error> {
        self.ledger.as_ref().ok_or_else(|| Error::Configuration {
            reason: "this CA writes down nothing that it revokes: give its issuer a ledger".to_owned(),
        })
    }

    async fn sign(&self, request: &SigningRequest, journal: &Journal) -> Result<IssuedChain, Error> {
        let now = self.clock.now();
        let authority = self.authority(now).await?;
        let path_length = authority.admit(request, self.path_length)?;
        let key = signing::read(request)?;
        let lifetime = request.duration.unwrap_or(self.lifetime);
        let validity = Validity::new(now, self.backdate, lifetime, Some(authority.span()));
        let terms = Terms { validity, serial: signing::serial()?, path_length, urls: &self.urls };
        let params = signing::layout(request, &key, signing::subject(request)?, &terms)?;
        let leaf = authority.sign(Leaf { params, key }).await?;
        if validity.is_cut {
            let (subject, end) = (authority.subject(), validity.not_after);
            let message =
                format!("it ends at {end}, as its CA {subject} does, and not {} s later", lifetime.as_secs());
            journal.tell(Stage::Warned { message }).await;
        }
        let mut pem = signing::pem(leaf.der());
        pem.push_str(authority.chain());
        Ok(IssuedChain::from_pem(pem)?)
    }

    async fn take_back(&self, revocation: &Revocation) -> Result<(), IssueError> {
        let ledger = self.ledger()?;
        let now = self.clock.now();
        let facts = revocation.chain.facts();
        let leaf = revocation.chain.leaf_der();
        let authorities = self.authorities(now).await?;
        let Some(authority) = authorities.iter().find(|authority| authority.has_signed(&leaf)) else {
            let message = format!(
                "the certificate {} was signed by {}, which signs here no more: have it revoked there",
                facts.serial, facts.issuer
            );
            return Err(IssueError::new(IssueErrorClass::Policy, message, Retry::Never));
        };
        Ok(ledger.revoke(facts, authority, now, self.list_lifetime).await?)
    }
}

#[async_trait]
impl Issuer for CaIssuer {
    async fn issue(&self, request: &SigningRequest, journal: &Journal) -> Result<IssuedChain, IssueError> {
        Ok(self.sign(request, journal).await?)
    }

    async fn ready(&self) -> Result<(), IssueError> {
        self.authority(self.clock.now()).await?;
        Ok(())
    }

    async fn revoke(&self, revocation: &Revocation, _: &Journal) -> Result<(), IssueError> {
        self.take_back(revocation).await
    }
}

/// Settings of a [`CaIssuer`].
#[must_use = "a builder does nothing until `build`"]
pub struct CaIssuerBuilder {
    anchors: String,
    backdate: Duration,
    clock: Arc<dyn Clock>,
    ledger: Option<Ledger>,
    lifetime: Duration,
    list_lifetime: Duration,
    path_length: Option<u8>,
    source: CaSource,
    urls: Urls,
}

impl CaIssuerBuilder {
    /// How long before now a certificate begins, for clients whose clocks are late. Default: a minute; machines that
    /// are set by a network differ by less.
    pub const fn backdate(mut self, backdate: Duration) -> Self {
        self.backdate = backdate;
        self
    }

    /// Where clients find the CA's certificate (caIssuers, RFC 5280 §4.2.2.1), such as `http://ca.example/ca.cer`;
    /// repeatable.
    pub fn ca_issuers_url(mut self, url: impl Into<String>) -> Self {
        self.urls.ca_issuers.push(url.into());
        self
    }

    /// Whose time counts. Default: the operating system's.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// How long a [list](CaIssuer::crls) of what was revoked holds. Default: a week, which leaves days to notice that
    /// none is published any more.
    pub const fn crl_lifetime(mut self, lifetime: Duration) -> Self {
        self.list_lifetime = lifetime;
        self
    }

    /// Where clients find the list of what was revoked (RFC 5280 §4.2.1.13); repeatable, for further places of the same
    /// list.
    pub fn crl_url(mut self, url: impl Into<String>) -> Self {
        self.urls.crl.push(url.into());
        self
    }

    /// Where it writes down what it revokes: in this store, as the state of the issuer of this name. Default: nowhere, and
    /// it revokes nothing.
    pub fn ledger(mut self, store: Arc<dyn Store>, issuer: IssuerName) -> Self {
        self.ledger = Some(Ledger::new(store, issuer));
        self
    }

    /// How long a certificate lives whose spec does not say. Default: 90 days. None outlives the CA.
    pub const fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// Where clients ask whether a certificate is revoked (OCSP, RFC 6960); repeatable. Nobody answers there but whom you
    /// run.
    pub fn ocsp_url(mut self, url: impl Into<String>) -> Self {
        self.urls.ocsp.push(url.into());
        self
    }

    /// How many CAs may follow below a CA that is issued here (RFC 5280 §4.2.1.9): with none, it signs leaves alone.
    /// Default: as many as the CA itself allows.
    pub const fn path_length(mut self, most: u8) -> Self {
        self.path_length = Some(most);
        self
    }

    /// Roots as PEM that are [to be trusted](CaIssuer::trust_anchors) beside the CA's own: one that its chain does not bring
    /// along, the one before, the next one before it signs; repeatable.
    pub fn trust_anchors(mut self, pem: &str) -> Self {
        self.anchors.push_str(pem);
        self.anchors.push('\n');
        self
    }

    /// Makes the issuer.
    ///
    /// # Errors
    /// [`Error::Authority`] when key and chain were given and cannot sign, [`Error::Configuration`] when a URL or a root
    /// is none.
    pub fn build(self) -> Result<CaIssuer, Error> {
        if let Some(url) = self.urls.fault() {
            let shown: String = url.chars().take(80).collect();
            let reason =
                format!("{shown:?} is no URL that a certificate can hold: write http://host/path, in ASCII");
            return Err(Error::Configuration { reason });
        }
        let anchors = CertificateDer::pem_slice_iter(self.anchors.as_bytes()).collect::<Result<_, _>>();
        let anchors = anchors.map_err(|error| Error::Configuration {
            reason: format!("the roots to be trusted are no PEM: {error}"),
        })?;
        Ok(CaIssuer {
            anchors,
            backdate: self.backdate,
            clock: self.clock,
            ledger: self.ledger,
            lifetime: self.lifetime,
            list_lifetime: self.list_lifetime,
            path_length: self.path_length,
            source: self.source.open()?,
            urls: self.urls,
        })
    }
}

const LIST_LIFETIME: Duration = Duration::from_secs(7 * 86_400);
