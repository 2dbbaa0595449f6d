//! Name servers that the operator gives, instead of those that a delegation names.

use std::sync::Arc;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use perennial_core::DomainName;

use super::{CheckerBuilder, paths::Paths};
use crate::{
    NameServer, ZoneView,
    target::{Route, Target},
    transport::Exchange,
    watch::{Located, Verification},
    wire::{Query, RecordType},
    zone::{
        Evidence,
        cut::{self, Claim},
    },
};

/// The given servers. They are asked about every name, wherever aliases lead.
pub(super) struct Given {
    exchange: Arc<dyn Exchange>,
    paths: Arc<Paths>,
    servers: Vec<NameServer>,
}

impl Given {
    /// `None` where no server is given.
    pub(super) fn new(
        exchange: &Arc<dyn Exchange>,
        paths: &Arc<Paths>,
        servers: Vec<NameServer>,
    ) -> Option<Self> {
        let (exchange, paths) = (exchange.clone(), paths.clone());
        (!servers.is_empty()).then_some(Self { exchange, paths, servers })
    }

    pub(super) async fn located(&self, name: &DomainName) -> Located {
        let targets = self.paths.targets(&self.servers).await;
        let apex = self.apex(name, &targets).await;
        let servers: Vec<String> = self.servers.iter().map(ToString::to_string).collect();
        let evidence = vec![Evidence::Given { apex: apex.clone(), servers: servers.clone() }];
        let zone = ZoneView { apex, servers: Vec::new(), evidence };
        Located { zone: Some(zone), servers, targets, verification: Verification::Done }
    }

    /// Where the zone begins, by the word of the first that knows; else just above the name.
    async fn apex(&self, name: &DomainName, targets: &[Target]) -> DomainName {
        let above = cut::start(name).unwrap_or_else(|| name.clone());
        // A name that is an alias does not tell its zone; the name above it does.
        for asked in [name, &above] {
            let query = Query::authoritative(asked.clone(), RecordType::Soa);
            let reachable = targets.iter().filter(|target| target.route == Route::Exists);
            let ask = |target: &Target| {
                let (endpoint, query) = (target.endpoint.clone(), &query);
                async move { self.exchange.exchange(&endpoint, query).await }
            };
            let mut flights: FuturesUnordered<_> = reachable.map(ask).collect();
            while let Some(reply) = flights.next().await {
                if let Ok(reply) = reply
                    && reply.answer.authoritative
                    && let Claim::Apex(apex) = cut::claim(asked, &reply.answer)
                {
                    return apex;
                }
            }
        }
        above
    }
}

impl CheckerBuilder {
    /// Asks these name servers about every name, instead of finding its zone and the servers of that: a
    /// hidden primary, a new provider before the delegation is changed, or a zone that nobody delegates. What
    /// the rest of the world sees is another matter then. Aliases are followed at the same servers. Default:
    /// none, zones are found. [`Policy::RecursiveOnly`](crate::Policy::RecursiveOnly) does not look at it.
    pub fn authoritative_servers(mut self, servers: impl IntoIterator<Item = NameServer>) -> Self {
        self.given = servers.into_iter().collect();
        self
    }
}
