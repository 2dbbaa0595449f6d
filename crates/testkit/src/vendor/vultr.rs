//! Vultr's API v2: per-record, with a cursor for the next page.

use bytes::Bytes;
use http::{Method, Request, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Refusal, Reply, Service, StoredRecord, StoredZone, TxtStore,
    asked::{absolute, bearer, parts, relative},
    query,
    store::plain,
};

/// Vultr's API v2, below `/v2`.
///
/// Two equal records are two records, a page has 100 items unless more are asked for (500 at most) and names
/// the cursor of the next one, values must be quoted and are echoed so, names are relative to the zone and empty
/// at its apex.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Vultr {
    token: String,
}

impl Vultr {
    /// An account with this API key.
    #[must_use]
    pub fn new(token: &str) -> Self {
        Self { token: token.to_owned() }
    }
}

#[derive(Deserialize)]
struct NewRecord {
    r#type: String,
    name: String,
    data: String,
    #[serde(default = "default_ttl")]
    ttl: u32,
}

const fn default_ttl() -> u32 {
    300
}

impl Service for Vultr {
    fn answer(&self, request: &Request<Bytes>, store: &mut TxtStore) -> Response<Bytes> {
        if bearer(request) != Some(&self.token) {
            return self.refusal(Refusal::Unauthorized);
        }
        let parts = parts(request, "/v2/domains");
        let parts: Vec<_> = parts.iter().map(String::as_str).collect();
        let [name, rest @ ..] = parts.as_slice() else {
            let zones: Vec<_> = store.zones.iter().map(zone_json).collect();
            return list(request, store, "domains", &zones);
        };
        if store.is_forbidden(name) {
            return self.refusal(Refusal::Forbidden);
        }
        let Some(zone) = store.zone_named(name).cloned() else { return fault(404, "Invalid domain.") };
        match (request.method(), rest) {
            (&Method::GET, []) => Reply::json(200, &json!({ "domain": zone_json(&zone) })),
            (&Method::GET, ["records"]) => {
                let found = store.records.iter().filter(|record| record.zone == zone.id);
                let found: Vec<_> = found.map(|record| record_json(store, &zone, record)).collect();
                list(request, store, "records", &found)
            }
            (&Method::POST, ["records"]) => create(request, &zone, store),
            (&Method::DELETE, ["records", id]) => match store.remove(&zone.id, id) {
                true => Reply::empty(204),
                false => fault(404, "Invalid record."),
            },
            _ => fault(404, "Invalid route."),
        }
    }

    fn refusal(&self, refusal: Refusal) -> Response<Bytes> {
        match refusal {
            Refusal::Busy => fault(429, "Rate limit exceeded."),
            Refusal::Forbidden => fault(403, "Unauthorized IP address or insufficient access."),
            Refusal::Trouble => fault(503, "Service unavailable."),
            Refusal::Unauthorized => fault(401, &format!("Invalid API token {}.", self.token)),
        }
    }
}

fn zone_json(zone: &StoredZone) -> Value {
    json!({ "domain": zone.name, "date_created": "2026-01-01T00:00:00+00:00", "dns_sec": "disabled" })
}

fn record_json(store: &TxtStore, zone: &StoredZone, record: &StoredRecord) -> Value {
    json!({
        "id": record.id, "type": record.kind, "name": relative(zone, &record.name),
        "data": store.echoed(record), "priority": 0, "ttl": record.ttl,
    })
}

fn create(request: &Request<Bytes>, zone: &StoredZone, store: &mut TxtStore) -> Response<Bytes> {
    let new: NewRecord = match serde_json::from_slice(request.body()) {
        Ok(new) => new,
        Err(error) => return fault(400, &format!("Invalid JSON: {error}")),
    };
    let quoted = new.data.starts_with('"') && new.data.ends_with('"') && new.data.len() > 2;
    if new.r#type != "TXT" || !quoted {
        return fault(400, "Invalid record data; TXT data must be in quotes.");
    }
    if new.ttl < 120 {
        return fault(400, "Invalid TTL; it must be at least 120.");
    }
    let id = store.insert(&zone.id, &absolute(zone, &new.name), &plain(&new.data), &new.data, new.ttl);
    let record = store.records.iter().find(|record| record.id == id);
    let record = record.map_or(Value::Null, |record| record_json(store, zone, record));
    Reply::json(201, &json!({ "record": record }))
}

/// A cursor is opaque; here it is the next page's number, disguised.
fn list(request: &Request<Bytes>, store: &TxtStore, key: &str, items: &[Value]) -> Response<Bytes> {
    let per_page = query(request, "per_page").map_or(Some(100), |text| text.parse::<usize>().ok());
    let Some(per_page @ 1..=500) = per_page else { return fault(400, "Invalid per_page.") };
    let page = match query(request, "cursor").as_deref() {
        None | Some("") => Some(1),
        Some(cursor) => cursor.strip_prefix("bmV4dF9f").and_then(|page| page.parse::<usize>().ok()),
    };
    let Some(page) = page else { return fault(400, "Invalid cursor.") };
    let (here, more) = store.page(items, page, per_page);
    let next = if more { format!("bmV4dF9f{}", page + 1) } else { String::new() };
    let meta = json!({ "total": items.len(), "links": { "next": next, "prev": "" } });
    Reply::json(200, &json!({ key: here, "meta": meta }))
}

fn fault(status: u16, error: &str) -> Response<Bytes> {
    Reply::json(status, &json!({ "error": error, "status": status }))
}
