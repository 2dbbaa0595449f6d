//! What Prometheus scrapes: how each certificate stands, and what was done about it.
//!
//! Certificates cost no series while nobody scrapes: of each there is a row of 20 bytes beside its name, from which a
//! scrape streams what it is asked for. What is counted while it happens comes from [`Event`]s and from the store
//! that [`Metrics::store`] watches, so neither issuers nor stores know of metrics. The names, with what they are good
//! for, are in `docs/guide/metrics.md`; rules for alerts in `docs/monitoring/`.
//!
//! ```
//! use std::sync::Arc;
//! use perennial_lifecycle::{Keeper, MemoryStore, metrics::Metrics};
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let metrics = Metrics::builder().build();
//! let store = metrics.store(Arc::new(MemoryStore::new()));
//! let heard = metrics.clone();
//! let keeper = Keeper::builder(store.clone()).observer(move |event| heard.hear(event)).build();
//! metrics.watch(&keeper);
//! metrics.refresh(&*store).await?; // what the store knows already; again from time to time in a fleet
//! assert!(metrics.text().ends_with("# EOF\n")); // what is served at /metrics
//! # drop(keeper);
//! # Ok::<(), perennial_lifecycle::StoreError>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::{collections::BTreeMap, fmt, sync::Arc};

use perennial_core::{Clock, SystemClock, http::Exchange};
use prometheus_client::{encoding::text, registry::Registry};

use crate::{
    Event, EventKind, IssuerName, Keeper, Reason, Record, Store, StoreError,
    budget::{BudgetKey, Limit},
};

mod fleet;
use fleet::{Fleet, class_label};

mod flights;
use flights::{Flight, Flights};

mod groups;
use groups::Group;

mod instruments;
use instruments::{
    Ca, Challenge, Instruments, Issuance, Issuer, Outcome, Provider, ProviderRequest, Refusal, Request, Word,
};

mod refusal;
use refusal::LIMITS;

mod scrape;
use scrape::Scrape;

mod store;
use store::Watched;

mod table;

/// All that is known of a process's certificates, for Prometheus. Cloning is cheap; all clones are one.
#[derive(Clone)]
pub struct Metrics {
    inner: Arc<Inner>,
}

struct Inner {
    instruments: Instruments,
    fleet: Arc<Fleet>,
    flights: std::sync::Mutex<Flights>,
    registry: Registry,
}

/// Which certificates have series of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Detail {
    /// All of them: seven series each.
    Every,
    /// None: aggregates by issuer must do.
    None,
    /// Those that are not ready, whose last attempt or delivery failed or was denied, or that have been due for an hour.
    Unhealthy,
}

/// Up to so many certificates have series of their own unless somebody says otherwise: 700 000 series are what a
/// Prometheus of ordinary size still takes from one target.
const MOST_IN_DETAIL: usize = 100_000;

/// The media type of [`Metrics::text`], for the header `Content-Type`.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

impl Metrics {
    /// Settings of new metrics.
    pub fn builder() -> MetricsBuilder {
        MetricsBuilder { clock: Arc::new(SystemClock::new()), settings: Settings::default() }
    }

    /// Takes an event into account: to be given to a keeper as its observer.
    pub fn hear(&self, event: &Event) {
        let instruments = &self.inner.instruments;
        instruments.events.get_or_create(&Word { reason: event.kind.reason() }).inc();
        let landed = self.inner.flights().hear(event);
        let flight = landed.unwrap_or_default();
        match &event.kind {
            EventKind::Issued { issuer, was_due_at, .. } => {
                self.land(issuer, &flight);
                self.count_issuance(issuer, "issued", flight.why.map_or("", reason_label));
                let late = matches!(flight.why, Some(Reason::Expired | Reason::Renewing) | None);
                if let Some(due) = was_due_at.filter(|_| late) {
                    let lag = event.at.since(due).as_secs_f64();
                    instruments
                        .renewal_lag
                        .get_or_create(&Issuer { issuer: issuer.to_string() })
                        .observe(lag);
                }
            }
            EventKind::Failed { issuer, class, .. } => {
                self.land(issuer, &flight);
                self.count_issuance(issuer, "failed", class_label(*class));
                self.inner.fleet.count_error(event.certificate.as_ref().map(AsRef::as_ref), *class);
            }
            EventKind::GivenUp { .. } => {
                let of = event.certificate.as_ref().and_then(|id| self.inner.fleet.issuer_of(id.as_str()));
                self.count_issuance(&of.unwrap_or_default(), "given_up", "GivenUp");
            }
            EventKind::LeaseLost => drop(instruments.leases_lost.inc()),
            EventKind::StoreAvailable => drop(instruments.store_available.0.set(1)),
            EventKind::StoreUnavailable { .. } => drop(instruments.store_available.0.set(0)),
            _ => {}
        }
    }

    fn count_issuance(&self, issuer: &IssuerName, outcome: &'static str, reason: &'static str) {
        let labels = Issuance { issuer: issuer.to_string(), outcome, reason };
        self.inner.instruments.issuance.get_or_create(&labels).inc();
    }

    /// Counts what an attempt took, now that it is known who was asked.
    fn land(&self, issuer: &IssuerName, flight: &Flight) {
        let instruments = &self.inner.instruments;
        let outcome = |well| Outcome { issuer_name: issuer.to_string(), status: status(well) };
        if let Some((seconds, well)) = flight.order.and_then(flights::Span::took) {
            instruments.order_seconds.get_or_create(&outcome(well)).observe(seconds);
        }
        for challenge in &flight.challenges {
            let Some((seconds, well)) = challenge.span.took() else { continue };
            let (issuer, r#type) = (issuer.to_string(), challenge.kind.clone());
            instruments.challenges.get_or_create(&Challenge { issuer, r#type, status: status(well) }).inc();
            match challenge.kind.as_str() {
                "http-01" => drop(instruments.http01_challenges.get_or_create(&outcome(well)).inc()),
                "dns-01" => {
                    instruments.dns01_challenge_seconds.get_or_create(&outcome(well)).observe(seconds)
                }
                _ => {}
            }
        }
        for (limit, count) in LIMITS.into_iter().zip(flight.rate_limited).filter(|(_, count)| *count > 0) {
            let refusal = Refusal { ca: issuer.to_string(), limit };
            instruments.rate_limited.get_or_create(&refusal).inc_by(count);
        }
        if let Some(until) = flight.rate_limited_until {
            let ca = Ca { ca: issuer.to_string() };
            instruments.rate_limited_until.get_or_create(&ca).set(until.unix());
        }
    }

    /// Takes an exchange with an ACME server into account: to be given to a
    /// [`WatchedClient`](perennial_core::http::WatchedClient).
    pub fn exchange(&self, exchange: &Exchange<'_>) {
        let labels = Request {
            scheme: exchange.scheme.to_owned(),
            host: exchange.host.to_owned(),
            action: exchange.action.unwrap_or_default(),
            method: exchange.method.to_owned(),
            status: exchange.status.unwrap_or(NO_ANSWER),
        };
        self.inner.instruments.requests.get_or_create(&labels).inc();
        self.inner.instruments.request_seconds.get_or_create(&labels).observe(exchange.took.as_secs_f64());
    }

    /// Takes an exchange with the API of a DNS provider into account, as [`exchange`](Self::exchange) does one with a CA.
    /// `provider` is the name that the label shows.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use perennial_core::http::WatchedClient;
    /// use perennial_lifecycle::metrics::Metrics;
    /// # use perennial_core::{HttpClient, HttpError};
    /// # struct Reqwest;
    /// # #[async_trait::async_trait]
    /// # impl HttpClient for Reqwest {
    /// #     async fn send(&self, _: http::Request<bytes::Bytes>) -> Result<http::Response<bytes::Bytes>, HttpError> {
    /// #         unreachable!()
    /// #     }
    /// # }
    ///
    /// let metrics = Metrics::builder().build();
    /// let counted = metrics.clone();
    /// let client = WatchedClient::new(Arc::new(Reqwest), move |it| counted.provider_exchange("cloudflare", it));
    /// // To be given to the provider's builder.
    /// # drop(client);
    /// assert!(!metrics.text().contains("cloudflare"), "nothing was asked yet");
    /// ```
    pub fn provider_exchange(&self, provider: &str, exchange: &Exchange<'_>) {
        let (instruments, provider) = (&self.inner.instruments, provider.to_owned());
        let request = ProviderRequest {
            provider: provider.clone(),
            method: exchange.method.to_owned(),
            status: exchange.status.unwrap_or(NO_ANSWER),
        };
        instruments.provider_requests.get_or_create(&request).inc();
        let seconds = exchange.took.as_secs_f64();
        instruments.provider_request_seconds.get_or_create(&Provider { provider }).observe(seconds);
    }

    /// The same store, watched: what goes through it keeps the rows up to date, and how long it takes is measured.
    pub fn store(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        Arc::new(Watched::new(store, self.clone()))
    }

    /// Shows how much a keeper has to do, and how its issuers do; it does not keep the keeper alive.
    pub fn watch(&self, keeper: &Keeper) {
        self.inner.fleet.watch(keeper.workloads(), keeper.standing());
    }

    /// Takes a record as it is now: for programs that do not write through a [watched store](Self::store).
    pub fn note(&self, record: &Record) {
        if let Some(issuer) = self.inner.fleet.note(record) {
            self.inner.instruments.begin(issuer.as_str());
        }
    }

    /// Forgets a certificate that nobody keeps any more.
    pub fn forget(&self, id: &crate::CertificateId) {
        self.inner.fleet.forget(id.as_str());
    }

    /// Reads everything that a store has: at the start, and from time to time where other processes write to it, too.
    /// It goes through the store in pages and holds nobody up; a scrape meanwhile sees the part that is read.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read; what was read counts. A record that cannot be read is counted
    /// as one whose state is unknown, and stops nothing.
    pub async fn refresh(&self, store: &dyn Store) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let page = store.list(after.as_ref(), PAGE).await?;
            for id in &page {
                match store.load(id).await {
                    Ok(Some((_, record))) => self.note(&record),
                    Ok(None) => self.forget(id),
                    Err(StoreError::Damaged { .. } | StoreError::NewerSchema { .. }) => {
                        self.inner.fleet.note_unreadable(id.as_str());
                    }
                    Err(error) => return Err(error),
                }
            }
            let last = page.last().filter(|_| page.len() >= PAGE).cloned();
            let (from, to) = (after.as_ref().map(AsRef::as_ref), last.as_ref().map(AsRef::as_ref));
            self.inner.fleet.keep_listed(from, to, page.iter().map(AsRef::as_ref));
            if last.is_none() {
                break;
            }
            after = last;
            tokio::task::yield_now().await;
        }
        self.inner.fleet.note_quarantined(store.quarantined().await?.len());
        Ok(())
    }

    /// Everything as text, as OpenMetrics 1.0 has it; Prometheus reads it from version 2.5 on.
    #[must_use]
    pub fn text(&self) -> String {
        let mut buffer = String::new();
        // Writing to a String cannot fail.
        let _ = text::encode(&mut buffer, &self.inner.registry);
        buffer
    }

    /// Adds everything to a registry of the program's own, which then encodes it together with the rest.
    pub fn register(&self, registry: &mut Registry) {
        self.inner.instruments.register(registry);
        registry.register_collector(Box::new(Scrape(self.inner.fleet.clone())));
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("fleet", &self.inner.fleet).finish_non_exhaustive()
    }
}

/// As many as one request to a database brings in a few milliseconds.
const PAGE: usize = 500;

/// What cert-manager writes where no answer came.
const NO_ANSWER: u16 = 999;

const fn status(well: bool) -> &'static str {
    if well { "valid" } else { "invalid" }
}

const fn reason_label(reason: Reason) -> &'static str {
    match reason {
        Reason::DoesNotExist => "DoesNotExist",
        Reason::Expired => "Expired",
        Reason::IncorrectIssuer => "IncorrectIssuer",
        Reason::InvalidKeyPair => "InvalidKeyPair",
        Reason::KeyCompromised => "KeyCompromised",
        Reason::MissingData => "MissingData",
        Reason::Renewing => "Renewing",
        Reason::RequestChanged => "RequestChanged",
        Reason::SecretMismatch => "SecretMismatch",
    }
}

impl Inner {
    fn flights(&self) -> std::sync::MutexGuard<'_, Flights> {
        self.flights.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Settings of [`Metrics`].
#[must_use = "a builder does nothing until `build`"]
pub struct MetricsBuilder {
    clock: Arc<dyn Clock>,
    settings: Settings,
}

/// What the builder was told.
#[derive(Clone, Default)]
struct Settings {
    detail: Option<Detail>,
    namespace_label: Option<String>,
    issuers: BTreeMap<IssuerName, (String, String)>,
    budgets: BTreeMap<BudgetKey, Limit>,
}

impl Settings {
    fn detail_for(&self, certificates: usize) -> Detail {
        let automatic = if certificates > MOST_IN_DETAIL { Detail::Unhealthy } else { Detail::Every };
        self.detail.unwrap_or(automatic)
    }

    fn group_of(&self, record: &Record) -> Group {
        let issuer = record.spec.issuer_name().clone();
        let key = self.namespace_label.as_deref().unwrap_or("namespace");
        let namespace = record.spec.labels().get(key).cloned().unwrap_or_default();
        let (issuer_kind, issuer_group) = self.issuers.get(&issuer).cloned().unwrap_or_default();
        Group { namespace, issuer, issuer_kind, issuer_group }
    }
}

impl MetricsBuilder {
    /// Whose time counts. Default: the operating system's.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Which certificates have series of their own. Default: [`Detail::Every`] up to 100 000 certificates, and
    /// [`Detail::Unhealthy`] beyond.
    pub const fn detail(mut self, detail: Detail) -> Self {
        self.settings.detail = Some(detail);
        self
    }

    /// Which of a spec's labels is the label `namespace` of its series. Default: the one called `namespace`.
    pub fn namespace_label(mut self, key: impl Into<String>) -> Self {
        self.settings.namespace_label = Some(key.into());
        self
    }

    /// The labels `issuer_kind` and `issuer_group` of an issuer's certificates. Default: both are empty, which to
    /// Prometheus is the same as absent.
    pub fn issuer(mut self, name: IssuerName, kind: impl Into<String>, group: impl Into<String>) -> Self {
        self.settings.issuers.insert(name, (kind.into(), group.into()));
        self
    }

    /// A budget whose level is shown, as far as its bucket goes through the [watched store](Metrics::store). Default:
    /// none; a fleet has one for each domain.
    pub fn budget(mut self, key: BudgetKey, limit: Limit) -> Self {
        self.settings.budgets.insert(key, limit);
        self
    }

    /// Makes the metrics.
    #[must_use]
    pub fn build(self) -> Metrics {
        let instruments = Instruments::default();
        instruments.begin_warnings();
        let fleet = Arc::new(Fleet::new(self.clock, self.settings));
        let mut registry = Registry::default();
        instruments.register(&mut registry);
        registry.register_collector(Box::new(Scrape(fleet.clone())));
        Metrics {
            inner: Arc::new(Inner { instruments, fleet, flights: std::sync::Mutex::default(), registry }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_much_is_shown_goes_by_how_many_there_are_unless_somebody_says_so() {
        let settings = |detail| Settings { detail, ..Settings::default() };
        assert_eq!(settings(None).detail_for(MOST_IN_DETAIL), Detail::Every);
        assert_eq!(settings(None).detail_for(MOST_IN_DETAIL + 1), Detail::Unhealthy);
        assert_eq!(settings(Some(Detail::None)).detail_for(1), Detail::None);
        assert_eq!(settings(Some(Detail::Every)).detail_for(usize::MAX), Detail::Every);
    }
}
