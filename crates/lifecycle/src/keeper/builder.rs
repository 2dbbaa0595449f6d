//! Settings of a keeper.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use perennial_core::{Clock, SystemClock, Timestamp};
use tokio::sync::{Notify, watch};

use super::{
    Inner, Keeper, Life, Workload,
    board::{Board, Sizes},
    lease::Leases,
    rehearsal::Rehearsal,
    reloading::Bell,
    turns::Turns,
    watched::Watched,
};
use crate::{
    Approver, Event, Issuer, IssuerName, OnDemand, ReloadHook, Sink, SinkName, Store,
    budget::{Limit, Limits},
    event::Audience,
    rest::Rests,
    store::Owner,
};

/// Settings of a [`Keeper`].
#[must_use = "a builder does nothing until `build`"]
pub struct KeeperBuilder {
    approver: Option<Arc<dyn Approver>>,
    audience: Audience,
    clock: Arc<dyn Clock>,
    grace: Duration,
    hooks: BTreeMap<SinkName, Arc<dyn ReloadHook>>,
    issuers: BTreeMap<IssuerName, Arc<dyn Issuer>>,
    lease: Duration,
    limits: BTreeMap<IssuerName, Limits>,
    on_demand: Option<(Arc<dyn OnDemand>, Limit)>,
    owner: Option<Owner>,
    pace: Option<Limit>,
    parked: usize,
    provider_limits: BTreeMap<String, Limit>,
    rehearsals: BTreeMap<IssuerName, Rehearsal>,
    sinks: BTreeMap<SinkName, Arc<dyn Sink>>,
    slots: usize,
    store: Arc<dyn Store>,
}

impl KeeperBuilder {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self {
            approver: None,
            audience: Audience::new(),
            clock: Arc::new(SystemClock::new()),
            grace: GRACE,
            hooks: BTreeMap::new(),
            issuers: BTreeMap::new(),
            lease: LEASE,
            limits: BTreeMap::new(),
            on_demand: None,
            owner: None,
            pace: None,
            parked: PARKED,
            provider_limits: BTreeMap::new(),
            rehearsals: BTreeMap::new(),
            sinks: BTreeMap::new(),
            slots: SLOTS,
            store,
        }
    }

    /// Who says whether a certificate may be asked for. Default: nobody is asked.
    pub fn approver(mut self, approver: Arc<dyn Approver>) -> Self {
        self.approver = Some(approver);
        self
    }

    /// Whose time counts. Default: the operating system's.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// How long [`Keeper::shut_down`] waits for work to reach its next commit. Default: ten seconds, which is what
    /// most supervisors of services allow, and longer than any one request takes that is answered at all.
    pub const fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Who is told when something was delivered to a sink. Default: nobody.
    pub fn hook(mut self, sink: SinkName, hook: Arc<dyn ReloadHook>) -> Self {
        self.hooks.insert(sink, hook);
        self
    }

    /// An issuer and the name that specs call it by.
    pub fn issuer(mut self, name: IssuerName, issuer: Arc<dyn Issuer>) -> Self {
        self.issuers.insert(name, issuer);
        self
    }

    /// How long a claim lasts; it is extended every third of that. When a process dies, others take its work over
    /// after so long. Default: a minute, so that a process that is held up for half of one loses nothing. A second
    /// at least.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease.max(SHORTEST_LEASE);
        self
    }

    /// What may be asked of an issuer how often. The counts lie in the store, shared by all who share it. Default:
    /// nothing is counted.
    pub fn limits(mut self, issuer: IssuerName, limits: Limits) -> Self {
        self.limits.insert(issuer, limits);
        self
    }

    /// Who is told what happens; repeatable. It is called between steps and must return quickly; see
    /// [`Keeper::events`] for those who take their time.
    pub fn observer(mut self, observer: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.audience.observe(observer);
        self
    }

    /// Who says which certificates may be had at first sight, and how many ([`Keeper::on_demand`]). Default: none.
    pub fn on_demand(mut self, rule: Arc<dyn OnDemand>, limit: Limit) -> Self {
        self.on_demand = Some((rule, limit));
        self
    }

    /// What this keeper is called where several share a store. Default: a name that no other has.
    pub fn owner(mut self, owner: Owner) -> Self {
        self.owner = Some(owner);
        self
    }

    /// How many attempts are begun how often, by all who share the store. Default: as many as there are slots, since
    /// only you know what your issuers take; [`Limit::twice_the_mean`] keeps a fleet flat after an outage, too.
    pub const fn pace(mut self, limit: Limit) -> Self {
        self.pace = Some(limit);
        self
    }

    /// How many may wait for something outside, such as propagation, without a slot; what more there is waits with
    /// its slot. Default: a thousand, which are some ten megabytes, and a hundred and fifty thousand certificates a
    /// day when each waits ten minutes.
    pub const fn parked(mut self, parked: usize) -> Self {
        self.parked = parked;
        self
    }

    /// How often certificates may be asked for that a DNS provider is needed for, by the name that
    /// [`Issuer::providers`] tells. Default: it is not counted.
    pub fn provider_limit(mut self, provider: impl Into<String>, limit: Limit) -> Self {
        self.provider_limits.insert(provider.into(), limit);
        self
    }

    /// Asks another issuer, a CA's staging one, before this one is asked once more: when so many attempts in a row
    /// have failed, or with zero before the first. What it issues is thrown away; what fails there is a failure, and
    /// costs the real one's rate limits nothing. Default: nobody is asked first.
    pub fn rehearsal(mut self, issuer: IssuerName, stage: IssuerName, after: u32) -> Self {
        self.rehearsals.insert(issuer, Rehearsal { stage, after });
        self
    }

    /// A place that certificates are delivered to, and the name that [outputs](crate::Output) call it by.
    pub fn sink(mut self, name: SinkName, sink: Arc<dyn Sink>) -> Self {
        self.sinks.insert(name, sink);
        self
    }

    /// How many certificates are worked on at once. Default: 64. One takes a few seconds of a CA's answers, so that
    /// is some ten a second, and more than any public CA lets an account order; more would only wait there.
    pub fn slots(mut self, slots: usize) -> Self {
        self.slots = slots.max(1);
        self
    }

    /// Makes the keeper. Nothing is done yet.
    pub fn build(self) -> Keeper {
        let sizes = Sizes { slots: self.slots, parked: self.parked, window: WINDOW * self.slots };
        let nothing =
            Workload { waiting: 0, running: 0, parked: 0, next_look: Timestamp::MIN, store_answers: true };
        let inner = Inner {
            approver: self.approver,
            audience: self.audience,
            board: Board::new(sizes),
            clock: self.clock.clone(),
            grace: self.grace,
            hooks: self.hooks.into_iter().map(|(sink, hook)| (sink, Bell::new(hook))).collect(),
            issuers: self.issuers,
            leases: Leases::new(self.store.clone(), self.lease, self.clock),
            limits: self.limits,
            on_demand: self.on_demand,
            no_more_until: std::sync::atomic::AtomicI64::new(i64::MIN),
            owner: self.owner.unwrap_or_else(Owner::unique),
            pace: self.pace,
            provider_limits: self.provider_limits,
            refreshed: Mutex::default(),
            rehearsals: self.rehearsals,
            rests: Arc::new(Mutex::new(Rests::default())),
            sinks: self.sinks,
            spending: tokio::sync::Mutex::default(),
            store: self.store,
            turns: Arc::new(Turns::default()),
            unreadable: Mutex::default(),
            wake: Notify::new(),
            watched: Arc::new(Watched::default()),
            workload: watch::Sender::new(nothing),
        };
        Keeper { inner: Arc::new(inner), life: Arc::new(Life::default()) }
    }
}

const GRACE: Duration = Duration::from_secs(10);
const LEASE: Duration = Duration::from_secs(60);
const SHORTEST_LEASE: Duration = Duration::from_secs(1);
const PARKED: usize = 1_000;
const SLOTS: usize = 64;
/// So many are claimed ahead for each slot, for the lanes to choose among. With the default that is a thousand, or ten
/// round trips to a database; a keeper that can do less leaves more to others.
const WINDOW: usize = 16;
