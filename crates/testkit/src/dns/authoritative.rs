//! A name server that has zones of its own.

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use hickory_proto::{
    op::{Message, OpCode, ResponseCode},
    rr::{DNSClass, RecordType},
};
use perennial_core::{Clock, SystemClock};

use super::{
    Behaviour, Endpoint, Freshness, Query, Transport, UpdatePolicy, Zone,
    answer::answer,
    query_log::QueryLog,
    serve::{Respond, Running, encode, read_request, reply_to, serve},
    tsig, update,
    zone::Contents,
};
use crate::sync::lock;

/// A name server that has zones of its own; it stops when it is dropped.
///
/// It answers as RFC 1034 says, with AA, referrals, wildcards, EDNS and truncation, and as its [`Behaviour`]
/// and [`Freshness`] say. With an [`UpdatePolicy`] it is a primary that takes dynamic updates.
#[derive(Debug)]
pub struct AuthoritativeServer {
    address: SocketAddr,
    server: Arc<Server>,
    _running: Running,
}

/// What a server is made of, before it has an address.
#[must_use]
pub struct AuthoritativeServerBuilder {
    zones: Vec<Zone>,
    updates: Option<UpdatePolicy>,
    behaviour: Behaviour,
    freshness: Freshness,
    clock: Arc<dyn Clock>,
}

struct Server {
    zones: Mutex<Vec<Shown>>,
    updates: Option<UpdatePolicy>,
    behaviour: Mutex<Behaviour>,
    freshness: Mutex<Freshness>,
    clock: Arc<dyn Clock>,
    log: QueryLog,
}

/// A zone and, for a frozen server, the state of it that is shown.
struct Shown {
    zone: Zone,
    frozen: Option<Arc<Contents>>,
}

impl AuthoritativeServerBuilder {
    /// Adds a zone. Several may lie below each other.
    pub fn zone(mut self, zone: &Zone) -> Self {
        self.zones.push(zone.clone());
        self
    }

    /// Takes dynamic updates (RFC 2136). By default they are refused.
    pub fn updates(mut self, policy: UpdatePolicy) -> Self {
        self.updates = Some(policy);
        self
    }

    /// Starts with this behaviour. By default the server is honest.
    pub const fn behaviour(mut self, behaviour: Behaviour) -> Self {
        self.behaviour = behaviour;
        self
    }

    /// Starts with this freshness. By default the server is current.
    pub const fn freshness(mut self, freshness: Freshness) -> Self {
        self.freshness = freshness;
        self
    }

    /// Checks the time of signatures (RFC 8945 §5.2.3) with this clock. By default the system's.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Starts to answer.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn start(self, endpoint: Endpoint) -> AuthoritativeServer {
        let address = endpoint.address();
        let zones = self.zones.into_iter().map(|zone| Shown { zone, frozen: None }).collect();
        let server = Arc::new(Server {
            zones: Mutex::new(zones),
            updates: self.updates,
            behaviour: Mutex::new(self.behaviour),
            freshness: Mutex::default(),
            clock: self.clock,
            log: QueryLog::default(),
        });
        server.show(self.freshness);
        let running = serve(endpoint, Arc::clone(&server) as Arc<dyn Respond>);
        AuthoritativeServer { address, server, _running: running }
    }
}

impl AuthoritativeServer {
    /// Begins a server without zones.
    pub fn builder() -> AuthoritativeServerBuilder {
        AuthoritativeServerBuilder {
            zones: Vec::new(),
            updates: None,
            behaviour: Behaviour::Honest,
            freshness: Freshness::Current,
            clock: Arc::new(SystemClock::new()),
        }
    }

    /// Where it answers, over UDP and TCP.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// How it treats what it is asked from now on.
    pub fn set_behaviour(&self, behaviour: Behaviour) {
        *lock(&self.server.behaviour) = behaviour;
    }

    /// Which state of its zones it shows from now on.
    pub fn set_freshness(&self, freshness: Freshness) {
        self.server.show(freshness);
    }

    /// Everything it was asked so far, oldest first, whether it answered or not.
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
        let behaviour = *lock(&self.behaviour);
        let request = match read_request(bytes) {
            Ok(request) => request,
            Err(_) if behaviour == Behaviour::Dead => return None,
            Err(reply) => return reply,
        };
        self.log.record(&request, transport, from);
        match (behaviour, transport) {
            (Behaviour::Dead, _)
            | (Behaviour::TcpOnly, Transport::Udp)
            | (Behaviour::UdpOnly, Transport::Tcp) => return None,
            (Behaviour::Garbage, _) => return Some(GARBAGE.to_vec()),
            (Behaviour::Slow(late), _) => tokio::time::sleep(late).await,
            _ => {}
        }
        let mut response = self.response(bytes, &request, behaviour);
        if behaviour == Behaviour::LowerCase {
            response.queries.iter_mut().for_each(|query| query.name = query.name.to_lowercase());
        }
        if (behaviour, transport) == (Behaviour::Truncate, Transport::Udp) {
            return response.truncate().to_vec().ok();
        }
        encode(&response, &request, transport)
    }
}

impl Server {
    fn response(&self, bytes: &[u8], request: &Message, behaviour: Behaviour) -> Message {
        let mut response = reply_to(request);
        match behaviour {
            Behaviour::Lame => return response,
            Behaviour::NoEdns if request.edns.is_some() => {
                response.edns = None;
                response.metadata.response_code = ResponseCode::FormErr;
                return response;
            }
            Behaviour::Refuse => response.metadata.response_code = ResponseCode::Refused,
            Behaviour::ServerFailure => response.metadata.response_code = ResponseCode::ServFail,
            _ => {}
        }
        if response.metadata.response_code != ResponseCode::NoError {
            return response;
        }
        match request.metadata.op_code {
            OpCode::Query => self.answer(request, &mut response),
            OpCode::Update => self.update(bytes, request, &mut response),
            _ => response.metadata.response_code = ResponseCode::NotImp,
        }
        if behaviour == Behaviour::Intercepted {
            response.metadata.authoritative = false;
            response.metadata.recursion_available = true;
        }
        response
    }

    fn answer(&self, request: &Message, response: &mut Message) {
        let Some(question) = request.queries.first() else { return };
        let transfer = matches!(question.query_type(), RecordType::AXFR | RecordType::IXFR);
        if question.query_class() != DNSClass::IN || transfer {
            response.metadata.response_code = ResponseCode::Refused;
            return;
        }
        let answer = answer(&self.visible(), question.name(), question.query_type());
        response.metadata.response_code = answer.code;
        response.metadata.authoritative = answer.authoritative;
        response.answers = answer.answers;
        response.authorities = answer.authorities;
        response.additionals = answer.additionals;
    }

    /// RFC 2136 §3: the signature, then the zone, then the message itself.
    fn update(&self, bytes: &[u8], request: &Message, response: &mut Message) {
        let Some(policy) = &self.updates else {
            response.metadata.response_code = ResponseCode::Refused;
            return;
        };
        let (verdict, signer) = tsig::verify(bytes, request, &policy.keys, self.clock.now());
        let outcome = verdict.and_then(|()| self.apply(request, policy));
        response.metadata.response_code = outcome.err().unwrap_or(ResponseCode::NoError);
        if let Some(signer) = signer
            && signer.sign(response).is_none()
        {
            response.metadata.response_code = ResponseCode::ServFail;
        }
    }

    fn apply(&self, request: &Message, policy: &UpdatePolicy) -> Result<(), ResponseCode> {
        let subject = request.queries.first().filter(|zone| zone.query_type() == RecordType::SOA);
        let subject = subject.ok_or(ResponseCode::FormErr)?;
        let zone = {
            let zones = lock(&self.zones);
            zones.iter().map(|shown| shown.zone.clone()).find(|zone| zone.name() == subject.name())
        };
        let zone = zone.ok_or(ResponseCode::NotAuth)?;
        let mut outcome = Ok(());
        zone.commit(|contents| match update::apply(contents, request, policy) {
            Ok((next, changed)) => {
                *contents = next;
                changed
            }
            Err(code) => {
                outcome = Err(code);
                false
            }
        });
        outcome
    }

    fn visible(&self) -> Vec<Arc<Contents>> {
        let freshness = *lock(&self.freshness);
        let zones = lock(&self.zones);
        let state = |shown: &Shown| match (freshness, &shown.frozen) {
            (Freshness::Frozen, Some(frozen)) => Arc::clone(frozen),
            (Freshness::Behind(lag), _) => shown.zone.as_of(lag),
            (Freshness::Current | Freshness::Frozen, _) => shown.zone.latest(),
        };
        zones.iter().map(state).collect()
    }

    fn show(&self, freshness: Freshness) {
        let now = self.visible();
        let mut zones = lock(&self.zones);
        for (shown, now) in zones.iter_mut().zip(now) {
            shown.frozen = (freshness == Freshness::Frozen).then_some(now);
            if let Freshness::Behind(lag) = freshness {
                shown.zone.remember_for(lag);
            }
        }
        *lock(&self.freshness) = freshness;
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let zones: Vec<String> = lock(&self.zones).iter().map(|shown| shown.zone.origin()).collect();
        f.debug_struct("Server")
            .field("zones", &zones)
            .field("behaviour", &*lock(&self.behaviour))
            .field("freshness", &*lock(&self.freshness))
            .finish_non_exhaustive()
    }
}

/// Long enough to hold a header, so that a reader gets as far as the question.
const GARBAGE: &[u8] = b"this is not a DNS message at all, whatever the port may say";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ManualClock,
        dns::{Data, TsigAlgorithm, TsigKey},
    };
    use hickory_proto::{
        op::{self, Edns, MessageType},
        rr::{Record, TSigner},
    };
    use perennial_core::Timestamp;
    use proptest::prelude::*;

    fn server(key: &TsigKey) -> Server {
        let zone = Zone::new("example.com").unwrap();
        Server {
            zones: Mutex::new(vec![Shown { zone, frozen: None }]),
            updates: Some(UpdatePolicy::everything(key)),
            behaviour: Mutex::default(),
            freshness: Mutex::default(),
            clock: Arc::new(ManualClock::new(Timestamp::from_unix(1_800_000_000))),
            log: QueryLog::default(),
        }
    }

    /// A signed update with everything that a message can have, and how long it is without the signature.
    fn update(key: &TsigKey) -> (Vec<u8>, usize) {
        let name = |text: &str| crate::dns::data::parse_name(text).unwrap();
        let mut message = Message::new(7, MessageType::Query, OpCode::Update);
        message.add_query(op::Query::query(name("example.com"), RecordType::SOA));
        message.add_authority(Record::from_rdata(name("a.example.com"), 60, Data::txt("x").to_rdata()));
        message.set_edns(Edns::new());
        let secret = base64::Engine::decode(&base64::prelude::BASE64_STANDARD, &key.secret_base64).unwrap();
        let algorithm = hickory_proto::rr::rdata::tsig::TsigAlgorithm::HmacSha256;
        let signer = TSigner::new(secret, algorithm, name("key"), 300).unwrap();
        let unsigned = message.to_vec().unwrap().len();
        message.finalize(&signer, 1_800_000_000).unwrap();
        (message.to_vec().unwrap(), unsigned)
    }

    fn respond(server: &Server, bytes: &[u8]) -> Option<Vec<u8>> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(server.respond(bytes, Transport::Udp, "127.0.0.1:9".parse().unwrap()))
    }

    #[test]
    fn the_update_is_good_before_it_is_damaged() {
        let key = TsigKey::generate("key", TsigAlgorithm::HmacSha256).unwrap();
        let server = server(&key);
        respond(&server, &update(&key).0);
        assert_eq!(lock(&server.zones)[0].zone.serial(), 2);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let key = TsigKey::generate("key", TsigAlgorithm::HmacSha256).unwrap();
            respond(&server(&key), &bytes);
        }

        #[test]
        fn no_damage_to_a_signed_update_panics_or_gets_through(
            at in any::<prop::sample::Index>(),
            flip in 1..=255u8,
            cut in any::<prop::sample::Index>(),
        ) {
            let key = TsigKey::generate("key", TsigAlgorithm::HmacSha256).unwrap();
            let server = server(&key);
            let (mut bytes, unsigned) = update(&key);
            // The id may change on the way (RFC 8945 §4.3.2), and the case of the key's name.
            let at = 2 + at.index(unsigned - 2);
            bytes[at] ^= flip;
            respond(&server, &bytes);
            respond(&server, &bytes[..cut.index(bytes.len())]);
            prop_assert_eq!(lock(&server.zones)[0].zone.serial(), 1);
        }
    }
}
