//! PowerDNS Authoritative Server: its HTTP API.
//!
//! From 4.9.12 and 5.0.2 on the server itself adds and removes single values (`EXTEND`, `PRUNE`); before that
//! a record set is replaced as a whole. Which of the two, the first write finds out. Either way the set is read
//! first: `EXTEND` wants the time to live that the set has, and drops siblings that are disabled, so a set with
//! such siblings is replaced, with them in it.
//!
//! ```
//! use perennial_providers::powerdns::PowerDns;
//!
//! let provider = PowerDns::builder("https://ns1.example.com:8081", "k3y").build()?;
//! # Ok::<(), perennial_providers::Error>(())
//! ```
//!
//! On the server: `api=yes`, `api-key=…`, `webserver-allow-from=…`. The key may do everything with every zone:
//! keep the provider to what it needs with [`Guarded`](crate::Guarded), and the interface behind TLS.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use perennial_core::DomainName;
use tokio::sync::OnceCell;

use crate::{
    Capabilities, Error, WriteClass, Zone,
    engine::{self, RecordSet, SetApi, Sets, Settings, Swap, Vendor},
    vendor::{Client, ClientBuilder, Credential, HeaderToken, segment},
};

mod message;
use message::{Change, Patch, Setting, ZoneAnswer, ZoneEntry};
mod options;
pub use options::factory;

/// The [`kind`](crate::DnsProvider::kind) of this provider.
pub const KIND: &str = "powerdns";

/// A PowerDNS Authoritative Server with its HTTP API.
#[derive(Clone)]
pub struct PowerDns(Arc<Sets<Api>>);

engine::forward!(PowerDns, "PowerDns");

impl PowerDns {
    /// Begins a provider with the URL of the server's web server, without `/api`, and its API key.
    pub fn builder(url: impl Into<String>, key: impl Into<Credential>) -> PowerDnsBuilder {
        let client = Client::builder(KIND, url, HeaderToken::new("x-api-key", key.into()))
            .complaints(message::complaint)
            .needs("an API key of the server, and an address that webserver-allow-from lists");
        PowerDnsBuilder {
            client,
            settings: Settings::new(),
            server_id: "localhost".to_owned(),
            notify: false,
        }
    }

    /// A provider as the environment describes it: `PERENNIAL_POWERDNS_BASE_URL`, `PERENNIAL_POWERDNS_KEY` or
    /// `…_KEY_FILE`, and the other options.
    ///
    /// # Errors
    /// [`Error::Config`] that names the variable and the remedy.
    pub fn from_env() -> Result<Self, Error> {
        options::from_options(&factory().options_from_env(KIND)?)
    }
}

/// A provider in the making: see [`PowerDns::builder`].
#[must_use = "a builder does nothing until `build`"]
pub struct PowerDnsBuilder {
    client: ClientBuilder,
    settings: Settings,
    server_id: String,
    notify: bool,
}

engine::setters!(PowerDnsBuilder: clock, http, plain_http, ttl, zone);

impl PowerDnsBuilder {
    /// The server's name in its own interface; `localhost` by default, which it is unless something stands
    /// before it.
    pub fn server_id(mut self, id: impl Into<String>) -> Self {
        self.server_id = id.into();
        self
    }

    /// Has the secondaries told of each write at once (RFC 1996). Without it a primary tells them when it next
    /// looks for changes, within a minute.
    pub const fn notify(mut self, notify: bool) -> Self {
        self.notify = notify;
        self
    }

    fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// The provider.
    ///
    /// # Errors
    /// [`Error::Config`] when the URL is none that requests with credentials may go to.
    pub fn build(self) -> Result<PowerDns, Error> {
        let server = format!("/api/v1/servers/{}", segment(&self.server_id));
        let api = Api {
            client: self.client.build()?,
            root: format!("{server}/zones"),
            server,
            notify: self.notify,
            hides: OnceCell::new(),
            extends: AtomicU8::new(UNTRIED),
        };
        Ok(PowerDns(Arc::new(Sets::new(api, self.settings))))
    }
}

struct Api {
    client: Client,
    /// The path of the server.
    server: String,
    /// The path of its zones.
    root: String,
    notify: bool,
    /// See [`hides_disabled`](Self::hides_disabled).
    hides: OnceCell<bool>,
    /// Whether the server knows `EXTEND` and `PRUNE`.
    extends: AtomicU8,
}

const UNTRIED: u8 = 0;
const KNOWS: u8 = 1;
const DOES_NOT_KNOW: u8 = 2;

/// More would hold up good names behind a bad one.
const SETS_PER_PATCH: usize = 100;

impl Api {
    fn zone_path(&self, zone: &Zone) -> String {
        format!("{}/{}.", self.root, segment(zone.apex.as_str()))
    }

    fn no_zone(zone: &Zone) -> Error {
        Error::ZoneNotFound {
            provider: KIND.to_owned(),
            name: zone.apex.clone(),
            tried: vec![zone.apex.clone()],
            reason: "the server has no such zone".to_owned(),
        }
    }

    /// The record sets of a zone, or those at one name.
    async fn zone(&self, zone: &Zone, name: Option<&DomainName>) -> Result<ZoneAnswer, Error> {
        let mut call = self.client.get(self.zone_path(zone));
        if let Some(name) = name {
            call = call.query("rrset_name", format!("{name}.")).query("rrset_type", "TXT");
        }
        call.send_if_there().await?.ok_or_else(|| Self::no_zone(zone))?.json()
    }

    /// Whether an answer about one name leaves out what is disabled: the LMDB backend does, and the set would be
    /// written without it. Then the whole zone has to be read.
    async fn hides_disabled(&self) -> bool {
        let hides = self.hides.get_or_init(|| async {
            let settings = self.client.get(format!("{}/config", self.server)).send().await;
            let settings = settings.and_then(|answer| answer.json::<Vec<Setting>>());
            // Who may not ask for it has a server like most.
            settings.is_ok_and(|settings| settings.iter().any(Setting::is_lmdb))
        });
        *hides.await
    }

    async fn patch(&self, zone: &Zone, changes: Vec<Change>) -> Result<(), Error> {
        let call = self.client.patch(self.zone_path(zone)).json(&Patch { rrsets: changes });
        // Each change says what is to be, so it does no harm twice.
        match call.repeatable().send().await {
            Ok(_) => Ok(()),
            Err(error) if error.status() == Some(404) => Err(Self::no_zone(zone)),
            Err(error) => Err(error),
        }
    }

    /// The server adds and removes single values; `false` if it does not know how.
    async fn extend(&self, zone: &Zone, swaps: &[Swap]) -> Result<bool, Error> {
        match self.patch(zone, swaps.iter().flat_map(message::single_changes).collect()).await {
            Ok(()) => {
                self.extends.store(KNOWS, Ordering::Relaxed);
                Ok(true)
            }
            Err(error) if message::is_unknown_change(&error) => {
                self.extends.store(DOES_NOT_KNOW, Ordering::Relaxed);
                Ok(false)
            }
            // Somebody made or changed the set since it was read.
            Err(error) if message::is_other_ttl(&error) => Err(Error::Conflict {
                provider: KIND.to_owned(),
                what: zone.apex.to_string(),
                fault: error.fault().cloned().map(Box::new),
            }),
            Err(error) => Err(error),
        }
    }
}

#[async_trait]
impl Vendor for Api {
    fn kind(&self) -> &str {
        KIND
    }

    fn capabilities(&self) -> Capabilities {
        let write = match self.extends.load(Ordering::Relaxed) {
            KNOWS => WriteClass::AtomicValue,
            _ => WriteClass::SetReplaced,
        };
        // The server has a change when it answers, its secondaries within a minute.
        Capabilities::new(write)
            .batch_max(SETS_PER_PATCH)
            .propagation(Duration::from_millis(500), Duration::from_secs(90))
    }

    fn account(&self) -> String {
        format!("{}{}", self.client.base_url(), self.root)
    }

    async fn zone_named(&self, apex: &DomainName) -> Result<Option<Zone>, Error> {
        let call = self.client.get(&self.root).query("zone", format!("{apex}."));
        let zones: Vec<ZoneEntry> = call.send().await?.json()?;
        let found = zones.iter().any(|zone| zone.name.parse::<DomainName>().is_ok_and(|name| name == *apex));
        Ok(found.then(|| Zone::new(apex.clone())))
    }
}

#[async_trait]
impl SetApi for Api {
    fn sets_per_write(&self) -> usize {
        SETS_PER_PATCH
    }

    async fn read(&self, zone: &Zone, name: &DomainName) -> Result<RecordSet, Error> {
        if self.hides_disabled().await {
            return Ok(self.zone(zone, None).await?.set(name));
        }
        // A server before 4.6 answers with the whole zone anyway.
        Ok(self.zone(zone, Some(name)).await?.set(name))
    }

    async fn read_all(&self, zone: &Zone, names: &[DomainName]) -> Result<Vec<RecordSet>, Error> {
        if self.hides_disabled().await {
            let zone = self.zone(zone, None).await?;
            return Ok(names.iter().map(|name| zone.set(name)).collect());
        }
        let mut sets = Vec::with_capacity(names.len());
        for name in names {
            sets.push(self.zone(zone, Some(name)).await?.set(name));
        }
        Ok(sets)
    }

    async fn swap(&self, zone: &Zone, swaps: &[Swap]) -> Result<Option<String>, Error> {
        // What is disabled is lost by EXTEND and PRUNE.
        let replaced = self.extends.load(Ordering::Relaxed) == DOES_NOT_KNOW
            || swaps.iter().any(|swap| swap.old.extra.is_some());
        if replaced || !self.extend(zone, swaps).await? {
            self.patch(zone, swaps.iter().map(message::replacement).collect()).await?;
        }
        if self.notify {
            // It is written; a zone that has nobody to be told is no failure.
            let told = self.client.put(format!("{}/notify", self.zone_path(zone))).send().await;
            told.err().inspect(|error| tracing::debug!(%error, "the secondaries were not told"));
        }
        Ok(None)
    }
}
