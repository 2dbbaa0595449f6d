//! Akamai Edge DNS, Config DNS API v2, as its document has it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
};

use bytes::Bytes;
use http::{Method, Request, Response};
use serde::Deserialize;
use serde_json::json;

use super::{Echo, Refusal, Reply, Service, StoredZone, TxtStore, store::plain};
use crate::sync::lock;

/// Akamai Edge DNS.
///
/// A record set is made where there is none (POST, or 409), or replaced (PUT, or 404), blindly. Values are in quotes. A
/// nonce is good once.
pub struct Akamai {
    client_token: String,
    access_token: String,
    nonces: Mutex<BTreeSet<String>>,
}

impl Akamai {
    /// Whoever signs with these tokens.
    #[must_use]
    pub fn new(client_token: &str, access_token: &str) -> Self {
        let (client_token, access_token) = (client_token.to_owned(), access_token.to_owned());
        Self { client_token, access_token, nonces: Mutex::default() }
    }

    /// Whether the signature names the tokens, the time, and a nonce that is new.
    fn is_signed(&self, request: &Request<Bytes>) -> bool {
        let header =
            request.headers().get("authorization").and_then(|it| it.to_str().ok()).unwrap_or_default();
        let Some(fields) = header.strip_prefix("EG1-HMAC-SHA256 ") else { return false };
        let fields: BTreeMap<_, _> = fields.split(';').filter_map(|field| field.split_once('=')).collect();
        let is = |name: &str, value: &str| fields.get(name).is_some_and(|field| *field == value);
        let nonce = fields.get("nonce").copied().unwrap_or_default().to_owned();
        is("client_token", &self.client_token)
            && is("access_token", &self.access_token)
            && fields.get("timestamp").is_some_and(|time| time.ends_with("+0000"))
            && fields.contains_key("signature")
            && lock(&self.nonces).insert(nonce)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordSet {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    ttl: u32,
    rdata: Vec<String>,
}

impl Service for Akamai {
    fn answer(&self, request: &Request<Bytes>, store: &mut TxtStore) -> Response<Bytes> {
        if !self.is_signed(request) {
            return self.refusal(Refusal::Unauthorized);
        }
        let parts: Vec<_> = request.uri().path().trim_start_matches('/').split('/').collect();
        let ["config-dns", "v2", "zones", zone, rest @ ..] = parts.as_slice() else {
            return problem(404, "Not Found", "There is no such resource.");
        };
        if store.is_forbidden(zone) {
            return self.refusal(Refusal::Forbidden);
        }
        let Some(zone) = store.zone_named(zone).cloned() else {
            return problem(404, "Not Found", "The zone does not exist.");
        };
        match (request.method().clone(), rest) {
            (Method::GET, []) => Reply::json(200, &zone_object(&zone)),
            (method, ["names", name, "types", "TXT"]) => {
                let name = name.to_ascii_lowercase();
                record_set(&method, request.body(), store, &zone, &name)
            }
            _ => problem(404, "Not Found", "There is no such resource."),
        }
    }

    fn refusal(&self, refusal: Refusal) -> Response<Bytes> {
        match refusal {
            Refusal::Busy => problem(429, "Too Many Requests", "Slow down."),
            Refusal::Forbidden => problem(403, "Forbidden", "The client has no access to the zone's group."),
            Refusal::Trouble => problem(503, "Service Unavailable", "Try again."),
            Refusal::Unauthorized => problem(401, "Not authorized", "Signature does not match"),
        }
    }
}

fn zone_object(zone: &StoredZone) -> serde_json::Value {
    json!({
        "zone": zone.name, "type": "PRIMARY", "contractId": "C-FAKE", "activationState": "ACTIVE",
        "lastModifiedBy": "fake", "lastModifiedDate": "2026-01-01T00:00:00Z",
        "versionId": "00000000-0000-4000-8000-000000000001",
    })
}

fn record_set(
    method: &Method,
    body: &[u8],
    store: &mut TxtStore,
    zone: &StoredZone,
    name: &str,
) -> Response<Bytes> {
    let is_there = store.txt(&zone.id, name).next().is_some();
    match *method {
        Method::GET if is_there => Reply::json(200, &object(store, zone, name)),
        Method::GET | Method::PUT | Method::DELETE if !is_there => {
            problem(404, "Not Found", "The record set does not exist.")
        }
        Method::POST if is_there => problem(409, "Conflict", "The record set already exists."),
        Method::DELETE => {
            replace(store, zone, name, 0, &BTreeMap::new());
            Reply::empty(204)
        }
        Method::POST | Method::PUT => match read(body, name) {
            Ok((ttl, values)) => {
                replace(store, zone, name, ttl, &values);
                Reply::json(if is_there { 200 } else { 201 }, &object(store, zone, name))
            }
            Err(detail) => problem(400, "Bad Request", detail),
        },
        _ => problem(405, "Method Not Allowed", "There is no such method."),
    }
}

fn read(body: &[u8], name: &str) -> Result<(u32, BTreeMap<String, String>), &'static str> {
    let set: RecordSet = serde_json::from_slice(body).map_err(|_| "The record set is malformed.")?;
    if set.name != name || set.kind != "TXT" {
        return Err("The name or the type is not that of the path.");
    }
    if set.ttl < 30 || set.rdata.is_empty() {
        return Err("The TTL is below 30, or there is no record.");
    }
    if set.rdata.iter().any(|value| !value.starts_with('"') || !value.ends_with('"')) {
        return Err("A TXT record must be in quotes.");
    }
    let values: BTreeMap<_, _> = set.rdata.iter().map(|sent| (plain(sent), sent.clone())).collect();
    if values.len() == set.rdata.len() { Ok((set.ttl, values)) } else { Err("A record comes twice.") }
}

fn replace(store: &mut TxtStore, zone: &StoredZone, name: &str, ttl: u32, values: &BTreeMap<String, String>) {
    let there: Vec<_> =
        store.txt(&zone.id, name).map(|record| (record.id.clone(), record.value.clone())).collect();
    for (id, _) in there.iter().filter(|(_, value)| !values.contains_key(value)) {
        store.remove(&zone.id, id);
    }
    for (value, sent) in values.iter().filter(|(value, _)| !there.iter().any(|(_, it)| it == *value)) {
        store.insert(&zone.id, name, value, sent, ttl);
    }
    for record in &mut store.records {
        if record.zone == zone.id && record.name == name && record.kind == "TXT" {
            record.ttl = ttl;
        }
    }
}

fn object(store: &TxtStore, zone: &StoredZone, name: &str) -> serde_json::Value {
    // It writes zone file format, whatever it was sent.
    let echo = if store.echo == Echo::Segmented { Echo::Segmented } else { Echo::Quoted };
    let records: Vec<_> = store.txt(&zone.id, name).collect();
    let rdata: Vec<_> = records.iter().map(|record| store.echoed_as(echo, record)).collect();
    let ttl = records.first().map_or(0, |record| record.ttl);
    json!({ "name": name, "type": "TXT", "ttl": ttl, "rdata": rdata })
}

fn problem(status: u16, title: &str, detail: &str) -> Response<Bytes> {
    Reply::json(
        status,
        &json!({
            "type": "https://problems.luna.akamaiapis.net/config-dns/fake", "title": title, "detail": detail,
            "status": status, "requestId": "fake-7c8e4e4d",
        }),
    )
}
