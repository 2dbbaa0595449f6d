//! Finding zones: the questions around [`zone::cut`](crate::zone).
//!
//! Three round trips, one after the other, are all that it takes until the record itself has been asked for: the
//! candidates for the zone and the zone above, all at once; the addresses of both zones' name servers; and the
//! question to the zone above, beside which whoever wants the record already asks for it.

use std::{net::IpAddr, sync::Arc, time::Duration};

use futures_util::{
    future::{self, BoxFuture, Either, FutureExt as _},
    stream::{FuturesUnordered, StreamExt as _},
};
use perennial_core::DomainName;
use tokio::time;

use super::{
    paths::Paths,
    resolver::{Heard, Inquiry},
    zone_cache::Held,
};
use crate::{
    Error, ZoneView,
    probe::{Delegation, MAX_NAME_SERVERS},
    target::{Route, Target},
    transport::{Endpoint, Exchange},
    wire::{Answer, Data, Query, Record, RecordType, ResponseCode},
    zone::{
        Evidence, ZoneServer,
        cut::{self, Claim, Testimony},
        list,
    },
};

/// Finds zones through resolvers.
#[derive(Clone)]
pub(super) struct Finder {
    exchange: Arc<dyn Exchange>,
    paths: Arc<Paths>,
    port: u16,
}

/// A zone, perhaps by the resolvers' word only; then its verification is under way.
pub(super) struct Found {
    pub(super) held: Held,
    pub(super) verification: Option<BoxFuture<'static, Result<Held, Error>>>,
}

/// A zone by a resolver's word.
#[derive(Clone)]
struct Claimed {
    apex: DomainName,
    resolver: String,
}

/// Name servers by the resolvers' word, and how long that holds.
struct Servers {
    servers: Vec<ZoneServer>,
    ttl: u32,
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
/// How long one server of a cached zone may take to say whether a name lies in it, before the next is asked.
const HEAD_START: Duration = Duration::from_millis(300);
/// And how many of them are asked.
const WITNESSES: usize = 4;
/// For how many seconds a zone is kept of whose name servers some addresses could not be looked up: as long as a zone
/// is that could not be found at all.
const FAILED_LOOK_UP: u32 = 5;

impl Finder {
    pub(super) const fn new(exchange: Arc<dyn Exchange>, paths: Arc<Paths>, port: u16) -> Self {
        Self { exchange, paths, port }
    }

    /// The zone that holds a name, looked for from `start`, which is above it.
    pub(super) async fn holding(&self, name: &DomainName, start: &DomainName) -> Result<Found, Error> {
        let search = Search { finder: self.clone(), inquiry: self.inquiry(), name: name.clone() };
        let names = cut::candidates(start).into_iter().map(|name| (name, RecordType::Ns));
        let questions = std::iter::once((start.clone(), RecordType::Soa)).chain(names);
        search.inquiry.ahead(questions, search.begin(start)).await
    }

    /// The addresses of those servers that have none.
    pub(super) async fn resolve(&self, servers: &mut [ZoneServer]) {
        resolve(&self.inquiry(), servers).await;
    }

    /// Whether no cut lies between a name and the zone that holds the name or a zone above it: by the word of the
    /// zone's own servers. `None` when they do not say.
    pub(super) async fn is_inside(&self, start: &DomainName, zone: &ZoneView) -> Option<bool> {
        let query = Query::authoritative(start.clone(), RecordType::Soa);
        let targets = self.paths.plan(&zone.servers, self.port).await;
        let mut waiting = targets.iter().filter(|target| target.route == Route::Exists).take(WITNESSES);
        let mut flights = FuturesUnordered::new();
        loop {
            flights.extend(waiting.next().map(|target| self.exchange.exchange(&target.endpoint, &query)));
            let landed = match time::timeout(HEAD_START, flights.next()).await {
                Ok(None) => return None,
                Ok(Some(landed)) => landed,
                Err(_) => continue,
            };
            if let Ok(reply) = landed
                && let Some(inside) = cut::is_inside(&zone.apex, &reply.answer)
            {
                return Some(inside);
            }
        }
    }

    fn inquiry(&self) -> Inquiry {
        Inquiry::new(self.exchange.clone(), self.paths.clone())
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
}

/// One search, whose parts ask nothing twice.
#[derive(Clone)]
struct Search {
    finder: Finder,
    inquiry: Inquiry,
    name: DomainName,
}

impl Search {
    /// The zone by the resolvers' word, as soon as its name servers have addresses; or verified, where the zone
    /// above is quicker or the resolvers know no name server.
    async fn begin(&self, start: &DomainName) -> Result<Found, Error> {
        let claimed = self.claim(start.clone(), RecordType::Soa).await?;
        let apex = claimed.apex.clone();
        let evidence = vec![Evidence::Claimed { apex: apex.clone(), resolver: claimed.resolver.clone() }];
        let (search, zone) = (self.clone(), apex.clone());
        let word = async move { search.ask_above(&zone).await }.boxed();
        let (search, zone) = (self.clone(), apex.clone());
        let servers = async move { search.name_servers(&zone, MAX_NAME_SERVERS, has_both).await }.boxed();
        let heard = future::select(word, servers).await;
        let resolvers = self.finder.paths.resolver_endpoints(&self.name).await;
        let (word, servers) = match heard {
            Either::Left((word, servers)) => (future::ready(word).boxed(), servers.await),
            Either::Right((servers, word)) if !are_fit(&servers.servers, &resolvers) => {
                (future::ready(word.await).boxed(), servers)
            }
            Either::Right((servers, word)) => {
                let held = servers.hold(apex, evidence.clone());
                let search = self.clone();
                let verification =
                    async move { search.conclude(claimed, evidence, word.await, servers).await };
                return Ok(Found { held, verification: Some(verification.boxed()) });
            }
        };
        let held = self.conclude(claimed, evidence, word.await, servers).await?;
        Ok(Found { held, verification: None })
    }

    /// The verified zone: the claimed one, or that of the zone above which does not know it.
    async fn conclude(
        &self,
        mut claimed: Claimed,
        mut evidence: Vec<Evidence>,
        mut word: Word,
        mut resolved: Servers,
    ) -> Result<Held, Error> {
        // Each turn goes up by a label at least, so the name's length bounds them.
        loop {
            let apex = &claimed.apex;
            match word {
                Word::Confirmed { delegation, parent, by } => {
                    evidence.push(Evidence::Confirmed { apex: apex.clone(), parent, by });
                    let (mut servers, differences) = cut::merge(&delegation, &resolved.servers);
                    evidence.extend(differences);
                    let ttl = resolved.ttl.min(resolve(&self.inquiry, &mut servers).await);
                    return Ok(Servers { servers, ttl }.hold(claimed.apex, evidence));
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
                    let Claimed { apex, resolver } = &claimed;
                    evidence.push(Evidence::Claimed { apex: apex.clone(), resolver: resolver.clone() });
                    let servers = self.name_servers(apex, MAX_NAME_SERVERS, has_both);
                    (word, resolved) = tokio::join!(self.ask_above(apex), servers);
                }
                Word::Unverified(mut reason) => {
                    let dropped = without(
                        &mut resolved.servers,
                        &self.finder.paths.resolver_endpoints(&self.name).await,
                    );
                    if !dropped.is_empty() {
                        reason = format!(
                            "{reason}; its name servers at {} are resolvers of ours, and no cache is shown the name: \
                             to ask them nevertheless, give them as authoritative servers or take the policy \
                             recursive-only",
                            list(&dropped)
                        );
                    }
                    evidence.push(Evidence::Unverified { apex: apex.clone(), reason });
                    if resolved.servers.is_empty() {
                        return Err(Error::NoNameServers { zone: claimed.apex });
                    }
                    return Ok(resolved.hold(claimed.apex, evidence));
                }
            }
        }
    }

    /// Asks the servers of the zone above whether they delegate `apex`.
    async fn ask_above(&self, apex: &DomainName) -> Word {
        let Some(up) = apex.parent() else {
            return Word::Unverified("the zone above it is the root".to_owned());
        };
        let above = match self.claim(up, RecordType::Ns).await {
            Ok(above) => above,
            Err(Error::NoZone { .. }) => {
                return Word::Unverified("the resolvers know no zone above it".to_owned());
            }
            Err(error) => return Word::Unverified(error.to_string()),
        };
        let mut servers = self.name_servers(&above.apex, PARENT_SERVERS, has_one).await.servers;
        let mut parent = above.apex;
        for _ in 0..MAX_DESCENT {
            let targets = self.finder.paths.plan(&servers, self.finder.port).await;
            match self.finder.testimony(&parent, apex, &targets).await {
                (Testimony::Delegated(delegation), by) => return Word::Confirmed { delegation, parent, by },
                (Testimony::Denied(code), by) => {
                    let parent = Claimed { apex: parent, resolver: above.resolver };
                    return Word::Denied { parent, by, code };
                }
                (Testimony::Useless(reason), _) => return Word::Unverified(reason),
                (Testimony::Between(delegation), _) => {
                    servers = from_delegation(&delegation);
                    resolve(&self.inquiry, &mut servers).await;
                    parent = delegation.cut;
                }
            }
        }
        Word::Unverified(format!("more than {MAX_DESCENT} zone cuts lie above it"))
    }

    /// Where the zone begins that holds `at`, by the resolvers' word. Above `at` they are asked for name servers,
    /// which will be needed anyway.
    async fn claim(&self, mut at: DomainName, first: RecordType) -> Result<Claimed, Error> {
        let (mut kind, mut tried, mut trouble) = (first, Vec::new(), None);
        loop {
            tried.push(at.clone());
            match self.inquiry.ask(&at, kind).await {
                Ok(heard) if !heard.answer.code.is_answer() || cut::is_hollow(&heard.answer) => {
                    let (resolver, code) = (heard.resolver.clone(), heard.answer.code);
                    let question = Query::recursive(at.clone(), kind).to_string();
                    trouble.get_or_insert(Error::ResolversUnwilling { question, resolver, code, walk: None });
                }
                Ok(heard) => match cut::claim(&at, &heard.answer) {
                    Claim::Apex(apex) => return Ok(Claimed { apex, resolver: heard.resolver.clone() }),
                    Claim::Root => return Err(Error::NoZone { name: self.name.clone(), tried }),
                    Claim::Silent => {}
                },
                Err(error) => _ = trouble.get_or_insert(error),
            }
            let Some(parent) = at.parent() else {
                return Err(trouble.unwrap_or_else(|| Error::NoZone { name: self.name.clone(), tried }));
            };
            (at, kind) = (parent, RecordType::Ns);
        }
    }

    /// The name servers of a zone and their addresses, by the resolvers' word. Those are not looked up of which the
    /// addresses that came along are `enough`.
    async fn name_servers(&self, zone: &DomainName, most: usize, enough: fn(&ZoneServer) -> bool) -> Servers {
        let Ok(heard) = self.inquiry.ask(zone, RecordType::Ns).await else {
            return Servers { servers: Vec::new(), ttl: 0 };
        };
        let names = Answer::name_servers(&heard.answer.answers, zone);
        let mut servers: Vec<_> =
            names.into_iter().take(most).map(|name| ZoneServer::new(name.clone())).collect();
        let mut ttl = least_ttl(&heard.answer.answers);
        for server in &mut servers {
            let mut told = ZoneServer::new(server.name.clone());
            let about =
                heard.answer.additionals.iter().filter(|one| one.owner.as_ref() == Some(&server.name));
            let held = add(&mut told, about);
            if enough(&told) {
                (*server, ttl) = (told, ttl.min(held));
            }
        }
        let ttl = ttl.min(resolve(&self.inquiry, &mut servers).await);
        Servers { servers, ttl }
    }
}

/// Whether these servers may be asked for the record before the zone is verified: they have addresses, and none is a
/// resolver that we use, as in a cluster whose DNS calls itself the server of a zone. No cache is shown the name.
fn are_fit(servers: &[ZoneServer], resolvers: &[Endpoint]) -> bool {
    let any = servers.iter().any(|server| !server.is_unresolved());
    any && without(&mut servers.to_vec(), resolvers).is_empty()
}

/// Takes away the addresses at which these servers are resolvers that we use, and tells which those were.
fn without(servers: &mut [ZoneServer], resolvers: &[Endpoint]) -> Vec<IpAddr> {
    let resolvers: Vec<IpAddr> =
        resolvers.iter().filter_map(Endpoint::address).map(|resolver| resolver.ip()).collect();
    let mut dropped = Vec::new();
    let mut keep = |address: IpAddr| {
        let is_resolver = resolvers.contains(&address);
        if is_resolver && !dropped.contains(&address) {
            dropped.push(address);
        }
        !is_resolver
    };
    for server in servers {
        server.v4.retain(|v4| keep((*v4).into()));
        server.v6.retain(|v6| keep((*v6).into()));
    }
    dropped
}

impl Servers {
    fn hold(&self, apex: DomainName, evidence: Vec<Evidence>) -> Held {
        let zone = ZoneView { apex, servers: self.servers.clone(), evidence };
        Held { zone: zone.into(), ttl: Duration::from_secs(self.ttl.into()) }
    }
}

/// Whoever must have the record is asked at all its addresses.
const fn has_both(server: &ZoneServer) -> bool {
    !server.v4.is_empty() && !server.v6.is_empty()
}

/// Of whoever can only confirm a cut one address is as good as all.
const fn has_one(server: &ZoneServer) -> bool {
    !server.is_unresolved()
}

/// Looks up the addresses of those servers that have none, all at once, and says for how long they hold: not for
/// long where a look-up failed, since nothing is known then of what it would have told.
async fn resolve(inquiry: &Inquiry, servers: &mut [ZoneServer]) -> u32 {
    let missing = servers.iter_mut().filter(|server| server.is_unresolved());
    let each = missing.map(|server| async {
        let [v6, v4] = [RecordType::Aaaa, RecordType::A].map(|kind| inquiry.ask(&server.name, kind));
        let (v6, v4) = tokio::join!(v6, v4);
        let answered = |heard: &Arc<Heard>| heard.answer.code.is_answer();
        let failed = ![&v6, &v4].into_iter().all(|heard| heard.as_ref().is_ok_and(answered));
        let ttl = add(server, [v6, v4].iter().flatten().flat_map(|heard| &heard.answer.answers));
        if failed { ttl.min(FAILED_LOOK_UP) } else { ttl }
    });
    future::join_all(each).await.into_iter().min().unwrap_or(u32::MAX)
}

/// Adds the addresses in these records, and says for how long they hold.
fn add<'a>(server: &mut ZoneServer, records: impl Iterator<Item = &'a Record>) -> u32 {
    let mut ttl = u32::MAX;
    for record in records {
        match record.data {
            Data::A(v4) => server.add(v4.into()),
            Data::Aaaa(v6) => server.add(v6.into()),
            _ => {}
        }
        ttl = ttl.min(record.ttl);
    }
    ttl
}

fn least_ttl(records: &[Record]) -> u32 {
    records.iter().map(|record| record.ttl).min().unwrap_or(u32::MAX)
}

/// The name servers of a delegation, with the addresses that came along.
pub(super) fn from_delegation(delegation: &Delegation) -> Vec<ZoneServer> {
    let with_glue = |name: &DomainName| {
        let mut server = ZoneServer::new(name.clone());
        let glue = delegation.glue.iter().filter(|(owner, _)| owner == name);
        glue.for_each(|(_, address)| server.add(*address));
        server
    };
    delegation.name_servers.iter().map(with_glue).collect()
}
