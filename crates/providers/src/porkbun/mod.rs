//! Porkbun (API v3, <https://porkbun.com/api/json/v3/documentation>).
//!
//! Two keys, and a switch: each domain, or the whole account, has to be opted in to API access.
//!
//! ```
//! use perennial_providers::porkbun::Porkbun;
//!
//! let provider = Porkbun::builder("pk1_…", "sk1_…").build()?;
//! # Ok::<(), perennial_providers::Error>(())
//! ```

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use perennial_core::DomainName;

use crate::{
    Capabilities, Error, Rate, WriteClass, Zone,
    engine::{self, Created, NewRecord, Record, RecordApi, Records, Settings, Vendor},
    vendor::{Client, Credential, segment},
};

mod keys;
use keys::Keys;
mod options;
pub use options::factory;
mod wire;
use wire::{Creation, Listed, NO_SUCH_DOMAIN, NO_SUCH_RECORD, NOT_CREATED, NOT_OPTED_IN, Nothing};

/// The [`kind`](crate::DnsProvider::kind) of this provider.
pub const KIND: &str = "porkbun";

const BASE_URL: &str = "https://api.porkbun.com/api/json/v3";

/// Who may do what is needed, for the error when it may not.
const NEEDS: &str = "API access, switched on for the domain or for all domains of the account";

/// The domains of a Porkbun account, where it is their DNS host, too.
///
/// Records are made and deleted by their identifiers. Clones share the connections and the limit.
#[derive(Clone)]
pub struct Porkbun(Arc<Records<Api>>);

engine::forward!(Porkbun, "Porkbun");

impl Porkbun {
    /// Begins a provider with an API key (`pk1_…`) and its secret (`sk1_…`).
    pub fn builder(api_key: impl Into<Credential>, secret_api_key: impl Into<Credential>) -> PorkbunBuilder {
        let keys = Keys { api_key: api_key.into(), secret_api_key: secret_api_key.into() };
        let client =
            Client::builder(KIND, BASE_URL, keys).complaints(wire::complaint).needs(NEEDS).rate(RATE);
        PorkbunBuilder { client, settings: Settings::new() }
    }

    /// A provider as the environment describes it: `PERENNIAL_PORKBUN_API_KEY` and `…_SECRET_API_KEY`, or either with
    /// `_FILE`, and the other options.
    ///
    /// # Errors
    /// [`Error::Config`] that names the variable and the remedy.
    pub fn from_env() -> Result<Self, Error> {
        options::from_options(&factory().options_from_env(KIND)?)
    }
}

engine::builder!(PorkbunBuilder, Porkbun, |client, settings| Records::new(Api { client }, settings));

struct Api {
    client: Client,
}

impl Api {
    /// The TXT records of one name.
    async fn texts(&self, zone: &Zone, name: &DomainName) -> Result<Vec<Record>, Error> {
        let path = match zone.relative(name) {
            "" => format!("/dns/retrieveByNameType/{}/TXT", zone.apex),
            relative => format!("/dns/retrieveByNameType/{}/TXT/{relative}", zone.apex),
        };
        let answer = self.client.post(path).json(&Nothing {}).repeatable().send().await?;
        Ok(answer.json::<Listed>()?.texts())
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
            .propagation(Duration::from_secs(10), Duration::from_secs(600))
    }

    fn account(&self) -> String {
        self.client.base_url().to_owned()
    }

    fn zones_have_no_id(&self) -> bool {
        true
    }

    /// The name servers are asked for: a short list that every domain has, and the same right.
    async fn zone_named(&self, apex: &DomainName) -> Result<Option<Zone>, Error> {
        // What cannot be registered is no domain of anybody's.
        if apex.parent().is_none() || !apex.is_host_name() {
            return Ok(None);
        }
        let call = self.client.post(format!("/dns/retrieveByNameType/{apex}/NS")).json(&Nothing {});
        match call.repeatable().send().await {
            Ok(_) => Ok(Some(Zone::new(apex.clone()))),
            // It is theirs; what is missing is told with the first thing that is to be done there.
            Err(error) if error.code() == Some(NOT_OPTED_IN) => Ok(Some(Zone::new(apex.clone()))),
            Err(error) if error.code() == Some(NO_SUCH_DOMAIN) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[async_trait]
impl RecordApi for Api {
    async fn records(&self, zone: &Zone, names: &[DomainName]) -> Result<Vec<Record>, Error> {
        let mut records = Vec::new();
        for name in names {
            records.extend(self.texts(zone, name).await?);
        }
        Ok(records)
    }

    async fn create(&self, zone: &Zone, record: &NewRecord) -> Result<Created, Error> {
        let call = self.client.post(format!("/dns/create/{}", zone.apex));
        match call.json(&Creation::new(zone, record)).send().await {
            Ok(answer) => Ok(Created::New { id: Some(answer.json::<wire::Created>()?.id.to_string()) }),
            // One sentence for three reasons: a look tells the best of them apart.
            Err(error) if error.code() == Some(NOT_CREATED) => {
                let there = self.texts(zone, &record.name).await?;
                match there.iter().any(|it| it.name == record.name && it.value == record.value) {
                    true => Ok(Created::Exists),
                    false => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }

    async fn delete(&self, zone: &Zone, record: &Record) -> Result<(), Error> {
        let id = segment(&record.id);
        let call = self.client.post(format!("/dns/delete/{}/{id}", zone.apex)).json(&Nothing {});
        match call.repeatable().send().await {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some(NO_SUCH_RECORD) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// The least that the documentation allows.
const MIN_TTL: Duration = Duration::from_secs(600);

/// Porkbun tells no figure, and refuses what comes much faster than this.
const RATE: Rate = Rate::new(2, Duration::from_secs(1));
