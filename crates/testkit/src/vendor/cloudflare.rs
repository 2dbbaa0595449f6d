//! Cloudflare's API v4: per-record, with a batch that is one transaction.

use bytes::Bytes;
use http::{Method, Request, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Refusal, Reply, Service, StoredRecord, StoredZone, TxtStore, query, store::plain};

/// Cloudflare's API v4, below `/client/v4`.
///
/// A second equal record is refused (81058), a page of zones has 20 items and at most 50, one batch at most 200
/// changes, and a token whose account has [forbidden](TxtStore::forbidden) names may neither list zones nor
/// look those up.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Cloudflare {
    token: String,
    zone_token: Option<String>,
}

impl Cloudflare {
    /// An account with this token.
    #[must_use]
    pub fn new(token: &str) -> Self {
        Self { token: token.to_owned(), zone_token: None }
    }

    /// Zones are to be read with another token.
    #[must_use]
    pub fn zone_token(mut self, token: &str) -> Self {
        self.zone_token = Some(token.to_owned());
        self
    }

    fn allows(&self, request: &Request<Bytes>, of_zones: bool) -> Option<Response<Bytes>> {
        let header = request.headers().get("authorization").and_then(|value| value.to_str().ok());
        let Some(token) = header.and_then(|header| header.strip_prefix("Bearer ")) else {
            return Some(fault(400, 6003, "Invalid request headers"));
        };
        let right = self.zone_token.as_ref().filter(|_| of_zones).unwrap_or(&self.token);
        match token {
            token if token == right => None,
            token if token == self.token || Some(token) == self.zone_token.as_deref() => {
                Some(fault(403, 10000, "Authentication error"))
            }
            _ => Some(fault(403, 9109, "Invalid access token")),
        }
    }
}

#[derive(Deserialize)]
struct NewRecord {
    r#type: String,
    name: String,
    content: String,
    ttl: u32,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Batch {
    deletes: Vec<Named>,
    posts: Vec<NewRecord>,
}

#[derive(Deserialize)]
struct Named {
    id: String,
}

impl Service for Cloudflare {
    fn answer(&self, request: &Request<Bytes>, store: &mut TxtStore) -> Response<Bytes> {
        let path = request.uri().path().to_owned();
        let Some(path) = path.strip_prefix("/client/v4/zones") else { return fault(404, 7000, "No route") };
        let parts: Vec<_> = path.split('/').skip(1).collect();
        if let Some(refused) = self.allows(request, parts.len() < 2) {
            return refused;
        }
        match (request.method(), parts.as_slice()) {
            (&Method::GET, []) => zones(request, store),
            (method, [id, rest @ ..]) => {
                let Some(zone) = store.zone(id).cloned() else {
                    return fault(400, 7003, "Could not route, perhaps your object identifier is invalid?");
                };
                match (method, rest) {
                    (&Method::GET, []) => done(200, zone_json(&zone)),
                    (&Method::GET, ["dns_records"]) => records(request, &zone, store),
                    (&Method::POST, ["dns_records"]) => with_body(request, |new| create(store, &zone, &new)),
                    (&Method::POST, ["dns_records", "batch"]) => {
                        with_body(request, |batch| run(store, &zone, batch))
                    }
                    (&Method::DELETE, ["dns_records", id]) => match store.remove(&zone.id, id) {
                        true => done(200, json!({ "id": id })),
                        false => fault(404, 81044, "Record does not exist."),
                    },
                    _ => fault(405, 7001, "Method not allowed"),
                }
            }
            _ => fault(405, 7001, "Method not allowed"),
        }
    }

    fn refusal(&self, refusal: Refusal) -> Response<Bytes> {
        match refusal {
            Refusal::Busy => fault(429, 971, "Please wait and consider throttling your request speed"),
            Refusal::Forbidden => {
                fault(403, 0, "Actor requires permission com.cloudflare.api.account.zone.list to list zones")
            }
            Refusal::Trouble => fault(503, 0, "Service temporarily unavailable"),
            Refusal::Unauthorized => {
                fault(401, 10000, &format!("Authentication error: {} is not known here", self.token))
            }
        }
    }
}

fn zones(request: &Request<Bytes>, store: &TxtStore) -> Response<Bytes> {
    let name = query(request, "name");
    let scoped = match &name {
        Some(name) => store.is_forbidden(name),
        None => !store.forbidden.is_empty(),
    };
    if scoped {
        return fault(403, 0, "Actor requires permission com.cloudflare.api.account.zone.list to list zones");
    }
    let zones: Vec<_> =
        store.zones.iter().filter(|zone| name.as_ref().is_none_or(|name| *name == zone.name)).collect();
    list(request, store, &zones, 20, 5..=50, |zone| zone_json(zone))
}

fn zone_json(zone: &StoredZone) -> Value {
    json!({
        "id": zone.id, "name": zone.name, "status": "active", "type": "full", "paused": false,
        "development_mode": 0,
        "owner": { "id": "0123456789abcdef0123456789abcdef", "type": "organization", "name": "fake" },
        "account": { "id": "0123456789abcdef0123456789abcdef", "name": "fake" },
        "meta": { "step": 2, "custom_certificate_quota": 0, "page_rule_quota": 3, "phishing_detected": false },
        "name_servers": ["bob.ns.cloudflare.com", "lola.ns.cloudflare.com"],
        "original_name_servers": null, "original_registrar": null, "original_dnshost": null,
        "created_on": "2026-01-01T00:00:00Z", "modified_on": "2026-01-01T00:00:00Z",
        "activated_on": "2026-01-01T00:00:00Z",
    })
}

fn records(request: &Request<Bytes>, zone: &StoredZone, store: &TxtStore) -> Response<Bytes> {
    let (name, kind) = (query(request, "name"), query(request, "type"));
    let found: Vec<_> = store
        .records
        .iter()
        .filter(|record| record.zone == zone.id)
        .filter(|record| name.as_ref().is_none_or(|name| *name == record.name))
        .filter(|record| kind.as_ref().is_none_or(|kind| *kind == record.kind))
        .collect();
    list(request, store, &found, 100, 1..=5_000_000, |record| record_json(store, record))
}

fn record_json(store: &TxtStore, record: &StoredRecord) -> Value {
    let mut object = json!({
        "id": record.id,
        "type": record.kind,
        "name": record.name,
        "content": store.echoed(record),
        "ttl": record.ttl,
        "proxiable": false,
        "proxied": false,
        "tags": [],
        "created_on": "2026-01-01T00:00:00Z",
        "modified_on": "2026-01-01T00:00:00Z",
    });
    if let (Some(comment), Some(object)) = (&record.comment, object.as_object_mut()) {
        object.insert("comment".to_owned(), comment.as_str().into());
    }
    object
}

fn list<T>(
    request: &Request<Bytes>,
    store: &TxtStore,
    items: &[T],
    default: usize,
    allowed: std::ops::RangeInclusive<usize>,
    json: impl Fn(&T) -> Value,
) -> Response<Bytes> {
    let number = |name: &str| query(request, name).map(|value| value.parse::<usize>().ok());
    let (Some(page), Some(per_page)) =
        (number("page").unwrap_or(Some(1)), number("per_page").unwrap_or(Some(default)))
    else {
        return fault(400, 1004, "page and per_page are numbers");
    };
    if !allowed.contains(&per_page) {
        return fault(400, 1004, "per_page is out of range");
    }
    let (here, _) = store.page(items, page, per_page);
    let per_page = store.page_size.unwrap_or(usize::MAX).min(per_page);
    let result: Vec<_> = here.iter().map(json).collect();
    let info = json!({
        "page": page, "per_page": per_page, "count": result.len(), "total_count": items.len(),
        "total_pages": items.len().div_ceil(per_page),
    });
    let body =
        json!({ "success": true, "errors": [], "messages": [], "result": result, "result_info": info });
    Reply::json(200, &body)
}

/// What is wrong with a record, if anything is.
fn objection(store: &TxtStore, zone: &StoredZone, new: &NewRecord) -> Option<Response<Bytes>> {
    if new.r#type != "TXT" {
        return Some(fault(400, 9000, "only TXT records are known here"));
    }
    if new.ttl != 1 && !(60..=86400).contains(&new.ttl) {
        let text = "Invalid TTL. Must be between 60 and 86400 seconds, or 1 for Automatic.";
        return Some(fault(400, 9021, text));
    }
    let (name, value) = (absolute(zone, &new.name), plain(&new.content));
    if new.content.starts_with('"') != new.content.ends_with('"') || value.is_empty() {
        return Some(fault(400, 9207, "Content for TXT record is invalid."));
    }
    let same = store.txt(&zone.id, &name).any(|record| record.value == value);
    same.then(|| fault(400, 81058, "An identical record already exists."))
}

/// A name outside the zone is read as relative to it.
fn absolute(zone: &StoredZone, name: &str) -> String {
    let inside = name == zone.name || name.ends_with(&format!(".{}", zone.name));
    if inside { name.to_owned() } else { format!("{name}.{}", zone.name) }
}

fn create(store: &mut TxtStore, zone: &StoredZone, new: &NewRecord) -> Response<Bytes> {
    match objection(store, zone, new) {
        Some(refused) => refused,
        None => {
            let created = insert(store, zone, new);
            done(200, created)
        }
    }
}

fn insert(store: &mut TxtStore, zone: &StoredZone, new: &NewRecord) -> Value {
    let (name, value) = (absolute(zone, &new.name), plain(&new.content));
    let id = store.insert(&zone.id, &name, &value, &new.content, new.ttl);
    let record = store.records.iter().find(|record| record.id == id);
    record.map_or(Value::Null, |record| record_json(store, record))
}

/// Deletes, then posts: all or nothing.
fn run(store: &mut TxtStore, zone: &StoredZone, batch: Batch) -> Response<Bytes> {
    if batch.deletes.len() + batch.posts.len() > 200 {
        return fault(400, 9300, "a batch has at most 200 changes");
    }
    let mut after = store.clone();
    for delete in &batch.deletes {
        if !after.remove(&zone.id, &delete.id) {
            return fault(404, 81044, "Record does not exist.");
        }
    }
    let mut posts = Vec::new();
    for new in &batch.posts {
        if let Some(refused) = objection(&after, zone, new) {
            return refused;
        }
        posts.push(insert(&mut after, zone, new));
    }
    *store = after;
    let deletes: Vec<_> = batch.deletes.iter().map(|delete| json!({ "id": delete.id })).collect();
    done(200, json!({ "deletes": deletes, "patches": [], "puts": [], "posts": posts }))
}

fn with_body<T: for<'de> Deserialize<'de>>(
    request: &Request<Bytes>,
    then: impl FnOnce(T) -> Response<Bytes>,
) -> Response<Bytes> {
    match serde_json::from_slice(request.body()) {
        Ok(body) => then(body),
        Err(error) => fault(400, 9207, &format!("Request body is invalid: {error}")),
    }
}

fn done(status: u16, result: Value) -> Response<Bytes> {
    Reply::json(status, &json!({ "success": true, "errors": [], "messages": [], "result": result }))
}

fn fault(status: u16, code: u32, message: &str) -> Response<Bytes> {
    let errors = [json!({ "code": code, "message": message })];
    let mut response =
        Reply::json(status, &json!({ "success": false, "errors": errors, "messages": [], "result": null }));
    response.headers_mut().insert("cf-ray", http::HeaderValue::from_static("8f0000000000abcd-FRA"));
    response
}
