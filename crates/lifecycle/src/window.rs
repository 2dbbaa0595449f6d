//! When the CA would like a certificate to be renewed (RFC 9773).

use perennial_core::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    Facts,
    schedule::{Life, Spread},
};

/// When the CA would like one certificate to be renewed (RFC 9773 §4.1, `suggestedWindow`).
///
/// It is kept beside the certificate that it is about ([`Current::window`](crate::Current::window)), so that a
/// restart neither asks again nor chooses again, and goes when that certificate is replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::exhaustive_structs)] // Plain data that issuers, simulations and tests make up.
pub struct SuggestedWindow {
    /// Its first moment.
    pub start: Timestamp,
    /// Its last moment.
    pub end: Timestamp,
    /// A page for people that says why, if the CA has one (`explanationURL`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explanation_url: Option<String>,
    /// When to ask the CA again (§4.3, `Retry-After`).
    pub ask_at: Timestamp,
}

impl SuggestedWindow {
    /// The moment in the window at which this certificate is renewed, or `None` for a window that ends before
    /// it begins, which counts as none at all (§4.2).
    ///
    /// RFC 9773 §4.2 wants a uniform random moment. Here it is a fixed fraction of the window, taken from the
    /// certificate's fingerprint: uniform over a fleet, the same for every replica and after every restart, and
    /// with nothing to write down but the window. A window that moves a little moves the moment a little; one
    /// drawn anew at each poll would creep towards the window's beginning.
    #[must_use]
    pub fn chosen(&self, facts: &Facts) -> Option<Timestamp> {
        let place = Spread::of_fingerprint(&facts.fingerprint);
        (self.end > self.start).then(|| self.start + place.of_width(self.end.since(self.start)))
    }

    /// The same, brought to where it can neither lose the certificate nor loop: not after [`Life::latest`], and
    /// not in the first hour, or quarter, of the certificate's own life. A CA that revokes wants a new one at
    /// once, and gets it; one whose windows lie always in the past gets one an hour.
    pub(crate) fn due(&self, facts: &Facts, life: Life) -> Option<Timestamp> {
        let begins = life.issued_at.max(life.not_before);
        let earliest = (begins + FIRST_HOUR).min(life.earliest());
        self.chosen(facts).map(|chosen| chosen.min(life.latest()).max(earliest))
    }
}

const FIRST_HOUR: std::time::Duration = std::time::Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const DAY: i64 = 86_400;

    fn facts(fingerprint: &str) -> Facts {
        let (der, _) = crate::facts::tests::certificate(&["a.example"], 0, 90 * DAY);
        Facts { fingerprint: fingerprint.to_owned(), ..Facts::from_der(&der).unwrap() }
    }

    fn window(start: i64, end: i64) -> SuggestedWindow {
        let at = Timestamp::from_unix;
        SuggestedWindow { start: at(start), end: at(end), explanation_url: None, ask_at: at(0) }
    }

    #[test]
    fn the_moment_is_a_fixed_fraction_of_the_window() {
        let chosen = |fingerprint: &str| window(1_000, 2_000).chosen(&facts(fingerprint)).unwrap().unix();
        assert_eq!((chosen("0000ff"), chosen("8000ff"), chosen("ffffff")), (1_000, 1_500, 1_999));
        // Moved by an hour, it is another window with the same fraction.
        assert_eq!(window(4_600, 5_600).chosen(&facts("8000")), Some(Timestamp::from_unix(5_100)));
        // A fingerprint that is none, from a record that somebody has edited.
        assert_eq!((chosen("é"), chosen("")), (1_000, 1_000));
    }

    #[test]
    fn a_window_that_ends_before_it_begins_is_none() {
        assert_eq!(window(2_000, 2_000).chosen(&facts("8000")), None);
        assert_eq!(window(2_000, 1_000).chosen(&facts("8000")), None);
    }

    #[test]
    fn a_window_in_the_past_asks_for_one_certificate_an_hour_and_a_late_one_loses_none() {
        let life = |issued_at| Life::new(&facts("8000"), Timestamp::from_unix(issued_at));
        let due =
            |window: SuggestedWindow, issued_at| window.due(&facts("8000"), life(issued_at)).unwrap().unix();
        assert_eq!(due(window(-9_000, -8_000), 0), 3_600);
        assert_eq!(due(window(-9_000, -8_000), 90 * DAY - 400), 90 * DAY - 300);
        assert_eq!(due(window(500 * DAY, 501 * DAY), 0), 90 * DAY * 19 / 20);
        let latest = life(0).latest();
        assert!(latest < Timestamp::from_unix(90 * DAY) - Duration::from_secs(4 * 86_400));
    }
}
