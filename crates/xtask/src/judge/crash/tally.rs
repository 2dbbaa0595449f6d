//! What became of all the lives of a matrix.

use std::{fmt, time::Duration};

use super::witness::Seen;

/// The sums, and the first faults.
#[derive(Default)]
pub(super) struct Tally {
    /// Lives that ended by SIGKILL, each followed by one that recovered.
    pub(super) kills: usize,
    orders: usize,
    /// Orders that died with the process between the answer to newOrder and the note of their URL.
    in_the_gap: usize,
    duplicates: usize,
    certificates: usize,
    pub(super) finalize_requests: usize,
    lost_keys: usize,
    leftovers: usize,
    looks: u64,
    lives: Vec<Duration>,
    faults: Vec<String>,
}

/// What was found after a death and a recovery.
pub(super) struct Finding {
    pub(super) orders: usize,
    /// How many orders died in the gap, as far as is known.
    pub(super) excused: usize,
    pub(super) certificates: usize,
    pub(super) lost_keys: usize,
    pub(super) leftovers: Vec<String>,
    pub(super) debts: usize,
    /// How long the last life took.
    pub(super) took: Duration,
    pub(super) seen: Seen,
}

impl Tally {
    /// Counts a death, by what it was like.
    pub(super) fn add(&mut self, death: &str, finding: Result<Finding, String>) {
        self.kills += 1;
        let finding = match finding {
            Ok(finding) => finding,
            Err(fault) => return self.faults.push(format!("{death}: {fault}")),
        };
        let Finding { orders, certificates, .. } = finding;
        // One order is the certificate's. Another may be placed only where one was lost in the gap.
        let beyond = orders.saturating_sub(1);
        let excused = beyond.min(finding.excused);
        self.orders += orders;
        self.in_the_gap += excused;
        self.duplicates += beyond - excused;
        self.certificates += certificates;
        self.lost_keys += finding.lost_keys;
        self.leftovers += finding.leftovers.len();
        self.looks += finding.seen.looks;
        self.lives.push(finding.took);
        let mut wrong = |so: bool, what: String| {
            if so {
                self.faults.push(format!("{death}: {what}"));
            }
        };
        wrong(beyond > excused, format!("{orders} orders"));
        wrong(certificates != 1, format!("{certificates} certificates"));
        wrong(finding.lost_keys > 0, format!("{} keys are lost", finding.lost_keys));
        wrong(!finding.leftovers.is_empty(), format!("left in the zone: {}", finding.leftovers.join(", ")));
        wrong(finding.debts > 0, format!("{} debts are left on record", finding.debts));
    }

    /// How long a life takes that comes to its end: half of them took longer.
    fn usual_life(&self) -> Duration {
        let mut lives = self.lives.clone();
        lives.sort_unstable();
        lives.get(lives.len() / 2).copied().unwrap_or_default()
    }

    /// All of it in a line, or the first faults.
    pub(super) fn outcome(&self) -> Result<String, String> {
        if self.faults.is_empty() && self.kills > 0 {
            return Ok(self.to_string());
        }
        let first: Vec<&str> = self.faults.iter().take(MOST_FAULTS).map(String::as_str).collect();
        Err(format!("{self}; {} faults: {}", self.faults.len(), first.join("; ")))
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>4} kills: {:>4} orders, {:>3} lost in the gap, {} duplicates; {:>4} certificates, {:>4} finalize \
             requests; {} keys lost, {} records left; {} reads; a life takes {:.2} s",
            self.kills,
            self.orders,
            self.in_the_gap,
            self.duplicates,
            self.certificates,
            self.finalize_requests,
            self.lost_keys,
            self.leftovers,
            self.looks,
            self.usual_life().as_secs_f32(),
        )
    }
}

/// What a person reads before looking for the cause.
const MOST_FAULTS: usize = 5;
