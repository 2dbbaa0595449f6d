//! Gandi's LiveDNS API v5: one record set is replaced.

use bytes::Bytes;
use http::{Method, Request, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Echo, Refusal, Reply, Service, StoredZone, TxtStore,
    asked::{absolute, bearer, parts},
    store::plain,
};

/// Gandi's LiveDNS API v5, below `/v5/livedns`.
///
/// A set is read, put and deleted by its name, which is `@` at the apex; values are quoted in answers, and no
/// time to live is below five minutes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Gandi {
    token: String,
}

impl Gandi {
    /// An account with this personal access token.
    #[must_use]
    pub fn new(token: &str) -> Self {
        Self { token: token.to_owned() }
    }
}

#[derive(Deserialize)]
struct Set {
    rrset_values: Vec<String>,
    #[serde(default = "default_ttl")]
    rrset_ttl: u32,
}

const fn default_ttl() -> u32 {
    10800
}

impl Service for Gandi {
    fn answer(&self, request: &Request<Bytes>, store: &mut TxtStore) -> Response<Bytes> {
        if bearer(request) != Some(&self.token) {
            return self.refusal(Refusal::Unauthorized);
        }
        let parts = parts(request, "/v5/livedns/domains");
        let parts: Vec<_> = parts.iter().map(String::as_str).collect();
        let [name, rest @ ..] = parts.as_slice() else { return not_found() };
        if store.is_forbidden(name) {
            return self.refusal(Refusal::Forbidden);
        }
        let Some(zone) = store.zone_named(name).cloned() else { return not_found() };
        match (request.method(), rest) {
            (&Method::GET, []) => {
                Reply::json(200, &json!({ "fqdn": zone.name, "automatic_snapshots": true }))
            }
            (method, ["records", relative, "TXT"]) => {
                let name = absolute(&zone, relative);
                match *method {
                    Method::GET => set(store, &zone, relative, &name),
                    Method::PUT => put(request, &zone, &name, store),
                    Method::DELETE => delete(&zone, &name, store),
                    _ => not_found(),
                }
            }
            _ => not_found(),
        }
    }

    fn refusal(&self, refusal: Refusal) -> Response<Bytes> {
        match refusal {
            Refusal::Busy => fault(429, "Too Many Requests", "Rate limit exceeded"),
            Refusal::Forbidden => fault(403, "Forbidden", "Access was denied to this resource."),
            Refusal::Trouble => fault(503, "Service Unavailable", "Try again later"),
            Refusal::Unauthorized => {
                fault(401, "Unauthorized", &format!("The server could not verify {}", self.token))
            }
        }
    }
}

fn set(store: &TxtStore, zone: &StoredZone, relative: &str, name: &str) -> Response<Bytes> {
    let found: Vec<_> = store.txt(&zone.id, name).collect();
    let Some(first) = found.first() else { return not_found() };
    let echo = if store.echo == Echo::Segmented { Echo::Segmented } else { Echo::Quoted };
    Reply::json(
        200,
        &json!({
            "rrset_name": relative, "rrset_type": "TXT", "rrset_ttl": first.ttl,
            "rrset_href": format!("https://api.gandi.net/v5/livedns/domains/{}/records/{relative}/TXT", zone.name),
            "rrset_values": found.iter().map(|record| store.echoed_as(echo, record)).collect::<Vec<_>>(),
        }),
    )
}

fn put(request: &Request<Bytes>, zone: &StoredZone, name: &str, store: &mut TxtStore) -> Response<Bytes> {
    let set: Set = match serde_json::from_slice(request.body()) {
        Ok(set) => set,
        Err(error) => return invalid("", &format!("{error}")),
    };
    if set.rrset_values.is_empty() {
        return invalid("rrset_values", "Shorter than minimum length 1.");
    }
    if !(300..=2_592_000).contains(&set.rrset_ttl) {
        return invalid(
            "rrset_ttl",
            "Must be greater than or equal to 300 and less than or equal to 2592000.",
        );
    }
    let plains: Vec<_> = set.rrset_values.iter().map(|value| plain(value)).collect();
    if plains.iter().enumerate().any(|(place, value)| plains[..place].contains(value)) {
        return invalid("rrset_values", "Duplicate values.");
    }
    clear(zone, name, store);
    for (value, sent) in plains.iter().zip(&set.rrset_values) {
        store.insert(&zone.id, name, value, sent, set.rrset_ttl);
    }
    Reply::json(201, &json!({ "message": "DNS Record Created" }))
}

fn delete(zone: &StoredZone, name: &str, store: &mut TxtStore) -> Response<Bytes> {
    match clear(zone, name, store) {
        0 => not_found(),
        _ => Reply::empty(204),
    }
}

fn clear(zone: &StoredZone, name: &str, store: &mut TxtStore) -> usize {
    let old: Vec<_> = store.txt(&zone.id, name).map(|record| record.id.clone()).collect();
    for id in &old {
        store.remove(&zone.id, id);
    }
    old.len()
}

fn invalid(field: &str, description: &str) -> Response<Bytes> {
    let errors: Value = json!([{ "location": "body", "name": field, "description": description }]);
    Reply::json(400, &json!({ "status": "error", "errors": errors }))
}

fn not_found() -> Response<Bytes> {
    fault(404, "Not Found", "The resource could not be found.")
}

fn fault(status: u16, cause: &str, message: &str) -> Response<Bytes> {
    Reply::json(
        status,
        &json!({ "object": format!("HTTP{}", cause.replace(' ', "")), "cause": cause, "code": status, "message": message }),
    )
}
