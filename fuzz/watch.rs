//! The engine that runs all watches, among servers that answer anything, in any order, or not at all.
//!
//! Bytes become operations: names to watch and to give up, zones that are found, answers to any of the questions under
//! way, and time that passes. Once they are used up nobody answers any more. Whatever happens, each watch ends by its
//! deadline, nobody is asked more often than was promised, and nothing is left behind: that is asserted here, from
//! outside.

use std::{
    collections::{HashMap, HashSet},
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use arbitrary::{Result as Fed, Unstructured};
use perennial_core::DomainName;
use perennial_propagation::{
    Policy, Wanted, ZoneView,
    target::Target,
    transport::{Endpoint, Reply, Transport, TransportError},
    watch::{
        Engine, Locate, Located, Outcome, Settings, StageId, Sweep, Verification,
        engine::{Event, Question, WatchId},
    },
    wire::{Answer, Data, Query, Record, RecordType, ResponseCode},
    zone::ZoneServer,
};

/// Some watches, whatever they meet.
pub fn watch_engine(bytes: &[u8]) {
    let mut feed = Unstructured::new(bytes);
    let mut world = World {
        engine: Engine::new(feed.arbitrary().unwrap_or_default()),
        now: Duration::ZERO,
        deadlines: HashMap::new(),
        callers: HashMap::new(),
        places: Vec::new(),
        known: HashSet::new(),
        located: 0,
        under_way: Vec::new(),
        asked: HashMap::new(),
    };
    while world.operate(&mut feed).is_ok() && !feed.is_empty() {}
    world.pass(LONGEST + Duration::from_secs(1));
    assert!(world.deadlines.is_empty() && world.engine.is_idle(), "a watch has not ended");
    assert_eq!(world.engine.poll_timeout(), None, "something is waited for, for nobody");
    assert_eq!(world.engine.poll_question(), None, "something is asked, for nobody");
}

/// The longest deadline of all.
const LONGEST: Duration = Duration::from_secs(40);
/// What is promised for ten seconds, to one server about one name, for each who watches it.
const MOST_QUESTIONS: usize = 45;
/// What is promised of the questions under way to one server.
const MOST_UNDER_WAY: usize = 256;
/// More of anything makes a run slow, and shows nothing new.
const MOST_WATCHES: usize = 60;

/// Everything around an engine.
struct World {
    engine: Engine,
    now: Duration,
    deadlines: HashMap<WatchId, Duration>,
    /// How many ever watched a name.
    callers: HashMap<DomainName, usize>,
    /// What is looked for, and how far that has come.
    places: Vec<(WatchId, StageId, Verification)>,
    /// Those servers that were ever handed in.
    known: HashSet<Endpoint>,
    located: usize,
    under_way: Vec<Question>,
    /// When which server was asked what.
    asked: HashMap<(Endpoint, Query), Vec<Duration>>,
}

impl World {
    fn operate(&mut self, feed: &mut Unstructured<'_>) -> Fed<()> {
        match feed.int_in_range(0..=15_u8)? {
            0..=2 => self.watch(feed)?,
            3 => {
                // The order of a map is not to be relied on.
                let mut ids: Vec<WatchId> = self.deadlines.keys().copied().collect();
                ids.sort();
                if !ids.is_empty() {
                    let id = *feed.choose(&ids)?;
                    self.deadlines.remove(&id);
                    self.engine.remove(id);
                }
            }
            4..=5 => self.locate(feed)?,
            6..=12 => self.answer(feed)?,
            13 => self.pass(Duration::from_millis(feed.int_in_range(0..=20)?)),
            14 => self.pass(Duration::from_millis(feed.int_in_range(0..=400)?)),
            _ => self.pass(Duration::from_millis(feed.int_in_range(0..=7000)?)),
        }
        self.look();
        Ok(())
    }

    fn watch(&mut self, feed: &mut Unstructured<'_>) -> Fed<()> {
        if self.deadlines.len() == MOST_WATCHES {
            return Ok(());
        }
        let zone = *feed.choose(&ZONES)?;
        let number = feed.int_in_range(0..=19_u8)?;
        let name: DomainName = format!("_acme-challenge.n{number}.{zone}").parse().expect("a name");
        let policies = [
            Policy::All,
            Policy::All,
            Policy::Any,
            Policy::Quorum(2),
            Policy::RecursiveOnly,
            Policy::Strict,
            Policy::WaitOnly(Duration::from_secs(3)),
        ];
        let seconds =
            |feed: &mut Unstructured<'_>, most| Fed::Ok(Duration::from_secs(feed.int_in_range(0..=most)?));
        let settings = Settings {
            policy: *feed.choose(&policies)?,
            sweep: if feed.ratio(1, 4)? { Sweep::Once } else { Sweep::UntilReady },
            deadline: seconds(feed, LONGEST.as_secs())?,
            grace: seconds(feed, 6)?,
            settle: seconds(feed, 2)?,
        };
        *self.callers.entry(name.clone()).or_default() += 1;
        let wanted = Wanted::new(name, ["token".to_owned()]);
        let id = self.engine.add(self.now, wanted, settings);
        self.deadlines.insert(id, self.now + settings.deadline);
        Ok(())
    }

    fn locate(&mut self, feed: &mut Unstructured<'_>) -> Fed<()> {
        if self.places.is_empty() {
            return Ok(());
        }
        let index = feed.choose_index(self.places.len())?;
        let (id, stage, before) = self.places.swap_remove(index);
        self.located += 1;
        if feed.ratio(1, 8)? {
            self.engine.handle_located(self.now, id, stage, Err("nobody knows".to_owned()));
            return Ok(());
        }
        let more = before == Verification::Done && feed.ratio(1, 3)?;
        let verification = if more { Verification::UnderWay } else { Verification::Done };
        let apex: DomainName = feed.choose(&ZONES)?.parse().expect("a name");
        let (mut servers, mut targets) = (Vec::new(), Vec::new());
        for _ in 0..feed.int_in_range(0..=4_u8)? {
            let last = feed.int_in_range(1..=6_u8)?;
            let name: DomainName = format!("ns{last}.{apex}").parse().expect("a name");
            let endpoint = Endpoint::Udp(SocketAddr::from((Ipv4Addr::new(192, 0, 2, last), 53)));
            self.known.insert(endpoint.clone());
            if !targets.iter().any(|target: &Target| target.endpoint == endpoint) {
                targets.push(Target::new(vec![name.to_string()], endpoint));
            }
            servers.push(ZoneServer::new(name));
        }
        let names = servers.iter().map(|server| server.name.to_string()).collect();
        let zone = (!feed.ratio(1, 8)?).then(|| ZoneView::new(apex, servers));
        let located = Located { zone, servers: names, targets, verification };
        self.engine.handle_located(self.now, id, stage, Ok(located));
        if more {
            self.places.push((id, stage, verification));
        }
        Ok(())
    }

    fn answer(&mut self, feed: &mut Unstructured<'_>) -> Fed<()> {
        if self.under_way.is_empty() {
            return Ok(());
        }
        // Mostly all that are under way, as a server does that is well.
        let count = if feed.ratio(1, 2)? { self.under_way.len() } else { 1 };
        let kind = feed.int_in_range(0..=9_u8)?;
        let serial = feed.int_in_range(0..=2_u32)?.wrapping_sub(1);
        for _ in 0..count {
            let index = if count == 1 { feed.choose_index(self.under_way.len())? } else { 0 };
            let question = self.under_way.swap_remove(index);
            let answer = answer(kind, serial, &question.query);
            self.engine.handle_answer(self.now, question.ticket, &answer);
            // An answer that comes a second time changes nothing.
            self.engine.handle_answer(self.now, question.ticket, &Err(TransportError::Timeout));
            self.look();
        }
        Ok(())
    }

    /// Lets time pass, and the engine know whenever it wants to.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        let mut turns = 0;
        loop {
            self.look();
            let Some(timeout) = self.engine.poll_timeout().filter(|timeout| *timeout <= end) else { break };
            self.now = self.now.max(timeout);
            self.engine.handle_timeout(self.now);
            turns += 1;
            assert!(turns < 100_000, "the engine turns in a circle");
        }
        self.now = end;
        self.look();
        let late = self.deadlines.values().filter(|deadline| **deadline < self.now).count();
        assert_eq!(late, 0, "a watch outlives its deadline");
    }

    /// Takes what the engine has to say and to ask.
    fn look(&mut self) {
        while let Some(event) = self.engine.poll_event() {
            match event {
                Event::Changed(id) => assert!(self.engine.report(id).is_some(), "who is gone has changed"),
                Event::Done(id, outcome) => {
                    self.deadlines.remove(&id);
                    if let Outcome::Ready(propagated) = outcome {
                        assert!(propagated.report().verdict.is_ready());
                    }
                }
                Event::Locate(id, Locate { stage, .. }) => self.places.push((id, stage, Verification::Done)),
                _ => {}
            }
        }
        while let Some(question) = self.engine.poll_question() {
            self.ask(question);
        }
    }

    fn ask(&mut self, question: Question) {
        let Question { endpoint, query, .. } = &question;
        assert!(self.known.contains(endpoint), "nobody has named {endpoint}");
        let times = self.asked.entry((endpoint.clone(), query.clone())).or_default();
        times.retain(|time| *time + Duration::from_secs(10) > self.now);
        times.push(self.now);
        if query.record_type == RecordType::Txt {
            // Whoever is led to a name by an alias counts as one who watches it, and a zone that is found anew has
            // its servers asked anew.
            let callers: usize = self.callers.values().sum();
            assert!(times.len() <= MOST_QUESTIONS * callers + self.located, "{query} at {endpoint}");
        }
        self.under_way.push(question);
        let there = |other: &&Question| other.endpoint == self.under_way[self.under_way.len() - 1].endpoint;
        assert!(self.under_way.iter().filter(there).count() <= MOST_UNDER_WAY);
    }
}

const ZONES: [&str; 3] = ["example.com", "example.org", "www.example.com"];

fn answer(kind: u8, serial: u32, query: &Query) -> Result<Reply, TransportError> {
    let name = |text: &str| text.parse::<DomainName>().expect("a name");
    let record = |owner: &DomainName, data| Record { owner: Some(owner.clone()), ttl: 60, data };
    let mut answer = Answer::new(ResponseCode::NOERROR);
    answer.authoritative = true;
    let soa = record(&name("example.com"), Data::Soa { serial, minimum: 60 });
    let txt = |text: &[u8]| record(&query.name, Data::Txt(text.to_vec()));
    match kind {
        0..=2 => answer.answers.push(txt(b"token")),
        3..=4 => {
            answer.code = ResponseCode::NXDOMAIN;
            answer.authorities.push(soa);
        }
        5 => answer.answers.push(txt(b"yesterday")),
        6 => {
            let target = name(&format!("n{serial}.example.org"));
            answer.answers.push(record(&query.name, Data::Cname(target)));
        }
        7 => {
            answer.authoritative = false;
            answer.authorities.push(record(&query.name, Data::Ns(name("ns1.example.org"))));
        }
        8 => answer.code = ResponseCode::REFUSED,
        _ => return Err(TransportError::Timeout),
    }
    if query.record_type == RecordType::Soa {
        answer.answers = vec![record(&query.name, Data::Soa { serial, minimum: 60 })];
    }
    Ok(Reply::new(answer, Transport::Udp, Duration::from_millis(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_no_meaning_are_survived() {
        // SplitMix64, a thousand bytes at a time.
        let mut state = 1_u64;
        for _ in 0..300 {
            let bytes: Vec<u8> = (0..1000)
                .map(|_| {
                    state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                    (mixed >> 56) as u8
                })
                .collect();
            watch_engine(&bytes);
        }
    }
}
