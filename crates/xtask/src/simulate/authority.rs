//! The CAs' side: what they count, by themselves and in true time.

use std::collections::HashMap;

use perennial_lifecycle::budget::{Limit, Purpose};

use super::fleet::{Ca, Fleet};

/// What all CAs together have counted.
#[derive(Default)]
pub(super) struct Authorities {
    /// Who has an order open, and where.
    open: HashMap<u32, Ca>,
    levels: HashMap<(u8, Counter), (f64, i64)>,
    pub(super) orders: u64,
    pub(super) duplicates: u64,
    pub(super) exceeded: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Counter {
    Account,
    Domain(u32),
    ExactSet(u32),
    Issuer,
}

impl Authorities {
    /// A new order: counted as the CA would, whatever the engine has counted.
    pub(super) fn open(&mut self, fleet: &Fleet, ca: Ca, index: u32, purpose: Purpose, at: i64) {
        self.orders += 1;
        if self.open.insert(index, ca).is_some() {
            self.duplicates += 1;
        }
        let limits = fleet.limits(ca);
        self.count(ca, Counter::Issuer, limits.issuer, at);
        if purpose == Purpose::SuggestedRenewal && limits.exempts_suggested_renewals {
            return;
        }
        self.count(ca, Counter::ExactSet(index), limits.exact_set, at);
        if purpose == Purpose::First || !limits.exempts_renewals {
            self.count(ca, Counter::Account, limits.account, at);
            self.count(ca, Counter::Domain(fleet.zone(index)), limits.domain, at);
        }
    }

    pub(super) fn close(&mut self, index: u32) {
        self.open.remove(&index);
    }

    /// Orders that are open here and that the engine knows nothing of.
    pub(super) fn lost(&self, fleet: &Fleet) -> usize {
        let forgotten = |(index, ca): &(&u32, &Ca)| {
            fleet.certificates.get(**index as usize).is_none_or(|certificate| certificate.order != Some(**ca))
        };
        self.open.iter().filter(forgotten).count()
    }

    /// A bucket with a level and a clock of its own: not the engine's arithmetic.
    fn count(&mut self, ca: Ca, counter: Counter, limit: Option<Limit>, at: i64) {
        let Some(limit) = limit else { return };
        let burst = f64::from(limit.burst());
        let (level, last) = self.levels.entry((ca as u8, counter)).or_insert((burst, at));
        #[expect(clippy::cast_precision_loss, reason = "seconds of years")]
        let refilled = (at - *last) as f64 / limit.interval().as_secs_f64();
        (*level, *last) = ((*level + refilled).min(burst) - 1.0, at);
        // A millisecond of rounding is nobody's excess.
        self.exceeded += u64::from(*level < -0.01);
    }
}
