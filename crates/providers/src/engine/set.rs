//! Write classes C and D: the whole record set is replaced.
//!
//! The set is read, our values are merged into it, and the result is written, with everything that came along
//! with the siblings: their own form, comments, flags, the time to live.
//!
//! A vendor that refuses to replace a set that is no longer as it was read (an ETag, a batch that deletes
//! exactly what was there) makes that safe against every other writer: on refusal it is read and merged again.
//! One that does not is helped as far as a client can: the writers of this process go one after the other, and
//! each write is read back until our values are as they should be. What a writer elsewhere loses in between is
//! for that writer to notice.

use std::time::Duration;

use async_trait::async_trait;
use perennial_core::DomainName;

use super::{
    Settings, Vendor,
    frame::{Effect, Frame, MOST_LOSSES, MOST_RACES},
    gather::{Commit, Reach},
    net::{Net, names, net},
    record::described,
};
use crate::{
    Action, Applied, Capabilities, Change, DnsProvider, Error, Outcome, Pending, SerialScope, TxtRecord,
    WriteClass, Zone,
};

/// An interface that replaces a whole record set.
#[async_trait]
pub trait SetApi: Vendor {
    /// How many sets one [`swap`](Self::swap) can replace, all or none of them. One by default.
    fn sets_per_write(&self) -> usize {
        1
    }

    /// Whether [`swap`](Self::swap) is refused for certain where an `old` is empty and there is a set all the same.
    /// Then what is only added is written without a look first. It counts with
    /// [`WriteClass::SetWithPrecondition`] alone; yes by default.
    fn refuses_a_second_set(&self) -> bool {
        true
    }

    /// The TXT record set at a name; [`RecordSet::empty`] where there is none.
    ///
    /// # Errors
    /// [`Error`] when it could not be read. Whatever is unclear MUST be an error: what is missing from the
    /// answer is deleted by the next write.
    async fn read(&self, zone: &Zone, name: &DomainName) -> Result<RecordSet, Error>;

    /// The sets at several names, in order; one by one by default.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    async fn read_all(&self, zone: &Zone, names: &[DomainName]) -> Result<Vec<RecordSet>, Error> {
        let mut sets = Vec::with_capacity(names.len());
        for name in names {
            sets.push(self.read(zone, name).await?);
        }
        Ok(sets)
    }

    /// Replaces each `old` by its `new`, which is to be deleted where it is [empty](RecordSet::is_empty). Never
    /// gets more than [`sets_per_write`](Self::sets_per_write). Returns what
    /// [`in_sync`](Vendor::in_sync) can be asked about.
    ///
    /// With [`WriteClass::SetWithPrecondition`] it MUST refuse when one of `old` is not what is there; an empty
    /// `old` means that there is none.
    ///
    /// # Errors
    /// [`Error::Conflict`] for that; other errors when it is not known to be done.
    async fn swap(&self, zone: &Zone, swaps: &[Swap]) -> Result<Option<String>, Error>;
}

/// A TXT record set as a vendor has it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordSet {
    /// The owner.
    pub name: DomainName,
    /// The values.
    pub members: Vec<Member>,
    /// The time to live; `None` of a set that is not there, or where the vendor says none.
    pub ttl: Option<Duration>,
    /// What the vendor recognizes this state by: an ETag.
    pub version: Option<String>,
    /// What else the vendor keeps with the set, in its own form, to be given back unchanged.
    pub extra: Option<String>,
}

/// One value of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Member {
    /// The value: unquoted and joined.
    pub value: String,
    /// How the vendor writes it, with comment and flags where it has those, to be given back unchanged; `None`
    /// of a new one.
    pub raw: Option<String>,
}

impl Member {
    /// A value that is new.
    #[must_use]
    pub fn new(value: impl Into<String>) -> Self {
        Self { value: value.into(), raw: None }
    }

    /// A value as the vendor writes it.
    #[must_use]
    pub fn echoed(value: impl Into<String>, raw: impl Into<String>) -> Self {
        Self { value: value.into(), raw: Some(raw.into()) }
    }
}

impl RecordSet {
    /// No set.
    #[must_use]
    pub const fn empty(name: DomainName) -> Self {
        Self { name, members: Vec::new(), ttl: None, version: None, extra: None }
    }

    /// A set with these values.
    #[must_use]
    pub const fn new(name: DomainName, members: Vec<Member>, ttl: Option<Duration>) -> Self {
        Self { name, members, ttl, version: None, extra: None }
    }

    /// Sets [`version`](Self::version).
    #[must_use]
    pub fn with_version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// Sets [`extra`](Self::extra).
    #[must_use]
    pub fn with_extra(mut self, extra: impl Into<String>) -> Self {
        self.extra = Some(extra.into());
        self
    }

    /// Whether there is no value in it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    fn has(&self, value: &str) -> bool {
        self.members.iter().any(|member| member.value == value)
    }

    /// Whether the word is kept.
    fn fulfils(&self, it: &Net<'_>) -> bool {
        self.has(it.value) == (it.action == Action::Add)
    }
}

/// One set to be replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Swap {
    /// What it is expected to be.
    pub old: RecordSet,
    /// What it is to become.
    pub new: RecordSet,
}

/// The set with the words kept; `None` if they are.
fn merge(old: &RecordSet, net: &[Net<'_>], ttl: impl Fn(Option<Duration>) -> Duration) -> Option<Swap> {
    let of_us = || net.iter().filter(|it| *it.name == old.name);
    if of_us().all(|it| old.fulfils(it)) {
        return None;
    }
    let mut new = old.clone();
    for it in of_us() {
        match it.action {
            Action::Add if !new.has(it.value) => new.members.push(Member::new(it.value)),
            Action::Add => {}
            Action::Remove => new.members.retain(|member| member.value != it.value),
        }
    }
    let wanted = of_us().filter(|it| it.action == Action::Add).find_map(|it| it.ttl);
    new.ttl = Some(old.ttl.unwrap_or_else(|| ttl(wanted)));
    Some(Swap { old: old.clone(), new })
}

/// A provider over an interface that replaces a whole record set.
pub struct Sets<V>(Frame<V>);

impl<V: SetApi> Sets<V> {
    /// A provider over this vendor's interface.
    pub fn new(vendor: V, settings: Settings) -> Self {
        Self(Frame::new(vendor, settings))
    }

    /// What became of each word about these names, and what is pending.
    async fn make(
        &self,
        zone: &Zone,
        names: &[DomainName],
        net: &[Net<'_>],
    ) -> Result<(Vec<Effect>, Option<String>), Error> {
        let vendor = &self.0.vendor;
        let checked = self.0.capabilities().write == WriteClass::SetWithPrecondition;
        // No two of one process fight for a set.
        let _alone = self.0.lock(SerialScope::Set, zone, names).await;
        // The usual case is a name that nobody else uses: the vendor says if it is not so.
        let mut blind =
            checked && vendor.refuses_a_second_set() && net.iter().all(|it| it.action == Action::Add);
        let mut effects: Vec<Option<Effect>> = vec![None; net.len()];
        let mut found = Outcome::AlreadyDone;
        let mut pending = None;
        let (mut races, mut losses) = (0, 0);
        let mut last = None;
        while races < MOST_RACES {
            let olds = match blind {
                true => names.iter().cloned().map(RecordSet::empty).collect(),
                false => vendor.read_all(zone, names).await?,
            };
            for (effect, it) in effects.iter_mut().zip(net) {
                if let Some(old) = olds.iter().find(|old| old.name == *it.name && old.fulfils(it)) {
                    effect.get_or_insert(Effect { outcome: found, record_id: None, ttl: old.ttl });
                }
            }
            let swaps: Vec<_> =
                olds.iter().filter_map(|old| merge(old, net, |wanted| self.0.ttl(wanted))).collect();
            if swaps.is_empty() {
                return Ok((whole(effects), pending));
            }
            match vendor.swap(zone, &swaps).await {
                Ok(handle) => {
                    pending = handle.or(pending);
                    settle(&swaps, net, &mut effects);
                    if checked {
                        return Ok((whole(effects), pending));
                    }
                    // Read back in the next round: nothing is left to do, or somebody has undone it.
                    races += 1;
                    if races > 1 {
                        self.0.pause(races).await;
                    }
                }
                Err(error @ Error::Conflict { .. }) => {
                    races += 1;
                    if !blind {
                        self.0.pause(races).await;
                    }
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
        Err(self.0.lost_race(format!("TXT at {}", described(names)), last))
    }
}

/// Writes down what became of the words that were swapped in.
fn settle(swaps: &[Swap], net: &[Net<'_>], effects: &mut [Option<Effect>]) {
    for (effect, it) in effects.iter_mut().zip(net) {
        if effect.is_none()
            && let Some(swap) = swaps.iter().find(|swap| swap.new.name == *it.name)
        {
            *effect = Some(Effect { outcome: Outcome::Made, record_id: None, ttl: swap.new.ttl });
        }
    }
}

fn whole(effects: Vec<Option<Effect>>) -> Vec<Effect> {
    effects.into_iter().map(|effect| effect.unwrap_or(Effect::of(Outcome::Unknown))).collect()
}

#[async_trait]
impl<V: SetApi> Commit for Sets<V> {
    fn permits_by_name(&self) -> bool {
        self.0.vendor.permits_by_name()
    }

    async fn commit(&self, zone: &Zone, changes: &[Change]) -> Result<Applied, Error> {
        let net = net(changes);
        let mut applied = Applied::default();
        let mut effects = vec![Effect::of(Outcome::Unknown); net.len()];
        for names in names(&net).chunks(self.0.vendor.sets_per_write().max(1)) {
            let here: Vec<_> = net.iter().copied().filter(|it| names.contains(it.name)).collect();
            let made = self.make(zone, names, &here).await.map_err(|error| self.0.note(error))?;
            let places =
                net.iter().enumerate().filter(|(_, it)| names.contains(it.name)).map(|(place, _)| place);
            for (place, effect) in places.zip(made.0) {
                if let Some(slot) = effects.get_mut(place) {
                    *slot = effect;
                }
            }
            applied.pending.extend(made.1.map(|handle| Pending::new(self.0.vendor.kind(), zone, handle)));
        }
        let pending = std::mem::take(&mut applied.pending);
        Ok(self.0.applied(zone, changes, &net, &effects, None).with_pending(pending))
    }
}

#[async_trait]
impl<V: SetApi> DnsProvider for Sets<V> {
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
        let reach = if self.0.vendor.sets_per_write() > 1 { Reach::Zone } else { Reach::Set };
        self.0.gather(self, reach, zone, changes).await
    }

    async fn values(&self, zone: &Zone, name: &DomainName) -> Result<Vec<String>, Error> {
        let records = self.records(zone, name).await?;
        Ok(records.into_iter().map(|record| record.value).collect())
    }

    async fn records(&self, zone: &Zone, name: &DomainName) -> Result<Vec<TxtRecord>, Error> {
        let set = self.0.vendor.read(zone, name).await.map_err(|error| self.0.note(error))?;
        Ok(set.members.into_iter().map(|member| TxtRecord::new(member.value, set.ttl)).collect())
    }

    async fn in_sync(&self, pending: &Pending) -> Result<bool, Error> {
        self.0.in_sync(pending).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> DomainName {
        "a.example".parse().unwrap()
    }

    fn merged(old: &RecordSet, changes: &[Change]) -> Option<RecordSet> {
        merge(old, &net(changes), |ttl| ttl.unwrap_or(Duration::from_secs(60))).map(|swap| swap.new)
    }

    #[test]
    fn siblings_come_back_as_they_were() {
        let foreign = Member::echoed("foreign", r#"{"content":"\"foreign\"","disabled":true}"#);
        let ours = Member::echoed("ours", "raw");
        let old = RecordSet::new(name(), vec![foreign.clone(), ours], Some(Duration::from_secs(300)))
            .with_version("e1")
            .with_extra("comment");
        let changes = [
            Change::remove(name(), "ours"),
            Change::add(name(), "new").with_ttl(Duration::from_secs(5)),
            Change::remove(name(), "absent"),
        ];
        let new = merged(&old, &changes).unwrap();
        assert_eq!(new.members, [foreign, Member::new("new")]);
        assert_eq!((new.ttl, &new.version, &new.extra), (old.ttl, &old.version, &old.extra));
    }

    #[test]
    fn nothing_is_written_where_nothing_is_to_be_done_and_a_new_set_has_the_wanted_time_to_live() {
        let empty = RecordSet::empty(name());
        assert_eq!(merged(&empty, &[Change::remove(name(), "v")]), None);
        let add = Change::add(name(), "v").with_ttl(Duration::from_secs(5));
        let new = merged(&empty, std::slice::from_ref(&add)).unwrap();
        assert_eq!((new.members.len(), new.ttl), (1, add.ttl));
        assert_eq!(merged(&new, &[add]), None);
        assert!(merged(&new, &[Change::remove(name(), "v")]).unwrap().is_empty());
    }
}
