//! The DNS of IONOS hosting, v1: per-record, where what is made twice exists once.

use bytes::Bytes;
use http::{Method, Request, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Echo, Refusal, Reply, Service, StoredRecord, StoredZone, TxtStore, query, store::quoted};

/// The DNS of IONOS hosting, below `/dns/v1`.
///
/// Values are sent as they are and come back in quotes. A record that equals another takes its place and has a
/// new identifier. Lists have no pages; complaints come in lists, too. A [forbidden](TxtStore::forbidden) zone is
/// not listed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Ionos {
    key: String,
}

impl Ionos {
    /// A customer with this API key.
    #[must_use]
    pub fn new(key: &str) -> Self {
        Self { key: key.to_owned() }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewRecord {
    name: String,
    r#type: String,
    content: String,
    ttl: u32,
    #[serde(rename = "prio")]
    _prio: u16,
    disabled: bool,
}

impl Service for Ionos {
    fn answer(&self, request: &Request<Bytes>, store: &mut TxtStore) -> Response<Bytes> {
        if request.headers().get("x-api-key").is_none_or(|key| key.as_bytes() != self.key.as_bytes()) {
            return self.refusal(Refusal::Unauthorized);
        }
        let path = request.uri().path().to_owned();
        let Some(path) = path.strip_prefix("/dns/v1/zones") else {
            return fault(404, "NOT_FOUND", "No route.");
        };
        let parts: Vec<_> = path.split('/').skip(1).collect();
        match (request.method(), parts.as_slice()) {
            (&Method::GET, []) => {
                let seen = store.zones.iter().filter(|zone| !zone.private && !store.is_forbidden(&zone.name));
                let zones: Vec<_> =
                    seen.map(|it| json!({ "name": it.name, "id": it.id, "type": "NATIVE" })).collect();
                Reply::json(200, &zones)
            }
            (method, [id, rest @ ..]) => {
                let Some(zone) = store.zone(id).cloned() else {
                    return fault(404, "ZONE_NOT_FOUND", "Zone does not exist.");
                };
                match (method, rest) {
                    (&Method::GET, []) => records(request, &zone, store),
                    (&Method::POST, ["records"]) => create(request, &zone, store),
                    (&Method::DELETE, ["records", id]) => match store.remove(&zone.id, id) {
                        true => Reply::empty(200),
                        false => fault(404, "RECORD_NOT_FOUND", "Record does not exist."),
                    },
                    _ => fault(404, "NOT_FOUND", "No route."),
                }
            }
            _ => fault(404, "NOT_FOUND", "No route."),
        }
    }

    fn refusal(&self, refusal: Refusal) -> Response<Bytes> {
        let unauthorized = "The customer is not authorized to do this operation.";
        match refusal {
            Refusal::Busy => fault(429, "RATE_LIMIT_EXCEEDED", "Too many requests."),
            Refusal::Forbidden => fault(403, "UNAUTHORIZED", unauthorized),
            Refusal::Trouble => fault(503, "INTERNAL_SERVER_ERROR", "Service unavailable."),
            Refusal::Unauthorized => fault(401, "UNAUTHORIZED", &format!("{unauthorized} {}", self.key)),
        }
    }
}

fn records(request: &Request<Bytes>, zone: &StoredZone, store: &TxtStore) -> Response<Bytes> {
    let (name, kind) = (query(request, "recordName"), query(request, "recordType"));
    let found: Vec<_> = store
        .records
        .iter()
        .filter(|record| record.zone == zone.id)
        .filter(|record| name.as_ref().is_none_or(|name| *name == record.name))
        .filter(|record| kind.as_ref().is_none_or(|kind| *kind == record.kind))
        .map(|record| record_json(store, zone, record))
        .collect();
    Reply::json(200, &json!({ "name": zone.name, "id": zone.id, "type": "NATIVE", "records": found }))
}

fn record_json(store: &TxtStore, zone: &StoredZone, record: &StoredRecord) -> Value {
    let content = match store.echo {
        Echo::AsSent => quoted(&record.value),
        _ => store.echoed(record),
    };
    json!({
        "name": record.name,
        "rootName": zone.name,
        "type": record.kind,
        "content": content,
        "changeDate": "2026-01-01T00:00:00.000Z",
        "ttl": record.ttl,
        "disabled": record.disabled,
        "id": record.id,
    })
}

fn create(request: &Request<Bytes>, zone: &StoredZone, store: &mut TxtStore) -> Response<Bytes> {
    let news: Vec<NewRecord> = match serde_json::from_slice(request.body()) {
        Ok(news) => news,
        Err(error) => return fault(400, "INVALID_DATA", &error.to_string()),
    };
    let inside = |name: &str| name == zone.name || name.ends_with(&format!(".{}", zone.name));
    let is_bad = |new: &NewRecord| {
        new.r#type != "TXT" || new.content.is_empty() || new.ttl < 60 || !inside(&new.name) || new.disabled
    };
    if news.iter().any(is_bad) {
        return fault(400, "INVALID_RECORD", "Record is invalid: name, type, content or ttl.");
    }
    let mut made = Vec::new();
    for new in news {
        let equal = store.txt(&zone.id, &new.name).find(|record| record.value == new.content);
        if let Some(id) = equal.map(|record| record.id.clone()) {
            store.remove(&zone.id, &id);
        }
        made.push(store.insert(&zone.id, &new.name, &new.content, &new.content, new.ttl));
    }
    let made = store.records.iter().filter(|record| made.contains(&record.id));
    let made: Vec<_> = made.map(|record| record_json(store, zone, record)).collect();
    Reply::json(201, &made)
}

fn fault(status: u16, code: &str, message: &str) -> Response<Bytes> {
    Reply::json(status, &json!([{ "code": code, "message": message }]))
}
