//! Bunny DNS (<https://docs.bunny.net/api-reference/core/dns-zone>).
//!
//! The access key of an account; there are none with fewer rights.
//!
//! ```
//! use perennial_providers::bunny::Bunny;
//!
//! let provider = Bunny::builder("11111111-2222-3333-4444-555555555555").build()?;
//! # Ok::<(), perennial_providers::Error>(())
//! ```

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use perennial_core::DomainName;

use crate::{
    Capabilities, Error, Rate, WriteClass, Zone,
    engine::{self, Created, NewRecord, Page, Record, RecordApi, Records, Settings, Vendor, pages},
    vendor::{Client, Credential, HeaderToken, segment},
};

mod options;
pub use options::factory;
mod wire;
use wire::{Content, Creation, Zones};

/// The [`kind`](crate::DnsProvider::kind) of this provider.
pub const KIND: &str = "bunny";

const BASE_URL: &str = "https://api.bunny.net";

/// Who may do what is needed, for the error when it may not.
const NEEDS: &str = "the access key of the account whose zone it is";

/// The DNS zones of a bunny.net account.
///
/// Records are made and deleted by their identifiers. Clones share the connections and the limit.
#[derive(Clone)]
pub struct Bunny(Arc<Records<Api>>);

engine::forward!(Bunny, "Bunny");

impl Bunny {
    /// Begins a provider with the access key of an account.
    pub fn builder(access_key: impl Into<Credential>) -> BunnyBuilder {
        let token = HeaderToken::new("accesskey", access_key.into());
        let client =
            Client::builder(KIND, BASE_URL, token).complaints(wire::complaint).needs(NEEDS).rate(RATE);
        BunnyBuilder { client, settings: Settings::new() }
    }

    /// A provider as the environment describes it: `PERENNIAL_BUNNY_ACCESS_KEY` or `…_ACCESS_KEY_FILE`, and the
    /// other options.
    ///
    /// # Errors
    /// [`Error::Config`] that names the variable and the remedy.
    pub fn from_env() -> Result<Self, Error> {
        options::from_options(&factory().options_from_env(KIND)?)
    }
}

engine::builder!(BunnyBuilder, Bunny, |client, settings| Records::new(Api { client }, settings));

engine::setters!(BunnyBuilder: zone_id);

struct Api {
    client: Client,
}

impl Api {
    /// The path of a zone.
    fn path(zone: &Zone) -> Result<String, Error> {
        let id = zone.id.as_deref().ok_or_else(|| Error::InvalidRequest {
            provider: KIND.to_owned(),
            reason: format!("the zone {zone} has no id; ask for it by a name, or give it as `zone-id`"),
            fault: None,
        })?;
        Ok(format!("/dnszone/{}", segment(id)))
    }
}

#[async_trait]
impl Vendor for Api {
    fn kind(&self) -> &str {
        KIND
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(WriteClass::RecordByRecord)
            .batch_max(100)
            .min_ttl(MIN_TTL)
            .rate(RATE)
            .propagation(Duration::from_secs(2), Duration::from_secs(120))
    }

    fn account(&self) -> String {
        self.client.base_url().to_owned()
    }

    async fn zone_named(&self, apex: &DomainName) -> Result<Option<Zone>, Error> {
        // The filter finds parts of names: that of a top-level name would list the whole account.
        if apex.parent().is_none() {
            return Ok(None);
        }
        let zones = pages(KIND, async |cursor| {
            let page = cursor.as_deref().unwrap_or("1");
            let call = self.client.get("/dnszone").query("search", apex.as_str());
            let call = call.query("page", page).query("perPage", PAGE_SIZE.to_string());
            let answer: Zones = call.send().await?.json()?;
            let next = answer.has_more_items.then(|| page.parse().map_or(2, |page: u64| page + 1));
            let items = answer.items.into_iter().filter_map(wire::Listed::zone).collect();
            Ok(Page { items, next: next.map(|page| page.to_string()) })
        });
        Ok(zones.await?.into_iter().find(|zone| zone.apex == *apex))
    }

    async fn shown(&self, names: Vec<DomainName>) -> Vec<DomainName> {
        self.client.shown(names).await
    }

    async fn zone_with_id(&self, id: &str) -> Result<Option<Zone>, Error> {
        let answer = self.client.get(format!("/dnszone/{}", segment(id))).send_if_there().await?;
        answer.map_or(Ok(None), |answer| Ok(answer.json::<wire::Listed>()?.zone()))
    }
}

#[async_trait]
impl RecordApi for Api {
    /// A zone comes with all its records; there is no filter, and there are no pages.
    async fn records(&self, zone: &Zone, _: &[DomainName]) -> Result<Vec<Record>, Error> {
        let Some(answer) = self.client.get(Self::path(zone)?).send_if_there().await? else {
            return Err(Error::ZoneNotFound {
                provider: KIND.to_owned(),
                name: zone.apex.clone(),
                tried: vec![zone.apex.clone()],
                reason: format!("the zone {zone} is not there any more; it is looked for again"),
            });
        };
        let content: Content = answer.json()?;
        Ok(content.records.into_iter().filter_map(|entry| entry.text(zone)).collect())
    }

    async fn create(&self, zone: &Zone, record: &NewRecord) -> Result<Created, Error> {
        // A PUT that adds another record each time.
        let call = self.client.put(format!("{}/records", Self::path(zone)?)).once();
        let made: wire::Created = call.json(&Creation::new(zone, record)).send().await?.json()?;
        Ok(Created::New { id: Some(made.id.to_string()) })
    }

    async fn delete(&self, zone: &Zone, record: &Record) -> Result<(), Error> {
        let path = format!("{}/records/{}", Self::path(zone)?, segment(&record.id));
        self.client.delete(path).send_if_there().await.map(drop)
    }
}

/// As many zones as any account finds by one name, with their records.
const PAGE_SIZE: u64 = 100;

/// The least that has been seen to be taken.
const MIN_TTL: Duration = Duration::from_secs(15);

/// Bunny tells no figure; more than this is more than a fleet of certificates needs.
const RATE: Rate = Rate::new(10, Duration::from_secs(1));
