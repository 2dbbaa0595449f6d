//! One state of a zone.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType, rdata::SOA};

/// One state of a zone: its records by owner. Copying it shares what did not change.
#[derive(Clone, Debug)]
pub(in crate::dns) struct Contents {
    origin: Name,
    /// In the canonical order of RFC 4034 §6.1: what lies below a name follows it.
    owners: BTreeMap<Name, Arc<Vec<Record>>>,
}

impl Contents {
    pub(in crate::dns) fn new(origin: Name) -> Self {
        Self { origin, owners: BTreeMap::new() }
    }

    pub(in crate::dns) fn origin(&self) -> &Name {
        &self.origin
    }

    pub(in crate::dns) fn names(&self) -> impl Iterator<Item = &Name> {
        self.owners.keys()
    }

    pub(in crate::dns) fn records_at(&self, name: &Name) -> &[Record] {
        self.owners.get(name).map_or(&[], |records| records.as_slice())
    }

    pub(in crate::dns) fn records_of(&self, name: &Name, kind: RecordType) -> impl Iterator<Item = &Record> {
        self.records_at(name)
            .iter()
            .filter(move |record| kind == RecordType::ANY || record.record_type() == kind)
    }

    pub(in crate::dns) fn has(&self, name: &Name, kind: RecordType) -> bool {
        self.records_of(name, kind).next().is_some()
    }

    /// Whether the name has records or lies above one that has: an empty non-terminal exists too
    /// (RFC 8020 §2).
    pub(in crate::dns) fn exists(&self, name: &Name) -> bool {
        let from = (Bound::Included(name), Bound::Unbounded);
        self.owners.range::<Name, _>(from).next().is_some_and(|(owner, _)| name.zone_of(owner))
    }

    /// The SOA record, with the TTL that negative answers have (RFC 2308 §5).
    pub(in crate::dns) fn negative_soa(&self) -> Option<Record> {
        let mut record = self.records_of(&self.origin, RecordType::SOA).next()?.clone();
        if let RData::SOA(soa) = &record.data {
            record.ttl = record.ttl.min(soa.minimum);
        }
        Some(record)
    }

    pub(in crate::dns) fn serial(&self) -> u32 {
        self.records_of(&self.origin, RecordType::SOA).next().map_or(0, |record| match &record.data {
            RData::SOA(soa) => soa.serial,
            _ => 0,
        })
    }

    pub(in crate::dns) fn raise_serial(&mut self) {
        if let Some(soa) = self.soa() {
            soa.serial = soa.serial.wrapping_add(1);
        }
    }

    /// Names the primary in the SOA record, and says whether it was another.
    pub(in crate::dns) fn set_primary(&mut self, host: &Name) -> bool {
        self.soa().is_some_and(|soa| std::mem::replace(&mut soa.mname, host.clone()) != *host)
    }

    fn soa(&mut self) -> Option<&mut SOA> {
        let records = Arc::make_mut(self.owners.get_mut(&self.origin)?);
        records.iter_mut().find_map(|record| match &mut record.data {
            RData::SOA(soa) => Some(soa),
            _ => None,
        })
    }

    /// Adds a record, gives its TTL to its siblings, and says whether anything changed.
    pub(in crate::dns) fn add(&mut self, mut record: Record) -> bool {
        record.dns_class = DNSClass::IN;
        let records = Arc::make_mut(self.owners.entry(record.name.clone()).or_default());
        let mut changed = false;
        for sibling in records.iter_mut().filter(|other| other.record_type() == record.record_type()) {
            changed |= sibling.ttl != record.ttl;
            sibling.ttl = record.ttl;
        }
        if !records.iter().any(|other| other.data == record.data) {
            records.push(record);
            changed = true;
        }
        changed
    }

    /// Removes the records of one owner that `unwanted` names, and says whether there were any.
    pub(in crate::dns) fn remove(&mut self, name: &Name, unwanted: impl Fn(&Record) -> bool) -> bool {
        if !self.records_at(name).iter().any(&unwanted) {
            return false;
        }
        if let Some(records) = self.owners.get_mut(name) {
            let records = Arc::make_mut(records);
            records.retain(|record| !unwanted(record));
            if records.is_empty() {
                self.owners.remove(name);
            }
        }
        true
    }
}
