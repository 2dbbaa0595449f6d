//! The thin async client: handles that drive [`Call`]s over an HTTP client and a clock.
//!
//! Handles own what they need, are cheap to clone, and may move between tasks: none borrows another, so
//! authorizations can be solved at the same time, and an order can be taken up again after a crash from
//! nothing but its URL.

mod account;
pub use account::Account;

mod authorization;
pub use authorization::Authorization;

mod batch;

mod caa;

mod certificate;

mod challenge;
pub use challenge::Challenge;

mod dns_persist01;

mod flight;
pub use flight::Flight;
use flight::Flights;

mod key_change;

mod onion;

mod order;
pub use order::Order;

mod renewal_info;

mod revocation;

mod star;

#[cfg(feature = "rcgen")]
mod tls_alpn01;

mod walk;

use std::{fmt, sync::Arc};

use http::Method;
use perennial_core::{Clock, HttpClient, http::Action};

use crate::{
    CaaCheck, Directory, Error, Misuse, NewAccount, ProblemType, Server, Session, Signer, UrlPolicy,
    call::{self, Call, Outgoing, Progress},
};

/// A client of one ACME server.
///
/// It caches the directory for a day and shares one pool of nonces among all accounts, orders and tasks;
/// make one per server and clone it.
///
/// It never sleeps on its own account: only who waits for an order does, by the two waits of [`Order`] or by a
/// [`Walk`](crate::flow::Walk), and they stop at the deadline that they are given. A server that is busy is an
/// error with the moment to come back ([`Error::retry`]).
#[derive(Clone)]
pub struct Client {
    server: Arc<Server>,
    http: Arc<dyn HttpClient>,
    clock: Arc<dyn Clock>,
    flights: Arc<Flights>,
    parallel: usize,
    caa: Option<Arc<dyn CaaCheck>>,
}

impl Client {
    /// Starts a client of the server whose directory is at that URL.
    pub fn builder(directory_url: impl Into<String>) -> ClientBuilder {
        ClientBuilder {
            directory_url: directory_url.into(),
            http: None,
            clock: None,
            caa: None,
            policy: UrlPolicy::strict(),
            user_agent: concat!("perennial-acme/", env!("CARGO_PKG_VERSION")).to_owned(),
            accept_language: "en".to_owned(),
            parallel: 1,
        }
    }

    pub(crate) const fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// How many calls of a batch are under way in any case.
    const fn parallel(&self) -> usize {
        self.parallel
    }

    /// The directory: fetched once a day, otherwise from memory.
    ///
    /// # Errors
    /// [`Error::Network`], [`Error::Server`] or [`Error::Misbehaved`].
    pub async fn directory(&self) -> Result<Arc<Directory>, Error> {
        match self.server.directory(self.clock.now()) {
            Some(directory) => Ok(directory),
            None => self.run(&Session::anonymous(self.server.clone()), call::directory()).await,
        }
    }

    /// Makes an account for the key, or finds the one that it has: doing it twice does no harm.
    ///
    /// # Errors
    /// [`Error::Server`] when the CA does not want us, for instance `userActionRequired` for terms that were
    /// not agreed to, or `accountDoesNotExist` after [`NewAccount::only_existing`];
    /// [`Misuse::ExternalAccountRequired`] when the CA wants a binding and the request has none.
    pub async fn register(&self, request: NewAccount, signer: Arc<dyn Signer>) -> Result<Account, Error> {
        let session = Session::with_key(self.server.clone(), signer)?;
        let created = self.run(&session, call::new_account(&request)).await?;
        Ok(Account::new(self.clone(), session, created.url, Some(created.state)))
    }

    /// Finds the account that a key has at this CA (RFC 8555 §7.3.1), and makes none.
    ///
    /// # Errors
    /// [`Misuse::UnknownKey`] when there is none; [`Error::Server`] when the account was deactivated.
    pub async fn find_account(&self, signer: Arc<dyn Signer>) -> Result<Account, Error> {
        let unknown = || Misuse::UnknownKey {
            directory: self.server.directory_url().to_string(),
            thumbprint: signer.jwk().thumbprint().to_string(),
        };
        Ok(self.look_for_account(signer.clone()).await?.ok_or_else(unknown)?)
    }

    async fn look_for_account(&self, signer: Arc<dyn Signer>) -> Result<Option<Account>, Error> {
        match self.register(NewAccount::new().only_existing(), signer).await {
            Ok(account) => Ok(Some(account)),
            Err(error) if error.is(&ProblemType::AccountDoesNotExist) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Takes up an account that was made earlier. No request is sent: whether the server still knows it shows
    /// with the first one.
    ///
    /// # Errors
    /// [`Error::Misuse`] when the URL is not this server's, or the signer's algorithm and key do not match.
    pub fn account(&self, url: &str, signer: Arc<dyn Signer>) -> Result<Account, Error> {
        let url = self.server.readmit(url)?;
        let session = Session::with_key(self.server.clone(), signer)?;
        Ok(Account::new(self.clone(), session, url, None))
    }

    /// Drives a call to its end, for verbs of one's own choice.
    ///
    /// # Errors
    /// What the call answers, [`Error::Network`], or [`Error::Signer`].
    pub async fn run<T>(&self, session: &Session, mut call: Call<T>) -> Result<T, Error> {
        if let Some(moment) = call.not_before() {
            self.clock.sleep_until(moment).await;
        }
        loop {
            let verb = call.verb();
            let no_account = || Misuse::NoAccount { verb };
            let mut request = match call.request(session, self.clock.now())? {
                Outgoing::Plain(request) => request,
                Outgoing::Unsigned(unsigned) => {
                    let signer = session.signer().ok_or_else(no_account)?;
                    let signature = signer.sign(unsigned.message()).await?;
                    unsigned.seal(session, &signature)?
                }
            };
            let (method, url) = (request.method().clone(), request.uri().clone());
            // For those who count: a request for a nonce is none of what it is needed for.
            let action = if method == Method::HEAD { "newNonce" } else { verb };
            request.extensions_mut().insert(Action(action));
            let progress = match self.http.send(request).await {
                Ok(response) => {
                    tracing::debug!(verb, %method, %url, status = response.status().as_u16(), "answered");
                    call.handle(session, self.clock.now(), response)?
                }
                Err(error) => {
                    tracing::debug!(verb, %method, %url, %error, "no answer");
                    call.handle_failure(self.clock.now(), error)?
                }
            };
            call = match progress {
                Progress::Done(value) => return Ok(value),
                Progress::Again(call) => call,
                Progress::After(moment, call) => {
                    self.clock.sleep_until(moment).await;
                    call
                }
            };
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("directory", self.server.directory_url()).finish_non_exhaustive()
    }
}

/// Settings of a [`Client`].
#[derive(Clone)]
#[must_use = "a builder does nothing until `build`"]
pub struct ClientBuilder {
    directory_url: String,
    http: Option<Arc<dyn HttpClient>>,
    clock: Option<Arc<dyn Clock>>,
    caa: Option<Arc<dyn CaaCheck>>,
    policy: UrlPolicy,
    user_agent: String,
    accept_language: String,
    parallel: usize,
}

impl ClientBuilder {
    /// Who carries the requests. Required, unless the feature `reqwest` is on: then the default is a
    /// `ReqwestClient` with its own defaults.
    pub fn http(mut self, http: Arc<dyn HttpClient>) -> Self {
        self.http = Some(http);
        self
    }

    /// Who knows the time. Required, unless the feature `reqwest` is on: then the default is the system's
    /// clock.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Who looks at CAA records before an order is sent: an order for a name that they forbid to this CA is
    /// not sent then. Default: nobody; the CA looks itself, and its refusal costs an order.
    pub fn caa_check(mut self, check: Arc<dyn CaaCheck>) -> Self {
        self.caa = Some(check);
        self
    }

    /// What to call ourselves: name and version of the program, and a contact address for the CA's operators.
    /// Default: `perennial-acme/VERSION`.
    pub fn user_agent(mut self, product: impl Into<String>) -> Self {
        self.user_agent = product.into();
        self
    }

    /// In which languages the server should explain problems, as in `de, en;q=0.5`. Default: `en`, which all
    /// CAs have.
    pub fn accept_language(mut self, languages: impl Into<String>) -> Self {
        self.accept_language = languages.into();
        self
    }

    /// Lets the server send us to other hosts or ports than its directory's. Default: no.
    pub const fn allow_any_origin(mut self) -> Self {
        self.policy = self.policy.allow_any_origin();
        self
    }

    /// Lets plain `http` URLs pass. **For tests on loopback only.** Default: no.
    pub const fn dangerous_allow_http(mut self) -> Self {
        self.policy = self.policy.dangerous_allow_http();
        self
    }

    /// How many requests of a batch, such as for the authorizations of an order, are under way at once even if a
    /// nonce has to be fetched for each. Default: 1, which costs the fewest requests; nonces that are there are used
    /// in any case. With 10, an order of ten names takes two round trips for its authorizations instead of ten, and
    /// up to nine requests for nonces, which CAs limit more strictly than others.
    pub const fn parallel(mut self, requests: usize) -> Self {
        self.parallel = requests;
        self
    }

    /// Makes the client. Sends nothing.
    ///
    /// # Errors
    /// [`Error::Misuse`] when the URL is not `https`, a part is missing, or a text cannot be a header;
    /// [`Error::Network`] when the default HTTP client cannot be made.
    pub fn build(self) -> Result<Client, Error> {
        let server = Server::new(&self.directory_url, self.policy)?
            .user_agent(&self.user_agent)?
            .accept_language(&self.accept_language)?;
        let http = match self.http {
            Some(http) => http,
            None => defaults::http()?,
        };
        let clock = match self.clock {
            Some(clock) => clock,
            None => defaults::clock()?,
        };
        Ok(Client {
            server: Arc::new(server),
            http,
            clock,
            flights: Arc::default(),
            parallel: self.parallel,
            caa: self.caa,
        })
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("directory_url", &self.directory_url)
            .field("policy", &self.policy)
            .field("user_agent", &self.user_agent)
            .finish_non_exhaustive()
    }
}

#[cfg(feature = "reqwest")]
mod defaults {
    use super::{Arc, Clock, Error, HttpClient};

    pub(super) fn http() -> Result<Arc<dyn HttpClient>, Error> {
        Ok(Arc::new(perennial_core::ReqwestClient::new()?))
    }

    pub(super) fn clock() -> Result<Arc<dyn Clock>, Error> {
        Ok(Arc::new(perennial_core::SystemClock::new()))
    }
}

#[cfg(not(feature = "reqwest"))]
mod defaults {
    use super::{Arc, Clock, Error, HttpClient, Misuse};

    pub(super) fn http() -> Result<Arc<dyn HttpClient>, Error> {
        Err(Misuse::Missing { part: "an HTTP client" }.into())
    }

    pub(super) fn clock() -> Result<Arc<dyn Clock>, Error> {
        Err(Misuse::Missing { part: "a clock" }.into())
    }
}

#[cfg(test)]
mod tests {
    use super::{Account, Authorization, Challenge, Client, Order};

    fn movable<T: Clone + Send + Sync + 'static>() {}

    #[test]
    fn handles_are_owned_and_movable() {
        movable::<Client>();
        movable::<Account>();
        movable::<Order>();
        movable::<Authorization>();
        movable::<Challenge>();
    }
}
