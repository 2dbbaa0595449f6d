//! What became of all the lives of a matrix.

use std::time::Duration;

use super::{
    budgets::{self, Taken},
    witness::Seen,
};

/// The sums, and the first faults.
#[derive(Default)]
pub(super) struct Tally {
    /// Lives that ended or were hurt, each followed by a recovery.
    deaths: usize,
    orders: usize,
    /// Orders that died with the process between the answer to newOrder and the note of their URL.
    in_the_gap: usize,
    duplicates: usize,
    certificates: usize,
    finalizations: u32,
    /// By which orders were paid for.
    tokens: u32,
    lost_keys: usize,
    leftovers: usize,
    looks: u64,
    lives: Vec<Duration>,
    faults: Vec<String>,
}

/// What was found after a death and a recovery.
pub(super) struct Finding {
    /// How many certificates were to be issued: none where one is taken over.
    pub(super) wanted: usize,
    pub(super) orders: usize,
    /// How many orders died in the gap, as far as is known.
    pub(super) excused: usize,
    pub(super) finalizations: u32,
    pub(super) certificates: usize,
    /// What is gone from the budgets.
    pub(super) taken: Vec<Taken>,
    pub(super) lost_keys: usize,
    pub(super) leftovers: Vec<String>,
    pub(super) debts: usize,
    /// How long the last life took.
    pub(super) took: Duration,
    pub(super) seen: Seen,
    /// What is read in the end is not the certificate that was issued.
    pub(super) serves_the_old: bool,
    /// Nor what is where it was to be delivered to.
    pub(super) delivered_the_old: bool,
    /// What else is wrong.
    pub(super) others: Vec<String>,
}

impl Tally {
    /// Counts a death, by what it was like.
    pub(super) fn add(&mut self, death: &str, finding: Result<Finding, String>) {
        self.deaths += 1;
        let finding = match finding {
            Ok(finding) => finding,
            Err(fault) => return self.faults.push(format!("{death}: {fault}")),
        };
        let Finding { wanted, orders, certificates, .. } = finding;
        // One order is the certificate's. Another may be placed only where one was lost in the gap.
        let beyond = orders.saturating_sub(wanted);
        let excused = beyond.min(finding.excused);
        self.orders += orders;
        self.in_the_gap += excused;
        self.duplicates += beyond - excused;
        self.finalizations += finding.finalizations;
        self.certificates += certificates;
        self.tokens += budgets::paid(&finding.taken);
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
        wrong(certificates != wanted, format!("{certificates} certificates"));
        wrong(finding.lost_keys > 0, format!("{} keys are lost", finding.lost_keys));
        wrong(!finding.leftovers.is_empty(), format!("left in the zone: {}", finding.leftovers.join(", ")));
        wrong(finding.serves_the_old, "what serves is not the newest".to_owned());
        wrong(finding.delivered_the_old, "the newest was not delivered".to_owned());
        wrong(finding.debts > 0, format!("{} debts are left on record", finding.debts));
        finding.others.into_iter().for_each(|other| wrong(true, other));
    }

    /// How much was wrong so far.
    pub(super) const fn faults(&self) -> usize {
        self.faults.len()
    }

    /// How long a life takes that comes to its end: half of them took longer.
    fn usual_life(&self) -> Duration {
        let mut lives = self.lives.clone();
        lives.sort_unstable();
        lives.get(lives.len() / 2).copied().unwrap_or_default()
    }

    /// How many deaths there were, or the first faults.
    pub(super) fn outcome(&self) -> Result<String, String> {
        if self.faults.is_empty() && self.deaths > 0 {
            return Ok(format!("{} times, and nothing was lost", self.deaths));
        }
        let first: Vec<&str> = self.faults.iter().take(MOST_FAULTS).map(String::as_str).collect();
        Err(format!("{} faults of {} deaths: {}", self.faults.len(), self.deaths, first.join("; ")))
    }

    /// A row of the table under [`HEAD`].
    pub(super) fn row(&self, name: &str) -> String {
        format!(
            "{name:<34} {:>6} {:>7} {:>7} {:>10} {:>9} {:>12} {:>7} {:>9} {:>12} {:>7} {:>6} {:>6.2} s",
            self.deaths,
            self.orders,
            self.in_the_gap,
            self.duplicates,
            self.finalizations,
            self.certificates,
            self.tokens,
            self.lost_keys,
            self.leftovers,
            self.looks,
            self.faults.len(),
            self.usual_life().as_secs_f32(),
        )
    }
}

/// What the columns of a [`row`](Tally::row) are. An order in the gap is the one that ACME cannot save: it
/// was placed, and the process died before its URL was written down (RFC 8555 §7.4).
pub(super) const HEAD: &str = concat!(
    "                                   deaths  orders  in gap duplicates finalized certificates  tokens keys lost",
    " records left   reads faults   a life"
);

/// What a person reads before looking for the cause.
const MOST_FAULTS: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn finding() -> Finding {
        Finding {
            wanted: 1,
            orders: 1,
            excused: 0,
            finalizations: 1,
            certificates: 1,
            taken: Vec::new(),
            lost_keys: 0,
            leftovers: Vec::new(),
            debts: 0,
            seen: Seen::default(),
            serves_the_old: false,
            delivered_the_old: false,
            others: Vec::new(),
            took: Duration::ZERO,
        }
    }

    fn faults(finding: Finding) -> usize {
        let mut tally = Tally::default();
        tally.add("killed", Ok(finding));
        assert_eq!(tally.outcome().is_err(), !tally.faults.is_empty());
        tally.faults.len()
    }

    #[test]
    fn a_second_order_is_excused_only_by_a_death_in_the_gap() {
        assert_eq!(faults(finding()), 0);
        assert_eq!(faults(Finding { orders: 2, excused: 1, ..finding() }), 0);
        assert_eq!(faults(Finding { orders: 2, ..finding() }), 1);
        assert_eq!(faults(Finding { orders: 3, excused: 1, ..finding() }), 1);
    }

    #[test]
    fn what_is_lost_or_left_is_a_fault() {
        assert_eq!(faults(Finding { lost_keys: 1, ..finding() }), 1);
        assert_eq!(faults(Finding { leftovers: vec!["value".to_owned()], ..finding() }), 1);
        assert_eq!(faults(Finding { debts: 1, ..finding() }), 1);
        assert_eq!(faults(Finding { serves_the_old: true, ..finding() }), 1);
        assert_eq!(faults(Finding { delivered_the_old: true, ..finding() }), 1);
        assert_eq!(faults(Finding { certificates: 2, ..finding() }), 1);
        assert_eq!(faults(Finding { certificates: 0, ..finding() }), 1);
        assert_eq!(faults(Finding { others: vec!["two tokens".to_owned()], ..finding() }), 1);
    }

    #[test]
    fn where_one_is_taken_over_any_order_and_any_certificate_is_a_fault() {
        let taken_over = || Finding { wanted: 0, orders: 0, certificates: 0, ..finding() };
        assert_eq!(faults(taken_over()), 0);
        assert_eq!(faults(Finding { orders: 1, ..taken_over() }), 1);
        assert_eq!(faults(Finding { certificates: 1, ..taken_over() }), 1);
    }

    #[test]
    fn no_death_at_all_is_no_proof() {
        assert!(Tally::default().outcome().is_err());
    }
}
