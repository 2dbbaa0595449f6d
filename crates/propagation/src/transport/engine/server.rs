//! What is known of a server: how fast it is, how much it takes, what it cannot do.

use std::{
    collections::{HashMap, VecDeque},
    net::{IpAddr, SocketAddr, SocketAddrV6},
    time::Duration,
};

use slab::Slab;

use super::{Key, question::STORM};
use crate::wire::Query;

/// One address.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    /// Questions that wait to be sent.
    pub(super) queue: VecDeque<Key>,
    /// Whether it is in the list of those who have something to send.
    pub(super) ready: bool,
    /// Questions that wait for an answer.
    pub(super) in_flight: usize,
    /// Questions that wait until it may hear them again.
    pub(super) held: usize,
    /// The most that may be in flight, as far as it has shown.
    window: usize,
    shrunk: Duration,
    round_trip: Option<RoundTrip>,
    /// Accepted from it, and dropped though it came from its address, since we know it.
    pub(super) right: u64,
    pub(super) wrong: u64,
    /// How many wrong ones have come since it was last looked whom they harm, and when that was.
    unweighed: u64,
    weighed: Option<Duration>,
    /// Questions given up in a row.
    silent: u32,
    /// When it last said something, or was first asked after that.
    quiet_since: Duration,
    /// How often it has lost something since it last answered.
    backoff: u32,
    used: Duration,
    plain: Until,
    caseless: Until,
    cookieless: Until,
    /// How often in a row only the try without a cookie was answered.
    suspicion: u8,
    /// Ours, and the one it gave us: RFC 7873 §4.
    client_cookie: [u8; 8],
    server_cookie: Vec<u8>,
}

/// RFC 6298 §2.
#[derive(Clone, Copy)]
struct RoundTrip {
    smoothed: Duration,
    variation: Duration,
}

/// A thing that is remembered for a while: servers are replaced, and routes change.
#[derive(Clone, Copy, Default)]
struct Until(Option<Duration>);

impl Until {
    const fn set(&mut self, now: Duration) {
        self.0 = Some(now.saturating_add(MEMORY));
    }

    fn holds(self, now: Duration) -> bool {
        self.0.is_some_and(|until| now < until)
    }
}

impl Server {
    fn new(address: SocketAddr, client_cookie: [u8; 8]) -> Self {
        Self {
            address,
            queue: VecDeque::new(),
            ready: false,
            in_flight: 0,
            held: 0,
            window: WINDOW,
            shrunk: Duration::ZERO,
            round_trip: None,
            right: 0,
            wrong: 0,
            unweighed: 0,
            weighed: None,
            silent: 0,
            quiet_since: Duration::ZERO,
            backoff: 0,
            used: Duration::ZERO,
            plain: Until::default(),
            caseless: Until::default(),
            cookieless: Until::default(),
            suspicion: 0,
            client_cookie,
            server_cookie: Vec::new(),
        }
    }

    /// How many more questions it may be sent now, where `most` may be in flight.
    pub(super) fn room(&self, most: usize) -> usize {
        self.window.min(most).saturating_sub(self.in_flight)
    }

    /// How long the first try of this question waits. The second waits twice as long.
    pub(super) fn patience(&self, query: &Query) -> Duration {
        let wait = self.round_trip.map_or(FIRST_WAIT, |trip| {
            (trip.smoothed + (trip.variation * 4).max(GRANULARITY)).clamp(LEAST_WAIT, MOST_WAIT)
        });
        // A server that has just lost something is perhaps only busy: RFC 6298 §5.5 and §5.6.
        let wait = (wait * (1 << self.backoff.min(3))).min(MOST_WAIT);
        // A recursive server may have to ask half the world first, whatever its last answer took.
        if query.recursion_desired { wait.max(FIRST_WAIT) * 2 } else { wait }
    }

    /// An answer was accepted; `trip` when it is known which datagram it answers (RFC 6298 §3).
    pub(super) fn heard(&mut self, now: Duration, trip: Option<Duration>, most: usize) {
        self.right += 1;
        (self.silent, self.backoff, self.quiet_since) = (0, 0, now);
        self.window = (self.window + 1).min(most);
        let Some(trip) = trip else { return };
        self.round_trip = Some(match self.round_trip {
            None => RoundTrip { smoothed: trip, variation: trip / 2 },
            Some(RoundTrip { smoothed, variation }) => RoundTrip {
                variation: (variation * 3 + smoothed.abs_diff(trip)) / 4,
                smoothed: (smoothed * 7 + trip) / 8,
            },
        });
    }

    /// A wrong answer has come from its address. Whether to look now which questions are in danger.
    pub(super) fn doubts(&mut self, now: Duration) -> bool {
        self.wrong += 1;
        self.unweighed += 1;
        let lately = self.weighed.is_some_and(|weighed| now.saturating_sub(weighed) < WEIGHED);
        let look = self.unweighed >= STORM && !lately && self.in_flight > 0;
        if look {
            (self.unweighed, self.weighed) = (0, Some(now));
        }
        look
    }

    /// A try was lost: less at a time, but one burst of losses counts once.
    pub(super) fn lost(&mut self, now: Duration) {
        let trip = self.round_trip.map_or(FIRST_WAIT, |trip| trip.smoothed.max(LEAST_WAIT));
        if now.saturating_sub(self.shrunk) >= trip {
            self.shrunk = now;
            self.window = (self.window / 2).max(LEAST_WINDOW);
            self.backoff += 1;
        }
    }

    /// A question was given up. Whether it is one too many: then the server is taken for silent.
    pub(super) fn gave_up(&mut self, now: Duration) -> bool {
        self.silent = self.silent.saturating_add(1);
        self.has_gone(now)
    }

    /// Whether nothing has come back for long, and somebody is waiting to hear otherwise.
    pub(super) fn is_silent(&self, now: Duration) -> bool {
        self.has_gone(now) && self.in_flight > 0
    }

    fn has_gone(&self, now: Duration) -> bool {
        self.silent >= SILENT && now.saturating_sub(self.quiet_since) >= QUIET
    }

    /// The first question after a while goes out: the silence counts from here.
    pub(super) const fn awaits(&mut self, now: Duration) {
        if self.in_flight == 0 && self.silent == 0 {
            self.quiet_since = now;
        }
    }

    /// It has answered FORMERR, NOTIMP or BADVERS to a question with EDNS, and otherwise to the same without.
    pub(super) const fn knows_no_edns(&mut self, now: Duration) {
        self.plain.set(now);
    }

    pub(super) fn takes_edns(&self, now: Duration) -> bool {
        !self.plain.holds(now)
    }

    /// It has changed the case of the letters in its answer.
    pub(super) const fn folds_case(&mut self, now: Duration) {
        self.caseless.set(now);
    }

    pub(super) fn keeps_case(&self, now: Duration) -> bool {
        !self.caseless.holds(now)
    }

    /// Learns from an answer whether cookies pass: perhaps questions with one are lost on the way, and those
    /// without are not.
    pub(super) const fn weigh_cookies(&mut self, now: Duration, sent: bool, dropped: bool) {
        if sent {
            self.suspicion = 0;
        } else if dropped {
            self.suspicion += 1;
            if self.suspicion >= SUSPICIOUS {
                self.suspicion = 0;
                self.cookieless.set(now);
            }
        }
    }

    /// Whether it has ever shown that it knows cookies.
    pub(super) const fn gave_cookie(&self) -> bool {
        !self.server_cookie.is_empty()
    }

    /// Writes the COOKIE option of the next question: RFC 7873 §5.1.
    pub(super) fn cookie(&self, now: Duration, into: &mut Vec<u8>) {
        into.clear();
        if !self.cookieless.holds(now) {
            into.extend_from_slice(&self.client_cookie);
            into.extend_from_slice(&self.server_cookie);
        }
    }

    /// Looks at the COOKIE option of an answer, and keeps the server's part (RFC 7873 §5.3). Whether the
    /// answer may be believed.
    pub(super) fn check_cookie(&mut self, cookie: Option<&[u8]>) -> Credence {
        let Some(cookie) = cookie else {
            return if self.gave_cookie() { Credence::Doubtful } else { Credence::Good };
        };
        match cookie.split_first_chunk::<8>() {
            Some((client, server)) if *client == self.client_cookie => {
                if (8..=32).contains(&server.len()) && self.server_cookie != server {
                    self.server_cookie = server.to_vec();
                }
                Credence::Good
            }
            _ => Credence::None,
        }
    }

    /// It no longer sends cookies; other instances of it may never have.
    pub(super) fn forget_cookie(&mut self) {
        self.server_cookie.clear();
    }

    fn is_idle(&self) -> bool {
        self.in_flight == 0 && self.held == 0 && self.queue.is_empty()
    }
}

/// What a cookie says of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Credence {
    /// As much as can be asked of this server.
    Good,
    /// Not ours: a forgery.
    None,
    /// None, though this server knows cookies.
    Doubtful,
}

/// All servers that were asked lately.
pub(super) struct Servers {
    known: Slab<Server>,
    by_address: HashMap<SocketAddr, u32>,
    /// Whom the last look-up found: answers come in bursts.
    last: Option<(SocketAddr, u32)>,
}

impl Servers {
    pub(super) fn new() -> Self {
        Self { known: Slab::new(), by_address: HashMap::new(), last: None }
    }

    pub(super) fn get(&mut self, key: u32) -> Option<&mut Server> {
        self.known.get_mut(usize::try_from(key).ok()?)
    }

    pub(super) fn find(&mut self, address: SocketAddr) -> Option<u32> {
        let address = plain(address);
        match self.last {
            Some((last, key)) if last == address => Some(key),
            _ => {
                let key = *self.by_address.get(&address)?;
                self.last = Some((address, key));
                Some(key)
            }
        }
    }

    /// The server at this address; `cookie` makes its client cookie when it is new.
    pub(super) fn at(
        &mut self,
        now: Duration,
        address: SocketAddr,
        cookie: impl FnOnce(SocketAddr) -> [u8; 8],
    ) -> u32 {
        let address = plain(address);
        let key = self.find(address).unwrap_or_else(|| {
            self.make_room(now);
            let key =
                u32::try_from(self.known.insert(Server::new(address, cookie(address)))).unwrap_or(u32::MAX);
            self.by_address.insert(address, key);
            key
        });
        if let Some(server) = self.get(key) {
            server.used = now;
        }
        key
    }

    /// Forgets what is asked, and nothing else.
    pub(super) fn hold(&mut self) {
        for (_, server) in &mut self.known {
            (server.in_flight, server.held, server.ready) = (0, 0, false);
            server.queue.clear();
        }
    }

    /// Forgets those that nobody has asked lately, then those that nobody is asking now.
    fn make_room(&mut self, now: Duration) {
        for age in [MEMORY / 10, Duration::ZERO] {
            if self.known.len() < MAX_KNOWN {
                return;
            }
            self.last = None;
            self.known.retain(|_, server| !server.is_idle() || now.saturating_sub(server.used) < age);
            let known = &self.known;
            self.by_address.retain(|_, key| usize::try_from(*key).is_ok_and(|key| known.contains(key)));
        }
    }
}

/// An address as answers carry it: the flow label says nothing, and the zone only of link-local addresses.
fn plain(address: SocketAddr) -> SocketAddr {
    match (address.ip(), address) {
        (IpAddr::V6(ip), SocketAddr::V6(v6)) => {
            let scope = if ip.is_unicast_link_local() { v6.scope_id() } else { 0 };
            SocketAddrV6::new(ip, address.port(), 0, scope).into()
        }
        _ => address,
    }
}

/// Before anything is known: a loss is far more common than an answer that takes longer, and a repeated
/// datagram is cheap.
pub(super) const FIRST_WAIT: Duration = Duration::from_millis(400);
/// Servers and this host have their pauses, which are no losses; TCP waits as long at least.
const LEAST_WAIT: Duration = Duration::from_millis(200);
/// Beyond this TCP is the better try.
const MOST_WAIT: Duration = Duration::from_millis(1600);
/// RFC 6298 §2.3, "G": what a pause of the scheduler may add.
const GRANULARITY: Duration = Duration::from_millis(20);
/// How much a server that nobody knows is sent at once: what the socket buffer of any system holds.
const WINDOW: usize = 64;
/// How little a server that loses much is sent at once.
const LEAST_WINDOW: usize = 8;
/// So many questions in a row, each sent twice, are not lost by chance.
const SILENT: u32 = 8;
/// Nor is a server gone that only pauses for less than this: two tries of the first question to it.
const QUIET: Duration = Duration::from_millis(1200);
/// How often it is looked which questions a flood of wrong answers harms: it costs a look at all of them, and a
/// flood brings some thousand guesses meanwhile.
const WEIGHED: Duration = Duration::from_millis(2);
/// Once is a lost datagram.
const SUSPICIOUS: u8 = 2;
/// For how long it is remembered what a server cannot do.
const MEMORY: Duration = Duration::from_secs(600);
/// Name servers that are kept in mind. A fleet of zones has some hundreds.
const MAX_KNOWN: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::RecordType;

    fn server() -> Server {
        Server::new("192.0.2.1:53".parse().unwrap(), *b"clientck")
    }

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn patience_follows_the_round_trips() {
        let authoritative = Query::authoritative("a.example".parse().unwrap(), RecordType::Txt);
        let recursive = Query::recursive("a.example".parse().unwrap(), RecordType::Txt);
        let mut server = server();
        assert_eq!(server.patience(&authoritative), millis(400));
        assert_eq!(server.patience(&recursive), millis(800));
        server.heard(millis(0), Some(millis(100)), 64);
        assert_eq!(server.patience(&authoritative), millis(300), "RFC 6298 §2.2");
        for _ in 0..100 {
            server.heard(millis(0), Some(millis(1)), 64);
        }
        assert_eq!(server.patience(&authoritative), LEAST_WAIT);
        assert_eq!(server.patience(&recursive), millis(800), "a cached answer says nothing of the next");
        for _ in 0..100 {
            server.heard(millis(0), Some(millis(5_000)), 64);
        }
        assert_eq!(server.patience(&authoritative), MOST_WAIT);
        server.heard(millis(0), None, 64);
        assert_eq!(server.patience(&authoritative), MOST_WAIT);
    }

    #[test]
    fn a_server_that_answers_gets_more_at_once_and_one_that_loses_gets_less() {
        let mut server = server();
        assert_eq!(server.room(200), 64);
        for _ in 0..500 {
            server.heard(millis(0), None, 200);
        }
        assert_eq!(server.room(300), 200);
        server.lost(millis(1_000));
        server.lost(millis(1_001));
        assert_eq!(server.room(200), 100, "one burst of losses counts once");
        for round in 2..20 {
            server.lost(millis(round * 1_000));
        }
        assert_eq!(server.room(200), LEAST_WINDOW);
    }

    #[test]
    fn what_a_server_cannot_do_is_remembered_for_a_while() {
        let mut server = server();
        server.knows_no_edns(millis(5));
        assert!(!server.takes_edns(millis(6)) && server.keeps_case(millis(6)));
        assert!(server.takes_edns(MEMORY + millis(5)));
    }

    #[test]
    fn a_flood_of_wrong_answers_is_looked_at_now_and_then() {
        let mut server = server();
        server.in_flight = 1;
        let looks = |server: &mut Server, at| (0..10_000).filter(|_| server.doubts(millis(at))).count();
        assert_eq!(looks(&mut server, 5), 1);
        assert_eq!(looks(&mut server, 6), 0);
        assert_eq!(looks(&mut server, 7), 1);
    }

    #[test]
    fn a_cookie_is_ours_or_the_answer_is_a_forgery() {
        let mut server = server();
        let mut sent = Vec::new();
        server.cookie(millis(0), &mut sent);
        assert_eq!(sent, b"clientck");
        assert_eq!(server.check_cookie(None), Credence::Good);
        assert_eq!(server.check_cookie(Some(b"clientckTHESERVER")), Credence::Good);
        server.cookie(millis(0), &mut sent);
        assert_eq!(sent, b"clientckTHESERVER");
        assert_eq!(server.check_cookie(Some(b"stranger")), Credence::None);
        assert_eq!(server.check_cookie(Some(b"short")), Credence::None);
        assert_eq!(server.check_cookie(None), Credence::Doubtful);
        server.forget_cookie();
        assert_eq!(server.check_cookie(None), Credence::Good);
    }

    #[test]
    fn addresses_that_are_one_server_are_found_and_idle_ones_forgotten() {
        let mut servers = Servers::new();
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let key = servers.at(millis(0), address("[2001:db8::1%3]:53"), |_| [0; 8]);
        assert_eq!(servers.find(address("[2001:db8::1]:53")), Some(key));
        assert_eq!(servers.find(address("[fe80::1%3]:53")), None);
        for port in 1..=u16::try_from(MAX_KNOWN).unwrap() {
            servers.at(millis(1), SocketAddr::from(([192, 0, 2, 1], port)), |_| [0; 8]);
        }
        assert!(servers.known.len() <= MAX_KNOWN);
        assert_eq!(servers.known.len(), servers.by_address.len());
    }
}
