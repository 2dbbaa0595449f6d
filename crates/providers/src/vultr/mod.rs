//! Vultr: API v2.
//!
//! Records are created and deleted one by one. Two equal records are two records there, so what is there is
//! read before anything is added, every page of it.
//!
//! ```
//! use perennial_providers::vultr::Vultr;
//!
//! let provider = Vultr::builder("K3Y").zone("example.com".parse()?).build()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The key is a user's who may manage DNS; it works from the networks only that its access control names.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use perennial_core::DomainName;
use serde::{Deserialize, Serialize};

use crate::{
    Capabilities, Error, Rate, WriteClass, Zone,
    engine::{self, Created, NewRecord, Page, Record, RecordApi, Records, Settings, Vendor},
    txt,
    vendor::{Answer, Bearer, Client, Complaint, Credential, segment},
};

mod options;
pub use options::factory;

/// The [`kind`](crate::DnsProvider::kind) of this provider.
pub const KIND: &str = "vultr";

const BASE_URL: &str = "https://api.vultr.com/v2";

/// Who may do what is needed, for the error when it may not.
const NEEDS: &str = "a user with the permission Manage DNS, from a network that its access control names";

/// 30 requests a second.
const RATE: Rate = Rate::new(30, Duration::from_secs(1));

/// The most on a page.
const PER_PAGE: &str = "500";

/// Vultr's API v2.
#[derive(Clone)]
pub struct Vultr(Arc<Records<Api>>);

engine::forward!(Vultr, "Vultr");

impl Vultr {
    /// Begins a provider with an API key.
    pub fn builder(token: impl Into<Credential>) -> VultrBuilder {
        let client = Client::builder(KIND, BASE_URL, Bearer::new(token.into()))
            .complaints(complaint)
            .needs(NEEDS)
            .rate(RATE);
        VultrBuilder { client, settings: Settings::new() }
    }

    /// A provider as the environment describes it: `PERENNIAL_VULTR_TOKEN` or `…_TOKEN_FILE`, and the other
    /// options.
    ///
    /// # Errors
    /// [`Error::Config`] that names the variable and the remedy.
    pub fn from_env() -> Result<Self, Error> {
        options::from_options(&factory().options_from_env(KIND)?)
    }
}

engine::builder!(VultrBuilder, Vultr, |client, settings| Records::new(Api { client }, settings));

struct Api {
    client: Client,
}

#[derive(Deserialize)]
struct RecordPage {
    records: Vec<DomainRecord>,
    meta: Meta,
}

#[derive(Deserialize)]
struct Meta {
    links: Links,
}

#[derive(Deserialize)]
struct Links {
    next: String,
}

#[derive(Deserialize)]
struct DomainRecord {
    id: String,
    r#type: String,
    name: String,
    data: String,
    ttl: Option<u64>,
}

#[derive(Serialize)]
struct NewDomainRecord<'r> {
    r#type: &'r str,
    name: &'r str,
    data: String,
    ttl: u64,
}

#[derive(Deserialize)]
struct CreatedRecord {
    record: Identified,
}

#[derive(Deserialize)]
struct Identified {
    id: String,
}

#[derive(Deserialize)]
struct Fault {
    error: String,
}

fn complaint(answer: &Answer) -> Option<Complaint> {
    let complaint = Complaint::of_status(answer)?;
    Some(match answer.json_if_any::<Fault>() {
        Some(fault) => complaint.message(fault.error),
        None => complaint,
    })
}

fn domain_path(apex: &DomainName) -> String {
    format!("/domains/{}", segment(apex.as_str()))
}

#[async_trait]
impl Vendor for Api {
    fn kind(&self) -> &str {
        KIND
    }

    fn capabilities(&self) -> Capabilities {
        // Two minutes is the least that is taken.
        Capabilities::new(WriteClass::RecordByRecord)
            .batch_max(100)
            .min_ttl(Duration::from_secs(120))
            .rate(RATE)
    }

    fn account(&self) -> String {
        self.client.base_url().to_owned()
    }

    fn zones_have_no_id(&self) -> bool {
        true
    }

    async fn zone_named(&self, apex: &DomainName) -> Result<Option<Zone>, Error> {
        let found = self.client.get(domain_path(apex)).send_if_there().await?;
        Ok(found.map(|_| Zone::new(apex.clone())))
    }
}

#[async_trait]
impl RecordApi for Api {
    async fn records(&self, zone: &Zone, _: &[DomainName]) -> Result<Vec<Record>, Error> {
        let path = format!("{}/records", domain_path(&zone.apex));
        let fetch = async |cursor: Option<String>| {
            let mut call = self.client.get(&path).query("per_page", PER_PAGE);
            if let Some(cursor) = &cursor {
                call = call.query("cursor", cursor);
            }
            let RecordPage { records, meta } = call.send().await?.json()?;
            Ok(Page { items: records, next: Some(meta.links.next).filter(|next| !next.is_empty()) })
        };
        let all = engine::pages(KIND, fetch).await?;
        let texts = all.into_iter().filter(|record| record.r#type == "TXT");
        Ok(texts
            .filter_map(|it| {
                let (name, ttl) = (zone.absolute(&it.name)?, it.ttl.map(Duration::from_secs));
                Some(Record::new(it.id, name, txt::unquote(&it.data), ttl))
            })
            .collect())
    }

    async fn create(&self, zone: &Zone, record: &NewRecord) -> Result<Created, Error> {
        let body = NewDomainRecord {
            r#type: "TXT",
            name: zone.relative(&record.name),
            data: txt::quote(&record.value),
            ttl: record.ttl.as_secs(),
        };
        let path = format!("{}/records", domain_path(&zone.apex));
        let created: CreatedRecord = self.client.post(path).json(&body).send().await?.json()?;
        Ok(Created::New { id: Some(created.record.id) })
    }

    async fn delete(&self, zone: &Zone, record: &Record) -> Result<(), Error> {
        let path = format!("{}/records/{}", domain_path(&zone.apex), segment(&record.id));
        self.client.delete(path).send_if_there().await.map(drop)
    }
}
