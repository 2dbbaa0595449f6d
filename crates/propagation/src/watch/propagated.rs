//! The proof that a value is visible.

use perennial_core::DomainName;

use crate::Report;

/// Proof that a [`Watch`](super::Watch) found the values where the CA will look, and found them again when it
/// confirmed. Nothing else makes one, so whoever asks for a `Propagated` cannot be handed a hope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Propagated {
    report: Report,
}

impl Propagated {
    /// Only for the verdict of a confirmed watch.
    pub(super) fn assertion(report: Report) -> Option<Self> {
        report.verdict.is_ready().then_some(Self { report })
    }

    /// The same proof after the rest of the world was heard, unless it took the verdict back.
    pub(crate) fn with_report(self, report: Report) -> Result<Self, Box<Report>> {
        if report.verdict.is_ready() { Ok(Self { report }) } else { Err(Box::new(report)) }
    }

    /// Where the values are visible.
    #[must_use]
    pub const fn name(&self) -> &DomainName {
        self.report.wanted.name()
    }

    /// The final report: with warnings, perhaps.
    #[must_use]
    pub const fn report(&self) -> &Report {
        &self.report
    }

    /// The final report, for keeps.
    #[must_use]
    pub fn into_report(self) -> Report {
        self.report
    }
}
