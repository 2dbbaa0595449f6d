//! IONOS hosting, the DNS of its registrar customers (v1, <https://developer.hosting.ionos.com/docs/dns>).
//!
//! An API key of a customer. IONOS Cloud DNS is another product with another interface.
//!
//! ```
//! use perennial_providers::ionos::Ionos;
//!
//! let provider = Ionos::builder("prefix.secret").build()?;
//! # Ok::<(), perennial_providers::Error>(())
//! ```

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use perennial_core::DomainName;

use crate::{
    Capabilities, Error, Rate, WriteClass, Zone,
    engine::{self, Created, NewRecord, Record, RecordApi, Records, Settings, Survey, Vendor},
    vendor::{Client, Credential, HeaderToken, segment},
};

mod options;
pub use options::factory;
mod wire;
use wire::{Content, Creation, Entry, Listed};

/// The [`kind`](crate::DnsProvider::kind) of this provider.
pub const KIND: &str = "ionos";

const BASE_URL: &str = "https://api.hosting.ionos.com/dns/v1";

/// Who may do what is needed, for the error when it may not.
const NEEDS: &str = "an API key of the customer whose zone it is";

/// The zones of an IONOS hosting customer.
///
/// Records are made and deleted by their identifiers, all new ones of a batch at once. What is made twice
/// exists once, with the identifier of the second time. Clones share the connections and the limit.
#[derive(Clone)]
pub struct Ionos(Arc<Records<Api>>);

engine::forward!(Ionos, "Ionos");

impl Ionos {
    /// Begins a provider with an API key: its public prefix, a dot, and its secret.
    pub fn builder(api_key: impl Into<Credential>) -> IonosBuilder {
        let token = HeaderToken::new("x-api-key", api_key.into());
        let client =
            Client::builder(KIND, BASE_URL, token).complaints(wire::complaint).needs(NEEDS).rate(RATE);
        IonosBuilder { client, settings: Settings::new() }
    }

    /// A provider as the environment describes it: `PERENNIAL_IONOS_API_KEY` or `…_API_KEY_FILE`, and the other
    /// options.
    ///
    /// # Errors
    /// [`Error::Config`] that names the variable and the remedy.
    pub fn from_env() -> Result<Self, Error> {
        options::from_options(&factory().options_from_env(KIND)?)
    }
}

engine::builder!(IonosBuilder, Ionos, |client, settings| Records::new(Api { client }, settings));

engine::setters!(IonosBuilder: zone_id);

struct Api {
    client: Client,
}

impl Api {
    async fn zones(&self) -> Result<Vec<Zone>, Error> {
        let listed: Vec<Listed> = self.client.get("/zones").send().await?.json()?;
        Ok(listed.into_iter().filter_map(Listed::zone).collect())
    }

    /// The path of a zone.
    fn path(zone: &Zone) -> Result<String, Error> {
        let id = zone.id.as_deref().ok_or_else(|| Error::InvalidRequest {
            provider: KIND.to_owned(),
            reason: format!("the zone {zone} has no id; ask for it by a name, or give it as `zone-id`"),
            fault: None,
        })?;
        Ok(format!("/zones/{}", segment(id)))
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
            .propagation(Duration::from_secs(10), Duration::from_secs(900))
    }

    fn account(&self) -> String {
        self.client.base_url().to_owned()
    }

    async fn zone_named(&self, apex: &DomainName) -> Result<Option<Zone>, Error> {
        Ok(self.zones().await?.into_iter().find(|zone| zone.apex == *apex))
    }

    async fn zone_with_id(&self, id: &str) -> Result<Option<Zone>, Error> {
        Ok(self.zones().await?.into_iter().find(|zone| zone.id.as_deref() == Some(id)))
    }

    /// The list has no pages.
    async fn shown(&self, names: Vec<DomainName>) -> Vec<DomainName> {
        self.client.shown(names).await
    }

    async fn survey(&self, _: &DomainName) -> Result<Survey, Error> {
        Ok(Survey::All(self.zones().await?))
    }
}

#[async_trait]
impl RecordApi for Api {
    async fn records(&self, zone: &Zone, names: &[DomainName]) -> Result<Vec<Record>, Error> {
        let call = self.client.get(Self::path(zone)?).query("recordType", "TXT");
        // More than one name is quicker had with the whole list.
        let call = match names {
            [name] => call.query("recordName", name.as_str()),
            _ => call,
        };
        let Some(answer) = call.send_if_there().await? else {
            return Err(Error::ZoneNotFound {
                provider: KIND.to_owned(),
                name: zone.apex.clone(),
                tried: vec![zone.apex.clone()],
                reason: format!("the zone {zone} is not there any more; it is looked for again"),
            });
        };
        let content: Content = answer.json()?;
        Ok(content.records.into_iter().filter_map(Entry::text).collect())
    }

    async fn create(&self, zone: &Zone, record: &NewRecord) -> Result<Created, Error> {
        let made = self.write(zone, &[], std::slice::from_ref(record)).await?;
        Ok(made.into_iter().next().unwrap_or(Created::New { id: None }))
    }

    async fn delete(&self, zone: &Zone, record: &Record) -> Result<(), Error> {
        let path = format!("{}/records/{}", Self::path(zone)?, segment(&record.id));
        self.client.delete(path).send_if_there().await.map(drop)
    }

    async fn write(
        &self,
        zone: &Zone,
        deletes: &[Record],
        creates: &[NewRecord],
    ) -> Result<Vec<Created>, Error> {
        for record in deletes {
            self.delete(zone, record).await?;
        }
        if creates.is_empty() {
            return Ok(Vec::new());
        }
        let bodies: Vec<Creation<'_>> = creates.iter().map(Creation::new).collect();
        // What is made twice exists once.
        let call = self.client.post(format!("{}/records", Self::path(zone)?)).json(&bodies).repeatable();
        let made: Vec<Entry> = call.send().await?.json()?;
        let made: Vec<Record> = made.into_iter().filter_map(Entry::text).collect();
        let id_of = |new: &NewRecord| {
            made.iter().find(|it| it.name == new.name && it.value == new.value).map(|it| it.id.clone())
        };
        Ok(creates.iter().map(|new| Created::New { id: id_of(new) }).collect())
    }
}

/// Five minutes; the least that has been seen to be taken.
const MIN_TTL: Duration = Duration::from_secs(300);

/// IONOS tells no figure; a list and a write for each certificate stay well below this.
const RATE: Rate = Rate::new(5, Duration::from_secs(1));
