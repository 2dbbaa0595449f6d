//! Linode's API v4: per-record, with duplicates, and filters in a header.

use bytes::Bytes;
use http::{Method, Request, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Refusal, Reply, Service, StoredRecord, StoredZone, TxtStore,
    asked::{absolute, bearer, parts, relative},
    query,
};

/// Linode's API v4, below `/v4`.
///
/// Two equal records are two records, a page has 100 items unless more are asked for (500 at most), zones are
/// found by a filter in the header `X-Filter`, names are relative to the zone and empty at its apex, and a time
/// to live is rounded up to the next of a few.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Linode {
    token: String,
}

impl Linode {
    /// An account with this token.
    #[must_use]
    pub fn new(token: &str) -> Self {
        Self { token: token.to_owned() }
    }
}

#[derive(Deserialize)]
struct NewRecord {
    r#type: String,
    #[serde(default)]
    name: String,
    target: String,
    #[serde(default)]
    ttl_sec: u32,
}

#[derive(Deserialize)]
struct Filter {
    domain: String,
}

/// The times to live that there are.
const TTLS: [u32; 14] =
    [30, 120, 300, 3600, 7200, 14400, 28800, 57600, 86400, 172_800, 345_600, 604_800, 1_209_600, 2_419_200];

impl Service for Linode {
    fn answer(&self, request: &Request<Bytes>, store: &mut TxtStore) -> Response<Bytes> {
        if bearer(request) != Some(&self.token) {
            return self.refusal(Refusal::Unauthorized);
        }
        let parts = parts(request, "/v4/domains");
        let parts: Vec<_> = parts.iter().map(String::as_str).collect();
        match (request.method(), parts.as_slice()) {
            (&Method::GET, []) => self.zones(request, store),
            (method, [id, rest @ ..]) => {
                let zone = store.zones.iter().find(|zone| number(&zone.id).to_string() == *id).cloned();
                let Some(zone) = zone else { return not_found() };
                match (method, rest) {
                    (&Method::GET, []) => Reply::json(200, &zone_json(&zone)),
                    (&Method::GET, ["records"]) => records(request, &zone, store),
                    (&Method::POST, ["records"]) => create(request, &zone, store),
                    (&Method::DELETE, ["records", id]) => match store.remove(&zone.id, id) {
                        true => Reply::json(200, &json!({})),
                        false => not_found(),
                    },
                    _ => not_found(),
                }
            }
            _ => not_found(),
        }
    }

    fn refusal(&self, refusal: Refusal) -> Response<Bytes> {
        match refusal {
            Refusal::Busy => fault(429, "Too Many Requests"),
            Refusal::Forbidden => fault(403, "Unauthorized"),
            Refusal::Trouble => fault(503, "Service Unavailable"),
            Refusal::Unauthorized => fault(401, &format!("Invalid Token {}", self.token)),
        }
    }
}

impl Linode {
    fn zones(&self, request: &Request<Bytes>, store: &TxtStore) -> Response<Bytes> {
        let filter = request
            .headers()
            .get("x-filter")
            .map(|filter| serde_json::from_slice::<Filter>(filter.as_bytes()));
        let wanted = match filter {
            Some(Ok(filter)) => Some(filter.domain),
            Some(Err(error)) => return fault(400, &format!("Cannot filter: {error}")),
            None => None,
        };
        if wanted.as_ref().is_some_and(|name| store.is_forbidden(name)) {
            return self.refusal(Refusal::Forbidden);
        }
        let of_name = |zone: &&StoredZone| wanted.as_ref().is_none_or(|name| *name == zone.name);
        let zones: Vec<_> = store.zones.iter().filter(of_name).map(zone_json).collect();
        list(request, store, &zones)
    }
}

/// Its identifiers are numbers.
fn number(id: &str) -> u64 {
    u64::from_str_radix(id, 16).unwrap_or_default()
}

fn zone_json(zone: &StoredZone) -> Value {
    json!({
        "id": number(&zone.id), "type": "master", "domain": zone.name, "status": "active",
        "soa_email": "hostmaster@example.com", "ttl_sec": 0, "tags": [],
    })
}

fn records(request: &Request<Bytes>, zone: &StoredZone, store: &TxtStore) -> Response<Bytes> {
    let found = store.records.iter().filter(|record| record.zone == zone.id);
    let found: Vec<_> = found.map(|record| record_json(store, zone, record)).collect();
    list(request, store, &found)
}

fn record_json(store: &TxtStore, zone: &StoredZone, record: &StoredRecord) -> Value {
    json!({
        "id": record.id.parse::<u64>().unwrap_or_default(),
        "type": record.kind,
        "name": relative(zone, &record.name),
        "target": store.echoed(record),
        "ttl_sec": record.ttl,
        "priority": 0, "weight": 0, "port": 0, "service": null, "protocol": null, "tag": null,
        "created": "2026-01-01T00:00:00", "updated": "2026-01-01T00:00:00",
    })
}

fn create(request: &Request<Bytes>, zone: &StoredZone, store: &mut TxtStore) -> Response<Bytes> {
    let new: NewRecord = match serde_json::from_slice(request.body()) {
        Ok(new) => new,
        Err(error) => return fault(400, &format!("{error}")),
    };
    if new.r#type != "TXT" || new.target.is_empty() {
        return fault(400, "Record type must be TXT here, and target is required");
    }
    let name = absolute(zone, &new.name);
    // Zero is the zone's own, a day unless it was changed.
    let wanted = if new.ttl_sec == 0 { 86400 } else { new.ttl_sec };
    let ttl = TTLS.into_iter().find(|ttl| *ttl >= wanted).unwrap_or(2_419_200);
    let id = store.insert(&zone.id, &name, &new.target, &new.target, ttl);
    let record = store.records.iter().find(|record| record.id == id);
    Reply::json(200, &record.map_or(Value::Null, |record| record_json(store, zone, record)))
}

fn list(request: &Request<Bytes>, store: &TxtStore, items: &[Value]) -> Response<Bytes> {
    let number = |name: &str, default| match query(request, name) {
        Some(text) => text.parse::<usize>().ok(),
        None => Some(default),
    };
    let (Some(page @ 1..), Some(per_page @ 25..=500)) = (number("page", 1), number("page_size", 100)) else {
        return fault(400, "Must be between 25 and 500");
    };
    let (here, _) = store.page(items, page, per_page);
    let per_page = store.page_size.unwrap_or(usize::MAX).min(per_page);
    let pages = items.len().div_ceil(per_page).max(1);
    Reply::json(200, &json!({ "data": here, "page": page, "pages": pages, "results": items.len() }))
}

fn not_found() -> Response<Bytes> {
    fault(404, "Not found")
}

fn fault(status: u16, reason: &str) -> Response<Bytes> {
    Reply::json(status, &json!({ "errors": [{ "reason": reason }] }))
}
