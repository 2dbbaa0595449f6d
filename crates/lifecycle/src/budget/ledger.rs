//! Many buckets by their keys.

use std::{collections::HashMap, fmt, time::Duration};

use perennial_core::Timestamp;

use super::{Bucket, BudgetKey, Charge, Demand, take};
use crate::{ClockJump, schedule::Spread};

/// Many buckets by their keys: the budgets of one process, or the copy that it has of shared ones.
///
/// What it holds goes to a store and comes back as pairs ([`iter`](Self::iter), `FromIterator`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Budgets {
    buckets: HashMap<BudgetKey, Bucket>,
}

impl Budgets {
    /// Takes all that an attempt demands, or nothing.
    ///
    /// # Errors
    /// [`Refusal`] that names the budget that is used up.
    pub fn take(&mut self, demands: &[Demand], now: Timestamp) -> Result<(), Refusal> {
        let from: Vec<_> = demands.iter().map(|demand| (demand.limit, self.bucket(&demand.key))).collect();
        match take(&from, now) {
            Ok(taken) => {
                let pairs = demands.iter().map(|demand| demand.key.clone()).zip(taken);
                self.buckets.extend(pairs);
                Ok(())
            }
            Err(shortage) => {
                let key = demands.get(shortage.which).map_or(BudgetKey::Fleet, |demand| demand.key.clone());
                Err(Refusal { key, until: shortage.until })
            }
        }
    }

    /// Gives back what only a failure would have spent.
    pub fn succeeded(&mut self, demands: &[Demand]) {
        for demand in demands.iter().filter(|demand| demand.charge == Charge::OnFailure) {
            self.give_back(demand);
        }
    }

    /// Gives everything back: the attempt was not made after all.
    pub fn cancelled(&mut self, demands: &[Demand]) {
        demands.iter().for_each(|demand| self.give_back(demand));
    }

    /// Empties a bucket: the other side has refused, so it has counted more than we have.
    pub fn exhausted(&mut self, demand: &Demand, now: Timestamp) {
        self.buckets.insert(demand.key.clone(), Bucket::emptied(demand.limit, now));
    }

    /// Follows a jump of our clock; the other side's did not jump.
    pub fn clock_jumped(&mut self, jump: ClockJump) {
        self.buckets.values_mut().for_each(|bucket| *bucket = bucket.after(jump));
    }

    /// Forgets the buckets that are full again: a fleet meets many domains.
    pub fn forget_full(&mut self, now: Timestamp) {
        self.buckets.retain(|_, bucket| !bucket.is_full(now));
    }

    /// The state of one bucket.
    #[must_use]
    pub fn bucket(&self, key: &BudgetKey) -> Bucket {
        self.buckets.get(key).copied().unwrap_or(Bucket::FULL)
    }

    /// All buckets that somebody has used, for a store or for metrics, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&BudgetKey, &Bucket)> {
        self.buckets.iter()
    }

    fn give_back(&mut self, demand: &Demand) {
        if let Some(bucket) = self.buckets.get_mut(&demand.key) {
            *bucket = bucket.give_back(demand.limit);
        }
    }
}

impl FromIterator<(BudgetKey, Bucket)> for Budgets {
    fn from_iter<I: IntoIterator<Item = (BudgetKey, Bucket)>>(pairs: I) -> Self {
        Self { buckets: pairs.into_iter().collect() }
    }
}

/// A budget is used up.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs)] // Which and until when.
pub struct Refusal {
    /// Which.
    pub key: BudgetKey,
    /// When everything that was demanded can be had.
    pub until: Timestamp,
}

impl Refusal {
    const SHORTEST_SPREAD: Duration = Duration::from_secs(60);
    /// All who wait for one bucket are back within so long.
    pub(crate) const LONGEST_SPREAD: Duration = Duration::from_secs(3_600);

    /// When somebody who was refused comes back, whose certificate ends then: at its place in the hour after the
    /// next token, or in an eighth of what is left, so that who ends soon comes sooner. All who wait for the same
    /// bucket would otherwise come for its next token at once, again and again.
    ///
    /// ```
    /// use perennial_core::Timestamp;
    /// use perennial_lifecycle::{budget::{BudgetKey, Refusal}, schedule::Spread};
    ///
    /// let at = Timestamp::from_unix;
    /// let refusal = Refusal { key: BudgetKey::Fleet, until: at(100) };
    /// let in_the_middle = Spread::at(1 << 15);
    /// assert_eq!(refusal.returns_at(in_the_middle, None, at(0)), at(1_900));
    /// assert_eq!(refusal.returns_at(in_the_middle, Some(at(8_000)), at(0)), at(600));
    /// ```
    #[must_use]
    pub fn returns_at(&self, spread: Spread, expires: Option<Timestamp>, now: Timestamp) -> Timestamp {
        let left = expires.map(|expires| expires.since(now) / 8);
        let longest = Self::LONGEST_SPREAD;
        let width = left.map_or(longest, |left| left.clamp(Self::SHORTEST_SPREAD, longest));
        self.until + spread.of_width(width)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the budget for {} is used up until {}", self.key, self.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        CertificateSpec,
        budget::{Limits, Purpose},
    };

    const DAY: i64 = 86_400;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(seconds)
    }

    fn demands(name: &str) -> Vec<Demand> {
        let spec = CertificateSpec::new("a", [name]).unwrap();
        Limits::lets_encrypt().demands(&spec, Purpose::First)
    }

    #[test]
    fn fifty_names_of_a_domain_a_week_and_the_refusal_costs_nothing() {
        let mut budgets = Budgets::default();
        for number in 0..50 {
            budgets.take(&demands(&format!("h{number}.shop.example")), at(0)).unwrap();
        }
        let before = budgets.clone();
        let refusal = budgets.take(&demands("h50.shop.example"), at(0)).unwrap_err();
        assert_eq!(refusal.until, at(7 * DAY / 50));
        assert!(refusal.to_string().contains("shop.example"), "{refusal}");
        assert_eq!(budgets, before);
        assert!(budgets.take(&demands("h0.other.example"), at(0)).is_ok());
    }

    #[test]
    fn proofs_that_succeed_cost_nothing_and_those_that_fail_run_out() {
        let spec = CertificateSpec::new("a", ["a.example"]).unwrap();
        let demands = Limits { exact_set: None, ..Limits::lets_encrypt() }.demands(&spec, Purpose::Renewal);
        let mut budgets = Budgets::default();
        for _ in 0..20 {
            budgets.take(&demands, at(0)).unwrap();
            budgets.succeeded(&demands);
        }
        for _ in 0..5 {
            budgets.take(&demands, at(0)).unwrap();
        }
        assert_eq!(budgets.take(&demands, at(0)).unwrap_err().until, at(720));
        budgets.cancelled(&demands);
        assert!(budgets.take(&demands, at(0)).is_ok());
    }

    #[test]
    fn what_goes_to_a_store_comes_back_and_full_buckets_are_forgotten() {
        let mut budgets = Budgets::default();
        budgets.take(&demands("a.example"), at(0)).unwrap();
        let text = serde_json::to_string(&budgets.iter().collect::<Vec<_>>()).unwrap();
        let stored: Vec<(BudgetKey, Bucket)> = serde_json::from_str(&text).unwrap();
        assert_eq!(stored.into_iter().collect::<Budgets>(), budgets);
        budgets.forget_full(at(2 * DAY));
        assert_eq!(budgets, Budgets::default());
    }

    #[test]
    fn a_clock_that_jumps_and_says_so_neither_spends_nor_refills() {
        let mut budgets = Budgets::default();
        let demands = demands("a.example");
        (0..5).for_each(|_| budgets.take(&demands, at(0)).unwrap());
        budgets.clock_jumped(ClockJump::Ahead(Duration::from_secs(30 * 86_400)));
        assert!(budgets.take(&demands, at(30 * DAY)).is_err());
        budgets.clock_jumped(ClockJump::Back(Duration::from_secs(30 * 86_400)));
        assert_eq!(budgets.take(&demands, at(0)).unwrap_err().until, at(7 * DAY / 5));
        budgets.exhausted(&demands[0], at(0));
        assert!(budgets.take(&demands[..1], at(0)).is_err());
    }
}
