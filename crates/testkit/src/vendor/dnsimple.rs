//! DNSimple's API v2: per-record, below the number of an account.

use bytes::Bytes;
use http::{Method, Request, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Refusal, Reply, Service, StoredRecord, StoredZone, TxtStore,
    asked::{absolute, bearer, parts, relative},
    query,
};

/// DNSimple's API v2, below `/v2`.
///
/// Its account has the number 1010. Two equal records are refused, a page has 30 items unless more are asked for
/// (100 at most), names are relative to the zone and empty at its apex, and whether a zone has reached all
/// name servers can be asked.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Dnsimple {
    token: String,
    of_user: bool,
}

impl Dnsimple {
    /// An account with this token.
    #[must_use]
    pub fn new(token: &str) -> Self {
        Self { token: token.to_owned(), of_user: false }
    }

    /// The token is a user's, who may have several accounts.
    #[must_use]
    pub const fn of_user(mut self) -> Self {
        self.of_user = true;
        self
    }
}

#[derive(Deserialize)]
struct NewRecord {
    r#type: String,
    name: String,
    content: String,
    #[serde(default = "default_ttl")]
    ttl: u32,
}

const fn default_ttl() -> u32 {
    3600
}

const ACCOUNT: &str = "1010";

impl Service for Dnsimple {
    fn answer(&self, request: &Request<Bytes>, store: &mut TxtStore) -> Response<Bytes> {
        if bearer(request) != Some(&self.token) {
            return self.refusal(Refusal::Unauthorized);
        }
        let parts = parts(request, "/v2");
        let parts: Vec<_> = parts.iter().map(String::as_str).collect();
        match parts.as_slice() {
            ["whoami"] => self.whoami(),
            ["accounts"] => Reply::json(200, &json!({ "data": [account()] })),
            [ACCOUNT, "zones", name, rest @ ..] => {
                if store.is_forbidden(name) {
                    return self.refusal(Refusal::Forbidden);
                }
                let Some(zone) = store.zone_named(name).cloned() else { return not_found("Zone", name) };
                in_zone(request, &zone, rest, store)
            }
            _ => not_found("Route", request.uri().path()),
        }
    }

    fn refusal(&self, refusal: Refusal) -> Response<Bytes> {
        match refusal {
            Refusal::Busy => fault(429, "quota exceeded"),
            Refusal::Forbidden => fault(403, "Permission Denied. Required Scope: zones:*:read"),
            Refusal::Trouble => fault(503, "Service Unavailable"),
            Refusal::Unauthorized => fault(401, &format!("Authentication failed for {}", self.token)),
        }
    }
}

impl Dnsimple {
    fn whoami(&self) -> Response<Bytes> {
        let user = json!({
            "id": 7, "email": "user@example.com", "created_at": "2026-01-01T00:00:00Z",
            "updated_at": "2026-01-01T00:00:00Z",
        });
        let (user, account) = if self.of_user { (user, Value::Null) } else { (Value::Null, account()) };
        Reply::json(200, &json!({ "data": { "user": user, "account": account } }))
    }
}

fn account() -> Value {
    json!({
        "id": 1010, "email": "owner@example.com", "plan_identifier": "teams-v2-monthly",
        "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
    })
}

fn in_zone(
    request: &Request<Bytes>,
    zone: &StoredZone,
    rest: &[&str],
    store: &mut TxtStore,
) -> Response<Bytes> {
    match (request.method(), rest) {
        (&Method::GET, []) => Reply::json(200, &json!({ "data": zone_json(zone) })),
        (&Method::GET, ["distribution"]) => {
            let distributed = store.pending_looks == 0;
            store.pending_looks = store.pending_looks.saturating_sub(1);
            Reply::json(200, &json!({ "data": { "distributed": distributed } }))
        }
        (&Method::GET, ["records"]) => records(request, zone, store),
        (&Method::POST, ["records"]) => create(request, zone, store),
        (&Method::DELETE, ["records", id]) => match store.remove(&zone.id, id) {
            true => Reply::empty(204),
            false => not_found("Record", id),
        },
        _ => not_found("Route", request.uri().path()),
    }
}

fn zone_json(zone: &StoredZone) -> Value {
    json!({
        "id": u64::from_str_radix(&zone.id, 16).unwrap_or_default(), "account_id": 1010, "name": zone.name,
        "reverse": false, "secondary": false, "last_transferred_at": null, "active": true,
        "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
    })
}

fn records(request: &Request<Bytes>, zone: &StoredZone, store: &TxtStore) -> Response<Bytes> {
    let (name, kind) = (query(request, "name"), query(request, "type"));
    let found: Vec<_> = store
        .records
        .iter()
        .filter(|record| record.zone == zone.id)
        .filter(|record| name.as_ref().is_none_or(|name| *name == relative(zone, &record.name)))
        .filter(|record| kind.as_ref().is_none_or(|kind| *kind == record.kind))
        .map(|record| record_json(store, zone, record))
        .collect();
    let number = |name: &str, default: usize| match query(request, name) {
        Some(text) => text.parse::<usize>().ok(),
        None => Some(default),
    };
    let (Some(page @ 1..), Some(per_page @ 1..=100)) = (number("page", 1), number("per_page", 30)) else {
        return fault(400, "Invalid pagination");
    };
    let (here, _) = store.page(&found, page, per_page);
    let per_page = store.page_size.unwrap_or(usize::MAX).min(per_page);
    let pagination = json!({
        "current_page": page, "per_page": per_page, "total_entries": found.len(),
        "total_pages": found.len().div_ceil(per_page).max(1),
    });
    Reply::json(200, &json!({ "data": here, "pagination": pagination }))
}

fn record_json(store: &TxtStore, zone: &StoredZone, record: &StoredRecord) -> Value {
    json!({
        "id": record.id.parse::<u64>().unwrap_or_default(), "zone_id": zone.name, "parent_id": null,
        "name": relative(zone, &record.name), "content": store.echoed(record), "ttl": record.ttl,
        "priority": null, "type": record.kind, "regions": ["global"], "system_record": false,
        "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
    })
}

fn create(request: &Request<Bytes>, zone: &StoredZone, store: &mut TxtStore) -> Response<Bytes> {
    let new: NewRecord = match serde_json::from_slice(request.body()) {
        Ok(new) => new,
        Err(error) => return fault(400, &format!("Validation failed: {error}")),
    };
    if new.r#type != "TXT" || new.content.is_empty() {
        return invalid("content", "can't be blank");
    }
    let name = absolute(zone, &new.name);
    if store.txt(&zone.id, &name).any(|record| record.value == new.content) {
        return invalid("base", "Zone record already exists");
    }
    let id = store.insert(&zone.id, &name, &new.content, &new.content, new.ttl);
    let record = store.records.iter().find(|record| record.id == id);
    let record = record.map_or(Value::Null, |record| record_json(store, zone, record));
    Reply::json(201, &json!({ "data": record }))
}

fn invalid(field: &str, reason: &str) -> Response<Bytes> {
    Reply::json(400, &json!({ "message": "Validation failed", "errors": { field: [reason] } }))
}

fn not_found(what: &str, which: &str) -> Response<Bytes> {
    fault(404, &format!("{what} `{which}` not found"))
}

fn fault(status: u16, message: &str) -> Response<Bytes> {
    Reply::json(status, &json!({ "message": message }))
}
