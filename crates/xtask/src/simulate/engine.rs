//! The engine: what a keeper of a million certificates does each minute, with the real deciding code.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    time::Duration,
};

use perennial_core::{Retry, Timestamp};
use perennial_lifecycle::{
    CertificateSpec, ClockWatch, Decision, Facts, Failures, Holding, IssueError, IssueErrorClass, Material,
    budget::{BudgetKey, Budgets, Charge, Demand, Purpose},
    decide, ladder,
    queue::{Lane, Queue, Work},
    renews_at,
    schedule::{Life, Schedule, Spread},
};

use super::{
    authority::Authorities,
    certificate::Certificate,
    fleet::{Ca, Class, Fleet},
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
    /// The last failures in a row of each CA, whoever asked: one that is down is not asked by everybody.
    rests: [Option<Failures>; 4],
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
        while self.budgets.bucket(&BudgetKey::Fleet).level(self.fleet.pace, now) > 0 {
            let Some(index) = self.memory.queue.start() else { break };
            self.start(index, at, now);
        }
        if at % DAY == 0 {
            self.budgets.forget_full(now);
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
        let decision = self.ask(index, &spec, now);
        let certificate = &mut self.fleet.certificates[index as usize];
        match decision {
            // An order that is open is walked to its end.
            _ if certificate.order.is_some() => {}
            Decision::Keep { until } => {
                certificate.due_since = 0;
                return self.look_again(index, until);
            }
            Decision::Wait { until, .. } => return self.look_again(index, until),
            Decision::Renew { .. } => {}
            _ => return,
        }
        if certificate.due_since == 0 {
            certificate.due_since = at;
        }
        let (lane, deadline) = match certificate {
            Certificate { failures: Some(_), .. } => (Lane::Retry, latest(certificate, now)),
            certificate if certificate.exists() => (Lane::Renewal, latest(certificate, now)),
            _ => (Lane::First, now),
        };
        let zone = self.fleet.zone(index);
        self.memory.queue.push(Work { index, lane, zone, deadline });
    }

    fn ask(&mut self, index: u32, spec: &CertificateSpec, now: Timestamp) -> Decision {
        let certificate = &self.fleet.certificates[index as usize];
        let window = certificate.window();
        let failures = certificate.failures.as_deref();
        let holding = certificate.exists().then(|| {
            certificate.describe(&mut self.facts);
            self.facts.names = spec.name_set();
            holding(certificate, &self.facts, spec, window.as_ref())
        });
        decide(spec, holding, failures, now)
    }

    /// Gives an attempt to a CA, if one can be asked and the budgets allow it.
    fn start(&mut self, index: u32, at: i64, now: Timestamp) {
        let class = self.fleet.class(index);
        let Some(ca) = self.choose(index, now) else {
            // Not all at the moment at which it is tried again.
            let apart = Duration::from_secs(self.fate.next() % 600);
            let until = self.memory.first_awake(class, now) + apart;
            return self.put_off(index, until);
        };
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
            return self.put_off(index, refusal.until.min(now + Duration::from_secs(3_600)));
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

    /// With whom its order is open, or the first CA that is not resting. An order with one that rests is given up
    /// when the other can be asked: outages outlast certificates of six days.
    fn choose(&mut self, index: u32, now: Timestamp) -> Option<Ca> {
        let class = self.fleet.class(index);
        let certificate = &mut self.fleet.certificates[index as usize];
        let open = certificate.order.filter(|ca| self.memory.rest(*ca, now).is_none());
        let chosen = open.or_else(|| self.memory.awake(class, now));
        if chosen.is_some() && open.is_none() && certificate.order.take().is_some() {
            self.authorities.close(index);
            self.tally.given_up += 1;
        }
        chosen
    }

    /// What will become of an attempt that is made now, and how long that takes.
    fn fate_of(&mut self, index: u32, ca: Ca, at: i64, now: Timestamp) -> (Result<(), Fault>, i64) {
        let fault = |class, retry, ends_order| Err(Fault { class, retry, ends_order });
        let (busy, unproven) = (IssueErrorClass::Transient, IssueErrorClass::Validation);
        if self.troubles.is_down(ca, at) {
            return (fault(busy, Retry::Backoff, false), 60);
        }
        if self.troubles.is_crowded(ca, at) {
            return (fault(busy, Retry::At(now + Duration::from_secs(3_600)), false), 60);
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
        let (class, retry, ends_order) = (IssueErrorClass::Transient, Retry::Backoff, false);
        if outcome.is_ok() && self.troubles.is_down(ca, at) {
            outcome = Err(Fault { class, retry, ends_order });
        } else if outcome.is_ok() && begins > now.unix() + 300 {
            // By our clock it begins in the future: refused as the keeper refuses it, and downloaded again.
            outcome = Err(Fault { class: IssueErrorClass::Contract, retry, ends_order });
        }
        match outcome {
            Ok(()) => {
                self.budgets.succeeded(&demands);
                self.memory.rests[ca as usize] = None;
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
        Fault { class, retry, ends_order }: Fault,
        at: i64,
        now: Timestamp,
    ) {
        let error = IssueError::new(class, "the world is as it is", retry);
        let id = self.fleet.spec(index, ca);
        let certificate = &mut self.fleet.certificates[index as usize];
        let expires = certificate.exists().then(|| Timestamp::from_unix(certificate.not_after));
        let failures =
            ladder::fail(certificate.failures.as_deref(), &error, now, expires, Spread::of(id.id()));
        let retry_at = failures.retry_at;
        certificate.failures = Some(Box::new(failures));
        if ends_order {
            certificate.order = None;
            self.authorities.close(index);
        }
        if class == IssueErrorClass::Transient {
            // Its own ladder is that of what costs little to ask: an hour at most.
            let error = IssueError::new(IssueErrorClass::Local, "", retry);
            let rest = &mut self.memory.rests[ca as usize];
            *rest = Some(ladder::fail(rest.as_ref(), &error, now, None, Spread::NONE));
        }
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
            rests: [const { None }; 4],
            watch: ClockWatch::new(wall, Duration::ZERO),
            started: at,
            offset: 0,
        }
    }

    /// The first CA of the class that is not resting.
    fn awake(&self, class: &Class, now: Timestamp) -> Option<Ca> {
        class.cas.into_iter().find(|ca| self.rest(*ca, now).is_none())
    }

    fn first_awake(&self, class: &Class, now: Timestamp) -> Timestamp {
        class.cas.into_iter().filter_map(|ca| self.rest(ca, now)).min().unwrap_or(now)
    }

    /// Until when a CA rests that has failed everybody. Failures of a clock that was ahead say nothing.
    fn rest(&self, ca: Ca, now: Timestamp) -> Option<Timestamp> {
        let failures = self.rests[ca as usize].as_ref()?;
        let sane = failures.last_at <= now + Duration::from_secs(3_600);
        (sane && failures.count >= 3 && failures.retry_at > now).then_some(failures.retry_at)
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

/// The window that a CA suggests: a twentieth of the life around the moment that clients would choose.
const fn suggested(begins: i64, life: i64) -> (i64, i64) {
    let middle = if life <= 10 * DAY { life / 2 } else { life * 2 / 3 };
    (begins + middle - life / 40, begins + middle + life / 40)
}

/// As many attempts at once as the pace needs at its fastest, with some that hang.
fn slots(fleet: &Fleet) -> usize {
    (fleet.pace.burst() as usize * 10).max(64)
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
