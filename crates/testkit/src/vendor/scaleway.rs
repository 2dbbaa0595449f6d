//! Scaleway's Domains and DNS, v2beta1: edits of a zone, all or nothing.

use bytes::Bytes;
use http::{Method, Request, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Refusal, Reply, Service, StoredRecord, StoredZone, TxtStore, query, store::plain};

/// Scaleway's Domains and DNS, below `/domain/v2beta1`.
///
/// An edit is done as a whole or not at all, and one that deletes a record that is not there is not. Two equal
/// records are two records. A page has 20 items, and at most 100; a zone below another is told by its
/// subdomain. A list that is to hold a [forbidden](TxtStore::forbidden) zone is refused.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Scaleway {
    key: String,
}

impl Scaleway {
    /// A project with this secret key.
    #[must_use]
    pub fn new(key: &str) -> Self {
        Self { key: key.to_owned() }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Patch {
    changes: Vec<Change>,
    #[serde(default)]
    return_all_records: Option<bool>,
    disallow_new_zone_creation: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
enum Change {
    Add(Addition),
    Delete(Deletion),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Addition {
    records: Vec<NewRecord>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewRecord {
    name: String,
    data: String,
    r#type: String,
    ttl: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Deletion {
    id: String,
}

impl Service for Scaleway {
    fn answer(&self, request: &Request<Bytes>, store: &mut TxtStore) -> Response<Bytes> {
        if request.headers().get("x-auth-token").is_none_or(|key| key.as_bytes() != self.key.as_bytes()) {
            return self.refusal(Refusal::Unauthorized);
        }
        let path = request.uri().path().to_owned();
        let Some(path) = path.strip_prefix("/domain/v2beta1/dns-zones") else {
            return not_found("path", &path);
        };
        let parts: Vec<_> = path.split('/').skip(1).collect();
        match (request.method(), parts.as_slice()) {
            (&Method::GET, []) => self.zones(request, store),
            (method, [name, "records"]) => {
                let Some(zone) = store.zone_named(name).cloned() else {
                    return Reply::json(403, &json!({ "message": "domain not found" }));
                };
                match *method {
                    Method::GET => records(request, &zone, store),
                    Method::PATCH => edit(request, &zone, store),
                    _ => not_found("method", method.as_str()),
                }
            }
            _ => not_found("path", path),
        }
    }

    fn refusal(&self, refusal: Refusal) -> Response<Bytes> {
        match refusal {
            Refusal::Busy => fault(429, "too_many_requests", "quota exceeded for this API"),
            Refusal::Forbidden => fault(403, "permissions_denied", "insufficient permissions"),
            Refusal::Trouble => fault(503, "service_unavailable", "service is temporarily unavailable"),
            Refusal::Unauthorized => {
                fault(401, "denied_authentication", &format!("authentication of {} is denied", self.key))
            }
        }
    }
}

impl Scaleway {
    fn zones(&self, request: &Request<Bytes>, store: &TxtStore) -> Response<Bytes> {
        let query = request.uri().query().unwrap_or_default();
        let wanted: Vec<String> = form_urlencoded::parse(query.as_bytes())
            .filter(|(name, _)| name == "dns_zones")
            .map(|(_, value)| value.into_owned())
            .collect();
        if wanted.iter().any(|name| store.is_forbidden(name)) {
            return self.refusal(Refusal::Forbidden);
        }
        let is_wanted = |zone: &&StoredZone| wanted.is_empty() || wanted.contains(&zone.name);
        let found: Vec<_> = store.zones.iter().filter(is_wanted).map(|zone| zone_json(store, zone)).collect();
        list(request, store, "dns_zones", &found)
    }
}

fn zone_json(store: &TxtStore, zone: &StoredZone) -> Value {
    let above = store.zones.iter().filter_map(|other| zone.name.strip_suffix(&format!(".{}", other.name)));
    let subdomain = above.min_by_key(|subdomain| subdomain.len()).unwrap_or_default();
    let domain = zone.name.strip_prefix(&format!("{subdomain}.")).unwrap_or(&zone.name);
    json!({ "domain": domain, "subdomain": subdomain, "status": "active", "project_id": "p", "ns": [] })
}

fn records(request: &Request<Bytes>, zone: &StoredZone, store: &TxtStore) -> Response<Bytes> {
    let (name, kind) = (query(request, "name"), query(request, "type"));
    let found: Vec<_> = store
        .records
        .iter()
        .filter(|record| record.zone == zone.id && kind.as_ref().is_none_or(|kind| *kind == record.kind))
        .map(|record| record_json(store, zone, record))
        .filter(|record| name.as_deref().is_none_or(|name| name.is_empty() || record["name"] == *name))
        .collect();
    list(request, store, "records", &found)
}

fn record_json(store: &TxtStore, zone: &StoredZone, record: &StoredRecord) -> Value {
    let relative = record.name.strip_suffix(&zone.name).unwrap_or(&record.name).trim_end_matches('.');
    json!({
        "id": format!("00000000-0000-4000-8000-{:0>12}", record.id),
        "data": store.echoed(record),
        "name": relative,
        "priority": 0,
        "ttl": record.ttl,
        "type": record.kind,
        "comment": record.comment,
    })
}

fn edit(request: &Request<Bytes>, zone: &StoredZone, store: &mut TxtStore) -> Response<Bytes> {
    let patch: Patch = match serde_json::from_slice(request.body()) {
        Ok(patch) => patch,
        Err(error) => return fault(400, "invalid_arguments", &format!("invalid argument(s): {error}")),
    };
    if patch.return_all_records != Some(false) || !patch.disallow_new_zone_creation {
        return fault(400, "invalid_arguments", "this would list the whole zone, or make a new one");
    }
    let mut after = store.clone();
    let mut added = Vec::new();
    for change in patch.changes {
        match change {
            Change::Delete(Deletion { id }) => {
                let number = id.rsplit('-').next().map(|id| id.trim_start_matches('0')).unwrap_or_default();
                if !after.remove(&zone.id, number) {
                    return not_found("record", &id);
                }
            }
            Change::Add(Addition { records }) => {
                for new in records {
                    if new.r#type != "TXT"
                        || !(60..=2_592_000).contains(&new.ttl)
                        || plain(&new.data).is_empty()
                    {
                        return fault(400, "invalid_arguments", "invalid argument(s): ttl, type or data");
                    }
                    let name = match new.name.as_str() {
                        "" => zone.name.clone(),
                        absolute if absolute.ends_with('.') => absolute.trim_end_matches('.').to_owned(),
                        relative => format!("{relative}.{}", zone.name),
                    };
                    let id = after.insert(&zone.id, &name, &plain(&new.data), &new.data, new.ttl);
                    added.push(id);
                }
            }
        }
    }
    *store = after;
    let made = store.records.iter().filter(|record| added.contains(&record.id));
    let made: Vec<_> = made.map(|record| record_json(store, zone, record)).collect();
    Reply::json(200, &json!({ "records": made }))
}

fn list(request: &Request<Bytes>, store: &TxtStore, what: &str, items: &[Value]) -> Response<Bytes> {
    let number =
        |name: &str, default: usize| query(request, name).map_or(Some(default), |it| it.parse().ok());
    let (Some(page), Some(per_page)) = (number("page", 1), number("page_size", 20)) else {
        return fault(400, "invalid_arguments", "page and page_size are numbers");
    };
    if page == 0 || !(1..=100).contains(&per_page) {
        return fault(400, "invalid_arguments", "page is at least 1, page_size at most 100");
    }
    let (here, _) = store.page(items, page, per_page);
    let mut body = json!({ "total_count": items.len() });
    body[what] = here.into();
    Reply::json(200, &body)
}

fn not_found(resource: &str, id: &str) -> Response<Bytes> {
    let body = json!({
        "message": "resource is not found", "resource": resource, "resource_id": id, "type": "not_found",
    });
    Reply::json(404, &body)
}

fn fault(status: u16, kind: &str, message: &str) -> Response<Bytes> {
    Reply::json(status, &json!({ "message": message, "type": kind }))
}
