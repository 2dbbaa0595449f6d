//! A batch of changes: whole or not at all.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::{
    super::{StoredZone, TxtStore},
    octal,
};

/// ChangeResourceRecordSetsRequest.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ChangeRequest {
    change_batch: ChangeBatch,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ChangeBatch {
    changes: Changes,
}

#[derive(Deserialize)]
struct Changes {
    #[serde(rename = "Change", default)]
    list: Vec<Change>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Change {
    action: String,
    resource_record_set: ResourceRecordSet,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ResourceRecordSet {
    name: String,
    #[serde(rename = "Type")]
    kind: String,
    #[serde(rename = "TTL")]
    ttl: u32,
    resource_records: ResourceRecords,
}

#[derive(Deserialize)]
struct ResourceRecords {
    #[serde(rename = "ResourceRecord", default)]
    list: Vec<ResourceRecord>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ResourceRecord {
    value: String,
}

/// A set while a batch is tried: its time to live, and its values with how they were sent.
type Set = (u32, BTreeMap<String, String>);

impl ChangeRequest {
    /// Makes the changes, or says why none of them is made.
    pub(super) fn make(&self, store: &mut TxtStore, zone: &StoredZone) -> Result<(), String> {
        let changes = &self.change_batch.changes.list;
        let records = || changes.iter().flat_map(|change| &change.resource_record_set.resource_records.list);
        if changes.is_empty() {
            return Err("the batch is empty".to_owned());
        }
        let characters: usize = records().map(|record| record.value.chars().count()).sum();
        if records().count() > 1000 || characters > 32_000 {
            return Err("Number of records limit of 1000 or of characters of 32000 exceeded.".to_owned());
        }
        let mut sets: BTreeMap<String, Set> = BTreeMap::new();
        let mut faults = Vec::new();
        for change in changes {
            if let Err(fault) = change.try_on(store, zone, &mut sets) {
                faults.push(fault);
            }
        }
        if !faults.is_empty() {
            return Err(format!("[{}]", faults.join(", ")));
        }
        for (name, (ttl, values)) in sets {
            put_in_place(store, zone, &name, ttl, &values);
        }
        Ok(())
    }
}

impl Change {
    fn try_on(
        &self,
        store: &TxtStore,
        zone: &StoredZone,
        sets: &mut BTreeMap<String, Set>,
    ) -> Result<(), String> {
        let ResourceRecordSet { name: shown, kind, ttl, resource_records } = &self.resource_record_set;
        let name = octal::plain_name(shown.trim_end_matches('.'));
        if name != zone.name && !name.ends_with(&format!(".{}", zone.name)) {
            return Err(format!("RRSet with DNS name {shown} is not permitted in zone {}.", zone.name));
        }
        if kind != "TXT" {
            return Err(format!("Invalid type: {kind}"));
        }
        let mut values = BTreeMap::new();
        for ResourceRecord { value: sent } in &resource_records.list {
            let value = octal::unquoted(sent).ok_or_else(|| {
                format!(
                    "Invalid Resource Record: 'FATAL problem: InvalidCharacterString (Value should be enclosed in \
                     quotation marks) encountered with '{sent}''"
                )
            })?;
            if values.insert(value, sent.clone()).is_some() {
                return Err(format!("Duplicate Resource Record: '{sent}'"));
            }
        }
        if values.is_empty() {
            return Err("a set without records".to_owned());
        }
        let set = sets.entry(name.clone()).or_insert_with(|| {
            let there: Vec<_> = store.txt(&zone.id, &name).collect();
            let ttl = there.first().map_or(0, |record| record.ttl);
            (ttl, there.iter().map(|record| (record.value.clone(), record.sent.clone())).collect())
        });
        let what = format!("resource record set [name='{shown}', type='{kind}']");
        match self.action.as_str() {
            "CREATE" if !set.1.is_empty() => Err(format!("Tried to create {what} but it already exists")),
            "CREATE" | "UPSERT" => {
                *set = (*ttl, values);
                Ok(())
            }
            "DELETE" if set.1.is_empty() => Err(format!("Tried to delete {what} but it was not found")),
            "DELETE" if set.0 != *ttl || !set.1.keys().eq(values.keys()) => {
                Err(format!("Tried to delete {what} but the values provided do not match the current values"))
            }
            "DELETE" => {
                set.1.clear();
                Ok(())
            }
            other => Err(format!("Invalid action: {other}")),
        }
    }
}

/// What stays keeps what somebody wrote beside it.
fn put_in_place(
    store: &mut TxtStore,
    zone: &StoredZone,
    name: &str,
    ttl: u32,
    values: &BTreeMap<String, String>,
) {
    let there: Vec<_> =
        store.txt(&zone.id, name).map(|record| (record.id.clone(), record.value.clone())).collect();
    let mut kept = BTreeSet::new();
    for (id, value) in there {
        if !values.contains_key(&value) || !kept.insert(value) {
            store.remove(&zone.id, &id);
        }
    }
    for record in &mut store.records {
        if record.zone == zone.id && record.name == name && record.kind == "TXT" {
            record.ttl = ttl;
        }
    }
    for (value, sent) in values.iter().filter(|(value, _)| !kept.contains(*value)) {
        store.insert(&zone.id, name, value, sent, ttl);
    }
    store.touch(&zone.id, name);
}
