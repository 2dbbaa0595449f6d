//! Porkbun's API v3: per-record, with its keys in the body and one sentence for many refusals.

use bytes::Bytes;
use http::{Method, Request, Response};
use serde_json::{Value, json};

use super::{Refusal, Reply, Service, StoredRecord, StoredZone, TxtStore};

/// Porkbun's API v3, below `/api/json/v3`.
///
/// Everything is a POST whose body has the keys; what is wrong is said with 400 or 503 and `ERROR`. Identifiers are
/// numbers when a record is made and texts in lists, as times to live are. An equal record cannot be made, which
/// is said in the same words as other reasons are; a list has no pages. A name among the
/// [forbidden](TxtStore::forbidden) ones is a domain that is not opted in to API access.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Porkbun {
    key: String,
    secret: String,
}

impl Porkbun {
    /// An account with this API key and its secret.
    #[must_use]
    pub fn new(key: &str, secret: &str) -> Self {
        Self { key: key.to_owned(), secret: secret.to_owned() }
    }

    /// What is wrong with the keys, if anything is.
    fn objection(&self, body: &Value) -> Option<Response<Bytes>> {
        let Some(secret) = body["secretapikey"].as_str() else {
            return Some(fault(400, Some("MISSING_SECRETAPIKEY"), "Missing secretapikey."));
        };
        match body["apikey"].as_str() {
            Some(key) if key == self.key && secret == self.secret => None,
            _ => Some(self.refusal(Refusal::Unauthorized)),
        }
    }
}

impl Service for Porkbun {
    fn answer(&self, request: &Request<Bytes>, store: &mut TxtStore) -> Response<Bytes> {
        let path = request.uri().path().to_owned();
        let Some(path) = path.strip_prefix("/api/json/v3/") else { return fault(404, None, "Not found.") };
        if request.method() != Method::POST {
            return fault(405, None, "Use POST.");
        }
        let Ok(body @ Value::Object(_)) = serde_json::from_slice::<Value>(request.body()) else {
            return fault(400, None, "All requests must be JSON.");
        };
        if let Some(refused) = self.objection(&body) {
            return refused;
        }
        let parts: Vec<_> = path.split('/').collect();
        let ["dns", verb, domain, rest @ ..] = parts.as_slice() else {
            return fault(404, None, "Not found.");
        };
        let Some(zone) = store.zone_named(domain).cloned() else {
            return fault(400, None, "Invalid domain.");
        };
        if store.is_forbidden(domain) {
            return self.refusal(Refusal::Forbidden);
        }
        match (*verb, rest) {
            ("retrieveByNameType", [kind]) => list(store, &zone, kind, &zone.name),
            ("retrieveByNameType", [kind, name]) => {
                list(store, &zone, kind, &format!("{name}.{}", zone.name))
            }
            ("create", []) => create(store, &zone, &body),
            ("delete", [id]) => match store.remove(&zone.id, id) {
                true => Reply::json(200, &json!({ "status": "SUCCESS" })),
                false => fault(400, Some("INVALID_RECORD_ID"), "Invalid record ID."),
            },
            _ => fault(404, None, "Not found."),
        }
    }

    fn refusal(&self, refusal: Refusal) -> Response<Bytes> {
        match refusal {
            Refusal::Busy => fault(429, Some("RATE_LIMIT_EXCEEDED"), "Rate limit exceeded."),
            Refusal::Forbidden => fault(
                400,
                None,
                "Domain is not opted in to API access. You can enable API access for all domains globally from \
                 your account settings at porkbun.com.",
            ),
            Refusal::Trouble => fault(503, None, "Service temporarily unavailable."),
            Refusal::Unauthorized => {
                let text = format!("Invalid API key. (001) {} {}", self.key, self.secret);
                fault(400, Some("INVALID_API_KEYS_001"), &text)
            }
        }
    }

    fn writes(&self, request: &Request<Bytes>) -> bool {
        let path = request.uri().path();
        path.contains("/dns/create/") || path.contains("/dns/delete/")
    }
}

fn list(store: &TxtStore, zone: &StoredZone, kind: &str, name: &str) -> Response<Bytes> {
    let found = store.records.iter().filter(|it| it.zone == zone.id && it.kind == kind && it.name == name);
    let mut records: Vec<_> = found.map(|it| record_json(store, it)).collect();
    if kind == "NS" {
        let server = json!({
            "id": "1", "name": name, "type": "NS", "content": "maceio.ns.example", "ttl": "86400",
            "prio": null, "notes": null,
        });
        records.push(server);
    }
    Reply::json(200, &json!({ "status": "SUCCESS", "cloudflare": "enabled", "records": records }))
}

fn record_json(store: &TxtStore, record: &StoredRecord) -> Value {
    json!({
        "id": record.id,
        "name": record.name,
        "type": record.kind,
        "content": store.echoed(record),
        "ttl": record.ttl.to_string(),
        "prio": "0",
        "notes": record.comment,
    })
}

fn create(store: &mut TxtStore, zone: &StoredZone, body: &Value) -> Response<Bytes> {
    let text = |name: &str| body[name].as_str().unwrap_or_default();
    let content = text("content");
    if text("type") != "TXT" || content.is_empty() || content.trim() != content {
        return not_created();
    }
    let Some(ttl) = text("ttl").parse().ok().filter(|ttl| *ttl >= 600) else {
        return fault(400, Some("INVALID_TTL"), "Invalid TTL: the minimum is 600.");
    };
    let name = match text("name") {
        "" => zone.name.clone(),
        relative => format!("{relative}.{}", zone.name),
    };
    if store.txt(&zone.id, &name).any(|record| record.value == content) {
        return not_created();
    }
    let id = store.insert(&zone.id, &name, content, content, ttl);
    let id = id.parse::<u64>().unwrap_or_default();
    Reply::json(200, &json!({ "status": "SUCCESS", "id": id }))
}

fn not_created() -> Response<Bytes> {
    fault(400, None, "Create error: We were unable to create the DNS record.")
}

fn fault(status: u16, code: Option<&str>, message: &str) -> Response<Bytes> {
    let mut body = json!({ "status": "ERROR", "message": message });
    if let Some(code) = code {
        body["code"] = code.into();
    }
    Reply::json(status, &body)
}
