//! What is wanted of those who are asked last.

use crate::{Agreement, CheckerBuilder, Dnssec, NameServer};

/// What is wanted of those who are asked last.
#[derive(Clone, Debug, Default)]
pub(in crate::checker) struct Demands {
    pub(in crate::checker) points: Vec<NameServer>,
    pub(in crate::checker) agreement: Agreement,
    pub(in crate::checker) dnssec: Dnssec,
}

impl CheckerBuilder {
    /// Resolvers elsewhere that are asked for the values after the authoritative servers have them. Default:
    /// none. See [`vantage`](crate::vantage). [`Policy::WaitOnly`](crate::Policy::WaitOnly) asks them nothing.
    pub fn vantage_points(mut self, servers: impl IntoIterator<Item = NameServer>) -> Self {
        self.demands.points = servers.into_iter().collect();
        self
    }

    /// Whether vantage points must have the values too. Default: [`Agreement::Reported`].
    pub const fn vantage_agreement(mut self, agreement: Agreement) -> Self {
        self.demands.agreement = agreement;
        self
    }

    /// What the zone's signatures must be like. Default: [`Dnssec::Warn`].
    /// [`Policy::WaitOnly`](crate::Policy::WaitOnly) does not look at them.
    pub const fn dnssec(mut self, dnssec: Dnssec) -> Self {
        self.demands.dnssec = dnssec;
        self
    }
}
