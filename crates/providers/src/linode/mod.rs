//! Linode (Akamai Cloud): API v4.
//!
//! Records are created and deleted one by one. Two equal records are two records there, so what is there is
//! read before anything is added, every page of it.
//!
//! ```
//! use perennial_providers::linode::Linode;
//!
//! let provider = Linode::builder("t0k3n").zone("example.com".parse()?).build()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The token needs the scope `domains:read_write`.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use perennial_core::DomainName;
use serde::{Deserialize, Serialize};

use crate::{
    Capabilities, Error, Rate, WriteClass, Zone,
    engine::{self, Created, NewRecord, Page, Record, RecordApi, Records, Settings, Vendor},
    vendor::{Answer, Bearer, Client, Complaint, Credential, segment},
};

mod options;
pub use options::factory;

/// The [`kind`](crate::DnsProvider::kind) of this provider.
pub const KIND: &str = "linode";

const BASE_URL: &str = "https://api.linode.com/v4";

/// Who may do what is needed, for the error when it may not.
const NEEDS: &str = "the scope domains:read_write";

/// 200 requests a minute are documented for lists, more for the rest.
const RATE: Rate = Rate::new(200, Duration::from_secs(60));

/// The most on a page.
const PER_PAGE: &str = "500";

/// The times to live that there are, in seconds: the vendor rounds up to the next of them.
const TTLS: [u64; 14] =
    [30, 120, 300, 3600, 7200, 14400, 28800, 57600, 86400, 172_800, 345_600, 604_800, 1_209_600, 2_419_200];

/// Linode's API v4.
#[derive(Clone)]
pub struct Linode(Arc<Records<Api>>);

engine::forward!(Linode, "Linode");

impl Linode {
    /// Begins a provider with a personal access token.
    pub fn builder(token: impl Into<Credential>) -> LinodeBuilder {
        let client = Client::builder(KIND, BASE_URL, Bearer::new(token.into()))
            .complaints(complaint)
            .needs(NEEDS)
            .rate(RATE);
        LinodeBuilder { client, settings: Settings::new() }
    }

    /// A provider as the environment describes it: `PERENNIAL_LINODE_TOKEN` or `…_TOKEN_FILE`, and the other
    /// options.
    ///
    /// # Errors
    /// [`Error::Config`] that names the variable and the remedy.
    pub fn from_env() -> Result<Self, Error> {
        options::from_options(&factory().options_from_env(KIND)?)
    }
}

engine::builder!(LinodeBuilder, Linode, |client, settings| Records::new(Api { client }, settings));

struct Api {
    client: Client,
}

#[derive(Deserialize)]
struct List<T> {
    data: Vec<T>,
    page: u32,
    pages: u32,
}

#[derive(Deserialize)]
struct Domain {
    id: u64,
    domain: String,
}

#[derive(Deserialize)]
struct DomainRecord {
    id: u64,
    r#type: String,
    name: String,
    target: String,
    ttl_sec: u64,
}

#[derive(Deserialize)]
struct Identified {
    id: u64,
}

#[derive(Serialize)]
struct NewDomainRecord<'r> {
    r#type: &'r str,
    /// None at the apex: an empty one is not allowed.
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'r str,
    target: &'r str,
    ttl_sec: u64,
}

#[derive(Serialize)]
struct Filter<'f> {
    domain: &'f str,
}

#[derive(Deserialize)]
struct Complained {
    errors: Vec<Fault>,
}

#[derive(Deserialize)]
struct Fault {
    field: Option<String>,
    reason: String,
}

fn complaint(answer: &Answer) -> Option<Complaint> {
    let complaint = Complaint::of_status(answer)?;
    let Some(Complained { errors }) = answer.json_if_any::<Complained>() else { return Some(complaint) };
    let said = errors.iter().map(|fault| match &fault.field {
        Some(field) => format!("{field}: {}", fault.reason),
        None => fault.reason.clone(),
    });
    Some(complaint.message(said.collect::<Vec<_>>().join("; ")))
}

fn records_path(zone: &Zone) -> String {
    format!("/domains/{}/records", segment(zone.id.as_deref().unwrap_or_default()))
}

/// Records are below their zone: where they are not found, the zone is not.
fn without_zone(zone: &Zone, error: Error) -> Error {
    match error.status() {
        Some(404) => Error::ZoneNotFound {
            provider: KIND.to_owned(),
            name: zone.apex.clone(),
            tried: vec![zone.apex.clone()],
            reason: format!("there is no domain with the identifier of {zone}, or not for this token"),
        },
        _ => error,
    }
}

#[async_trait]
impl Vendor for Api {
    fn kind(&self) -> &str {
        KIND
    }

    fn capabilities(&self) -> Capabilities {
        // Zones are published every few minutes, within a quarter of an hour by their own word.
        Capabilities::new(WriteClass::RecordByRecord)
            .batch_max(100)
            .min_ttl(Duration::from_secs(30))
            .propagation(Duration::from_secs(10), Duration::from_secs(15 * 60))
            .rate(RATE)
    }

    fn account(&self) -> String {
        self.client.base_url().to_owned()
    }

    async fn zone_named(&self, apex: &DomainName) -> Result<Option<Zone>, Error> {
        let filter = serde_json::to_string(&Filter { domain: apex.as_str() }).unwrap_or_default();
        let answer = self.client.get("/domains").header("x-filter", filter).send().await?;
        let domains = answer.json::<List<Domain>>()?.data;
        let found = domains.iter().find(|domain| domain.domain.eq_ignore_ascii_case(apex.as_str()));
        Ok(found.map(|domain| Zone::new(apex.clone()).with_id(domain.id.to_string())))
    }
}

#[async_trait]
impl RecordApi for Api {
    async fn records(&self, zone: &Zone, _: &[DomainName]) -> Result<Vec<Record>, Error> {
        let fetch = async |cursor: Option<String>| {
            let page = cursor.as_deref().unwrap_or("1");
            let call = self.client.get(records_path(zone)).query("page_size", PER_PAGE).query("page", page);
            let answer = call.send().await.map_err(|error| without_zone(zone, error))?;
            let list: List<DomainRecord> = answer.json()?;
            let next = (list.page < list.pages).then(|| list.page.saturating_add(1).to_string());
            Ok(Page { items: list.data, next })
        };
        let all = engine::pages(KIND, fetch).await?;
        let texts = all.into_iter().filter(|record| record.r#type == "TXT");
        Ok(texts
            .filter_map(|it| {
                let name = zone.absolute(&it.name)?;
                // Zero is the zone's own.
                let ttl = (it.ttl_sec > 0).then(|| Duration::from_secs(it.ttl_sec));
                Some(Record::new(it.id.to_string(), name, it.target, ttl))
            })
            .collect())
    }

    async fn create(&self, zone: &Zone, record: &NewRecord) -> Result<Created, Error> {
        let wanted = record.ttl.as_secs();
        let body = NewDomainRecord {
            r#type: "TXT",
            name: zone.relative(&record.name),
            target: &record.value,
            ttl_sec: TTLS.into_iter().find(|ttl| *ttl >= wanted).unwrap_or(wanted),
        };
        let answer = self.client.post(records_path(zone)).json(&body).send().await;
        let created: Identified = answer.map_err(|error| without_zone(zone, error))?.json()?;
        Ok(Created::New { id: Some(created.id.to_string()) })
    }

    async fn delete(&self, zone: &Zone, record: &Record) -> Result<(), Error> {
        let path = format!("{}/{}", records_path(zone), segment(&record.id));
        self.client.delete(path).send_if_there().await.map(drop)
    }
}
