//! DigitalOcean: API v2.
//!
//! Records are created and deleted one by one. Two equal records are two records there, so what is there is
//! read before anything is added; a page has twenty records unless more are asked for, so they are, and every
//! page is read.
//!
//! ```
//! use perennial_providers::digitalocean::DigitalOcean;
//!
//! let provider = DigitalOcean::builder("dop_v1_t0k3n").zone("example.com".parse()?).build()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The token needs the scopes `domain:read`, `domain:create` and `domain:delete`.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use perennial_core::DomainName;
use serde::{Deserialize, Serialize};

use crate::{
    Capabilities, Error, Rate, WriteClass, Zone,
    engine::{self, Created, NewRecord, Page, Record, RecordApi, Records, Settings, Survey, Vendor},
    vendor::{Answer, Bearer, Client, Complaint, Credential, segment},
};

mod options;
pub use options::factory;

/// The [`kind`](crate::DnsProvider::kind) of this provider.
pub const KIND: &str = "digitalocean";

const BASE_URL: &str = "https://api.digitalocean.com";

/// Who may do what is needed, for the error when it may not.
const NEEDS: &str = "the scopes domain:read, domain:create and domain:delete";

/// DigitalOcean's API v2.
#[derive(Clone)]
pub struct DigitalOcean(Arc<Records<Api>>);

engine::forward!(DigitalOcean, "DigitalOcean");

impl DigitalOcean {
    /// Begins a provider with a personal access token.
    pub fn builder(token: impl Into<Credential>) -> DigitalOceanBuilder {
        let client = Client::builder(KIND, BASE_URL, Bearer::new(token.into()))
            .complaints(complaint)
            .needs(NEEDS)
            .rate(RATE);
        DigitalOceanBuilder { client, settings: Settings::new() }
    }

    /// A provider as the environment describes it: `PERENNIAL_DIGITALOCEAN_TOKEN` or `…_TOKEN_FILE`, and the
    /// other options.
    ///
    /// # Errors
    /// [`Error::Config`] that names the variable and the remedy.
    pub fn from_env() -> Result<Self, Error> {
        options::from_options(&factory().options_from_env(KIND)?)
    }
}

/// 250 requests a minute, of the 5000 an hour that there are.
const RATE: Rate = Rate::new(250, Duration::from_secs(60));

engine::builder!(DigitalOceanBuilder, DigitalOcean, |client, settings| {
    Records::new(Api { client }, settings)
});

struct Api {
    client: Client,
}

#[derive(Deserialize)]
struct DomainPage {
    domains: Vec<Domain>,
    #[serde(default)]
    links: Links,
}

#[derive(Deserialize)]
struct Domain {
    name: String,
}

#[derive(Deserialize)]
struct RecordPage {
    domain_records: Vec<DomainRecord>,
    #[serde(default)]
    links: Links,
}

/// An empty object on the only page.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Links {
    pages: Pages,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Pages {
    next: Option<String>,
}

impl Links {
    /// The page after this one. How many items are on a page is the vendor's decision, whatever was asked for.
    fn after(&self, page: usize) -> Option<String> {
        self.pages.next.as_ref().map(|_| (page + 1).to_string())
    }
}

#[derive(Deserialize)]
struct DomainRecord {
    id: u64,
    name: String,
    data: String,
    ttl: Option<u64>,
}

#[derive(Deserialize)]
struct CreatedRecord {
    domain_record: Identified,
}

#[derive(Deserialize)]
struct Identified {
    id: u64,
}

#[derive(Serialize)]
struct NewDomainRecord<'r> {
    r#type: &'r str,
    name: String,
    data: &'r str,
    ttl: u64,
}

#[derive(Deserialize)]
struct Fault {
    id: String,
    message: String,
    request_id: Option<String>,
}

fn complaint(answer: &Answer) -> Option<Complaint> {
    let complaint = Complaint::of_status(answer)?;
    let Some(fault) = answer.json_if_any::<Fault>() else { return Some(complaint) };
    let complaint = complaint.code(fault.id).message(fault.message);
    Some(match fault.request_id {
        Some(id) => complaint.request_id(id),
        None => complaint,
    })
}

/// The most on a page.
const PER_PAGE: usize = 200;

/// More domains than an account is asked to list; beyond it they are looked up one by one.
const MOST_DOMAIN_PAGES: usize = 5;

#[async_trait]
impl Vendor for Api {
    fn kind(&self) -> &str {
        KIND
    }

    fn capabilities(&self) -> Capabilities {
        // Their own servers have it within seconds. Thirty seconds is the least that is documented.
        Capabilities::new(WriteClass::RecordByRecord)
            .batch_max(100)
            .min_ttl(Duration::from_secs(30))
            .propagation(Duration::from_secs(2), Duration::from_secs(60))
            .rate(RATE)
    }

    fn account(&self) -> String {
        self.client.base_url().to_owned()
    }

    fn zones_have_no_id(&self) -> bool {
        true
    }

    async fn zone_named(&self, apex: &DomainName) -> Result<Option<Zone>, Error> {
        let found =
            self.client.get(format!("/v2/domains/{}", segment(apex.as_str()))).send_if_there().await?;
        Ok(found.map(|_| Zone::new(apex.clone())))
    }

    async fn shown(&self, names: Vec<DomainName>) -> Vec<DomainName> {
        self.client.shown(names).await
    }

    async fn survey(&self, _: &DomainName) -> Result<Survey, Error> {
        let mut zones = Vec::new();
        for page in 1..=MOST_DOMAIN_PAGES {
            let call = self.client.get("/v2/domains").query("per_page", PER_PAGE.to_string());
            let list: DomainPage = call.query("page", page.to_string()).send().await?.json()?;
            // A name that is none of ours to understand is none that we are asked about.
            zones.extend(list.domains.iter().filter_map(|it| Some(Zone::new(it.name.parse().ok()?))));
            if list.links.after(page).is_none() {
                return Ok(Survey::All(zones));
            }
        }
        Ok(Survey::Walk)
    }
}

#[async_trait]
impl RecordApi for Api {
    async fn records(&self, zone: &Zone, names: &[DomainName]) -> Result<Vec<Record>, Error> {
        // A few names are asked for one by one, many by the list of the zone.
        let filters: Vec<_> = match names {
            few if few.len() <= 3 => few.iter().map(Some).collect(),
            _ => vec![None],
        };
        let mut records = Vec::new();
        for name in filters {
            let fetch = async |cursor: Option<String>| {
                let page = cursor.as_deref().map_or(Ok(1), str::parse).unwrap_or(1);
                let mut call =
                    self.client.get(format!("/v2/domains/{}/records", segment(zone.apex.as_str())));
                call = call.query("type", "TXT").query("per_page", PER_PAGE.to_string());
                if let Some(name) = name {
                    call = call.query("name", name.as_str());
                }
                let list: RecordPage = call.query("page", page.to_string()).send().await?.json()?;
                Ok(Page { next: list.links.after(page), items: list.domain_records })
            };
            let found = engine::pages(KIND, fetch).await?;
            records.extend(found.into_iter().filter_map(|it| {
                let name = zone.absolute(&it.name)?;
                Some(Record::new(it.id.to_string(), name, it.data, it.ttl.map(Duration::from_secs)))
            }));
        }
        Ok(records)
    }

    async fn create(&self, zone: &Zone, record: &NewRecord) -> Result<Created, Error> {
        let body = NewDomainRecord {
            r#type: "TXT",
            // Absolute: a relative name could be taken for one that ends in the zone's.
            name: format!("{}.", record.name),
            data: &record.value,
            ttl: record.ttl.as_secs(),
        };
        let path = format!("/v2/domains/{}/records", segment(zone.apex.as_str()));
        let created: CreatedRecord = self.client.post(path).json(&body).send().await?.json()?;
        Ok(Created::New { id: Some(created.domain_record.id.to_string()) })
    }

    async fn delete(&self, zone: &Zone, record: &Record) -> Result<(), Error> {
        let apex = segment(zone.apex.as_str());
        let path = format!("/v2/domains/{apex}/records/{}", segment(&record.id));
        self.client.delete(path).send_if_there().await.map(drop)
    }
}
