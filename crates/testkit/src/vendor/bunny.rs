//! Bunny DNS: per-record, with a PUT that adds another record each time.

use bytes::Bytes;
use http::{Method, Request, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Refusal, Reply, Service, StoredRecord, StoredZone, TxtStore, query};

/// Bunny DNS, below `/dnszone`.
///
/// Identifiers and types of records are numbers, names are relative to the zone, values are neither quoted nor
/// unquoted, and two equal records are two records. Zones are found by parts of their names, and come with all
/// their records. A search for a [forbidden](TxtStore::forbidden) name is refused.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Bunny {
    key: String,
}

impl Bunny {
    /// An account with this access key.
    #[must_use]
    pub fn new(key: &str) -> Self {
        Self { key: key.to_owned() }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct NewRecord {
    r#type: u8,
    name: String,
    value: String,
    ttl: u32,
}

/// TXT.
const TXT: u8 = 3;

impl Service for Bunny {
    fn answer(&self, request: &Request<Bytes>, store: &mut TxtStore) -> Response<Bytes> {
        if request.headers().get("accesskey").is_none_or(|key| key.as_bytes() != self.key.as_bytes()) {
            return self.refusal(Refusal::Unauthorized);
        }
        let path = request.uri().path().to_owned();
        let Some(path) = path.strip_prefix("/dnszone") else { return not_found("zone") };
        let parts: Vec<_> = path.split('/').skip(1).collect();
        match (request.method(), parts.as_slice()) {
            (&Method::GET, []) => self.zones(request, store),
            (method, [id, rest @ ..]) => {
                let zone = store.zones.iter().find(|zone| number(&zone.id).to_string() == **id).cloned();
                let Some(zone) = zone else { return not_found("zone") };
                match (method, rest) {
                    (&Method::GET, []) => Reply::json(200, &zone_json(store, &zone)),
                    (&Method::PUT, ["records"]) => create(request, &zone, store),
                    (&Method::DELETE, ["records", id]) => match store.remove(&zone.id, id) {
                        true => Reply::empty(204),
                        false => not_found("record"),
                    },
                    _ => not_found("path"),
                }
            }
            _ => not_found("path"),
        }
    }

    fn refusal(&self, refusal: Refusal) -> Response<Bytes> {
        match refusal {
            Refusal::Busy => fault(429, "too_many_requests", "", "Too many requests."),
            Refusal::Forbidden => fault(403, "forbidden", "", "You do not have access to this resource."),
            Refusal::Trouble => fault(503, "unavailable", "", "The service is unavailable."),
            Refusal::Unauthorized => {
                let text = format!("The request authorization failed for {}", self.key);
                fault(401, "unauthorized", "", &text)
            }
        }
    }
}

impl Bunny {
    fn zones(&self, request: &Request<Bytes>, store: &TxtStore) -> Response<Bytes> {
        let search = query(request, "search").unwrap_or_default();
        if store.is_forbidden(&search) {
            return self.refusal(Refusal::Forbidden);
        }
        let figure =
            |name: &str, default: usize| query(request, name).map_or(Some(default), |it| it.parse().ok());
        let (Some(page), Some(per_page)) = (figure("page", 1), figure("perPage", 1000)) else {
            return fault(400, "validation_error", "page", "The page is no number.");
        };
        if page == 0 || !(5..=1000).contains(&per_page) {
            return fault(400, "validation_error", "perPage", "The page size is from 5 to 1000.");
        }
        let found = store.zones.iter().filter(|zone| zone.name.contains(&search));
        let found: Vec<_> = found.map(|zone| zone_json(store, zone)).collect();
        let (items, more) = store.page(&found, page, per_page);
        let body = json!({
            "Items": items, "CurrentPage": page, "TotalItems": found.len(), "HasMoreItems": more,
        });
        Reply::json(200, &body)
    }
}

/// The identifier as Bunny has it.
fn number(id: &str) -> u64 {
    u64::from_str_radix(id.trim_start_matches('0'), 16).unwrap_or_default()
}

fn zone_json(store: &TxtStore, zone: &StoredZone) -> Value {
    let here = store.records.iter().filter(|record| record.zone == zone.id);
    let records: Vec<_> = here.map(|record| record_json(store, zone, record)).collect();
    json!({ "Id": number(&zone.id), "Domain": zone.name, "Records": records, "DnsSecEnabled": false })
}

fn record_json(store: &TxtStore, zone: &StoredZone, record: &StoredRecord) -> Value {
    let relative = record.name.strip_suffix(&zone.name).unwrap_or(&record.name).trim_end_matches('.');
    json!({
        "Id": record.id.parse::<u64>().unwrap_or_default(),
        "Type": if record.kind == "TXT" { TXT } else { 0 },
        "Ttl": record.ttl,
        "Value": store.echoed(record),
        "Name": relative,
        "Weight": 100,
        "Priority": 0,
        "Disabled": record.disabled,
        "Comment": record.comment,
    })
}

fn create(request: &Request<Bytes>, zone: &StoredZone, store: &mut TxtStore) -> Response<Bytes> {
    let new: NewRecord = match serde_json::from_slice(request.body()) {
        Ok(new) => new,
        Err(error) => return fault(400, "validation_error", "", &error.to_string()),
    };
    if new.r#type != TXT || new.value.is_empty() {
        return fault(400, "validation_error", "Value", "The value is required.");
    }
    if new.ttl < 15 {
        return fault(400, "dnszone.record.ttl.invalid", "Ttl", "The TTL is too short.");
    }
    let name = match new.name.as_str() {
        "" => zone.name.clone(),
        relative => format!("{relative}.{}", zone.name),
    };
    let id = store.insert(&zone.id, &name, &new.value, &new.value, new.ttl);
    let made = store.records.iter().find(|record| record.id == id);
    Reply::json(201, &made.map_or(Value::Null, |record| record_json(store, zone, record)))
}

fn not_found(what: &str) -> Response<Bytes> {
    let message = format!("The requested {what} was not found\r\n");
    fault(404, &format!("dnszone.{what}.not_found"), what, &message)
}

fn fault(status: u16, key: &str, field: &str, message: &str) -> Response<Bytes> {
    Reply::json(status, &json!({ "ErrorKey": key, "Field": field, "Message": message }))
}
