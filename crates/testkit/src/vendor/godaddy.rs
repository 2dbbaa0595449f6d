//! GoDaddy's API v1: one record set is replaced.

use bytes::Bytes;
use http::{Method, Request, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Refusal, Reply, Service, StoredZone, TxtStore,
    asked::{absolute, credential, parts},
};

/// GoDaddy's API v1, below `/v1`.
///
/// A set is read, put and deleted by its type and name, which is `@` at the apex; an empty set cannot be put, no
/// time to live is below ten minutes, and the domain itself may be looked at by large accounts only.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GoDaddy {
    key: String,
    secret: String,
}

impl GoDaddy {
    /// An account with this key and secret.
    #[must_use]
    pub fn new(key: &str, secret: &str) -> Self {
        Self { key: key.to_owned(), secret: secret.to_owned() }
    }
}

#[derive(Deserialize)]
struct Record {
    data: String,
    #[serde(default = "default_ttl")]
    ttl: u32,
}

const fn default_ttl() -> u32 {
    3600
}

impl Service for GoDaddy {
    fn answer(&self, request: &Request<Bytes>, store: &mut TxtStore) -> Response<Bytes> {
        let expected = format!("{}:{}", self.key, self.secret);
        if credential(request, "sso-key") != Some(&expected) {
            return self.refusal(Refusal::Unauthorized);
        }
        let parts = parts(request, "/v1/domains");
        let parts: Vec<_> = parts.iter().map(String::as_str).collect();
        let [name, "records", "TXT", relative] = parts.as_slice() else {
            return fault(403, "ACCESS_DENIED", "Authenticated user is not allowed access");
        };
        if store.is_forbidden(name) {
            return self.refusal(Refusal::Forbidden);
        }
        let Some(zone) = store.zone_named(name).cloned() else {
            return fault(
                404,
                "UNKNOWN_DOMAIN",
                "The given domain is not registered, or does not have a zone file",
            );
        };
        let name = absolute(&zone, relative);
        match *request.method() {
            Method::GET => Reply::json(200, &records(store, &zone, relative, &name)),
            Method::PUT => put(request, &zone, &name, store),
            Method::DELETE => {
                clear(&zone, &name, store);
                Reply::empty(204)
            }
            _ => fault(405, "METHOD_NOT_ALLOWED", "no such method"),
        }
    }

    fn refusal(&self, refusal: Refusal) -> Response<Bytes> {
        match refusal {
            Refusal::Busy => Reply::json(
                429,
                &json!({ "code": "TOO_MANY_REQUESTS", "message": "Too many requests received within interval",
                         "retryAfterSec": 1 }),
            ),
            Refusal::Forbidden => fault(403, "ACCESS_DENIED", "Authenticated user is not allowed access"),
            Refusal::Trouble => fault(503, "UNAVAILABLE", "Service unavailable"),
            Refusal::Unauthorized => {
                fault(401, "UNABLE_TO_AUTHENTICATE", &format!("Unauthorized : {}:{}", self.key, self.secret))
            }
        }
    }
}

fn records(store: &TxtStore, zone: &StoredZone, relative: &str, name: &str) -> Vec<Value> {
    let found = store.txt(&zone.id, name);
    found
        .map(|record| json!({ "type": "TXT", "name": relative, "data": store.echoed(record), "ttl": record.ttl }))
        .collect()
}

fn put(request: &Request<Bytes>, zone: &StoredZone, name: &str, store: &mut TxtStore) -> Response<Bytes> {
    let records: Vec<Record> = match serde_json::from_slice(request.body()) {
        Ok(records) => records,
        Err(error) => {
            return fault(422, "INVALID_BODY", &format!("Request body doesn't fulfill schema: {error}"));
        }
    };
    if records.is_empty() {
        return fault(422, "INVALID_BODY", "Request body doesn't fulfill schema, see details in `fields`");
    }
    if records.iter().any(|record| record.ttl < 600) {
        return fault(422, "INVALID_BODY", "ttl is less than 600");
    }
    if records.iter().any(|record| record.data.is_empty()) {
        return fault(422, "INVALID_BODY", "data is empty");
    }
    clear(zone, name, store);
    for record in &records {
        // Equal records are one.
        if !store.txt(&zone.id, name).any(|other| other.value == record.data) {
            store.insert(&zone.id, name, &record.data, &record.data, record.ttl);
        }
    }
    Reply::empty(200)
}

fn clear(zone: &StoredZone, name: &str, store: &mut TxtStore) {
    let old: Vec<_> = store.txt(&zone.id, name).map(|record| record.id.clone()).collect();
    for id in &old {
        store.remove(&zone.id, id);
    }
}

fn fault(status: u16, code: &str, message: &str) -> Response<Bytes> {
    Reply::json(status, &json!({ "code": code, "message": message }))
}
