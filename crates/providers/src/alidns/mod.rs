//! Alibaba Cloud DNS, API of 2015-01-09.
//!
//! Records are created and deleted one by one; an equal record is refused. `DeleteSubDomainRecords` is never called: it
//! would take siblings along.
//!
//! ```
//! use perennial_providers::alidns::AliDns;
//!
//! let provider = AliDns::builder("LTAIEXAMPLE", "s3cret").zone("example.com".parse()?).build()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use http::Request;
use perennial_core::{DomainName, Timestamp};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    Capabilities, Error, Rate, WriteClass, Zone,
    engine::{self, Created, NewRecord, Page, Record, RecordApi, Records, Settings, Survey, Vendor},
    signature::acs3,
    txt,
    vendor::{Answer, Authorize, Blame, Client, Complaint, Credential, Fingerprint, Secrets},
};

mod options;
pub use options::factory;

/// The [`kind`](crate::DnsProvider::kind) of this provider.
pub const KIND: &str = "alidns";

const BASE_URL: &str = "https://alidns.aliyuncs.com";

/// Who may do what is needed, for the error when it may not.
const NEEDS: &str = "alidns:DescribeDomains, DescribeDomainInfo, DescribeSubDomainRecords, AddDomainRecord and \
                     DeleteDomainRecord";

/// Alibaba Cloud DNS.
#[derive(Clone)]
pub struct AliDns(Arc<Records<Api>>);

engine::forward!(AliDns, "AliDns");

impl AliDns {
    /// Begins a provider with an access key: its id and its secret.
    pub fn builder(key_id: impl Into<Credential>, key_secret: impl Into<Credential>) -> AliDnsBuilder {
        Self::builder_with(Key { id: key_id.into(), secret: key_secret.into(), token: None })
    }

    /// Begins a provider with the key of a session and its token, which nobody renews.
    pub fn builder_with_token(
        key_id: impl Into<Credential>,
        key_secret: impl Into<Credential>,
        token: impl Into<Credential>,
    ) -> AliDnsBuilder {
        Self::builder_with(Key { id: key_id.into(), secret: key_secret.into(), token: Some(token.into()) })
    }

    fn builder_with(key: Key) -> AliDnsBuilder {
        let client = Client::builder(KIND, BASE_URL, key).complaints(complaint).needs(NEEDS).rate(RATE);
        AliDnsBuilder { client, settings: Settings::new() }
    }

    /// A provider as the environment describes it: `PERENNIAL_ALIDNS_ACCESS_KEY_ID`,
    /// `PERENNIAL_ALIDNS_ACCESS_KEY_SECRET`, and the other options.
    ///
    /// # Errors
    /// [`Error::Config`] that names the variable and the remedy.
    pub fn from_env() -> Result<Self, Error> {
        options::from_options(&factory().options_from_env(KIND)?)
    }
}

/// "Up to 1,500 API requests per minute" for a user.
const RATE: Rate = Rate::new(20, Duration::from_secs(1));

engine::builder!(AliDnsBuilder, AliDns, |client, settings| Records::new(Api { client }, settings));

/// An access key of Alibaba Cloud, which signs each request.
struct Key {
    id: Credential,
    secret: Credential,
    token: Option<Credential>,
}

#[async_trait]
impl Authorize for Key {
    async fn authorize(&self, request: &mut Request<Bytes>, now: Timestamp) -> Result<Secrets, Error> {
        let mut credentials = acs3::Credentials::new(self.id.current().expose(), self.secret.current());
        let mut secrets = Secrets::of(self.secret.current());
        if let Some(token) = &self.token {
            credentials = credentials.with_security_token(token.current());
            secrets = secrets.and(token.current());
        }
        let nonce = format!("{:032x}", rand::random::<u128>());
        acs3::sign(request, &credentials, &nonce, now).map_err(|_| Error::Auth {
            provider: KIND.to_owned(),
            reason:
                "the access key id or the token has a character that no header can carry; look for a line \
                     break where it is kept"
                    .to_owned(),
            fault: None,
        })?;
        Ok(secrets)
    }

    fn fingerprint(&self) -> Option<Fingerprint> {
        let (secret, token) = (self.secret.current(), self.token.as_ref().map(Credential::current));
        let who = Fingerprint::of([self.id.current().expose(), secret.expose()]);
        Some(token.map_or(who, |token| who.and([token.expose()])))
    }

    fn signs_time(&self) -> bool {
        true
    }
}

struct Api {
    client: Client,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DomainPage {
    domains: DomainList,
    #[serde(default)]
    total_count: usize,
    /// What was asked for, or less.
    page_size: Option<usize>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DomainList {
    #[serde(default)]
    domain: Vec<Domain>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Domain {
    domain_name: String,
    #[serde(default)]
    puny_code: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RecordPage {
    domain_records: RecordList,
    #[serde(default)]
    total_count: usize,
    /// What was asked for, or less.
    page_size: Option<usize>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RecordList {
    #[serde(default)]
    record: Vec<ListedRecord>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListedRecord {
    record_id: String,
    #[serde(rename = "RR")]
    rr: String,
    #[serde(rename = "Type")]
    kind: String,
    value: String,
    #[serde(rename = "TTL")]
    ttl: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NewId {
    record_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Fault {
    code: String,
    #[serde(default)]
    message: String,
    request_id: Option<String>,
}

fn complaint(answer: &Answer) -> Option<Complaint> {
    let complaint = Complaint::of_status(answer)?;
    let Some(Fault { code, message, request_id }) = answer.json_if_any() else { return Some(complaint) };
    let blame = match code.split('.').next().unwrap_or_default() {
        "Forbidden" | "NoPermission" => Some(Blame::Permission),
        "IncompleteSignature"
        | "InvalidAccessKeyId"
        | "InvalidSecurityToken"
        | "InvalidTimeStamp"
        | "MissingSecurityToken"
        | "SignatureDoesNotMatch"
        | "SignatureNonceUsed" => Some(Blame::Auth),
        "InternalError" | "ServiceUnavailable" => Some(Blame::Unavailable),
        "QuotaExceeded" => Some(Blame::Quota),
        "Throttling" => Some(Blame::RateLimit),
        _ => None,
    };
    let mut complaint = complaint.code(code).message(message);
    if let Some(id) = request_id {
        complaint = complaint.request_id(id);
    }
    Some(match blame {
        Some(blame) => complaint.blame(blame),
        None => complaint,
    })
}

impl Api {
    async fn call<T: DeserializeOwned>(&self, action: &str, parameters: &[(&str, &str)]) -> Result<T, Error> {
        let mut call =
            self.client.post("/").header("x-acs-action", action).header("x-acs-version", "2015-01-09");
        for (name, value) in parameters {
            call = call.query(name, value);
        }
        // Reading twice does no harm; a second equal record is refused, and a second deletion finds nothing.
        call.repeatable().send().await?.json()
    }
}

/// The most records on a page, and the most domains.
const RECORDS_PER_PAGE: usize = 500;
const DOMAINS_PER_PAGE: usize = 100;

/// The page after this one, when it is not the last.
fn next(page: usize, per_page: usize, total: usize, here: usize) -> Option<String> {
    (here > 0 && page.saturating_mul(per_page) < total).then(|| (page + 1).to_string())
}

fn page_of(cursor: Option<&str>) -> usize {
    cursor.and_then(|cursor| cursor.parse().ok()).unwrap_or(1)
}

/// The name below the apex, as this vendor writes it.
fn rr<'n>(zone: &Zone, name: &'n DomainName) -> &'n str {
    match zone.relative(name) {
        "" => "@",
        relative => relative,
    }
}

#[async_trait]
impl Vendor for Api {
    fn kind(&self) -> &str {
        KIND
    }

    fn capabilities(&self) -> Capabilities {
        // Ten minutes are the least of the free edition.
        Capabilities::new(WriteClass::RecordByRecord)
            .batch_max(100)
            .min_ttl(Duration::from_secs(600))
            .propagation(Duration::from_secs(5), Duration::from_secs(180))
            .rate(RATE)
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
        let fetch = async |cursor: Option<String>| {
            let page = page_of(cursor.as_deref());
            let (number, size) = (page.to_string(), DOMAINS_PER_PAGE.to_string());
            let parameters = [("PageNumber", number.as_str()), ("PageSize", size.as_str())];
            let list: DomainPage = self.call("DescribeDomains", &parameters).await?;
            let size = list.page_size.unwrap_or(DOMAINS_PER_PAGE);
            let next = next(page, size, list.total_count, list.domains.domain.len());
            Ok(Page { items: list.domains.domain, next })
        };
        let domains = engine::pages(KIND, fetch).await?;
        let zones = domains.into_iter().filter_map(|domain| {
            let name = if domain.puny_code.is_empty() { &domain.domain_name } else { &domain.puny_code };
            Some(Zone::new(name.parse().ok()?))
        });
        Ok(Survey::All(zones.collect()))
    }

    async fn zone_named(&self, apex: &DomainName) -> Result<Option<Zone>, Error> {
        match self.call::<Value>("DescribeDomainInfo", &[("DomainName", apex.as_str())]).await {
            Ok(_) => Ok(Some(Zone::new(apex.clone()))),
            Err(error) if error.code().is_some_and(|code| code.starts_with("InvalidDomainName")) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[async_trait]
impl RecordApi for Api {
    async fn records(&self, zone: &Zone, names: &[DomainName]) -> Result<Vec<Record>, Error> {
        let mut records = Vec::new();
        for name in names {
            let below = format!("{}.{}", rr(zone, name), zone.apex);
            let fetch = async |cursor: Option<String>| {
                let page = page_of(cursor.as_deref());
                let (number, size) = (page.to_string(), RECORDS_PER_PAGE.to_string());
                let parameters = [
                    ("DomainName", zone.apex.as_str()),
                    ("SubDomain", below.as_str()),
                    ("Type", "TXT"),
                    ("PageNumber", number.as_str()),
                    ("PageSize", size.as_str()),
                ];
                let list: RecordPage = self.call("DescribeSubDomainRecords", &parameters).await?;
                let size = list.page_size.unwrap_or(RECORDS_PER_PAGE);
                let next = next(page, size, list.total_count, list.domain_records.record.len());
                Ok(Page { items: list.domain_records.record, next })
            };
            let found = engine::pages(KIND, fetch).await?;
            records.extend(found.into_iter().filter(|it| it.kind == "TXT").filter_map(|it| {
                let (name, value) = (zone.absolute(&it.rr)?, txt::unquote(&it.value));
                Some(Record::new(it.record_id, name, value, it.ttl.map(Duration::from_secs)))
            }));
        }
        Ok(records)
    }

    async fn create(&self, zone: &Zone, record: &NewRecord) -> Result<Created, Error> {
        let ttl = record.ttl.as_secs().to_string();
        let parameters = [
            ("DomainName", zone.apex.as_str()),
            ("RR", rr(zone, &record.name)),
            ("Type", "TXT"),
            ("Value", record.value.as_str()),
            ("TTL", ttl.as_str()),
        ];
        match self.call::<NewId>("AddDomainRecord", &parameters).await {
            Ok(created) => Ok(Created::New { id: Some(created.record_id) }),
            Err(error) if error.code() == Some("DomainRecordDuplicate") => Ok(Created::Exists),
            Err(error) => Err(error),
        }
    }

    async fn delete(&self, _: &Zone, record: &Record) -> Result<(), Error> {
        match self.call::<Value>("DeleteDomainRecord", &[("RecordId", &record.id)]).await {
            Err(error) if error.code() == Some("DomainRecordNotBelongToUser") => Ok(()),
            done => done.map(drop),
        }
    }
}
