//! What all providers over a vendor's interface have in common.

use std::{fmt, sync::Arc, time::Duration};

use perennial_core::{Clock, DomainName, SystemClock, Timestamp};
use tokio::sync::OwnedMutexGuard;

use super::{
    Vendor,
    find::Finder,
    gather::{Commit, Gather, Reach},
    lock,
    net::Net,
};
use crate::{Applied, Capabilities, Change, Error, Outcome, Pending, Receipt, SerialScope, Zone};

/// What is the same for all vendors and differs from operator to operator.
#[derive(Clone)]
#[must_use]
pub struct Settings {
    zone: Option<DomainName>,
    zone_id: Option<String>,
    ttl: Duration,
    clock: Arc<dyn Clock>,
}

/// A minute: the few look-ups of one validation can share an answer, and a retry need not outwait it.
const DEFAULT_TTL: Duration = Duration::from_secs(60);

impl Default for Settings {
    fn default() -> Self {
        Self { zone: None, zone_id: None, ttl: DEFAULT_TTL, clock: Arc::new(SystemClock::new()) }
    }
}

impl Settings {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// The zone of all names, instead of finding it for each. Needed where a credential may not look for zones,
    /// and where two zones have one name.
    pub fn zone(mut self, apex: DomainName) -> Self {
        self.zone = Some(apex);
        self
    }

    /// The vendor's identifier of the zone of all names; with [`zone`](Self::zone) nothing is looked up.
    pub fn zone_id(mut self, id: impl Into<String>) -> Self {
        self.zone_id = Some(id.into());
        self
    }

    /// The time to live of new record sets, in whole seconds; a minute by default, or the vendor's least if
    /// that is more: the few look-ups of one validation can share an answer, and a retry need not outwait it.
    pub const fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// Who tells the time and waits; the operating system by default.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) const fn has_zone(&self) -> bool {
        self.zone.is_some() || self.zone_id.is_some()
    }

    pub(super) const fn given_apex(&self) -> Option<&DomainName> {
        self.zone.as_ref()
    }

    pub(super) fn given_id(&self) -> Option<&str> {
        self.zone_id.as_deref()
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("zone", &self.zone)
            .field("zone_id", &self.zone_id)
            .field("ttl", &self.ttl)
            .finish_non_exhaustive()
    }
}

/// A vendor, with what was found out about it.
pub(super) struct Frame<V> {
    pub(super) vendor: V,
    settings: Settings,
    finder: Finder,
    gather: Gather,
}

impl<V: Vendor> Frame<V> {
    pub(super) fn new(vendor: V, settings: Settings) -> Self {
        Self { vendor, settings, finder: Finder::default(), gather: Gather::default() }
    }

    pub(super) fn capabilities(&self) -> Capabilities {
        self.vendor.capabilities()
    }

    pub(super) async fn zone(&self, name: &DomainName) -> Result<Zone, Error> {
        self.finder.find(&self.vendor, &self.settings, name).await
    }

    /// What every batch goes through before anything is sent.
    pub(super) fn check(&self, zone: &Zone, changes: &[Change]) -> Result<(), Error> {
        changes.iter().try_for_each(|change| change.check(self.vendor.kind(), zone))
    }

    /// Makes checked changes, with those of others who write at the same time.
    pub(super) async fn gather(
        &self,
        by: &dyn Commit,
        reach: Reach,
        zone: &Zone,
        changes: &[Change],
    ) -> Result<Applied, Error> {
        self.gather.write(by, reach, self.capabilities().batch_max.get(), zone, changes).await
    }

    /// The time to live that a new record is given.
    pub(super) fn ttl(&self, wanted: Option<Duration>) -> Duration {
        wanted.unwrap_or(self.settings.ttl).max(self.vendor.capabilities().min_ttl)
    }

    /// Keeps the writers of this process apart that the vendor cannot.
    pub(super) async fn lock(
        &self,
        at_least: SerialScope,
        zone: &Zone,
        names: &[DomainName],
    ) -> Vec<OwnedMutexGuard<()>> {
        let scope = match (self.vendor.capabilities().serial, at_least) {
            (SerialScope::Account, _) | (_, SerialScope::Account) => SerialScope::Account,
            (SerialScope::Zone, _) | (_, SerialScope::Zone) => SerialScope::Zone,
            (SerialScope::Set, _) | (_, SerialScope::Set) => SerialScope::Set,
            (SerialScope::None, SerialScope::None) => return Vec::new(),
        };
        let account = format!("{}|{}", self.vendor.kind(), self.vendor.account());
        let keys = match scope {
            SerialScope::Account => vec![account],
            SerialScope::Zone => vec![format!("{account}|{zone}")],
            _ => names.iter().map(|name| format!("{account}|{zone}|{name}")).collect(),
        };
        lock::all(keys).await
    }

    /// Waits before the same is tried again: longer from try to try, and never as long as a rival.
    pub(super) async fn pause(&self, tries: u32) {
        let most = FIRST_PAUSE.saturating_mul(1 << tries.min(5));
        self.settings.clock.sleep(most.mul_f64(rand::random_range(0.25..1.0))).await;
    }

    /// Learns from an error what there is to learn, and passes it on.
    pub(super) fn note(&self, error: Error) -> Error {
        if let Error::ZoneNotFound { name, .. } = &error {
            self.finder.forget(name);
        }
        error
    }

    /// What a batch came to; `effects` says what became of each last word.
    pub(super) fn applied(
        &self,
        zone: &Zone,
        changes: &[Change],
        net: &[Net<'_>],
        effects: &[Effect],
        pending: Option<String>,
    ) -> Applied {
        let kind = self.vendor.kind();
        let mut receipts = Vec::new();
        let mut outcomes = Vec::with_capacity(changes.len());
        for change in changes {
            let place = net.iter().position(|it| it.is_of(change));
            let (last, effect) = match place {
                Some(place) => {
                    (net.get(place).is_some_and(|it| it.action == change.action), effects.get(place))
                }
                None => (false, None),
            };
            outcomes.push(effect.filter(|_| last).map_or(Outcome::Unknown, |effect| effect.outcome));
            if change.action == crate::Action::Add {
                let mut receipt = Receipt::new(kind, zone, change);
                receipt.record_id = effect.and_then(|effect| effect.record_id.clone());
                receipt.ttl = effect.and_then(|effect| effect.ttl);
                receipts.push(receipt);
            }
        }
        let pending = pending.map(|handle| Pending::new(kind, zone, handle));
        Applied::new(receipts).with_outcomes(outcomes).with_pending(pending)
    }

    /// Who fought for the same set and never won.
    pub(super) fn lost_race(&self, what: String, last: Option<Error>) -> Error {
        let fault = last.and_then(|error| error.fault().cloned()).map(Box::new);
        Error::Conflict { provider: self.vendor.kind().to_owned(), what, fault }
    }
}

/// A tenth of a second: a rival's write takes about as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// How often a write is tried that rivals get in the way of.
pub(super) const MOST_RACES: u32 = 8;

/// How often a write is tried whose answer is lost.
pub(super) const MOST_LOSSES: u32 = 3;

/// What became of one value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Effect {
    pub(super) outcome: Outcome,
    pub(super) record_id: Option<String>,
    pub(super) ttl: Option<Duration>,
}

impl Effect {
    pub(super) const fn of(outcome: Outcome) -> Self {
        Self { outcome, record_id: None, ttl: None }
    }
}

/// Implements [`DnsProvider`](crate::DnsProvider) for a wrapper by what it wraps, and `Debug` without it.
macro_rules! forward {
    ($provider:ty, $kind:expr) => {
        #[async_trait::async_trait]
        impl $crate::DnsProvider for $provider {
            fn kind(&self) -> &str {
                $crate::DnsProvider::kind(&*self.0)
            }

            fn capabilities(&self) -> $crate::Capabilities {
                $crate::DnsProvider::capabilities(&*self.0)
            }

            async fn zone(&self, name: &perennial_core::DomainName) -> Result<$crate::Zone, $crate::Error> {
                $crate::DnsProvider::zone(&*self.0, name).await
            }

            async fn apply(
                &self,
                zone: &$crate::Zone,
                changes: &[$crate::Change],
            ) -> Result<$crate::Applied, $crate::Error> {
                $crate::DnsProvider::apply(&*self.0, zone, changes).await
            }

            async fn values(
                &self,
                zone: &$crate::Zone,
                name: &perennial_core::DomainName,
            ) -> Result<Vec<String>, $crate::Error> {
                $crate::DnsProvider::values(&*self.0, zone, name).await
            }

            async fn records(
                &self,
                zone: &$crate::Zone,
                name: &perennial_core::DomainName,
            ) -> Result<Vec<$crate::TxtRecord>, $crate::Error> {
                $crate::DnsProvider::records(&*self.0, zone, name).await
            }

            async fn in_sync(&self, pending: &$crate::Pending) -> Result<bool, $crate::Error> {
                $crate::DnsProvider::in_sync(&*self.0, pending).await
            }
        }

        impl std::fmt::Debug for $provider {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct($kind).finish_non_exhaustive()
            }
        }
    };
}
pub(crate) use forward;

/// Setters that many providers over a [`Client`](crate::vendor::Client) have, by their names, for a builder with the
/// fields `client` and `settings`.
macro_rules! setters {
    ($builder:ident: $($setter:ident),+) => {
        impl $builder {
            $($crate::engine::setters!(@ $setter);)+
        }
    };
    (@ base_url) => {
        /// Another base URL: an emulator, a proxy, a private cloud, a sandbox.
        pub fn base_url(mut self, url: impl Into<String>) -> Self {
            self.client = self.client.base_url(url);
            self
        }
    };
    (@ clock) => {
        /// Who tells the time and waits; the operating system by default.
        pub fn clock(mut self, clock: std::sync::Arc<dyn perennial_core::Clock>) -> Self {
            self.client = self.client.clock(clock.clone());
            self.settings = self.settings.clock(clock);
            self
        }
    };
    (@ http) => {
        /// Who carries the requests; the client of `perennial-core` by default.
        pub fn http(mut self, http: std::sync::Arc<dyn perennial_core::HttpClient>) -> Self {
            self.client = self.client.http(http);
            self
        }
    };
    (@ options) => {
        /// What the options say that many kinds of providers have.
        pub(crate) fn options(mut self, kind: &str, options: &$crate::Options) -> Result<Self, $crate::Error> {
            self.settings = $crate::registry::settings(kind, options)?;
            if let Some(url) = options.text(&$crate::registry::BASE_URL) {
                self.client = self.client.base_url(url);
            }
            Ok(self)
        }
    };
    (@ plain_http) => {
        /// Lets the URL be plain `http` that is not on loopback. Whoever can listen there has the credential.
        pub fn plain_http(mut self, allowed: bool) -> Self {
            self.client = self.client.plain_http(allowed);
            self
        }
    };
    (@ ttl) => {
        /// The time to live of new record sets, in whole seconds; a minute by default, or the vendor's least.
        pub fn ttl(mut self, ttl: std::time::Duration) -> Self {
            self.settings = self.settings.ttl(ttl);
            self
        }
    };
    (@ zone) => {
        /// The zone of all names; without it the zone of each name is found.
        pub fn zone(mut self, apex: perennial_core::DomainName) -> Self {
            self.settings = self.settings.zone(apex);
            self
        }
    };
    (@ zone_id) => {
        /// The vendor's identifier of the zone of all names.
        pub fn zone_id(mut self, id: impl Into<String>) -> Self {
            self.settings = self.settings.zone_id(id);
            self
        }
    };
}
pub(crate) use setters;

/// Defines the builder of a provider over a [`Client`](crate::vendor::Client): a struct with the fields `client`
/// and `settings`, the setters that all of them have, and `build`.
macro_rules! builder {
    ($builder:ident, $provider:ident, |$client:ident, $settings:ident| $engine:expr) => {
        #[doc = concat!("A provider in the making: see [`", stringify!($provider), "::builder`].")]
        #[must_use = "a builder does nothing until `build`"]
        pub struct $builder {
            client: $crate::vendor::ClientBuilder,
            settings: $crate::engine::Settings,
        }

        $crate::engine::setters!($builder: base_url, clock, http, options, ttl, zone);

        impl $builder {
            /// The provider.
            ///
            /// # Errors
            /// [`Error::Config`](crate::Error::Config) when the base URL is none that requests with credentials
            /// may go to.
            pub fn build(self) -> Result<$provider, $crate::Error> {
                let ($client, $settings) = (self.client.build()?, self.settings);
                Ok($provider(std::sync::Arc::new($engine)))
            }
        }
    };
}
pub(crate) use builder;
