//! Write class E: the whole zone is replaced.
//!
//! Everything of the zone goes through our hands, so it is done with the most care of all: the writers of this
//! process go one after the other, a read that is not sure to be whole ends it, and what was written is read
//! back record by record.

use std::time::Duration;

use async_trait::async_trait;
use perennial_core::DomainName;

use super::{
    Settings, Vendor,
    frame::{Effect, Frame, MOST_LOSSES, MOST_RACES},
    gather::{Commit, Reach},
    net::{Net, names, net},
};
use crate::{Action, Applied, Capabilities, Change, DnsProvider, Error, Outcome, Pending, SerialScope, Zone};

/// An interface that replaces a whole zone.
#[async_trait]
pub trait ZoneApi: Vendor {
    /// All records of the zone.
    ///
    /// # Errors
    /// [`Error`] when it is not sure that these are all: what is missing is deleted by the next write.
    async fn read(&self, zone: &Zone) -> Result<ZoneContent, Error>;

    /// Puts `new` in the place of everything. `old` is what was read last.
    ///
    /// # Errors
    /// [`Error`] when it is not known to be done.
    async fn replace(&self, zone: &Zone, old: &ZoneContent, new: &ZoneContent) -> Result<(), Error>;
}

/// All records of a zone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ZoneContent {
    /// The records.
    pub records: Vec<ZoneRecord>,
    /// What else the vendor keeps with the zone, in its own form, to be given back unchanged.
    pub extra: Option<String>,
}

impl ZoneContent {
    /// With these records.
    #[must_use]
    pub const fn new(records: Vec<ZoneRecord>) -> Self {
        Self { records, extra: None }
    }

    /// Sets [`extra`](Self::extra).
    #[must_use]
    pub fn with_extra(mut self, extra: impl Into<String>) -> Self {
        self.extra = Some(extra.into());
        self
    }
}

/// One record of a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ZoneRecord {
    /// One that is to be added: ours.
    New {
        /// The owner.
        name: DomainName,
        /// The value.
        value: String,
        /// The time to live.
        ttl: Duration,
    },
    /// One that is there and is none of our business, in the vendor's own form.
    Other {
        /// How the vendor writes it.
        raw: String,
    },
    /// A TXT record that is there.
    Txt {
        /// The owner.
        name: DomainName,
        /// The value: unquoted and joined.
        value: String,
        /// How the vendor writes it.
        raw: String,
    },
}

impl ZoneRecord {
    fn is(&self, it: &Net<'_>) -> bool {
        matches!(self, Self::New { name, value, .. } | Self::Txt { name, value, .. } if it.is_at(name, value))
    }

    /// What must still be there afterwards.
    fn raw(&self) -> Option<&str> {
        match self {
            Self::Other { raw } | Self::Txt { raw, .. } => Some(raw),
            Self::New { .. } => None,
        }
    }
}

/// The content with the words kept; `None` if they are.
fn merge(
    old: &ZoneContent,
    net: &[Net<'_>],
    ttl: impl Fn(Option<Duration>) -> Duration,
) -> Option<ZoneContent> {
    if net.iter().all(|it| fulfils(old, it)) {
        return None;
    }
    let mut new = old.clone();
    for it in net {
        match it.action {
            Action::Add if !fulfils(&new, it) => new.records.push(ZoneRecord::New {
                name: it.name.clone(),
                value: it.value.to_owned(),
                ttl: ttl(it.ttl),
            }),
            Action::Add => {}
            Action::Remove => new.records.retain(|record| !record.is(it)),
        }
    }
    Some(new)
}

fn fulfils(content: &ZoneContent, it: &Net<'_>) -> bool {
    content.records.iter().any(|record| record.is(it)) == (it.action == Action::Add)
}

/// The first record that was to stay and is not there any more.
fn missing<'z>(wanted: &'z ZoneContent, found: &ZoneContent) -> Option<&'z str> {
    let mut left: Vec<_> = found.records.iter().filter_map(ZoneRecord::raw).collect();
    wanted.records.iter().filter_map(ZoneRecord::raw).find(|raw| {
        match left.iter().position(|other| other == raw) {
            Some(place) => {
                left.swap_remove(place);
                false
            }
            None => true,
        }
    })
}

/// A provider over an interface that replaces a whole zone.
pub struct WholeZones<V>(Frame<V>);

impl<V: ZoneApi> WholeZones<V> {
    /// A provider over this vendor's interface.
    pub fn new(vendor: V, settings: Settings) -> Self {
        Self(Frame::new(vendor, settings))
    }

    async fn make(&self, zone: &Zone, net: &[Net<'_>]) -> Result<Vec<Effect>, Error> {
        let vendor = &self.0.vendor;
        let _alone = self.0.lock(SerialScope::Zone, zone, &names(net)).await;
        let mut outcomes: Vec<Option<Outcome>> = vec![None; net.len()];
        let mut found = Outcome::AlreadyDone;
        let mut losses = 0;
        let mut written: Option<ZoneContent> = None;
        for races in 0..MOST_RACES {
            let old = vendor.read(zone).await?;
            if let Some(raw) = written.as_ref().and_then(|wanted| missing(wanted, &old)) {
                return Err(Error::Misbehaved {
                    provider: vendor.kind().to_owned(),
                    server: vendor.account(),
                    reason: format!(
                        "after a write to {zone} a record is not there any more that was to stay; look at the \
                         zone, it was: {}",
                        raw.chars().take(200).collect::<String>()
                    ),
                    fault: None,
                });
            }
            for (outcome, it) in outcomes.iter_mut().zip(net) {
                if fulfils(&old, it) {
                    outcome.get_or_insert(found);
                }
            }
            let Some(new) = merge(&old, net, |wanted| self.0.ttl(wanted)) else {
                return Ok(outcomes
                    .into_iter()
                    .map(|it| Effect::of(it.unwrap_or(Outcome::Unknown)))
                    .collect());
            };
            if races > 1 {
                self.0.pause(races).await;
            }
            match vendor.replace(zone, &old, &new).await {
                Ok(()) => {
                    for outcome in &mut outcomes {
                        outcome.get_or_insert(Outcome::Made);
                    }
                    written = Some(new);
                }
                Err(error) if error.is_uncertain() && losses + 1 < MOST_LOSSES => {
                    losses += 1;
                    found = Outcome::Unknown;
                    self.0.pause(losses).await;
                }
                Err(Error::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(self.0.lost_race(format!("the zone {zone}"), None))
    }
}

#[async_trait]
impl<V: ZoneApi> Commit for WholeZones<V> {
    fn permits_by_name(&self) -> bool {
        self.0.vendor.permits_by_name()
    }

    async fn commit(&self, zone: &Zone, changes: &[Change]) -> Result<Applied, Error> {
        let net = net(changes);
        if net.is_empty() {
            return Ok(Applied::default());
        }
        let effects = self.make(zone, &net).await.map_err(|error| self.0.note(error))?;
        Ok(self.0.applied(zone, changes, &net, &effects, None))
    }
}

#[async_trait]
impl<V: ZoneApi> DnsProvider for WholeZones<V> {
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
        self.0.gather(self, Reach::Zone, zone, changes).await
    }

    async fn values(&self, zone: &Zone, name: &DomainName) -> Result<Vec<String>, Error> {
        let content = self.0.vendor.read(zone).await.map_err(|error| self.0.note(error))?;
        let mut values: Vec<_> = content
            .records
            .into_iter()
            .filter_map(|record| match record {
                ZoneRecord::New { name: owner, value, .. } | ZoneRecord::Txt { name: owner, value, .. }
                    if owner == *name =>
                {
                    Some(value)
                }
                _ => None,
            })
            .collect();
        values.sort();
        values.dedup();
        Ok(values)
    }

    async fn in_sync(&self, pending: &Pending) -> Result<bool, Error> {
        self.0.in_sync(pending).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn txt(name: &str, value: &str) -> ZoneRecord {
        let raw = format!("TXT {name} {value}");
        ZoneRecord::Txt { name: name.parse().unwrap(), value: value.to_owned(), raw }
    }

    #[test]
    fn everything_else_stays_and_what_vanished_is_noticed() {
        let mx = ZoneRecord::Other { raw: "MX 10 mail".to_owned() };
        let old = ZoneContent::new(vec![mx.clone(), txt("a.example", "foreign"), txt("a.example", "ours")])
            .with_extra("EmailType=MX");
        let name: DomainName = "a.example".parse().unwrap();
        let changes = [Change::remove(name.clone(), "ours"), Change::add(name.clone(), "new")];
        let minute = Duration::from_secs(60);
        let new = merge(&old, &net(&changes), |_| minute).unwrap();
        let added = ZoneRecord::New { name, value: "new".to_owned(), ttl: minute };
        assert_eq!(new.records, [mx, txt("a.example", "foreign"), added]);
        assert_eq!(new.extra, old.extra);
        assert_eq!(merge(&new, &net(&changes), |_| minute), None);
        assert_eq!(missing(&new, &old), None);
        assert_eq!(missing(&new, &ZoneContent::new(vec![txt("a.example", "foreign")])), Some("MX 10 mail"));
    }
}
