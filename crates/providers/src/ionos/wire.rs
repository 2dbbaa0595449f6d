//! What is said to IONOS, and what it answers.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    Zone,
    engine::{NewRecord, Record},
    txt,
    vendor::{Answer, Blame, Complaint},
};

/// One of the customer's zones.
#[derive(Deserialize)]
pub(super) struct Listed {
    id: String,
    name: String,
}

impl Listed {
    pub(super) fn zone(self) -> Option<Zone> {
        let apex = self.name.parse().ok()?;
        Some(self.id).filter(|id| !id.is_empty()).map(|id| Zone::new(apex).with_id(id))
    }
}

/// A zone with its records.
#[derive(Deserialize)]
pub(super) struct Content {
    #[serde(default)]
    pub(super) records: Vec<Entry>,
}

#[derive(Deserialize)]
pub(super) struct Entry {
    id: String,
    name: String,
    r#type: String,
    #[serde(default)]
    content: String,
    #[serde(default)]
    ttl: Option<u64>,
    /// Kept, and not served.
    #[serde(default)]
    disabled: bool,
}

impl Entry {
    /// The TXT record that it is, if it is one that is served.
    pub(super) fn text(self) -> Option<Record> {
        if self.r#type != "TXT" || self.disabled {
            return None;
        }
        let (name, ttl) = (self.name.parse().ok()?, self.ttl.map(Duration::from_secs));
        Some(Record::new(self.id, name, txt::unquote(&self.content), ttl))
    }
}

/// A record to be made.
#[derive(Serialize)]
pub(super) struct Creation<'c> {
    name: &'c str,
    r#type: &'static str,
    /// As it is: it comes back in quotes.
    content: &'c str,
    ttl: u64,
    prio: u8,
    disabled: bool,
}

impl<'c> Creation<'c> {
    pub(super) fn new(record: &'c NewRecord) -> Self {
        let NewRecord { name, value, ttl, .. } = record;
        Self {
            name: name.as_str(),
            r#type: "TXT",
            content: value,
            ttl: ttl.as_secs(),
            prio: 0,
            disabled: false,
        }
    }
}

#[derive(Deserialize)]
struct Fault {
    code: String,
    #[serde(default)]
    message: Option<String>,
}

/// Complaints come in a list, the first of which says what it is about.
pub(super) fn complaint(answer: &Answer) -> Option<Complaint> {
    let complaint = Complaint::of_status(answer)?;
    let faults: Vec<Fault> = answer.json_if_any().unwrap_or_default();
    let Some(Fault { code, message }) = faults.into_iter().next() else { return Some(complaint) };
    let complaint = match &*code {
        // The key is unknown with 401, and good for another customer with 403.
        "UNAUTHORIZED" if answer.status() == 401 => complaint.blame(Blame::Auth),
        "UNAUTHORIZED" | "FORBIDDEN" => complaint.blame(Blame::Permission),
        "RATE_LIMIT_EXCEEDED" | "TOO_MANY_REQUESTS" => complaint.blame(Blame::RateLimit),
        _ => complaint,
    };
    Some(message.into_iter().fold(complaint.code(code), Complaint::message))
}
