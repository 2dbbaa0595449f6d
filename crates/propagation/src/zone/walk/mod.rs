//! From the root to the zone that holds a name, without a resolver: RFC 1034 §5.3.3, with no more of the name shown
//! to each server than it needs to send us on (RFC 9156).
//!
//! A machine without I/O, as [`watch`](mod@crate::watch) is. The driver's part, in a loop:
//!
//! 1. take [`poll_question`](Walk::poll_question) until `None` and send each question;
//! 2. stop when [`poll_end`](Walk::poll_end) says so;
//! 3. wait until an answer arrives or the moment of [`poll_timeout`](Walk::poll_timeout) comes, and hand it in.
//!
//! `now` is the time since the walk began; it never goes back.
//!
//! What has been learnt is kept apart from what is wanted. After each answer the way is worked out anew from what is
//! known: the deepest known zone that holds the name is asked about the next labels, a name server without an
//! address is looked for in the same manner, and a question that was asked is not asked again of the same server.
//! So there is no state that could be forgotten half-way, and circles of name servers that lie in each other's zones
//! end by themselves.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    net::IpAddr,
    time::Duration,
};

use perennial_core::DomainName;

use super::{Evidence, ZoneServer, ZoneView};
use crate::{
    probe::{Delegation, MAX_NAME_SERVERS},
    transport::TransportError,
    wire::{Answer, Data, Query, RecordType},
};

mod map;
use map::{Map, Zone};

mod read;
use read::{Reading, read};

#[cfg(test)]
mod tests;

/// A walk to one zone: see the [module](self).
#[derive(Debug)]
pub struct Walk {
    goal: Goal,
    map: Map,
    inquiries: HashMap<Key, Inquiry>,
    flights: HashMap<Ticket, (Key, IpAddr)>,
    ready: VecDeque<Question>,
    /// Servers that were of no use for a zone: asked last from then on.
    lame: HashSet<(Zone, IpAddr)>,
    asked: u64,
    seed: u64,
    now: Duration,
    wake: Option<Duration>,
    end: Option<Result<ZoneView, DeadEnd>>,
}

#[derive(Clone, Debug)]
enum Goal {
    /// The zone that holds this name.
    Holding(DomainName),
    /// The name servers and addresses of this zone.
    Zone(DomainName),
}

/// A question to send.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Question {
    /// To be handed back with the answer.
    pub ticket: Ticket,
    /// Whom to ask.
    pub server: IpAddr,
    /// What, without recursion.
    pub query: Query,
}

/// Which question an answer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket(u64);

/// Why a walk led nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeadEnd {
    /// The root delegates nothing that holds the name.
    #[error("the root knows no zone that holds it")]
    NoZone,
    /// Nobody was left to ask.
    #[error("{reason}")]
    Stuck {
        /// Where, and why.
        reason: String,
    },
}

impl DeadEnd {
    /// Servers come back, and zones are delegated: worth another try.
    #[must_use]
    pub const fn retry(&self) -> perennial_core::Retry {
        perennial_core::Retry::Backoff
    }
}

/// A question apart from who is asked.
type Key = (Zone, DomainName, RecordType);

#[derive(Debug, Default)]
struct Inquiry {
    tried: Vec<IpAddr>,
    /// How many of them could be reached at all.
    tries: usize,
    flying: usize,
    /// When the next server is asked too, whatever became of the one before.
    more_at: Duration,
    answered: bool,
    trouble: Option<String>,
}

/// How a sub-goal stands, by what is known.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Standing<T> {
    Known(T),
    /// Something is under way.
    Pending,
    Hopeless(String),
}

/// What one working-out of the way has seen.
#[derive(Default)]
struct Turn {
    /// The hosts on whose addresses the present question depends.
    path: Vec<DomainName>,
    hosts: HashMap<DomainName, Standing<()>>,
}

/// How long the next server waits for the one before it: a server of the root or of a registry is rarely further
/// away, and its neighbour costs one more question.
const HEAD_START: Duration = Duration::from_millis(300);
/// How many servers are asked one thing.
const MAX_TRIES: usize = 6;
/// How many questions a walk may cost: about four times what the longest honest way was seen to take. A name whose
/// servers keep sending us on costs them no more than that (as in the attacks of CVE-2020-12662).
const MAX_QUESTIONS: u64 = 200;
/// How many name servers' addresses are looked for at once where one is enough.
const AT_ONCE: usize = 2;
/// How many name servers deep the search for one name server's address may go.
const MAX_DEPTH: usize = 6;
/// How long a walk may take. The servers of most zones are three or four round trips away.
const LIMIT: Duration = Duration::from_secs(10);
/// RFC 9156 §2.3: so many labels are shown one by one, and the rest of a long name in so many steps.
const ONE_BY_ONE: usize = 4;
const STEPS: usize = 6;

impl Walk {
    /// Begins a walk to the zone that holds `name`, which itself is shown to the servers of its zone. `roots` are
    /// the servers of the root; `seed` tells which is asked first: any number, a different one for each walk.
    #[must_use]
    pub fn to(name: DomainName, roots: &[ZoneServer], seed: u64) -> Self {
        Self::new(Goal::Holding(name), Map::new(roots), seed)
    }

    /// Begins a walk to the addresses of the name servers of a delegation that is known already.
    #[must_use]
    pub fn from_delegation(delegation: &Delegation, roots: &[ZoneServer], seed: u64) -> Self {
        let mut map = Map::new(roots);
        map.learn_cut(&None, delegation, String::new());
        Self::new(Goal::Zone(delegation.cut.clone()), map, seed)
    }

    fn new(goal: Goal, map: Map, seed: u64) -> Self {
        let mut walk = Self {
            goal,
            map,
            inquiries: HashMap::new(),
            flights: HashMap::new(),
            ready: VecDeque::new(),
            lame: HashSet::new(),
            asked: 0,
            seed,
            now: Duration::ZERO,
            wake: None,
            end: None,
        };
        walk.advance();
        walk
    }

    /// The next question to send.
    #[must_use]
    pub fn poll_question(&mut self) -> Option<Question> {
        self.ready.pop_front()
    }

    /// How it ended, once it has.
    #[must_use]
    pub const fn poll_end(&self) -> Option<&Result<ZoneView, DeadEnd>> {
        self.end.as_ref()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) at the latest; `None` when it is over.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        if self.end.is_some() {
            return None;
        }
        Some(self.wake.unwrap_or(LIMIT).min(LIMIT))
    }

    /// For how long what was found holds: the least TTL of the records that told it, zero while nothing is found.
    #[must_use]
    pub fn ttl(&self) -> Duration {
        match &self.end {
            Some(Ok(zone)) => Duration::from_secs(self.map.ttl(&zone.apex).into()),
            _ => Duration::ZERO,
        }
    }

    /// Takes the answer to a question, or why there is none. An answer to a question that is unknown is ignored.
    pub fn handle_answer(&mut self, now: Duration, ticket: Ticket, answer: &Result<Answer, TransportError>) {
        self.now = self.now.max(now);
        let Some((key, server)) = self.flights.remove(&ticket) else { return };
        let reading = match answer {
            Ok(answer) => read(key.0.as_ref(), &key.1, key.2, answer),
            Err(error) => Reading::Useless(error.to_string()),
        };
        if let (Ok(answer), Reading::Cut(told) | Reading::Own(told)) = (answer, &reading) {
            self.map.learn_ttl(&told.cut, least_ttl(answer));
        } else if let (Ok(answer), Reading::Addresses(_)) = (answer, &reading) {
            self.map.learn_ttl(&key.1, least_ttl(answer));
        }
        let unreachable = matches!(answer, Err(TransportError::Unreachable { .. }));
        let useless = self.learn(&key, server, reading);
        let Some(inquiry) = self.inquiries.get_mut(&key) else { return };
        inquiry.flying = inquiry.flying.saturating_sub(1);
        match useless {
            None => inquiry.answered = true,
            Some(reason) => {
                // The next need not wait for its turn.
                inquiry.more_at = self.now;
                inquiry.tries = inquiry.tries.saturating_sub(usize::from(unreachable));
                let of = key.0.as_ref().map_or("the root", DomainName::as_str);
                inquiry.trouble = Some(format!("{server}, of {of}, is of no help: {reason}"));
                self.lame.insert((key.0, server));
            }
        }
        self.advance();
    }

    /// Tells that the moment of [`poll_timeout`](Self::poll_timeout) has come.
    pub fn handle_timeout(&mut self, now: Duration) {
        self.now = self.now.max(now);
        self.advance();
    }

    /// Adds to what is known; or says why there is nothing to add.
    fn learn(&mut self, (zone, name, _): &Key, server: IpAddr, reading: Reading) -> Option<String> {
        match reading {
            Reading::Absent => self.map.learn_absent(name),
            Reading::Addresses(addresses) => {
                addresses.into_iter().for_each(|address| self.map.learn_address(name, address));
                self.map.learn_plain(zone, name);
            }
            Reading::Cut(delegation) => self.map.learn_cut(zone, &delegation, server.to_string()),
            Reading::Own(own) => self.map.learn_own(&own),
            Reading::Plain => self.map.learn_plain(zone, name),
            Reading::Useless(reason) => return Some(reason),
        }
        None
    }

    /// Works out the way anew.
    fn advance(&mut self) {
        if self.end.is_some() {
            return;
        }
        self.wake = None;
        let mut turn = Turn::default();
        if let Goal::Holding(name) = self.goal.clone() {
            match self.descend(&name, &mut turn) {
                Standing::Known(Some(apex)) => self.goal = Goal::Zone(apex),
                Standing::Known(None) => self.end = Some(Err(DeadEnd::NoZone)),
                Standing::Hopeless(reason) => self.end = Some(Err(DeadEnd::Stuck { reason })),
                Standing::Pending => {}
            }
        }
        if let Goal::Zone(apex) = self.goal.clone()
            && self.end.is_none()
            && (!self.complete(&apex, &mut turn) || self.now >= LIMIT)
        {
            self.end = Some(self.arrived(&apex));
        }
        let idle = self.flights.is_empty() && self.ready.is_empty();
        if self.end.is_none() && (idle || self.now >= LIMIT) {
            let reason = format!("no answer within {} s", LIMIT.as_secs());
            self.end = Some(Err(DeadEnd::Stuck { reason }));
        }
        if self.end.is_some() {
            self.ready.clear();
        }
    }

    /// The zone that holds a name, asked for from the deepest known zone downwards.
    fn descend(&mut self, name: &DomainName, turn: &mut Turn) -> Standing<Zone> {
        for _ in 0..MAX_QUESTIONS {
            let zone = self.map.zone_of(name);
            let Some(next) = next_name(name, self.map.plain_labels(&zone, name)) else {
                return Standing::Known(zone);
            };
            // Some servers do not understand NS questions, and all understand those for addresses.
            let mut standing = self.ask(&zone, &next, RecordType::Ns, turn);
            if matches!(standing, Standing::Hopeless(_)) {
                standing = self.ask(&zone, &next, RecordType::A, turn);
            }
            match standing {
                Standing::Known(()) => {}
                Standing::Pending => return Standing::Pending,
                Standing::Hopeless(reason) => return Standing::Hopeless(reason),
            }
        }
        Standing::Hopeless(format!("the way to {name} has no end"))
    }

    /// Asks for what is not known yet of a zone's name servers; whether anything is still under way.
    fn complete(&mut self, apex: &DomainName, turn: &mut Turn) -> bool {
        let zone = Some(apex.clone());
        let mut pending = self.ask(&zone, apex, RecordType::Ns, turn) == Standing::Pending;
        for host in self.map.servers(&zone).into_iter().take(MAX_NAME_SERVERS) {
            turn.path.push(host.clone());
            pending |= self.look_up(&host, turn) == Standing::Pending;
            turn.path.pop();
        }
        pending
    }

    /// Asks the servers of a zone, one after the other, and finds them where necessary.
    fn ask(&mut self, zone: &Zone, name: &DomainName, kind: RecordType, turn: &mut Turn) -> Standing<()> {
        let key = (zone.clone(), name.clone(), kind);
        let inquiry = self.inquiries.entry(key.clone()).or_default();
        if inquiry.answered {
            return Standing::Known(());
        }
        let (flying, tries, more_at) = (inquiry.flying > 0, inquiry.tries, inquiry.more_at);
        if flying && self.now < more_at {
            self.wake_at(more_at);
            return Standing::Pending;
        }
        if tries < MAX_TRIES && self.asked < MAX_QUESTIONS {
            if self.send(&key) {
                return Standing::Pending;
            }
            let mut looking = 0;
            for host in self.map.servers(zone) {
                if self.map.has_address(&host) || looking == AT_ONCE {
                    continue;
                }
                match self.resolve(&host, turn) {
                    Standing::Known(()) if self.send(&key) => return Standing::Pending,
                    Standing::Pending => looking += 1,
                    Standing::Known(()) | Standing::Hopeless(_) => {}
                }
            }
            if looking > 0 {
                return Standing::Pending;
            }
        }
        if flying {
            return Standing::Pending;
        }
        let trouble = self.inquiries.get(&key).and_then(|inquiry| inquiry.trouble.clone());
        Standing::Hopeless(trouble.unwrap_or_else(|| {
            let of = zone.as_ref().map_or("the root", DomainName::as_str);
            format!("no name server of {of} can be asked")
        }))
    }

    /// One address of a host at least.
    fn resolve(&mut self, host: &DomainName, turn: &mut Turn) -> Standing<()> {
        if self.map.has_address(host) {
            return Standing::Known(());
        }
        if let Some(seen) = turn.hosts.get(host) {
            return seen.clone();
        }
        if turn.path.contains(host) || turn.path.len() >= MAX_DEPTH {
            return Standing::Hopeless(format!("the address of {host} depends on itself"));
        }
        turn.path.push(host.clone());
        let standing = self.look_up(host, turn);
        turn.path.pop();
        turn.hosts.insert(host.clone(), standing.clone());
        standing
    }

    /// All addresses of a host, by the word of the zone that holds it.
    fn look_up(&mut self, host: &DomainName, turn: &mut Turn) -> Standing<()> {
        for _ in 0..MAX_QUESTIONS {
            // Its own label is not asked about separately: the question for addresses tells of a cut as well.
            if let Some(up) = host.parent() {
                match self.descend(&up, turn) {
                    Standing::Known(_) => {}
                    Standing::Pending => return Standing::Pending,
                    Standing::Hopeless(reason) => return Standing::Hopeless(reason),
                }
            }
            let zone = self.map.zone_of(host);
            let heard = [RecordType::A, RecordType::Aaaa].map(|kind| self.ask(&zone, host, kind, turn));
            if self.map.zone_of(host) != zone {
                continue;
            }
            return match heard {
                _ if heard.contains(&Standing::Pending) => Standing::Pending,
                _ if self.map.has_address(host) => Standing::Known(()),
                [Standing::Hopeless(reason), _] | [_, Standing::Hopeless(reason)] => {
                    Standing::Hopeless(reason)
                }
                _ => Standing::Hopeless(format!("{host} has no address")),
            };
        }
        Standing::Hopeless(format!("the way to {host} has no end"))
    }

    /// Sends a question to the next server of its zone, if there is one that was not asked.
    fn send(&mut self, key: &Key) -> bool {
        let Some(inquiry) = self.inquiries.get(key) else { return false };
        let untried = |server: &IpAddr| !inquiry.tried.contains(server);
        let mut servers: Vec<IpAddr> = self.addresses(&key.0).into_iter().filter(untried).collect();
        servers.sort_by_key(|server| self.lame.contains(&(key.0.clone(), *server)));
        let Some(server) = servers.first().copied() else { return false };
        let ticket = Ticket(self.asked);
        self.asked += 1;
        let more_at = self.now + HEAD_START;
        if let Some(inquiry) = self.inquiries.get_mut(key) {
            inquiry.tried.push(server);
            inquiry.tries += 1;
            inquiry.flying += 1;
            inquiry.more_at = more_at;
        }
        self.flights.insert(ticket, (key.clone(), server));
        let query = Query::authoritative(key.1.clone(), key.2);
        self.ready.push_back(Question { ticket, server, query });
        self.wake_at(more_at);
        true
    }

    /// The known addresses of a zone's servers: one of each server before a second of any, the families in turn,
    /// so that a host with one family only loses no time.
    fn addresses(&self, zone: &Zone) -> Vec<IpAddr> {
        let mut hosts: Vec<ZoneServer> = self
            .map
            .servers(zone)
            .iter()
            .map(|name| self.map.host(name))
            .filter(|host| !host.is_unresolved())
            .collect();
        let first = usize::try_from(self.seed % hosts.len().max(1) as u64).unwrap_or_default();
        hosts.rotate_left(first);
        let of = |(index, host): (usize, &ZoneServer)| {
            let v4: Vec<IpAddr> = host.v4.iter().map(|v4| (*v4).into()).collect();
            let v6: Vec<IpAddr> = host.v6.iter().map(|v6| (*v6).into()).collect();
            let (one, other) = if index % 2 == 0 { (v4, v6) } else { (v6, v4) };
            let longest = one.len().max(other.len());
            (0..longest).flat_map(|at| [one.get(at), other.get(at)]).flatten().copied().collect::<Vec<_>>()
        };
        let each: Vec<Vec<IpAddr>> = hosts.iter().enumerate().map(of).collect();
        let most = each.iter().map(Vec::len).max().unwrap_or_default();
        let mut addresses = Vec::new();
        for address in (0..most).flat_map(|at| each.iter().filter_map(move |one| one.get(at))) {
            if !addresses.contains(address) {
                addresses.push(*address);
            }
        }
        addresses
    }

    fn arrived(&self, apex: &DomainName) -> Result<ZoneView, DeadEnd> {
        let names = self.map.servers(&Some(apex.clone()));
        let servers: Vec<_> = names.iter().take(MAX_NAME_SERVERS).map(|name| self.map.host(name)).collect();
        if servers.iter().all(ZoneServer::is_unresolved) {
            let reason = format!("no name server of {apex} has an address");
            return Err(DeadEnd::Stuck { reason });
        }
        let mut evidence = Vec::new();
        if let Some(cut) = self.map.cut(apex) {
            let apex = apex.clone();
            let only = |these: &[DomainName], others: &[DomainName]| {
                these.iter().filter(|name| !others.contains(name)).cloned().collect::<Vec<_>>()
            };
            let parent_only = only(&cut.delegated, &cut.own);
            let resolver_only = only(&cut.own, &cut.delegated);
            evidence.push(if cut.by.is_empty() {
                Evidence::Referred { apex: apex.clone() }
            } else {
                Evidence::Walked { apex: apex.clone(), parent: cut.parent.clone(), by: cut.by.clone() }
            });
            if !(cut.own.is_empty() || parent_only.is_empty() && resolver_only.is_empty()) {
                evidence.push(Evidence::NameServersDiffer { apex, parent_only, resolver_only });
            }
        }
        Ok(ZoneView { apex: apex.clone(), servers, evidence })
    }

    fn wake_at(&mut self, moment: Duration) {
        self.wake = Some(self.wake.map_or(moment, |wake| wake.min(moment)));
    }
}

/// For how long the records of an answer hold, in seconds.
fn least_ttl(answer: &Answer) -> u32 {
    let told = answer.answers.iter().chain(&answer.authorities).chain(&answer.additionals);
    told.filter(|record| !matches!(record.data, Data::Soa { .. }))
        .map(|record| record.ttl)
        .min()
        .unwrap_or(u32::MAX)
}

/// The next name to show on the way to `name`, when nothing begins down to so many of its labels: RFC 9156 §2.3.
fn next_name(name: &DomainName, known: usize) -> Option<DomainName> {
    let all = name.labels().count();
    let steps = (1..=STEPS).map(|step| ONE_BY_ONE + (all.saturating_sub(ONE_BY_ONE) * step).div_ceil(STEPS));
    let shown = (1..=ONE_BY_ONE).chain(steps).find(|shown| *shown > known && *shown <= all)?;
    std::iter::successors(Some(name.clone()), DomainName::parent).nth(all - shown)
}
