//! Hetzner Cloud's API v1: values are added to and removed from a record set.

use bytes::Bytes;
use http::{Method, Request, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Echo, Refusal, Reply, Service, StoredZone, TxtStore,
    asked::{absolute, bearer, parts},
    store::plain,
};

/// Hetzner Cloud's API v1, below `/v1`.
///
/// A value that is there is not added again and one that is absent not removed (422), a time to live that is
/// sent must be that of the set (422), values are quoted, and what was changed is an action that takes a while.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Hetzner {
    token: String,
}

impl Hetzner {
    /// An account with this token.
    #[must_use]
    pub fn new(token: &str) -> Self {
        Self { token: token.to_owned() }
    }
}

#[derive(Deserialize)]
struct Change {
    records: Vec<Record>,
    #[serde(default)]
    ttl: Option<u32>,
}

#[derive(Deserialize)]
struct Record {
    value: String,
}

impl Service for Hetzner {
    fn answer(&self, request: &Request<Bytes>, store: &mut TxtStore) -> Response<Bytes> {
        if bearer(request) != Some(&self.token) {
            return self.refusal(Refusal::Unauthorized);
        }
        let parts = parts(request, "/v1/zones");
        let parts: Vec<_> = parts.iter().map(String::as_str).collect();
        if let ["actions", id] = parts.as_slice() {
            return look(store, id);
        }
        let [name, rest @ ..] = parts.as_slice() else { return not_found("zone") };
        if store.is_forbidden(name) {
            return self.refusal(Refusal::Forbidden);
        }
        let Some(zone) = store.zone_named(name).cloned() else { return not_found("zone") };
        match (request.method(), rest) {
            (&Method::GET, []) => Reply::json(200, &json!({ "zone": zone_json(&zone) })),
            (&Method::GET, ["rrsets", name, "TXT"]) => set(store, &zone, name, &absolute(&zone, name)),
            (
                &Method::POST,
                ["rrsets", name, "TXT", "actions", verb @ ("add_records" | "remove_records")],
            ) => {
                let change: Change = match serde_json::from_slice(request.body()) {
                    Ok(change) => change,
                    Err(error) => return fault(422, "invalid_input", &format!("{error}")),
                };
                match *verb {
                    "add_records" => add(store, &zone, &absolute(&zone, name), &change),
                    _ => remove(store, &zone, &absolute(&zone, name), &change),
                }
            }
            _ => not_found("route"),
        }
    }

    fn refusal(&self, refusal: Refusal) -> Response<Bytes> {
        match refusal {
            Refusal::Busy => fault(429, "rate_limit_exceeded", "Limit of 3600 requests per hour reached"),
            Refusal::Forbidden => fault(403, "forbidden", "insufficient permissions for this request"),
            Refusal::Trouble => fault(503, "unavailable", "service unavailable"),
            Refusal::Unauthorized => {
                fault(401, "unauthorized", &format!("unable to authenticate with {}", self.token))
            }
        }
    }
}

fn zone_json(zone: &StoredZone) -> Value {
    json!({
        "id": u64::from_str_radix(&zone.id, 16).unwrap_or_default(), "name": zone.name, "mode": "primary",
        "created": "2026-01-01T00:00:00Z", "ttl": 3600, "labels": {}, "protection": { "delete": false },
        "status": "ok", "record_count": 1, "registrar": "hetzner", "primary_nameservers": [],
        "authoritative_nameservers": {
            "assigned": ["hydrogen.ns.hetzner.com."], "delegated": ["hydrogen.ns.hetzner.com."],
            "delegation_last_check": "2026-01-01T00:00:00Z", "delegation_status": "valid",
        },
    })
}

fn set(store: &TxtStore, zone: &StoredZone, relative: &str, name: &str) -> Response<Bytes> {
    let found: Vec<_> = store.txt(&zone.id, name).collect();
    let Some(first) = found.first() else { return not_found("rrset") };
    let echo = if store.echo == Echo::Segmented { Echo::Segmented } else { Echo::Quoted };
    let records: Vec<_> = found
        .iter()
        .map(|record| json!({ "value": store.echoed_as(echo, record), "comment": record.comment.clone().unwrap_or_default() }))
        .collect();
    Reply::json(
        200,
        &json!({ "rrset": {
            "id": format!("{relative}/TXT"), "name": relative, "type": "TXT", "ttl": first.ttl, "labels": {},
            "protection": { "change": false }, "records": records,
            "zone": u64::from_str_radix(&zone.id, 16).unwrap_or_default(),
        } }),
    )
}

/// The plain values, if each is quoted, and none is there twice.
fn values(change: &Change) -> Option<Vec<String>> {
    let values: Vec<_> = change.records.iter().map(|record| plain(&record.value)).collect();
    let quoted =
        change.records.iter().all(|record| record.value.starts_with('"') && record.value.ends_with('"'));
    let distinct = values.iter().enumerate().all(|(place, value)| !values[..place].contains(value));
    (quoted && distinct && (1..=50).contains(&values.len())).then_some(values)
}

fn invalid_records() -> Response<Bytes> {
    fault(422, "invalid_input", "invalid input in field 'records'")
}

fn add(store: &mut TxtStore, zone: &StoredZone, name: &str, change: &Change) -> Response<Bytes> {
    let Some(values) = values(change) else { return invalid_records() };
    let present: Vec<_> =
        store.txt(&zone.id, name).map(|record| (record.value.clone(), record.ttl)).collect();
    let ttl = present.first().map(|(_, ttl)| *ttl);
    if change.ttl.is_some_and(|ttl| ttl < 60) {
        return fault(422, "invalid_input", "invalid input in field 'ttl'");
    }
    if let (Some(wanted), Some(ttl)) = (change.ttl, ttl)
        && wanted != ttl
    {
        return fault(422, "invalid_input", "the ttl must be the same as that of the rrset");
    }
    if present.iter().any(|(value, _)| values.contains(value)) {
        return fault(422, "invalid_input", "the record already exists");
    }
    for (value, record) in values.iter().zip(&change.records) {
        store.insert(&zone.id, name, value, &record.value, ttl.or(change.ttl).unwrap_or(3600));
    }
    done(store, "add_rrset_records", zone)
}

fn remove(store: &mut TxtStore, zone: &StoredZone, name: &str, change: &Change) -> Response<Bytes> {
    let Some(values) = values(change) else { return invalid_records() };
    let present: Vec<_> =
        store.txt(&zone.id, name).map(|record| (record.id.clone(), record.value.clone())).collect();
    if present.is_empty() {
        return not_found("rrset");
    }
    if values.iter().any(|value| present.iter().all(|(_, other)| other != value)) {
        return fault(422, "invalid_input", "the record does not exist");
    }
    for (id, _) in present.iter().filter(|(_, value)| values.contains(value)) {
        store.remove(&zone.id, id);
    }
    done(store, "remove_rrset_records", zone)
}

fn done(store: &mut TxtStore, command: &str, zone: &StoredZone) -> Response<Bytes> {
    let id = store.next_id();
    let resource = u64::from_str_radix(&zone.id, 16).unwrap_or_default();
    Reply::json(201, &json!({ "action": action(id, command, Some(resource), store.pending_looks > 0) }))
}

fn look(store: &mut TxtStore, id: &str) -> Response<Bytes> {
    let pending = store.pending_looks > 0;
    store.pending_looks = store.pending_looks.saturating_sub(1);
    match id.parse() {
        Ok(id) => Reply::json(200, &json!({ "action": action(id, "add_rrset_records", None, pending) })),
        Err(_) => not_found("action"),
    }
}

fn action(id: u64, command: &str, zone: Option<u64>, running: bool) -> Value {
    let resources: Vec<_> = zone.iter().map(|id| json!({ "id": id, "type": "zone" })).collect();
    json!({
        "id": id, "command": command, "status": if running { "running" } else { "success" },
        "progress": if running { 50 } else { 100 }, "started": "2026-01-01T00:00:00Z",
        "finished": if running { Value::Null } else { json!("2026-01-01T00:00:01Z") },
        "resources": resources, "error": null,
    })
}

fn not_found(what: &str) -> Response<Bytes> {
    fault(404, "not_found", &format!("{what} not found"))
}

fn fault(status: u16, code: &str, message: &str) -> Response<Bytes> {
    Reply::json(status, &json!({ "error": { "code": code, "message": message, "details": {} } }))
}
