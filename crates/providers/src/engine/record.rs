//! Write class A: one record is created or deleted by its identifier.
//!
//! Siblings are safe by nature. What is not: a value that is there already may be created a second time, a
//! value must be found again without its identifier, and after a lost answer nobody knows whether a record was
//! created. So what is there is read first, and again after every failure; only a vendor that refuses a second
//! equal record is written to without a look.

use std::time::Duration;

use async_trait::async_trait;
use perennial_core::DomainName;

use super::{
    Settings, Vendor,
    frame::{Effect, Frame, MOST_LOSSES, MOST_RACES},
    gather::{Commit, Reach},
    net::{Net, names, net},
};
use crate::{
    Action, Applied, Capabilities, Change, DnsProvider, Error, Outcome, Pending, SerialScope, TxtRecord, Zone,
};

/// An interface that creates and deletes records by their identifiers.
#[async_trait]
pub trait RecordApi: Vendor {
    /// Whether a record that equals another is refused by the vendor. Then adding needs no look first, and
    /// [`create`](Self::create) answers [`Created::Exists`].
    fn refuses_duplicates(&self) -> bool {
        false
    }

    /// Whether [`write`](Self::write) is one request, however many records it gets. Then those who write to one zone at
    /// the same time go together; otherwise each goes its own way, which is no slower. No by default.
    fn writes_at_once(&self) -> bool {
        false
    }

    /// Whether records have a time to live of their own. Where they have that of their zone, none is told.
    fn has_ttls(&self) -> bool {
        true
    }

    /// All TXT records at these names, to the last page. More than was asked for does no harm, so a vendor with
    /// a cheap list of the whole zone may return that.
    ///
    /// # Errors
    /// [`Error`] when it could not be read to its end.
    async fn records(&self, zone: &Zone, names: &[DomainName]) -> Result<Vec<Record>, Error>;

    /// Creates one record.
    ///
    /// # Errors
    /// [`Error`] when it is not known to be there.
    async fn create(&self, zone: &Zone, record: &NewRecord) -> Result<Created, Error>;

    /// Deletes one record by its identifier. One that is gone is no error.
    ///
    /// # Errors
    /// [`Error`] when it is not known to be gone.
    async fn delete(&self, zone: &Zone, record: &Record) -> Result<(), Error>;

    /// Deletes and creates, in this order; one by one by default. A vendor that can do all of it in one request
    /// does that here. Returns one [`Created`] for each record to be created.
    ///
    /// # Errors
    /// [`Error`] when not all of it is known to be done. [`Error::Conflict`] means that nothing of it was done,
    /// since a record to be created was there.
    async fn write(
        &self,
        zone: &Zone,
        deletes: &[Record],
        creates: &[NewRecord],
    ) -> Result<Vec<Created>, Error> {
        for record in deletes {
            self.delete(zone, record).await?;
        }
        let mut created = Vec::with_capacity(creates.len());
        for record in creates {
            created.push(self.create(zone, record).await?);
        }
        Ok(created)
    }

    /// Puts into force what was written, for a vendor that wants to be told. Returns what
    /// [`in_sync`](Vendor::in_sync) can be asked about.
    ///
    /// # Errors
    /// [`Error`] when it is not known to be in force.
    async fn publish(&self, zone: &Zone) -> Result<Option<String>, Error> {
        let _ = zone;
        Ok(None)
    }
}

/// A TXT record as the vendor has it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// The vendor's identifier.
    pub id: String,
    /// The owner.
    pub name: DomainName,
    /// The value: unquoted and joined.
    pub value: String,
    /// The time to live, where the vendor says it.
    pub ttl: Option<Duration>,
}

impl Record {
    /// A record with this identifier.
    #[must_use]
    pub fn new(
        id: impl Into<String>,
        name: DomainName,
        value: impl Into<String>,
        ttl: Option<Duration>,
    ) -> Self {
        Self { id: id.into(), name, value: value.into(), ttl }
    }
}

/// A TXT record to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewRecord {
    /// The owner.
    pub name: DomainName,
    /// The value itself: a vendor that wants it quoted quotes it ([`txt::quote`](crate::txt::quote)).
    pub value: String,
    /// The time to live, not below the vendor's least.
    pub ttl: Duration,
}

/// What became of a record to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Created {
    /// There is one that equals it.
    Exists,
    /// It was created.
    New {
        /// The vendor's identifier, where its answer says it.
        id: Option<String>,
    },
}

/// A provider over an interface that creates and deletes records by their identifiers.
pub struct Records<V>(Frame<V>);

impl<V: RecordApi> Records<V> {
    /// A provider over this vendor's interface.
    pub fn new(vendor: V, settings: Settings) -> Self {
        Self(Frame::new(vendor, settings))
    }

    async fn make(&self, zone: &Zone, net: &[Net<'_>]) -> Result<(Vec<Effect>, Option<String>), Error> {
        let vendor = &self.0.vendor;
        let names = names(net);
        let unique = vendor.refuses_duplicates();
        let at_least = if unique { SerialScope::None } else { SerialScope::Set };
        let _alone = self.0.lock(at_least, zone, &names).await;
        let mut effects: Vec<Option<Effect>> = vec![None; net.len()];
        let mut blind = unique && net.iter().all(|it| it.action == Action::Add);
        // What is found after an answer was lost may be our own work.
        let mut found = Outcome::AlreadyDone;
        let (mut races, mut losses) = (0, 0);
        let mut last = None;
        while races < MOST_RACES && losses < MOST_LOSSES {
            let present = if blind { Vec::new() } else { vendor.records(zone, &names).await? };
            let plan = plan(net, &present, |wanted| self.0.ttl(wanted));
            for (place, record) in &plan.done {
                let effect = effects.get_mut(*place);
                effect.map(|effect| effect.get_or_insert_with(|| effect_of(found, record.as_ref())));
            }
            if plan.is_done() {
                let pending = if found == Outcome::Unknown { vendor.publish(zone).await? } else { None };
                return Ok((whole(effects), pending));
            }
            let creates: Vec<_> = plan.creates.iter().map(|(_, record)| record.clone()).collect();
            match vendor.write(zone, &plan.deletes, &creates).await {
                Ok(created) => {
                    let pending = vendor.publish(zone).await?;
                    plan.settle(&created, vendor.has_ttls(), &mut effects);
                    return Ok((whole(effects), pending));
                }
                Err(error @ Error::Conflict { .. }) => {
                    // Refused as a whole: what is there now was there before. No need to wait for a look.
                    if !blind {
                        self.0.pause(races).await;
                    }
                    races += 1;
                    last = Some(error);
                }
                Err(error) if error.is_uncertain() => {
                    losses += 1;
                    found = Outcome::Unknown;
                    if losses >= MOST_LOSSES {
                        return Err(error);
                    }
                    self.0.pause(losses).await;
                }
                Err(error) => return Err(error),
            }
            blind = false;
        }
        Err(self.0.lost_race(format!("TXT at {}", described(&names)), last))
    }
}

/// What is to be done, and what is done already.
#[derive(Debug, Default, PartialEq)]
struct Plan {
    /// Places in the batch, with the record that was found.
    done: Vec<(usize, Option<Record>)>,
    deletes: Vec<Record>,
    /// Places in the batch whose value is deleted.
    deleted: Vec<usize>,
    creates: Vec<(usize, NewRecord)>,
}

/// What is left to be done, given what is there.
fn plan(net: &[Net<'_>], present: &[Record], ttl: impl Fn(Option<Duration>) -> Duration) -> Plan {
    let mut plan = Plan::default();
    for (place, it) in net.iter().enumerate() {
        let mut equal = present.iter().filter(|record| it.is_at(&record.name, &record.value));
        match it.action {
            Action::Add => match equal.next() {
                Some(record) => plan.done.push((place, Some(record.clone()))),
                None => {
                    // A set has one time to live (RFC 2181 §5.2): that of the siblings.
                    let sibling = present.iter().find(|record| record.name == *it.name);
                    // Which may be shorter than the vendor takes today.
                    let ttl = ttl(sibling.and_then(|record| record.ttl).or(it.ttl));
                    let (name, value) = (it.name.clone(), it.value.to_owned());
                    plan.creates.push((place, NewRecord { name, value, ttl }));
                }
            },
            Action::Remove => {
                // All that are equal: some vendors hold duplicates.
                let equal: Vec<_> = equal.cloned().collect();
                if equal.is_empty() {
                    plan.done.push((place, None));
                } else {
                    plan.deleted.push(place);
                    plan.deletes.extend(equal);
                }
            }
        }
    }
    plan
}

impl Plan {
    fn is_done(&self) -> bool {
        self.deletes.is_empty() && self.creates.is_empty()
    }

    /// Writes down what became of what was planned.
    fn settle(&self, created: &[Created], has_ttls: bool, effects: &mut [Option<Effect>]) {
        for place in &self.deleted {
            if let Some(effect) = effects.get_mut(*place) {
                *effect = Some(Effect::of(Outcome::Made));
            }
        }
        for (index, (place, record)) in self.creates.iter().enumerate() {
            let (outcome, record_id) = match created.get(index) {
                Some(Created::New { id }) => (Outcome::Made, id.clone()),
                Some(Created::Exists) => (Outcome::AlreadyDone, None),
                None => (Outcome::Unknown, None),
            };
            if let Some(effect) = effects.get_mut(*place) {
                let ttl = (has_ttls && outcome != Outcome::AlreadyDone).then_some(record.ttl);
                *effect = Some(Effect { outcome, record_id, ttl });
            }
        }
    }
}

fn effect_of(outcome: Outcome, record: Option<&Record>) -> Effect {
    Effect {
        outcome,
        record_id: record.map(|record| record.id.clone()),
        ttl: record.and_then(|record| record.ttl),
    }
}

fn whole(effects: Vec<Option<Effect>>) -> Vec<Effect> {
    effects.into_iter().map(|effect| effect.unwrap_or(Effect::of(Outcome::Unknown))).collect()
}

/// One name, or how many.
pub(super) fn described(names: &[DomainName]) -> String {
    match names {
        [] => "no name".to_owned(),
        [name] => name.to_string(),
        [name, rest @ ..] => format!("{name} and {} more", rest.len()),
    }
}

#[async_trait]
impl<V: RecordApi> Commit for Records<V> {
    fn permits_by_name(&self) -> bool {
        self.0.vendor.permits_by_name()
    }

    async fn commit(&self, zone: &Zone, changes: &[Change]) -> Result<Applied, Error> {
        let net = net(changes);
        if net.is_empty() {
            return Ok(Applied::default());
        }
        let (effects, pending) = self.make(zone, &net).await.map_err(|error| self.0.note(error))?;
        Ok(self.0.applied(zone, changes, &net, &effects, pending))
    }
}

#[async_trait]
impl<V: RecordApi> DnsProvider for Records<V> {
    fn kind(&self) -> &str {
        self.0.vendor.kind()
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    async fn zone(&self, name: &DomainName) -> Result<Zone, Error> {
        self.0.zone(name).await
    }

    async fn apply(&self, zone: &Zone, changes: &[Change]) -> Result<Applied, Error> {
        self.0.check(zone, changes)?;
        if self.0.vendor.writes_at_once() {
            self.0.gather(self, Reach::Zone, zone, changes).await
        } else {
            self.commit(zone, changes).await
        }
    }

    async fn values(&self, zone: &Zone, name: &DomainName) -> Result<Vec<String>, Error> {
        let records = DnsProvider::records(self, zone, name).await?;
        Ok(records.into_iter().map(|record| record.value).collect())
    }

    async fn records(&self, zone: &Zone, name: &DomainName) -> Result<Vec<TxtRecord>, Error> {
        let records = self.0.vendor.records(zone, std::slice::from_ref(name)).await;
        let records = records.map_err(|error| self.0.note(error))?.into_iter();
        let at_name = records.filter(|record| record.name == *name);
        let mut records: Vec<_> = at_name.map(|record| TxtRecord::new(record.value, record.ttl)).collect();
        records.sort_by(|one, other| one.value.cmp(&other.value));
        // Some vendors hold duplicates.
        records.dedup_by(|one, other| one.value == other.value);
        Ok(records)
    }

    async fn in_sync(&self, pending: &Pending) -> Result<bool, Error> {
        self.0.in_sync(pending).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> DomainName {
        text.parse().unwrap()
    }

    fn record(id: &str, at: &str, value: &str, ttl: u64) -> Record {
        Record::new(id, name(at), value, Some(Duration::from_secs(ttl)))
    }

    #[test]
    fn only_what_is_missing_is_created_and_every_equal_record_is_deleted() {
        let present = [
            record("1", "a.example", "there", 300),
            record("2", "a.example", "twice", 300),
            record("3", "a.example", "twice", 300),
            record("4", "b.example", "new", 300),
        ];
        let changes = [
            Change::add(name("a.example"), "there"),
            Change::add(name("a.example"), "new"),
            Change::remove(name("a.example"), "twice"),
            Change::remove(name("a.example"), "absent"),
            Change::add(name("c.example"), "first").with_ttl(Duration::from_secs(7)),
        ];
        let plan = plan(&net(&changes), &present, |ttl| ttl.unwrap_or(Duration::from_secs(60)));
        assert_eq!(plan.done, [(0, Some(present[0].clone())), (3, None)]);
        assert_eq!(plan.deletes, present[1..3]);
        assert_eq!(plan.deleted, [2]);
        let created: Vec<_> =
            plan.creates.iter().map(|(place, it)| (*place, it.value.as_str(), it.ttl.as_secs())).collect();
        assert_eq!(created, [(1, "new", 300), (4, "first", 7)]);
    }
}
