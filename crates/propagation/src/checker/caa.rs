//! The look at CAA records: the questions around [`caa`](crate::caa).

use std::{pin::pin, time::Duration};

use futures_util::{
    future::{self, Either},
    stream::{FuturesUnordered, StreamExt as _},
};
use perennial_core::DomainName;
use tokio::time::{self, Instant};

use super::{Checker, Shared};
use crate::{
    Error, Policy, ZoneView,
    caa::{self, Heard, Lead, Level, Question, Report, Row, Said, Search, climb},
    probe::Role,
    target::{Route, Target},
    watch::{Located, Place},
    wire::{Query, RecordType},
};

/// How long one look may take: an order waits for it, and the CA looks by itself in the end.
const LIMIT: Duration = Duration::from_secs(10);
/// The most addresses that are asked about one name. All of a zone's usual two to six are, since one that is
/// behind or broken may be the one that the CA meets.
const MOST_ASKED: usize = 16;
/// How long those that are slower than the first useful answer are waited for.
const SECOND_OPINION: Duration = Duration::from_millis(300);

impl Checker {
    /// Says whether CAA records let a CA issue for a name (RFC 8659, RFC 8657): looks at the name and its
    /// ancestors until one has records, at the zones' own name servers (under [`Policy::RecursiveOnly`] at
    /// the resolvers), following aliases and delegations. All names of one zone are asked about at once.
    /// Takes 10 seconds at most, usually well under one.
    ///
    /// A name that is no name of a certificate is asked about as any other; the challenge name never is.
    ///
    /// # Errors
    /// [`Error`] when the zone of the name cannot be found. That CAA records forbid, or cannot be had, is no
    /// error: the report's [`decision`](Report::decision) says so.
    pub async fn caa(&self, question: &Question) -> Result<Report, Error> {
        let start = Instant::now();
        let look = Look { shared: &self.shared, deadline: start + LIMIT };
        let levels = match self.shared.policy {
            Policy::RecursiveOnly => look.at_resolvers(&question.name).await,
            _ => look.at_authorities(&question.name).await?,
        };
        Ok(Report::new(question.clone(), levels, start.elapsed()))
    }
}

/// One look, and when it has to end.
struct Look<'a> {
    shared: &'a Shared,
    deadline: Instant,
}

/// A zone, and where it is asked.
#[derive(Clone)]
struct Authorities {
    zone: ZoneView,
    targets: Vec<Target>,
}

impl Look<'_> {
    async fn at_authorities(&self, name: &DomainName) -> Result<Vec<Level>, Error> {
        let mut levels: Vec<Level> = Vec::new();
        let mut here = (name.clone(), self.zone(name).await?);
        loop {
            let (at, place) = here;
            let inside: Vec<DomainName> =
                climb(&at).take_while(|name| *name == at || name.is_at_or_below(&place.zone.apex)).collect();
            let next = inside.last().and_then(DomainName::parent);
            let asked = future::join_all(inside.into_iter().map(|name| self.level(name, &place)));
            let above = async {
                match &next {
                    Some(next) => Some(self.zone(next).await),
                    None => None,
                }
            };
            // Most names have no records of their own: the zone above is looked for meanwhile.
            let (heard, above) = match future::select(pin!(asked), pin!(above)).await {
                Either::Left((heard, _)) if heard.iter().any(Level::ends_the_climb) => (heard, None),
                Either::Left((heard, above)) => (heard, above.await),
                Either::Right((above, asked)) => (asked.await, above),
            };
            levels.extend(heard);
            if let Some(last) = levels.iter().position(Level::ends_the_climb) {
                levels.truncate(last + 1);
                return Ok(levels);
            }
            match (next, above) {
                (Some(next), Some(Ok(place))) => here = (next, place),
                (Some(next), Some(Err(error))) => {
                    levels.push(Level::failed(next, error.to_string()));
                    return Ok(levels);
                }
                (None, _) | (_, None) => return Ok(levels),
            }
        }
    }

    async fn at_resolvers(&self, name: &DomainName) -> Vec<Level> {
        let targets = self.shared.paths.resolvers(name).await;
        let ask = |name: DomainName| async {
            let heard = self.ask(&name, Role::Resolver, &targets).await;
            let mut search = Search::new(name);
            if let Some(lead) = search.poll_lead() {
                search.handle_answers(&lead, None, heard);
            }
            search.finish()
        };
        let mut levels = future::join_all(climb(name).map(ask)).await;
        let last = levels.iter().position(Level::ends_the_climb);
        levels.truncate(last.map_or(levels.len(), |last| last + 1));
        levels
    }

    /// All that the servers say about one name of the climb.
    async fn level(&self, name: DomainName, first: &Authorities) -> Level {
        let mut search = Search::new(name);
        let mut known = Some(first.clone());
        while let Some(lead) = search.poll_lead() {
            let found = match known.take() {
                Some(authorities) => Ok(authorities),
                None => self.authorities_of(&lead).await,
            };
            match found {
                Ok(Authorities { zone, targets }) => {
                    let heard = self.ask(&lead.name, Role::Authority(&zone.apex), &targets).await;
                    if !heard.iter().any(|(row, _)| row.said.is_useful()) {
                        self.shared.locator.forget(&zone.apex);
                    }
                    search.handle_answers(&lead, Some(zone), heard);
                }
                Err(error) => search.handle_failure(&lead, error.to_string()),
            }
        }
        search.finish()
    }

    async fn authorities_of(&self, lead: &Lead) -> Result<Authorities, Error> {
        match &lead.delegation {
            Some(delegation) => self.place(Place::Delegated(delegation.clone()), &lead.name).await,
            None => self.zone(&lead.name).await,
        }
    }

    /// The zone that holds a name, or begins there.
    async fn zone(&self, name: &DomainName) -> Result<Authorities, Error> {
        // Zones are found by the name above the one that is given, as for a challenge: this label is not sent.
        let below = name.child("_caa").unwrap_or_else(|_| name.clone());
        self.place(Place::Holding(below), name).await
    }

    async fn place(&self, place: Place, name: &DomainName) -> Result<Authorities, Error> {
        let late = |_| Error::TooSlow { name: name.clone(), limit: LIMIT };
        let found = async {
            let Located { zone, targets, .. } = self.shared.locator.verified(&place).await?;
            let nowhere = || Error::NoZone { name: name.clone(), tried: Vec::new() };
            Ok(Authorities { zone: zone.ok_or_else(nowhere)?, targets })
        };
        time::timeout_at(self.deadline, found).await.map_err(late)?
    }

    /// Asks all of these at once; those that are much slower than the first useful answer are left alone.
    async fn ask(&self, name: &DomainName, role: Role<'_>, targets: &[Target]) -> Vec<(Row, Option<Heard>)> {
        let query = match role {
            Role::Authority(_) => Query::authoritative(name.clone(), RecordType::Caa),
            Role::Resolver => Query::recursive(name.clone(), RecordType::Caa),
        };
        let ask = |at: usize, target: &Target| {
            let (endpoint, query) = (target.endpoint.clone(), &query);
            async move { (at, self.shared.exchange.exchange(&endpoint, query).await) }
        };
        let reachable = targets.iter().enumerate().filter(|(_, target)| target.route == Route::Exists);
        let mut flights: FuturesUnordered<_> =
            reachable.take(MOST_ASKED).map(|(at, target)| ask(at, target)).collect();
        let mut rows: Vec<(Row, Option<Heard>)> = targets.iter().map(unasked).collect();
        let mut until = self.deadline;
        while let Ok(Some((at, answer))) = time::timeout_at(until, flights.next()).await {
            let Some((row, heard)) = rows.get_mut(at) else { continue };
            match answer {
                Ok(reply) => {
                    let found = caa::hear(name, role, &reply.answer);
                    row.said = Said::from_heard(&found);
                    if row.said.is_useful() {
                        until = until.min(Instant::now() + SECOND_OPINION);
                    }
                    *heard = Some(found);
                }
                Err(error) => row.said = Said::Unreachable { error },
            }
        }
        rows
    }
}

fn unasked(target: &Target) -> (Row, Option<Heard>) {
    let said = match &target.route {
        Route::Exists => Said::Silent,
        Route::None(reason) => Said::NotAsked { reason: reason.clone() },
    };
    (Row::new(target, said), None)
}
