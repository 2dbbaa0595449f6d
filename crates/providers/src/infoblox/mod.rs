//! Infoblox NIOS: the WAPI of a grid, from version 2.7 on.
//!
//! Records are created and deleted one by one, by opaque references. Two equal records are refused. A zone is in
//! a view, and the same name may be a zone of several views: the one of the option `view` is written to.
//!
//! ```
//! use perennial_providers::infoblox::Infoblox;
//!
//! let provider = Infoblox::builder("https://grid.example.com", "acme", "s3cret").view("external").build()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The user needs the permission Read/Write for TXT records of the zone, and Read-Only for the zone. A grid
//! often has a certificate of its own: give an [`HttpClient`](perennial_core::HttpClient) that trusts it.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use perennial_core::DomainName;
use serde::{Deserialize, Serialize};

use crate::{
    Capabilities, Error, WriteClass, Zone,
    engine::{self, Created, NewRecord, Page, Record, RecordApi, Records, Settings, Vendor},
    txt,
    vendor::{Answer, Basic, Blame, Client, ClientBuilder, Complaint, Credential, segment},
};

mod options;
pub use options::factory;

/// The [`kind`](crate::DnsProvider::kind) of this provider.
pub const KIND: &str = "infoblox";

/// Who may do what is needed, for the error when it may not.
const NEEDS: &str = "Read/Write for TXT records of the zone, and Read-Only for the zone";

/// Of 2018; newer grids speak all older ones.
const DEFAULT_VERSION: &str = "2.12";

/// What a grid has when nobody made another.
const DEFAULT_VIEW: &str = "default";

/// The most on a page.
const PER_PAGE: &str = "500";

/// The WAPI of an Infoblox grid.
#[derive(Clone)]
pub struct Infoblox(Arc<Records<Api>>);

engine::forward!(Infoblox, "Infoblox");

impl Infoblox {
    /// Begins a provider for the grid at this URL (without `/wapi`), with a user and the password.
    pub fn builder(
        url: impl Into<String>,
        user: impl Into<String>,
        password: impl Into<Credential>,
    ) -> InfobloxBuilder {
        let client =
            Client::builder(KIND, url, Basic::new(user, password.into())).complaints(complaint).needs(NEEDS);
        InfobloxBuilder {
            client,
            settings: Settings::new(),
            view: DEFAULT_VIEW.to_owned(),
            version: DEFAULT_VERSION.to_owned(),
        }
    }

    /// A provider as the environment describes it: `PERENNIAL_INFOBLOX_BASE_URL`, `…_USER`, `…_PASSWORD` or
    /// `…_PASSWORD_FILE`, and the other options.
    ///
    /// # Errors
    /// [`Error::Config`] that names the variable and the remedy.
    pub fn from_env() -> Result<Self, Error> {
        options::from_options(&factory().options_from_env(KIND)?)
    }
}

/// A provider in the making: see [`Infoblox::builder`].
#[must_use = "a builder does nothing until `build`"]
pub struct InfobloxBuilder {
    client: ClientBuilder,
    settings: Settings,
    view: String,
    version: String,
}

engine::setters!(InfobloxBuilder: clock, http, ttl, zone);

impl InfobloxBuilder {
    /// The view of the zones; `default` by default.
    pub fn view(mut self, view: impl Into<String>) -> Self {
        self.view = view.into();
        self
    }

    /// The version of the interface, such as `2.12`, the default: newer grids speak all older ones.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
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
    pub fn build(self) -> Result<Infoblox, Error> {
        let api = Api {
            client: self.client.build()?,
            root: format!("/wapi/v{}", segment(&self.version)),
            view: self.view,
        };
        Ok(Infoblox(Arc::new(Records::new(api, self.settings))))
    }
}

struct Api {
    client: Client,
    root: String,
    view: String,
}

#[derive(Deserialize)]
struct List<T> {
    result: Vec<T>,
    next_page_id: Option<String>,
}

#[derive(Deserialize)]
struct ZoneAuth {
    fqdn: String,
}

#[derive(Deserialize)]
struct RecordTxt {
    _ref: String,
    name: String,
    text: String,
    ttl: Option<u64>,
    #[serde(default)]
    use_ttl: bool,
}

#[derive(Serialize)]
struct NewRecordTxt<'r> {
    name: &'r str,
    text: &'r str,
    view: &'r str,
    ttl: u64,
    use_ttl: bool,
}

#[derive(Deserialize)]
struct Fault {
    code: Option<String>,
    text: Option<String>,
}

fn complaint(answer: &Answer) -> Option<Complaint> {
    let complaint = Complaint::of_status(answer)?;
    let Some(Fault { code, text }) = answer.json_if_any::<Fault>() else { return Some(complaint) };
    let (code, text) = (code.unwrap_or_default(), text.unwrap_or_default());
    let complaint = match code.as_str() {
        // Its status is 400.
        "Client.Ibap.Data.Conflict" => complaint.blame(Blame::Conflict),
        _ => complaint,
    };
    Some(complaint.code(code).message(text))
}

#[async_trait]
impl Vendor for Api {
    fn kind(&self) -> &str {
        KIND
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(WriteClass::RecordByRecord).batch_max(100)
    }

    fn account(&self) -> String {
        format!("{} {}", self.client.base_url(), self.view)
    }

    fn zones_have_no_id(&self) -> bool {
        true
    }

    async fn zone_named(&self, apex: &DomainName) -> Result<Option<Zone>, Error> {
        let call = self.client.get(format!("{}/zone_auth", self.root)).query("fqdn", apex.as_str());
        let answer = call.query("view", &self.view).query("_return_fields", "fqdn").send().await?;
        let found = answer.json::<Vec<ZoneAuth>>()?.iter().any(|zone| zone.fqdn == apex.as_str());
        Ok(found.then(|| Zone::new(apex.clone())))
    }
}

#[async_trait]
impl RecordApi for Api {
    async fn records(&self, _: &Zone, names: &[DomainName]) -> Result<Vec<Record>, Error> {
        let mut records = Vec::new();
        for name in names {
            let fetch = async |cursor: Option<String>| {
                let mut call = self.client.get(format!("{}/record:txt", self.root));
                call = match &cursor {
                    // A page's identifier stands for the whole question.
                    Some(page) => call.query("_page_id", page),
                    None => call
                        .query("name", name.as_str())
                        .query("view", &self.view)
                        .query("_return_fields", "name,text,ttl,use_ttl"),
                };
                let call = call.query("_paging", "1").query("_return_as_object", "1");
                let list: List<RecordTxt> = call.query("_max_results", PER_PAGE).send().await?.json()?;
                Ok(Page { items: list.result, next: list.next_page_id })
            };
            let found = engine::pages(KIND, fetch).await?;
            records.extend(found.into_iter().filter_map(|it| {
                let ttl = it.ttl.filter(|_| it.use_ttl).map(Duration::from_secs);
                Some(Record::new(it._ref, it.name.parse().ok()?, txt::unquote(&it.text), ttl))
            }));
        }
        Ok(records)
    }

    async fn create(&self, _: &Zone, record: &NewRecord) -> Result<Created, Error> {
        let body = NewRecordTxt {
            name: record.name.as_str(),
            text: &record.value,
            view: &self.view,
            ttl: record.ttl.as_secs(),
            use_ttl: true,
        };
        let answer = self.client.post(format!("{}/record:txt", self.root)).json(&body).send().await?;
        Ok(Created::New { id: Some(answer.json::<String>()?) })
    }

    async fn delete(&self, _: &Zone, record: &Record) -> Result<(), Error> {
        // Its slashes are those of the path.
        let reference: Vec<_> = record.id.split('/').map(segment).collect();
        let path = format!("{}/{}", self.root, reference.join("/"));
        self.client.delete(path).send_if_there().await.map(drop)
    }
}
