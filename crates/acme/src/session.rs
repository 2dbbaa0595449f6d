//! What is known of a server, and in whose name we speak to it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::{HeaderMap, HeaderName, HeaderValue, header};
use perennial_core::Timestamp;

use crate::{Directory, Jwk, Misbehaved, Misuse, Signer, Thumbprint, Url, UrlPolicy, nonce::NoncePool};

/// What is known of one ACME server: its directory, its unused nonces, and which URLs it may name.
///
/// Shared by all accounts and tasks that speak to it, so that a nonce which one request brings is used by
/// the next one, whoever sends it. It holds no connection and knows no clock.
#[derive(Debug)]
pub struct Server {
    directory_url: Url,
    policy: UrlPolicy,
    headers: HeaderMap,
    /// The same, and what a signed request has besides.
    post_headers: HeaderMap,
    directory: Mutex<Option<(Arc<Directory>, Timestamp)>>,
    pub(crate) nonces: NoncePool,
}

impl Server {
    /// A server by the URL of its directory.
    ///
    /// # Errors
    /// [`Misuse::Url`] when it is no URL, or not allowed by the policy.
    pub fn new(directory_url: &str, policy: UrlPolicy) -> Result<Self, Misuse> {
        let url = Url::parse(directory_url).map_err(|fault| Misuse::url(directory_url, fault))?;
        policy.check(&url, &url).map_err(|fault| Misuse::url(directory_url, fault))?;
        Ok(Self {
            directory_url: url,
            policy,
            headers: HeaderMap::new(),
            post_headers: HeaderMap::from_iter([(header::CONTENT_TYPE, JOSE)]),
            directory: Mutex::new(None),
            nonces: NoncePool::default(),
        })
    }

    /// What we call ourselves (RFC 8555 §6.1 requires a `User-Agent`).
    ///
    /// # Errors
    /// [`Misuse::HeaderValue`] when the text cannot be a header.
    pub fn user_agent(mut self, product: &str) -> Result<Self, Misuse> {
        self.insert(header::USER_AGENT, &header_value("User-Agent", product)?);
        Ok(self)
    }

    /// In which languages problems should be explained (RFC 8555 §6.1, RFC 9110 §12.5.4).
    ///
    /// # Errors
    /// [`Misuse::HeaderValue`] when the text cannot be a header.
    pub fn accept_language(mut self, languages: &str) -> Result<Self, Misuse> {
        self.insert(header::ACCEPT_LANGUAGE, &header_value("Accept-Language", languages)?);
        Ok(self)
    }

    fn insert(&mut self, name: HeaderName, value: &HeaderValue) {
        self.headers.insert(name.clone(), value.clone());
        self.post_headers.insert(name, value.clone());
    }

    /// The URL of its directory.
    #[must_use]
    pub const fn directory_url(&self) -> &Url {
        &self.directory_url
    }

    /// The directory, if it was fetched within a day. CAs change theirs a few times a year, and a process
    /// that lives for years has to notice.
    #[must_use]
    pub fn directory(&self, now: Timestamp) -> Option<Arc<Directory>> {
        let known = self.directory.lock().unwrap_or_else(PoisonError::into_inner);
        let (directory, since) = known.as_ref()?;
        (now.since(*since) < DIRECTORY_LIFETIME).then(|| directory.clone())
    }

    /// Remembers a directory, after a look at its URLs.
    pub(crate) fn learn(&self, directory: Directory, now: Timestamp) -> Result<Arc<Directory>, Misbehaved> {
        for url in directory.urls() {
            self.check(url)?;
        }
        let directory = Arc::new(directory);
        *self.directory.lock().unwrap_or_else(PoisonError::into_inner) = Some((directory.clone(), now));
        Ok(directory)
    }

    /// Whether we go where the server sends us.
    pub(crate) fn check(&self, url: &Url) -> Result<(), Misbehaved> {
        self.policy.check(url, &self.directory_url).map_err(|fault| Misbehaved::url(url.as_str(), fault))
    }

    /// A URL that the caller kept since an earlier run: no less suspect than one from the wire.
    pub(crate) fn readmit(&self, text: &str) -> Result<Url, Misuse> {
        let url = Url::parse(text).map_err(|fault| Misuse::url(text, fault))?;
        self.policy.check(&url, &self.directory_url).map_err(|fault| Misuse::url(text, fault))?;
        Ok(url)
    }

    pub(crate) const fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    pub(crate) const fn post_headers(&self) -> &HeaderMap {
        &self.post_headers
    }
}

/// RFC 8555 §6.2.
const JOSE: HeaderValue = HeaderValue::from_static("application/jose+json");

const DIRECTORY_LIFETIME: Duration = Duration::from_secs(86_400);

fn header_value(header: &'static str, text: &str) -> Result<HeaderValue, Misuse> {
    HeaderValue::from_str(text).map_err(|_| Misuse::HeaderValue { header, value: text.to_owned() })
}

/// A server, and the key and account in whose name we speak to it.
///
/// Every [`Call`](crate::call::Call) is made and read against a session. It signs nothing itself: it knows
/// the public half of the key, and hands the signer to whoever drives the call.
#[derive(Clone)]
pub struct Session {
    server: Arc<Server>,
    signer: Option<Arc<dyn Signer>>,
    /// Of the signer's key: every proof has it in it.
    thumbprint: Option<Arc<Thumbprint>>,
    account: Option<Url>,
}

impl Session {
    /// A session that can fetch what needs no signature: the directory.
    #[must_use]
    pub const fn anonymous(server: Arc<Server>) -> Self {
        Self { server, signer: None, thumbprint: None, account: None }
    }

    /// A session with a key that has no account yet, or whose account is not known yet.
    ///
    /// # Errors
    /// [`Misuse::AlgorithmOfOtherKey`] when the signer's algorithm and key do not match.
    pub fn with_key(server: Arc<Server>, signer: Arc<dyn Signer>) -> Result<Self, Misuse> {
        signer.algorithm().check_key(signer.jwk())?;
        let thumbprint = Some(Arc::new(signer.jwk().thumbprint()));
        Ok(Self { server, signer: Some(signer), thumbprint, account: None })
    }

    /// The same session in the name of an account.
    #[must_use]
    pub fn with_account(mut self, url: Url) -> Self {
        self.account = Some(url);
        self
    }

    /// The server.
    #[must_use]
    pub const fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// Who signs.
    #[must_use]
    pub const fn signer(&self) -> Option<&Arc<dyn Signer>> {
        self.signer.as_ref()
    }

    /// The account's URL.
    #[must_use]
    pub const fn account(&self) -> Option<&Url> {
        self.account.as_ref()
    }

    pub(crate) const fn thumbprint(&self) -> Option<&Arc<Thumbprint>> {
        self.thumbprint.as_ref()
    }

    pub(crate) fn jwk(&self) -> Option<&Jwk> {
        self.signer.as_deref().map(Signer::jwk)
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("server", &self.server.directory_url)
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}
