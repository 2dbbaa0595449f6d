//! DNSPod of Tencent Cloud, API 3.0 of 2021-03-23, as its document has it.

use bytes::Bytes;
use http::{Request, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Refusal, Reply, Service, StoredZone, TxtStore};

/// DNSPod of Tencent Cloud.
///
/// Errors come with status 200. A second equal record is refused, a list that is empty is an error unless that is
/// asked otherwise, a page has 100 records and at most 3,000, and a time to live is ten minutes at least.
pub struct Dnspod {
    secret_id: String,
}

impl Dnspod {
    /// The account of the key with this id.
    #[must_use]
    pub fn new(secret_id: &str) -> Self {
        Self { secret_id: secret_id.to_owned() }
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Parameters {
    domain: Option<String>,
    sub_domain: Option<String>,
    record_type: Option<String>,
    record_line: Option<String>,
    value: Option<String>,
    #[serde(rename = "TTL")]
    ttl: Option<u32>,
    record_id: Option<u64>,
    offset: Option<usize>,
    limit: Option<usize>,
    error_on_empty: Option<String>,
}

type Answered = Result<Value, (&'static str, &'static str)>;

impl Service for Dnspod {
    fn answer(&self, request: &Request<Bytes>, store: &mut TxtStore) -> Response<Bytes> {
        let header =
            |name: &str| request.headers().get(name).and_then(|it| it.to_str().ok()).unwrap_or_default();
        let credential = format!("TC3-HMAC-SHA256 Credential={}/", self.secret_id);
        if !header("authorization").starts_with(&credential) || header("x-tc-timestamp").is_empty() {
            return self.refusal(Refusal::Unauthorized);
        }
        if request.uri().path() != "/" || header("x-tc-version") != "2021-03-23" {
            return fault("InvalidParameter", "the version or the path is wrong");
        }
        let Ok(parameters) = serde_json::from_slice::<Parameters>(request.body()) else {
            return fault("InvalidParameter", "The request body is no JSON.");
        };
        let answered = match header("x-tc-action") {
            "CreateRecord" => create(store, parameters),
            "DeleteRecord" => delete(store, &parameters),
            "DescribeDomain" => zone(store, &parameters).map(|zone| {
                json!({ "DomainInfo": { "Domain": zone.name, "DomainId": number(&zone), "Status": "enable" } })
            }),
            "DescribeDomainList" => Ok(domains(store, &parameters)),
            "DescribeRecordList" => records(store, &parameters),
            _ => Err(("InvalidAction", "The action is unknown.")),
        };
        match answered {
            Ok(mut answer) => {
                if let Some(answer) = answer.as_object_mut() {
                    answer.insert("RequestId".to_owned(), REQUEST_ID.into());
                }
                Reply::json(200, &json!({ "Response": answer }))
            }
            Err((code, message)) => fault(code, message),
        }
    }

    fn refusal(&self, refusal: Refusal) -> Response<Bytes> {
        match refusal {
            Refusal::Busy => fault("RequestLimitExceeded", "Your current request times exceed the limit."),
            Refusal::Forbidden => {
                fault("UnauthorizedOperation", "you are not authorized to perform operation")
            }
            Refusal::Trouble => fault("InternalError", "An internal error has occurred."),
            Refusal::Unauthorized => fault("AuthFailure.SecretIdNotFound", "The SecretId is not found."),
        }
    }

    fn writes(&self, request: &Request<Bytes>) -> bool {
        request.headers().get("x-tc-action").is_some_and(|it| !it.as_bytes().starts_with(b"Describe"))
    }
}

/// The identifier of a zone is a number here.
fn number(zone: &StoredZone) -> u64 {
    u64::from_str_radix(&zone.id, 16).unwrap_or_default()
}

fn zone(store: &TxtStore, parameters: &Parameters) -> Result<StoredZone, (&'static str, &'static str)> {
    let name = parameters.domain.as_deref().ok_or(("MissingParameter", "Domain is required."))?;
    if store.is_forbidden(name) {
        return Err((
            "OperationDenied.NoPermissionToOperateDomain",
            "You have no permission for the domain.",
        ));
    }
    let zone = store.zone_named(name).cloned();
    zone.ok_or(("InvalidParameterValue.DomainNotExists", "The domain is not under this account."))
}

fn domains(store: &TxtStore, parameters: &Parameters) -> Value {
    let zones: Vec<_> = store.zones.iter().filter(|zone| !zone.private).collect();
    let here = page(store, &zones, parameters, 20);
    let list: Vec<_> = here
        .iter()
        .map(|zone| {
            let records = store.records.iter().filter(|record| record.zone == zone.id).count();
            json!({
                "DomainId": number(zone), "Name": zone.name, "Punycode": zone.name, "Status": "ENABLE",
                "TTL": 600, "CNAMESpeedup": "DISABLE", "DNSStatus": "", "Grade": "DP_FREE", "GradeLevel": 2,
                "GradeTitle": "免费版", "GroupId": 1, "SearchEnginePush": "NO", "Remark": "",
                "EffectiveDNS": ["ns1.dnspod.net", "ns2.dnspod.net"], "IsVip": "NO", "VipStartAt": MOMENT,
                "VipEndAt": MOMENT, "VipAutoRenew": "DEFAULT", "RecordCount": records, "CreatedOn": MOMENT,
                "UpdatedOn": MOMENT, "Owner": "fake@qcloud.com", "TagList": [],
            })
        })
        .collect();
    let count = json!({
        "DomainTotal": zones.len(), "AllTotal": zones.len(), "MineTotal": zones.len(), "ShareTotal": 0,
        "VipTotal": 0, "PauseTotal": 0, "ErrorTotal": 0, "LockTotal": 0, "SpamTotal": 0, "VipExpire": 0,
        "ShareOutTotal": 0, "GroupTotal": 0,
    });
    json!({ "DomainCountInfo": count, "DomainList": list })
}

fn records(store: &TxtStore, parameters: &Parameters) -> Answered {
    let zone = zone(store, parameters)?;
    let found: Vec<_> = store
        .records
        .iter()
        .filter(|record| record.zone == zone.id)
        .filter(|record| parameters.record_type.as_ref().is_none_or(|kind| *kind == record.kind))
        .filter(|record| parameters.sub_domain.as_ref().is_none_or(|sub| *sub == below(&zone, &record.name)))
        .collect();
    if found.is_empty() && parameters.error_on_empty.as_deref() != Some("no") {
        return Err(("ResourceNotFound.NoDataOfRecord", "The list of records is empty."));
    }
    let list: Vec<_> = page(store, &found, parameters, 100)
        .iter()
        .map(|record| {
            json!({
                "RecordId": record.id.parse::<u64>().unwrap_or_default(), "Name": below(&zone, &record.name),
                "Type": record.kind, "Value": store.echoed(record), "TTL": record.ttl, "Line": "默认",
                "LineId": "0", "Status": "ENABLE", "Remark": record.comment.as_deref().unwrap_or_default(),
                "MX": 0, "Weight": null, "UpdatedOn": MOMENT, "MonitorStatus": "", "DefaultNS": false,
            })
        })
        .collect();
    let count = json!({ "TotalCount": found.len(), "ListCount": list.len(), "SubdomainCount": found.len() });
    Ok(json!({ "RecordCountInfo": count, "RecordList": list }))
}

fn create(store: &mut TxtStore, parameters: Parameters) -> Answered {
    let zone = zone(store, &parameters)?;
    let Parameters { sub_domain, record_type, record_line, value, ttl, .. } = parameters;
    let (Some("TXT"), Some(_), Some(value)) = (record_type.as_deref(), record_line, value) else {
        return Err(("MissingParameter", "RecordType, RecordLine and Value are required."));
    };
    let ttl = ttl.unwrap_or(600);
    if ttl < 600 {
        return Err(("LimitExceeded.RecordTtlLimit", "The TTL is below what the plan allows."));
    }
    let name = match sub_domain.as_deref() {
        None | Some("@") => zone.name.clone(),
        Some(sub) => format!("{sub}.{}", zone.name),
    };
    if store.txt(&zone.id, &name).any(|record| record.value == value) {
        return Err(("InvalidParameter.DomainRecordExist", "The record already exists."));
    }
    let id = store.insert(&zone.id, &name, &value, &value, ttl);
    Ok(json!({ "RecordId": id.parse::<u64>().unwrap_or_default() }))
}

fn delete(store: &mut TxtStore, parameters: &Parameters) -> Answered {
    let zone = zone(store, parameters)?;
    let id = parameters.record_id.unwrap_or_default().to_string();
    match store.remove(&zone.id, &id) {
        true => Ok(json!({})),
        false => Err(("InvalidParameter.RecordIdInvalid", "The record id is wrong.")),
    }
}

fn below(zone: &StoredZone, name: &str) -> String {
    match name.strip_suffix(&zone.name).unwrap_or(name).trim_end_matches('.') {
        "" => "@".to_owned(),
        relative => relative.to_owned(),
    }
}

fn page<'i, T>(store: &TxtStore, items: &'i [T], parameters: &Parameters, default: usize) -> &'i [T] {
    let most = parameters.limit.unwrap_or(default).min(3000).min(store.page_size.unwrap_or(usize::MAX));
    let rest = items.get(parameters.offset.unwrap_or_default()..).unwrap_or_default();
    rest.get(..most).unwrap_or(rest)
}

/// When everything was made.
const MOMENT: &str = "2026-01-01 00:00:00";

const REQUEST_ID: &str = "ab4f1426-ea15-42ea-8183-fake00000000";

fn fault(code: &str, message: &str) -> Response<Bytes> {
    let error = json!({ "Code": code, "Message": message });
    Reply::json(200, &json!({ "Response": { "Error": error, "RequestId": REQUEST_ID } }))
}
