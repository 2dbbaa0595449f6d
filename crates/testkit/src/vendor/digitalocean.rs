//! DigitalOcean's API v2: per-record, with duplicates, and twenty records on a page.

use bytes::Bytes;
use http::{Method, Request, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Refusal, Reply, Service, StoredRecord, StoredZone, TxtStore, query};

/// DigitalOcean's API v2, below `/v2/domains`.
///
/// Two equal records are two records, a page has 20 items unless more are asked for (200 at most), names in
/// answers are relative to the zone, and values are neither quoted nor unquoted.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DigitalOcean {
    token: String,
}

impl DigitalOcean {
    /// An account with this token.
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
    1800
}

impl Service for DigitalOcean {
    fn answer(&self, request: &Request<Bytes>, store: &mut TxtStore) -> Response<Bytes> {
        let expected = format!("Bearer {}", self.token);
        if request.headers().get("authorization").is_none_or(|value| value.as_bytes() != expected.as_bytes())
        {
            return self.refusal(Refusal::Unauthorized);
        }
        let path = request.uri().path().to_owned();
        let Some(path) = path.strip_prefix("/v2/domains") else { return not_found() };
        let parts: Vec<_> = path.split('/').skip(1).collect();
        match (request.method(), parts.as_slice()) {
            (&Method::GET, []) => {
                let zones: Vec<_> = store.zones.iter().map(zone_json).collect();
                list(request, store, "domains", &zones)
            }
            (method, [name, rest @ ..]) => {
                if store.is_forbidden(name) {
                    return self.refusal(Refusal::Forbidden);
                }
                let Some(zone) = store.zone_named(name).cloned() else { return not_found() };
                match (method, rest) {
                    (&Method::GET, []) => Reply::json(200, &json!({ "domain": zone_json(&zone) })),
                    (&Method::GET, ["records"]) => records(request, &zone, store),
                    (&Method::POST, ["records"]) => create(request, &zone, store),
                    (&Method::DELETE, ["records", id]) => match store.remove(&zone.id, id) {
                        true => Reply::empty(204),
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
            Refusal::Busy => fault(429, "too_many_requests", "API Rate limit exceeded."),
            Refusal::Forbidden => fault(403, "forbidden", "You do not have access for the attempted action."),
            Refusal::Trouble => fault(503, "service_unavailable", "Service unavailable"),
            Refusal::Unauthorized => {
                fault(401, "unauthorized", &format!("Unable to authenticate you with {}", self.token))
            }
        }
    }
}

fn zone_json(zone: &StoredZone) -> Value {
    json!({ "name": zone.name, "ttl": 1800, "zone_file": null })
}

fn records(request: &Request<Bytes>, zone: &StoredZone, store: &TxtStore) -> Response<Bytes> {
    let (name, kind) = (query(request, "name"), query(request, "type"));
    let found: Vec<_> = store
        .records
        .iter()
        .filter(|record| record.zone == zone.id)
        .filter(|record| name.as_ref().is_none_or(|name| *name == record.name))
        .filter(|record| kind.as_ref().is_none_or(|kind| *kind == record.kind))
        .map(|record| record_json(store, zone, record))
        .collect();
    list(request, store, "domain_records", &found)
}

fn record_json(store: &TxtStore, zone: &StoredZone, record: &StoredRecord) -> Value {
    let relative = match record.name.strip_suffix(&zone.name) {
        Some("") => "@",
        Some(rest) => rest.trim_end_matches('.'),
        None => &record.name,
    };
    json!({
        "id": record.id.parse::<u64>().unwrap_or_default(),
        "type": record.kind,
        "name": relative,
        "data": store.echoed(record),
        "priority": null,
        "port": null,
        "ttl": record.ttl,
        "weight": null,
        "flags": null,
        "tag": null,
    })
}

fn create(request: &Request<Bytes>, zone: &StoredZone, store: &mut TxtStore) -> Response<Bytes> {
    let new: NewRecord = match serde_json::from_slice(request.body()) {
        Ok(new) => new,
        Err(error) => return fault(400, "bad_request", &format!("{error}")),
    };
    if new.r#type != "TXT" || new.data.is_empty() {
        return fault(422, "unprocessable_entity", "Data needs to end with a value");
    }
    if new.ttl < 30 {
        return fault(422, "unprocessable_entity", "TTL must be greater than or equal to 30");
    }
    let name = match new.name.as_str() {
        "@" => zone.name.clone(),
        absolute if absolute.ends_with('.') => absolute.trim_end_matches('.').to_owned(),
        relative => format!("{relative}.{}", zone.name),
    };
    if name != zone.name && !name.ends_with(&format!(".{}", zone.name)) {
        return fault(422, "unprocessable_entity", "Name is not in this domain");
    }
    let id = store.insert(&zone.id, &name, &new.data, &new.data, new.ttl);
    let record = store.records.iter().find(|record| record.id == id);
    let record = record.map_or(Value::Null, |record| record_json(store, zone, record));
    Reply::json(201, &json!({ "domain_record": record }))
}

fn list(request: &Request<Bytes>, store: &TxtStore, what: &str, items: &[Value]) -> Response<Bytes> {
    let number = |name: &str, default: usize| {
        query(request, name).map_or(Some(default), |value| value.parse::<usize>().ok())
    };
    let (Some(page), Some(per_page)) = (number("page", 1), number("per_page", 20)) else {
        return fault(400, "bad_request", "page and per_page are numbers");
    };
    if !(1..=200).contains(&per_page) {
        return fault(400, "bad_request", "per_page is from 1 to 200");
    }
    let (here, more) = store.page(items, page, per_page);
    let next = format!("https://api.digitalocean.com{}?page={}", request.uri().path(), page + 1);
    let pages = if more { json!({ "pages": { "next": next, "last": next } }) } else { json!({}) };
    let mut body = json!({ "links": pages, "meta": { "total": items.len() } });
    if let Some(body) = body.as_object_mut() {
        body.insert(what.to_owned(), here.into());
    }
    Reply::json(200, &body)
}

fn not_found() -> Response<Bytes> {
    fault(404, "not_found", "The resource you were accessing could not be found.")
}

fn fault(status: u16, id: &str, message: &str) -> Response<Bytes> {
    let request_id = "4d9d8375-3c56-4925-a3e7-eb137fed17e9";
    Reply::json(status, &json!({ "id": id, "message": message, "request_id": request_id }))
}
