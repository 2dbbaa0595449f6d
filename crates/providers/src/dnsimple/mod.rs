//! DNSimple: API v2.
//!
//! Records are created and deleted one by one, below the number of an account, which the token itself tells.
//! Whether the vendor's name servers have a zone as it is can be asked.
//!
//! ```
//! use perennial_providers::dnsimple::Dnsimple;
//!
//! let provider = Dnsimple::builder("t0k3n").account("1010").zone("example.com".parse()?).build()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The token is an account's, or a user's with one account; a scoped one needs `zones:*:read` and
//! `zones:*:write`, or the same for single zones.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use perennial_core::DomainName;
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

use crate::{
    Capabilities, Error, Pending, Rate, WriteClass, Zone,
    engine::{self, Created, NewRecord, Page, Record, RecordApi, Records, Settings, Vendor},
    txt,
    vendor::{Answer, Bearer, Client, ClientBuilder, Complaint, Credential, segment},
};

mod options;
pub use options::factory;

/// The [`kind`](crate::DnsProvider::kind) of this provider.
pub const KIND: &str = "dnsimple";

const BASE_URL: &str = "https://api.dnsimple.com/v2";

/// Who may do what is needed, for the error when it may not.
const NEEDS: &str = "the scopes zones:read and zones:write for the zone";

/// 2400 requests an hour.
const RATE: Rate = Rate::new(2400, Duration::from_secs(3600));

/// The most on a page.
const PER_PAGE: &str = "100";

/// DNSimple's API v2.
#[derive(Clone)]
pub struct Dnsimple(Arc<Records<Api>>);

engine::forward!(Dnsimple, "Dnsimple");

impl Dnsimple {
    /// Begins a provider with an API token.
    pub fn builder(token: impl Into<Credential>) -> DnsimpleBuilder {
        let client = Client::builder(KIND, BASE_URL, Bearer::new(token.into()))
            .complaints(complaint)
            .needs(NEEDS)
            .rate(RATE);
        DnsimpleBuilder { client, settings: Settings::new(), account: None }
    }

    /// A provider as the environment describes it: `PERENNIAL_DNSIMPLE_TOKEN` or `…_TOKEN_FILE`, and the other
    /// options.
    ///
    /// # Errors
    /// [`Error::Config`] that names the variable and the remedy.
    pub fn from_env() -> Result<Self, Error> {
        options::from_options(&factory().options_from_env(KIND)?)
    }
}

/// A provider in the making: see [`Dnsimple::builder`].
#[must_use = "a builder does nothing until `build`"]
pub struct DnsimpleBuilder {
    client: ClientBuilder,
    settings: Settings,
    account: Option<String>,
}

engine::setters!(DnsimpleBuilder: base_url, clock, http, ttl, zone);

impl DnsimpleBuilder {
    /// The number of the account, for a user's token with more than one; the token tells by default.
    pub fn account(mut self, number: impl Into<String>) -> Self {
        self.account = Some(number.into());
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
    pub fn build(self) -> Result<Dnsimple, Error> {
        let account = self.account.map_or_else(OnceCell::new, |number| OnceCell::new_with(Some(number)));
        let api = Api { client: self.client.build()?, account };
        Ok(Dnsimple(Arc::new(Records::new(api, self.settings))))
    }
}

struct Api {
    client: Client,
    account: OnceCell<String>,
}

#[derive(Deserialize)]
struct Data<T> {
    data: T,
}

#[derive(Deserialize)]
struct Whoami {
    account: Option<Numbered>,
}

#[derive(Deserialize)]
struct Numbered {
    id: u64,
}

#[derive(Deserialize)]
struct RecordPage {
    data: Vec<ZoneRecord>,
    pagination: Pagination,
}

#[derive(Deserialize)]
struct Pagination {
    current_page: u32,
    total_pages: u32,
}

#[derive(Deserialize)]
struct ZoneRecord {
    id: u64,
    name: String,
    content: String,
    ttl: Option<u64>,
}

#[derive(Serialize)]
struct NewZoneRecord<'r> {
    r#type: &'r str,
    name: &'r str,
    content: &'r str,
    ttl: u64,
}

#[derive(Deserialize)]
struct Distribution {
    distributed: bool,
}

#[derive(Deserialize)]
struct Fault {
    message: String,
    errors: Option<serde_json::Value>,
}

fn complaint(answer: &Answer) -> Option<Complaint> {
    let complaint = Complaint::of_status(answer)?;
    let Some(fault) = answer.json_if_any::<Fault>() else { return Some(complaint) };
    let complaint = match answer.header("x-request-id") {
        Some(id) => complaint.request_id(id),
        None => complaint,
    };
    Some(complaint.message(match fault.errors {
        Some(errors) => format!("{}: {errors}", fault.message),
        None => fault.message,
    }))
}

impl Api {
    /// The number of the account, which an account's token tells, and a user's who has one account.
    async fn account(&self) -> Result<&str, Error> {
        let found = self.account.get_or_try_init(async || {
            let answer = self.client.get("/whoami").send().await?;
            if let Some(account) = answer.json::<Data<Whoami>>()?.data.account {
                return Ok(account.id.to_string());
            }
            let answer = self.client.get("/accounts").send().await?;
            match answer.json::<Data<Vec<Numbered>>>()?.data.as_slice() {
                [account] => Ok(account.id.to_string()),
                accounts => {
                    let numbers: Vec<_> = accounts.iter().map(|account| account.id.to_string()).collect();
                    Err(Error::InvalidRequest {
                        provider: KIND.to_owned(),
                        reason: format!(
                            "the token is for the accounts [{}]; say which one by the option `account`",
                            numbers.join(", ")
                        ),
                        fault: None,
                    })
                }
            }
        });
        found.await.map(String::as_str)
    }

    async fn zone_path(&self, apex: &DomainName) -> Result<String, Error> {
        Ok(format!("/{}/zones/{}", segment(self.account().await?), segment(apex.as_str())))
    }
}

#[async_trait]
impl Vendor for Api {
    fn kind(&self) -> &str {
        KIND
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(WriteClass::RecordByRecord).batch_max(100).reports_in_sync().rate(RATE)
    }

    fn account(&self) -> String {
        self.client.base_url().to_owned()
    }

    fn zones_have_no_id(&self) -> bool {
        true
    }

    async fn zone_named(&self, apex: &DomainName) -> Result<Option<Zone>, Error> {
        let found = self.client.get(self.zone_path(apex).await?).send_if_there().await?;
        Ok(found.map(|_| Zone::new(apex.clone())))
    }

    async fn in_sync(&self, pending: &Pending) -> Result<bool, Error> {
        let path = format!("{}/distribution", self.zone_path(&pending.zone.apex).await?);
        match self.client.get(path).send().await {
            Ok(answer) => Ok(answer.json::<Data<Distribution>>()?.data.distributed),
            // That is how it says that a name server could not be asked just now.
            Err(error) if error.status() == Some(504) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

#[async_trait]
impl RecordApi for Api {
    async fn records(&self, zone: &Zone, names: &[DomainName]) -> Result<Vec<Record>, Error> {
        let path = format!("{}/records", self.zone_path(&zone.apex).await?);
        // A few names are asked for one by one, many by the list of the zone.
        let filters: Vec<_> = match names {
            few if few.len() <= 3 => few.iter().map(Some).collect(),
            _ => vec![None],
        };
        let mut records = Vec::new();
        for name in filters {
            let fetch = async |cursor: Option<String>| {
                let mut call = self.client.get(&path).query("type", "TXT").query("per_page", PER_PAGE);
                if let Some(name) = name {
                    call = call.query("name", zone.relative(name));
                }
                let call = call.query("page", cursor.as_deref().unwrap_or("1"));
                let RecordPage { data, pagination } = call.send().await?.json()?;
                let more = pagination.current_page < pagination.total_pages;
                let next = more.then(|| pagination.current_page.saturating_add(1).to_string());
                Ok(Page { items: data, next })
            };
            let found = engine::pages(KIND, fetch).await?;
            records.extend(found.into_iter().filter_map(|it| {
                let (name, ttl) = (zone.absolute(&it.name)?, it.ttl.map(Duration::from_secs));
                Some(Record::new(it.id.to_string(), name, txt::unquote(&it.content), ttl))
            }));
        }
        Ok(records)
    }

    async fn create(&self, zone: &Zone, record: &NewRecord) -> Result<Created, Error> {
        let body = NewZoneRecord {
            r#type: "TXT",
            name: zone.relative(&record.name),
            content: &record.value,
            ttl: record.ttl.as_secs(),
        };
        let path = format!("{}/records", self.zone_path(&zone.apex).await?);
        match self.client.post(path).json(&body).send().await {
            Ok(answer) => Ok(Created::New { id: Some(answer.json::<Data<Numbered>>()?.data.id.to_string()) }),
            Err(error) if is_duplicate(&error) => Ok(Created::Exists),
            Err(error) => Err(error),
        }
    }

    async fn delete(&self, zone: &Zone, record: &Record) -> Result<(), Error> {
        let path = format!("{}/records/{}", self.zone_path(&zone.apex).await?, segment(&record.id));
        self.client.delete(path).send_if_there().await.map(drop)
    }

    async fn publish(&self, zone: &Zone) -> Result<Option<String>, Error> {
        // The whole zone is what can be asked about.
        Ok(Some(zone.apex.to_string()))
    }
}

/// It has no code for that, only words.
fn is_duplicate(error: &Error) -> bool {
    error.status() == Some(400) && error.to_string().contains("already exists")
}
