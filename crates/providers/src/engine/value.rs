//! Write class B: the vendor itself adds or removes one value.

use std::time::Duration;

use async_trait::async_trait;
use perennial_core::DomainName;

use super::{
    Settings, Vendor,
    frame::{Effect, Frame, MOST_LOSSES, MOST_RACES},
    gather::{Commit, Reach},
    net::{names, net},
    record::described,
};
use crate::{Action, Applied, Capabilities, Change, DnsProvider, Error, Outcome, Pending, SerialScope, Zone};

/// An interface that adds and removes one value, and leaves its siblings alone by itself.
#[async_trait]
pub trait ValueApi: Vendor {
    /// Whether [`write`](Self::write) is one request for any names of a zone. Then those who write to one zone at the
    /// same time go together; otherwise those who write to one name do. No by default.
    fn writes_at_once(&self) -> bool {
        false
    }

    /// The TXT values at a name, unquoted and joined.
    ///
    /// # Errors
    /// [`Error`] when they could not be read.
    async fn values(&self, zone: &Zone, name: &DomainName) -> Result<Vec<String>, Error>;

    /// Makes all of these edits, no two of them about one value. Doing the same again MUST lead to the same
    /// set: it is done again when an answer is lost.
    ///
    /// # Errors
    /// [`Error`] when not all of them are known to be made; [`Error::Conflict`] when the vendor was busy with
    /// the same set.
    async fn write(&self, zone: &Zone, edits: &[Edit]) -> Result<Written, Error>;
}

/// One value to be added or removed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Edit {
    /// Add or remove.
    pub action: Action,
    /// The owner.
    pub name: DomainName,
    /// The value itself.
    pub value: String,
    /// The time to live of a new set, not below the vendor's least.
    pub ttl: Duration,
}

/// What became of edits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs)] // Made by vendors.
pub struct Written {
    /// One for each edit, in order; none at all if the vendor does not say.
    pub outcomes: Vec<Outcome>,
    /// What [`in_sync`](Vendor::in_sync) can be asked about.
    pub pending: Option<String>,
}

/// A provider over an interface that adds and removes one value.
pub struct Values<V>(Frame<V>);

impl<V: ValueApi> Values<V> {
    /// A provider over this vendor's interface.
    pub fn new(vendor: V, settings: Settings) -> Self {
        Self(Frame::new(vendor, settings))
    }

    async fn make(&self, zone: &Zone, edits: &[Edit], names: &[DomainName]) -> Result<Written, Error> {
        let _alone = self.0.lock(SerialScope::None, zone, names).await;
        let (mut races, mut losses) = (0, 0);
        loop {
            match self.0.vendor.write(zone, edits).await {
                // Whether it was so before the answer that got lost, nobody knows.
                Ok(written) if losses > 0 => return Ok(Written { outcomes: Vec::new(), ..written }),
                Ok(written) => return Ok(written),
                Err(error @ Error::Conflict { .. }) => {
                    races += 1;
                    if races >= MOST_RACES {
                        return Err(self.0.lost_race(format!("TXT at {}", described(names)), Some(error)));
                    }
                    self.0.pause(races).await;
                }
                Err(error) if error.is_uncertain() => {
                    losses += 1;
                    if losses >= MOST_LOSSES {
                        return Err(error);
                    }
                    self.0.pause(losses).await;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

#[async_trait]
impl<V: ValueApi> Commit for Values<V> {
    fn permits_by_name(&self) -> bool {
        self.0.vendor.permits_by_name()
    }

    async fn commit(&self, zone: &Zone, changes: &[Change]) -> Result<Applied, Error> {
        let net = net(changes);
        if net.is_empty() {
            return Ok(Applied::default());
        }
        let edits: Vec<_> = net
            .iter()
            .map(|it| Edit {
                action: it.action,
                name: it.name.clone(),
                value: it.value.to_owned(),
                ttl: self.0.ttl(it.ttl),
            })
            .collect();
        let written = self.make(zone, &edits, &names(&net)).await.map_err(|error| self.0.note(error))?;
        let outcome = |place| written.outcomes.get(place).copied().unwrap_or(Outcome::Unknown);
        let effects: Vec<_> = (0..net.len()).map(|place| Effect::of(outcome(place))).collect();
        Ok(self.0.applied(zone, changes, &net, &effects, written.pending))
    }
}

#[async_trait]
impl<V: ValueApi> DnsProvider for Values<V> {
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
        let reach = if self.0.vendor.writes_at_once() { Reach::Zone } else { Reach::Set };
        self.0.gather(self, reach, zone, changes).await
    }

    async fn values(&self, zone: &Zone, name: &DomainName) -> Result<Vec<String>, Error> {
        self.0.vendor.values(zone, name).await.map_err(|error| self.0.note(error))
    }

    async fn in_sync(&self, pending: &Pending) -> Result<bool, Error> {
        self.0.in_sync(pending).await
    }
}
