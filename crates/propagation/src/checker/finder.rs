//! Finding zones: the questions around [`zone::cut`](crate::zone).

use std::time::Duration;

use futures_util::{
    future,
    stream::{FuturesUnordered, StreamExt as _},
};
use perennial_core::DomainName;
use tokio::time;

use super::{
    paths::{self, Paths},
    resolver::Resolver,
};
use crate::{
    Error, ZoneView,
    probe::{Delegation, MAX_NAME_SERVERS},
    target::{Route, Target},
    transport::{Endpoint, Exchange},
    wire::{Answer, Query, RecordType, ResponseCode},
    zone::{
        Evidence, ZoneServer,
        cut::{self, Claim, Testimony},
    },
};

pub(super) struct Finder<'a> {
    exchange: &'a dyn Exchange,
    paths: &'a Paths,
    port: u16,
}

/// A zone by a resolver's word.
struct Claimed {
    apex: DomainName,
    resolver: String,
}

/// What the zone above says.
enum Word {
    Confirmed { delegation: Delegation, parent: DomainName, by: String },
    Denied { parent: Claimed, by: String, code: ResponseCode },
    Unverified(String),
}

/// Of a parent zone only as many name servers are looked up as it takes to find one that answers.
const PARENT_SERVERS: usize = 4;
/// And as many of their addresses are asked.
const PARENT_ADDRESSES: usize = 8;
/// The most zone cuts between a zone and the zone above that a resolver knows of. More than one is rare.
const MAX_DESCENT: usize = 8;
/// How long a "no" of one parent's server waits for a "yes" of another: a fresh delegation reaches a
/// parent's servers one after the other.
const SECOND_OPINION: Duration = Duration::from_millis(300);

impl<'a> Finder<'a> {
    pub(super) const fn new(exchange: &'a dyn Exchange, paths: &'a Paths, port: u16) -> Self {
        Self { exchange, paths, port }
    }

    /// The zone that holds a name.
    pub(super) async fn holding(&self, name: &DomainName) -> Result<ZoneView, Error> {
        let endpoints = self.paths.resolver_endpoints().await;
        let resolver = Resolver::new(self.exchange, &endpoints);
        let mut tried = Vec::new();
        let claimed = match cut::start(name) {
            Some(start) => claim(&resolver, start, &mut tried).await?,
            None => None,
        };
        let Some(mut claimed) = claimed else { return Err(Error::NoZone { name: name.clone(), tried }) };
        let mut evidence = Vec::new();
        // Each turn goes up by a label at least, so the name's length bounds them.
        loop {
            let Claimed { apex, resolver: by } = &claimed;
            evidence.push(Evidence::Claimed { apex: apex.clone(), resolver: by.clone() });
            let servers = self.name_servers(&resolver, apex, MAX_NAME_SERVERS);
            let (word, resolved) = tokio::join!(self.ask_above(&resolver, apex), servers);
            match word {
                Word::Confirmed { delegation, parent, by } => {
                    evidence.push(Evidence::Confirmed { apex: apex.clone(), parent, by });
                    let (mut servers, differences) = cut::merge(&delegation, &resolved);
                    evidence.extend(differences);
                    self.resolve(&resolver, &mut servers).await;
                    return Ok(ZoneView { apex: claimed.apex, servers, evidence });
                }
                Word::Denied { parent, by, code } => {
                    evidence.push(Evidence::SplitHorizon {
                        claimed: apex.clone(),
                        resolver: claimed.resolver,
                        parent: parent.apex.clone(),
                        by,
                        code,
                    });
                    claimed = parent;
                }
                Word::Unverified(reason) => {
                    evidence.push(Evidence::Unverified { apex: apex.clone(), reason });
                    if resolved.is_empty() {
                        return Err(Error::NoNameServers { zone: claimed.apex });
                    }
                    return Ok(ZoneView { apex: claimed.apex, servers: resolved, evidence });
                }
            }
        }
    }

    /// The zone that a delegation describes. Its parent said so with authority: nothing is left to verify.
    pub(super) async fn delegated(&self, delegation: &Delegation) -> ZoneView {
        let endpoints = self.paths.resolver_endpoints().await;
        let resolver = Resolver::new(self.exchange, &endpoints);
        let mut servers = from_delegation(delegation);
        self.resolve(&resolver, &mut servers).await;
        let apex = delegation.cut.clone();
        ZoneView { evidence: vec![Evidence::Referred { apex: apex.clone() }], apex, servers }
    }

    /// Asks the servers of the zone above whether they delegate `apex`.
    async fn ask_above(&self, resolver: &Resolver<'_>, apex: &DomainName) -> Word {
        let Some(up) = apex.parent() else {
            return Word::Unverified("the zone above it is the root".to_owned());
        };
        let above = match claim(resolver, up, &mut Vec::new()).await {
            Ok(Some(above)) => above,
            Ok(None) => return Word::Unverified("the resolvers know no zone above it".to_owned()),
            Err(error) => return Word::Unverified(error.to_string()),
        };
        let mut servers = self.name_servers(resolver, &above.apex, PARENT_SERVERS).await;
        let mut parent = above.apex;
        for _ in 0..MAX_DESCENT {
            let targets = self.paths.plan(&servers, self.port).await;
            match self.testimony(&parent, apex, &targets).await {
                (Testimony::Delegated(delegation), by) => return Word::Confirmed { delegation, parent, by },
                (Testimony::Denied(code), by) => {
                    let parent = Claimed { apex: parent, resolver: above.resolver };
                    return Word::Denied { parent, by, code };
                }
                (Testimony::Useless(reason), _) => return Word::Unverified(reason),
                (Testimony::Between(delegation), _) => {
                    servers = from_delegation(&delegation);
                    self.resolve(resolver, &mut servers).await;
                    parent = delegation.cut;
                }
            }
        }
        Word::Unverified(format!("more than {MAX_DESCENT} zone cuts lie above it"))
    }

    /// What the parent's servers say, asked all at once: the first that delegates, else the first that denies,
    /// else a reason why nobody counts.
    async fn testimony(
        &self,
        parent: &DomainName,
        claimed: &DomainName,
        targets: &[Target],
    ) -> (Testimony, String) {
        let query = Query::authoritative(claimed.clone(), RecordType::Ns);
        let ask = |endpoint: Endpoint| {
            let query = &query;
            async move { (self.exchange.exchange(&endpoint, query).await, endpoint) }
        };
        let reachable = targets.iter().filter(|target| target.route == Route::Exists);
        let mut flights: FuturesUnordered<_> =
            reachable.take(PARENT_ADDRESSES).map(|target| ask(target.endpoint.clone())).collect();
        let nobody = format!("no name server of the zone above, {parent}, can be reached from here");
        let mut best = (Testimony::Useless(nobody), String::new());
        loop {
            let landed = match best.0 {
                Testimony::Denied(_) => time::timeout(SECOND_OPINION, flights.next()).await.unwrap_or(None),
                _ => flights.next().await,
            };
            let Some((reply, endpoint)) = landed else { return best };
            let heard = match reply {
                Ok(reply) => cut::testimony(parent, claimed, &reply.answer),
                Err(error) => Testimony::Useless(error.to_string()),
            };
            match heard {
                Testimony::Delegated(_) | Testimony::Between(_) => return (heard, endpoint.to_string()),
                Testimony::Denied(_) if !matches!(best.0, Testimony::Denied(_)) => {
                    best = (heard, endpoint.to_string());
                }
                Testimony::Useless(reason) if matches!(best.0, Testimony::Useless(_)) => {
                    let reason = format!("{endpoint}, of the zone above, {parent}, is of no help: {reason}");
                    best = (Testimony::Useless(reason), String::new());
                }
                Testimony::Denied(_) | Testimony::Useless(_) => {}
            }
        }
    }

    /// The name servers of a zone and their addresses, by the resolvers' word.
    async fn name_servers(&self, resolver: &Resolver<'_>, zone: &DomainName, most: usize) -> Vec<ZoneServer> {
        let Ok(heard) = resolver.ask(zone, RecordType::Ns).await else { return Vec::new() };
        let names = Answer::name_servers(&heard.answer.answers, zone);
        let mut servers: Vec<_> =
            names.into_iter().take(most).map(|name| ZoneServer::new(name.clone())).collect();
        self.resolve(resolver, &mut servers).await;
        servers
    }

    /// Looks up the addresses of those servers that have none, all at once.
    async fn resolve(&self, resolver: &Resolver<'_>, servers: &mut [ZoneServer]) {
        let missing = servers.iter_mut().filter(|server| server.is_unresolved());
        future::join_all(missing.map(|server| async {
            for address in paths::addresses(resolver, &server.name).await {
                server.add(address);
            }
        }))
        .await;
    }
}

/// Where the zone begins that holds `at`, by the resolvers' word; `None` when they know none but the root.
async fn claim(
    resolver: &Resolver<'_>,
    mut at: DomainName,
    tried: &mut Vec<DomainName>,
) -> Result<Option<Claimed>, Error> {
    loop {
        let heard = resolver.ask(&at, RecordType::Soa).await?;
        tried.push(at.clone());
        match cut::claim(&at, &heard.answer) {
            Claim::Apex(apex) => return Ok(Some(Claimed { apex, resolver: heard.resolver })),
            Claim::Root => return Ok(None),
            Claim::Silent => match at.parent() {
                Some(parent) => at = parent,
                None => return Ok(None),
            },
        }
    }
}

fn from_delegation(delegation: &Delegation) -> Vec<ZoneServer> {
    let with_glue = |name: &DomainName| {
        let mut server = ZoneServer::new(name.clone());
        let glue = delegation.glue.iter().filter(|(owner, _)| owner == name);
        glue.for_each(|(_, address)| server.add(*address));
        server
    };
    delegation.name_servers.iter().map(with_glue).collect()
}
