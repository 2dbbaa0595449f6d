//! DNSPod, the DNS of Tencent Cloud: API 3.0 of 2021-03-23.
//!
//! Records are created and deleted one by one; an equal record is refused. Errors come with status 200.
//!
//! ```
//! use perennial_providers::dnspod::Dnspod;
//!
//! let provider = Dnspod::builder("AKIDEXAMPLE", "s3cret").zone("example.com".parse()?).build()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The key needs the policy `QcloudDNSPodFullAccess`, or the five actions that are called.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use http::Request;
use perennial_core::{DomainName, Timestamp};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    Capabilities, Error, Rate, WriteClass, Zone,
    engine::{self, Created, NewRecord, Page, Record, RecordApi, Records, Settings, Survey, Vendor},
    signature::tc3,
    txt,
    vendor::{Answer, Authorize, Blame, Client, Complaint, Credential, Fingerprint, Secrets},
};

mod options;
pub use options::factory;

/// The [`kind`](crate::DnsProvider::kind) of this provider.
pub const KIND: &str = "dnspod";

const BASE_URL: &str = "https://dnspod.tencentcloudapi.com";

/// Who may do what is needed, for the error when it may not.
const NEEDS: &str =
    "dnspod:DescribeDomainList, DescribeDomain, DescribeRecordList, CreateRecord and DeleteRecord";

/// DNSPod's API 3.0.
#[derive(Clone)]
pub struct Dnspod(Arc<Records<Api>>);

engine::forward!(Dnspod, "Dnspod");

impl Dnspod {
    /// Begins a provider with a key: its id and its secret.
    pub fn builder(secret_id: impl Into<Credential>, secret_key: impl Into<Credential>) -> DnspodBuilder {
        Self::builder_with(Key { id: secret_id.into(), secret: secret_key.into(), token: None })
    }

    /// Begins a provider with a temporary key and its token, which nobody renews.
    pub fn builder_with_token(
        secret_id: impl Into<Credential>,
        secret_key: impl Into<Credential>,
        token: impl Into<Credential>,
    ) -> DnspodBuilder {
        Self::builder_with(Key { id: secret_id.into(), secret: secret_key.into(), token: Some(token.into()) })
    }

    fn builder_with(key: Key) -> DnspodBuilder {
        let client = Client::builder(KIND, BASE_URL, key).complaints(complaint).needs(NEEDS).rate(RATE);
        DnspodBuilder { client, settings: Settings::new() }
    }

    /// A provider as the environment describes it: `PERENNIAL_DNSPOD_SECRET_ID`, `PERENNIAL_DNSPOD_SECRET_KEY`, and
    /// the other options.
    ///
    /// # Errors
    /// [`Error::Config`] that names the variable and the remedy.
    pub fn from_env() -> Result<Self, Error> {
        options::from_options(&factory().options_from_env(KIND)?)
    }
}

/// "20 requests a second" for each action.
const RATE: Rate = Rate::new(20, Duration::from_secs(1));

engine::builder!(DnspodBuilder, Dnspod, |client, settings| Records::new(Api { client }, settings));

/// A key of Tencent Cloud, which signs each request.
struct Key {
    id: Credential,
    secret: Credential,
    token: Option<Credential>,
}

#[async_trait]
impl Authorize for Key {
    async fn authorize(&self, request: &mut Request<Bytes>, now: Timestamp) -> Result<Secrets, Error> {
        let mut credentials = tc3::Credentials::new(self.id.current().expose(), self.secret.current());
        let mut secrets = Secrets::of(self.secret.current());
        if let Some(token) = &self.token {
            credentials = credentials.with_token(token.current());
            secrets = secrets.and(token.current());
        }
        tc3::sign(request, &credentials, "dnspod", now).map_err(|_| Error::Auth {
            provider: KIND.to_owned(),
            reason:
                "the secret id or the token has a character that no header can carry; look for a line break \
                     where it is kept"
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

/// What every answer is wrapped in.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Wrapped<T> {
    response: T,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MaybeFault {
    error: Option<Fault>,
    request_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Fault {
    code: String,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DomainList {
    #[serde(default)]
    domain_list: Vec<Domain>,
    domain_count_info: DomainCount,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DomainCount {
    domain_total: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Domain {
    domain_id: u64,
    name: String,
    /// The name in its A-label form, where it has another.
    #[serde(default)]
    punycode: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DomainDetail {
    domain_info: DomainInfo,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DomainInfo {
    domain_id: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RecordList {
    #[serde(default)]
    record_list: Vec<ListedRecord>,
    record_count_info: RecordCount,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RecordCount {
    total_count: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListedRecord {
    record_id: u64,
    name: String,
    #[serde(rename = "Type")]
    kind: String,
    value: String,
    #[serde(rename = "TTL")]
    ttl: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NewId {
    record_id: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CreateRecord<'r> {
    domain: &'r str,
    sub_domain: &'r str,
    record_type: &'r str,
    /// Required, and called otherwise on the international site: the id beside it, which is the same on both, counts.
    record_line: &'r str,
    record_line_id: &'r str,
    value: &'r str,
    #[serde(rename = "TTL")]
    ttl: u64,
}

/// There are errors with status 200, and no others.
fn complaint(answer: &Answer) -> Option<Complaint> {
    let Some(Wrapped { response: MaybeFault { error, request_id } }) = answer.json_if_any() else {
        return Complaint::of_status(answer);
    };
    let Fault { code, message } = error?;
    let blame = match code.split('.').next().unwrap_or_default() {
        "AuthFailure" if code == "AuthFailure.UnauthorizedOperation" => Blame::Permission,
        "AuthFailure" | "UnknownSecretId" => Blame::Auth,
        "FailedOperation" if code.contains("FrequencyLimit") => Blame::RateLimit,
        "InternalError" | "ResourceUnavailable" => Blame::Unavailable,
        "LimitExceeded" => Blame::Quota,
        "OperationDenied" | "UnauthorizedOperation" => Blame::Permission,
        "RequestLimitExceeded" => Blame::RateLimit,
        _ => Blame::Invalid,
    };
    let complaint = Complaint::new(blame).code(code).message(message);
    Some(match request_id {
        Some(id) => complaint.request_id(id),
        None => complaint,
    })
}

impl Api {
    async fn call<T: DeserializeOwned>(&self, action: &str, body: &impl Serialize) -> Result<T, Error> {
        let call = self.client.post("/").header("x-tc-action", action).header("x-tc-version", "2021-03-23");
        // Reading twice does no harm; a second equal record is refused, and a second deletion finds nothing.
        let answer = call.json(body).repeatable().send().await?;
        Ok(answer.json::<Wrapped<T>>()?.response)
    }
}

/// The name below the apex, as this vendor writes it.
fn sub_domain<'n>(zone: &Zone, name: &'n DomainName) -> &'n str {
    match zone.relative(name) {
        "" => "@",
        relative => relative,
    }
}

/// The most on a page.
const PER_PAGE: usize = 3000;

/// What to ask the next page by, which begins where this one ended; none when it was the last.
fn next(offset: usize, here: usize, total: usize) -> Option<String> {
    let end = offset.saturating_add(here);
    (here > 0 && end < total).then(|| end.to_string())
}

fn offset(cursor: Option<&str>) -> usize {
    cursor.and_then(|cursor| cursor.parse().ok()).unwrap_or_default()
}

/// Codes that say that there is no such zone in this account.
const NO_SUCH_ZONE: [&str; 4] = [
    "InvalidParameter.DomainIdInvalid",
    "InvalidParameter.DomainInvalid",
    "InvalidParameterValue.DomainNotExists",
    "ResourceNotFound.NoDataOfDomain",
];

#[async_trait]
impl Vendor for Api {
    fn kind(&self) -> &str {
        KIND
    }

    fn capabilities(&self) -> Capabilities {
        // Ten minutes are the least of the free plan.
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
            let offset = offset(cursor.as_deref());
            let body = json!({ "Offset": offset, "Limit": PER_PAGE });
            let list: DomainList = self.call("DescribeDomainList", &body).await?;
            let next = next(offset, list.domain_list.len(), list.domain_count_info.domain_total);
            Ok(Page { items: list.domain_list, next })
        };
        let domains = engine::pages(KIND, fetch).await?;
        let zones = domains.into_iter().filter_map(|domain| {
            let name = if domain.punycode.is_empty() { &domain.name } else { &domain.punycode };
            Some(Zone::new(name.parse().ok()?).with_id(domain.domain_id.to_string()))
        });
        Ok(Survey::All(zones.collect()))
    }

    async fn zone_named(&self, apex: &DomainName) -> Result<Option<Zone>, Error> {
        match self.call::<DomainDetail>("DescribeDomain", &json!({ "Domain": apex.as_str() })).await {
            Ok(found) => Ok(Some(Zone::new(apex.clone()).with_id(found.domain_info.domain_id.to_string()))),
            Err(error) if error.code().is_some_and(|code| NO_SUCH_ZONE.contains(&code)) => Ok(None),
            Err(error) => Err(error),
        }
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
                let offset = offset(cursor.as_deref());
                let mut body = json!({
                    "Domain": zone.apex.as_str(), "RecordType": "TXT", "Offset": offset, "Limit": PER_PAGE,
                    "ErrorOnEmpty": "no",
                });
                if let (Some(name), Some(body)) = (name, body.as_object_mut()) {
                    body.insert("SubDomain".to_owned(), Value::from(sub_domain(zone, name)));
                }
                let list: RecordList = self.call("DescribeRecordList", &body).await?;
                let next = next(offset, list.record_list.len(), list.record_count_info.total_count);
                Ok(Page { items: list.record_list, next })
            };
            let found = engine::pages(KIND, fetch).await?;
            records.extend(found.into_iter().filter(|it| it.kind == "TXT").filter_map(|it| {
                let (name, value) = (zone.absolute(&it.name)?, txt::unquote(&it.value));
                Some(Record::new(it.record_id.to_string(), name, value, it.ttl.map(Duration::from_secs)))
            }));
        }
        Ok(records)
    }

    async fn create(&self, zone: &Zone, record: &NewRecord) -> Result<Created, Error> {
        let body = CreateRecord {
            domain: zone.apex.as_str(),
            sub_domain: sub_domain(zone, &record.name),
            record_type: "TXT",
            record_line: "默认",
            record_line_id: "0",
            value: &record.value,
            ttl: record.ttl.as_secs(),
        };
        match self.call::<NewId>("CreateRecord", &body).await {
            Ok(created) => Ok(Created::New { id: Some(created.record_id.to_string()) }),
            Err(error) if error.code() == Some("InvalidParameter.DomainRecordExist") => Ok(Created::Exists),
            Err(error) => Err(error),
        }
    }

    async fn delete(&self, zone: &Zone, record: &Record) -> Result<(), Error> {
        let id: u64 = record.id.parse().unwrap_or_default();
        let body = json!({ "Domain": zone.apex.as_str(), "RecordId": id });
        match self.call::<Value>("DeleteRecord", &body).await {
            Err(error) if error.code() == Some("InvalidParameter.RecordIdInvalid") => Ok(()),
            done => done.map(drop),
        }
    }
}
