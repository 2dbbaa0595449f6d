//! The self-signed issuer: a certificate signed with its own key, for roots and for laboratories.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use perennial_core::{Clock, PrivateKey, SystemClock};
use perennial_lifecycle::{IssueError, IssuedChain, Issuer, Journal, SigningRequest};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

use crate::{
    Error,
    signing::{self, BACKDATE, LIFETIME, Terms, Urls, Validity},
};

/// Signs each certificate with the certificate's own key: nobody trusts it but those who are given it.
///
/// It is where a private PKI begins: a certificate of
/// [`CertificateSpec::authority`](perennial_lifecycle::CertificateSpec::authority) is a root, whose key a
/// [`CaIssuer`](crate::CaIssuer) signs with.
///
/// ```
/// use perennial_core::SystemClock;
/// use perennial_issuers::SelfSignedIssuer;
/// use perennial_lifecycle::{CertificateSpec, Issuer, Journal, KeyAlgorithm, PrivateKey, SigningRequest, Subject};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let issuer = SelfSignedIssuer::builder().build();
/// let spec = CertificateSpec::authority("root", Subject::named("Example Root"))?;
/// let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256)?;
/// let journal = Journal::in_memory(spec.clone(), std::sync::Arc::new(SystemClock::new())).await?;
/// // A keeper hands the key over by itself.
/// let request = SigningRequest::of(&spec, &key)?.with_key(key);
/// let root = issuer.issue(&request, &journal).await?;
/// assert!(root.facts().is_ca && root.facts().issuer == "CN=Example Root");
/// # Ok(())
/// # }
/// ```
pub struct SelfSignedIssuer {
    backdate: Duration,
    clock: Arc<dyn Clock>,
    lifetime: Duration,
    path_length: Option<u8>,
}

impl SelfSignedIssuer {
    /// Starts an issuer.
    pub fn builder() -> SelfSignedIssuerBuilder {
        SelfSignedIssuerBuilder {
            backdate: BACKDATE,
            clock: Arc::new(SystemClock::new()),
            lifetime: LIFETIME,
            path_length: None,
        }
    }

    fn layout(&self, request: &SigningRequest) -> Result<CertificateParams, Error> {
        let key = signing::read(request)?;
        let lifetime = request.duration.unwrap_or(self.lifetime);
        let terms = Terms {
            validity: Validity::new(self.clock.now(), self.backdate, lifetime, None),
            serial: signing::serial()?,
            path_length: self.path_length,
            urls: &Urls::default(),
        };
        signing::layout(request, &key, named(request)?, &terms)
    }
}

#[async_trait]
impl Issuer for SelfSignedIssuer {
    async fn issue(&self, request: &SigningRequest, _: &Journal) -> Result<IssuedChain, IssueError> {
        let params = self.layout(request)?;
        let key = own_key(request)?;
        let pem = if signing::is_slow(request.key().and_then(PrivateKey::algorithm)) {
            let signed = tokio::task::spawn_blocking(move || sign(&params, &key)).await;
            signed.map_err(|error| Error::Request {
                certificate: request.certificate.clone(),
                reason: format!("the thread that signs has ended: {error}"),
            })?
        } else {
            sign(&params, &key)
        };
        let pem = pem.map_err(|error| signing::refused(request, &error))?;
        Ok(IssuedChain::from_pem(pem).map_err(Error::from)?)
    }

    fn needs_key(&self) -> bool {
        true
    }
}

fn sign(params: &CertificateParams, key: &KeyPair) -> Result<String, rcgen::Error> {
    Ok(params.self_signed(key)?.pem())
}

/// The key that was handed over, if it is the one that is to be certified.
fn own_key(request: &SigningRequest) -> Result<KeyPair, Error> {
    let unfit = |reason: &str| Error::Request {
        certificate: request.certificate.clone(),
        reason: format!("a self-signed certificate takes its own key, and {reason}"),
    };
    let key = request.key().ok_or_else(|| unfit("that was not handed over: use SigningRequest::with_key"))?;
    if key.public_key_der() != request.public_key_der {
        return Err(unfit("another one was handed over"));
    }
    KeyPair::from_pem(key.to_pem().expose()).map_err(|error| unfit(&error.to_string()))
}

/// Its subject, which is its issuer too and must say something (RFC 5280 §4.1.2.4): without one, its first name.
fn named(request: &SigningRequest) -> Result<DistinguishedName, Error> {
    let mut subject = signing::subject(request)?;
    if request.subject.is_empty() {
        let names = request.names.iter().map(ToString::to_string);
        let names = names.chain(request.addresses.iter().map(ToString::to_string));
        // A common name has 64 characters at most (RFC 5280 appendix A.1).
        let name = names.chain(request.emails.iter().cloned()).find(|name| name.len() <= 64);
        subject.push(DnType::CommonName, name.unwrap_or_else(|| request.certificate.to_string()));
    }
    Ok(subject)
}

/// Settings of a [`SelfSignedIssuer`].
#[must_use = "a builder does nothing until `build`"]
pub struct SelfSignedIssuerBuilder {
    backdate: Duration,
    clock: Arc<dyn Clock>,
    lifetime: Duration,
    path_length: Option<u8>,
}

impl SelfSignedIssuerBuilder {
    /// How long before now a certificate begins, for clients whose clocks are late. Default: a minute; machines that
    /// are set by a network differ by less.
    pub const fn backdate(mut self, backdate: Duration) -> Self {
        self.backdate = backdate;
        self
    }

    /// Whose time counts. Default: the operating system's.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// How long a certificate lives whose spec does not say. Default: 90 days. A root wants years: its spec says so by
    /// its duration, or this does.
    pub const fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// How many CAs may follow below one that is issued here (RFC 5280 §4.2.1.9): with none, it signs leaves alone.
    /// Default: as many as like.
    pub const fn path_length(mut self, most: u8) -> Self {
        self.path_length = Some(most);
        self
    }

    /// Makes the issuer.
    #[must_use]
    pub fn build(self) -> SelfSignedIssuer {
        SelfSignedIssuer {
            backdate: self.backdate,
            clock: self.clock,
            lifetime: self.lifetime,
            path_length: self.path_length,
        }
    }
}
