//! When to ask whom again: the watch as a machine without I/O.
//!
//! The driver's part, in a loop:
//!
//! 1. take [`poll_event`](Watch::poll_event) until `None`: look for a zone where it says so, tell the caller
//!    what changed, stop when it is done;
//! 2. take [`poll_query`](Watch::poll_query) until `None` and send each question;
//! 3. wait until an answer or a zone arrives or the moment of [`poll_timeout`](Watch::poll_timeout) comes, and
//!    hand it in with the matching `handle_…`.
//!
//! `now` is the time since the watch began; it never goes back.
//!
//! The first questions go out at once. A server that has the values is left alone (*latched*); the others are
//! asked again by [`Schedule`]. When the [`verdict`](mod@crate::verdict) says ready, and has settled, every server
//! that made it so is asked once more, since one name may be many machines (anycast), and only then the watch is
//! done. Where some servers have the values and some do not, each is asked for the zone's serial number, once, so
//! that the report can tell who is how far behind.
//!
//! Servers that serve a zone further down too show no referral to it (RFC 1034 §4.3.2). So one of them is asked
//! for the name servers of the name, beside the confirmation or beside the first questions of a single look,
//! unless the answers tell for which zone they are.
//!
//! An [`Engine`] runs any number of watches at once, and lets them share what they can.

use std::{collections::VecDeque, time::Duration};

use perennial_core::DomainName;

use crate::{
    Policy,
    probe::{Delegation, Finding, MAX_CHAIN},
    report::{Clue, Origin, Report},
    target::Target,
    transport::{Endpoint, Reply, TransportError},
    verdict::{Grace, Verdict, verdict},
    wanted::Wanted,
    wire::Query,
    zone::ZoneView,
};

pub mod engine;
pub use engine::Engine;

mod lower;

mod propagated;
pub use propagated::Propagated;

mod schedule;
use schedule::FLAT;
pub use schedule::Schedule;

mod slot;

mod stage;
use stage::Stage;

#[cfg(test)]
mod tests;

/// A watch over one name: see the [module](self).
#[derive(Debug)]
pub struct Watch {
    wanted: Wanted,
    settings: Settings,
    schedule: Schedule,
    stages: Vec<Stage>,
    phase: Phase,
    next_sweep: Duration,
    now: Duration,
    /// When the last conclusions were drawn.
    evaluated_at: Duration,
    events: VecDeque<Event>,
    next_id: u64,
    verdict: Verdict,
    /// Whether something changed, since the last [`Event::Changed`], that a person would see.
    changed: bool,
}

/// What a watch needs to know beside the name.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs)] // A watch has these five choices; a sixth should be a decision at each call.
pub struct Settings {
    /// Who is asked, and how many must have the values.
    pub policy: Policy,
    /// How often.
    pub sweep: Sweep,
    /// When to give up.
    pub deadline: Duration,
    /// How long dead and lame name servers may hold up [`Policy::All`]; see [`GRACE`](crate::verdict::GRACE).
    pub grace: Duration,
    /// How long a good verdict must last before it is confirmed.
    pub settle: Duration,
}

/// Who is asked: decides how answers are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums)] // RFC 1034 §4.3.1 knows these two.
pub enum Asking {
    /// The zone's own name servers.
    Authorities,
    /// Resolvers.
    Resolvers,
}

/// How often everybody is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums)] // Once or not.
pub enum Sweep {
    /// Once; silence counts as death at the end.
    Once,
    /// Until ready, confirmed, or too late.
    UntilReady,
}

/// What the driver must do or know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Something that the caller may want to see changed: [`report`](Watch::report) tells.
    Changed,
    /// It is over.
    Done(Outcome),
    /// Find out whom to ask, and hand it to [`handle_located`](Watch::handle_located).
    Locate(Locate),
}

/// A zone to be found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Locate {
    /// To be handed back with the answer.
    pub stage: StageId,
    /// Where to look.
    pub place: Place,
    /// Whether what is cached may be used.
    pub freshness: Freshness,
}

/// Which stage a [`Locate`] is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StageId(u64);

/// Where a zone is to be found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums)] // The two ways DNS has to say "elsewhere".
pub enum Place {
    /// The zone that holds this name.
    Holding(DomainName),
    /// The zone that this delegation describes.
    Delegated(Delegation),
}

/// Whether a cached zone will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums)] // Yes or no.
pub enum Freshness {
    /// It will.
    Cached,
    /// It may be the trouble: look again.
    Fresh,
}

/// Whom to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs)] // What the engine needs of a zone, and nothing else.
pub struct Located {
    /// The zone, unless resolvers are asked.
    pub zone: Option<ZoneView>,
    /// Who has to have the values: every name server, those without an address too.
    pub servers: Vec<String>,
    /// The addresses.
    pub targets: Vec<Target>,
    /// Whether that is the last word.
    pub verification: Verification,
}

/// Whether a zone is known for sure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums)] // Done or not.
pub enum Verification {
    /// It is, as far as it can be.
    Done,
    /// It was claimed, and the zone above is being asked. Its servers can be asked meanwhile; the watch does not
    /// end before [`handle_located`](Watch::handle_located) is called once more for the same stage.
    UnderWay,
}

/// A question to send.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Question {
    /// To be handed back with the answer.
    pub ticket: Ticket,
    /// Whom to ask.
    pub endpoint: Endpoint,
    /// What.
    pub query: Query,
    /// Why.
    pub purpose: Purpose,
    /// The zone whose server is asked, where one is known.
    pub zone: Option<DomainName>,
}

/// Why a question is asked: what an engine must know to let one wait, or be answered by the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Purpose {
    /// The server has the values, and has them still?
    Confirm,
    /// The server answers for the name: as the authority of the zone that is asked, or of one further down,
    /// which others may serve too?
    Cut,
    /// Does the server have the values?
    First,
    /// The server sends us elsewhere, and does so still?
    Refresh,
    /// The server was asked before and did not have the values, or did not answer. Does it now?
    Repeat,
    /// Which serial number has the zone there?
    Serial,
}

/// Which question an answer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket(u64);

/// How a watch ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The deadline came first.
    Expired(Box<Report>),
    /// One sweep was asked for and is done.
    Finished(Box<Report>),
    /// Ready, and confirmed.
    Ready(Box<Propagated>),
}

impl Outcome {
    /// The last report, however it ended.
    #[must_use]
    pub const fn report(&self) -> &Report {
        match self {
            Self::Expired(report) | Self::Finished(report) => report,
            Self::Ready(propagated) => propagated.report(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Polling,
    /// Ready, and not looked at again before this moment.
    Settling {
        until: Duration,
    },
    Confirming,
    Done,
}

/// How long to wait before a zone that could not be found is looked for again: RFC 9520 §3.2 lets resolvers
/// cache such failures for at least one second.
const LOCATE_AGAIN: Duration = Duration::from_secs(2);

/// How old a zone may get while its servers keep us waiting. A delegation that was mended in the meantime must
/// not be missed for as long as the watch lasts.
const ZONE_REFRESH: Duration = Duration::from_secs(30);

/// How long before the deadline settling ends, so that the confirmation has time for an answer that is lost once.
const TO_CONFIRM: Duration = Duration::from_secs(1);

impl Watch {
    /// Begins a watch. `seed` feeds the jitter of the schedule: any number, a different one for each watch.
    #[must_use]
    pub fn new(wanted: Wanted, settings: Settings, seed: u64) -> Self {
        let mut watch = Self {
            stages: Vec::new(),
            phase: Phase::Polling,
            schedule: Schedule::new(seed),
            next_sweep: Duration::ZERO,
            now: Duration::ZERO,
            evaluated_at: Duration::ZERO,
            events: VecDeque::new(),
            next_id: 0,
            verdict: Verdict::NotYet,
            changed: false,
            settings,
            wanted,
        };
        match (settings.policy, settings.sweep) {
            (Policy::WaitOnly(_), Sweep::UntilReady) => {}
            // Nobody is asked, and nothing is waited for.
            (Policy::WaitOnly(_), Sweep::Once) => {
                let report = watch.report();
                watch.finish(Outcome::Finished(Box::new(report)));
            }
            _ => {
                let name = watch.wanted.name().clone();
                watch.enter(name.clone(), Origin::Wanted, Place::Holding(name));
                watch.next_sweep = watch.schedule.gap(Duration::ZERO);
            }
        }
        watch
    }

    /// Takes what was found for a [`Locate`], or why nothing was.
    pub fn handle_located(&mut self, now: Duration, id: StageId, located: Result<Located, String>) {
        self.now = self.now.max(now);
        if let Some(stage) = self.stages.iter_mut().find(|stage| stage.id == id) {
            self.changed |= stage.locate_done(located, self.now);
            if self.settings.sweep == Sweep::Once {
                stage.ask_lower_at_once();
            }
            self.evaluate();
        }
    }

    /// Takes the answer to a question of [`poll_query`](Self::poll_query), or why there is none. An answer to
    /// a question that no longer matters is ignored.
    pub fn handle_answer(&mut self, now: Duration, ticket: Ticket, answer: Result<Reply, TransportError>) {
        self.hear(now, ticket, &answer);
    }

    /// Tells that the moment of [`poll_timeout`](Self::poll_timeout) has come.
    pub fn handle_timeout(&mut self, now: Duration) {
        self.now = self.now.max(now);
        if self.phase == Phase::Done {
            return;
        }
        if let Policy::WaitOnly(wait) = self.settings.policy
            && self.now >= wait
            && wait <= self.settings.deadline
        {
            return self.ready();
        }
        if self.now >= self.settings.deadline {
            return self.expire();
        }
        if self.settings.sweep == Sweep::UntilReady && self.now >= self.next_sweep {
            self.sweep();
        }
        self.evaluate();
    }

    /// The next question to send.
    #[must_use]
    pub fn poll_query(&mut self) -> Option<Question> {
        if self.phase == Phase::Done {
            return None;
        }
        let ticket = Ticket(self.next_id);
        let (now, asking) = (self.now, self.settings.policy.asking());
        let query = self.stages.iter_mut().find_map(|stage| stage.next_query(ticket, asking, now))?;
        self.next_id += 1;
        Some(query)
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) at the latest; `None` when it is over.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        if self.phase == Phase::Done {
            return None;
        }
        let Settings { policy, sweep, deadline, grace, .. } = self.settings;
        if let Policy::WaitOnly(wait) = policy {
            return Some(wait.min(deadline));
        }
        let next_sweep = (sweep == Sweep::UntilReady).then(|| self.next_use_of_a_sweep()).flatten();
        let words = self.stages.iter().flat_map(|stage| stage.ends_of_last_words(grace));
        let graces =
            self.stages.iter().filter_map(|stage| stage.end_of_grace(grace)).chain([grace]).chain(words);
        let grace = graces.filter(|end| self.evaluated_at < *end).min();
        let settled = match self.phase {
            Phase::Settling { until } => Some(until),
            Phase::Confirming | Phase::Done | Phase::Polling => None,
        };
        [next_sweep, grace, settled, Some(deadline)].into_iter().flatten().min()
    }

    /// The next thing that the driver must do or know.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front().or_else(|| std::mem::take(&mut self.changed).then_some(Event::Changed))
    }

    /// How things stand.
    #[must_use]
    pub fn report(&self) -> Report {
        let stages = self.stages.iter().map(Stage::report).collect();
        let mut report = Report::new(self.wanted.clone(), self.verdict(), self.now, stages);
        if let Policy::WaitOnly(wait) = self.settings.policy {
            report.clues.push(Clue::NobodyAsked { wait });
            report.advise();
        }
        report
    }

    /// Takes an answer; see [`handle_answer`](Self::handle_answer). Tells what it meant to whom it was for.
    fn hear(
        &mut self,
        now: Duration,
        ticket: Ticket,
        answer: &Result<Reply, TransportError>,
    ) -> Option<Heard> {
        self.now = self.now.max(now);
        let Self { stages, wanted, settings, now, .. } = self;
        let asking = settings.policy.asking();
        let heard =
            stages.iter_mut().find_map(|stage| stage.answered(ticket, answer, wanted, asking, *now))?;
        self.changed |= heard.moved;
        // An answer that says what the last one said changes nothing.
        if heard.moved || heard.awaited || self.settings.sweep == Sweep::Once {
            self.evaluate();
        }
        Some(heard)
    }

    /// Takes what a server answered to another watch about the same name; see [`Stage::overhear`].
    fn overhear(
        &mut self,
        now: Duration,
        query: &Query,
        endpoint: &Endpoint,
        answer: &Result<Reply, TransportError>,
    ) -> Option<Heard> {
        self.now = self.now.max(now);
        let Self { stages, wanted, settings, phase, now, .. } = self;
        // One who asks once asks himself.
        if *phase != Phase::Polling || settings.sweep == Sweep::Once {
            return None;
        }
        let asking = settings.policy.asking();
        let asked = query.recursion_desired == (asking == Asking::Resolvers);
        let mut stages = stages.iter_mut().filter(|stage| asked && stage.name == query.name);
        let heard = stages.find_map(|stage| stage.overhear(endpoint, answer, wanted, asking, *now))?;
        if heard.moved {
            self.changed = true;
            self.evaluate();
        }
        Some(heard)
    }

    /// Takes a question back that [`poll_query`](Self::poll_query) has handed out, and that is not sent yet. Its
    /// server is not asked again before it is [released](Self::release) and answered.
    fn hold(&mut self, ticket: Ticket) {
        self.stages.iter_mut().for_each(|stage| stage.hold(ticket));
    }

    /// A question that was held is sent now, unless it is no longer wanted.
    fn release(&mut self, now: Duration, ticket: Ticket) -> bool {
        self.now = self.now.max(now);
        let now = self.now;
        self.phase != Phase::Done && self.stages.iter_mut().any(|stage| stage.release(ticket, now))
    }

    /// When a sweep can do something; `None` while everybody is being asked already, or has no need to be.
    fn next_use_of_a_sweep(&self) -> Option<Duration> {
        let wakes = self.stages.iter().filter_map(Stage::next_use_of_a_sweep);
        wakes.min().map(|wake| wake.max(self.next_sweep))
    }

    fn enter(&mut self, name: DomainName, origin: Origin, place: Place) {
        let id = StageId(self.next_id);
        self.next_id += 1;
        self.stages.push(Stage::new(id, name, origin, place.clone()));
        self.events.push_back(Event::Locate(Locate { stage: id, place, freshness: Freshness::Cached }));
        self.changed |= self.stages.len() > 1;
    }

    /// Marks everybody who keeps us waiting to be asked again.
    fn sweep(&mut self) {
        let now = self.now;
        self.next_sweep = now + self.schedule.gap(now);
        let overheard = self.schedule.longest_gap();
        for stage in &mut self.stages {
            if stage.is_to_be_located(now) {
                let (stage, place) = (stage.locate_again(), stage.place.clone());
                self.events.push_back(Event::Locate(Locate { stage, place, freshness: Freshness::Fresh }));
            }
            stage.mark_pending(now, overheard);
        }
    }

    /// Draws the conclusions of what has just been learnt.
    fn evaluate(&mut self) {
        if self.phase == Phase::Done {
            return;
        }
        self.evaluated_at = self.now;
        self.follow();
        let verdict = self.verdict();
        self.changed |= verdict != self.verdict;
        self.verdict = verdict;
        if self.settings.sweep == Sweep::Once {
            let heard = self.stages.iter().all(Stage::is_heard);
            if heard && !(self.ask_for_serials() | self.ask_for_lower()) {
                let report = self.report();
                self.finish(Outcome::Finished(Box::new(report)));
            }
            return;
        }
        match (self.phase, verdict.is_ready()) {
            (Phase::Polling, true) => {
                let latest = self.settings.deadline.saturating_sub(TO_CONFIRM);
                let until = self.now.saturating_add(self.settings.settle).min(latest);
                self.phase = Phase::Settling { until };
                self.confirm_when_settled();
            }
            (Phase::Settling { .. }, true) => self.confirm_when_settled(),
            (Phase::Settling { .. } | Phase::Confirming, false) => {
                self.phase = Phase::Polling;
                self.stages.iter_mut().for_each(Stage::forget_confirming);
            }
            (Phase::Confirming, true) => {
                if self.stages.iter().all(Stage::is_confirmed) && !self.ask_for_lower() {
                    self.ready();
                }
            }
            (Phase::Polling, false) => {
                self.ask_for_serials();
            }
            (Phase::Done, _) => {}
        }
    }

    fn confirm_when_settled(&mut self) {
        if let Phase::Settling { until } = self.phase
            && self.now >= until
        {
            self.phase = Phase::Confirming;
            self.stages.iter_mut().for_each(Stage::mark_confirming);
        }
    }

    /// Has the serial numbers asked for that nobody told, where some servers have the values and some do not.
    fn ask_for_serials(&mut self) -> bool {
        if self.settings.policy.asking() == Asking::Resolvers {
            return false;
        }
        let asking = self.stages.iter_mut().filter_map(|stage| stage.mark_serials().then_some(()));
        asking.count() > 0
    }

    /// Has somebody asked whether a zone begins further down, where nobody has told; whether somebody is to be asked.
    fn ask_for_lower(&mut self) -> bool {
        let asking = self.stages.iter_mut().filter_map(|stage| stage.mark_lower().then_some(()));
        asking.count() > 0
    }

    /// Enters the stages where aliases and referrals lead, and leaves those where they no longer do.
    fn follow(&mut self) {
        let mut index = 0;
        while let Some(stage) = self.stages.get(index) {
            let Some((name, origin, place)) = stage.lead() else {
                self.tell_problem(index, None);
                return self.leave(index + 1);
            };
            let next = index + 1;
            let id = StageId(self.next_id);
            if let Some(known) = self.stages.get_mut(next)
                && known.leads_to(&name, origin, &place)
            {
                if let Some(locate) = known.follow(place, id) {
                    self.next_id += 1;
                    self.events.push_back(Event::Locate(locate));
                }
                self.tell_problem(index, None);
                index = next;
                continue;
            }
            self.leave(next);
            let circle = origin == Origin::Alias && self.stages.iter().any(|stage| stage.name == name);
            let problem = if circle {
                Some(format!("the aliases lead in a circle, back to {name}"))
            } else if next > MAX_CHAIN {
                Some(format!("more than {MAX_CHAIN} aliases and referrals follow each other"))
            } else {
                None
            };
            if problem.is_none() {
                self.enter(name, origin, place);
            }
            return self.tell_problem(index, problem);
        }
    }

    fn tell_problem(&mut self, index: usize, problem: Option<String>) {
        if let Some(stage) = self.stages.get_mut(index) {
            self.changed |= stage.set_chain_problem(problem);
        }
    }

    /// Leaves all stages from this one on.
    fn leave(&mut self, index: usize) {
        self.changed |= self.stages.len() > index;
        self.stages.truncate(index);
    }

    fn verdict(&self) -> Verdict {
        let Settings { policy, sweep, grace, .. } = self.settings;
        if let Policy::WaitOnly(wait) = policy {
            return if self.now >= wait { Verdict::ReadyWithWarnings } else { Verdict::NotYet };
        }
        let heard = sweep == Sweep::Once && self.stages.iter().all(Stage::is_heard);
        let of = |stage: &Stage| {
            if stage.problem().is_some() {
                return Verdict::NotYet;
            }
            let end = stage.end_of_grace(grace).unwrap_or(grace).max(grace);
            let over = heard || sweep == Sweep::UntilReady && self.now >= end;
            verdict(
                &stage.standings(self.now, grace),
                policy,
                if over { Grace::Over } else { Grace::Running },
            )
        };
        // Every link of the chain must hold.
        self.stages.iter().map(of).min().unwrap_or(Verdict::NotYet)
    }

    fn ready(&mut self) {
        if let Some(propagated) = Propagated::assertion(self.report()) {
            self.finish(Outcome::Ready(Box::new(propagated)));
        }
    }

    /// What was seen once and could not be confirmed counts as not seen.
    fn expire(&mut self) {
        let mut report = self.report();
        if report.verdict.is_ready() {
            report.verdict = Verdict::NotYet;
            report.clues.push(Clue::Unconfirmed);
            report.advise();
        }
        self.finish(Outcome::Expired(Box::new(report)));
    }

    fn finish(&mut self, outcome: Outcome) {
        self.phase = Phase::Done;
        self.changed = false;
        self.events.clear();
        self.events.push_back(Event::Done(outcome));
    }
}

/// What an answer meant to the watch that it was for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Heard {
    /// It says something else than the one before.
    moved: bool,
    /// It ends a wait: the server is confirmed, or asked for the first time.
    awaited: bool,
    /// The server still keeps the watch waiting.
    pending: bool,
}

impl Finding {
    /// Where this finding sends us, for the zone of `name`.
    fn leads(&self, name: &DomainName) -> Option<(DomainName, Origin, Place)> {
        match self {
            Self::Alias { target } => Some((target.clone(), Origin::Alias, Place::Holding(target.clone()))),
            Self::Referral(delegation) => {
                Some((name.clone(), Origin::Referral, Place::Delegated(delegation.clone())))
            }
            Self::Lacking { .. } | Self::Lame(_) | Self::Satisfied { .. } => None,
        }
    }
}
