//! What a provider's interface can do, as far as its callers have to know.

use std::{
    num::{NonZeroU32, NonZeroUsize},
    time::Duration,
};

/// What a provider's interface can do, as far as its callers have to know.
///
/// ```
/// use perennial_providers::{Capabilities, WriteClass};
/// use std::time::Duration;
///
/// let capabilities = Capabilities::new(WriteClass::RecordByRecord).min_ttl(Duration::from_secs(60));
/// assert_eq!(capabilities.batch_max.get(), 1);
/// assert!(capabilities.deletes);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// How a write changes a record set.
    pub write: WriteClass,
    /// The most changes that one [`apply`](crate::DnsProvider::apply) may carry. One by default: the
    /// smallest number that every provider can do.
    pub batch_max: NonZeroUsize,
    /// The shortest time to live that the provider accepts; a shorter one is raised to it. Zero by default.
    pub min_ttl: Duration,
    /// Whether values can be removed at all. Yes by default; acme-dns, for one, only overwrites.
    pub deletes: bool,
    /// How often it is sensible to look whether a change has reached the provider's servers. Two seconds by
    /// default: most providers need several, and a look costs them a query.
    pub poll: Duration,
    /// How long a change may take to reach them before something is wrong. Two minutes by default, which
    /// covers the slower half of the public providers.
    pub max_wait: Duration,
    /// Whether [`in_sync`](crate::DnsProvider::in_sync) says when a change has reached the provider's own
    /// servers. No by default: only a look at the servers themselves tells then.
    pub reports_in_sync: bool,
    /// Which writes of one process are made one after the other. None by default.
    pub serial: SerialScope,
    /// The most requests that the vendor takes, where that is known; the provider keeps to it by itself.
    pub rate: Option<Rate>,
}

impl Capabilities {
    /// The defaults of a provider with this kind of write.
    #[must_use]
    pub const fn new(write: WriteClass) -> Self {
        Self {
            write,
            batch_max: NonZeroUsize::MIN,
            min_ttl: Duration::ZERO,
            deletes: true,
            poll: Duration::from_secs(2),
            max_wait: Duration::from_secs(120),
            reports_in_sync: false,
            serial: SerialScope::None,
            rate: None,
        }
    }

    /// Sets [`batch_max`](Self::batch_max); zero counts as one.
    #[must_use]
    pub const fn batch_max(mut self, changes: usize) -> Self {
        self.batch_max = match NonZeroUsize::new(changes) {
            Some(changes) => changes,
            None => NonZeroUsize::MIN,
        };
        self
    }

    /// Sets [`min_ttl`](Self::min_ttl).
    #[must_use]
    pub const fn min_ttl(mut self, ttl: Duration) -> Self {
        self.min_ttl = ttl;
        self
    }

    /// Says that values cannot be removed.
    #[must_use]
    pub const fn without_deletes(mut self) -> Self {
        self.deletes = false;
        self
    }

    /// Sets [`poll`](Self::poll) and [`max_wait`](Self::max_wait).
    #[must_use]
    pub const fn propagation(mut self, poll: Duration, max_wait: Duration) -> Self {
        self.poll = poll;
        self.max_wait = max_wait;
        self
    }

    /// Says that [`in_sync`](crate::DnsProvider::in_sync) knows.
    #[must_use]
    pub const fn reports_in_sync(mut self) -> Self {
        self.reports_in_sync = true;
        self
    }

    /// Sets [`serial`](Self::serial).
    #[must_use]
    pub const fn serial(mut self, scope: SerialScope) -> Self {
        self.serial = scope;
        self
    }

    /// Sets [`rate`](Self::rate).
    #[must_use]
    pub const fn rate(mut self, rate: Rate) -> Self {
        self.rate = Some(rate);
        self
    }
}

/// So many requests in so much time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rate {
    /// How many.
    pub requests: NonZeroU32,
    /// In how much time.
    pub per: Duration,
}

impl Rate {
    /// So many requests in so much time; zero requests count as one.
    #[must_use]
    pub const fn new(requests: u32, per: Duration) -> Self {
        let requests = match NonZeroU32::new(requests) {
            Some(requests) => requests,
            None => NonZeroU32::MIN,
        };
        Self { requests, per }
    }
}

/// Which writes of one process are made one after the other, since the vendor's interface cannot keep them
/// apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SerialScope {
    /// All writes of the account.
    Account,
    /// None of them.
    None,
    /// Those to one record set.
    Set,
    /// Those to one zone.
    Zone,
}

/// How a provider's write changes a record set: what decides whether two writers can hurt each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WriteClass {
    /// The server itself adds or removes one value: writers cannot hurt each other.
    AtomicValue,
    /// One record is created or deleted by its identifier: siblings are safe, the identifier must be found
    /// again by value after a restart.
    RecordByRecord,
    /// The whole set is replaced, and the server refuses when it changed meanwhile (compare and swap).
    SetWithPrecondition,
    /// The whole set is replaced blindly: writers must be kept apart, and each write read back.
    SetReplaced,
    /// A fixed number of values per name, the oldest overwritten.
    Slots(u8),
    /// The whole zone is replaced: as [`SetReplaced`](Self::SetReplaced), with more to lose.
    ZoneReplaced,
}
