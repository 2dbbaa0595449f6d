//! NS1 Connect, v1: sets that are replaced, whatever they are.

use bytes::Bytes;
use http::{Method, Request, Response};
use serde_json::{Map, Value, json};

use super::{Refusal, Reply, Service, StoredRecord, StoredZone, TxtStore, store::plain};

/// NS1 Connect, below `/v1`.
///
/// A record is a set. PUT makes one and refuses when there is one, POST replaces the answers of one and refuses
/// when there is none; what it does not mention of the set stays, and what it does not mention of an answer is
/// lost: the note in its metadata, which is the record's [comment](StoredRecord::comment). A zone goes by its
/// name; a [forbidden](TxtStore::forbidden) one is refused.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Ns1 {
    key: String,
}

impl Ns1 {
    /// An account with this API key.
    #[must_use]
    pub fn new(key: &str) -> Self {
        Self { key: key.to_owned() }
    }
}

impl Service for Ns1 {
    fn answer(&self, request: &Request<Bytes>, store: &mut TxtStore) -> Response<Bytes> {
        if request.headers().get("x-nsone-key").is_none_or(|key| key.as_bytes() != self.key.as_bytes()) {
            return self.refusal(Refusal::Unauthorized);
        }
        let path = request.uri().path().to_owned();
        let Some(path) = path.strip_prefix("/v1/zones/") else { return fault(404, "not found") };
        let parts: Vec<_> = path.split('/').collect();
        let [name, rest @ ..] = parts.as_slice() else { return fault(404, "not found") };
        if store.is_forbidden(name) {
            return self.refusal(Refusal::Forbidden);
        }
        let Some(zone) = store.zone_named(name).cloned() else { return fault(404, "zone not found") };
        match (request.method(), rest) {
            (&Method::GET, []) => {
                Reply::json(200, &json!({ "zone": zone.name, "name": zone.name, "id": zone.id, "ttl": 3600 }))
            }
            (method, [owner, "TXT"]) => set(method, request.body(), &zone, owner, store),
            _ => fault(404, "not found"),
        }
    }

    fn refusal(&self, refusal: Refusal) -> Response<Bytes> {
        match refusal {
            Refusal::Busy => fault(429, "rate limit exceeded"),
            Refusal::Forbidden => fault(403, "permission denied"),
            Refusal::Trouble => fault(503, "service unavailable"),
            Refusal::Unauthorized => fault(401, &format!("Unauthorized: {}", self.key)),
        }
    }
}

fn set(
    method: &Method,
    body: &Bytes,
    zone: &StoredZone,
    owner: &str,
    store: &mut TxtStore,
) -> Response<Bytes> {
    let here: Vec<StoredRecord> = store.txt(&zone.id, owner).cloned().collect();
    match (method, here.is_empty()) {
        (&Method::GET, false) => {}
        (&Method::PUT, true) | (&Method::POST, false) => {
            let Ok(body) = serde_json::from_slice::<Map<String, Value>>(body) else {
                return fault(400, "Input validation failed");
            };
            if let Some(refused) = replace(&body, zone, owner, &here, store) {
                return refused;
            }
        }
        (&Method::DELETE, false) => {
            for record in &here {
                store.remove(&zone.id, &record.id);
            }
            return Reply::json(200, &json!({}));
        }
        (&Method::PUT, false) => return fault(400, "record already exists"),
        _ => return fault(404, "record not found"),
    }
    let answers: Vec<_> = store.txt(&zone.id, owner).map(|record| answer_json(store, record)).collect();
    let ttl = store.txt(&zone.id, owner).next().map(|record| record.ttl);
    let body = json!({
        "domain": owner, "zone": zone.name, "type": "TXT", "ttl": ttl, "answers": answers, "link": null,
        "filters": [], "meta": {}, "regions": {}, "tier": 1, "use_client_subnet": true, "networks": [0],
    });
    Reply::json(200, &body)
}

fn answer_json(store: &TxtStore, record: &StoredRecord) -> Value {
    let mut answer = json!({ "answer": [store.echoed(record)], "id": record.id });
    if let Some(note) = &record.comment {
        answer["meta"] = json!({ "note": note });
    }
    answer
}

/// Puts the answers of `body` in the place of what is here; or says why not.
fn replace(
    body: &Map<String, Value>,
    zone: &StoredZone,
    owner: &str,
    here: &[StoredRecord],
    store: &mut TxtStore,
) -> Option<Response<Bytes>> {
    for (field, expected) in [("zone", zone.name.as_str()), ("domain", owner), ("type", "TXT")] {
        let is_right = body.get(field).is_none_or(|value| value == expected);
        if !is_right || (here.is_empty() && !body.contains_key(field)) {
            return Some(fault(400, &format!("Input validation failed: {field}")));
        }
    }
    let ttl = body
        .get("ttl")
        .filter(|ttl| !ttl.is_null())
        .map(|ttl| ttl.as_u64().and_then(|it| u32::try_from(it).ok()));
    let Some(ttl) = ttl.unwrap_or_else(|| Some(here.first().map_or(3600, |record| record.ttl))) else {
        return Some(fault(400, "Input validation failed: ttl"));
    };
    let answers = body.get("answers").and_then(Value::as_array).filter(|answers| !answers.is_empty());
    let Some(answers) = answers else { return Some(fault(400, "Input validation failed: answers")) };
    let mut new = Vec::new();
    for answer in answers {
        let Some([Value::String(text)]) = answer["answer"].as_array().map(Vec::as_slice) else {
            return Some(fault(400, "Input validation failed: a TXT answer is one text"));
        };
        new.push((text, answer["meta"]["note"].as_str().map(str::to_owned)));
    }
    for record in here {
        store.remove(&zone.id, &record.id);
    }
    for (text, note) in new {
        let id = store.insert(&zone.id, owner, &plain(text), text, ttl);
        if let Some(record) = store.records.iter_mut().find(|record| record.id == id) {
            record.comment = note;
        }
    }
    None
}

fn fault(status: u16, message: &str) -> Response<Bytes> {
    let mut response = Reply::json(status, &json!({ "message": message }));
    for (name, value) in [("x-ratelimit-limit", "900"), ("x-ratelimit-period", "300")] {
        response.headers_mut().insert(name, http::HeaderValue::from_static(value));
    }
    response
}
