//! The Vault issuer: a role of the PKI engine of HashiCorp Vault or OpenBao signs (`POST /v1/MOUNT/sign/ROLE`).
//!
//! The two speak the same language; where this crate says Vault, it means both.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use http::HeaderValue;
use perennial_core::{Clock, HttpClient, HttpError, ReqwestClient, SystemClock};
use perennial_lifecycle::{IssueError, IssuedChain, Issuer, Journal, Revocation, SigningRequest, Stage};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::json;

use crate::Error;

mod answer;
use answer::Answer;

mod auth;
pub use auth::{VaultAuth, VaultSecret};

mod error;
pub use error::VaultError;

mod lease;

mod path;
use path::SignPath;

mod session;
use session::Session;

mod sign;
use sign::{SignBody, Signed};

mod wire;
use wire::{Call, Wire};

/// Issues certificates at a Vault.
///
/// It logs in once and keeps the token, renewed, for all its certificates. A "permission denied" costs one more
/// login, for that is what a Vault says of a token that has ended too. What comes back is compared with what was
/// asked for, since roles overrule requests in silence: key, names, kind; every link of the chain is verified. A
/// certificate that ends sooner than was asked for is taken, and told.
///
/// ```
/// use perennial_issuers::vault::{VaultAuth, VaultIssuer, VaultSecret};
///
/// let issuer = VaultIssuer::builder("https://vault.example:8200")
///     .path("pki_int/sign/web")
///     .auth(VaultAuth::app_role("6a8d9023-5238", VaultSecret::file("/run/secrets/secret-id")))
///     .build()?;
/// # let _ = issuer;
/// # Ok::<(), perennial_issuers::Error>(())
/// ```
pub struct VaultIssuer {
    path: SignPath,
    session: Session,
    timeout: Duration,
    wire: Wire,
}

impl VaultIssuer {
    /// Starts an issuer at the Vault with this address: `https://vault.example:8200`.
    pub fn builder(address: impl Into<String>) -> VaultIssuerBuilder {
        VaultIssuerBuilder {
            address: address.into(),
            auth: None,
            clock: Arc::new(SystemClock::new()),
            http: None,
            namespace: None,
            path: None,
            timeout: TIMEOUT,
        }
    }

    /// Whether it can sign now: it is unsealed, and lets us in.
    ///
    /// # Errors
    /// [`Error::Vault`] with the reason.
    pub async fn look(&self) -> Result<(), Error> {
        let look = async {
            self.healthy(self.wire.health().await?)?;
            self.session.token(&self.wire).await?;
            Ok(())
        };
        self.within(self.timeout.min(LONGEST_LOOK), look).await
    }

    /// The statuses of `GET /v1/sys/health`: a standby passes requests on to the active one, and is as good. A 503 may
    /// be of a load balancer before it, too.
    fn healthy(&self, (status, sealed): (u16, bool)) -> Result<(), VaultError> {
        let at = self.wire.address.clone();
        let said = |text: &str| text.to_owned();
        match status {
            200 | 429 | 473 => Ok(()),
            472 => Err(VaultError::Unavailable { at, status, said: said("it is a secondary for disasters") }),
            501 => Err(VaultError::NotInitialized { at }),
            503 if sealed => Err(VaultError::Sealed { at }),
            _ => Err(VaultError::Unavailable { at, status, said: said("its health is unknown") }),
        }
    }

    /// A request with the token; once more, with another one, when that is refused.
    async fn authorized<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl serde::Serialize,
    ) -> Result<Answer<T>, VaultError> {
        let token = self.session.token(&self.wire).await?;
        let refused = match self.wire.send(Call::post(path, body).token(&token.value)).await {
            Err(refused @ VaultError::Denied { .. }) => refused,
            other => return other,
        };
        if !self.session.refused(&token).await {
            return Err(refused);
        }
        let token = self.session.token(&self.wire).await?;
        self.wire.send(Call::post(path, body).token(&token.value)).await
    }

    async fn sign(&self, request: &SigningRequest, journal: &Journal) -> Result<IssuedChain, Error> {
        let body = SignBody::of(request);
        let answer = self.authorized::<Signed>(self.path.as_str(), &body).await;
        if let Err(VaultError::Quota { said, until, .. }) = &answer {
            journal.tell(Stage::RateLimited { limit: said.clone(), until: *until }).await;
        }
        let Answer { data, warnings, request: id, .. } = answer?;
        let (now, at) = (self.wire.clock.now(), self.wire.url(self.path.as_str()));
        let number = id.as_deref().unwrap_or("without a number");
        let breach =
            |what: String| VaultError::Breach { at: at.clone(), what: format!("{what} (request {number})") };
        let signed = data.ok_or_else(|| breach("there is no certificate".to_owned()))?;
        let above = [vec![signed.issuing_ca], signed.ca_chain.unwrap_or_default()].concat();
        let chain = IssuedChain::assemble(&signed.certificate, &above, now)
            .map_err(|fault| breach(fault.to_string()))?;
        request.check(chain.facts(), now).map_err(|contract| breach(contract.to_string()))?;
        journal.tell(Stage::Signed { serial: chain.facts().serial.clone(), request: id.clone() }).await;
        let warnings = warnings.into_iter().filter(|warning| !sign::is_usual(warning));
        for message in warnings.chain(sign::shortened(request.duration, chain.facts())) {
            journal.tell(Stage::Warned { message }).await;
        }
        Ok(chain)
    }

    async fn within<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = Result<T, Error>> + Send,
    ) -> Result<T, Error> {
        let slow = || VaultError::Network(HttpError::Timeout { url: self.wire.address.clone() });
        tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(slow().into()))
    }
}

/// Vault signs within milliseconds; a minute is a login, a renewal and a signature on a busy one.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Whoever asks whether it is ready does not wait for long to hear that it is not.
const LONGEST_LOOK: Duration = Duration::from_secs(10);

#[async_trait]
impl Issuer for VaultIssuer {
    async fn issue(&self, request: &SigningRequest, journal: &Journal) -> Result<IssuedChain, IssueError> {
        sign::refuse(request)?;
        Ok(self.within(self.timeout, self.sign(request, journal)).await?)
    }

    async fn ready(&self) -> Result<(), IssueError> {
        Ok(self.look().await?)
    }

    /// By its serial number. It can be revoked while the mount keeps it (`no_store` is off), and is on its list then.
    async fn revoke(&self, revocation: &Revocation, _: &Journal) -> Result<(), IssueError> {
        let body = json!({ "serial_number": sign::serial(&revocation.chain.facts().serial) });
        let path = self.path.revoke();
        let revoke = async { Ok(self.authorized::<IgnoredAny>(&path, &body).await?) };
        Ok(self.within(self.timeout, revoke).await.map(drop)?)
    }
}

/// Settings of a [`VaultIssuer`].
#[must_use = "a builder does nothing until `build`"]
pub struct VaultIssuerBuilder {
    address: String,
    auth: Option<VaultAuth>,
    clock: Arc<dyn Clock>,
    http: Option<Arc<dyn HttpClient>>,
    namespace: Option<String>,
    path: Option<String>,
    timeout: Duration,
}

impl VaultIssuerBuilder {
    /// How to come by a token. It needs a policy that allows `update` on the [path](Self::path), and nothing else.
    pub fn auth(mut self, auth: VaultAuth) -> Self {
        self.auth = Some(auth);
        self
    }

    /// Whose time counts. Default: the operating system's.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Who carries the requests. Default: [`ReqwestClient`] with the operating system's roots. A Vault with a private
    /// CA needs one with its root; one that is let in by a certificate, one that shows it.
    pub fn http(mut self, http: Arc<dyn HttpClient>) -> Self {
        self.http = Some(http);
        self
    }

    /// In which namespace mounts and logins are: `team/web`. Default: the root.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// Where to sign: `pki_int/sign/web`; or, where a mount has several issuers, `pki_int/issuer/2026/sign/web`.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// How long one issuance may take in all. Default: a minute.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Makes the issuer. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Configuration`] when address, path or namespace are none, or there is no way to a token;
    /// [`Error::Vault`] when the HTTP client cannot be made.
    pub fn build(self) -> Result<VaultIssuer, Error> {
        let refused = |reason: String| Error::Configuration { reason };
        let address = path::address(&self.address).map_err(refused)?;
        let missing =
            |what: &str| Error::Configuration { reason: format!("the issuer at {address} has no {what}") };
        let path = self.path.ok_or_else(|| missing("path: give it one, such as pki_int/sign/web"))?;
        let path = SignPath::parse(&path).map_err(refused)?;
        let auth = self.auth.ok_or_else(|| missing("way to a token: give it one of VaultAuth"))?;
        let mount = path::plain(auth.mounted_at()).map_err(refused)?;
        let namespace = self.namespace.as_deref().map(path::plain).transpose().map_err(refused)?;
        let namespace = namespace.map(|name| HeaderValue::from_str(&name)).transpose();
        let namespace = namespace.map_err(|error| refused(error.to_string()))?;
        let http = match self.http {
            Some(http) => http,
            None => Arc::new(ReqwestClient::new().map_err(VaultError::from)?),
        };
        let wire = Wire { address, namespace, http, clock: self.clock };
        Ok(VaultIssuer { path, session: Session::new(auth.mount(mount)), timeout: self.timeout, wire })
    }
}
