//! Asking recursive servers, the next one where the first does not help.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{
    future::{self, BoxFuture, FutureExt as _, Shared},
    stream::{FuturesUnordered, StreamExt as _},
};
use perennial_core::DomainName;
use tokio::time;

use super::paths::Paths;
use crate::{
    Error,
    transport::{Endpoint, Exchange, TransportError},
    wire::{Answer, Query, RecordType, ResponseCode},
    zone::cut,
};

/// The recursive servers that can be reached, in order of preference.
pub(super) struct Resolver<'a> {
    exchange: &'a dyn Exchange,
    endpoints: &'a [Endpoint],
}

/// An answer, and whose it is.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    pub(super) answer: Answer,
    pub(super) resolver: String,
}

/// How long the next resolver waits for the one before it. Most answers come from a cache or one round trip
/// away, so a resolver that takes longer is slow or dead, and its neighbour costs one more question.
const HEAD_START: Duration = Duration::from_millis(500);

impl<'a> Resolver<'a> {
    pub(super) const fn new(exchange: &'a dyn Exchange, endpoints: &'a [Endpoint]) -> Self {
        Self { exchange, endpoints }
    }

    /// The first useful answer. SERVFAIL, REFUSED and the like, and a "no" without proof, are an answer only when
    /// nobody has a better one.
    pub(super) async fn ask(&self, name: &DomainName, record_type: RecordType) -> Result<Heard, Error> {
        let query = Query::recursive(name.clone(), record_type);
        let mut waiting = self.endpoints.iter();
        let mut flights = FuturesUnordered::new();
        let mut failures = Vec::new();
        let mut poor = None;
        loop {
            if flights.is_empty() {
                match waiting.next() {
                    Some(endpoint) => flights.push(self.ask_one(endpoint, &query)),
                    None => break,
                }
            }
            let more = waiting.len() > 0;
            let (resolver, outcome) = tokio::select! {
                Some(landed) = flights.next() => landed,
                () = time::sleep(HEAD_START), if more => {
                    flights.extend(waiting.next().map(|endpoint| self.ask_one(endpoint, &query)));
                    continue;
                }
            };
            match outcome {
                Ok(answer) if is_good(&answer, record_type) => return Ok(Heard { answer, resolver }),
                Ok(answer) => poor = Some(Heard { answer, resolver }),
                Err(error) => failures.push((resolver, error)),
            }
            // Somebody failed: the next need not wait for its turn.
            flights.extend(waiting.next().map(|endpoint| self.ask_one(endpoint, &query)));
        }
        poor.ok_or_else(|| Error::ResolversSilent { question: query.to_string(), failures, walk: None })
    }

    async fn ask_one(&self, endpoint: &Endpoint, query: &Query) -> (String, Result<Answer, TransportError>) {
        let reply = self.exchange.exchange(endpoint, query).await;
        (endpoint.to_string(), reply.map(|reply| reply.answer))
    }
}

/// Of addresses a plain "none" is believed: there are filters of AAAA records that leave the proof out, and waiting for
/// a second word on each would cost more than it brings.
fn is_good(answer: &Answer, record_type: RecordType) -> bool {
    let needs_proof =
        answer.code == ResponseCode::NXDOMAIN || matches!(record_type, RecordType::Ns | RecordType::Soa);
    answer.code.is_answer() && !(needs_proof && cut::is_hollow(answer))
}

/// What one search for a zone asks the resolvers: each question once, however many want to know.
#[derive(Clone)]
pub(super) struct Inquiry {
    exchange: Arc<dyn Exchange>,
    paths: Arc<Paths>,
    asked: Arc<Mutex<HashMap<(DomainName, RecordType), Asked>>>,
}

type Asked = Shared<BoxFuture<'static, Result<Arc<Heard>, Error>>>;

impl Inquiry {
    pub(super) fn new(exchange: Arc<dyn Exchange>, paths: Arc<Paths>) -> Self {
        Self { exchange, paths, asked: Arc::default() }
    }

    /// Asks, or waits for the answer of the one who asked before. The resolvers are those for `name`.
    pub(super) fn ask(&self, name: &DomainName, record_type: RecordType) -> Asked {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let question = || {
            let (exchange, paths, name) = (self.exchange.clone(), self.paths.clone(), name.clone());
            let question = async move {
                let endpoints = paths.resolver_endpoints(&name).await;
                Resolver::new(&*exchange, &endpoints).ask(&name, record_type).await.map(Arc::new)
            };
            question.boxed().shared()
        };
        asked.entry((name.clone(), record_type)).or_insert_with(question).clone()
    }

    /// Drives `work`, and these questions with it, which it will ask sooner or later.
    pub(super) async fn ahead<T>(
        &self,
        questions: impl IntoIterator<Item = (DomainName, RecordType)>,
        work: impl Future<Output = T>,
    ) -> T {
        let questions = questions.into_iter().map(|(name, kind)| self.ask(&name, kind));
        let ahead = future::join_all(questions).then(|_| future::pending());
        tokio::select! {
            done = work => done,
            never = ahead => never,
        }
    }
}
