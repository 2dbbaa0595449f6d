//! What goes over the wire.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    Zone,
    engine::{NewRecord, Record},
    txt,
    vendor::{Answer, Blame, Complaint},
};

/// Around every answer.
#[derive(Deserialize)]
pub(super) struct Envelope<T> {
    pub(super) result: T,
    #[serde(default)]
    result_info: Info,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Info {
    total_pages: usize,
}

impl<T> Envelope<T> {
    pub(super) const fn last_page(&self) -> usize {
        self.result_info.total_pages
    }
}

#[derive(Deserialize)]
pub(super) struct ZoneEntry {
    id: String,
    name: String,
}

impl ZoneEntry {
    /// `None` of one whose name no name of ours is below.
    pub(super) fn zone(self) -> Option<Zone> {
        Some(Zone::new(self.name.parse().ok()?).with_id(self.id))
    }
}

#[derive(Deserialize)]
pub(super) struct DnsRecord {
    id: String,
    name: String,
    content: String,
    ttl: Option<u64>,
}

impl DnsRecord {
    pub(super) fn txt(self) -> Option<Record> {
        // "Automatic" is written as one second.
        let ttl = self.ttl.filter(|ttl| *ttl > 1).map(Duration::from_secs);
        Some(Record::new(self.id, self.name.parse().ok()?, txt::unquote(&self.content), ttl))
    }
}

#[derive(Deserialize)]
pub(super) struct Identified {
    pub(super) id: String,
}

#[derive(Serialize)]
pub(super) struct Reference<'r> {
    pub(super) id: &'r str,
}

#[derive(Serialize)]
pub(super) struct NewDnsRecord<'r> {
    r#type: &'static str,
    name: &'r str,
    /// Quoted, as documented; unquoted content is taken, too, and echoed so.
    content: String,
    ttl: u64,
}

impl<'r> From<&'r NewRecord> for NewDnsRecord<'r> {
    fn from(record: &'r NewRecord) -> Self {
        let ttl = record.ttl.as_secs();
        Self { r#type: "TXT", name: record.name.as_str(), content: txt::quote(&record.value), ttl }
    }
}

/// Deletes come before posts, whatever the order here.
#[derive(Serialize)]
pub(super) struct Batch<'r> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) deletes: Vec<Reference<'r>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) posts: Vec<NewDnsRecord<'r>>,
}

#[derive(Deserialize)]
pub(super) struct BatchDone {
    #[serde(default)]
    pub(super) posts: Vec<Identified>,
}

#[derive(Deserialize)]
struct Faults {
    #[serde(default)]
    success: bool,
    #[serde(default)]
    errors: Vec<Fault>,
}

#[derive(Deserialize)]
struct Fault {
    code: i64,
    message: String,
    #[serde(default)]
    error_chain: Vec<Self>,
}

pub(super) fn complaint(answer: &Answer) -> Option<Complaint> {
    let of_status = Complaint::of_status(answer);
    let faults = answer.json_if_any::<Faults>();
    let complaint = match (&faults, of_status) {
        (Some(faults), None) if !faults.success && !faults.errors.is_empty() => {
            Complaint::new(Blame::Invalid)
        }
        (_, complaint) => complaint?,
    };
    let ray = answer.header("cf-ray").map(str::to_owned);
    let complaint = match ray {
        Some(ray) => complaint.request_id(ray),
        None => complaint,
    };
    let Some(fault) = faults.and_then(|faults| faults.errors.into_iter().next()) else {
        return Some(complaint);
    };
    let chain: String =
        fault.error_chain.iter().map(|it| format!("; {} ({})", it.message, it.code)).collect();
    let message = format!("{}{chain}", fault.message);
    // What the status says of the others is right.
    let complaint = match fault.code {
        971 => complaint.blame(Blame::RateLimit),
        // Malformed: a line break, or a global key where a token is wanted.
        6003 | 6103 | 6111 | 9106 | 9109 => complaint.blame(Blame::Auth),
        81_045 => complaint.blame(Blame::Quota),
        81_057 | 81_058 => complaint.blame(Blame::Conflict),
        81_044 => complaint.blame(Blame::Invalid),
        _ => complaint,
    };
    Some(complaint.code(fault.code).message(message))
}
