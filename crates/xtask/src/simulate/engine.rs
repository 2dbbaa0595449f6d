//! The engine: what a keeper of a million certificates does each minute, with the real deciding code.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    time::Duration,
};

use perennial_core::{Retry, Timestamp};
use perennial_lifecycle::{
    CertificateSpec, ClockWatch, Decision, Facts, Holding, IssueError, IssueErrorClass, Material,
    budget::{BudgetKey, Budgets, Demand, Purpose},
    decide,
    failover::{self, Candidate, Choice},
    ladder,
    queue::{Lane, Queue, Work},
    renews_at,
    rest::{self, Rests},
    schedule::{Life, Schedule, Spread},
};

use super::{
    authority::Authorities,
    certificate::Certificate,
    fleet::{Ca, Fleet, suggested},
    random::Random,
    tally::Tally,
    trouble::{BEGIN, DAY, HOUR, Troubles},
};

/// The engine, its fleet and its world.
pub(super) struct Engine {
    fleet: Fleet,
    troubles: Troubles,
    authorities: Authorities,
    tally: Tally,
    fate: Random,
    end: i64,
    /// What a store keeps beside the certificates.
    budgets: Budgets,
    last_wall: Timestamp,
    /// What a restart forgets.
    memory: Memory,
    /// Used again and again.
    facts: Facts,
}

struct Memory {
    schedule: Schedule,
    queue: Queue<u32>,
    running: HashMap<u32, Attempt>,
    ends: BinaryHeap<Reverse<(i64, u32)>>,
    /// Which CAs fail everybody: those are not asked by everybody.
    rests: Rests,
    watch: ClockWatch,
    started: i64,
    offset: i64,
}

struct Attempt {
    ca: Ca,
    demands: Vec<Demand>,
    outcome: Result<(), Fault>,
}

/// Why an attempt fails, and whether its order ends with it.
#[derive(Clone, Copy)]
struct Fault {
    class: IssueErrorClass,
    retry: Retry,
    ends_order: bool,
    /// The CA has counted, and is well.
    is_limit: bool,
}

/// Which CA is asked next, until when that stands, and until when it rests.
struct Plan {
    which: usize,
    ca: Ca,
    until: Timestamp,
    held: Option<Timestamp>,
}

impl Engine {
    pub(super) fn new(fleet: Fleet, troubles: Troubles, span: Duration) -> Self {
        let end = BEGIN + i64::try_from(span.as_secs()).unwrap_or(0);
        let (fate, slots) = (fleet.fate(), slots(&fleet));
        Self {
            memory: Memory::new(&fleet, slots, Timestamp::from_unix(BEGIN), BEGIN),
            last_wall: Timestamp::from_unix(BEGIN),
            authorities: Authorities::default(),
            budgets: Budgets::default(),
            tally: Tally::default(),
            facts: template(),
            fleet,
            troubles,
            fate,
            end,
        }
    }

    /// Lives to the end, minute by minute.
    pub(super) fn live(mut self) -> Tally {
        let mut dead = false;
        for at in (BEGIN..self.end).step_by(60) {
            let dies = self.troubles.is_dead(at);
            if dead && !dies {
                self.restart(at);
            }
            dead = dies;
            if !dead {
                self.minute(at);
            }
            self.tally.pass(at);
        }
        self.close()
    }

    fn minute(&mut self, at: i64) {
        let now = Timestamp::from_unix(self.troubles.wall(at));
        self.look_at_clock(at, now);
        while let Some(Reverse((ends, index))) = self.memory.ends.peek().copied().filter(|end| end.0.0 <= at)
        {
            debug_assert!(ends <= at);
            self.memory.ends.pop();
            self.finish(index, at, now);
        }
        while let Some(index) = self.memory.schedule.pop(now) {
            self.decide(index, at, now);
        }
        self.begin(at, now);
        if at % DAY == 0 {
            self.budgets.forget_full(now);
        }
    }

    /// Begins what the pace allows, at the second at which its tokens come.
    fn begin(&mut self, at: i64, now: Timestamp) {
        let mut passed = 0;
        while passed < 60 {
            let now = now + Duration::from_secs(passed);
            if let Err(until) = self.budgets.bucket(&BudgetKey::Fleet).take(self.fleet.pace, now) {
                passed += now.until(until).as_secs().max(1);
                continue;
            }
            let Some(index) = self.memory.queue.start() else { return };
            self.start(index, at + passed.cast_signed(), now);
        }
    }

    fn look_at_clock(&mut self, at: i64, now: Timestamp) {
        let offset = now.unix() - at;
        self.tally.jumps_made += u64::from(offset != self.memory.offset);
        self.memory.offset = offset;
        if let Some(jump) = self.memory.watch.look(now, since(self.memory.started, at)) {
            self.tally.jumps_told += 1;
            self.budgets.clock_jumped(jump);
        }
        self.last_wall = now;
    }

    /// Keep, wait, or get in line.
    fn decide(&mut self, index: u32, at: i64, now: Timestamp) {
        let spec = self.fleet.spec(index, self.fleet.class(index).cas[0]);
        let plan = self.plan(index, now);
        let decision = self.ask(index, &spec, plan.which, now);
        let certificate = &mut self.fleet.certificates[index as usize];
        match decision {
            // An order that is open is walked to its end.
            Decision::Keep { .. } if certificate.order.is_some() => {}
            Decision::Keep { until } => {
                certificate.due_since = 0;
                return self.look_again(index, until);
            }
            Decision::Wait { until, .. } => return self.look_again(index, until.min(plan.until)),
            Decision::Renew { .. } => {}
            _ => return,
        }
        if certificate.due_since == 0 {
            certificate.due_since = at;
        }
        if let Some(held) = plan.held {
            return self.rest(index, held, plan.until, now);
        }
        let certificate = &self.fleet.certificates[index as usize];
        let (lane, deadline) = match certificate {
            certificate if certificate.failures.iter().any(Option::is_some) => {
                (Lane::Retry, latest(certificate, now))
            }
            certificate if certificate.exists() => (Lane::Renewal, latest(certificate, now)),
            _ => (Lane::First, now),
        };
        let zone = self.fleet.zone(index);
        self.memory.queue.push(Work { index, lane, zone, deadline });
    }

    fn ask(&mut self, index: u32, spec: &CertificateSpec, which: usize, now: Timestamp) -> Decision {
        let certificate = &self.fleet.certificates[index as usize];
        let window = certificate.window();
        let failures = certificate.failures[which].as_deref();
        let holding = certificate.exists().then(|| {
            certificate.describe(&mut self.facts);
            self.facts.names = spec.name_set();
            holding(certificate, &self.facts, spec, window.as_ref())
        });
        decide(spec, holding, failures, now)
    }

    /// Gives an attempt to a CA, if one can be asked and the budgets allow it.
    fn start(&mut self, index: u32, at: i64, now: Timestamp) {
        let Plan { ca, until, held, .. } = self.plan(index, now);
        if let Some(held) = held {
            self.memory.queue.finish(index);
            return self.rest(index, held, until, now);
        }
        let certificate = &mut self.fleet.certificates[index as usize];
        if certificate.order.take_if(|open| *open != ca).is_some() {
            self.authorities.close(index);
            self.tally.given_up += 1;
        }
        let certificate = &self.fleet.certificates[index as usize];
        let spec = self.fleet.spec(index, ca);
        let purpose = match certificate {
            certificate if !certificate.is_known_to(ca) => Purpose::First,
            certificate if certificate.window().is_some() && certificate.issued_by == Some(ca) => {
                Purpose::SuggestedRenewal
            }
            _ => Purpose::Renewal,
        };
        let resumed = certificate.order.is_some();
        let mut demands = if resumed { Vec::new() } else { self.fleet.limits(ca).demands(&spec, purpose) };
        demands.push(Demand::always(BudgetKey::Fleet, self.fleet.pace));
        if let Err(refusal) = self.budgets.take(&demands, now) {
            self.tally.refused += 1;
            let expires = certificate.exists().then(|| Timestamp::from_unix(certificate.not_after));
            return self.put_off(index, refusal.returns_at(Spread::of(spec.id()), expires, now));
        }
        let (outcome, lasts) = self.fate_of(index, ca, at, now);
        let has_order = outcome.as_ref().map_or_else(|fault| fault.ends_order, |()| true);
        if has_order && !resumed {
            self.fleet.certificates[index as usize].order = Some(ca);
            self.authorities.open(&self.fleet, ca, index, purpose, at);
        }
        self.tally.resumed += u64::from(resumed);
        self.tally.begin(at);
        self.memory.running.insert(index, Attempt { ca, demands, outcome });
        self.memory.ends.push(Reverse((at + lasts, index)));
    }

    /// Whom to ask, as a keeper plans it.
    fn plan(&self, index: u32, now: Timestamp) -> Plan {
        let certificate = &self.fleet.certificates[index as usize];
        let cas = self.fleet.class(index).cas;
        let rests = cas.map(|ca| self.memory.rests.of(self.fleet.issuer(ca), now));
        let candidates = [0, 1].map(|which| Candidate {
            failures: certificate.failures[which].as_deref(),
            rest: rests[which],
            open: certificate.order == Some(cas[which]),
        });
        let expires = certificate.exists().then(|| Timestamp::from_unix(certificate.not_after));
        let Choice { which, until } = failover::choose(&candidates, expires, now);
        let held = rests[which].and_then(|rest| rest::holds_back(rest, expires, now));
        Plan { which, ca: cas[which], until, held }
    }

    /// Not all at the moment at which it is asked again.
    fn rest(&mut self, index: u32, held: Timestamp, stands: Timestamp, now: Timestamp) {
        let apart = Duration::from_secs(self.fate.next() % 600).min(now.until(held));
        self.look_again(index, (held + apart).min(stands));
    }

    /// What will become of an attempt that is made now, and how long that takes.
    fn fate_of(&mut self, index: u32, ca: Ca, at: i64, now: Timestamp) -> (Result<(), Fault>, i64) {
        let fault = |class, retry, ends_order| Err(Fault { class, retry, ends_order, is_limit: false });
        let (busy, unproven) = (IssueErrorClass::Transient, IssueErrorClass::Validation);
        if self.troubles.is_down(ca, at) {
            return (fault(busy, Retry::Backoff, false), 60);
        }
        if self.troubles.is_crowded(ca, at) {
            let retry = Retry::At(now + Duration::from_secs(3_600));
            return (Err(Fault { class: busy, retry, ends_order: false, is_limit: true }), 60);
        }
        if at >= self.fleet.leaves_at(index) {
            return (fault(unproven, Retry::Backoff, true), 600);
        }
        if self.troubles.is_provider_down(self.fleet.provider(index), at) {
            return (fault(unproven, Retry::Backoff, true), 1_800);
        }
        if self.fate.per_mille(3) {
            return (fault(unproven, Retry::Backoff, true), 300);
        }
        (Ok(()), self.fate.between(60, 300))
    }

    fn finish(&mut self, index: u32, at: i64, now: Timestamp) {
        self.memory.queue.finish(index);
        let Some(attempt) = self.memory.running.remove(&index) else { return };
        let Attempt { ca, demands, mut outcome } = attempt;
        let begins = at - HOUR; // dated back, as public CAs do
        let fault = |class| Fault { class, retry: Retry::Backoff, ends_order: false, is_limit: false };
        if outcome.is_ok() && self.troubles.is_down(ca, at) {
            outcome = Err(fault(IssueErrorClass::Transient));
        } else if outcome.is_ok() && begins > now.unix() + 300 {
            // By our clock it begins in the future: refused as the keeper refuses it, and downloaded again.
            outcome = Err(fault(IssueErrorClass::Contract));
        }
        match outcome {
            Ok(()) => {
                self.budgets.succeeded(&demands);
                self.memory.rests.answered(self.fleet.issuer(ca));
                self.issue(index, ca, begins, at, now);
            }
            Err(fault) => self.fail(index, ca, fault, at, now),
        }
    }

    fn issue(&mut self, index: u32, ca: Ca, begins: i64, at: i64, now: Timestamp) {
        self.judge(index, at);
        let class = self.fleet.class(index);
        let life = class.life(at);
        let fresh = Certificate::issued(begins, begins + life, ca, self.fate.next());
        let certificate = &mut self.fleet.certificates[index as usize];
        self.tally.longest_wait = self.tally.longest_wait.max(at - certificate.due_since);
        let known_to = certificate.known_to | fresh.known_to;
        *certificate = Certificate { issued_at: now.unix(), known_to, ..fresh };
        if class.is_suggested && ca == class.cas[0] {
            certificate.window = suggested(begins, life);
        }
        self.authorities.close(index);
        self.tally.issue(index, at, begins + life);
        let certificate = &self.fleet.certificates[index as usize];
        let spec = self.fleet.spec(index, class.cas[0]);
        let window = certificate.window();
        certificate.describe(&mut self.facts);
        let until = renews_at(&spec, &holding(certificate, &self.facts, &spec, window.as_ref()), now);
        self.look_again(index, until);
    }

    fn fail(
        &mut self,
        index: u32,
        ca: Ca,
        Fault { class, retry, ends_order, is_limit }: Fault,
        at: i64,
        now: Timestamp,
    ) {
        let error = IssueError::new(class, "the world is as it is", retry);
        let error = if is_limit { error.limit() } else { error };
        let which = usize::from(self.fleet.class(index).cas[0] != ca);
        let id = self.fleet.spec(index, ca);
        let certificate = &mut self.fleet.certificates[index as usize];
        let expires = certificate.exists().then(|| Timestamp::from_unix(certificate.not_after));
        let failures =
            ladder::fail(certificate.failures[which].as_deref(), &error, now, expires, Spread::of(id.id()));
        certificate.failures[which] = Some(Box::new(failures));
        if ends_order {
            certificate.order = None;
            self.authorities.close(index);
        }
        self.memory.rests.failed(self.fleet.issuer(ca), &error, now);
        let Plan { which, until, .. } = self.plan(index, now);
        let failures = self.fleet.certificates[index as usize].failures[which].as_deref();
        let retry_at = failures.map_or(now, |failures| failures.retry_at).min(until);
        self.tally.fail(index, at, retry_at.unix());
        self.look_again(index, retry_at);
    }

    fn put_off(&mut self, index: u32, until: Timestamp) {
        self.memory.queue.finish(index);
        self.look_again(index, until);
    }

    fn look_again(&mut self, index: u32, until: Timestamp) {
        self.fleet.certificates[index as usize].next_at = until.unix();
        self.memory.schedule.set(index, until);
    }

    /// What was in memory is gone; the records, the budgets and the last reading of the clock are not.
    fn restart(&mut self, at: i64) {
        self.tally.restarts += 1;
        let now = Timestamp::from_unix(self.troubles.wall(at));
        self.memory = Memory::new(&self.fleet, slots(&self.fleet), self.last_wall, at);
        // How long it was dead nobody knows but the clock, which may have been set: nothing is refilled by it.
        if let Some(jump) = self.memory.watch.look(now, Duration::ZERO) {
            self.budgets.clock_jumped(jump);
        }
        self.memory.offset = now.unix() - at;
    }

    /// Whether a certificate that has ended had to.
    fn judge(&mut self, index: u32, at: i64) {
        let certificate = &self.fleet.certificates[index as usize];
        let Certificate { not_before, not_after, due_since, .. } = *certificate;
        if !certificate.exists() || not_after >= at {
            return;
        }
        if not_after >= self.fleet.leaves_at(index) {
            self.tally.left += 1;
            return;
        }
        let (class, provider) = (self.fleet.class(index), self.fleet.provider(index));
        let needed = (not_after - not_before) / 20;
        let reachable = self.troubles.reachable(class.cas, provider, due_since, not_after);
        if reachable < needed {
            self.tally.shut_out += 1;
            return;
        }
        let life = (not_after - not_before) / DAY;
        let ended = Timestamp::from_unix(not_after);
        let hours = reachable / HOUR;
        let says = format!("c{index}, {life} days, ended {ended}, {hours} h in reach since it was due");
        self.tally.lost_certificates.push(says);
    }

    fn close(mut self) -> Tally {
        for index in 0..u32::try_from(self.fleet.certificates.len()).unwrap_or(0) {
            self.judge(index, self.end);
        }
        self.tally.orders = self.authorities.orders;
        self.tally.duplicates = self.authorities.duplicates;
        self.tally.exceeded = self.authorities.exceeded;
        self.tally.lost_orders = self.authorities.lost(&self.fleet);
        self.tally
    }
}

impl Memory {
    /// As a start makes it, from the records alone.
    fn new(fleet: &Fleet, slots: usize, wall: Timestamp, at: i64) -> Self {
        let moments = fleet.certificates.iter().map(|certificate| Timestamp::from_unix(certificate.next_at));
        Self {
            schedule: moments.collect(),
            queue: Queue::new(slots),
            running: HashMap::new(),
            ends: BinaryHeap::new(),
            rests: Rests::default(),
            watch: ClockWatch::new(wall, Duration::ZERO),
            started: at,
            offset: 0,
        }
    }
}

fn holding<'a>(
    certificate: &Certificate,
    facts: &'a Facts,
    spec: &'a CertificateSpec,
    window: Option<&'a perennial_lifecycle::SuggestedWindow>,
) -> Holding<'a> {
    let issued_at = Timestamp::from_unix(certificate.issued_at);
    Holding { facts, issued_for: spec, issued_at, material: Material::Whole, window, delivery: None }
}

/// After this a renewal cannot wait; what has ended comes after those that can still be saved.
fn latest(certificate: &Certificate, now: Timestamp) -> Timestamp {
    let at = Timestamp::from_unix;
    let Certificate { not_before, not_after, issued_at, .. } = *certificate;
    if at(not_after) <= now {
        return now;
    }
    Life { not_before: at(not_before), not_after: at(not_after), issued_at: at(issued_at) }.latest()
}

/// As many attempts at once as are begun in ten minutes at the pace's fastest, with some that hang.
fn slots(fleet: &Fleet) -> usize {
    let begun = Duration::from_secs(600).as_millis() / fleet.pace.interval().as_millis().max(1);
    usize::try_from(begun).unwrap_or(usize::MAX).max(64)
}

fn since(from: i64, to: i64) -> Duration {
    Duration::from_secs(u64::try_from(to - from).unwrap_or(0))
}

/// Facts cannot be made up, but changed.
#[expect(clippy::expect_used, reason = "a certificate of our own making")]
fn template() -> Facts {
    let key = rcgen::KeyPair::generate().expect("randomness");
    let params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).expect("a name");
    Facts::from_der(params.self_signed(&key).expect("a signature").der()).expect("a certificate")
}
