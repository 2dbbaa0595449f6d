//! netcup's CCP API: sessions, and rows of a zone.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use http::{Method, Request, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Refusal, Reply, Service, StoredRecord, StoredZone, TxtStore};

/// netcup's CCP API, at `/run/webservice/servers/endpoint.php?JSON`.
///
/// Every request but a login names a session. Everything is said with 200. An update deletes and makes rows, all
/// or nothing, and leaves the others as they are; two equal rows are two rows, and a zone without rows is an
/// error. A [forbidden](TxtStore::forbidden) domain is not found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Netcup {
    customer: String,
    key: String,
    password: String,
    sessions: Arc<Mutex<BTreeSet<String>>>,
}

impl Netcup {
    /// A customer with this number, API key and API password.
    #[must_use]
    pub fn new(customer: &str, key: &str, password: &str) -> Self {
        let [customer, key, password] = [customer, key, password].map(str::to_owned);
        Self { customer, key, password, sessions: Arc::default() }
    }

    /// Ends all sessions, as a quarter of an hour does.
    pub fn end_sessions(&self) {
        self.sessions().clear();
    }

    fn sessions(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Deserialize)]
struct Call {
    action: String,
    param: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    #[serde(default)]
    id: Option<String>,
    hostname: String,
    r#type: String,
    #[serde(rename = "priority")]
    _priority: String,
    destination: String,
    deleterecord: bool,
}

impl Service for Netcup {
    fn answer(&self, request: &Request<Bytes>, store: &mut TxtStore) -> Response<Bytes> {
        let uri = request.uri();
        let here = uri.path() == "/run/webservice/servers/endpoint.php" && uri.query() == Some("JSON");
        if request.method() != Method::POST || !here {
            return Reply::of(404, "text/html", "<html>not found</html>");
        }
        let Ok(Call { action, param }) = serde_json::from_slice(request.body()) else {
            return error("", 4013, "Validation Error.", "Message is empty.");
        };
        let field = |name: &str| param[name].as_str().unwrap_or_default();
        if field("customernumber") != self.customer || field("apikey") != self.key {
            return self.refusal(Refusal::Unauthorized);
        }
        if action == "login" {
            if field("apipassword") != self.password {
                return self.refusal(Refusal::Unauthorized);
            }
            let session = format!("NWo5MjcxNms0ODNCNHZ{}", store.next_id());
            self.sessions().insert(session.clone());
            return done(&action, "Login successful", &json!({ "apisessionid": session }));
        }
        if !self.sessions().contains(field("apisessionid")) {
            let said = "The session id is not in a valid format.";
            return error(&action, 4001, "Validation Error.", said);
        }
        let zone =
            store.zone_named(field("domainname")).filter(|zone| !store.is_forbidden(&zone.name)).cloned();
        let Some(zone) = zone else {
            let said = "Can not get DNS records for zone.  Domain not found.";
            return error(&action, 5031, "Getting DNS zone failed", said);
        };
        match action.as_str() {
            "infoDnsZone" => done(&action, "DNS zone found", &json!({ "name": zone.name, "ttl": "86400" })),
            "infoDnsRecords" => match rows(store, &zone) {
                rows if rows.is_empty() => error(
                    &action,
                    5029,
                    "Can not get DNS records",
                    "No DNS records for this zone were found.",
                ),
                rows => done(&action, "DNS records found", &json!({ "dnsrecords": rows })),
            },
            "updateDnsRecords" => update(&action, &param, &zone, store),
            _ => error(&action, 4013, "Validation Error.", "There is no such action."),
        }
    }

    fn refusal(&self, refusal: Refusal) -> Response<Bytes> {
        match refusal {
            Refusal::Busy => {
                error("x", 4013, "Validation Error.", "More than 180 requests per minute: too many requests.")
            }
            Refusal::Forbidden => Reply::text(403, "Forbidden"),
            Refusal::Trouble => Reply::text(503, "unavailable"),
            Refusal::Unauthorized => {
                let said = format!("The API key {} or the password is wrong.", self.key);
                error("login", 4013, "Validation Error.", &said)
            }
        }
    }

    fn writes(&self, request: &Request<Bytes>) -> bool {
        let call: Option<Call> = serde_json::from_slice(request.body()).ok();
        call.is_some_and(|call| call.action == "updateDnsRecords")
    }
}

fn rows(store: &TxtStore, zone: &StoredZone) -> Vec<Value> {
    let here = store.records.iter().filter(|record| record.zone == zone.id);
    here.map(|record| row_json(store, zone, record)).collect()
}

fn row_json(store: &TxtStore, zone: &StoredZone, record: &StoredRecord) -> Value {
    let relative = record.name.strip_suffix(&zone.name).unwrap_or(&record.name).trim_end_matches('.');
    json!({
        "id": record.id,
        "hostname": if relative.is_empty() { "@" } else { relative },
        "type": record.kind,
        "priority": "0",
        "destination": store.echoed(record),
        "deleterecord": false,
        "state": "unknown",
    })
}

fn update(action: &str, param: &Value, zone: &StoredZone, store: &mut TxtStore) -> Response<Bytes> {
    let invalid = |said: &str| error(action, 4013, "Validation Error.", said);
    let rows_of: Result<Vec<Row>, _> = serde_json::from_value(param["dnsrecordset"]["dnsrecords"].clone());
    let Ok(news) = rows_of else { return invalid("The dnsrecordset is invalid.") };
    let mut after = store.clone();
    for row in news {
        let name = match row.hostname.as_str() {
            "@" => zone.name.clone(),
            relative => format!("{relative}.{}", zone.name),
        };
        match (row.id, row.deleterecord) {
            (Some(id), true) => {
                let equal = after.txt(&zone.id, &name).any(|it| it.id == id && it.value == row.destination);
                if !equal || !after.remove(&zone.id, &id) {
                    return invalid("The record is not in a valid format.");
                }
            }
            (None, false) if row.r#type == "TXT" && !row.destination.is_empty() => {
                // All records of a zone have its time to live.
                after.insert(&zone.id, &name, &row.destination, &row.destination, 86_400);
            }
            _ => return invalid("The record is not in a valid format."),
        }
    }
    *store = after;
    done(action, "DNS records successful updated", &json!({ "dnsrecords": rows(store, zone) }))
}

fn done(action: &str, said: &str, data: &Value) -> Response<Bytes> {
    reply(action, "success", 2000, said, said, data)
}

fn error(action: &str, code: u32, short: &str, long: &str) -> Response<Bytes> {
    reply(action, "error", code, short, long, &json!(""))
}

fn reply(action: &str, status: &str, code: u32, short: &str, long: &str, data: &Value) -> Response<Bytes> {
    let body = json!({
        "serverrequestid": "x9YDWnc1YON522yQMlFld01zMw14",
        "clientrequestid": "",
        "action": action,
        "status": status,
        "statuscode": code,
        "shortmessage": short,
        "longmessage": long,
        "responsedata": data,
    });
    Reply::json(200, &body)
}
