//! What is said to INWX, and what it answers.

use std::time::Duration;

use perennial_core::DomainName;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Zone,
    engine::{NewRecord, Record},
    txt,
    vendor::{Answer, Blame, Complaint, Scalar},
};

/// A call of a method.
#[derive(Serialize)]
pub(super) struct Request<'r, P> {
    pub(super) method: &'static str,
    pub(super) params: &'r P,
}

/// `nameserver.info`: the records of a zone, of one type, of one name if there is one.
#[derive(Serialize)]
pub(super) struct Question<'q> {
    domain: &'q str,
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'q str>,
}

impl<'q> Question<'q> {
    /// A short question that is good for nothing but to hear whether the zone is there.
    pub(super) fn soa(apex: &'q DomainName) -> Self {
        Self { domain: apex.as_str(), r#type: "SOA", name: None }
    }

    pub(super) fn texts(zone: &'q Zone, name: Option<&'q DomainName>) -> Self {
        Self { domain: zone.apex.as_str(), r#type: "TXT", name: name.map(DomainName::as_str) }
    }
}

/// `nameserver.createRecord`.
#[derive(Serialize)]
pub(super) struct Creation<'c> {
    domain: &'c str,
    r#type: &'static str,
    name: &'c str,
    content: &'c str,
    ttl: u64,
}

impl<'c> Creation<'c> {
    pub(super) fn new(zone: &'c Zone, record: &'c NewRecord) -> Self {
        let NewRecord { name, value, ttl, .. } = record;
        Self {
            domain: zone.apex.as_str(),
            r#type: "TXT",
            name: name.as_str(),
            content: value,
            ttl: ttl.as_secs(),
        }
    }
}

/// `nameserver.deleteRecord`.
#[derive(Serialize)]
pub(super) struct Deletion {
    /// Numbers once, texts of late: it goes back as it looks.
    id: Value,
}

impl Deletion {
    pub(super) fn of(record: &Record) -> Self {
        let number = record.id.parse::<u64>().ok();
        Self { id: number.map_or_else(|| record.id.clone().into(), Value::from) }
    }
}

/// An answer.
#[derive(Deserialize)]
pub(super) struct Reply<T> {
    #[serde(default = "Option::default", rename = "resData")]
    pub(super) res_data: Option<T>,
}

/// That a record was made.
#[derive(Default, Deserialize)]
pub(super) struct Created {
    #[serde(default)]
    pub(super) id: Option<Scalar>,
}

/// Records.
#[derive(Default, Deserialize)]
pub(super) struct Listed {
    #[serde(default)]
    count: Option<Scalar>,
    /// Absent where there are none.
    #[serde(default)]
    record: Vec<Entry>,
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
    pub(super) fn is_cut(&self) -> bool {
        let count = self.count.as_ref().and_then(Scalar::number);
        count.is_some_and(|count| count > u64::try_from(self.record.len()).unwrap_or(u64::MAX))
    }

    pub(super) fn texts(self) -> Vec<Record> {
        let texts = self.record.into_iter().filter(|entry| entry.r#type == "TXT");
        let text = |entry: Entry| {
            let ttl = entry.ttl.and_then(|ttl| ttl.number()).map(Duration::from_secs);
            let name = entry.name.parse().ok()?;
            Some(Record::new(entry.id.to_string(), name, txt::unquote(&entry.content), ttl))
        };
        texts.filter_map(text).collect()
    }
}

/// What a login answers.
#[derive(Default, Deserialize)]
pub(super) struct LoggedIn {
    /// `0` without a second factor, `GOOGLE-AUTH` with one.
    #[serde(default)]
    pub(super) tfa: Option<Scalar>,
}

impl LoggedIn {
    pub(super) fn wants_tan(&self) -> bool {
        self.tfa.as_ref().is_some_and(|tfa| !matches!(tfa.as_str(), "" | "0"))
    }
}

/// What every answer has, all with 200.
#[derive(Deserialize)]
struct Verdict {
    code: u32,
    #[serde(default)]
    msg: String,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default, rename = "svTRID")]
    sv_trid: Option<String>,
}

/// The object exists: EPP's number for it (RFC 5730 §3), as all of INWX's are.
pub(super) const EXISTS: &str = "2302";
/// The object does not exist.
pub(super) const NO_SUCH_OBJECT: &str = "2303";

pub(super) fn complaint(answer: &Answer) -> Option<Complaint> {
    let of_status = Complaint::of_status(answer);
    let Some(verdict) = answer.json_if_any::<Verdict>() else { return of_status };
    if (1000..2000).contains(&verdict.code) && of_status.is_none() {
        return None;
    }
    let complaint = of_status.unwrap_or_else(|| Complaint::new(blame(verdict.code)));
    let Verdict { code, msg, reason, sv_trid } = verdict;
    let message = match reason.filter(|reason| !reason.is_empty()) {
        Some(reason) => format!("{msg}: {reason}"),
        None => msg,
    };
    let complaint = complaint.code(code).message(message);
    Some(sv_trid.into_iter().fold(complaint, Complaint::request_id))
}

/// RFC 5730 §3.
const fn blame(code: u32) -> Blame {
    match code {
        // Authentication error; invalid authorization; the same with the end of the session.
        2200 | 2202 | 2501 => Blame::Auth,
        2201 => Blame::Permission,
        2400 | 2500 => Blame::Unavailable,
        2502 => Blame::RateLimit,
        _ => Blame::Invalid,
    }
}
