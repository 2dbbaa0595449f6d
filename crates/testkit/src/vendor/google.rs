//! Google Cloud DNS v1, as its discovery document and its answers of the field have it.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{Method, Request, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Refusal, Reply, Service, StoredRecord, StoredZone, TxtStore, query, store::plain};

/// Google Cloud DNS.
///
/// A change is made whole or not at all: what is deleted must be exactly what is there, with its time to live, and what
/// is added must not be there. A zone is called by a name that is not its apex.
pub struct GoogleCloudDns {
    token: String,
    project: String,
}

impl GoogleCloudDns {
    /// The project `fake-project`, for whoever has this access token.
    #[must_use]
    pub fn new(token: &str) -> Self {
        Self { token: token.to_owned(), project: "fake-project".to_owned() }
    }
}

impl Service for GoogleCloudDns {
    fn answer(&self, request: &Request<Bytes>, store: &mut TxtStore) -> Response<Bytes> {
        let authorization = request.headers().get("authorization").and_then(|value| value.to_str().ok());
        if authorization != Some(&format!("Bearer {}", self.token)) {
            return self.refusal(Refusal::Unauthorized);
        }
        let parts: Vec<_> = request.uri().path().trim_start_matches('/').split('/').collect();
        let ["dns", "v1", "projects", project, "managedZones", rest @ ..] = parts.as_slice() else {
            return fault(404, "notFound", "Not Found");
        };
        if *project != self.project {
            return fault(403, "forbidden", "Forbidden");
        }
        match (request.method().clone(), rest) {
            (Method::GET, []) => zones(request, store),
            (Method::GET, [zone]) => match find(store, zone) {
                Some(zone) => Reply::json(200, &zone_object(&zone)),
                None => no_such_zone(zone),
            },
            (Method::GET, [zone, "rrsets"]) => match find(store, zone) {
                Some(zone) => record_sets(request, store, &zone),
                None => no_such_zone(zone),
            },
            (Method::POST, [zone, "changes"]) => match find(store, zone) {
                Some(zone) => change(request, store, &zone),
                None => no_such_zone(zone),
            },
            (Method::GET, [_, "changes", id]) => {
                let is_pending = store.pending_looks > 0;
                store.pending_looks = store.pending_looks.saturating_sub(1);
                Reply::json(200, &changed(id, if is_pending { "pending" } else { "done" }))
            }
            _ => fault(404, "notFound", "Not Found"),
        }
    }

    fn refusal(&self, refusal: Refusal) -> Response<Bytes> {
        match refusal {
            Refusal::Busy => fault(403, "rateLimitExceeded", "Rate Limit Exceeded"),
            Refusal::Forbidden => fault(403, "forbidden", "Forbidden"),
            Refusal::Trouble => fault(503, "backendError", "The service is currently unavailable."),
            Refusal::Unauthorized => fault(401, "authError", "Invalid Credentials"),
        }
    }
}

fn zones(request: &Request<Bytes>, store: &TxtStore) -> Response<Bytes> {
    let wanted = query(request, "dnsName");
    if wanted.as_deref().is_some_and(|name| store.is_forbidden(name.trim_end_matches('.'))) {
        return fault(403, "forbidden", "Forbidden");
    }
    let zones = store
        .zones
        .iter()
        .filter(|zone| wanted.as_ref().is_none_or(|wanted| *wanted == format!("{}.", zone.name)));
    let zones: Vec<_> = zones.map(zone_object).collect();
    Reply::json(200, &json!({ "kind": "dns#managedZonesListResponse", "managedZones": zones }))
}

/// A zone is called by a name of its own, which is not its apex.
fn zone_object(zone: &StoredZone) -> Value {
    json!({
        "kind": "dns#managedZone",
        "id": "1",
        "name": zone.id,
        "dnsName": format!("{}.", zone.name),
        "description": "",
        "visibility": if zone.private { "private" } else { "public" },
    })
}

fn find(store: &TxtStore, name: &str) -> Option<StoredZone> {
    store.zone(name).cloned()
}

fn record_sets(request: &Request<Bytes>, store: &TxtStore, zone: &StoredZone) -> Response<Bytes> {
    let name = query(request, "name");
    let kind = query(request, "type");
    let mut sets: BTreeMap<(&str, &str), Vec<&StoredRecord>> = BTreeMap::new();
    for record in store.records.iter().filter(|record| record.zone == zone.id) {
        let is_meant = name.as_ref().is_none_or(|name| *name == format!("{}.", record.name))
            && kind.as_ref().is_none_or(|kind| *kind == record.kind);
        if is_meant {
            sets.entry((&record.name, &record.kind)).or_default().push(record);
        }
    }
    let sets: Vec<_> = sets
        .into_iter()
        .map(|((name, kind), records)| {
            let rrdatas: Vec<_> = records.iter().map(|record| store.echoed(record)).collect();
            let ttl = records.first().map_or(0, |record| record.ttl);
            json!({
                "kind": "dns#resourceRecordSet",
                "name": format!("{name}."),
                "type": kind,
                "ttl": ttl,
                "rrdatas": rrdatas,
                "signatureRrdatas": [],
            })
        })
        .collect();
    // A page has a thousand: more than any test has.
    let (page, more) = store.page(&sets, 1, 1000);
    let mut answer = json!({ "kind": "dns#resourceRecordSetsListResponse", "rrsets": page });
    if more && let Some(answer) = answer.as_object_mut() {
        answer.insert("nextPageToken".to_owned(), "2".into());
    }
    Reply::json(200, &answer)
}

#[derive(Deserialize)]
struct Change {
    #[serde(default)]
    deletions: Vec<RecordSet>,
    #[serde(default)]
    additions: Vec<RecordSet>,
}

#[derive(Deserialize)]
struct RecordSet {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    ttl: u32,
    rrdatas: Vec<String>,
}

impl RecordSet {
    fn owner(&self) -> &str {
        self.name.trim_end_matches('.')
    }

    fn values(&self) -> BTreeMap<String, &str> {
        self.rrdatas.iter().map(|sent| (plain(sent), sent.as_str())).collect()
    }
}

fn change(request: &Request<Bytes>, store: &mut TxtStore, zone: &StoredZone) -> Response<Bytes> {
    let Ok(Change { deletions, additions }) = serde_json::from_slice(request.body()) else {
        return fault(400, "parseError", "Parse Error");
    };
    for (list, sets) in [("deletions", &deletions), ("additions", &additions)] {
        for (index, set) in sets.iter().enumerate() {
            let entity = format!("entity.change.{list}[{index}]");
            let is_inside = set.owner() == zone.name || set.owner().ends_with(&format!(".{}", zone.name));
            if !set.name.ends_with('.') || set.kind != "TXT" || set.values().len() != set.rrdatas.len() {
                return fault(400, "invalid", &format!("Invalid value for '{entity}': '{}'", set.name));
            }
            if !is_inside || set.rrdatas.is_empty() {
                return fault(400, "invalid", &format!("Invalid value for '{entity}.name': '{}'", set.name));
            }
        }
    }
    for (index, set) in deletions.iter().enumerate() {
        let there: Vec<_> = store.txt(&zone.id, set.owner()).collect();
        let entity = format!("entity.change.deletions[{index}]");
        let Some(first) = there.first() else {
            let message = format!("The '{entity}' resource named '{} (TXT)' does not exist.", set.name);
            return fault(404, "notFound", &message);
        };
        let values: BTreeMap<_, _> = there.iter().map(|record| (record.value.clone(), "")).collect();
        if first.ttl != set.ttl || !values.keys().eq(set.values().keys()) {
            return fault(412, "conditionNotMet", &format!("Precondition not met for '{entity}'"));
        }
    }
    for (index, set) in additions.iter().enumerate() {
        let is_deleted = deletions.iter().any(|deleted| deleted.owner() == set.owner());
        if !is_deleted && store.txt(&zone.id, set.owner()).next().is_some() {
            let message = format!(
                "The resource 'entity.change.additions[{index}]' named '{} (TXT)' already exists",
                set.name
            );
            return fault(409, "alreadyExists", &message);
        }
    }
    make(store, zone, &deletions, &additions);
    Reply::json(200, &changed(&store.next_id().to_string(), "pending"))
}

/// What stays keeps what somebody wrote beside it.
fn make(store: &mut TxtStore, zone: &StoredZone, deletions: &[RecordSet], additions: &[RecordSet]) {
    let stays = |name: &str, value: &str| {
        additions.iter().any(|set| set.owner() == name && set.values().contains_key(value))
    };
    for set in deletions {
        let gone: Vec<_> = store
            .txt(&zone.id, set.owner())
            .filter(|record| !stays(&record.name, &record.value))
            .map(|record| record.id.clone())
            .collect();
        for id in gone {
            store.remove(&zone.id, &id);
        }
    }
    for set in additions {
        let there: Vec<_> = store.txt(&zone.id, set.owner()).map(|record| record.value.clone()).collect();
        for (value, sent) in set.values() {
            if !there.contains(&value) {
                store.insert(&zone.id, set.owner(), &value, sent, set.ttl);
            }
        }
        for record in &mut store.records {
            if record.zone == zone.id && record.name == set.owner() && record.kind == "TXT" {
                record.ttl = set.ttl;
            }
        }
    }
}

fn changed(id: &str, status: &str) -> Value {
    json!({ "kind": "dns#change", "id": id, "startTime": "2027-01-15T08:00:00.000Z", "status": status })
}

fn no_such_zone(name: &str) -> Response<Bytes> {
    let message = format!("The 'parameters.managedZone' resource named '{name}' does not exist.");
    fault(404, "notFound", &message)
}

fn fault(status: u16, reason: &str, message: &str) -> Response<Bytes> {
    let errors = json!([{ "domain": "global", "reason": reason, "message": message }]);
    Reply::json(status, &json!({ "error": { "code": status, "message": message, "errors": errors } }))
}
