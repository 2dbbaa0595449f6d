//! A zone that several servers show, each in its own time.

use std::{collections::VecDeque, fmt, net::IpAddr, sync::Arc, time::Duration};

use hickory_proto::rr::{Name, RData, Record, RecordType, rdata};
use perennial_core::{Clock, Timestamp};
use tokio::sync::watch;

use super::data::{Data, name_text, parse_name, text_of, wire_name};
use crate::Error;

mod contents;
pub(super) use contents::Contents;

/// A zone: one SOA record, name servers, and whatever a test puts in. Clones are the same zone.
///
/// It is shared by the servers that show it. A change counts at once here; when it becomes visible at a
/// server is that server's [`Freshness`](super::Freshness). Every change raises the serial by one
/// (RFC 1982 has nothing against it).
///
/// Names are absolute, with or without the final dot; records have a TTL of 60 seconds unless
/// [`add_with_ttl`](Self::add_with_ttl) says otherwise, which is what a careful operator gives to records
/// that are about to change.
#[derive(Clone)]
pub struct Zone(Arc<Shared>);

struct Shared {
    origin: Name,
    history: watch::Sender<History>,
    clock: Option<Arc<dyn Clock>>,
}

/// The states that some server may still show, oldest first; never empty.
struct History {
    versions: VecDeque<Version>,
    longest_lag: Duration,
}

#[derive(Clone)]
struct Version {
    contents: Arc<Contents>,
    made: Moment,
}

/// A moment by the clock that lag is measured with.
#[derive(Clone, Copy)]
enum Moment {
    /// Real time, fine enough for lags of milliseconds.
    Real(tokio::time::Instant),
    /// The time of a clock that was given, in its whole seconds.
    Told(Timestamp),
}

impl Zone {
    /// A zone with nothing but its SOA record, whose lags are measured in real time; `.` is the root zone.
    ///
    /// # Errors
    /// [`Error::Name`] when the origin is no name.
    pub fn new(origin: &str) -> Result<Self, Error> {
        Self::build(origin, None)
    }

    /// A zone whose lags are measured with `clock`, in its whole seconds.
    ///
    /// # Errors
    /// [`Error::Name`] when the origin is no name.
    pub fn with_clock(origin: &str, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        Self::build(origin, Some(clock))
    }

    fn build(origin: &str, clock: Option<Arc<dyn Clock>>) -> Result<Self, Error> {
        let origin = parse_name(origin)?;
        let host =
            |label: &str| Name::from_labels([label.as_bytes()]).and_then(|name| name.append_domain(&origin));
        let soa = rdata::SOA::new(
            host("ns1").unwrap_or_else(|_| origin.clone()),
            host("hostmaster").unwrap_or_else(|_| origin.clone()),
            FIRST_SERIAL,
            REFRESH,
            REFRESH,
            EXPIRE,
            NEGATIVE_TTL,
        );
        let mut contents = Contents::new(origin.clone());
        contents.add(Record::from_rdata(origin.clone(), TTL, RData::SOA(soa)));
        let made = Moment::now(clock.as_deref());
        let versions = VecDeque::from([Version { contents: Arc::new(contents), made }]);
        let history = watch::Sender::new(History { versions, longest_lag: Duration::ZERO });
        Ok(Self(Arc::new(Shared { origin, history, clock })))
    }

    /// The name of the zone: lower case, no final dot; `.` is the root.
    #[must_use]
    pub fn origin(&self) -> String {
        name_text(&self.0.origin)
    }

    /// Adds a record; one that is there already changes nothing.
    ///
    /// # Errors
    /// [`Error::Name`] when this is no name, [`Error::Scene`] when it is not in this zone.
    pub fn add(&self, name: &str, data: Data) -> Result<(), Error> {
        self.add_with_ttl(name, TTL, data)
    }

    /// Adds a record with a TTL of so many seconds; the TTL of its siblings follows (RFC 2181 §5.2).
    ///
    /// # Errors
    /// As for [`add`](Self::add).
    pub fn add_with_ttl(&self, name: &str, ttl: u32, data: Data) -> Result<(), Error> {
        let name = self.name_inside(name)?;
        self.commit(|contents| contents.add(Record::from_rdata(name, ttl, data.to_rdata())));
        Ok(())
    }

    /// Removes a record, if it is there.
    ///
    /// # Errors
    /// As for [`add`](Self::add).
    pub fn remove(&self, name: &str, data: &Data) -> Result<(), Error> {
        let name = self.name_inside(name)?;
        let wanted = data.to_rdata();
        self.commit(|contents| contents.remove(&name, |record| record.data == wanted));
        Ok(())
    }

    /// Removes all records at a name, if there are any. The SOA record stays.
    ///
    /// # Errors
    /// As for [`add`](Self::add).
    pub fn remove_all(&self, name: &str) -> Result<(), Error> {
        let name = self.name_inside(name)?;
        self.commit(|contents| contents.remove(&name, |record| record.record_type() != RecordType::SOA));
        Ok(())
    }

    /// Adds a name server of this zone, with its addresses if its name lies in the zone. The first one is
    /// named as the primary in the SOA record (MNAME, RFC 1035 §3.3.13).
    ///
    /// # Errors
    /// [`Error::Name`] when the host is no name.
    pub fn add_name_server(&self, host: &str, addresses: &[IpAddr]) -> Result<(), Error> {
        let primary = wire_name(&host.parse()?);
        self.commit(|contents| {
            !contents.has(&self.0.origin, RecordType::NS) && contents.set_primary(&primary)
        });
        self.delegate_name(self.0.origin.clone(), host, addresses)
    }

    /// Delegates a child zone to a name server, with glue if the server's name lies in this zone or below.
    ///
    /// # Errors
    /// [`Error::Name`] when one of them is no name, [`Error::Scene`] when the child is not in this zone.
    pub fn delegate(&self, child: &str, host: &str, addresses: &[IpAddr]) -> Result<(), Error> {
        self.delegate_name(self.name_inside(child)?, host, addresses)
    }

    /// The texts at a name as they are now, before any lag, in the order in which they were added.
    ///
    /// A name that is none, or is not here, has no texts.
    #[must_use]
    pub fn txt_values(&self, name: &str) -> Vec<String> {
        let Ok(name) = parse_name(name) else { return Vec::new() };
        let contents = self.latest();
        let texts = contents.records_at(&name).iter().filter_map(|record| match &record.data {
            RData::TXT(txt) => Some(text_of(txt)),
            _ => None,
        });
        texts.collect()
    }

    /// Every name that has records, in the canonical order of RFC 4034 §6.1.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.latest().names().map(name_text).collect()
    }

    /// The serial of the SOA record as it is now.
    #[must_use]
    pub fn serial(&self) -> u32 {
        self.latest().serial()
    }

    /// Waits, in real time, until the zone is as `wanted` says; looks now and after each change.
    pub async fn wait_until(&self, mut wanted: impl FnMut(&Self) -> bool) {
        let mut changes = self.0.history.subscribe();
        while !wanted(self) {
            // The sender lives in `self`.
            let _ = changes.changed().await;
        }
    }

    fn delegate_name(&self, owner: Name, host: &str, addresses: &[IpAddr]) -> Result<(), Error> {
        let host: perennial_core::DomainName = host.parse()?;
        let target = wire_name(&host);
        self.commit(|contents| {
            let mut changed = contents.add(Record::from_rdata(owner, TTL, Data::Ns(host).to_rdata()));
            if self.0.origin.zone_of(&target) {
                for address in addresses {
                    let data = Data::address(*address).to_rdata();
                    changed |= contents.add(Record::from_rdata(target.clone(), TTL, data));
                }
            }
            changed
        });
        Ok(())
    }

    fn name_inside(&self, text: &str) -> Result<Name, Error> {
        let name = parse_name(text)?;
        if self.0.origin.zone_of(&name) {
            return Ok(name);
        }
        Err(Error::Scene { reason: format!("{text} does not lie in the zone {}", self.origin()) })
    }

    pub(super) fn name(&self) -> &Name {
        &self.0.origin
    }

    /// The state of now.
    pub(super) fn latest(&self) -> Arc<Contents> {
        self.as_of(Duration::ZERO)
    }

    /// The state of `lag` ago, or the oldest one that is remembered.
    pub(super) fn as_of(&self, lag: Duration) -> Arc<Contents> {
        let history = self.0.history.borrow();
        let now = Moment::now(self.0.clock.as_deref());
        let newest = history.versions.iter().rev().find(|version| version.made.age(now) >= lag);
        // Never empty: see `History`.
        newest.or_else(|| history.versions.front()).map_or_else(
            || Arc::new(Contents::new(self.0.origin.clone())),
            |version| Arc::clone(&version.contents),
        )
    }

    /// Keeps states for as long as a server with this lag needs them.
    pub(super) fn remember_for(&self, lag: Duration) {
        self.0.history.send_if_modified(|history| {
            history.longest_lag = history.longest_lag.max(lag);
            false
        });
    }

    /// Changes a copy and makes it the newest state, with a new serial, if `change` says that it did.
    pub(super) fn commit(&self, change: impl FnOnce(&mut Contents) -> bool) {
        let now = Moment::now(self.0.clock.as_deref());
        self.0.history.send_if_modified(|history| {
            let Some(newest) = history.versions.back() else { return false };
            let mut contents = Contents::clone(&newest.contents);
            if !change(&mut contents) {
                return false;
            }
            contents.raise_serial();
            history.versions.push_back(Version { contents: Arc::new(contents), made: now });
            // The second oldest has hidden the oldest from every server once it is old enough.
            while history.versions.get(1).is_some_and(|second| second.made.age(now) >= history.longest_lag) {
                history.versions.pop_front();
            }
            true
        });
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Zone").field("origin", &self.origin()).field("serial", &self.serial()).finish()
    }
}

impl Moment {
    fn now(clock: Option<&dyn Clock>) -> Self {
        clock.map_or_else(|| Self::Real(tokio::time::Instant::now()), |clock| Self::Told(clock.now()))
    }

    fn age(self, now: Self) -> Duration {
        match (self, now) {
            (Self::Real(then), Self::Real(now)) => now.saturating_duration_since(then),
            (Self::Told(then), Self::Told(now)) => now.since(then),
            // One zone has one clock.
            (Self::Real(_), Self::Told(_)) | (Self::Told(_), Self::Real(_)) => Duration::MAX,
        }
    }
}

/// See [`Zone`].
const TTL: u32 = 60;
/// Serials of real zones are dates or counters; a small one is easy to read in a failed test.
const FIRST_SERIAL: u32 = 1;
/// An hour: nothing here polls by it.
const REFRESH: i32 = 3600;
/// Two weeks, as RFC 1912 §2.2 advises.
const EXPIRE: i32 = 1_209_600;
/// Five minutes: long enough that a poisoned negative cache is seen in a test.
const NEGATIVE_TTL: u32 = 300;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ManualClock;

    #[test]
    fn a_change_raises_the_serial_and_a_repetition_does_not() {
        let zone = Zone::new("Example.com.").unwrap();
        assert_eq!((zone.origin().as_str(), zone.serial()), ("example.com", 1));
        for _ in 0..2 {
            zone.add("_acme-challenge.example.com", Data::txt("one")).unwrap();
            assert_eq!(zone.serial(), 2);
        }
        zone.add("_acme-challenge.example.com", Data::txt("two")).unwrap();
        assert_eq!(zone.txt_values("_ACME-challenge.example.com."), ["one", "two"]);
        zone.remove("_acme-challenge.example.com", &Data::txt("one")).unwrap();
        assert_eq!(zone.txt_values("_acme-challenge.example.com"), ["two"]);
        zone.remove_all("_acme-challenge.example.com").unwrap();
        assert_eq!((zone.names(), zone.serial()), (vec!["example.com".to_owned()], 5));
    }

    #[test]
    fn a_name_of_another_zone_is_refused() {
        let zone = Zone::new("example.com").unwrap();
        let error = zone.add("badexample.com", Data::txt("x")).unwrap_err();
        assert!(matches!(error, Error::Scene { .. }), "{error}");
    }

    #[test]
    fn a_lag_shows_each_change_later_and_old_states_are_forgotten() {
        let clock = ManualClock::new(Timestamp::from_unix(0));
        let zone = Zone::with_clock("example.com", Arc::new(clock.clone())).unwrap();
        let lag = Duration::from_secs(3);
        zone.remember_for(lag);
        zone.add("a.example.com", Data::txt("x")).unwrap();
        clock.advance(Duration::from_secs(2));
        zone.add("b.example.com", Data::txt("x")).unwrap();
        assert_eq!((zone.as_of(lag).serial(), zone.serial()), (1, 3));
        clock.advance(Duration::from_secs(1));
        assert_eq!(zone.as_of(lag).serial(), 2);
        clock.advance(Duration::from_secs(2));
        assert_eq!(zone.as_of(lag).serial(), 3);
        zone.add("c.example.com", Data::txt("x")).unwrap();
        assert_eq!(zone.0.history.borrow().versions.len(), 2);
    }

    #[tokio::test]
    async fn a_change_can_be_awaited() {
        let zone = Zone::new("example.com").unwrap();
        let waiter = tokio::spawn({
            let zone = zone.clone();
            async move { zone.wait_until(|zone| !zone.txt_values("a.example.com").is_empty()).await }
        });
        zone.add("a.example.com", Data::txt("x")).unwrap();
        waiter.await.unwrap();
    }
}
