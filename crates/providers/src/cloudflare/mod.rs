//! Cloudflare: API v4.
//!
//! Records are created and deleted one by one, or up to two hundred in one batch that is one transaction. A
//! second equal record is refused, so adding needs no look first: fifty names with two values each are one
//! request.
//!
//! ```
//! use perennial_providers::cloudflare::Cloudflare;
//!
//! let provider = Cloudflare::builder("t0k3n").zone("example.com".parse()?).build()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The token needs Zone / DNS / Edit, and Zone / Zone / Read unless the zone's identifier is given; one zone is
//! enough. The second can be another token's ([`zone_token`](CloudflareBuilder::zone_token)), so that the one
//! that writes can see nothing. Global API keys are not taken: they may do everything.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use perennial_core::DomainName;

use crate::{
    Capabilities, Error, Rate, WriteClass, Zone,
    engine::{self, Created, NewRecord, Page, Record, RecordApi, Records, Survey, Vendor},
    vendor::{Client, Credential, segment},
};

mod builder;
pub use builder::CloudflareBuilder;
mod message;
use message::{Batch, BatchDone, DnsRecord, Envelope, Identified, NewDnsRecord, Reference, ZoneEntry};
mod options;
pub use options::factory;

/// The [`kind`](crate::DnsProvider::kind) of this provider.
pub const KIND: &str = "cloudflare";

/// Cloudflare's API v4.
#[derive(Clone)]
pub struct Cloudflare(Arc<Records<Api>>);

engine::forward!(Cloudflare, "Cloudflare");

impl Cloudflare {
    /// Begins a provider with an API token.
    pub fn builder(token: impl Into<Credential>) -> CloudflareBuilder {
        CloudflareBuilder::new(token.into())
    }

    /// A provider as the environment describes it: `PERENNIAL_CLOUDFLARE_TOKEN` or `…_TOKEN_FILE`, and the other
    /// options.
    ///
    /// # Errors
    /// [`Error::Config`] that names the variable and the remedy.
    pub fn from_env() -> Result<Self, Error> {
        options::from_options(&factory().options_from_env(KIND)?)
    }
}

/// 1200 requests in five minutes, of all tokens of a user together; whoever sends more is shut out for the
/// rest of them.
const RATE: Rate = Rate::new(1200, Duration::from_secs(300));

/// What one batch takes on the smallest plan; larger ones take more.
const BATCH: usize = 200;

struct Api {
    client: Client,
    /// Who looks for zones.
    zones: Client,
}

/// The most zones on a page.
const ZONES_PER_PAGE: usize = 50;

/// More zones than these pages hold are looked up one by one.
const MOST_ZONE_PAGES: usize = 4;

/// Few enough that an answer stays far below the limit of a body.
const RECORDS_PER_PAGE: usize = 1000;

/// An identical record exists (the first of a CNAME and others, the second of equal ones).
const IDENTICAL: [&str; 2] = ["81057", "81058"];
/// There is no such record.
const NO_RECORD: &str = "81044";
/// There is no such zone, or this token must not know of it.
const NO_ZONE: [&str; 2] = ["7000", "7003"];

impl Api {
    fn records_path(&self, zone: &Zone) -> Result<String, Error> {
        // An empty identifier would address all zones.
        match zone.id.as_deref().map(str::trim).filter(|id| !id.is_empty()) {
            Some(id) => Ok(format!("/zones/{}/dns_records", segment(id))),
            None => Err(Error::InvalidRequest {
                provider: KIND.to_owned(),
                reason: format!(
                    "the zone {} comes without its identifier; ask for the zone again",
                    zone.apex
                ),
                fault: None,
            }),
        }
    }

    /// What a refusal means, beyond what its status says.
    fn explained(zone: &Zone, error: Error) -> Error {
        match error.code() {
            Some(code) if NO_ZONE.contains(&code) => Error::ZoneNotFound {
                provider: KIND.to_owned(),
                name: zone.apex.clone(),
                tried: vec![zone.apex.clone()],
                reason: format!("there is no zone with the identifier of {zone}, or not for this token"),
            },
            _ => error,
        }
    }

    /// One request for all of it.
    async fn batch(
        &self,
        zone: &Zone,
        deletes: &[Record],
        creates: &[NewRecord],
    ) -> Result<Vec<Created>, Error> {
        let body = Batch {
            deletes: deletes.iter().map(|record| Reference { id: &record.id }).collect(),
            posts: creates.iter().map(NewDnsRecord::from).collect(),
        };
        let path = format!("{}/batch", self.records_path(zone)?);
        let answer = self.client.post(path).json(&body).send().await.map_err(|error| {
            // A record that was to be deleted is gone: the batch was refused as a whole.
            match (error.code(), &error) {
                (Some(NO_RECORD), Error::InvalidRequest { provider, fault, .. }) => Error::Conflict {
                    provider: provider.clone(),
                    what: "a record of the batch".to_owned(),
                    fault: fault.clone(),
                },
                _ => Self::explained(zone, error),
            }
        })?;
        let done: Envelope<BatchDone> = answer.json()?;
        let ids = done.result.posts.into_iter().map(|record| Created::New { id: Some(record.id) });
        Ok(ids.collect())
    }
}

#[async_trait]
impl Vendor for Api {
    fn kind(&self) -> &str {
        KIND
    }

    fn capabilities(&self) -> Capabilities {
        // A minute is the least on all plans but Enterprise. Their servers have it within seconds.
        Capabilities::new(WriteClass::RecordByRecord)
            .batch_max(BATCH)
            .min_ttl(Duration::from_secs(60))
            .propagation(Duration::from_secs(2), Duration::from_secs(60))
            .rate(RATE)
    }

    fn account(&self) -> String {
        self.client.base_url().to_owned()
    }

    /// Credentials are for a zone.
    fn permits_by_name(&self) -> bool {
        false
    }

    async fn zone_named(&self, apex: &DomainName) -> Result<Option<Zone>, Error> {
        let call = self.zones.get("/zones").query("name", apex.as_str());
        let call = call.query("per_page", ZONES_PER_PAGE.to_string());
        let found: Envelope<Vec<ZoneEntry>> = call.send().await?.json()?;
        Ok(found.result.into_iter().find_map(|entry| entry.zone().filter(|zone| zone.apex == *apex)))
    }

    async fn zone_with_id(&self, id: &str) -> Result<Option<Zone>, Error> {
        match self.zones.get(format!("/zones/{}", segment(id))).send().await {
            Ok(answer) => Ok(answer.json::<Envelope<ZoneEntry>>()?.result.zone()),
            Err(error) if error.code().is_some_and(|code| NO_ZONE.contains(&code)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A token for single zones may not list zones: then they are looked up.
    async fn shown(&self, names: Vec<DomainName>) -> Vec<DomainName> {
        self.client.shown(self.zones.shown(names).await).await
    }

    async fn survey(&self, _: &DomainName) -> Result<Survey, Error> {
        let mut zones = Vec::new();
        for page in 1..=MOST_ZONE_PAGES {
            let call = self.zones.get("/zones").query("per_page", ZONES_PER_PAGE.to_string());
            let list: Envelope<Vec<ZoneEntry>> = call.query("page", page.to_string()).send().await?.json()?;
            let last = list.last_page();
            zones.extend(list.result.into_iter().filter_map(ZoneEntry::zone));
            if page >= last {
                return Ok(Survey::All(zones));
            }
            if last > MOST_ZONE_PAGES {
                break;
            }
        }
        Ok(Survey::Walk)
    }
}

#[async_trait]
impl RecordApi for Api {
    fn writes_at_once(&self) -> bool {
        true
    }

    fn refuses_duplicates(&self) -> bool {
        true
    }

    async fn records(&self, zone: &Zone, names: &[DomainName]) -> Result<Vec<Record>, Error> {
        let path = self.records_path(zone)?;
        // A few names are asked for one by one, many by the list of the zone.
        let filters: Vec<_> = match names {
            few if few.len() <= 3 => few.iter().map(Some).collect(),
            _ => vec![None],
        };
        let mut records = Vec::new();
        for name in filters {
            let fetch = async |cursor: Option<String>| {
                let page = cursor.as_deref().map_or(Ok(1), str::parse).unwrap_or(1);
                let mut call = self.client.get(&path).query("type", "TXT");
                call = call.query("per_page", RECORDS_PER_PAGE.to_string());
                if let Some(name) = name {
                    call = call.query("name", name.as_str());
                }
                let answer = call.query("page", page.to_string()).send().await;
                let list: Envelope<Vec<DnsRecord>> =
                    answer.map_err(|error| Self::explained(zone, error))?.json()?;
                let next = (page < list.last_page()).then(|| (page + 1).to_string());
                Ok(Page { items: list.result, next })
            };
            let found = engine::pages(KIND, fetch).await?;
            records.extend(found.into_iter().filter_map(DnsRecord::txt));
        }
        Ok(records)
    }

    async fn create(&self, zone: &Zone, record: &NewRecord) -> Result<Created, Error> {
        let call = self.client.post(self.records_path(zone)?).json(&NewDnsRecord::from(record));
        match call.send().await {
            Ok(answer) => {
                let created: Envelope<Identified> = answer.json()?;
                Ok(Created::New { id: Some(created.result.id) })
            }
            Err(Error::Conflict { fault: Some(fault), .. })
                if fault.code.as_deref().is_some_and(|code| IDENTICAL.contains(&code)) =>
            {
                Ok(Created::Exists)
            }
            Err(error) => Err(Self::explained(zone, error)),
        }
    }

    async fn delete(&self, zone: &Zone, record: &Record) -> Result<(), Error> {
        let path = format!("{}/{}", self.records_path(zone)?, segment(&record.id));
        match self.client.delete(path).send().await {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some(NO_RECORD) => Ok(()),
            Err(error) => Err(Self::explained(zone, error)),
        }
    }

    async fn write(
        &self,
        zone: &Zone,
        deletes: &[Record],
        creates: &[NewRecord],
    ) -> Result<Vec<Created>, Error> {
        match (deletes, creates) {
            ([], [record]) => Ok(vec![self.create(zone, record).await?]),
            ([record], []) => self.delete(zone, record).await.map(|()| Vec::new()),
            (deletes, creates) if deletes.len() + creates.len() <= BATCH => {
                self.batch(zone, deletes, creates).await
            }
            (deletes, creates) => {
                for some in deletes.chunks(BATCH) {
                    self.batch(zone, some, &[]).await?;
                }
                let mut created = Vec::with_capacity(creates.len());
                for some in creates.chunks(BATCH) {
                    created.extend(self.batch(zone, &[], some).await?);
                }
                Ok(created)
            }
        }
    }
}
