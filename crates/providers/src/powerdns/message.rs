//! What goes over the wire.

use std::time::Duration;

use perennial_core::DomainName;
use serde::{Deserialize, Serialize};

use crate::{
    Error,
    engine::{Member, RecordSet, Swap},
    txt,
    vendor::{Answer, Complaint},
};

#[derive(Deserialize)]
pub(super) struct ZoneEntry {
    pub(super) name: String,
}

/// One of the server's own settings.
#[derive(Deserialize)]
pub(super) struct Setting {
    name: String,
    value: String,
}

impl Setting {
    /// Whether it says that zones are kept in LMDB: `lmdb`, or `lmdb:instance` among others.
    pub(super) fn is_lmdb(&self) -> bool {
        let mut backends = self.value.split([',', ' ']).map(str::trim);
        self.name == "launch" && backends.any(|it| it == "lmdb" || it.starts_with("lmdb:"))
    }
}

#[derive(Deserialize)]
pub(super) struct ZoneAnswer {
    rrsets: Vec<RrSet>,
}

#[derive(Deserialize)]
struct RrSet {
    name: String,
    r#type: String,
    ttl: u64,
    records: Vec<Record>,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub(super) struct Record {
    content: String,
    #[serde(default)]
    disabled: bool,
}

impl ZoneAnswer {
    /// What is served are the members; what is disabled comes along.
    pub(super) fn set(&self, name: &DomainName) -> RecordSet {
        let mut sets = self.rrsets.iter();
        let set = sets.find(|set| {
            set.r#type == "TXT" && set.name.parse::<DomainName>().is_ok_and(|owner| owner == *name)
        });
        let Some(set) = set else { return RecordSet::empty(name.clone()) };
        let (disabled, served): (Vec<_>, Vec<_>) = set.records.iter().partition(|record| record.disabled);
        let members = served.into_iter().map(|it| Member::echoed(txt::unquote(&it.content), &it.content));
        let read = RecordSet::new(name.clone(), members.collect(), Some(Duration::from_secs(set.ttl)));
        match serde_json::to_string(&disabled) {
            Ok(disabled_records) if !disabled.is_empty() => read.with_extra(disabled_records),
            _ => read,
        }
    }
}

#[derive(Serialize)]
pub(super) struct Patch {
    pub(super) rrsets: Vec<Change>,
}

#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Change {
    name: String,
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<u64>,
    changetype: &'static str,
    records: Vec<Record>,
}

fn content(member: &Member) -> String {
    member.raw.clone().unwrap_or_else(|| txt::quote(&member.value))
}

/// One change for each value that comes or goes.
pub(super) fn single_changes(swap: &Swap) -> Vec<Change> {
    let Swap { old, new } = swap;
    let lacks = |set: &RecordSet, member: &Member| set.members.iter().all(|it| it.value != member.value);
    let gone = old.members.iter().filter(|member| lacks(new, member)).map(|member| ("PRUNE", member));
    let come = new.members.iter().filter(|member| lacks(old, member)).map(|member| ("EXTEND", member));
    gone.chain(come)
        .map(|(changetype, member)| Change {
            name: format!("{}.", new.name),
            r#type: "TXT",
            ttl: new.ttl.map(|ttl| ttl.as_secs()),
            changetype,
            records: vec![Record { content: content(member), disabled: false }],
        })
        .collect()
}

/// The whole set. Its comments stay, since nothing is said of them.
pub(super) fn replacement(swap: &Swap) -> Change {
    let new = &swap.new;
    let mut records: Vec<_> =
        new.members.iter().map(|member| Record { content: content(member), disabled: false }).collect();
    let disabled = new.extra.as_deref().and_then(|extra| serde_json::from_str::<Vec<Record>>(extra).ok());
    // A value that is to be served is not kept disabled beside it: the server refuses that.
    let kept = disabled
        .unwrap_or_default()
        .into_iter()
        .filter(|record| new.members.iter().all(|member| member.value != txt::unquote(&record.content)));
    records.extend(kept);
    let (changetype, ttl) = match records.is_empty() {
        true => ("DELETE", None),
        false => ("REPLACE", new.ttl.map(|ttl| ttl.as_secs())),
    };
    Change { name: format!("{}.", new.name), r#type: "TXT", ttl, changetype, records }
}

#[derive(Deserialize)]
struct Fault {
    error: String,
}

/// 401 and 404 come in plain text.
pub(super) fn complaint(answer: &Answer) -> Option<Complaint> {
    let complaint = Complaint::of_status(answer)?;
    Some(match answer.json_if_any::<Fault>() {
        Some(fault) => complaint.message(fault.error),
        None => complaint,
    })
}

/// "Changetype not understood" before 5.0, "Changetype 'EXTEND' is not a valid value" since.
pub(super) fn is_unknown_change(error: &Error) -> bool {
    error.status() == Some(422) && error.to_string().contains("hangetype")
}

/// "uses a different TTL value than the remainder of the RRset".
pub(super) fn is_other_ttl(error: &Error) -> bool {
    error.status() == Some(422) && error.to_string().contains("TTL")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(json: &str) -> RecordSet {
        serde_json::from_str::<ZoneAnswer>(json).unwrap().set(&"a.example.com".parse().unwrap())
    }

    const SET: &str = r#"{"rrsets": [
        {"name": "a.example.com.", "type": "A", "ttl": 5, "records": [{"content": "192.0.2.1"}]},
        {"name": "a.example.com.", "type": "TXT", "ttl": 300, "comments": [], "records": [
            {"content": "\"one\" \"two\"", "disabled": false}, {"content": "\"off\"", "disabled": true}]}]}"#;

    #[test]
    fn what_is_disabled_is_no_value_and_is_given_back() {
        let old = set(SET);
        assert_eq!(old.members, [Member::echoed("onetwo", r#""one" "two""#)]);
        let mut new = old.clone();
        new.members = vec![Member::new("new")];
        let swap = |new: &RecordSet| replacement(&Swap { old: old.clone(), new: new.clone() });
        let change = swap(&new);
        let contents: Vec<_> = change.records.iter().map(|it| (it.content.as_str(), it.disabled)).collect();
        assert_eq!(contents, [(r#""new""#, false), (r#""off""#, true)]);
        // The value that was disabled is wanted now; and nothing but what is disabled is left.
        new.members = vec![Member::new("off")];
        assert_eq!(swap(&new).records, [Record { content: r#""off""#.into(), disabled: false }]);
        new.members.clear();
        assert_eq!((swap(&new).changetype, swap(&new).records.len()), ("REPLACE", 1));
        new.extra = None;
        assert_eq!(swap(&new).changetype, "DELETE");
    }

    #[test]
    fn only_what_differs_is_extended_or_pruned() {
        let old = set(SET);
        let mut new = old.clone();
        new.members = vec![Member::new("new")];
        let changes = single_changes(&Swap { old, new });
        let words: Vec<_> =
            changes.iter().map(|it| (it.changetype, it.records[0].content.as_str(), it.ttl)).collect();
        assert_eq!(words, [("PRUNE", r#""one" "two""#, Some(300)), ("EXTEND", r#""new""#, Some(300))]);
    }
}
