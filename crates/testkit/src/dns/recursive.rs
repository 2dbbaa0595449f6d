//! A name server that asks others, or lies.

use std::{
    collections::HashMap,
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use hickory_proto::{
    op::{self, Message, ResponseCode},
    rr::{Name, RData, Record, RecordType},
};

use super::{
    Endpoint, Query, Transport, Zone,
    answer::answer,
    data::{name_text, parse_name},
    exchange::{end_of_chain, exchange},
    query_log::QueryLog,
    serve::{Respond, Running, encode, read_request, reply_to, serve},
};
use crate::{Error, sync::lock};

/// A resolver; it stops when it is dropped.
///
/// It really asks the servers that it was told of, starting with those of the zone nearest to the name, and
/// follows referrals (to the glue addresses, on the port of the server that referred) and aliases. It caches
/// nothing, unless it was told to keep what does not exist, which is how a real resolver punishes those who
/// ask too early (RFC 2308).
///
/// For the zones in which it [lies](RecursiveServerBuilder::lie) it answers by itself, with AA=1: the split
/// horizon of a cluster whose own domain is also a public one.
#[derive(Debug)]
pub struct RecursiveServer {
    address: SocketAddr,
    server: Arc<Server>,
    _running: Running,
}

/// What a resolver knows, before it has an address.
#[must_use]
pub struct RecursiveServerBuilder {
    hints: Vec<(Name, Vec<SocketAddr>)>,
    lies: Vec<Zone>,
    remembers_absence: bool,
}

struct Server {
    hints: Vec<(Name, Vec<SocketAddr>)>,
    lies: Vec<Zone>,
    /// What does not exist, until when; `None` for a resolver without a cache.
    absences: Option<Mutex<HashMap<(Name, RecordType), Absence>>>,
    log: QueryLog,
}

#[derive(Clone)]
struct Absence {
    until: tokio::time::Instant,
    code: ResponseCode,
    authorities: Vec<Record>,
}

impl RecursiveServerBuilder {
    /// Tells which servers to ask for a zone and everything below that no nearer hint covers; `.` for
    /// everything.
    ///
    /// # Errors
    /// [`Error::Name`] when the zone is no name.
    pub fn hint(mut self, zone: &str, servers: &[SocketAddr]) -> Result<Self, Error> {
        self.hints.push((parse_name(zone)?, servers.to_vec()));
        Ok(self)
    }

    /// Answers from this zone for its origin and everything below, whatever the world says.
    pub fn lie(mut self, zone: &Zone) -> Self {
        self.lies.push(zone.clone());
        self
    }

    /// Keeps negative answers for the time that their SOA record tells. By default nothing is kept.
    pub const fn remember_absence(mut self) -> Self {
        self.remembers_absence = true;
        self
    }

    /// Starts to answer.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn start(self, endpoint: Endpoint) -> RecursiveServer {
        let address = endpoint.address();
        let server = Arc::new(Server {
            hints: self.hints,
            lies: self.lies,
            absences: self.remembers_absence.then(Mutex::default),
            log: QueryLog::default(),
        });
        let running = serve(endpoint, Arc::clone(&server) as Arc<dyn Respond>);
        RecursiveServer { address, server, _running: running }
    }
}

impl RecursiveServer {
    /// Begins a resolver that knows nobody.
    pub const fn builder() -> RecursiveServerBuilder {
        RecursiveServerBuilder { hints: Vec::new(), lies: Vec::new(), remembers_absence: false }
    }

    /// Where it answers, over UDP and TCP.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Everything it was asked so far, oldest first.
    #[must_use]
    pub fn queries(&self) -> Vec<Query> {
        self.server.log.all()
    }

    /// Forgets what it was asked.
    pub fn clear_queries(&self) {
        self.server.log.clear();
    }

    /// Waits, in real time, until it has been asked something that `wanted` knows.
    pub async fn wait_for_query(&self, wanted: impl FnMut(&Query) -> bool) {
        self.server.log.wait_for(wanted).await;
    }
}

#[async_trait]
impl Respond for Server {
    async fn respond(&self, bytes: &[u8], transport: Transport, from: SocketAddr) -> Option<Vec<u8>> {
        let request = match read_request(bytes) {
            Ok(request) => request,
            Err(reply) => return reply,
        };
        self.log.record(&request, transport, from);
        let mut response = reply_to(&request);
        response.metadata.recursion_available = true;
        let question = request.queries.first()?;
        if request.metadata.op_code != op::OpCode::Query {
            response.metadata.response_code = ResponseCode::NotImp;
        } else if response.metadata.response_code == ResponseCode::NoError {
            match self.lies.iter().find(|zone| zone.name().zone_of(question.name())) {
                Some(zone) => lie(zone, question, &mut response),
                None => self.resolve(question, &mut response).await,
            }
        }
        encode(&response, &request, transport)
    }
}

fn lie(zone: &Zone, question: &op::Query, response: &mut Message) {
    let answer = answer(&[zone.latest()], question.name(), question.query_type());
    response.metadata.response_code = answer.code;
    response.metadata.authoritative = answer.authoritative;
    response.answers = answer.answers;
    response.authorities = answer.authorities;
    response.additionals = answer.additionals;
}

impl Server {
    async fn resolve(&self, question: &op::Query, response: &mut Message) {
        let mut name = question.name().clone();
        for _ in 0..LONGEST_CHAIN {
            if let Some(absence) = self.known_absence(&name, question.query_type()) {
                response.metadata.response_code = absence.code;
                response.authorities = absence.authorities;
                return;
            }
            let asked = op::Query::query(name.clone(), question.query_type());
            let Some(answer) = self.ask_around(&asked).await else { break };
            let end = end_of_chain(&answer, &name);
            let found = answer.answers.iter().any(|record| {
                record.name == end && [question.query_type(), RecordType::ANY].contains(&record.record_type())
            });
            response.metadata.response_code = answer.metadata.response_code;
            response.answers.extend(answer.answers);
            if found || end == name || question.query_type() == RecordType::CNAME {
                response.authorities = answer.authorities;
                response.additionals = answer.additionals;
                if !found {
                    self.keep_absence(&name, question.query_type(), response);
                }
                return;
            }
            name = end;
        }
        response.answers.clear();
        response.metadata.response_code = ResponseCode::ServFail;
    }

    /// Descends from the nearest hint along the referrals to an answer.
    async fn ask_around(&self, question: &op::Query) -> Option<Message> {
        let near = self.hints.iter().filter(|(zone, _)| zone.zone_of(question.name()));
        let (_, servers) = near.max_by_key(|(zone, _)| zone.num_labels())?;
        let mut servers = servers.clone();
        for _ in 0..DEEPEST {
            let (server, answer) = first_usable(&servers, question).await?;
            let referral = answer.answers.is_empty()
                && !answer.metadata.authoritative
                && answer.authorities.iter().any(|record| record.record_type() == RecordType::NS);
            if !referral {
                return Some(answer);
            }
            servers = glue(&answer, server.port());
        }
        None
    }

    fn known_absence(&self, name: &Name, kind: RecordType) -> Option<Absence> {
        let absences = lock(self.absences.as_ref()?);
        let now = tokio::time::Instant::now();
        // RFC 2308 §5: a name that does not exist has no type at all.
        [kind, RecordType::ANY]
            .into_iter()
            .filter_map(|kind| absences.get(&(name.clone(), kind)))
            .find(|absence| absence.until > now)
            .cloned()
    }

    fn keep_absence(&self, name: &Name, kind: RecordType, response: &Message) {
        let Some(absences) = &self.absences else { return };
        let soa = response.authorities.iter().find(|record| record.record_type() == RecordType::SOA);
        let Some(soa) = soa else { return };
        let code = response.metadata.response_code;
        let kind = if code == ResponseCode::NXDomain { RecordType::ANY } else { kind };
        let until = tokio::time::Instant::now() + Duration::from_secs(u64::from(soa.ttl));
        let absence = Absence { until, code, authorities: response.authorities.clone() };
        let mut absences = lock(absences);
        if absences.len() < MOST_ABSENCES {
            absences.insert((name.clone(), kind), absence);
        }
    }
}

/// The first answer that says something about the name; the others are asked after a server that fails.
async fn first_usable(servers: &[SocketAddr], question: &op::Query) -> Option<(SocketAddr, Message)> {
    for server in servers {
        if let Some(answer) = exchange(*server, question, false).await
            && matches!(answer.metadata.response_code, ResponseCode::NoError | ResponseCode::NXDomain)
        {
            return Some((*server, answer));
        }
    }
    None
}

fn glue(referral: &Message, port: u16) -> Vec<SocketAddr> {
    let addresses = referral.additionals.iter().filter_map(|record| match &record.data {
        RData::A(address) => Some(SocketAddr::from((address.0, port))),
        RData::AAAA(address) => Some(SocketAddr::from((address.0, port))),
        _ => None,
    });
    addresses.collect()
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hints: Vec<String> = self.hints.iter().map(|(zone, _)| name_text(zone)).collect();
        f.debug_struct("Server").field("hints", &hints).field("lies", &self.lies).finish_non_exhaustive()
    }
}

/// As Let's Encrypt's resolver.
const LONGEST_CHAIN: usize = 11;
/// More delegations than any name has labels in practice.
const DEEPEST: usize = 8;
/// A bound for programs that ask for ever new names.
const MOST_ABSENCES: usize = 100_000;
