//! The real thing: every transport, chosen by the endpoint.

use std::{net::SocketAddr, sync::Arc};

use async_trait::async_trait;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use perennial_core::HttpClient;
use tokio::time::Instant;

use super::{
    Counters, Endpoint, Exchange, Land, Reply, Transport, TransportError,
    engine::{Outcome, Settings},
    https,
    stream::{Peer, Streams},
    stream_patience, tls,
    udp::Udp,
};
use crate::{
    Error,
    wire::{Answer, Query},
};

/// The [`Exchange`] that sends real messages.
///
/// Questions over UDP share a few sockets at ports that the system draws, replaced every minute; id and letters
/// are drawn for each (RFC 5452 §9), and servers that know cookies get one (RFC 7873). What is known of a server
/// is kept: how fast it is, how much it takes at once, whether it knows EDNS. Over TCP and TLS many questions
/// share one connection to a server. Clones share all that. It may be used from several runtimes.
///
/// ```
/// use perennial_propagation::transport::Network;
///
/// let network = Network::builder().sockets(16).questions_in_flight(200).build();
/// assert_eq!(network.counters().accepted, 0);
/// ```
#[derive(Clone)]
pub struct Network {
    http: Option<Arc<dyn HttpClient>>,
    tls: Option<tls::Connector>,
    udp: Udp,
    streams: Streams,
}

/// How a [`Network`] treats servers, before it knows any.
#[derive(Clone, Debug)]
#[must_use]
pub struct NetworkBuilder {
    settings: Settings,
}

impl NetworkBuilder {
    /// How many sockets for UDP are used at a time in each address family; 1 to 24, by default 8: a forger who
    /// knows all their ports has 8 times as many guesses to make, and one who knows none 2¹⁶ times, for a few
    /// kilobytes. With those that wait for their last answer there are about 64 at most.
    pub fn sockets(mut self, count: usize) -> Self {
        self.settings.sockets = count.clamp(1, 24);
        self
    }

    /// How many questions at most may wait for one server's answers, by default 128: what the receive buffer of a
    /// common system holds. Each server starts with 64, gets more as it answers, and less as it loses some.
    pub fn questions_in_flight(mut self, most: usize) -> Self {
        self.settings.in_flight = most.clamp(1, 4096);
        self
    }

    /// How often in a second an authoritative server may hear the same question, by default 5: what
    /// response-rate limiting commonly allows. Questions beyond wait for the next second, or the next but some,
    /// and go over TCP after five.
    pub fn repeats_per_second(mut self, most: u8) -> Self {
        self.settings.repeats = most.max(1);
        self
    }

    /// Whether the case of letters is drawn (draft-vixie-dnsext-dns0x20), by default so: each letter of the
    /// name doubles what a forger must guess. Servers that change the case are recognised.
    pub const fn draw_case(mut self, draw: bool) -> Self {
        self.settings.case = draw;
        self
    }

    /// Whether cookies are sent (RFC 7873), by default so.
    pub const fn cookies(mut self, send: bool) -> Self {
        self.settings.cookies = send;
        self
    }

    /// The network. It opens its first socket with the first question.
    #[must_use]
    pub fn build(self) -> Network {
        Network { http: None, tls: None, udp: Udp::new(self.settings), streams: Streams::default() }
    }
}

impl Network {
    /// Sockets only: UDP and TCP.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Begins a network of one's own taste.
    pub const fn builder() -> NetworkBuilder {
        let settings = Settings { sockets: 8, in_flight: 128, repeats: 5, case: true, cookies: true };
        NetworkBuilder { settings }
    }

    /// Lets this client carry DNS over HTTPS.
    #[must_use]
    pub fn with_http(mut self, client: Arc<dyn HttpClient>) -> Self {
        self.http = Some(client);
        self
    }

    /// Adds DNS over TLS, trusting the operating system's roots and those in `roots_pem` (which may be empty).
    ///
    /// # Errors
    /// [`Error::TlsRoots`] when the roots are not PEM certificates or the system's cannot be loaded.
    pub fn with_tls(mut self, roots_pem: &[u8]) -> Result<Self, Error> {
        self.tls = Some(tls::Connector::new(roots_pem)?);
        Ok(self)
    }

    /// What came over UDP and was believed or dropped, since this network was made.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.udp.counters()
    }

    async fn carry(&self, server: &Endpoint, query: &Query) -> Result<Reply, TransportError> {
        let start = Instant::now();
        let patience = stream_patience(query);
        let (answer, transport) = match server {
            Endpoint::Udp(address) => {
                let outcome = self.udp.exchange(*address, query).await;
                return self.finish(server, query, outcome).await;
            }
            Endpoint::Tcp(address) => (self.over_tcp(*address, query).await?, Transport::Tcp),
            Endpoint::Tls { address, name } => {
                let connector = self.tls.as_ref().ok_or_else(|| TransportError::Tls {
                    reason: "this network was built without TLS".to_owned(),
                })?;
                // A handshake is two round trips more than the question itself.
                let peer = Peer { address: *address, name: Some(name.clone()) };
                let answer = self.streams.exchange(&peer, Some(connector), query, patience * 2).await?;
                (answer, Transport::Tls)
            }
            Endpoint::Https { url } => {
                let client = self.http.as_deref().ok_or_else(|| TransportError::Http {
                    reason: "this network was built without an HTTP client".to_owned(),
                })?;
                (https::exchange(client, url, query, patience * 2).await?, Transport::Https)
            }
        };
        Ok(Reply::new(answer, transport, start.elapsed()))
    }

    async fn over_tcp(&self, address: SocketAddr, query: &Query) -> Result<Answer, TransportError> {
        let peer = Peer { address, name: None };
        self.streams.exchange(&peer, None, query, stream_patience(query)).await
    }

    /// One of many that is not, or no longer, UDP's business.
    async fn stream(
        &self,
        index: usize,
        server: &Endpoint,
        query: &Query,
        outcome: Option<Outcome>,
    ) -> (usize, Result<Reply, TransportError>) {
        match outcome {
            Some(outcome) => (index, self.finish(server, query, outcome).await),
            None => (index, self.carry(server, query).await),
        }
    }

    /// Goes on where UDP has ended.
    async fn finish(
        &self,
        server: &Endpoint,
        query: &Query,
        outcome: Outcome,
    ) -> Result<Reply, TransportError> {
        match (outcome, server.address()) {
            (Outcome::Answer(answer, elapsed), _) => Ok(Reply::new(answer, Transport::Udp, elapsed)),
            (Outcome::Failed(error), _) => Err(error),
            (Outcome::Stream(_), None) => Err(TransportError::Timeout),
            (Outcome::Stream(before), Some(address)) => {
                let start = Instant::now();
                let answer = self.over_tcp(address, query).await?;
                Ok(Reply::new(answer, Transport::Tcp, before + start.elapsed()))
            }
        }
    }
}

impl Default for Network {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Exchange for Network {
    async fn exchange(&self, server: &Endpoint, query: &Query) -> Result<Reply, TransportError> {
        self.carry(server, query).await
    }

    async fn exchange_all(&self, questions: &[(Endpoint, Query)], land: &mut Land<'_>) {
        let (mut datagrams, mut others) = (Vec::with_capacity(questions.len()), FuturesUnordered::new());
        for (index, (server, query)) in questions.iter().enumerate() {
            match server {
                Endpoint::Udp(address) => datagrams.push((index, *address, query)),
                _ => others.push(self.stream(index, server, query, None)),
            }
        }
        let mut many = self.udp.ask_many(datagrams);
        let (mut results, mut more) = (Vec::new(), true);
        while more || !others.is_empty() {
            tokio::select! {
                any = many.next(&mut results), if more => more = any,
                Some((index, result)) = others.next(), if !others.is_empty() => land(index, result),
            }
            for (index, outcome) in results.drain(..) {
                match (outcome, questions.get(index)) {
                    (Outcome::Answer(answer, elapsed), _) => {
                        land(index, Ok(Reply::new(answer, Transport::Udp, elapsed)));
                    }
                    (outcome, Some((server, query))) => {
                        others.push(self.stream(index, server, query, Some(outcome)));
                    }
                    (_, None) => {}
                }
            }
        }
    }
}
