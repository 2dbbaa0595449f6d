//! The loop around [`Walk`]: sends what it asks for, hands in what comes back.

use std::sync::Arc;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use perennial_core::DomainName;
use tokio::time::{self, Instant};

use super::{paths::Paths, zone_cache::Held};
use crate::{
    probe::Delegation,
    transport::{Exchange, TransportError},
    wire::Answer,
    zone::{
        ZoneServer,
        walk::{DeadEnd, Question, Ticket, Walk},
    },
};

/// Finds zones without a resolver.
#[derive(Clone)]
pub(super) struct Walker {
    exchange: Arc<dyn Exchange>,
    paths: Arc<Paths>,
    port: u16,
    roots: Arc<[ZoneServer]>,
}

impl Walker {
    pub(super) const fn new(
        exchange: Arc<dyn Exchange>,
        paths: Arc<Paths>,
        port: u16,
        roots: Arc<[ZoneServer]>,
    ) -> Self {
        Self { exchange, paths, port, roots }
    }

    /// The zone that holds a name; the name itself is shown to that zone's servers only.
    pub(super) async fn to(&self, name: &DomainName) -> Result<Held, DeadEnd> {
        self.run(Walk::to(name.clone(), &self.roots, rand::random())).await
    }

    /// The zone that a delegation describes.
    pub(super) async fn delegated(&self, delegation: &Delegation) -> Result<Held, DeadEnd> {
        self.run(Walk::from_delegation(delegation, &self.roots, rand::random())).await
    }

    /// Runs a walk to its end, which its own limits bound.
    async fn run(&self, mut walk: Walk) -> Result<Held, DeadEnd> {
        let start = Instant::now();
        let mut flights = FuturesUnordered::new();
        loop {
            while let Some(question) = walk.poll_question() {
                flights.push(self.ask(question));
            }
            if let Some(end) = walk.poll_end() {
                return end.clone().map(|zone| Held { zone: zone.into(), ttl: walk.ttl() });
            }
            let timeout = walk.poll_timeout().unwrap_or_default();
            tokio::select! {
                Some((ticket, answer)) = flights.next() => walk.handle_answer(start.elapsed(), ticket, &answer),
                () = time::sleep_until(start + timeout) => walk.handle_timeout(start.elapsed()),
            }
        }
    }

    async fn ask(&self, question: Question) -> (Ticket, Result<Answer, TransportError>) {
        let Some(endpoint) = self.paths.reach(question.server, self.port).await else {
            let reason = "this host has no way to it".to_owned();
            return (question.ticket, Err(TransportError::Unreachable { reason }));
        };
        let reply = self.exchange.exchange(&endpoint, &question.query).await;
        (question.ticket, reply.map(|reply| reply.answer))
    }
}
