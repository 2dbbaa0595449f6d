//! Write class F: a fixed number of values, the oldest overwritten.

use std::time::Duration;

use async_trait::async_trait;
use perennial_core::DomainName;

use super::{
    Settings, Vendor,
    frame::{Effect, Frame},
    net::{names, net},
};
use crate::{
    Action, Applied, Capabilities, Change, DnsProvider, Error, Outcome, Pending, SerialScope, WriteClass,
    Zone,
};

/// An interface that keeps a fixed number of values.
#[async_trait]
pub trait SlotApi: Vendor {
    /// Whether the interface shows no values. Then [`put`](Self::put) and [`clear`](Self::clear) are called without
    /// a look: the one must do no harm where the value is there, the other nothing where it is not known to be.
    fn is_blind(&self) -> bool {
        false
    }

    /// The TXT values at a name, as far as the interface shows them.
    ///
    /// # Errors
    /// [`Error`] when they could not be read.
    async fn values(&self, zone: &Zone, name: &DomainName) -> Result<Vec<String>, Error>;

    /// Puts a value into a slot.
    ///
    /// # Errors
    /// [`Error`] when it is not known to be there.
    async fn put(&self, zone: &Zone, name: &DomainName, value: &str, ttl: Duration) -> Result<(), Error>;

    /// Empties the slot of a value that is there. Is not called where
    /// [`deletes`](Capabilities::deletes) is false.
    ///
    /// # Errors
    /// [`Error`] when it is not known to be empty.
    async fn clear(&self, zone: &Zone, name: &DomainName, value: &str) -> Result<(), Error>;
}

/// A provider over an interface that keeps a fixed number of values.
///
/// A batch that adds more than there are slots is refused, since its first values would be gone when the last
/// one is written. Where values cannot be [removed](Capabilities::deletes), removing one is done without doing
/// anything, and its outcome is unknown: it stays until newer ones push it out.
pub struct Slots<V>(Frame<V>);

impl<V: SlotApi> Slots<V> {
    /// A provider over this vendor's interface.
    pub fn new(vendor: V, settings: Settings) -> Self {
        Self(Frame::new(vendor, settings))
    }

    fn slots(&self) -> usize {
        match self.0.capabilities().write {
            WriteClass::Slots(slots) => usize::from(slots),
            _ => 1,
        }
    }
}

#[async_trait]
impl<V: SlotApi> DnsProvider for Slots<V> {
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
        let vendor = &self.0.vendor;
        self.0.check(zone, changes)?;
        let net = net(changes);
        let names = names(&net);
        let (adds, slots) = (net.iter().filter(|it| it.action == Action::Add).count(), self.slots());
        if adds > slots {
            let reason = format!("it keeps {slots} values at once, and {adds} are to be added; write fewer");
            return Err(Error::Unsupported { provider: vendor.kind().to_owned(), reason, fault: None });
        }
        let deletes = self.0.capabilities().deletes;
        let _alone = self.0.lock(SerialScope::Account, zone, &names).await;
        let mut effects = Vec::with_capacity(net.len());
        for it in &net {
            if it.action == Action::Remove && !deletes {
                effects.push(Effect::of(Outcome::Unknown));
                continue;
            }
            if vendor.is_blind() {
                match it.action {
                    Action::Add => vendor.put(zone, it.name, it.value, self.0.ttl(it.ttl)).await?,
                    Action::Remove => vendor.clear(zone, it.name, it.value).await?,
                }
                effects.push(Effect::of(Outcome::Unknown));
                continue;
            }
            let present = vendor.values(zone, it.name).await?.iter().any(|value| value == it.value);
            let outcome = match (it.action, present) {
                (Action::Add, false) => {
                    vendor.put(zone, it.name, it.value, self.0.ttl(it.ttl)).await?;
                    Outcome::Made
                }
                (Action::Remove, true) => {
                    vendor.clear(zone, it.name, it.value).await?;
                    Outcome::Made
                }
                _ => Outcome::AlreadyDone,
            };
            effects.push(Effect::of(outcome));
        }
        Ok(self.0.applied(zone, changes, &net, &effects, None))
    }

    async fn values(&self, zone: &Zone, name: &DomainName) -> Result<Vec<String>, Error> {
        self.0.vendor.values(zone, name).await
    }

    async fn in_sync(&self, pending: &Pending) -> Result<bool, Error> {
        self.0.in_sync(pending).await
    }
}
