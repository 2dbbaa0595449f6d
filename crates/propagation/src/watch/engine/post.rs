//! A look-out for a crowd: many names of one zone that wait for one address.
//!
//! A secondary takes a zone over as a whole, so one name tells of all, and a negative answer brings the zone's
//! serial number with it (RFC 2308 §3). While a crowd waits, only the name that joined last is asked about, as
//! often as a single one would be. When it is there, or the serial number has moved (RFC 1982), everybody is asked
//! about at once. An answer without a serial number, such as an old value, is made up for with a question for the
//! SOA record. Servers behind an API do not always count their changes, and serve each name when it is ready, so
//! that every few seconds everybody is asked about in any case.

use std::{collections::HashSet, time::Duration};

use perennial_core::DomainName;

use super::{Alarm, Engine, PostId, WatchId};
use crate::{
    transport::{Endpoint, Reply, TransportError},
    watch::{FLAT, Purpose, Question, Schedule, Ticket},
    wire::{Query, RecordType},
};

#[derive(Debug)]
pub(super) struct Post {
    endpoint: Endpoint,
    zone: DomainName,
    /// Whoever waits here, parked or not.
    waiting: HashSet<WatchId>,
    /// The questions that wait for the look-out, the newest last.
    parked: Vec<(WatchId, Question)>,
    schedule: Schedule,
    /// When the schedule began, or began anew.
    began: Duration,
    /// When the look-out is asked about next.
    next_turn: Option<Duration>,
    alarm: Option<Duration>,
    swept: Duration,
    /// Whether something has moved since.
    moved: bool,
    serial: Option<u32>,
    /// Whether answers do not bring the serial number along.
    must_ask_for_serial: bool,
}

/// More names than this are a crowd: below, the questions that would be saved are not worth a second round trip.
const CROWD: usize = 8;
/// A crowd that has shrunk to this dissolves.
const FEW: usize = 4;
/// Everybody is asked about this often, whatever the look-out says: the cap of [`Schedule`].
const SWEEP: Duration = Duration::from_secs(5);
/// The least time between two sweeps for each name of a crowd: 2 000 questions a second to one address.
const SPACING: Duration = Duration::from_micros(500);
/// And whatever the crowd, no more often than a single name is asked about.
const LEAST_SPACING: Duration = Duration::from_millis(250);

impl Post {
    fn new(endpoint: Endpoint, zone: DomainName, now: Duration, seed: u64) -> Self {
        Self {
            endpoint,
            zone,
            waiting: HashSet::new(),
            parked: Vec::new(),
            schedule: Schedule::new(seed),
            began: now,
            next_turn: None,
            alarm: None,
            swept: now,
            moved: false,
            serial: None,
            must_ask_for_serial: false,
        }
    }

    fn spacing(&self) -> Duration {
        let crowd = u32::try_from(self.parked.len()).unwrap_or(u32::MAX);
        SPACING.saturating_mul(crowd).max(LEAST_SPACING)
    }

    /// When everybody is asked about next, if nothing else happens.
    fn next_sweep(&self) -> Duration {
        let spacing = self.spacing();
        self.swept + if self.moved { spacing } else { spacing.max(SWEEP) }
    }

    /// Takes a serial number that the server told; whether it is newer than the last.
    fn take_serial(&mut self, told: Option<u32>) -> bool {
        self.must_ask_for_serial = told.is_none();
        let Some(told) = told else { return false };
        let newer = self.serial.is_some_and(|known| is_newer(told, known));
        if newer || self.serial.is_none() {
            self.serial = Some(told);
        }
        newer
    }
}

/// RFC 1982 §3.2. Two numbers that lie half the circle apart are in no order; then the later answer counts as
/// the newer, since a needless look is cheaper than a missed one.
pub(crate) const fn is_newer(told: u32, known: u32) -> bool {
    told != known && told.wrapping_sub(known) <= 1 << 31
}

impl Engine {
    /// Lets a question wait for the look-out, if a crowd waits where it goes.
    pub(super) fn park(&mut self, id: WatchId, question: &Question) -> bool {
        let Some(zone) = question.zone.as_ref().filter(|_| question.purpose == Purpose::Repeat) else {
            return false;
        };
        let post_id = self.post(&question.endpoint, zone);
        let (Some(post), Some(entry)) = (self.posts.get_mut(&post_id), self.watches.get_mut(&id)) else {
            return false;
        };
        if post.waiting.insert(id) {
            entry.posts.push(post_id);
            // For a newcomer the server is looked at as often as if it were alone.
            if entry.start > post.began && self.now < entry.start + FLAT {
                post.began = entry.start;
                post.schedule.restart();
                post.next_turn = None;
            }
        }
        if post.waiting.len() <= CROWD && post.parked.is_empty() {
            return false;
        }
        if post.parked.is_empty() {
            post.swept = self.now;
        }
        entry.watch.hold(question.ticket);
        post.parked.push((id, question.clone()));
        if post.next_turn.is_none() {
            post.next_turn = Some(self.now + post.schedule.gap(self.now.saturating_sub(post.began)));
        }
        self.set_alarm(post_id);
        true
    }

    fn post(&mut self, endpoint: &Endpoint, zone: &DomainName) -> PostId {
        let key = (endpoint.clone(), zone.clone());
        if let Some(id) = self.post_ids.get(&key) {
            return *id;
        }
        let number = self.next_number();
        let post = Post::new(key.0.clone(), key.1.clone(), self.now, self.seed.wrapping_add(number));
        self.posts.insert(PostId(number), post);
        self.post_ids.insert(key, PostId(number));
        PostId(number)
    }

    /// A watch waits there no longer.
    pub(super) fn leave(&mut self, post_id: PostId, id: WatchId) {
        let Some(post) = self.posts.get_mut(&post_id) else { return };
        post.waiting.remove(&id);
        let few = post.waiting.len() <= FEW;
        if few && !post.parked.is_empty() {
            self.sweep(post_id);
        }
        if self.posts.get(&post_id).is_some_and(|post| post.waiting.is_empty())
            && let Some(post) = self.posts.remove(&post_id)
        {
            post.alarm.map(|at| self.timers.remove(&(at, Alarm::Post(post_id))));
            self.post_ids.remove(&(post.endpoint, post.zone));
        }
    }

    /// The alarm of a post has rung.
    pub(super) fn turn(&mut self, post_id: PostId) {
        let Some(post) = self.posts.get_mut(&post_id) else { return };
        post.alarm = None;
        let sweep = self.now >= post.next_sweep();
        if sweep || post.next_turn.is_some_and(|turn| self.now >= turn) {
            post.next_turn = Some(self.now + post.schedule.gap(self.now.saturating_sub(post.began)));
            if sweep {
                self.sweep(post_id);
            } else {
                self.look_out(post_id);
            }
        }
        self.set_alarm(post_id);
    }

    /// Asks about one name on behalf of all.
    fn look_out(&mut self, post_id: PostId) {
        while let Some((id, question)) = self.posts.get_mut(&post_id).and_then(|post| post.parked.pop()) {
            if self.release(id, question.ticket) {
                self.ask(Some(id), question, true);
                break;
            }
        }
        let Some(post) = self.posts.get(&post_id).filter(|post| post.must_ask_for_serial) else { return };
        let question = Question {
            // Nobody's: a post has no place to keep.
            ticket: Ticket(0),
            endpoint: post.endpoint.clone(),
            query: Query::authoritative(post.zone.clone(), RecordType::Soa),
            purpose: Purpose::Serial,
            zone: Some(post.zone.clone()),
        };
        self.ask(None, question, true);
    }

    /// Asks about everybody.
    fn sweep(&mut self, post_id: PostId) {
        let Some(post) = self.posts.get_mut(&post_id) else { return };
        (post.swept, post.moved) = (self.now, false);
        for (id, question) in std::mem::take(&mut post.parked) {
            if self.release(id, question.ticket) {
                self.ask(Some(id), question, false);
            }
        }
    }

    fn release(&mut self, id: WatchId, ticket: Ticket) -> bool {
        let Some(entry) = self.watches.get_mut(&id) else { return false };
        entry.watch.release(self.now.saturating_sub(entry.start), ticket)
    }

    /// Lets a post know what its server said, whatever it was asked.
    pub(super) fn report_to(
        &mut self,
        post_id: PostId,
        answer: &Result<Reply, TransportError>,
        lookout: bool,
        moved: bool,
    ) {
        let Some(post) = self.posts.get_mut(&post_id) else { return };
        let serial = answer.as_ref().ok().and_then(|reply| reply.answer.serial());
        let newer = (lookout || serial.is_some()) && answer.is_ok() && post.take_serial(serial);
        if newer || lookout && moved {
            // Those who are being asked at the moment may have been answered before it moved: for them, too,
            // there will be a sweep.
            post.moved = true;
            if !post.parked.is_empty() && self.now >= post.next_sweep() {
                self.sweep(post_id);
            }
            self.set_alarm(post_id);
        }
    }

    fn set_alarm(&mut self, post_id: PostId) {
        let Some(post) = self.posts.get_mut(&post_id) else { return };
        let next = post.next_turn.map_or_else(|| post.next_sweep(), |turn| turn.min(post.next_sweep()));
        // While nobody is parked there is nothing to do; whoever parks next sets it again.
        let alarm = (!post.parked.is_empty()).then(|| next.max(self.now));
        if alarm != post.alarm {
            let old = std::mem::replace(&mut post.alarm, alarm);
            old.map(|at| self.timers.remove(&(at, Alarm::Post(post_id))));
            alarm.map(|at| self.timers.insert((at, Alarm::Post(post_id))));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rfc1982_3_2_serial_numbers_are_compared_on_a_circle() {
        for (told, known, newer) in [
            (2, 1, true),
            (1, 2, false),
            (1, 1, false),
            (0, u32::MAX, true),
            (u32::MAX, 0, false),
            (2_147_483_647, 0, true),
            (2_147_483_649, 0, false),
            (2_147_483_648, 0, true),
        ] {
            assert_eq!(is_newer(told, known), newer, "{told} after {known}");
        }
    }

    proptest! {
        #[test]
        fn of_two_numbers_at_most_one_is_newer_but_for_opposite_ones(one: u32, two: u32) {
            let both = is_newer(one, two) && is_newer(two, one);
            prop_assert_eq!(both, one.wrapping_sub(two) == 1 << 31);
        }
    }
}
