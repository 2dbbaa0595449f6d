//! One address, while it is watched.

use std::time::Duration;

use perennial_core::DomainName;

use super::{Place, Purpose, Ticket};
use crate::{
    probe::{Asked, Delegation, Finding, Role, interpret, speaks_for},
    report::{LastAnswer, Origin, Row, State},
    target::{Route, Target},
    transport::{Reply, TransportError},
    verdict::Standing,
    wire::{Answer, Data},
};

/// One address: what is known of it, and what is under way.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) row: Row,
    pub(super) finding: Option<Finding>,
    /// Whether its last answer shows that the name lies in the zone that is asked.
    pub(super) in_zone: bool,
    /// Whether it serves the zone further down to which it sends us.
    pub(super) serves_lower: bool,
    pub(super) flight: Option<Ticket>,
    pub(super) asked_at: Duration,
    /// Since when it tells nothing, if it does not: since the first question, or since its last good answer.
    pub(super) dead_since: Duration,
    /// What it said before that.
    last_word: Option<State>,
    pub(super) due: bool,
    pub(super) confirming: Confirming,
    /// When another watch's question was answered, if that told us something.
    pub(super) overheard_at: Option<Duration>,
    pub(super) serial: Serial,
}

/// The question whether the server has the values still. One that was under way before does not answer it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Confirming {
    No,
    Due,
    Flight(Ticket),
}

/// The question for the zone's serial number, which is asked once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Serial {
    NotAsked,
    Due,
    Flight(Ticket),
    Asked,
}

impl Slot {
    pub(super) fn new(target: &Target, now: Duration) -> Self {
        let state = match &target.route {
            Route::Exists => State::Waiting,
            Route::None(reason) => State::NotAsked { reason: reason.clone() },
        };
        let due = target.route == Route::Exists;
        let row = Row {
            servers: target.servers.clone(),
            endpoint: target.endpoint.clone(),
            nat64: target.nat64,
            state,
            since: now,
            asked: None,
            queries: 0,
            serial: None,
            last: None,
        };
        Self {
            row,
            finding: None,
            in_zone: false,
            serves_lower: false,
            flight: None,
            asked_at: now,
            dead_since: now,
            last_word: None,
            due,
            confirming: Confirming::No,
            overheard_at: None,
            serial: Serial::NotAsked,
        }
    }

    /// Whether this is the slot of that target: the address is the same, and so is whether there is a way to it.
    pub(super) fn is_same(&self, target: &Target) -> bool {
        let route = match &self.row.state {
            State::NotAsked { reason } => target.route == Route::None(reason.clone()),
            _ => target.route == Route::Exists,
        };
        self.row.endpoint == target.endpoint && route
    }

    pub(super) fn count(&mut self, now: Duration) {
        self.asked_at = now;
        self.row.asked = Some(now);
        self.row.queries = self.row.queries.saturating_add(1);
    }

    pub(super) fn purpose(&self) -> Purpose {
        if self.confirming != Confirming::No {
            Purpose::Confirm
        } else if self.is_lead() {
            Purpose::Refresh
        } else if self.row.state == State::Waiting {
            Purpose::First
        } else {
            Purpose::Repeat
        }
    }

    /// Takes an answer; whether it says something else than the last one. `lower` is the zone further down that the
    /// servers of this one are known to serve too.
    pub(super) fn learn(
        &mut self,
        answer: &Result<Reply, TransportError>,
        asked: &Asked<'_>,
        lower: Option<&Delegation>,
        now: Duration,
    ) -> bool {
        let (mut news, mut told) = (false, None);
        let state = match answer {
            Ok(reply) => {
                let finding = interpret(asked, &reply.answer);
                let last = LastAnswer::new(reply, &finding);
                news = self.row.last.as_ref().is_none_or(|before| before.values != last.values);
                told = serial(asked, &reply.answer);
                self.row.serial = told.or(self.row.serial);
                self.row.last = Some(last);
                let finding = self.sort(finding, asked, &reply.answer, lower);
                let state = state(&finding);
                self.finding = Some(finding);
                state
            }
            Err(error) => State::Unreachable { error: error.clone() },
        };
        if self.turn(state, now) {
            news = true;
            // A serial number from before the change says nothing about what is there now.
            if answer.is_ok() && told.is_none() {
                self.row.serial = None;
                self.serial = Serial::NotAsked;
            }
        }
        news
    }

    /// Whether a record is there or not counts in the zone that has the name, and that is the one further down unless
    /// the answer says otherwise.
    fn sort(
        &mut self,
        finding: Finding,
        asked: &Asked<'_>,
        answer: &Answer,
        lower: Option<&Delegation>,
    ) -> Finding {
        self.in_zone = match asked.role {
            Role::Authority(zone) => speaks_for(zone, asked.name, answer) == Some(zone),
            Role::Resolver => false,
        };
        let own = matches!(finding, Finding::Lacking { .. } | Finding::Satisfied { .. });
        match lower {
            Some(lower) if own && !self.in_zone => {
                self.serves_lower = true;
                Finding::Referral(lower.clone())
            }
            _ => {
                let refers = matches!(finding, Finding::Referral(_));
                self.serves_lower = refers && answer.authoritative && !answer.answers.is_empty();
                finding
            }
        }
    }

    /// Learns that there is a zone further down, and that this server serves it, as far as one can tell;
    /// whether that is news.
    pub(super) fn send_below(&mut self, lower: &Delegation, now: Duration) -> bool {
        let own = matches!(self.row.state, State::Lacking | State::Satisfied);
        if !own || self.in_zone {
            return false;
        }
        let finding = Finding::Referral(lower.clone());
        self.serves_lower = true;
        self.turn(state(&finding), now);
        self.finding = Some(finding);
        true
    }

    /// Takes a state on; whether it is another one.
    fn turn(&mut self, state: State, now: Duration) -> bool {
        let turns = self.row.state != state;
        if turns {
            let before = std::mem::replace(&mut self.row.state, state);
            if is_alive(&before) {
                self.dead_since = now;
                self.last_word = (!self.is_alive()).then_some(before);
            }
            self.row.since = now;
        }
        turns
    }

    pub(super) const fn is_out_of_reach(&self) -> bool {
        matches!(self.row.state, State::NotAsked { .. })
    }

    pub(super) const fn is_alive(&self) -> bool {
        is_alive(&self.row.state)
    }

    /// Until when what it said counts although it tells nothing any more: it may have been interrupted in its
    /// "no", and to be tolerated at once would make a yes of that.
    pub(super) fn end_of_last_word(&self, grace: Duration) -> Option<Duration> {
        self.last_word.as_ref().filter(|_| !self.is_alive()).map(|_| self.dead_since.saturating_add(grace))
    }

    pub(super) const fn is_lead(&self) -> bool {
        matches!(self.row.state, State::Alias { .. } | State::Referral { .. })
    }

    pub(super) const fn is_satisfied(&self) -> bool {
        matches!(self.row.state, State::Satisfied)
    }

    pub(super) const fn is_pending(&self) -> bool {
        !self.is_lead() && !matches!(self.row.state, State::Satisfied | State::NotAsked { .. })
    }

    /// How it stands where that is where the others lead. One that said no and fell silent a moment ago says no
    /// still.
    pub(super) fn standing(
        &self,
        lead: Option<&(DomainName, Origin, Place)>,
        now: Duration,
        grace: Duration,
    ) -> Standing {
        let lasts = self.end_of_last_word(grace).is_some_and(|end| now < end);
        match &self.last_word {
            Some(word) if lasts && standing(word, lead) == Standing::Lacking => Standing::Lacking,
            _ => standing(&self.row.state, lead),
        }
    }
}

/// A server that sends us where the others do has done its part; one that sends us elsewhere has not.
fn standing(state: &State, lead: Option<&(DomainName, Origin, Place)>) -> Standing {
    match state {
        State::Alias { .. } | State::Referral { .. } => {
            let agrees = match (state, lead) {
                (State::Alias { target }, Some((name, Origin::Alias, _))) => target == name,
                (State::Referral { cut }, Some((_, _, Place::Delegated(lead)))) => *cut == lead.cut,
                _ => false,
            };
            if agrees { Standing::Satisfied } else { Standing::Lacking }
        }
        State::Lacking => Standing::Lacking,
        State::Lame { .. } => Standing::Lame,
        State::NotAsked { .. } => Standing::NotAsked,
        State::Satisfied => Standing::Satisfied,
        State::Unreachable { .. } => Standing::Unreachable,
        State::Waiting => Standing::Waiting,
    }
}

const fn is_alive(state: &State) -> bool {
    !matches!(state, State::Lame { .. } | State::Unreachable { .. } | State::Waiting)
}

/// The serial number of the zone that is asked: not that of another one, further down.
fn serial(asked: &Asked<'_>, answer: &Answer) -> Option<u32> {
    let Role::Authority(zone) = asked.role else { return answer.serial() };
    answer.answers.iter().chain(&answer.authorities).find_map(|record| match record.data {
        Data::Soa { serial, .. } if record.owner.as_ref() == Some(zone) => Some(serial),
        _ => None,
    })
}

fn state(finding: &Finding) -> State {
    match finding {
        Finding::Alias { target } => State::Alias { target: target.clone() },
        Finding::Lacking { .. } => State::Lacking,
        Finding::Lame(reason) => State::Lame { reason: *reason },
        Finding::Referral(delegation) => State::Referral { cut: delegation.cut.clone() },
        Finding::Satisfied { .. } => State::Satisfied,
    }
}
