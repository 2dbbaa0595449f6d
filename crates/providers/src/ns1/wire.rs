//! What is said to NS1, and what it answers.

use std::time::Duration;

use perennial_core::DomainName;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::KIND;
use crate::{
    Error,
    engine::{Member, RecordSet},
    txt,
    vendor::{Answer, Blame, Complaint},
};

/// A zone, without its records.
#[derive(Deserialize)]
pub(super) struct Zone {
    pub(super) zone: String,
}

/// A set.
#[derive(Deserialize)]
pub(super) struct Set {
    answers: Vec<Map<String, Value>>,
    #[serde(default)]
    ttl: Option<u64>,
    /// Where the answers are taken from instead, if they are.
    #[serde(default)]
    link: Option<String>,
}

impl Set {
    /// The set with everything that is said of each answer beside its text, which goes back as it came.
    pub(super) fn record_set(self, name: &DomainName) -> Result<RecordSet, Error> {
        if let Some(link) = self.link.filter(|link| !link.is_empty()) {
            let reason = format!(
                "the TXT record of {name} is linked to that of {link} and has no answers of its own; \
                 remove the link, or add the value there"
            );
            return Err(Error::InvalidRequest { provider: KIND.to_owned(), reason, fault: None });
        }
        let member = |answer: Map<String, Value>| {
            let texts = answer.get("answer").and_then(Value::as_array).into_iter().flatten();
            let texts: Vec<String> = texts.filter_map(Value::as_str).map(txt::unquote).collect();
            Member::echoed(texts.concat(), Value::Object(answer).to_string())
        };
        let members = self.answers.into_iter().map(member).collect();
        Ok(RecordSet::new(name.clone(), members, self.ttl.map(Duration::from_secs)))
    }
}

/// A set to be made.
#[derive(Serialize)]
pub(super) struct Creation<'c> {
    zone: &'c str,
    domain: &'c str,
    r#type: &'static str,
    ttl: Option<u64>,
    answers: Vec<Value>,
}

impl<'c> Creation<'c> {
    pub(super) fn new(zone: &'c str, set: &'c RecordSet) -> Self {
        let answers = set.members.iter().map(|member| answer(&member.value)).collect();
        let ttl = set.ttl.map(|ttl| ttl.as_secs());
        Self { zone, domain: set.name.as_str(), r#type: "TXT", ttl, answers }
    }
}

/// The new answers of a set. What is not mentioned stays as it is.
#[derive(Serialize)]
pub(super) struct Replacement<'r> {
    zone: &'r str,
    domain: &'r str,
    r#type: &'static str,
    answers: Vec<Value>,
}

impl<'r> Replacement<'r> {
    pub(super) fn new(zone: &'r str, set: &'r RecordSet) -> Result<Self, Error> {
        let of_member = |member: &Member| match &member.raw {
            None => Ok(answer(&member.value)),
            Some(raw) => serde_json::from_str(raw).map_err(|error| Error::InvalidRequest {
                provider: KIND.to_owned(),
                reason: format!("an answer of {} cannot be given back as it came: {error}", set.name),
                fault: None,
            }),
        };
        let answers = set.members.iter().map(of_member).collect::<Result<_, _>>()?;
        Ok(Self { zone, domain: set.name.as_str(), r#type: "TXT", answers })
    }
}

/// An answer of TXT is one text, which NS1 cuts into character-strings by itself.
fn answer(value: &str) -> Value {
    json!({ "answer": [value] })
}

#[derive(Deserialize)]
struct Fault {
    message: String,
}

/// The set was there a moment ago.
pub(super) const NO_SUCH_RECORD: &str = "record not found";

/// NS1 has messages and no codes; those that mean something are used as such.
pub(super) fn complaint(answer: &Answer) -> Option<Complaint> {
    let complaint = Complaint::of_status(answer)?;
    let Some(Fault { message }) = answer.json_if_any() else { return Some(complaint) };
    let complaint = match &*message {
        "record already exists" => complaint.blame(Blame::Conflict).code("record already exists"),
        NO_SUCH_RECORD => complaint.code(NO_SUCH_RECORD),
        _ => complaint,
    };
    Some(complaint.message(message))
}
