//! What is said to netcup, and what it answers.

use perennial_core::DomainName;
use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::{Map, Value, json};

use crate::{
    Zone,
    engine::{NewRecord, Record},
    txt,
    vendor::{Answer, Blame, Complaint, Scalar},
};

/// An action with its parameters, to which [`Session`](super::session::Session) adds whose they are.
#[derive(Serialize)]
pub(super) struct Request<'r> {
    action: &'static str,
    param: Param<'r>,
}

#[derive(Serialize)]
struct Param<'r> {
    domainname: &'r str,
    #[serde(skip_serializing_if = "Option::is_none")]
    dnsrecordset: Option<Rows<'r>>,
}

#[derive(Serialize)]
pub(super) struct Rows<'r> {
    dnsrecords: Vec<Row<'r>>,
}

impl<'r> Request<'r> {
    const fn new(action: &'static str, domainname: &'r str) -> Self {
        Self { action, param: Param { domainname, dnsrecordset: None } }
    }

    pub(super) fn zone(apex: &'r DomainName) -> Self {
        Self::new("infoDnsZone", apex.as_str())
    }

    pub(super) fn records(zone: &'r Zone) -> Self {
        Self::new("infoDnsRecords", zone.apex.as_str())
    }

    /// Rows that are not named stay as they are.
    pub(super) fn update(zone: &'r Zone, dnsrecords: Vec<Row<'r>>) -> Self {
        let mut request = Self::new("updateDnsRecords", zone.apex.as_str());
        request.param.dnsrecordset = Some(Rows { dnsrecords });
        request
    }
}

/// A row to be made, or with an identifier one to be deleted.
#[derive(Serialize)]
pub(super) struct Row<'r> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'r str>,
    hostname: &'r str,
    r#type: &'static str,
    priority: &'static str,
    destination: &'r str,
    deleterecord: bool,
}

impl<'r> Row<'r> {
    pub(super) fn new(zone: &Zone, record: &'r NewRecord) -> Self {
        Self::of(None, hostname(zone, &record.name), &record.value)
    }

    pub(super) fn deleted(zone: &Zone, record: &'r Record) -> Self {
        Self::of(Some(&record.id), hostname(zone, &record.name), &record.value)
    }

    const fn of(id: Option<&'r str>, hostname: &'r str, destination: &'r str) -> Self {
        Self { id, hostname, r#type: "TXT", priority: "0", destination, deleterecord: id.is_some() }
    }
}

fn hostname<'n>(zone: &Zone, name: &'n DomainName) -> &'n str {
    match zone.relative(name) {
        "" => "@",
        relative => relative,
    }
}

/// A good answer.
#[derive(Deserialize)]
pub(super) struct Reply<T> {
    pub(super) responsedata: T,
}

pub(super) type Anything = IgnoredAny;

/// All records of a zone, which an update answers with, too.
#[derive(Deserialize)]
pub(super) struct Listed {
    dnsrecords: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    id: Scalar,
    hostname: String,
    r#type: String,
    destination: String,
}

impl Listed {
    pub(super) fn texts(self, zone: &Zone) -> Vec<Record> {
        let texts = self.dnsrecords.into_iter().filter(|entry| entry.r#type == "TXT");
        let text = |entry: Entry| {
            let name = zone.absolute(&entry.hostname)?;
            Some(Record::new(entry.id.to_string(), name, txt::unquote(&entry.destination), None))
        };
        texts.filter_map(text).collect()
    }
}

/// What every answer has, all with 200.
#[derive(Deserialize)]
struct Verdict {
    #[serde(default)]
    action: String,
    status: String,
    statuscode: Scalar,
    #[serde(default)]
    serverrequestid: String,
    #[serde(default)]
    shortmessage: String,
    #[serde(default)]
    longmessage: String,
}

/// The customer has no such domain.
pub(super) const NO_SUCH_ZONE: &str = "5031";
/// The zone has no records, which is said as an error.
pub(super) const NO_RECORDS: &str = "5029";

pub(super) fn complaint(answer: &Answer) -> Option<Complaint> {
    let of_status = Complaint::of_status(answer);
    let Some(verdict) = answer.json_if_any::<Verdict>() else { return of_status };
    // `pending` and `started` are on their way to success.
    if verdict.status != "error" && of_status.is_none() {
        return None;
    }
    let Verdict { action, statuscode, serverrequestid, shortmessage, longmessage, .. } = verdict;
    let message = format!("{shortmessage}: {longmessage}");
    let complaint = of_status.unwrap_or_else(|| Complaint::new(blame(&action, &statuscode, &message)));
    Some(complaint.code(statuscode).message(message).request_id(serverrequestid))
}

/// There are few codes, and many things that are said with each.
fn blame(action: &str, code: &Scalar, message: &str) -> Blame {
    let message = message.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if says(&["too many requests", "request limit"]) {
        return Blame::RateLimit;
    }
    match code.as_str() {
        // The session is over, or is none.
        "4001" => Blame::Auth,
        "5000" => Blame::Unavailable,
        _ if action == "login" || says(&["session id", "api key", "api password"]) => Blame::Auth,
        _ => Blame::Invalid,
    }
}

/// The parameters of a login.
pub(super) fn login(customer: &str, key: &str, password: &str) -> Value {
    json!({
        "action": "login",
        "param": { "customernumber": customer, "apikey": key, "apipassword": password },
    })
}

/// What a login answers.
#[derive(Deserialize)]
pub(super) struct LoggedIn {
    pub(super) apisessionid: String,
}

/// Adds to a request whose it is; `None` if it is none.
pub(super) fn signed(body: &[u8], customer: &str, key: &str, session: &str) -> Option<Vec<u8>> {
    let mut request: Map<String, Value> = serde_json::from_slice(body).ok()?;
    let param = request.get_mut("param")?.as_object_mut()?;
    for (name, value) in [("customernumber", customer), ("apikey", key), ("apisessionid", session)] {
        param.insert(name.to_owned(), value.into());
    }
    serde_json::to_vec(&request).ok()
}
