//! deSEC's API v1: record sets are replaced, many in one request.

use bytes::Bytes;
use http::{Method, Request, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Echo, Refusal, Reply, Service, StoredZone, TxtStore,
    asked::{absolute, credential, parts, relative},
    query,
    store::plain,
};

/// deSEC's API v1, below `/api/v1`.
///
/// It knows itself which of its domains holds a name. Several sets of one request are replaced all or none; a set
/// without records is deleted, values must be quoted, and no time to live is below the domain's least.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Desec {
    token: String,
}

impl Desec {
    /// An account with this token.
    #[must_use]
    pub fn new(token: &str) -> Self {
        Self { token: token.to_owned() }
    }
}

#[derive(Deserialize)]
struct Set {
    #[serde(default)]
    subname: String,
    r#type: String,
    ttl: u32,
    records: Vec<String>,
}

const MINIMUM_TTL: u32 = 3600;

impl Service for Desec {
    fn answer(&self, request: &Request<Bytes>, store: &mut TxtStore) -> Response<Bytes> {
        if credential(request, "Token") != Some(&self.token) {
            return self.refusal(Refusal::Unauthorized);
        }
        let parts = parts(request, "/api/v1/domains");
        let parts: Vec<_> = parts.iter().map(String::as_str).collect();
        // Every path has a final slash.
        let Some((&"", parts)) = parts.split_last() else { return not_found() };
        let [name, rest @ ..] = parts else { return domains(request, store) };
        if store.is_forbidden(name) {
            return self.refusal(Refusal::Forbidden);
        }
        let Some(zone) = store.zone_named(name).cloned() else { return not_found() };
        match (request.method(), rest) {
            (&Method::GET, []) => Reply::json(200, &domain_json(&zone)),
            (&Method::GET, ["rrsets", subname, "TXT"]) => {
                match set_json(store, &zone, &absolute(&zone, subname)) {
                    Some(set) => Reply::json(200, &set),
                    None => not_found(),
                }
            }
            (&Method::PATCH, ["rrsets"]) => replace(request, &zone, store),
            _ => not_found(),
        }
    }

    fn refusal(&self, refusal: Refusal) -> Response<Bytes> {
        match refusal {
            Refusal::Busy => detail(429, "Request was throttled. Expected available in 1 second."),
            Refusal::Forbidden => detail(403, "You do not have permission to perform this action."),
            Refusal::Trouble => detail(503, "Please try again later."),
            Refusal::Unauthorized => detail(401, &format!("Invalid token {}.", self.token)),
        }
    }
}

fn domains(request: &Request<Bytes>, store: &TxtStore) -> Response<Bytes> {
    let holds =
        |zone: &StoredZone, name: &str| name == zone.name || name.ends_with(&format!(".{}", zone.name));
    let zones: Vec<_> = match query(request, "owns_qname") {
        // One that the token may not see is not there for it.
        Some(name) => {
            let visible = store.zones.iter().filter(|zone| !zone.private && !store.is_forbidden(&zone.name));
            visible.filter(|zone| holds(zone, &name)).max_by_key(|zone| zone.name.len()).into_iter().collect()
        }
        None => store.zones.iter().collect(),
    };
    Reply::json(200, &zones.into_iter().map(domain_json).collect::<Vec<_>>())
}

fn domain_json(zone: &StoredZone) -> Value {
    json!({
        "name": zone.name, "created": "2026-01-01T00:00:00.000000Z", "minimum_ttl": MINIMUM_TTL,
        "published": "2026-01-01T00:00:00.000000Z", "touched": "2026-01-01T00:00:00.000000Z",
    })
}

fn set_json(store: &TxtStore, zone: &StoredZone, name: &str) -> Option<Value> {
    let found: Vec<_> = store.txt(&zone.id, name).collect();
    let ttl = found.first()?.ttl;
    let echo = if store.echo == Echo::Segmented { Echo::Segmented } else { Echo::Quoted };
    Some(json!({
        "created": "2026-01-01T00:00:00.000000Z", "domain": zone.name, "subname": relative(zone, name),
        "name": format!("{name}."), "type": "TXT", "ttl": ttl, "touched": "2026-01-01T00:00:00.000000Z",
        "records": found.iter().map(|record| store.echoed_as(echo, record)).collect::<Vec<_>>(),
    }))
}

fn replace(request: &Request<Bytes>, zone: &StoredZone, store: &mut TxtStore) -> Response<Bytes> {
    let sets: Vec<Set> = match serde_json::from_slice(request.body()) {
        Ok(sets) => sets,
        Err(error) => return detail(400, &format!("JSON parse error - {error}")),
    };
    let mut after = store.clone();
    let mut faults = Vec::new();
    for set in &sets {
        let fault = replace_one(&mut after, zone, set);
        faults.push(fault.unwrap_or_else(|| json!({})));
    }
    if faults.iter().any(|fault| *fault != json!({})) {
        return Reply::json(400, &faults);
    }
    *store = after;
    let left = sets.iter().filter_map(|set| set_json(store, zone, &absolute(zone, &set.subname)));
    Reply::json(200, &left.collect::<Vec<_>>())
}

/// What is wrong with it, if anything is.
fn replace_one(store: &mut TxtStore, zone: &StoredZone, set: &Set) -> Option<Value> {
    if set.r#type != "TXT" {
        return Some(json!({ "type": ["This RR type is not supported here."] }));
    }
    let name = absolute(zone, &set.subname);
    // What a set has already is let be.
    let present = store.txt(&zone.id, &name).next().map(|record| record.ttl);
    if !(MINIMUM_TTL..=604_800).contains(&set.ttl) && present != Some(set.ttl) {
        return Some(json!({ "ttl": ["Ensure this value is greater than or equal to 3600."] }));
    }
    if set.records.iter().any(|record| !record.starts_with('"') || !record.ends_with('"')) {
        return Some(
            json!({ "records": ["Cannot parse record contents: Data for TXT records must be quoted."] }),
        );
    }
    let old: Vec<_> = store.txt(&zone.id, &name).map(|record| record.id.clone()).collect();
    for id in old {
        store.remove(&zone.id, &id);
    }
    for record in &set.records {
        store.insert(&zone.id, &name, &plain(record), record, set.ttl);
    }
    None
}

fn not_found() -> Response<Bytes> {
    detail(404, "Not found.")
}

fn detail(status: u16, text: &str) -> Response<Bytes> {
    Reply::json(status, &json!({ "detail": text }))
}
