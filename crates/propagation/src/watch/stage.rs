//! One name in one zone, while it is watched.

use std::time::Duration;

use perennial_core::DomainName;

use super::{Asking, Located, Place, Question, StageId, Ticket, Verification};
use crate::{
    probe::{Asked, Finding, Role, interpret},
    report::{self, LastAnswer, Origin, Row, State},
    target::{Route, Target},
    transport::{Reply, TransportError},
    verdict::Standing,
    wanted::Wanted,
    wire::{Query, RecordType},
    zone::ZoneView,
};

#[derive(Debug)]
pub(super) struct Stage {
    pub(super) id: StageId,
    pub(super) name: DomainName,
    pub(super) place: Place,
    pub(super) problem: Option<String>,
    origin: Origin,
    zone: Option<ZoneView>,
    servers: Vec<String>,
    slots: Vec<Slot>,
    location: Location,
    verification: Verification,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Location {
    Sought,
    Found { at: Duration },
    NotFound { at: Duration },
}

/// One address: what is known of it, and what is under way.
#[derive(Debug)]
struct Slot {
    row: Row,
    finding: Option<Finding>,
    flight: Option<Ticket>,
    asked_at: Duration,
    due: bool,
    confirming: bool,
}

/// How often servers are asked again that sent us elsewhere: they may have changed their mind, as when a
/// mistaken CNAME is replaced by the record.
const LEAD_REFRESH: Duration = Duration::from_secs(5);

impl Stage {
    pub(super) const fn new(id: StageId, name: DomainName, origin: Origin, place: Place) -> Self {
        Self {
            id,
            name,
            place,
            origin,
            problem: None,
            zone: None,
            servers: Vec::new(),
            slots: Vec::new(),
            location: Location::Sought,
            verification: Verification::Done,
        }
    }

    pub(super) fn locate_done(&mut self, located: Result<Located, String>, now: Duration) {
        match located {
            Ok(located) => {
                self.location = Location::Found { at: now };
                self.problem = None;
                self.verification = located.verification;
                let mut known = std::mem::take(&mut self.slots);
                let apex = |zone: &Option<ZoneView>| zone.as_ref().map(|zone| zone.apex.clone());
                // What a server said as the authority of another zone means nothing in this one.
                if apex(&self.zone) != apex(&located.zone) {
                    known.clear();
                }
                self.zone = located.zone;
                self.servers = located.servers;
                for target in located.targets {
                    let same = known.iter().position(|slot| slot.row.endpoint == target.endpoint);
                    let mut slot =
                        same.map_or_else(|| Slot::new(&target, now), |index| known.swap_remove(index));
                    slot.row.servers = target.servers;
                    self.slots.push(slot);
                }
            }
            Err(reason) => {
                self.location = Location::NotFound { at: now };
                self.verification = Verification::Done;
                // What was found before is better than nothing.
                if self.slots.is_empty() {
                    self.problem = Some(reason);
                }
            }
        }
    }

    /// Whether the zone should be looked for (again).
    pub(super) fn is_to_be_located(&self, now: Duration) -> bool {
        match self.location {
            Location::Sought => false,
            Location::NotFound { at } => now >= at + super::LOCATE_AGAIN,
            Location::Found { at } => {
                now >= at + super::ZONE_REFRESH && self.slots.iter().any(Slot::is_pending)
            }
        }
    }

    pub(super) const fn locate_again(&mut self) -> StageId {
        self.location = Location::Sought;
        self.id
    }

    /// A problem of a zone that was found is one of where it leads, and that is judged anew each time.
    pub(super) fn forget_chain_problem(&mut self) {
        if matches!(self.location, Location::Found { .. }) {
            self.problem = None;
        }
    }

    /// Takes the answer if the question was of this stage.
    pub(super) fn answered(
        &mut self,
        ticket: Ticket,
        answer: &Result<Reply, TransportError>,
        wanted: &Wanted,
        asking: Asking,
        now: Duration,
    ) -> bool {
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.flight == Some(ticket)) else { return false };
        slot.flight = None;
        slot.confirming = false;
        let role = match (asking, &self.zone) {
            (Asking::Authorities, Some(zone)) => Role::Authority(&zone.apex),
            (Asking::Authorities | Asking::Resolvers, _) => Role::Resolver,
        };
        let asked = Asked { name: &self.name, values: wanted.values(), role };
        slot.learn(answer, &asked, now);
        true
    }

    pub(super) fn next_query(&mut self, ticket: Ticket, asking: Asking, now: Duration) -> Option<Question> {
        let slot = self.slots.iter_mut().find(|slot| slot.due && slot.flight.is_none())?;
        slot.due = false;
        slot.flight = Some(ticket);
        slot.asked_at = now;
        slot.row.queries = slot.row.queries.saturating_add(1);
        let query = match asking {
            Asking::Authorities => Query::authoritative(self.name.clone(), RecordType::Txt),
            Asking::Resolvers => Query::recursive(self.name.clone(), RecordType::Txt),
        };
        Some(Question { ticket, endpoint: slot.row.endpoint.clone(), query })
    }

    /// Marks those to be asked again that are not latched and not being asked already.
    pub(super) fn mark_pending(&mut self, now: Duration) {
        for slot in &mut self.slots {
            let stale_lead = slot.is_lead() && now >= slot.asked_at + LEAD_REFRESH;
            if slot.flight.is_none() && (slot.is_pending() || stale_lead) {
                slot.due = true;
            }
        }
    }

    /// Marks those to be asked once more on whom the verdict rests.
    pub(super) fn mark_confirming(&mut self) {
        for slot in &mut self.slots {
            slot.confirming = slot.row.state == State::Satisfied || slot.is_lead();
            slot.due |= slot.confirming;
        }
    }

    pub(super) fn forget_confirming(&mut self) {
        for slot in &mut self.slots {
            slot.confirming = false;
        }
    }

    pub(super) fn is_confirmed(&self) -> bool {
        !self.slots.iter().any(|slot| slot.confirming)
    }

    /// Whether the zone, if it was found, is not still being verified.
    pub(super) fn is_settled(&self) -> bool {
        self.verification == Verification::Done
    }

    /// Whether all that one sweep can say has been said.
    pub(super) fn is_heard(&self) -> bool {
        let silent = |slot: &Slot| slot.flight.is_some() || slot.due;
        self.location != Location::Sought && self.is_settled() && !self.slots.iter().any(silent)
    }

    /// Where most servers of this stage send us, if they send us anywhere; the first of equals.
    pub(super) fn lead(&self) -> Option<(DomainName, Origin, Place)> {
        let mut best: Option<(usize, &State, &Finding)> = None;
        for slot in self.slots.iter().filter(|slot| slot.is_lead()) {
            let votes = self.slots.iter().filter(|other| other.row.state == slot.row.state).count();
            if let Some(finding) = &slot.finding
                && best.is_none_or(|(most, ..)| votes > most)
            {
                best = Some((votes, &slot.row.state, finding));
            }
        }
        best.and_then(|(_, _, finding)| finding.leads(&self.name))
    }

    /// Whether this stage is where that lead leads.
    pub(super) fn leads_to(&self, name: &DomainName, origin: Origin, place: &Place) -> bool {
        let same_place = match (&self.place, place) {
            (Place::Holding(here), Place::Holding(there)) => here == there,
            (Place::Delegated(here), Place::Delegated(there)) => here.cut == there.cut,
            _ => false,
        };
        self.name == *name && self.origin == origin && same_place
    }

    /// How each address of each server stands, for the verdict.
    pub(super) fn standings(&self) -> Vec<Vec<Standing>> {
        let lead = self.lead();
        let of = |slot: &Slot| slot.standing(lead.as_ref());
        let server = |server: &String| {
            self.slots.iter().filter(|slot| slot.row.servers.contains(server)).map(of).collect()
        };
        self.servers.iter().map(server).collect()
    }

    pub(super) fn report(&self) -> report::Stage {
        report::Stage {
            name: self.name.clone(),
            origin: self.origin,
            zone: self.zone.clone(),
            servers: self.servers.clone(),
            rows: self.slots.iter().map(|slot| slot.row.clone()).collect(),
            problem: self.problem.clone(),
        }
    }
}

impl Slot {
    fn new(target: &Target, now: Duration) -> Self {
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
            queries: 0,
            last: None,
        };
        Self { row, finding: None, flight: None, asked_at: now, due, confirming: false }
    }

    fn learn(&mut self, answer: &Result<Reply, TransportError>, asked: &Asked<'_>, now: Duration) {
        let state = match answer {
            Ok(reply) => {
                let finding = interpret(asked, &reply.answer);
                self.row.last = Some(last_answer(reply, &finding));
                let state = state(&finding);
                self.finding = Some(finding);
                state
            }
            Err(error) => State::Unreachable { error: error.clone() },
        };
        if self.row.state != state {
            self.row.state = state;
            self.row.since = now;
        }
    }

    const fn is_lead(&self) -> bool {
        matches!(self.row.state, State::Alias { .. } | State::Referral { .. })
    }

    const fn is_pending(&self) -> bool {
        !self.is_lead() && !matches!(self.row.state, State::Satisfied | State::NotAsked { .. })
    }

    /// A server that sends us where the others do has done its part; one that sends us elsewhere has not.
    fn standing(&self, lead: Option<&(DomainName, Origin, Place)>) -> Standing {
        match &self.row.state {
            State::Alias { .. } | State::Referral { .. } => {
                let agrees = match (&self.row.state, lead) {
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

fn last_answer(reply: &Reply, finding: &Finding) -> LastAnswer {
    let (values, serial) = match finding {
        Finding::Lacking { values, serial } => (values.clone(), *serial),
        Finding::Satisfied { values } => (values.clone(), None),
        Finding::Alias { .. } | Finding::Lame(_) | Finding::Referral(_) => (Vec::new(), None),
    };
    LastAnswer {
        transport: reply.transport,
        elapsed: reply.elapsed,
        code: reply.answer.code,
        authoritative: reply.answer.authoritative,
        recursion_available: reply.answer.recursion_available,
        serial,
        values,
        extended_error: reply.answer.extended_error.clone(),
        instance: reply.answer.instance.clone(),
    }
}
