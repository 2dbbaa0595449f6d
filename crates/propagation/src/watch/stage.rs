//! One name in one zone, while it is watched.

use std::time::Duration;

use perennial_core::DomainName;

use super::{
    Asking, Freshness, Heard, Locate, Located, Place, Purpose, Question, StageId, Ticket, Verification,
    lower::{Inquiry, Lower},
    slot::{Confirming, Serial, Slot},
};
use crate::{
    probe::{Asked, Finding, Role, speaks_for},
    report::{self, Origin, State},
    target::NoRoute,
    transport::{Endpoint, Reply, TransportError},
    verdict::Standing,
    wanted::Wanted,
    wire::{Query, RecordType},
    zone::{ZoneServer, ZoneView},
};

#[derive(Debug)]
pub(super) struct Stage {
    pub(super) id: StageId,
    pub(super) name: DomainName,
    pub(super) place: Place,
    /// Why the zone was not found.
    problem: Option<String>,
    /// Why nobody goes where it leads.
    chain_problem: Option<String>,
    origin: Origin,
    zone: Option<ZoneView>,
    servers: Vec<String>,
    /// For each server the slots that are addresses of it.
    addresses: Vec<Vec<usize>>,
    slots: Vec<Slot>,
    /// The zone further down that the servers of this one serve too.
    lower: Lower,
    location: Location,
    /// Whether it leads to other servers by now than those that were found.
    moved: bool,
    verification: Verification,
    /// How many times in a row somebody could not be asked, of those who were found.
    gaps: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Location {
    Sought,
    Found { at: Duration },
    NotFound { at: Duration },
}

/// How often servers are asked again that sent us elsewhere: they may have changed their mind, as when a
/// mistaken CNAME is replaced by the record.
const LEAD_REFRESH: Duration = Duration::from_secs(5);

impl Stage {
    pub(super) fn new(id: StageId, name: DomainName, origin: Origin, place: Place) -> Self {
        Self {
            id,
            name,
            place,
            origin,
            problem: None,
            chain_problem: None,
            zone: None,
            servers: Vec::new(),
            addresses: Vec::new(),
            slots: Vec::new(),
            lower: Lower::default(),
            location: Location::Sought,
            moved: false,
            verification: Verification::Done,
            gaps: 0,
        }
    }

    /// Takes what was found; whether that is news.
    pub(super) fn locate_done(&mut self, located: Result<Located, String>, now: Duration) -> bool {
        let located = match located {
            Ok(located) => located,
            Err(reason) => {
                self.location = Location::NotFound { at: now };
                // What was found before is better than nothing; what was only claimed is nothing.
                if std::mem::replace(&mut self.verification, Verification::Done) == Verification::UnderWay {
                    self.zone = None;
                    self.servers.clear();
                    self.addresses.clear();
                    self.slots.clear();
                    self.lower = Lower::default();
                }
                let news = self.slots.is_empty() && self.problem.as_ref() != Some(&reason);
                if news {
                    self.problem = Some(reason);
                }
                return news;
            }
        };
        (self.location, self.moved) = (Location::Found { at: now }, false);
        self.verification = located.verification;
        let mut news = self.problem.take().is_some() | (self.zone != located.zone);
        let mut known = std::mem::take(&mut self.slots);
        let apex = |zone: &Option<ZoneView>| zone.as_ref().map(|zone| zone.apex.clone());
        if apex(&self.zone) != apex(&located.zone) {
            // What an address said as the server of one zone says nothing about another.
            news |= !known.is_empty();
            known.clear();
            self.lower = Lower::default();
        }
        self.zone = located.zone;
        self.servers = located.servers;
        for target in located.targets {
            let same = known.iter().position(|slot| slot.is_same(&target));
            let mut slot = same.map_or_else(|| Slot::new(&target, now), |index| known.swap_remove(index));
            news |= same.is_none();
            slot.row.servers = target.servers;
            self.slots.push(slot);
        }
        let serves = |server| move |(_, slot): &(usize, &Slot)| slot.row.servers.contains(server);
        let slots_of = |server| {
            let slots = self.slots.iter().enumerate();
            slots.filter(serves(server)).map(|(index, _)| index).collect()
        };
        self.addresses = self.servers.iter().map(slots_of).collect();
        self.gaps = if self.has_gap() { self.gaps.saturating_add(1) } else { 0 };
        news | !known.is_empty()
    }

    /// Whether the zone should be looked for (again).
    pub(super) fn is_to_be_located(&self, now: Duration) -> bool {
        self.next_location().is_some_and(|at| now >= at)
    }

    fn next_location(&self) -> Option<Duration> {
        let keeps_waiting = |slot: &Slot| slot.is_pending() || slot.is_out_of_reach();
        match self.location {
            Location::Sought => None,
            Location::Found { .. } if self.verification == Verification::UnderWay => None,
            Location::NotFound { at } => Some(at + super::LOCATE_AGAIN),
            Location::Found { at } if self.gaps > 0 => {
                let wait = super::LOCATE_AGAIN.saturating_mul(1 << (self.gaps - 1).min(4));
                Some(at + wait.min(super::ZONE_REFRESH))
            }
            Location::Found { at } => {
                self.slots.iter().any(keeps_waiting).then_some(at + super::ZONE_REFRESH)
            }
        }
    }

    /// Whether a server was found and cannot be asked, and the reason may pass: its address is not known, or the
    /// way to it is not. A host without IPv6 reaches many a server over IPv4 and misses nothing.
    fn has_gap(&self) -> bool {
        let reached = |index: &usize| self.slots.get(*index).is_some_and(|slot| !slot.is_out_of_reach());
        let no_prefix = State::NotAsked { reason: NoRoute::NoNat64Prefix };
        self.addresses.iter().any(|slots| !slots.iter().any(reached))
            || self.slots.iter().any(|slot| slot.row.state == no_prefix)
    }

    pub(super) const fn locate_again(&mut self) -> StageId {
        self.location = Location::Sought;
        self.id
    }

    /// When [`is_to_be_located`](Self::is_to_be_located) or [`mark_pending`](Self::mark_pending) can have something
    /// to do; in the past, if at any time.
    pub(super) fn next_use_of_a_sweep(&self) -> Option<Duration> {
        let idle = self.slots.iter().filter(|slot| slot.flight.is_none());
        let ask = |slot: &Slot| match (slot.is_pending(), slot.is_lead()) {
            (true, _) => Some(Duration::ZERO),
            (false, true) => Some(slot.asked_at + LEAD_REFRESH),
            (false, false) => None,
        };
        idle.filter_map(ask).chain(self.next_location()).chain(self.lower.next_look()).min()
    }

    /// When all count as dead who tell nothing: a server that was found late has its time as well, and so has one
    /// that answered before. It may be loading the zone just now.
    pub(super) fn end_of_grace(&self, grace: Duration) -> Option<Duration> {
        let silent = self.slots.iter().filter(|slot| !slot.is_alive());
        silent.map(|slot| slot.dead_since.saturating_add(grace)).max()
    }

    /// When each one's last word ceases to count.
    pub(super) fn ends_of_last_words(&self, grace: Duration) -> impl Iterator<Item = Duration> {
        self.slots.iter().filter_map(move |slot| slot.end_of_last_word(grace))
    }

    /// Why nothing can be known here, whatever the servers say.
    pub(super) const fn problem(&self) -> Option<&String> {
        match &self.problem {
            Some(problem) => Some(problem),
            None => self.chain_problem.as_ref(),
        }
    }

    /// What is wrong with where it leads is judged anew each time. Whether this is a new judgement.
    pub(super) fn set_chain_problem(&mut self, problem: Option<String>) -> bool {
        let news = self.chain_problem != problem;
        self.chain_problem = problem;
        news
    }

    /// Takes the answer if the question was of this stage.
    pub(super) fn answered(
        &mut self,
        ticket: Ticket,
        answer: &Result<Reply, TransportError>,
        wanted: &Wanted,
        asking: Asking,
        now: Duration,
    ) -> Option<Heard> {
        if let Some(heard) = self.answered_lower(ticket, answer, now) {
            return Some(heard);
        }
        let is_serial = |slot: &Slot| slot.serial == Serial::Flight(ticket);
        if let Some(slot) = self.slots.iter_mut().find(|slot| is_serial(slot)) {
            slot.serial = Serial::Asked;
            let serial = answer.as_ref().ok().and_then(|reply| reply.answer.serial());
            let moved = serial.is_some() && serial != slot.row.serial;
            slot.row.serial = serial.or(slot.row.serial);
            return Some(Heard { moved, awaited: true, pending: slot.is_pending() });
        }
        let slot = self.slots.iter_mut().find(|slot| slot.flight == Some(ticket))?;
        slot.flight = None;
        let confirms = slot.confirming == Confirming::Flight(ticket);
        if confirms {
            slot.confirming = Confirming::No;
        }
        let awaited = confirms || slot.row.state == State::Waiting;
        let asked = asked(&self.name, &self.zone, wanted, asking);
        let moved = slot.learn(answer, &asked, self.lower.zone(), now);
        let (heard, endpoint) =
            (Heard { moved, awaited, pending: slot.is_pending() }, slot.row.endpoint.clone());
        self.heed(&endpoint, answer);
        Some(heard)
    }

    /// Takes the answer if the question was for a zone further down.
    fn answered_lower(
        &mut self,
        ticket: Ticket,
        answer: &Result<Reply, TransportError>,
        now: Duration,
    ) -> Option<Heard> {
        let apex = &self.zone.as_ref()?.apex;
        let moved = self.lower.answered(ticket, answer, apex, now)?;
        if moved && let Some(lower) = self.lower.zone() {
            self.slots.iter_mut().for_each(|slot| _ = slot.send_below(lower, now));
        }
        Some(Heard { moved, awaited: true, pending: false })
    }

    /// A server that says no on behalf of a zone further down is asked for the name servers of that.
    fn heed(&mut self, whom: &Endpoint, answer: &Result<Reply, TransportError>) {
        let (Some(zone), Ok(reply)) = (&self.zone, answer) else { return };
        let lacking = |slot: &Slot| slot.row.endpoint == *whom && slot.row.state == State::Lacking;
        if let Some(begin) = speaks_for(&zone.apex, &self.name, &reply.answer)
            && *begin != zone.apex
            && self.lower.may_ask(whom)
            && self.slots.iter().any(lacking)
            && !zone.servers.is_empty()
        {
            self.lower.ask(whom.clone(), begin.clone());
        }
    }

    /// Takes what the server at `endpoint` answered to another watch of the same name, where that is what this
    /// one waits for as well.
    pub(super) fn overhear(
        &mut self,
        endpoint: &Endpoint,
        answer: &Result<Reply, TransportError>,
        wanted: &Wanted,
        asking: Asking,
        now: Duration,
    ) -> Option<Heard> {
        let waits = |slot: &Slot| slot.flight.is_none() && !slot.due && slot.is_pending();
        let slot = self.slots.iter_mut().find(|slot| slot.row.endpoint == *endpoint && waits(slot))?;
        slot.overheard_at = Some(now);
        let asked = asked(&self.name, &self.zone, wanted, asking);
        let moved = slot.learn(answer, &asked, self.lower.zone(), now);
        let heard = Heard { moved, awaited: false, pending: slot.is_pending() };
        self.heed(endpoint, answer);
        Some(heard)
    }

    pub(super) fn next_query(&mut self, ticket: Ticket, asking: Asking, now: Duration) -> Option<Question> {
        let is_due = |slot: &Slot| slot.due && slot.flight.is_none();
        if let Some(slot) = self.slots.iter_mut().find(|slot| is_due(slot)) {
            let purpose = slot.purpose();
            slot.due = false;
            slot.flight = Some(ticket);
            if slot.confirming == Confirming::Due {
                slot.confirming = Confirming::Flight(ticket);
            }
            slot.count(now);
            let query = match asking {
                Asking::Authorities => Query::authoritative(self.name.clone(), RecordType::Txt),
                Asking::Resolvers => Query::recursive(self.name.clone(), RecordType::Txt),
            };
            let zone = self.zone.as_ref().map(|zone| zone.apex.clone());
            return Some(Question { ticket, endpoint: slot.row.endpoint.clone(), query, purpose, zone });
        }
        if let Some(Inquiry { whom: endpoint, name }) = self.lower.next_inquiry(ticket) {
            let query = Query::authoritative(name, RecordType::Ns);
            return Some(Question { ticket, endpoint, query, purpose: Purpose::Cut, zone: None });
        }
        let apex = &self.zone.as_ref()?.apex;
        let slot = self.slots.iter_mut().find(|slot| slot.serial == Serial::Due)?;
        slot.serial = Serial::Flight(ticket);
        Some(Question {
            ticket,
            endpoint: slot.row.endpoint.clone(),
            query: Query::authoritative(apex.clone(), RecordType::Soa),
            purpose: Purpose::Serial,
            zone: Some(apex.clone()),
        })
    }

    /// Takes a question back that has been handed out and was not sent yet.
    pub(super) fn hold(&mut self, ticket: Ticket) {
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.flight == Some(ticket)) {
            slot.row.queries = slot.row.queries.saturating_sub(1);
        }
    }

    /// Hands out a question that was held; whether it is still wanted.
    pub(super) fn release(&mut self, ticket: Ticket, now: Duration) -> bool {
        let slot = self.slots.iter_mut().find(|slot| slot.flight == Some(ticket));
        slot.map(|slot| slot.count(now)).is_some()
    }

    /// Marks those to be asked again that are not latched and not being asked already.
    pub(super) fn mark_pending(&mut self, now: Duration, overheard: Duration) {
        for slot in &mut self.slots {
            let stale_lead = slot.is_lead() && now >= slot.asked_at + LEAD_REFRESH;
            // Somebody else asks for us.
            let heard = slot.overheard_at.is_some_and(|at| now < at + overheard);
            if slot.flight.is_none() && (slot.is_pending() && !heard || stale_lead) {
                slot.due = true;
            }
        }
        let serves_lower = |slot: &&Slot| slot.serves_lower;
        if self.lower.next_look().is_some_and(|at| now >= at)
            && let (Some(lower), Some(slot)) = (self.lower.zone(), self.slots.iter().find(serves_lower))
        {
            let (whom, name) = (slot.row.endpoint.clone(), lower.cut.clone());
            self.lower.ask(whom, name);
        }
    }

    /// Has one server asked, beside the first questions for the record, whether a zone begins further down.
    pub(super) fn ask_lower_at_once(&mut self) {
        if !self.lower.is_told() {
            self.ask_lower(|slot| slot.due && slot.row.state == State::Waiting);
        }
    }

    /// Has one server asked whether a zone begins further down, where the answers do not tell; whether one is to be
    /// asked, or is being asked.
    pub(super) fn mark_lower(&mut self) -> bool {
        let told = self.lower.is_told()
            || self.slots.iter().any(|slot| slot.is_lead() || slot.in_zone && slot.is_satisfied());
        if !told {
            self.ask_lower(Slot::is_satisfied);
        }
        self.lower.is_open()
    }

    /// Asks one of those that are fit. Servers that were given are asked about every name, and are whom they are.
    fn ask_lower(&mut self, fit: impl Fn(&Slot) -> bool) {
        let between = |zone: &ZoneView| zone.apex != self.name && !zone.servers.is_empty();
        if !self.zone.as_ref().is_some_and(between) {
            return;
        }
        let fit = |slot: &&Slot| fit(slot) && self.lower.may_ask(&slot.row.endpoint);
        let count = self.slots.iter().filter(fit).count();
        // Each name takes another one, so that a crowd does not ask the first of them all.
        let turn = self.name.as_str().bytes().map(usize::from).sum::<usize>().checked_rem(count);
        if let Some(slot) = turn.and_then(|turn| self.slots.iter().filter(fit).nth(turn)) {
            self.lower.ask(slot.row.endpoint.clone(), self.name.clone());
        }
    }

    /// Marks those to be asked for the zone's serial number that have not told it, where some servers have the
    /// values and some do not; whether some are to be asked, or are being asked.
    pub(super) fn mark_serials(&mut self) -> bool {
        let any = |state: &State| self.slots.iter().any(|slot| slot.row.state == *state);
        if !any(&State::Satisfied) || !any(&State::Lacking) || any(&State::Waiting) || self.zone.is_none() {
            return false;
        }
        for slot in &mut self.slots {
            let answers = matches!(slot.row.state, State::Satisfied | State::Lacking);
            if answers && slot.row.serial.is_none() && slot.serial == Serial::NotAsked {
                slot.serial = Serial::Due;
            }
        }
        self.slots.iter().any(|slot| matches!(slot.serial, Serial::Due | Serial::Flight(_)))
    }

    /// Marks those to be asked once more on whom the verdict rests.
    pub(super) fn mark_confirming(&mut self) {
        for slot in &mut self.slots {
            let counts = slot.row.state == State::Satisfied || slot.is_lead();
            slot.confirming = if counts { Confirming::Due } else { Confirming::No };
            slot.due |= counts;
        }
        self.lower.doubt();
        self.mark_lower();
    }

    pub(super) fn forget_confirming(&mut self) {
        for slot in &mut self.slots {
            slot.confirming = Confirming::No;
        }
    }

    pub(super) fn is_confirmed(&self) -> bool {
        self.verification == Verification::Done
            && !self.moved
            && self.slots.iter().all(|slot| slot.confirming == Confirming::No)
    }

    /// Whether all that one sweep can say has been said.
    pub(super) fn is_heard(&self) -> bool {
        let silent = |slot: &Slot| slot.flight.is_some() || slot.due;
        self.location != Location::Sought
            && self.verification == Verification::Done
            && !self.slots.iter().any(silent)
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
        let (name, origin, place) = best.and_then(|(_, _, finding)| finding.leads(&self.name))?;
        Some((name, origin, self.with_own_servers(place)))
    }

    /// Those of the own servers that serve a zone further down have to have the record there too: a CA that asks them
    /// believes them.
    fn with_own_servers(&self, mut place: Place) -> Place {
        if let (Place::Delegated(lower), Some(zone)) = (&mut place, &self.zone) {
            let there = State::Referral { cut: lower.cut.clone() };
            let serves = |server: &&ZoneServer| {
                let its = |slot: &&Slot| slot.row.servers.iter().any(|name| name == server.name.as_str());
                self.slots.iter().filter(its).any(|slot| slot.serves_lower && slot.row.state == there)
            };
            zone.servers.iter().filter(serves).for_each(|server| lower.add(server));
        }
        place
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

    /// Takes the place to which the stage before leads by now; what is to be looked for then, where that has
    /// other name servers.
    pub(super) fn follow(&mut self, place: Place, id: StageId) -> Option<Locate> {
        let same = match (&self.place, &place) {
            (Place::Delegated(here), Place::Delegated(there)) => here.has_servers_of(there),
            _ => true,
        };
        if same {
            return None;
        }
        // What is being looked for in the old place comes too late.
        (self.id, self.place, self.moved) = (id, place.clone(), true);
        self.location = Location::Sought;
        Some(Locate { stage: id, place, freshness: Freshness::Cached })
    }

    /// How each address of each server stands, for the verdict.
    pub(super) fn standings(&self, now: Duration, grace: Duration) -> Vec<Vec<Standing>> {
        let lead = self.lead();
        let of = |index: &usize| self.slots.get(*index).map(|slot| slot.standing(lead.as_ref(), now, grace));
        self.addresses.iter().map(|slots| slots.iter().filter_map(of).collect()).collect()
    }

    pub(super) fn report(&self) -> report::Stage {
        report::Stage {
            name: self.name.clone(),
            origin: self.origin,
            zone: self.zone.clone(),
            servers: self.servers.clone(),
            rows: self.slots.iter().map(|slot| slot.row.clone()).collect(),
            problem: self.problem().cloned(),
        }
    }
}

fn asked<'a>(
    name: &'a DomainName,
    zone: &'a Option<ZoneView>,
    wanted: &'a Wanted,
    asking: Asking,
) -> Asked<'a> {
    let role = match (asking, zone) {
        (Asking::Authorities, Some(zone)) => Role::Authority(&zone.apex),
        (Asking::Authorities | Asking::Resolvers, _) => Role::Resolver,
    };
    Asked { name, values: wanted.values(), role }
}
