//! DuckDNS (<https://www.duckdns.org/spec.jsp>).
//!
//! One TXT value for a domain and everything below it, and no way to read it.
//!
//! ```
//! use perennial_providers::duckdns::DuckDns;
//!
//! let provider = DuckDns::builder("a7c4d0ad-114e-40ef-ba1d-d217904a50f2").build()?;
//! # Ok::<(), perennial_providers::Error>(())
//! ```

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use perennial_core::DomainName;

use crate::{
    Capabilities, Error, Rate, WriteClass, Zone,
    engine::{self, Settings, SlotApi, Slots, Survey, Vendor},
    vendor::{Client, Credential},
    zone_match,
};

mod options;
pub use options::factory;
mod token;
use token::Token;
mod wire;

/// The [`kind`](crate::DnsProvider::kind) of this provider.
pub const KIND: &str = "duckdns";

const BASE_URL: &str = "https://www.duckdns.org";

/// Who may do what is needed, for the error when it may not.
const NEEDS: &str = "a domain of the account whose token it is";

/// The domains of a DuckDNS account, such as `example.duckdns.org`.
///
/// - A domain has one TXT value, which every name below it shows. A second one overwrites the first: a
///   certificate with a wildcard and its base name needs its challenges one after the other.
/// - The interface cannot be asked what the value is. What this provider and its clones put there last is
///   remembered, and [`values`](crate::DnsProvider::values) tells that and nothing else. A value that was put
///   there by another process is not removed, since it may be somebody's next one; it is overwritten in time.
#[derive(Clone)]
pub struct DuckDns(Arc<Slots<Api>>);

engine::forward!(DuckDns, "DuckDns");

impl DuckDns {
    /// Begins a provider with the token of an account.
    pub fn builder(token: impl Into<Credential>) -> DuckDnsBuilder {
        let client = Client::builder(KIND, BASE_URL, Token(token.into()));
        let client = client.complaints(wire::complaint).needs(NEEDS).rate(RATE);
        DuckDnsBuilder { client, settings: Settings::new() }
    }

    /// A provider as the environment describes it: `PERENNIAL_DUCKDNS_TOKEN` or `…_TOKEN_FILE`, and the other
    /// options.
    ///
    /// # Errors
    /// [`Error::Config`] that names the variable and the remedy.
    pub fn from_env() -> Result<Self, Error> {
        options::from_options(&factory().options_from_env(KIND)?)
    }
}

engine::builder!(DuckDnsBuilder, DuckDns, |client, settings| Slots::new(Api::new(client), settings));

struct Api {
    client: Client,
    /// What was put there last, by the domain.
    slots: Mutex<HashMap<DomainName, String>>,
}

impl Api {
    fn new(client: Client) -> Self {
        Self { client, slots: Mutex::default() }
    }

    /// The domain of the account that the name is at or below.
    fn domain(name: &DomainName) -> Option<Zone> {
        let is_theirs = |name: &DomainName| name.parent().is_some_and(|parent| parent.as_str() == SUFFIX);
        zone_match::candidates(name).find(is_theirs).map(Zone::new)
    }

    /// Changes the value of a domain.
    async fn update(&self, zone: &Zone, value: &str, clear: bool) -> Result<(), Error> {
        let domain = zone.apex.as_str().split('.').next().unwrap_or_default();
        let call = self.client.get("/update").query("domains", domain).query("txt", value);
        let call = call.query("clear", if clear { "true" } else { "false" }).query("verbose", "true");
        let answer = call.send().await?;
        if !wire::is_ok(&answer.text()) {
            return Err(answer.misbehaved("it answers neither OK nor KO"));
        }
        Ok(())
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<DomainName, String>> {
        // Whole between any two statements.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Vendor for Api {
    fn kind(&self) -> &str {
        KIND
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(WriteClass::Slots(1))
            .min_ttl(TTL)
            .rate(RATE)
            .propagation(Duration::from_secs(5), Duration::from_secs(120))
    }

    fn account(&self) -> String {
        self.client.base_url().to_owned()
    }

    fn zones_have_no_id(&self) -> bool {
        true
    }

    /// Whether it is one of this account's is heard with the first write: nothing else can be asked.
    async fn zone_named(&self, apex: &DomainName) -> Result<Option<Zone>, Error> {
        Ok(Self::domain(apex).filter(|zone| zone.apex == *apex))
    }

    async fn survey(&self, name: &DomainName) -> Result<Survey, Error> {
        Ok(Survey::Holder(Self::domain(name)))
    }
}

#[async_trait]
impl SlotApi for Api {
    fn is_blind(&self) -> bool {
        true
    }

    async fn values(&self, zone: &Zone, _: &DomainName) -> Result<Vec<String>, Error> {
        Ok(self.slots().get(&zone.apex).cloned().into_iter().collect())
    }

    async fn put(&self, zone: &Zone, _: &DomainName, value: &str, _: Duration) -> Result<(), Error> {
        // Before it is there: its answer may get lost, and this future be dropped.
        let before = self.slots().insert(zone.apex.clone(), value.to_owned());
        let result = self.update(zone, value, false).await;
        if result.as_ref().is_err_and(|error| !error.is_uncertain()) {
            let mut slots = self.slots();
            match before {
                Some(before) => drop(slots.insert(zone.apex.clone(), before)),
                None => drop(slots.remove(&zone.apex)),
            }
        }
        result
    }

    async fn clear(&self, zone: &Zone, _: &DomainName, value: &str) -> Result<(), Error> {
        if self.slots().get(&zone.apex).is_none_or(|last| last != value) {
            return Ok(());
        }
        self.update(zone, value, true).await?;
        self.slots().remove(&zone.apex);
        Ok(())
    }
}

/// What all domains of DuckDNS are below.
const SUFFIX: &str = "duckdns.org";

/// What all records of DuckDNS have; it cannot be set.
const TTL: Duration = Duration::from_secs(60);

/// DuckDNS is a gift, and tells no figure.
const RATE: Rate = Rate::new(1, Duration::from_secs(1));
