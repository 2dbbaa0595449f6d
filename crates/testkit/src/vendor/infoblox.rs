//! The WAPI of an Infoblox grid: per-record, by opaque references.

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{Method, Request, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Refusal, Reply, Service, StoredRecord, StoredZone, TxtStore,
    asked::{credential, parts},
    query,
};

/// The WAPI of an Infoblox grid, below `/wapi/v2.12`.
///
/// It has the one view `default`. Two equal records are refused, names are absolute, a time to live counts only
/// with `use_ttl`, and pages are there only for those who ask for them: without, a list that is too long is an
/// error.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Infoblox {
    user: String,
    password: String,
}

impl Infoblox {
    /// A grid with this user.
    #[must_use]
    pub fn new(user: &str, password: &str) -> Self {
        Self { user: user.to_owned(), password: password.to_owned() }
    }
}

#[derive(Deserialize)]
struct NewRecord {
    name: String,
    text: String,
    view: String,
    #[serde(default)]
    ttl: u32,
    #[serde(default)]
    use_ttl: bool,
}

const VIEW: &str = "default";

impl Service for Infoblox {
    fn answer(&self, request: &Request<Bytes>, store: &mut TxtStore) -> Response<Bytes> {
        let expected = BASE64_STANDARD.encode(format!("{}:{}", self.user, self.password));
        if credential(request, "Basic") != Some(&expected) {
            return self.refusal(Refusal::Unauthorized);
        }
        let parts = parts(request, "/wapi/v2.12");
        let parts: Vec<_> = parts.iter().map(String::as_str).collect();
        if query(request, "view").is_some_and(|view| view != VIEW) {
            return fault(404, "Client.Ibap.Data.NotFound", "View not found");
        }
        match (request.method(), parts.as_slice()) {
            (&Method::GET, ["zone_auth"]) => {
                let wanted = query(request, "fqdn");
                if wanted.as_ref().is_some_and(|name| store.is_forbidden(name)) {
                    return self.refusal(Refusal::Forbidden);
                }
                let of_name = |zone: &&StoredZone| {
                    !zone.private && wanted.as_ref().is_none_or(|name| *name == zone.name)
                };
                let zones: Vec<_> = store.zones.iter().filter(of_name).map(zone_json).collect();
                list(request, store, &zones)
            }
            (&Method::GET, ["record:txt"]) => {
                let (name, text) = (query(request, "name"), query(request, "text"));
                let found: Vec<_> = store
                    .records
                    .iter()
                    .filter(|record| name.as_ref().is_none_or(|name| *name == record.name))
                    .filter(|record| text.as_ref().is_none_or(|text| *text == record.value))
                    .map(|record| record_json(store, record))
                    .collect();
                list(request, store, &found)
            }
            (&Method::POST, ["record:txt"]) => create(request, store),
            (&Method::DELETE, ["record:txt", reference, ..]) => delete(store, reference),
            _ => fault(400, "Client.Ibap.Proto", "Unknown object type"),
        }
    }

    fn refusal(&self, refusal: Refusal) -> Response<Bytes> {
        match refusal {
            Refusal::Busy => fault(429, "Client.Ibap.Busy", "Too many requests"),
            Refusal::Forbidden => fault(
                403,
                "Client.Ibap.Proto.Access",
                "Write permission for the parent is required for this operation.",
            ),
            Refusal::Trouble => fault(503, "Server.Ibap", "Service unavailable"),
            Refusal::Unauthorized => {
                let said = format!("Authorization Required for {}:{}", self.user, self.password);
                fault(401, "Client.Ibap.Auth", &said)
            }
        }
    }
}

fn zone_json(zone: &StoredZone) -> Value {
    let reference = format!("zone_auth/{}:{}/{VIEW}", BASE64_STANDARD.encode(&zone.id), zone.name);
    json!({ "_ref": reference, "fqdn": zone.name, "view": VIEW })
}

fn reference(record: &StoredRecord) -> String {
    format!("record:txt/{}:{}/{VIEW}", BASE64_STANDARD.encode(&record.id), record.name)
}

fn record_json(store: &TxtStore, record: &StoredRecord) -> Value {
    json!({
        "_ref": reference(record), "name": record.name, "text": store.echoed(record), "ttl": record.ttl,
        "use_ttl": true, "view": VIEW,
    })
}

fn create(request: &Request<Bytes>, store: &mut TxtStore) -> Response<Bytes> {
    let new: NewRecord = match serde_json::from_slice(request.body()) {
        Ok(new) => new,
        Err(error) => return fault(400, "Client.Ibap.Proto", &format!("{error}")),
    };
    if new.view != VIEW {
        return fault(404, "Client.Ibap.Data.NotFound", "View not found");
    }
    let holds = |zone: &&StoredZone| new.name == zone.name || new.name.ends_with(&format!(".{}", zone.name));
    let zones = store.zones.iter().filter(|zone| !zone.private).filter(holds);
    let Some(zone) = zones.max_by_key(|zone| zone.name.len()).cloned() else {
        let said = format!("A parent was not found for {}", new.name);
        return fault(400, "Client.Ibap.Data", &said);
    };
    if store.txt(&zone.id, &new.name).any(|record| record.value == new.text) {
        let said = format!("The record '{}' already exists.", new.name);
        return fault(400, "Client.Ibap.Data.Conflict", &said);
    }
    // The zone's own, where the record has none.
    let ttl = if new.use_ttl { new.ttl } else { 28800 };
    let id = store.insert(&zone.id, &new.name, &new.text, &new.text, ttl);
    let record = store.records.iter().find(|record| record.id == id);
    Reply::json(201, &record.map(reference))
}

/// A reference is its first part; what is behind the colon is for people.
fn delete(store: &mut TxtStore, reference: &str) -> Response<Bytes> {
    let id = reference.split(':').next().and_then(|opaque| BASE64_STANDARD.decode(opaque).ok());
    let id = id.and_then(|id| String::from_utf8(id).ok()).unwrap_or_default();
    let record = store.records.iter().find(|record| record.id == id).cloned();
    match record.filter(|record| store.remove(&record.zone.clone(), &record.id)) {
        Some(record) => Reply::json(200, &self::reference(&record)),
        None => fault(404, "Client.Ibap.Data.NotFound", "AdmConDataNotFoundError: Record not found"),
    }
}

fn list(request: &Request<Bytes>, store: &TxtStore, items: &[Value]) -> Response<Bytes> {
    let most = query(request, "_max_results").map_or(Some(1000), |text| text.parse::<usize>().ok());
    let Some(most @ 1..=1000) = most else {
        return fault(400, "Client.Ibap.Proto", "_max_results is out of range");
    };
    let flag = |name: &str| query(request, name).as_deref() == Some("1");
    if !flag("_paging") {
        if items.len() > store.page_size.unwrap_or(usize::MAX).min(most) {
            return fault(400, "Client.Ibap.Proto", "Result set too large");
        }
        return Reply::json(200, &items);
    }
    if !flag("_return_as_object") {
        return fault(400, "Client.Ibap.Proto", "_return_as_object needs to be enabled for paging requests.");
    }
    let page = query(request, "_page_id")
        .map_or(Some(1), |id| id.strip_prefix("eJylkF").and_then(|page| page.parse().ok()));
    let Some(page) = page else { return fault(400, "Client.Ibap.Proto", "Invalid page id") };
    let (here, more) = store.page(items, page, most);
    let mut body = json!({ "result": here });
    if more {
        body["next_page_id"] = json!(format!("eJylkF{}", page + 1));
    }
    Reply::json(200, &body)
}

fn fault(status: u16, code: &str, text: &str) -> Response<Bytes> {
    Reply::json(status, &json!({ "Error": format!("AdmConProtoError: {text}"), "code": code, "text": text }))
}
