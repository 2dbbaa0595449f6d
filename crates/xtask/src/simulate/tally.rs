//! What became of the fleet, and which promises were broken.

use std::collections::VecDeque;

use super::{
    fleet::FIRST_CYCLE,
    random::mix,
    trouble::{BEGIN, HOUR},
};

/// What became of the fleet.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) issued: u64,
    pub(super) orders: u64,
    pub(super) resumed: u64,
    /// Orders left with a CA that is down, for another that is not.
    pub(super) given_up: u64,
    pub(super) failed: u64,
    pub(super) refused: u64,
    pub(super) restarts: u64,
    pub(super) jumps_made: u64,
    pub(super) jumps_told: u64,
    pub(super) shut_out: u64,
    pub(super) left: u64,
    pub(super) lost_certificates: Vec<String>,
    pub(super) duplicates: u64,
    pub(super) lost_orders: usize,
    pub(super) exceeded: u64,
    pub(super) longest_wait: i64,
    /// When those were begun that are begun in any sixty seconds, not only in a clock's minute.
    in_minute: VecDeque<i64>,
    peak: usize,
    counted: u64,
    minutes: u64,
    digest: u64,
}

impl Tally {
    /// An attempt begins: this is what the world feels, and what the pace is about.
    pub(super) fn begin(&mut self, at: i64) {
        while self.in_minute.front().is_some_and(|begun| *begun + 60 <= at) {
            self.in_minute.pop_front();
        }
        self.in_minute.push_back(at);
        if at >= BEGIN + FIRST_CYCLE {
            self.counted += 1;
            self.peak = self.peak.max(self.in_minute.len());
        }
    }

    /// A certificate was issued.
    pub(super) fn issue(&mut self, index: u32, at: i64, not_after: i64) {
        self.issued += 1;
        self.note(u64::from(index), at, not_after);
    }

    pub(super) fn fail(&mut self, index: u32, at: i64, retry_at: i64) {
        self.failed += 1;
        self.note(!u64::from(index), at, retry_at);
    }

    /// A minute has passed in which the engine lived or not.
    pub(super) fn pass(&mut self, at: i64) {
        self.minutes += u64::from(at >= BEGIN + FIRST_CYCLE);
    }

    fn note(&mut self, what: u64, at: i64, until: i64) {
        self.digest =
            mix(self.digest ^ mix(what) ^ mix(at.cast_unsigned()).rotate_left(1) ^ until.cast_unsigned());
    }

    pub(super) const fn digest(&self) -> u64 {
        self.digest
    }

    #[expect(clippy::cast_precision_loss, reason = "counts")]
    fn mean(&self) -> f64 {
        self.counted as f64 / (self.minutes.max(1)) as f64
    }

    #[expect(clippy::cast_precision_loss, reason = "a count")]
    const fn peak(&self) -> f64 {
        self.peak as f64
    }

    /// The promises that were broken, a sentence each.
    pub(super) fn broken(&self) -> Vec<String> {
        let mut broken = Vec::new();
        let mut check = |holds: bool, says: String| broken.extend((!holds).then_some(says));
        let lost = self.lost_certificates.len();
        let some = self.lost_certificates.iter().take(5).map(String::as_str).collect::<Vec<_>>().join("; ");
        check(lost == 0, format!("{lost} certificates ended though their CA could be reached: {some}"));
        check(self.duplicates == 0, format!("{} orders beside one that was open", self.duplicates));
        check(self.lost_orders == 0, format!("{} open orders that nobody remembers", self.lost_orders));
        check(self.exceeded == 0, format!("{} orders beyond what a CA allows", self.exceeded));
        check(
            self.jumps_told == self.jumps_made,
            format!("{} of {} jumps of the clock were told", self.jumps_told, self.jumps_made),
        );
        // Fewer than three a minute have no peaks worth the name.
        check(
            self.peak() <= (2.0 * self.mean()).max(3.0),
            format!("{} renewals in some sixty seconds, {:.2} on average", self.peak, self.mean()),
        );
        broken
    }

    pub(super) fn print(&self) {
        let Self { issued, orders, resumed, failed, refused, restarts, jumps_told, shut_out, left, .. } =
            self;
        println!(
            "simulate: {issued} issued, {orders} orders, {resumed} times one was taken up again, {failed} attempts failed"
        );
        println!(
            "simulate: {refused} times a budget said later, {} orders beyond a CA's limit",
            self.exceeded
        );
        println!(
            "simulate: {restarts} restarts, {jumps_told} of {} jumps of the clock told",
            self.jumps_made
        );
        println!(
            "simulate: {} ended though reachable, {shut_out} while nobody could be reached, {left} domains left",
            self.lost_certificates.len()
        );
        println!(
            "simulate: {} orders twice, {} lost, {} given up with a CA that was down",
            self.duplicates, self.lost_orders, self.given_up
        );
        println!(
            "simulate: peak {} in any sixty seconds, mean {:.2}, ratio {:.2}; the longest anything that was due waited: {} h",
            self.peak,
            self.mean(),
            self.peak() / self.mean().max(f64::MIN_POSITIVE),
            self.longest_wait / HOUR
        );
        println!("simulate: digest {:016x}", self.digest());
    }
}
