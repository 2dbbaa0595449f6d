//! The API of the PowerDNS Authoritative Server, with and without `EXTEND` and `PRUNE`.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::{Method, Request, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Echo, Refusal, Reply, Service, StoredZone, TxtStore, query, store::plain};

/// The API of the PowerDNS Authoritative Server, below `/api/v1/servers/localhost`.
///
/// Its words are those of the server's source: `EXTEND` and `PRUNE` take one record each, want the time to live
/// of the set, and lose what is disabled; names end in a dot and values are quoted, or it is 422; what is
/// wrong with a key or a path is said in plain text.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PowerDns {
    key: String,
    extends: bool,
    hides_disabled: bool,
}

impl PowerDns {
    /// A server of today with this key.
    #[must_use]
    pub fn new(key: &str) -> Self {
        Self { key: key.to_owned(), extends: true, hides_disabled: false }
    }

    /// A server that does not know `EXTEND` and `PRUNE` yet.
    #[must_use]
    pub const fn without_extend(mut self) -> Self {
        self.extends = false;
        self
    }

    /// A server with the LMDB backend, which leaves out what is disabled when it is asked about one name.
    #[must_use]
    pub const fn over_lmdb(mut self) -> Self {
        self.hides_disabled = true;
        self
    }
}

#[derive(Deserialize)]
struct Patch {
    rrsets: Vec<Change>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    name: String,
    r#type: String,
    ttl: Option<u32>,
    changetype: String,
    records: Option<Vec<Record>>,
    #[serde(rename = "comments")]
    _comments: Option<Vec<Value>>,
}

#[derive(Clone, Deserialize)]
struct Record {
    content: String,
    #[serde(default)]
    disabled: bool,
}

const ROOT: &str = "/api/v1/servers/localhost";

impl Service for PowerDns {
    fn answer(&self, request: &Request<Bytes>, store: &mut TxtStore) -> Response<Bytes> {
        if request.headers().get("x-api-key").is_none_or(|key| key.as_bytes() != self.key.as_bytes()) {
            return Reply::text(401, "Unauthorized");
        }
        let path = request.uri().path().to_owned();
        let Some(path) = path.strip_prefix(ROOT) else { return Reply::text(404, "Not Found") };
        let parts: Vec<_> = path.split('/').skip(1).collect();
        match (request.method(), parts.as_slice()) {
            (&Method::GET, ["config"]) => {
                let launch = if self.hides_disabled { "lmdb" } else { "gsqlite3" };
                Reply::json(200, &[json!({ "type": "ConfigSetting", "name": "launch", "value": launch })])
            }
            (&Method::GET, ["zones"]) => {
                let wanted = query(request, "zone");
                if wanted.as_ref().is_some_and(|name| store.is_forbidden(name.trim_end_matches('.'))) {
                    return self.refusal(Refusal::Forbidden);
                }
                let zones = store.zones.iter().filter(|zone| match &wanted {
                    Some(wanted) => *wanted == format!("{}.", zone.name),
                    None => true,
                });
                Reply::json(200, &zones.map(zone_json).collect::<Vec<_>>())
            }
            (method, ["zones", name]) => {
                let Some(zone) = store.zone_named(name.trim_end_matches('.')).cloned() else {
                    return Reply::text(404, "Not Found");
                };
                match *method {
                    Method::GET => zone_with_sets(request, &zone, store, self.hides_disabled),
                    Method::PATCH => self.patch(request, &zone, store),
                    _ => Reply::text(405, "Method Not Allowed"),
                }
            }
            (&Method::PUT, ["zones", _, "notify"]) => {
                Reply::json(200, &json!({ "result": "Notification queued" }))
            }
            _ => Reply::text(404, "Not Found"),
        }
    }

    fn refusal(&self, refusal: Refusal) -> Response<Bytes> {
        match refusal {
            Refusal::Busy => Reply::text(429, "Too Many Requests"),
            Refusal::Forbidden => Reply::text(403, "Forbidden"),
            Refusal::Trouble => Reply::text(503, "Service Unavailable"),
            Refusal::Unauthorized => Reply::text(401, &format!("Unauthorized: {}", self.key)),
        }
    }
}

impl PowerDns {
    /// One transaction.
    fn patch(&self, request: &Request<Bytes>, zone: &StoredZone, store: &mut TxtStore) -> Response<Bytes> {
        let patch: Patch = match serde_json::from_slice(request.body()) {
            Ok(patch) => patch,
            Err(error) => return invalid(&format!("Request is not valid: {error}")),
        };
        let mut seen = BTreeSet::new();
        let mut after = store.clone();
        for change in &patch.rrsets {
            let replaces = matches!(change.changetype.as_str(), "REPLACE" | "DELETE");
            if replaces && !seen.insert((change.name.clone(), change.changetype.clone())) {
                return invalid(&format!("Duplicate RRset {} IN {}", change.name, change.r#type));
            }
            if let Err(fault) = self.change(&mut after, zone, change) {
                return invalid(&fault);
            }
        }
        *store = after;
        Reply::empty(204)
    }

    fn change(&self, store: &mut TxtStore, zone: &StoredZone, change: &Change) -> Result<(), String> {
        let label = format!("{} IN {}", change.name, change.r#type);
        let Some(name) = change.name.strip_suffix('.') else {
            return Err(format!("DNS Name '{}' is not canonical", change.name));
        };
        if name != zone.name && !name.ends_with(&format!(".{}", zone.name)) {
            return Err(format!("RRset {label}: Name is out of zone"));
        }
        let records = change.records.as_deref().unwrap_or_default();
        for record in records {
            if !record.content.starts_with('"') || !record.content.ends_with('"') || record.content.len() < 2
            {
                let content = &record.content;
                return Err(format!("Record {label} '{content}': Not in expected format (parsed as 'x')"));
            }
        }
        match change.changetype.as_str() {
            "REPLACE" => {
                let ttl = change.ttl.ok_or("Key 'ttl' not an Integer or not present")?;
                replace(store, zone, name, records, ttl)
            }
            "DELETE" => replace(store, zone, name, &[], 0),
            kind @ ("EXTEND" | "PRUNE") if self.extends => {
                let ttl = change.ttl.ok_or("Key 'ttl' not an Integer or not present")?;
                let [record] = records else {
                    return Err(
                        "Exactly one record should be provided for PRUNE or EXTEND operation".to_owned()
                    );
                };
                extend_or_prune(store, zone, name, kind, record, ttl)
            }
            _ => Err("Changetype not understood".to_owned()),
        }
    }
}

fn zone_json(zone: &StoredZone) -> Value {
    let name = format!("{}.", zone.name);
    json!({ "id": name, "name": name, "kind": "Native", "url": format!("{ROOT}/zones/{name}"), "serial": 1 })
}

fn zone_with_sets(
    request: &Request<Bytes>,
    zone: &StoredZone,
    store: &TxtStore,
    hides_disabled: bool,
) -> Response<Bytes> {
    let wanted = query(request, "rrset_name");
    let names: BTreeSet<_> = store
        .records
        .iter()
        .filter(|record| record.zone == zone.id)
        .map(|record| record.name.clone())
        .filter(|name| wanted.as_ref().is_none_or(|wanted| *wanted == format!("{name}.")))
        .collect();
    let hides = hides_disabled && wanted.is_some();
    let sets: Vec<_> = names
        .iter()
        .filter(|name| !hides || store.txt(&zone.id, name).any(|record| !record.disabled))
        .map(|name| set_json(store, zone, name, hides))
        .collect();
    let mut body = zone_json(zone);
    if let Some(body) = body.as_object_mut() {
        body.insert("rrsets".to_owned(), sets.into());
    }
    Reply::json(200, &body)
}

fn set_json(store: &TxtStore, zone: &StoredZone, name: &str, hides: bool) -> Value {
    // Whatever it was sent, it writes zone file format.
    let echo = if store.echo == Echo::Segmented { Echo::Segmented } else { Echo::Quoted };
    let records: Vec<_> = store
        .txt(&zone.id, name)
        .filter(|record| !(hides && record.disabled))
        .map(|record| json!({ "content": store.echoed_as(echo, record), "disabled": record.disabled }))
        .collect();
    let comment = store.txt(&zone.id, name).find_map(|record| record.comment.clone());
    let comments: Vec<_> = comment
        .map(|content| json!({ "content": content, "account": "", "modified_at": 0 }))
        .into_iter()
        .collect();
    let ttl = store.txt(&zone.id, name).map(|record| record.ttl).next().unwrap_or_default();
    json!({ "name": format!("{name}."), "type": "TXT", "ttl": ttl, "records": records, "comments": comments })
}

fn replace(
    store: &mut TxtStore,
    zone: &StoredZone,
    name: &str,
    records: &[Record],
    ttl: u32,
) -> Result<(), String> {
    let values: Vec<_> = records.iter().map(|record| plain(&record.content)).collect();
    let distinct: BTreeSet<_> = values.iter().collect();
    if distinct.len() != values.len() {
        return Err(format!("Duplicate record in RRset {name}. IN TXT"));
    }
    let gone: Vec<_> = store
        .txt(&zone.id, name)
        .filter(|record| !values.contains(&record.value))
        .map(|record| record.id.clone())
        .collect();
    for id in gone {
        store.remove(&zone.id, &id);
    }
    for (record, value) in records.iter().zip(values) {
        let present = store.txt(&zone.id, name).find(|it| it.value == value).map(|it| it.id.clone());
        let id = present.unwrap_or_else(|| store.insert(&zone.id, name, &value, &record.content, ttl));
        if let Some(stored) = store.records.iter_mut().find(|it| it.id == id) {
            stored.ttl = ttl;
            stored.disabled = record.disabled;
        }
    }
    store.touch(&zone.id, name);
    Ok(())
}

fn extend_or_prune(
    store: &mut TxtStore,
    zone: &StoredZone,
    name: &str,
    kind: &str,
    record: &Record,
    ttl: u32,
) -> Result<(), String> {
    let value = plain(&record.content);
    let present =
        store.txt(&zone.id, name).find(|it| !it.disabled && it.value == value).map(|it| it.id.clone());
    if (kind == "EXTEND") == present.is_some() {
        return Ok(());
    }
    // What is disabled is not looked up, and the set is written without it.
    let disabled: Vec<_> =
        store.txt(&zone.id, name).filter(|it| it.disabled).map(|it| it.id.clone()).collect();
    for id in disabled.into_iter().chain(present) {
        store.remove(&zone.id, &id);
    }
    if kind == "EXTEND" {
        if store.txt(&zone.id, name).any(|it| it.ttl != ttl) {
            return Err(format!(
                "RRset {name}. IN TXT uses a different TTL value than the remainder of the RRset"
            ));
        }
        store.insert(&zone.id, name, &value, &record.content, ttl);
    }
    Ok(())
}

fn invalid(fault: &str) -> Response<Bytes> {
    Reply::json(422, &json!({ "error": fault }))
}
