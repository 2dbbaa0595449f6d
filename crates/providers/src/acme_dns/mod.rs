//! acme-dns: a server that serves nothing but challenge records.
//!
//! Each name has an account there, with a subdomain of the server's own, and a CNAME that is set once by hand
//! leads from the challenge name to it. So whoever renews holds a credential that can do nothing else.
//!
//! The accounts are kept in a file in the format of goacmedns, which lego, cert-manager and others share. A name
//! without one is registered at first sight; that attempt fails with [`Error::DelegationRequired`], which names
//! the CNAME to be made.
//!
//! ```
//! use perennial_providers::{DnsProvider, acme_dns::AcmeDns};
//!
//! let provider = AcmeDns::builder("https://auth.example.org", "accounts.json").build()?;
//! assert!(!provider.capabilities().deletes);
//! # Ok::<(), perennial_providers::Error>(())
//! ```

use std::{
    collections::{HashMap, VecDeque},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderValue;
use perennial_core::{DomainName, SecretString, Timestamp};
use serde::{Deserialize, Serialize};
use std::time::Duration;

use crate::{
    Capabilities, ConfigError, Error, WriteClass, Zone,
    engine::{self, Settings, SlotApi, Slots, Vendor},
    vendor::{Answer, Authorize, Client, ClientBuilder, Complaint, Fingerprint, Secrets},
};

mod accounts;
use accounts::{Account, Accounts, Registration, domain_of};
mod options;
pub use options::factory;

/// The [`kind`](crate::DnsProvider::kind) of this provider.
pub const KIND: &str = "acme-dns";

/// The server keeps the newest values of an account, so many of them.
const SLOTS: u8 = 2;

/// What the server wants of a value: as many characters as a challenge's has (RFC 8555 §8.4).
const VALUE_LENGTH: usize = 43;

const API_USER: &str = "x-api-user";

/// An acme-dns server.
///
/// - It keeps the two newest values of an account and removes none, so removing is done without doing anything.
/// - What it has, it cannot be asked: [`values`](crate::DnsProvider::values) tells what this provider has
///   written itself.
#[derive(Clone)]
pub struct AcmeDns(Arc<Slots<Api>>);

engine::forward!(AcmeDns, "AcmeDns");

impl AcmeDns {
    /// Begins a provider for the server at this URL, with the file of accounts.
    pub fn builder(server: impl Into<String>, accounts: impl Into<PathBuf>) -> AcmeDnsBuilder {
        let keys = Keys::default();
        AcmeDnsBuilder {
            client: Client::builder(KIND, server, keys.clone()).complaints(complaint),
            keys,
            settings: Settings::new(),
            path: accounts.into(),
            registration: Some(Vec::new()),
        }
    }

    /// A provider as the environment describes it: `PERENNIAL_ACME_DNS_SERVER`, `…_ACCOUNTS`, `…_REGISTER`,
    /// `…_ALLOW_FROM`.
    ///
    /// # Errors
    /// [`Error::Config`] that names the variable and the remedy.
    pub fn from_env() -> Result<Self, Error> {
        options::from_options(&factory().options_from_env(KIND)?)
    }
}

/// A provider in the making: see [`AcmeDns::builder`].
#[must_use = "a builder does nothing until `build`"]
pub struct AcmeDnsBuilder {
    client: ClientBuilder,
    keys: Keys,
    settings: Settings,
    path: PathBuf,
    /// The networks of new accounts; `None` makes no accounts.
    registration: Option<Vec<String>>,
}

engine::setters!(AcmeDnsBuilder: clock, http, plain_http);

impl AcmeDnsBuilder {
    /// Makes no accounts: a name without one has no zone.
    pub fn without_registration(mut self) -> Self {
        self.registration = None;
        self
    }

    /// One more network, such as `192.0.2.0/24`, that new accounts may be used from; any by default.
    pub fn allow_from(mut self, network: impl Into<String>) -> Self {
        self.registration.get_or_insert_default().push(network.into());
        self
    }

    /// The provider.
    ///
    /// # Errors
    /// [`Error::Config`] when the URL is none that requests with credentials may go to.
    pub fn build(self) -> Result<AcmeDns, Error> {
        let api = Api {
            client: self.client.build()?,
            keys: self.keys,
            path: self.path,
            registration: self.registration,
            registering: tokio::sync::Mutex::new(()),
            written: Mutex::default(),
        };
        Ok(AcmeDns(Arc::new(Slots::new(api, self.settings))))
    }
}

/// The keys of the accounts in use, by their users. A request says which user it is of.
#[derive(Clone, Default)]
struct Keys(Arc<Mutex<HashMap<String, SecretString>>>);

#[async_trait]
impl Authorize for Keys {
    async fn authorize(&self, request: &mut http::Request<Bytes>, _: Timestamp) -> Result<Secrets, Error> {
        let user = request.headers().get(API_USER).and_then(|user| user.to_str().ok());
        let key = user.and_then(|user| {
            let keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            keys.get(user).cloned()
        });
        let Some(key) = key else { return Ok(Secrets::none()) };
        // It was checked when the account was read.
        if let Ok(mut value) = HeaderValue::from_str(key.expose()) {
            value.set_sensitive(true);
            request.headers_mut().insert("x-api-key", value);
        }
        Ok(Secrets::of(key))
    }

    /// One for all accounts: a name has its own, and whom the server asks to wait is whoever calls from here.
    fn fingerprint(&self) -> Option<Fingerprint> {
        Some(Fingerprint::of([KIND]))
    }
}

struct Api {
    client: Client,
    keys: Keys,
    path: PathBuf,
    registration: Option<Vec<String>>,
    /// One new account at a time: each is added to the file as it is then.
    registering: tokio::sync::Mutex<()>,
    /// The newest values that were written, by subdomain.
    written: Mutex<HashMap<String, VecDeque<String>>>,
}

#[derive(Serialize)]
struct NewAccount<'a> {
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    allowfrom: &'a [String],
}

#[derive(Serialize)]
struct Update<'a> {
    subdomain: &'a str,
    txt: &'a str,
}

#[derive(Deserialize)]
struct Fault {
    error: String,
}

fn complaint(answer: &Answer) -> Option<Complaint> {
    let complaint = Complaint::of_status(answer)?;
    Some(match answer.json_if_any::<Fault>() {
        Some(Fault { error }) => complaint.message(&*error).code(error),
        None => complaint,
    })
}

impl Api {
    /// The file is small and local; whoever puts it elsewhere waits for it here.
    fn load(&self) -> Result<Accounts, Error> {
        Accounts::load(&self.path).map_err(Self::bad_accounts)
    }

    fn bad_file(&self, reason: impl std::fmt::Display) -> Error {
        Self::bad_accounts(format!("{}: {reason}", self.path.display()))
    }

    fn bad_accounts(reason: String) -> Error {
        let (provider, option) = (KIND.to_owned(), "accounts".to_owned());
        ConfigError::BadOption { provider, option, reason }.into()
    }

    fn account(&self, name: &DomainName) -> Result<Option<Account>, Error> {
        let Some(account) = self.load()?.of(name).map_err(|reason| self.bad_file(reason))? else {
            return Ok(None);
        };
        if let Some(server) = &account.server
            && server.trim_end_matches('/') != self.client.base_url()
        {
            let ours = self.client.base_url();
            return Err(
                self.bad_file(format!("the account for {name} is one of {server}, and not of {ours}"))
            );
        }
        let mut keys = self.keys.0.lock().unwrap_or_else(PoisonError::into_inner);
        keys.insert(account.username.expose().to_owned(), account.password.clone());
        Ok(Some(account))
    }

    /// Makes an account for the domain and writes it down.
    async fn register(
        &self,
        domain: &str,
        name: &DomainName,
        allowfrom: &[String],
    ) -> Result<Account, Error> {
        let _alone = self.registering.lock().await;
        // Another task may have been faster.
        if let Some(account) = self.account(name)? {
            return Ok(account);
        }
        let answer = self.client.post("/register").json(&NewAccount { allowfrom }).send().await?;
        let account = answer.json::<Registration>()?.read().map_err(|reason| answer.misbehaved(reason))?;
        let account = Account { server: Some(self.client.base_url().to_owned()), ..account };
        let mut accounts = self.load()?;
        accounts.insert(domain, &account);
        accounts.save(&self.path).map_err(|error| self.bad_file(error))?;
        Ok(account)
    }

    fn written(&self, subdomain: &str) -> VecDeque<String> {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.get(subdomain).cloned().unwrap_or_default()
    }

    fn note(&self, subdomain: &str, values: VecDeque<String>) {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).insert(subdomain.to_owned(), values);
    }

    fn without_account(name: &DomainName) -> Error {
        Error::ZoneNotFound {
            provider: KIND.to_owned(),
            name: name.clone(),
            tried: vec![name.clone()],
            reason: "the file of accounts has none for it any more".to_owned(),
        }
    }
}

#[async_trait]
impl Vendor for Api {
    fn kind(&self) -> &str {
        KIND
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(WriteClass::Slots(SLOTS)).batch_max(usize::from(SLOTS)).without_deletes()
    }

    fn account(&self) -> String {
        self.client.base_url().to_owned()
    }

    /// Each name is its own: there is nothing above or below it.
    async fn zone_named(&self, apex: &DomainName) -> Result<Option<Zone>, Error> {
        if Self::account(self, apex)?.is_some() {
            return Ok(Some(Zone::new(apex.clone())));
        }
        let (Some(domain), Some(allowfrom)) = (domain_of(apex), &self.registration) else { return Ok(None) };
        let account = self.register(domain, apex, allowfrom).await?;
        Err(Error::DelegationRequired {
            provider: KIND.to_owned(),
            name: apex.clone(),
            target: account.fulldomain,
        })
    }
}

#[async_trait]
impl SlotApi for Api {
    async fn values(&self, _: &Zone, name: &DomainName) -> Result<Vec<String>, Error> {
        let account = Self::account(self, name)?.ok_or_else(|| Self::without_account(name))?;
        Ok(self.written(&account.subdomain).into())
    }

    async fn put(&self, _: &Zone, name: &DomainName, value: &str, _: Duration) -> Result<(), Error> {
        if value.len() != VALUE_LENGTH {
            let length = value.len();
            return Err(Error::InvalidRequest {
                provider: KIND.to_owned(),
                reason: format!(
                    "the value for {name} has {length} bytes, and the server takes {VALUE_LENGTH}, as every challenge's has"
                ),
                fault: None,
            });
        }
        let account = Self::account(self, name)?.ok_or_else(|| Self::without_account(name))?;
        let mut values = self.written(&account.subdomain);
        // Until the answer is here, nobody knows which values are the newest.
        self.note(&account.subdomain, VecDeque::new());
        // Done twice, it would push out another value.
        let update = Update { subdomain: &account.subdomain, txt: value };
        let call = self.client.post("/update").header(API_USER, account.username.expose());
        call.json(&update).once().send().await?;
        values.push_back(value.to_owned());
        while values.len() > usize::from(SLOTS) {
            values.pop_front();
        }
        self.note(&account.subdomain, values);
        Ok(())
    }

    async fn clear(&self, _: &Zone, _: &DomainName, _: &str) -> Result<(), Error> {
        Ok(())
    }
}
