//! Finding out whom to ask: through resolvers, by a walk from the root, or from what was found a moment ago.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::{BoxFuture, FutureExt as _};
use perennial_core::DomainName;
use tokio::time::Instant;

#[cfg(test)]
mod tests;

use super::{
    finder::{Finder, Found, from_delegation},
    flights::Flights,
    given::Given,
    paths::Paths,
    walker::Walker,
    zone_cache::{Age, Held, Hit, Verdict, ZoneCache},
};
use crate::{
    Error, Report, ZoneView,
    probe::Delegation,
    report::State,
    transport::{Exchange, TransportError},
    watch::{Asking, Freshness, Located, Place, Verification},
    zone::{Evidence, ZoneServer, cut, walk::DeadEnd},
};

/// Finds zones and remembers them. Every method may be called from any number of tasks at once; what many want to
/// know is looked for once.
pub(super) struct Locator {
    finder: Finder,
    given: Option<Given>,
    walker: Walker,
    paths: Arc<Paths>,
    port: u16,
    means: Means,
    zones: ZoneCache,
    searches: Flights<DomainName, Searched>,
    /// When the resolvers were last of no use.
    resolvers_failed: Mutex<Option<(Instant, Silent)>>,
}

/// Resolvers, and what happened when they were asked.
type Silent = Vec<(String, TransportError)>;

/// How zones are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Means {
    /// Through resolvers, and by a walk from the root while they are of no use.
    Resolvers,
    /// By a walk from the root.
    Walk,
}

/// Whom to ask, and what may yet come of it.
pub(super) struct Sighting {
    pub(super) located: Located,
    /// The verification under way, when `located` is provisional: whoever asks those servers drives it meanwhile,
    /// and takes its result instead.
    pub(super) rest: Option<BoxFuture<'static, Result<Located, Error>>>,
}

/// A zone that was found.
#[derive(Clone)]
struct Sighted {
    held: Held,
    verification: Option<Verdict>,
}

/// What came of a search, and from which name it began.
#[derive(Clone)]
struct Searched {
    start: DomainName,
    result: Result<Sighted, Error>,
}

/// For how long resolvers that failed are not asked first.
const RESOLVERS_REST: Duration = Duration::from_secs(30);

impl Locator {
    pub(super) fn new(
        exchange: &Arc<dyn Exchange>,
        paths: Arc<Paths>,
        port: u16,
        means: Means,
        roots: Arc<[ZoneServer]>,
    ) -> Self {
        Self {
            finder: Finder::new(exchange.clone(), paths.clone(), port),
            given: None,
            walker: Walker::new(exchange.clone(), paths.clone(), port, roots),
            paths,
            port,
            means,
            zones: ZoneCache::default(),
            searches: Flights::default(),
            resolvers_failed: Mutex::default(),
        }
    }

    /// These are asked, if any, instead of those of a zone that is found.
    pub(super) fn with_given(mut self, given: Option<Given>) -> Self {
        self.given = given;
        self
    }

    /// Finds out whom to ask in this place. Dropping the future, or the rest, abandons what nobody else waits for.
    pub(super) fn locate(
        self: &Arc<Self>,
        place: &Place,
        freshness: Freshness,
        asking: Asking,
    ) -> BoxFuture<'static, Result<Sighting, Error>> {
        let (this, place) = (self.clone(), place.clone());
        if freshness == Freshness::Fresh {
            self.paths.look_again();
        }
        match (asking, place) {
            (Asking::Resolvers, Place::Holding(name)) => {
                async move { Ok(Sighting { located: this.resolvers(&name).await, rest: None }) }.boxed()
            }
            (_, Place::Delegated(delegation)) => async move {
                let zone = this.delegated(&delegation).await;
                Ok(Sighting { located: this.located(&zone, Verification::Done).await, rest: None })
            }
            .boxed(),
            (Asking::Authorities, Place::Holding(name)) => async move {
                if let Some(given) = &this.given {
                    return Ok(Sighting { located: given.located(&name).await, rest: None });
                }
                let age = if freshness == Freshness::Fresh { Age::New } else { Age::Any };
                let Sighted { held, verification } = this.holding(&name, age).await?;
                let Some(verification) = verification else {
                    return Ok(Sighting {
                        located: this.located(&held.zone, Verification::Done).await,
                        rest: None,
                    });
                };
                // Whoever looks again has servers to go on with: nothing unverified shall take their place.
                if freshness == Freshness::Fresh {
                    let held = verification.await?;
                    return Ok(Sighting {
                        located: this.located(&held.zone, Verification::Done).await,
                        rest: None,
                    });
                }
                let located = this.located(&held.zone, Verification::UnderWay).await;
                let rest =
                    async move { Ok(this.located(&verification.await?.zone, Verification::Done).await) };
                Ok(Sighting { located, rest: Some(rest.boxed()) })
            }
            .boxed(),
        }
    }

    /// Whom to ask in a place, once its zone is verified.
    pub(super) async fn verified(self: &Arc<Self>, place: &Place) -> Result<Located, Error> {
        let sighting = self.locate(place, Freshness::Cached, Asking::Authorities).await?;
        match sighting.rest {
            Some(rest) => rest.await,
            None => Ok(sighting.located),
        }
    }

    /// Looks for this zone anew the next time: its servers were of no use.
    pub(super) fn forget(&self, apex: &DomainName) {
        self.zones.forget(apex);
    }

    /// Zones whose servers gave trouble are forgotten, perhaps they moved, and those of which a server has no
    /// address, perhaps it has one by now; and NAT64 prefixes through which nobody
    /// answered are used last.
    pub(super) fn learn_from(&self, report: &Report) {
        for stage in &report.stages {
            let trouble = |state: &State| matches!(state, State::Lame { .. } | State::Unreachable { .. });
            if let Some(zone) = &stage.zone
                && (stage.rows.iter().any(|row| trouble(&row.state))
                    || zone.servers.iter().any(ZoneServer::is_unresolved))
            {
                self.zones.forget(&zone.apex);
            }
        }
        let rows = || report.stages.iter().flat_map(|stage| &stage.rows);
        for prefix in rows().filter_map(|row| Some(row.nat64?.prefix)) {
            let through = || rows().filter(|row| row.nat64.is_some_and(|nat64| nat64.prefix == prefix));
            if through().all(|row| matches!(row.state, State::Unreachable { .. })) {
                self.paths.doubt(prefix);
            }
        }
    }

    async fn located(&self, zone: &ZoneView, verification: Verification) -> Located {
        let targets = self.paths.plan(&zone.servers, self.port).await;
        let servers = zone.servers.iter().map(|server| server.name.to_string()).collect();
        Located { zone: Some(zone.clone()), servers, targets, verification }
    }

    async fn resolvers(&self, name: &DomainName) -> Located {
        let targets = self.paths.resolvers(name).await.to_vec();
        let servers = self.paths.resolver_names(name);
        Located { zone: None, servers, targets, verification: Verification::Done }
    }

    /// The zone that holds a name: known, or looked for once by all who want to know it.
    ///
    /// Before a name is looked for by itself, it waits for the searches from other names that probably end in the
    /// same zone: at most one for each label.
    async fn holding(self: &Arc<Self>, name: &DomainName, age: Age) -> Result<Sighted, Error> {
        let nowhere = || Error::NoZone { name: name.clone(), tried: Vec::new() };
        let start = cut::start(name).ok_or_else(nowhere)?;
        // What was found with others' help is verified only as long as somebody waits for it.
        let mut _kept;
        for group in groups(&start) {
            match self.zones.get(&start, age, Instant::now()) {
                Some(Hit::Inside(held, verification)) => return Ok(Sighted { held, verification }),
                Some(Hit::Near(held, verification)) => {
                    return Ok(self.near(name, &start, Sighted { held, verification }));
                }
                Some(Hit::Failed(error)) => return Err(error),
                None => {}
            }
            let search = self.searches.join(&group, || {
                let (this, name, start) = (self.clone(), name.clone(), start.clone());
                async move { Searched { result: this.search(&name, &start).await, start } }.boxed()
            });
            let searched = search.await;
            if searched.start == start {
                return searched.result;
            }
            _kept = searched;
        }
        Err(nowhere())
    }

    /// A zone that was found for another name, good enough to begin with. Its own servers are asked whether it
    /// holds this name too; what lies in a zone further down is looked for.
    fn near(self: &Arc<Self>, name: &DomainName, start: &DomainName, base: Sighted) -> Sighted {
        let (this, name, start, held) = (self.clone(), name.clone(), start.clone(), base.held.clone());
        let provisional = held.clone();
        let verification = async move {
            let verified = async {
                match base.verification {
                    Some(verification) => verification.await,
                    None => Ok(base.held),
                }
            };
            let (verified, inside) = tokio::join!(verified, this.finder.is_inside(&start, &held.zone));
            if let (Ok(verified), Some(true)) = (verified, inside)
                && verified.zone.apex == held.zone.apex
            {
                this.zones.note_inside(&start, &held.zone.apex);
                return Ok(verified);
            }
            let Sighted { held, verification } = this.search(&name, &start).await?;
            match verification {
                Some(verification) => verification.await,
                None => Ok(held),
            }
        };
        Sighted { held: provisional, verification: Some(verification.boxed().shared()) }
    }

    /// Looks for the zone, and keeps it.
    async fn search(self: &Arc<Self>, name: &DomainName, start: &DomainName) -> Result<Sighted, Error> {
        let found = self.discover(name, start).await;
        let Found { held, verification } =
            found.inspect_err(|error| self.zones.put_failure(start, error, Instant::now()))?;
        let verification = verification.map(|verification| {
            let (this, start, claimed) = (self.clone(), start.clone(), held.zone.apex.clone());
            let verification = async move {
                let verified = verification.await;
                // What a split horizon showed is no zone of any other name either.
                if verified.as_ref().map_or(true, |held| held.zone.apex != claimed) {
                    this.zones.forget(&claimed);
                }
                this.zones.put(&start, verified.as_ref().map_err(Clone::clone)?, None, Instant::now());
                verified
            };
            verification.boxed().shared()
        });
        self.zones.put(start, &held, verification.as_ref(), Instant::now());
        Ok(Sighted { held, verification })
    }

    async fn discover(&self, name: &DomainName, start: &DomainName) -> Result<Found, Error> {
        let walk_first = self.means == Means::Walk || self.are_resolvers_at_rest();
        let mut walked = None;
        if walk_first {
            match self.walk(name, start).await {
                Ok(found) => return Ok(found),
                Err(error) if self.means == Means::Walk => return Err(error),
                Err(error) => walked = Some(error),
            }
        }
        let found = self.finder.holding(name, start).await;
        let Err(mut error @ (Error::ResolversSilent { .. } | Error::ResolversUnwilling { .. })) = found
        else {
            return found;
        };
        self.rest_resolvers(&error);
        if walked.is_none() {
            match self.walk(name, start).await {
                Ok(found) => return Ok(found),
                Err(error) => walked = Some(error),
            }
        }
        if let Error::ResolversSilent { walk, .. } | Error::ResolversUnwilling { walk, .. } = &mut error {
            *walk = walked.map(|error| match error {
                Error::WalkFailed { reason, .. } => reason,
                other => other.to_string(),
            });
        }
        Err(error)
    }

    async fn walk(&self, name: &DomainName, start: &DomainName) -> Result<Found, Error> {
        let held = self.walker.to(start).await.map_err(|end| match end {
            DeadEnd::NoZone => Error::NoZone { name: name.clone(), tried: vec![start.clone()] },
            end @ DeadEnd::Stuck { .. } => Error::WalkFailed { name: name.clone(), reason: end.to_string() },
        })?;
        Ok(Found { held, verification: None })
    }

    /// The zone that a delegation describes. Its parent said so with authority: nothing is left to verify.
    ///
    /// No resolver is asked for a name server inside the zone that has an underscore in its name: it may be the very
    /// name that is waited for to which it belongs. Its addresses are known to the other servers of the zone, if to
    /// anybody.
    async fn delegated(&self, delegation: &Delegation) -> ZoneView {
        let unresolved = |server: &ZoneServer| server.is_unresolved();
        let hidden = |server: &ZoneServer| {
            let name = &server.name;
            unresolved(server) && name.is_at_or_below(&delegation.cut) && cut::has_underscore(name)
        };
        let (mut inside, mut servers): (Vec<_>, Vec<_>) =
            from_delegation(delegation).into_iter().partition(hidden);
        if self.means == Means::Resolvers {
            self.finder.resolve(&mut servers).await;
        }
        servers.append(&mut inside);
        if (servers.iter().all(unresolved) || servers.iter().any(hidden))
            && let Ok(held) = self.walker.delegated(&with_addresses(delegation, &servers)).await
        {
            servers = held.zone.servers.clone();
        }
        let apex = delegation.cut.clone();
        ZoneView { evidence: vec![Evidence::Referred { apex: apex.clone() }], apex, servers }
    }

    /// Whether resolvers may be asked at all.
    pub(super) fn may_ask_resolvers(&self) -> bool {
        self.means == Means::Resolvers
    }

    fn are_resolvers_at_rest(&self) -> bool {
        let failed = self.resolvers_failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.as_ref().is_some_and(|(at, _)| at.elapsed() < RESOLVERS_REST)
    }

    /// The resolvers that were silent when one was needed last, a moment ago.
    pub(super) fn silent_resolvers(&self) -> Silent {
        let failed = self.resolvers_failed.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = failed.as_ref().filter(|(at, _)| at.elapsed() < RESOLVERS_REST);
        recent.map(|(_, failures)| failures.clone()).unwrap_or_default()
    }

    fn rest_resolvers(&self, error: &Error) {
        let failures = match error {
            Error::ResolversSilent { failures, .. } => failures.clone(),
            _ => Vec::new(),
        };
        *self.resolvers_failed.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((Instant::now(), failures));
    }
}

/// A delegation with all the addresses that are known by now.
fn with_addresses(delegation: &Delegation, servers: &[ZoneServer]) -> Delegation {
    let mut known = delegation.clone();
    known.glue.clear();
    for server in servers {
        let v4 = server.v4.iter().map(|v4| IpAddr::V4(*v4));
        let all = v4.chain(server.v6.iter().map(|v6| IpAddr::V6(*v6)));
        known.glue.extend(all.map(|address| (server.name.clone(), address)));
    }
    known
}

/// The names from which searches probably end in the same zone as that from `start`, the likeliest first: the one
/// with two labels, since most zones are registered below a public suffix, and so down to `start` itself.
fn groups(start: &DomainName) -> Vec<DomainName> {
    let mut upwards: Vec<_> = std::iter::successors(Some(start.clone()), DomainName::parent).collect();
    if upwards.len() > 1 {
        upwards.pop();
    }
    upwards.reverse();
    upwards
}
