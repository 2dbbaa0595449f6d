//! One certificate, as its record would have it: all that survives a restart.

use perennial_core::Timestamp;
use perennial_lifecycle::{Facts, Failures, SuggestedWindow};

use super::fleet::Ca;

/// What a store would hold of one certificate, without what follows from its index: there are a million.
#[derive(Clone, Debug)]
pub(super) struct Certificate {
    pub(super) not_before: i64,
    /// Zero while there is none.
    pub(super) not_after: i64,
    pub(super) issued_at: i64,
    /// The window that the CA suggested; empty if it did not.
    pub(super) window: (i64, i64),
    /// When to look at it next: the column that a store has an index on.
    pub(super) next_at: i64,
    /// Its failures with the CA that is wished for, and with the one that steps in.
    pub(super) failures: [Option<Box<Failures>>; 2],
    /// With whom an order is open.
    pub(super) order: Option<Ca>,
    pub(super) issued_by: Option<Ca>,
    /// A bit for each CA that has ever issued it: for them another one is a renewal.
    pub(super) known_to: u8,
    pub(super) fingerprint: u16,
    /// Since when a new one is wanted, in true time; zero while none is.
    pub(super) due_since: i64,
}

impl Certificate {
    /// One that somebody will wish for.
    pub(super) const fn wished(at: i64) -> Self {
        Self {
            not_before: 0,
            not_after: 0,
            issued_at: 0,
            window: (0, 0),
            next_at: at,
            failures: [None, None],
            order: None,
            issued_by: None,
            known_to: 0,
            fingerprint: 0,
            due_since: 0,
        }
    }

    /// One that serves already.
    pub(super) fn issued(from: i64, to: i64, by: Ca, fingerprint: u64) -> Self {
        let fingerprint = u16::try_from(fingerprint & 0xffff).unwrap_or(0);
        let serves = Self { not_before: from, not_after: to, issued_at: from, ..Self::wished(0) };
        Self { issued_by: Some(by), known_to: 1 << by as u8, fingerprint, ..serves }
    }

    pub(super) const fn is_known_to(&self, ca: Ca) -> bool {
        self.known_to & (1 << ca as u8) != 0
    }

    pub(super) const fn exists(&self) -> bool {
        self.not_after != 0
    }

    pub(super) fn window(&self) -> Option<SuggestedWindow> {
        let (start, end) = self.window;
        let at = Timestamp::from_unix;
        (end > start).then(|| SuggestedWindow {
            start: at(start),
            end: at(end),
            explanation_url: None,
            ask_at: at(end),
        })
    }

    /// Writes what it is into facts that are used again and again: years ask millions of times.
    pub(super) fn describe(&self, facts: &mut Facts) {
        use std::fmt::Write as _;
        facts.not_before = Timestamp::from_unix(self.not_before);
        facts.not_after = Timestamp::from_unix(self.not_after);
        facts.fingerprint.clear();
        // Writing to a String cannot fail.
        let _ = write!(facts.fingerprint, "{:04x}", self.fingerprint);
    }
}
