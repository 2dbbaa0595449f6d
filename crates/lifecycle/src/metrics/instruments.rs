//! What is counted while it happens: a few series for each issuer and each word, and none for a certificate.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder},
    metrics::{
        MetricType, TypedMetric, counter::Counter, family::Family, gauge::Gauge, histogram::Histogram,
    },
    registry::Registry,
};

use super::{fleet::CLASSES, refusal::LIMITS};
use crate::EventKind;

/// Everything that is counted while it happens.
#[derive(Clone, Debug, Default)]
pub(super) struct Instruments {
    pub(super) http01_challenges: Family<Outcome, Counter>,
    pub(super) dns01_challenge_seconds: Family<Outcome, Minutes>,
    pub(super) order_seconds: Family<Outcome, Minutes>,
    pub(super) requests: Family<Request, Count>,
    pub(super) request_seconds: Family<Request, Moments>,
    pub(super) provider_requests: Family<ProviderRequest, Counter>,
    pub(super) provider_request_seconds: Family<Provider, Moments>,
    pub(super) challenges: Family<Challenge, Counter>,
    pub(super) issuance: Family<Issuance, Counter>,
    pub(super) renewal_lag: Family<Issuer, Days>,
    pub(super) rate_limited: Family<Refusal, Counter>,
    pub(super) rate_limited_until: Family<Ca, Gauge>,
    pub(super) leases_acquired: Counter,
    pub(super) leases_lost: Counter,
    pub(super) leases_fenced: Counter,
    pub(super) store_op_seconds: Family<StoreOp, Moments>,
    pub(super) store_available: Available,
    pub(super) events: Family<Word, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Outcome {
    pub(super) issuer_name: String,
    pub(super) status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Request {
    pub(super) scheme: String,
    pub(super) host: String,
    pub(super) action: &'static str,
    pub(super) method: String,
    pub(super) status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ProviderRequest {
    pub(super) provider: String,
    pub(super) method: String,
    pub(super) status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Provider {
    pub(super) provider: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Challenge {
    pub(super) issuer: String,
    pub(super) r#type: String,
    pub(super) status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Issuance {
    pub(super) issuer: String,
    pub(super) outcome: &'static str,
    pub(super) reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Issuer {
    pub(super) issuer: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Ca {
    pub(super) ca: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Refusal {
    pub(super) ca: String,
    pub(super) limit: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct StoreOp {
    pub(super) op: &'static str,
    pub(super) outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Word {
    pub(super) reason: &'static str,
}

impl Instruments {
    pub(super) fn register(&self, registry: &mut Registry) {
        let it = self.clone();
        registry.register(HTTP01_CHALLENGES, "HTTP-01 challenges by how they ended", it.http01_challenges);
        let help = "Time from presenting a DNS-01 proof to the CA's verdict";
        registry.register(DNS01_CHALLENGE_SECONDS, help, it.dns01_challenge_seconds);
        let help = "Time from the creation of an order to its certificate or its failure";
        registry.register(ORDER_SECONDS, help, it.order_seconds);
        registry.register(REQUESTS, "Requests to ACME servers; status 999 where no answer came", it.requests);
        registry.register(REQUEST_SECONDS, "Time that requests to ACME servers took", it.request_seconds);
        let help = "Requests to the APIs of DNS providers; status 999 where no answer came";
        registry.register(PROVIDER_REQUESTS, help, it.provider_requests);
        let help = "Time that requests to the APIs of DNS providers took";
        registry.register(PROVIDER_REQUEST_SECONDS, help, it.provider_request_seconds);
        registry.register(CHALLENGES, "Challenges of all types by how they ended", it.challenges);
        let help = "Attempts that ended, by how, and by what made or failed them";
        registry.register(ISSUANCE, help, it.issuance);
        let help = "Time from when a renewal was due to when the new certificate was in place";
        registry.register(RENEWAL_LAG, help, it.renewal_lag);
        registry.register(RATE_LIMITED, "Refusals by a rate limit of the CA, by which", it.rate_limited);
        let help = "Until when the CA last asked to be left alone, in Unix seconds";
        registry.register(RATE_LIMITED_UNTIL, help, it.rate_limited_until);
        registry.register(LEASES_ACQUIRED, "Certificates that were claimed", it.leases_acquired);
        registry.register(LEASES_LOST, "Claims that somebody else has taken over", it.leases_lost);
        registry.register(LEASES_FENCED, "Writes that were refused under an old claim", it.leases_fenced);
        registry.register(STORE_OP_SECONDS, "Time that calls to the store took", it.store_op_seconds);
        let help = "Whether the store answered when it was last asked: 1 or 0";
        registry.register(STORE_AVAILABLE, help, it.store_available.0);
        registry.register(EVENTS, "Events by their reason", it.events);
    }

    /// Counters of an issuer that begin at 0: who looks at their increase sees the first failure, too.
    pub(super) fn begin(&self, issuer: &str) {
        let issuance = |outcome, reason| Issuance { issuer: issuer.to_owned(), outcome, reason };
        for (_, reason) in CLASSES {
            drop(self.issuance.get_or_create(&issuance("failed", reason)));
        }
        drop(self.issuance.get_or_create(&issuance("issued", "Renewing")));
        for limit in LIMITS {
            drop(self.rate_limited.get_or_create(&Refusal { ca: issuer.to_owned(), limit }));
        }
    }

    /// The same of warnings, which are told of rarely and must not go unseen the first time.
    pub(super) fn begin_warnings(&self) {
        for &reason in EventKind::WARNINGS {
            drop(self.events.get_or_create(&Word { reason }));
        }
    }
}

/// A store answers until it says otherwise.
#[derive(Clone, Debug)]
pub(super) struct Available(pub(super) Gauge);

impl Default for Available {
    fn default() -> Self {
        let gauge = Gauge::default();
        gauge.set(1);
        Self(gauge)
    }
}

/// A count whose name does not end in `_total`, as an old name may not: OpenMetrics has no counter for it.
#[derive(Clone, Debug, Default)]
pub(super) struct Count(Arc<AtomicU64>);

impl Count {
    pub(super) fn inc(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl TypedMetric for Count {
    const TYPE: MetricType = MetricType::Unknown;
}

impl EncodeMetric for Count {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        encoder.encode_gauge(&self.0.load(Ordering::Relaxed))
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

/// Histograms that know their own buckets, so that a family can make them.
macro_rules! histogram {
    ($(#[$doc:meta])* $name:ident $buckets:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub(super) struct $name(Histogram);

        impl $name {
            pub(super) fn observe(&self, seconds: f64) {
                self.0.observe(seconds);
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self(Histogram::new($buckets))
            }
        }

        impl TypedMetric for $name {
            const TYPE: MetricType = MetricType::Histogram;
        }

        impl EncodeMetric for $name {
            fn encode(&self, encoder: MetricEncoder<'_>) -> fmt::Result {
                self.0.encode(encoder)
            }

            fn metric_type(&self) -> MetricType {
                Self::TYPE
            }
        }
    };
}

histogram! {
    /// One exchange: from half a millisecond to a minute.
    Moments [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0]
}

histogram! {
    /// Waits for a CA or for propagation: from a second to two hours.
    Minutes [1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_200.0, 1_800.0, 3_600.0, 7_200.0]
}

histogram! {
    /// How late a renewal is: from ten seconds to a month.
    Days [10.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 43_200.0, 86_400.0, 259_200.0, 604_800.0, 2_592_000.0]
}

pub(super) const HTTP01_CHALLENGES: &str = "certmanager_http01_challenges";
pub(super) const DNS01_CHALLENGE_SECONDS: &str = "certmanager_dns01_challenge_duration_seconds";
pub(super) const ORDER_SECONDS: &str = "certmanager_acme_order_processing_seconds";
const REQUESTS: &str = "certmanager_http_acme_client_request_count";
const REQUEST_SECONDS: &str = "certmanager_http_acme_client_request_duration_seconds";
const PROVIDER_REQUESTS: &str = "perennial_dns_provider_requests";
const PROVIDER_REQUEST_SECONDS: &str = "perennial_dns_provider_request_duration_seconds";
const CHALLENGES: &str = "perennial_challenges";
const ISSUANCE: &str = "perennial_issuance";
const RENEWAL_LAG: &str = "perennial_renewal_lag_seconds";
const RATE_LIMITED: &str = "perennial_acme_rate_limited";
const RATE_LIMITED_UNTIL: &str = "perennial_acme_rate_limited_until_timestamp_seconds";
const LEASES_ACQUIRED: &str = "perennial_lease_acquired";
const LEASES_LOST: &str = "perennial_lease_lost";
const LEASES_FENCED: &str = "perennial_lease_fenced";
const STORE_OP_SECONDS: &str = "perennial_store_op_duration_seconds";
const STORE_AVAILABLE: &str = "perennial_store_available";
const EVENTS: &str = "perennial_events";
