//! Dynamic updates (RFC 2136) signed with TSIG (RFC 8945): BIND, Knot, PowerDNS, Windows and others.
//!
//! The protocol fits the contract as no other does: "add to an RRset" and "delete an RR from an RRset"
//! (RFC 2136 §2.5.1 and §2.5.4) concern one value, are made by the server one after the other, and do nothing
//! when there is nothing to do. So nothing is locked, nothing is read unless other values are present already,
//! and a datagram whose answer got lost is simply sent again.
//!
//! ```
//! use perennial_providers::rfc2136::{Algorithm, Rfc2136, TsigKey};
//!
//! let key = TsigKey::new("acme-key", Algorithm::HmacSha256, &"c2VjcmV0".into())?;
//! let provider = Rfc2136::builder("192.0.2.1".parse()?).key(key).zone("example.com".parse()?).build();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! On the server, in BIND's configuration:
//!
//! ```text
//! key "acme-key" { algorithm hmac-sha256; secret "…"; };              // printed by: tsig-keygen acme-key
//! zone "example.com" {
//!     …
//!     update-policy { grant acme-key name _acme-challenge.example.com. TXT; };
//! };
//! ```

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{RData, RecordType},
};
use perennial_core::{Clock, DomainName, SystemClock};

use crate::{
    Applied, Capabilities, Change, DnsProvider, Error, Receipt, TxtRecord, WriteClass, Zone,
    engine::{Commit, Gather, Reach},
    txt, zone_match,
};

mod builder;
pub use builder::Rfc2136Builder;
mod cut;
use cut::Cut;
mod exchange;
use exchange::Trouble;
pub use exchange::{Transport, TransportError};
mod failure;
use failure::{Asked, Context, Failure};
mod key_file;
pub use key_file::KeyFileError;
mod keys;
use keys::Keys;
mod message;
use message::Guard;
mod options;
pub use options::factory;
mod request;
use request::Request;
mod server;
mod sockets;
pub use server::{Server, ServerError};
use sockets::Sockets;
mod tsig;
pub use tsig::{Algorithm, AlgorithmError, TsigKey, TsigKeyError};

/// The [`kind`](DnsProvider::kind) of this provider.
pub const KIND: &str = "rfc2136";

/// A primary DNS server that takes dynamic updates.
///
/// - New record sets get the [`ttl`](Rfc2136Builder::ttl) of the provider or of the change; a set that has
///   values already keeps its own.
/// - With a key every request is signed, queries too, since a server may choose its view by the key. The
///   answer to an update that is not signed with the same key is not believed; that to a query may be, since
///   it proves nothing that the update does not.
/// - A value that was not written by this provider is found only if it was cut into character-strings as
///   everybody does, at 255 bytes. Shorter ones always are.
///
/// - With more than one key, the next one is tried when the server refuses one, and the one it accepted is tried
///   first from then on: keys can be changed on the server and here at different times.
///
/// - Callers who write to one zone at the same time go into one message.
///
/// Clones share which key that is, and who goes with whom; there is no other state.
#[derive(Clone)]
pub struct Rfc2136 {
    server: Server,
    keys: Arc<Keys>,
    zone: Option<DomainName>,
    ttl: Duration,
    transport: Transport,
    timeout: Duration,
    clock: Arc<dyn Clock>,
    gather: Arc<Gather>,
    sockets: Sockets,
}

/// The server makes any number at once; a hundred keep one bad name from holding up many good ones.
const BATCH: usize = 100;

/// Time for three datagrams and their answers: a server that needs longer is in trouble, and the caller
/// should hear of it.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// A minute: the few look-ups of one validation can share an answer, and a retry need not outwait it.
const DEFAULT_TTL: Duration = Duration::from_secs(60);

impl Rfc2136 {
    /// Begins a provider that updates the zones of this server.
    pub fn builder(server: Server) -> Rfc2136Builder {
        Rfc2136Builder(Self {
            server,
            keys: Arc::default(),
            zone: None,
            ttl: DEFAULT_TTL,
            transport: Transport::default(),
            timeout: DEFAULT_TIMEOUT,
            clock: Arc::new(SystemClock::new()),
            gather: Arc::default(),
            sockets: Sockets::default(),
        })
    }

    /// A provider as the environment describes it: `PERENNIAL_RFC2136_SERVER`, `…_KEY_FILE`, or `…_KEY_NAME`,
    /// `…_ALGORITHM` and `…_SECRET` or `…_SECRET_FILE`, `…_ALLOW_WEAK`, `…_ZONE`, `…_TTL`, `…_TRANSPORT`,
    /// `…_TIMEOUT`.
    ///
    /// # Errors
    /// [`Error::Config`] that names the variable and the remedy.
    pub fn from_env() -> Result<Self, Error> {
        let options = factory().options_from_env(KIND)?;
        options::from_options(&options).map_err(|error| error.with_variable().into())
    }

    /// Sends a message and returns its answer unless that is a refusal, signed with each key in turn until one
    /// is accepted.
    async fn ask(&self, message: &Message, asked: Asked<'_>) -> Result<Message, Error> {
        let mut keys = self.keys.in_turn();
        if keys.is_empty() {
            return self.ask_with(message.clone(), None, asked).await;
        }
        let (mut refusal, mut tried): (Option<Error>, _) = (None, Vec::new());
        loop {
            for key in keys {
                match self.ask_with(message.clone(), Some(&key), asked).await {
                    Ok(answer) => {
                        self.keys.accepted(&key);
                        return Ok(answer);
                    }
                    // A key that is known but may not do this says more than one that is unknown.
                    Err(error @ Error::Permission { .. }) => refusal = Some(error),
                    Err(error @ Error::Auth { .. }) => {
                        refusal.get_or_insert(error);
                    }
                    Err(error) => return Err(error),
                }
                tried.push(key);
            }
            keys = self.keys.news(&tried);
            if let (true, Some(refusal)) = (keys.is_empty(), refusal.take()) {
                return Err(refusal);
            }
        }
    }

    async fn ask_with(
        &self,
        mut message: Message,
        key: Option<&TsigKey>,
        asked: Asked<'_>,
    ) -> Result<Message, Error> {
        // Which answer belongs to which request, the identifier tells; none is used twice (RFC 5452 §4.3).
        message.metadata.id = rand::random();
        let now = self.clock.now();
        let request = Request::new(message, key, now).map_err(|_| Error::InvalidRequest {
            provider: KIND.to_owned(),
            reason: "the message does not fit into 65535 bytes; make fewer changes at once".to_owned(),
            fault: None,
        })?;
        let answer =
            exchange::ask(&self.server, (self.transport, &self.sockets), self.timeout, &request).await;
        let answer = answer.map_err(|trouble| match trouble {
            Trouble::Failed(failure) => self.explain(&failure, key, asked),
            Trouble::Network(reason) => {
                Error::Network { provider: KIND.to_owned(), server: self.server.to_string(), reason }
            }
        })?;
        match answer.metadata.response_code {
            code if asked.may_be(code) => Ok(answer),
            code => Err(self.explain(&Failure::Code(code.into()), key, asked)),
        }
    }

    fn explain(&self, failure: &Failure, key: Option<&TsigKey>, asked: Asked<'_>) -> Error {
        let server = self.server.to_string();
        let key = key.map(ToString::to_string);
        Context { server: &server, key: key.as_deref(), asked }.explain(failure)
    }

    /// Asks the server itself, and fails unless it answers that the name exists or does not.
    async fn query(&self, name: &DomainName, kind: RecordType) -> Result<Message, Error> {
        self.ask(&message::query(rand::random(), name, kind)?, Asked::Query { name }).await
    }

    /// Sends an update and returns its response code, when it is one that is not an error for sure.
    async fn update(&self, zone: &Zone, changes: &[Change], update: &Message) -> Result<ResponseCode, Error> {
        let name = changes.first().map_or(&zone.apex, |change| &change.name);
        let answer = self.ask(update, Asked::Update { zone, name }).await?;
        Ok(answer.metadata.response_code)
    }

    /// One message's worth of changes, and a second message where other values are present already.
    async fn apply_run(&self, zone: &Zone, changes: &[Change]) -> Result<(), Error> {
        let guarded = message::update(rand::random(), zone, changes, Guard::On, &|name| {
            message::wanted_ttl(changes, name).unwrap_or(self.ttl)
        })?;
        if self.update(zone, changes, &guarded).await? == ResponseCode::NoError {
            return Ok(());
        }
        let mut present = Vec::new();
        for name in message::added_names(changes) {
            if let Some(ttl) = self.present_ttl(name).await? {
                present.push((name, ttl));
            }
        }
        let plain = message::update(rand::random(), zone, changes, Guard::Off, &|name| {
            let of_siblings = present.iter().find(|(other, _)| *other == name).map(|(_, ttl)| *ttl);
            of_siblings.or_else(|| message::wanted_ttl(changes, name)).unwrap_or(self.ttl)
        })?;
        match self.update(zone, changes, &plain).await? {
            ResponseCode::NoError => Ok(()),
            _ => Err(Error::Conflict {
                provider: KIND.to_owned(),
                what: format!("the zone {}", zone.apex),
                fault: None,
            }),
        }
    }

    /// The time to live of the TXT records that are at the name already.
    async fn present_ttl(&self, name: &DomainName) -> Result<Option<Duration>, Error> {
        let answer = self.query(name, RecordType::TXT).await?;
        let at_name = |kind: RecordType| {
            let mut records = answer.answers.iter();
            records.find(|record| {
                record.record_type() == kind && message::domain_name(&record.name).as_ref() == Some(name)
            })
        };
        if let Some(RData::CNAME(target)) = at_name(RecordType::CNAME).map(|record| &record.data) {
            return Err(Error::InvalidRequest {
                provider: KIND.to_owned(),
                reason: format!(
                    "{name} is an alias of {}, where nothing can be added; add the value there",
                    target.0.to_ascii()
                ),
                fault: None,
            });
        }
        Ok(at_name(RecordType::TXT).map(|record| Duration::from_secs(record.ttl.into())))
    }

    fn no_zone(&self, name: &DomainName, tried: Vec<DomainName>, reason: String) -> Error {
        Error::ZoneNotFound { provider: KIND.to_owned(), name: name.clone(), tried, reason }
    }
}

#[async_trait]
impl Commit for Rfc2136 {
    async fn commit(&self, zone: &Zone, changes: &[Change]) -> Result<Applied, Error> {
        for run in message::runs(changes) {
            self.apply_run(zone, run).await?;
        }
        let added = changes.iter().filter(|change| change.action == crate::Action::Add);
        Ok(Applied::new(added.map(|change| Receipt::new(KIND, zone, change)).collect()))
    }
}

#[async_trait]
impl DnsProvider for Rfc2136 {
    fn kind(&self) -> &str {
        KIND
    }

    fn capabilities(&self) -> Capabilities {
        // The primary has a change when it answers, its secondaries within seconds by NOTIFY (RFC 1996).
        Capabilities::new(WriteClass::AtomicValue)
            .batch_max(BATCH)
            .propagation(Duration::from_millis(500), Duration::from_secs(60))
    }

    async fn zone(&self, name: &DomainName) -> Result<Zone, Error> {
        if let Some(zone) = &self.zone {
            if name.is_at_or_below(zone) {
                return Ok(Zone::new(zone.clone()));
            }
            let reason = "it is not in the zone that the option `zone` names".to_owned();
            return Err(self.no_zone(name, vec![zone.clone()], reason));
        }
        let mut tried = Vec::new();
        for candidate in zone_match::candidates(name) {
            let cut = match self.query(&candidate, RecordType::SOA).await {
                Ok(answer) => cut::read(&answer, &candidate),
                // So a server answers for names that are none of its own; a name above may be.
                Err(Error::Permission { .. }) => Cut::Nothing,
                Err(error) => return Err(error),
            };
            tried.push(candidate);
            match cut {
                Cut::Apex(apex) => return Ok(Zone::new(apex)),
                Cut::Delegated(below) => {
                    let reason = format!(
                        "{} has delegated {below} to other servers; give their primary as `server`",
                        self.server
                    );
                    return Err(self.no_zone(name, tried, reason));
                }
                Cut::Nothing => {}
            }
        }
        let reason = format!(
            "{} is authoritative for none of its ancestors; give the primary as `server`, or `zone`",
            self.server
        );
        Err(self.no_zone(name, tried, reason))
    }

    async fn apply(&self, zone: &Zone, changes: &[Change]) -> Result<Applied, Error> {
        changes.iter().try_for_each(|change| change.check(KIND, zone))?;
        self.gather.write(self, Reach::Zone, BATCH, zone, changes).await
    }

    async fn values(&self, zone: &Zone, name: &DomainName) -> Result<Vec<String>, Error> {
        let records = self.records(zone, name).await?;
        Ok(records.into_iter().map(|record| record.value).collect())
    }

    async fn records(&self, _: &Zone, name: &DomainName) -> Result<Vec<TxtRecord>, Error> {
        Ok(texts(&self.query(name, RecordType::TXT).await?, name))
    }
}

/// The TXT records at the name in an answer about it.
fn texts(answer: &Message, name: &DomainName) -> Vec<TxtRecord> {
    let at_name = answer.answers.iter().filter(|record| {
        // An alias brings records of other names along.
        message::domain_name(&record.name).as_ref() == Some(name)
    });
    at_name
        .filter_map(|record| match &record.data {
            RData::TXT(data) => {
                let ttl = Duration::from_secs(record.ttl.into());
                Some(TxtRecord::new(txt::join(data.txt_data.iter()), Some(ttl)))
            }
            _ => None,
        })
        .collect()
}

/// The key shows its name only.
impl fmt::Debug for Rfc2136 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rfc2136")
            .field("server", &format_args!("{}", self.server))
            .field("keys", &self.keys.in_turn())
            .field("zone", &self.zone)
            .field("ttl", &self.ttl)
            .field("transport", &self.transport)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// The door for fuzzing: reads the text as a file of keys.
#[doc(hidden)]
pub fn read_any_key_file(text: &str) -> Result<Vec<TsigKey>, KeyFileError> {
    key_file::parse(text, tsig::Weak::Refused)
}

/// The door for fuzzing: reads the bytes as the answer to a signed update and to queries, as the word on a zone, and as
/// the values at a name. Says of how many of these they are an answer that is believed.
#[doc(hidden)]
#[must_use]
pub fn read_any_answer(bytes: &[u8]) -> usize {
    let now = perennial_core::Timestamp::from_unix(0);
    let key = TsigKey::new("key", Algorithm::HmacSha256, &"a2V5".into());
    let (Ok(key), Ok(name)) = (key, "example.com".parse::<DomainName>()) else { return 0 };
    let zone = Zone::new(name.clone());
    // The identifier is the one that the bytes have, so that they get past the first check.
    let id = bytes.first_chunk::<2>().map_or(0, |id| u16::from_be_bytes(*id));
    let change = [Change::add(name.clone(), "v")];
    let update = message::update(id, &zone, &change, Guard::On, &|_| DEFAULT_TTL);
    let queries = [RecordType::SOA, RecordType::TXT].map(|kind| message::query(id, &name, kind));
    let is_believed = |message: &Message| {
        let request = Request::new(message.clone(), Some(&key), now);
        match request.map(|request| request.read(bytes)) {
            Ok(request::Reading::Answer(answer)) => {
                let _ = (cut::read(&answer, &name), texts(&answer, &name));
                true
            }
            _ => false,
        }
    };
    queries.into_iter().chain([update]).flatten().filter(is_believed).count()
}
