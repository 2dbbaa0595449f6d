//! What is said to Scaleway, and what it answers.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    engine::{NewRecord, Record},
    txt,
    vendor::{Answer, Blame, Complaint},
};

/// One edit of a zone.
#[derive(Serialize)]
pub(super) struct Patch<'p> {
    changes: Vec<Change<'p>>,
    /// The answer holds what was added, and nothing else.
    return_all_records: bool,
    /// A name that is mistyped must not become a zone.
    disallow_new_zone_creation: bool,
}

impl<'p> Patch<'p> {
    pub(super) const fn new(changes: Vec<Change<'p>>) -> Self {
        Self { changes, return_all_records: false, disallow_new_zone_creation: true }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Change<'p> {
    Add { records: Vec<Addition<'p>> },
    Delete { id: &'p str },
}

impl<'p> Change<'p> {
    pub(super) fn add(zone: &crate::Zone, records: &'p [NewRecord]) -> Self {
        let addition = |record: &'p NewRecord| Addition {
            name: zone.relative(&record.name),
            data: txt::quote(&record.value),
            r#type: "TXT",
            ttl: record.ttl.as_secs(),
        };
        Self::Add { records: records.iter().map(addition).collect() }
    }

    pub(super) const fn delete(id: &'p str) -> Self {
        Self::Delete { id }
    }
}

#[derive(Serialize)]
pub(super) struct Addition<'p> {
    name: &'p str,
    data: String,
    r#type: &'static str,
    ttl: u64,
}

/// A page of records.
#[derive(Deserialize)]
pub(super) struct Listed {
    pub(super) total_count: usize,
    pub(super) records: Vec<Entry>,
}

/// What an edit added.
#[derive(Deserialize)]
pub(super) struct Patched {
    #[serde(default)]
    pub(super) records: Vec<Entry>,
}

#[derive(Deserialize)]
pub(super) struct Entry {
    id: String,
    name: String,
    r#type: String,
    data: String,
    ttl: u64,
}

impl Entry {
    /// The TXT record that it is, if it is one.
    pub(super) fn text(self, zone: &crate::Zone) -> Option<Record> {
        if self.r#type != "TXT" {
            return None;
        }
        let name = zone.absolute(&self.name)?;
        Some(Record::new(self.id, name, txt::unquote(&self.data), Some(Duration::from_secs(self.ttl))))
    }
}

/// A page of zones.
#[derive(Deserialize)]
pub(super) struct Zones {
    pub(super) total_count: usize,
    pub(super) dns_zones: Vec<Zone>,
}

/// A zone is a domain, or what is below it.
#[derive(Deserialize)]
pub(super) struct Zone {
    domain: String,
    #[serde(default)]
    subdomain: String,
}

impl Zone {
    pub(super) fn zone(&self) -> Option<crate::Zone> {
        let apex = match &*self.subdomain {
            "" => self.domain.parse(),
            subdomain => format!("{subdomain}.{}", self.domain).parse(),
        };
        apex.ok().map(crate::Zone::new)
    }
}

#[derive(Deserialize)]
struct Fault {
    /// Absent where an older part of the interface answers.
    #[serde(default)]
    r#type: Option<String>,
    #[serde(default)]
    message: Option<String>,
}

pub(super) fn complaint(answer: &Answer) -> Option<Complaint> {
    let complaint = Complaint::of_status(answer)?;
    let Some(Fault { r#type: code, message }) = answer.json_if_any() else { return Some(complaint) };
    let complaint = match code.as_deref() {
        // Said with 403 of a zone that is nobody's.
        None if message.as_deref() == Some("domain not found") => complaint.blame(Blame::Invalid),
        Some("denied_authentication") => complaint.blame(Blame::Auth),
        Some("permissions_denied") => complaint.blame(Blame::Permission),
        Some("quotas_exceeded") => complaint.blame(Blame::Quota),
        Some("locked" | "transient_state" | "precondition_failed") => complaint.blame(Blame::Conflict),
        _ => complaint,
    };
    let complaint = code.into_iter().fold(complaint, Complaint::code);
    Some(message.into_iter().fold(complaint, Complaint::message))
}
