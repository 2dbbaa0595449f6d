//! Alibaba Cloud DNS, API of 2015-01-09, as its document has it.

use std::{collections::BTreeSet, sync::Mutex};

use bytes::Bytes;
use http::{Request, Response};
use serde_json::{Value, json};

use super::{Refusal, Reply, Service, StoredZone, TxtStore, query};
use crate::sync::lock;

/// Alibaba Cloud DNS.
///
/// A nonce is good once, a second equal record is refused, a page has 20 records and at most 500, and a time to live is
/// ten minutes at least.
pub struct AliDns {
    access_key_id: String,
    nonces: Mutex<BTreeSet<String>>,
}

impl AliDns {
    /// The account of the key with this id.
    #[must_use]
    pub fn new(access_key_id: &str) -> Self {
        Self { access_key_id: access_key_id.to_owned(), nonces: Mutex::default() }
    }
}

/// Status, code, message.
type Refused = (u16, &'static str, &'static str);

impl Service for AliDns {
    fn answer(&self, request: &Request<Bytes>, store: &mut TxtStore) -> Response<Bytes> {
        let header =
            |name: &str| request.headers().get(name).and_then(|it| it.to_str().ok()).unwrap_or_default();
        let credential = format!("ACS3-HMAC-SHA256 Credential={},SignedHeaders=", self.access_key_id);
        if !header("authorization").starts_with(&credential) || header("x-acs-date").is_empty() {
            return self.refusal(Refusal::Unauthorized);
        }
        if !lock(&self.nonces).insert(header("x-acs-signature-nonce").to_owned()) {
            return fault(400, "SignatureNonceUsed", "Specified signature nonce was used already.");
        }
        if header("x-acs-version") != "2015-01-09" {
            return fault(400, "InvalidVersion", "Specified parameter Version is not valid.");
        }
        let answered = match header("x-acs-action") {
            "AddDomainRecord" => add(request, store),
            "DeleteDomainRecord" => delete(request, store),
            "DescribeDomainInfo" => zone(request, store).map(|zone| json!({ "DomainName": zone.name })),
            "DescribeDomains" => domains(request, store),
            "DescribeSubDomainRecords" => records(request, store),
            _ => Err((404, "InvalidAction.NotFound", "Specified api is not found.")),
        };
        match answered {
            Ok(mut answer) => {
                if let Some(answer) = answer.as_object_mut() {
                    answer.insert("RequestId".to_owned(), REQUEST_ID.into());
                }
                Reply::json(200, &answer)
            }
            Err((status, code, message)) => fault(status, code, message),
        }
    }

    fn refusal(&self, refusal: Refusal) -> Response<Bytes> {
        match refusal {
            Refusal::Busy => fault(400, "Throttling.User", "Request was denied due to user flow control."),
            Refusal::Forbidden => {
                fault(403, "Forbidden.RAM", "User not authorized to operate on the resource.")
            }
            Refusal::Trouble => fault(503, "ServiceUnavailable", "The request has failed due to a failure."),
            Refusal::Unauthorized => {
                fault(404, "InvalidAccessKeyId.NotFound", "Specified access key is not found.")
            }
        }
    }

    fn writes(&self, request: &Request<Bytes>) -> bool {
        request.headers().get("x-acs-action").is_some_and(|it| !it.as_bytes().starts_with(b"Describe"))
    }
}

fn need(request: &Request<Bytes>, name: &str) -> Result<String, Refused> {
    query(request, name).ok_or((400, "MissingParameter", "A parameter is missing."))
}

fn zone(request: &Request<Bytes>, store: &TxtStore) -> Result<StoredZone, Refused> {
    let name = need(request, "DomainName")?;
    if store.is_forbidden(&name) {
        return Err((403, "Forbidden.RAM", "User not authorized to operate on the resource."));
    }
    let zone = store.zone_named(&name).cloned();
    zone.ok_or((400, "InvalidDomainName.NoExist", "The specified domain name does not exist."))
}

/// Number and size of the page that is asked for.
fn page(request: &Request<Bytes>, store: &TxtStore, most: usize) -> Result<(usize, usize), Refused> {
    let wrong = (400, "InvalidPageSize", "A number of a page is wrong.");
    let number = |name: &str, default: usize| {
        query(request, name).map_or(Ok(default), |text| text.parse::<usize>()).map_err(|_| wrong)
    };
    let (page, size) = (number("PageNumber", 1)?, number("PageSize", 20)?);
    if !(1..=most).contains(&size) {
        return Err(wrong);
    }
    Ok((page, size.min(store.page_size.unwrap_or(usize::MAX))))
}

fn domains(request: &Request<Bytes>, store: &TxtStore) -> Result<Value, Refused> {
    let (number, size) = page(request, store, 100)?;
    let zones: Vec<_> = store.zones.iter().filter(|zone| !zone.private).collect();
    let (here, _) = store.page(&zones, number, size);
    let list: Vec<_> =
        here.iter().map(|zone| json!({ "DomainName": zone.name, "PunyCode": zone.name })).collect();
    Ok(json!({
        "TotalCount": zones.len(), "PageNumber": number, "PageSize": size, "Domains": { "Domain": list },
    }))
}

fn records(request: &Request<Bytes>, store: &TxtStore) -> Result<Value, Refused> {
    let (number, size) = page(request, store, 500)?;
    let (zone, sub_domain) = (zone(request, store)?, need(request, "SubDomain")?);
    let name = sub_domain.strip_prefix("@.").unwrap_or(&sub_domain);
    let kind = query(request, "Type");
    let found: Vec<_> = store
        .records
        .iter()
        .filter(|record| record.zone == zone.id && record.name == name)
        .filter(|record| kind.as_ref().is_none_or(|kind| *kind == record.kind))
        .collect();
    let (here, _) = store.page(&found, number, size);
    let list: Vec<_> = here
        .iter()
        .map(|record| {
            json!({
                "RecordId": record.id, "RR": below(&zone, &record.name), "DomainName": zone.name,
                "Type": record.kind, "Value": store.echoed(record), "TTL": record.ttl, "Line": "default",
                "Status": "ENABLE", "Locked": false, "Remark": record.comment,
            })
        })
        .collect();
    Ok(json!({
        "TotalCount": found.len(), "PageNumber": number, "PageSize": size, "DomainRecords": { "Record": list },
    }))
}

fn add(request: &Request<Bytes>, store: &mut TxtStore) -> Result<Value, Refused> {
    let zone = zone(request, store)?;
    let (rr, kind, value) = (need(request, "RR")?, need(request, "Type")?, need(request, "Value")?);
    let ttl = query(request, "TTL").map_or(Ok(600), |ttl| ttl.parse::<u32>());
    let Some(ttl) = ttl.ok().filter(|ttl| *ttl >= 600) else {
        return Err((400, "InvalidTTL", "The TTL is below what the edition allows."));
    };
    if kind != "TXT" {
        return Err((400, "InvalidType", "The type is not known here."));
    }
    let name = if rr == "@" { zone.name.clone() } else { format!("{rr}.{}", zone.name) };
    if store.txt(&zone.id, &name).any(|record| record.value == value) {
        return Err((400, "DomainRecordDuplicate", "The domain name record already exists."));
    }
    Ok(json!({ "RecordId": store.insert(&zone.id, &name, &value, &value, ttl) }))
}

fn delete(request: &Request<Bytes>, store: &mut TxtStore) -> Result<Value, Refused> {
    let id = need(request, "RecordId")?;
    let zone = store.records.iter().find(|record| record.id == id).map(|record| record.zone.clone());
    match zone.is_some_and(|zone| store.remove(&zone, &id)) {
        true => Ok(json!({ "RecordId": id })),
        false => Err((400, "DomainRecordNotBelongToUser", "The domain record does not belong to the user.")),
    }
}

fn below(zone: &StoredZone, name: &str) -> String {
    match name.strip_suffix(&zone.name).unwrap_or(name).trim_end_matches('.') {
        "" => "@".to_owned(),
        relative => relative.to_owned(),
    }
}

const REQUEST_ID: &str = "536E9CAD-DB30-4647-AC87-FAKE00000000";

fn fault(status: u16, code: &str, message: &str) -> Response<Bytes> {
    let host = "alidns.aliyuncs.com";
    Reply::json(status, &json!({ "Code": code, "Message": message, "RequestId": REQUEST_ID, "HostId": host }))
}
