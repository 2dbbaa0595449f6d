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
//! asked again by [`Schedule`]. When the [`verdict`](mod@crate::verdict) says ready, every server that made
//! it so is asked once more, since one name may be many machines (anycast), and only then the watch is done.

use std::{collections::VecDeque, time::Duration};

use perennial_core::DomainName;

use crate::{
    probe::{Delegation, Finding, MAX_CHAIN},
    report::{Origin, Report},
    target::Target,
    transport::{Endpoint, Reply, TransportError},
    verdict::{GRACE, Grace, Policy, Standing, Verdict, verdict},
    wanted::Wanted,
    wire::Query,
    zone::ZoneView,
};

mod propagated;
pub use propagated::Propagated;

mod schedule;
pub use schedule::Schedule;

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
    events: VecDeque<Event>,
    next_id: u64,
    shown: Option<Report>,
}

/// What a watch needs to know beside the name.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs)] // A watch has these four choices; a fifth should be a decision at each call.
pub struct Settings {
    /// Who is asked: decides how answers are read.
    pub asking: Asking,
    /// How many must have the values.
    pub policy: Policy,
    /// How often.
    pub sweep: Sweep,
    /// When to give up.
    pub deadline: Duration,
}

/// Who is asked.
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
    /// Whether a better word is to come.
    pub verification: Verification,
}

/// How far what was found for a [`Locate`] has been verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums)] // Yes or no.
pub enum Verification {
    /// It is the last word.
    Done,
    /// It is good enough to begin with: [`handle_located`](Watch::handle_located) will be called once more for the
    /// same stage, and the watch does not end before.
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
    Confirming,
    Done,
}

/// How long to wait before a zone that could not be found is looked for again: RFC 9520 §3.2 lets resolvers
/// cache such failures for at least one second.
const LOCATE_AGAIN: Duration = Duration::from_secs(2);

/// How old a zone may get while its servers keep us waiting. A delegation that was mended in the meantime must
/// not be missed for as long as the watch lasts.
const ZONE_REFRESH: Duration = Duration::from_secs(30);

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
            events: VecDeque::new(),
            next_id: 0,
            shown: None,
            settings,
            wanted,
        };
        let name = watch.wanted.name().clone();
        watch.enter(name.clone(), Origin::Wanted, Place::Holding(name));
        watch.next_sweep = watch.schedule.gap(Duration::ZERO);
        watch
    }

    /// Takes what was found for a [`Locate`], or why nothing was.
    pub fn handle_located(&mut self, now: Duration, id: StageId, located: Result<Located, String>) {
        self.now = self.now.max(now);
        if let Some(stage) = self.stages.iter_mut().find(|stage| stage.id == id) {
            stage.locate_done(located, self.now);
            self.evaluate();
        }
    }

    /// Takes the answer to a question of [`poll_query`](Self::poll_query), or why there is none. An answer to
    /// a question that no longer matters is ignored.
    pub fn handle_answer(&mut self, now: Duration, ticket: Ticket, answer: Result<Reply, TransportError>) {
        self.now = self.now.max(now);
        let Self { stages, wanted, settings, now, .. } = self;
        if stages.iter_mut().any(|stage| stage.answered(ticket, &answer, wanted, settings.asking, *now)) {
            self.evaluate();
        }
    }

    /// Tells that the moment of [`poll_timeout`](Self::poll_timeout) has come.
    pub fn handle_timeout(&mut self, now: Duration) {
        self.now = self.now.max(now);
        if self.now >= self.settings.deadline {
            self.expire();
        } else if self.phase != Phase::Done {
            if self.settings.sweep == Sweep::UntilReady && self.now >= self.next_sweep {
                self.sweep();
            }
            self.evaluate();
        }
    }

    /// The next question to send.
    #[must_use]
    pub fn poll_query(&mut self) -> Option<Question> {
        if self.phase == Phase::Done {
            return None;
        }
        let ticket = Ticket(self.next_id);
        let (now, asking) = (self.now, self.settings.asking);
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
        let sweep = (self.settings.sweep == Sweep::UntilReady).then_some(self.next_sweep);
        let grace = (self.now < GRACE).then_some(GRACE);
        [sweep, grace, Some(self.settings.deadline)].into_iter().flatten().min()
    }

    /// The next thing that the driver must do or know.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// How things stand.
    #[must_use]
    pub fn report(&self) -> Report {
        let stages = self.stages.iter().map(Stage::report).collect();
        Report::new(self.wanted.clone(), self.verdict(), self.now, stages)
    }

    fn enter(&mut self, name: DomainName, origin: Origin, place: Place) {
        let id = StageId(self.next_id);
        self.next_id += 1;
        self.stages.push(Stage::new(id, name, origin, place.clone()));
        self.events.push_back(Event::Locate(Locate { stage: id, place, freshness: Freshness::Cached }));
    }

    /// Marks everybody who keeps us waiting to be asked again.
    fn sweep(&mut self) {
        let now = self.now;
        self.next_sweep = now + self.schedule.gap(now);
        for stage in &mut self.stages {
            if stage.is_to_be_located(now) {
                let (stage, place) = (stage.locate_again(), stage.place.clone());
                self.events.push_back(Event::Locate(Locate { stage, place, freshness: Freshness::Fresh }));
            }
            stage.mark_pending(now);
        }
    }

    /// Draws the conclusions of what has just been learnt.
    fn evaluate(&mut self) {
        if self.phase == Phase::Done {
            return;
        }
        self.follow();
        let verdict = self.verdict();
        match (self.settings.sweep, self.phase) {
            (Sweep::Once, _) => {
                if self.stages.iter().all(Stage::is_heard) {
                    let report = self.report();
                    return self.finish(Outcome::Finished(Box::new(report)));
                }
            }
            (Sweep::UntilReady, Phase::Polling) if verdict.is_ready() => {
                self.phase = Phase::Confirming;
                self.stages.iter_mut().for_each(Stage::mark_confirming);
            }
            (Sweep::UntilReady, Phase::Confirming) if !verdict.is_ready() => {
                self.phase = Phase::Polling;
                self.stages.iter_mut().for_each(Stage::forget_confirming);
            }
            (Sweep::UntilReady, Phase::Confirming)
                if self.stages.iter().all(|stage| stage.is_confirmed() && stage.is_settled()) =>
            {
                if let Some(propagated) = Propagated::assertion(self.report()) {
                    return self.finish(Outcome::Ready(Box::new(propagated)));
                }
            }
            (Sweep::UntilReady, _) => {}
        }
        self.tell();
    }

    /// Enters the stages where aliases and referrals lead, and leaves those where they no longer do.
    fn follow(&mut self) {
        self.stages.iter_mut().for_each(Stage::forget_chain_problem);
        let mut index = 0;
        while let Some(stage) = self.stages.get(index) {
            let next = stage.lead();
            index += 1;
            let Some((name, origin, place)) = next else {
                self.stages.truncate(index);
                return;
            };
            if self.stages.get(index).is_some_and(|known| known.leads_to(&name, origin, &place)) {
                continue;
            }
            self.stages.truncate(index);
            let circle = origin == Origin::Alias && self.stages.iter().any(|stage| stage.name == name);
            let problem = if circle {
                Some(format!("the aliases lead in a circle, back to {name}"))
            } else if index > MAX_CHAIN {
                Some(format!("more than {MAX_CHAIN} aliases and referrals follow each other"))
            } else {
                None
            };
            let last = index - 1;
            match problem {
                None => self.enter(name, origin, place),
                Some(problem) => {
                    if let Some(stage) = self.stages.get_mut(last) {
                        stage.problem = Some(problem);
                    }
                }
            }
            return;
        }
    }

    fn verdict(&self) -> Verdict {
        let grace = match self.settings.sweep {
            Sweep::UntilReady if self.now < GRACE => Grace::Running,
            Sweep::UntilReady => Grace::Over,
            Sweep::Once if self.stages.iter().all(Stage::is_heard) => Grace::Over,
            Sweep::Once => Grace::Running,
        };
        let of = |stage: &Stage| {
            if stage.problem.is_some() {
                return Verdict::NotYet;
            }
            let standings: Vec<Vec<Standing>> = stage.standings();
            verdict(&standings, self.settings.policy, grace)
        };
        // Every link of the chain must hold.
        self.stages.iter().map(of).min().unwrap_or(Verdict::NotYet)
    }

    fn expire(&mut self) {
        if self.phase != Phase::Done {
            let report = Box::new(self.report());
            self.finish(Outcome::Expired(report));
        }
    }

    fn finish(&mut self, outcome: Outcome) {
        self.phase = Phase::Done;
        self.events.retain(|event| !matches!(event, Event::Locate(_)));
        self.events.push_back(Event::Done(outcome));
    }

    /// Tells of a change, where there is one that a person would see.
    fn tell(&mut self) {
        let report = self.report();
        let changed = self.shown.as_ref().is_none_or(|shown| !shown.reads_like(&report));
        if changed {
            self.shown = Some(report);
            if !self.events.contains(&Event::Changed) {
                self.events.push_back(Event::Changed);
            }
        }
    }
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
