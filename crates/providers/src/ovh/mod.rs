//! OVHcloud: zones of its API v1.
//!
//! Records are created and deleted one by one; a zone is put into force after each write (`refresh`), or nothing of it
//! is ever served.
//!
//! ```
//! use perennial_providers::{credentials::ovh::{Access, Region}, ovh::{KIND, Ovh}};
//!
//! let access = Access::builder(KIND, Region::Europe)
//!     .consumer_key("application", "s3cret".into(), "consumer".into())?;
//! let provider = Ovh::builder(access, Region::Europe).zone("example.com".parse()?).build()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use perennial_core::DomainName;
use serde::{Deserialize, Serialize};

use crate::{
    Capabilities, Error, WriteClass, Zone,
    credentials::ovh::{Access, Region},
    engine::{self, Created, NewRecord, Record, RecordApi, Records, Settings, Survey, Vendor},
    txt,
    vendor::{Answer, Blame, Client, Complaint, segment},
};

mod options;
pub use options::factory;

/// The [`kind`](crate::DnsProvider::kind) of this provider.
pub const KIND: &str = "ovh";

/// Who may do what is needed, for the error when it may not.
const NEEDS: &str = "GET /domain/zone, GET and POST /domain/zone/*, and DELETE /domain/zone/*/record/*";

/// Zones of OVHcloud.
#[derive(Clone)]
pub struct Ovh(Arc<Records<Api>>);

engine::forward!(Ovh, "Ovh");

impl Ovh {
    /// Begins a provider with whoever has access to a region.
    pub fn builder(access: Access, region: Region) -> OvhBuilder {
        let client = Client::builder(KIND, region.base_url(), access).complaints(complaint).needs(NEEDS);
        OvhBuilder { client, settings: Settings::new() }
    }

    /// A provider as the environment describes it: `PERENNIAL_OVH_APPLICATION_KEY`, `…_APPLICATION_SECRET` and
    /// `…_CONSUMER_KEY`, or `…_CLIENT_ID` and `…_CLIENT_SECRET`, and the other options.
    ///
    /// # Errors
    /// [`Error::Config`] that names the variable and the remedy.
    pub fn from_env() -> Result<Self, Error> {
        options::from_options(&factory().options_from_env(KIND)?)
    }
}

engine::builder!(OvhBuilder, Ovh, |client, settings| Records::new(Api { client }, settings));

struct Api {
    client: Client,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ZoneRecord {
    id: u64,
    /// Below the apex; nothing, or null, at it.
    sub_domain: Option<String>,
    target: String,
    ttl: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NewZoneRecord<'r> {
    field_type: &'r str,
    sub_domain: &'r str,
    target: String,
    ttl: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fault {
    #[serde(default)]
    message: String,
    error_code: Option<String>,
}

fn complaint(answer: &Answer) -> Option<Complaint> {
    let mut complaint = Complaint::of_status(answer)?;
    if let Some(id) = answer.header("x-ovh-queryid") {
        complaint = complaint.request_id(id);
    }
    if answer.status().as_u16() == 423 {
        // The zone is being put into force just now.
        complaint = complaint.blame(Blame::Unavailable);
    }
    let Some(Fault { message, error_code }) = answer.json_if_any() else { return Some(complaint) };
    let complaint = complaint.message(message);
    let Some(code) = error_code else { return Some(complaint) };
    let blame = match code.as_str() {
        "INVALID_CREDENTIAL" | "INVALID_KEY" | "INVALID_SIGNATURE" | "NOT_CREDENTIAL" | "QUERY_TIME_OUT" => {
            Some(Blame::Auth)
        }
        "NOT_GRANTED_CALL" => Some(Blame::Permission),
        _ => None,
    };
    let complaint = complaint.code(code);
    Some(match blame {
        Some(blame) => complaint.blame(blame),
        None => complaint,
    })
}

impl Api {
    fn path(zone: &Zone, rest: &str) -> String {
        format!("/domain/zone/{}{rest}", segment(zone.apex.as_str()))
    }
}

#[async_trait]
impl Vendor for Api {
    fn kind(&self) -> &str {
        KIND
    }

    fn capabilities(&self) -> Capabilities {
        // A refresh takes seconds, and sometimes a minute.
        Capabilities::new(WriteClass::RecordByRecord)
            .batch_max(100)
            .min_ttl(Duration::from_secs(60))
            .propagation(Duration::from_secs(5), Duration::from_secs(300))
    }

    fn account(&self) -> String {
        self.client.base_url().to_owned()
    }

    fn zones_have_no_id(&self) -> bool {
        true
    }

    async fn shown(&self, names: Vec<DomainName>) -> Vec<DomainName> {
        self.client.shown(names).await
    }

    async fn survey(&self, _: &DomainName) -> Result<Survey, Error> {
        let zones: Vec<String> = self.client.get("/domain/zone").send().await?.json()?;
        // A name that is none of ours to understand is none that we are asked about.
        Ok(Survey::All(zones.iter().filter_map(|zone| Some(Zone::new(zone.parse().ok()?))).collect()))
    }

    async fn zone_named(&self, apex: &DomainName) -> Result<Option<Zone>, Error> {
        let zone = Zone::new(apex.clone());
        Ok(self.client.get(Self::path(&zone, "")).send_if_there().await?.map(|_| zone))
    }
}

#[async_trait]
impl RecordApi for Api {
    async fn records(&self, zone: &Zone, names: &[DomainName]) -> Result<Vec<Record>, Error> {
        let mut records = Vec::new();
        for name in names {
            let call = self.client.get(Self::path(zone, "/record")).query("fieldType", "TXT");
            let ids: Vec<u64> = call.query("subDomain", zone.relative(name)).send().await?.json()?;
            for id in ids {
                // One that is gone by now is gone.
                let found =
                    self.client.get(Self::path(zone, &format!("/record/{id}"))).send_if_there().await?;
                let Some(answer) = found else { continue };
                let found: ZoneRecord = answer.json()?;
                let owner = zone.absolute(found.sub_domain.as_deref().unwrap_or_default());
                let Some(owner) = owner else { continue };
                let ttl = found.ttl.filter(|ttl| *ttl > 0).map(Duration::from_secs);
                records.push(Record::new(found.id.to_string(), owner, txt::unquote(&found.target), ttl));
            }
        }
        Ok(records)
    }

    async fn create(&self, zone: &Zone, record: &NewRecord) -> Result<Created, Error> {
        let body = NewZoneRecord {
            field_type: "TXT",
            sub_domain: zone.relative(&record.name),
            target: txt::quote(&record.value),
            ttl: record.ttl.as_secs(),
        };
        let created: ZoneRecord =
            self.client.post(Self::path(zone, "/record")).json(&body).send().await?.json()?;
        Ok(Created::New { id: Some(created.id.to_string()) })
    }

    async fn delete(&self, zone: &Zone, record: &Record) -> Result<(), Error> {
        let path = Self::path(zone, &format!("/record/{}", segment(&record.id)));
        self.client.delete(path).send_if_there().await.map(drop)
    }

    async fn publish(&self, zone: &Zone) -> Result<Option<String>, Error> {
        self.client.post(Self::path(zone, "/refresh")).repeatable().send().await?;
        Ok(None)
    }
}
