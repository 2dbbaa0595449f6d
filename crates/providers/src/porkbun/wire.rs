//! What is said to Porkbun, and what it answers.

use serde::{Deserialize, Serialize};

use crate::{
    Zone,
    engine::{NewRecord, Record},
    txt,
    vendor::{Answer, Blame, Complaint, Scalar},
};

/// A question that its path says whole; [`Keys`](super::keys::Keys) puts the keys in.
#[derive(Serialize)]
pub(super) struct Nothing {}

/// A record to be made.
#[derive(Serialize)]
pub(super) struct Creation<'c> {
    name: &'c str,
    r#type: &'static str,
    content: &'c str,
    /// In quotes, as the documentation has it.
    ttl: String,
}

impl<'c> Creation<'c> {
    pub(super) fn new(zone: &Zone, record: &'c NewRecord) -> Self {
        let ttl = record.ttl.as_secs().to_string();
        Self { name: zone.relative(&record.name), r#type: "TXT", content: &record.value, ttl }
    }
}

/// That a record was made.
#[derive(Deserialize)]
pub(super) struct Created {
    /// A number when it is new, a text in every list.
    pub(super) id: Scalar,
}

/// A list of records.
#[derive(Deserialize)]
pub(super) struct Listed {
    /// Absent when there are none.
    #[serde(default)]
    records: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    id: Scalar,
    name: String,
    r#type: String,
    content: String,
    #[serde(default)]
    ttl: Option<Scalar>,
}

impl Listed {
    /// The TXT records of the list. One whose name is none is nobody's that we could be asked about.
    pub(super) fn texts(self) -> Vec<Record> {
        let texts = self.records.into_iter().filter(|entry| entry.r#type == "TXT");
        texts
            .filter_map(|entry| {
                let name = entry.name.parse().ok()?;
                let ttl = entry.ttl.and_then(|ttl| ttl.number()).map(std::time::Duration::from_secs);
                Some(Record::new(entry.id.to_string(), name, txt::unquote(&entry.content), ttl))
            })
            .collect()
    }
}

/// What every answer begins with, whatever its status.
#[derive(Deserialize)]
struct Verdict {
    status: String,
    /// Only of late.
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    message: Option<String>,
}

/// The domain is not one of this account's.
pub(super) const NO_SUCH_DOMAIN: &str = "INVALID_DOMAIN";
/// No record has this identifier.
pub(super) const NO_SUCH_RECORD: &str = "INVALID_RECORD_ID";
/// The domain is one of this account's, and closed to the API.
pub(super) const NOT_OPTED_IN: &str = "NOT_OPTED_IN";
/// Said of a record that is there already, of one that another one forbids, and to who is too fast.
pub(super) const NOT_CREATED: &str = "NOT_CREATED";

/// Porkbun says "ERROR" with 200, 400 and 503 alike, older answers without a code.
pub(super) fn complaint(answer: &Answer) -> Option<Complaint> {
    let Some(verdict) = answer.json_if_any::<Verdict>() else { return Complaint::of_status(answer) };
    let of_status = Complaint::of_status(answer);
    if verdict.status == "SUCCESS" && of_status.is_none() {
        return None;
    }
    let message = verdict.message.unwrap_or_default();
    let code = code_of(&message).map(str::to_owned).or(verdict.code);
    let complaint = of_status.unwrap_or_else(|| Complaint::new(Blame::Invalid));
    let complaint = match blame(code.as_deref().unwrap_or_default(), &message) {
        Some(blame) => complaint.blame(blame),
        None => complaint,
    };
    let complaint = if message.is_empty() { complaint } else { complaint.message(message) };
    Some(match code {
        Some(code) => complaint.code(code),
        None => complaint,
    })
}

/// The code that a message stands for where it has none, or none of its own.
fn code_of(message: &str) -> Option<&'static str> {
    let begins = |with: &str| message.get(..with.len()).is_some_and(|head| head.eq_ignore_ascii_case(with));
    if begins("Invalid domain") {
        Some(NO_SUCH_DOMAIN)
    } else if begins("Invalid record ID") || message.contains("ould not delete record") {
        Some(NO_SUCH_RECORD)
    } else if message.contains("unable to create the DNS record") {
        Some(NOT_CREATED)
    } else if message.contains("not opted in") {
        Some(NOT_OPTED_IN)
    } else {
        None
    }
}

fn blame(code: &str, message: &str) -> Option<Blame> {
    if code.starts_with("INVALID_API_KEYS") || code.starts_with("MISSING_") || code == "API_KEY_REQUIRED" {
        return Some(Blame::Auth);
    }
    if code == "RATE_LIMIT_EXCEEDED" {
        return Some(Blame::RateLimit);
    }
    if code == NOT_OPTED_IN {
        return Some(Blame::Permission);
    }
    message.to_ascii_lowercase().contains("invalid api key").then_some(Blame::Auth)
}
