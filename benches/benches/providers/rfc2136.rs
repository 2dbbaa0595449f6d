//! Dynamic updates, signed with HMAC-SHA-256: one datagram and its answer.
//!
//! By hand: a message of the same size written with hickory-proto, one HMAC, a socket, a datagram to somebody who
//! sends it back, one more HMAC, and the message read.
//!
//! Both sides run on [one core](OneCore). Between two cores that have nothing else to do what is counted is for the most
//! part how a virtual machine wakes the other one: the same exchange takes up to three times as much, and each time
//! another.

use std::{
    error::Error,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::mpsc,
    thread,
};

use hickory_proto::{
    op::{Message, MessageType, OpCode, Query},
    rr::{Name, RData, Record, RecordType, rdata::TXT},
};
use perennial_benches::Comparison;
use perennial_providers::rfc2136::{Algorithm, Rfc2136, TsigKey};
use perennial_testkit::dns::{self, AuthoritativeServer, Endpoint, TsigAlgorithm, UpdatePolicy};
use ring::hmac;
#[cfg(target_os = "linux")]
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use tokio::{
    net::UdpSocket,
    runtime::{Builder, Runtime},
};

use crate::{
    NAME, VALUE, ZONE,
    change::{self, Step},
};

/// A primary in a thread of its own.
pub(crate) struct Primary {
    pub(crate) server: AuthoritativeServer,
    key: dns::TsigKey,
}

impl Primary {
    pub(crate) fn start() -> Result<Self, Box<dyn Error>> {
        let zone = dns::Zone::new(ZONE)?;
        zone.add_name_server("ns1.example.com", &[Ipv4Addr::LOCALHOST.into()])?;
        let key = dns::TsigKey::generate("acme-key", TsigAlgorithm::HmacSha256)?;
        let policy = UpdatePolicy::everything(&key);
        let (started, server) = mpsc::channel();
        // It ends with the process.
        thread::spawn(move || -> io::Result<()> {
            Builder::new_current_thread().enable_all().build()?.block_on(async {
                let endpoint = Endpoint::bind("127.0.0.1:0").await.map_err(io::Error::other)?;
                let server = AuthoritativeServer::builder().zone(&zone).updates(policy).start(endpoint);
                started.send(server).map_err(io::Error::other)?;
                std::future::pending().await
            })
        });
        Ok(Self { server: server.recv()?, key })
    }

    /// A provider that knows the zone.
    pub(crate) fn provider(&self) -> Result<Rfc2136, Box<dyn Error>> {
        let secret = self.key.secret_base64.as_str().into();
        let key = TsigKey::new("acme-key", Algorithm::HmacSha256, &secret)?;
        Ok(Rfc2136::builder(self.server.address().into()).key(key).zone(ZONE.parse()?).build())
    }
}

pub(crate) fn compared(runtime: &Runtime) -> Result<Comparison, Box<dyn Error>> {
    let _one_core = OneCore::take();
    let primary = Primary::start()?;
    let echo = echo()?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]);
    change::compared(runtime, &primary.provider()?, |_: Step| by_hand(echo, &key))
}

/// This thread, and those that it starts, on one of the cores that it had, until it is dropped. Without where the system
/// does not let it.
struct OneCore {
    #[cfg(target_os = "linux")]
    before: Option<CpuSet>,
}

#[cfg(target_os = "linux")]
impl OneCore {
    fn take() -> Self {
        let before = sched_getaffinity(None).ok();
        let first = before.and_then(|all| (0..CpuSet::MAX_CPU).find(|core| all.is_set(*core)));
        if let Some(first) = first {
            let mut one = CpuSet::new();
            one.set(first);
            let _ = sched_setaffinity(None, &one);
        }
        Self { before }
    }
}

#[cfg(not(target_os = "linux"))]
impl OneCore {
    const fn take() -> Self {
        Self {}
    }
}

#[cfg(target_os = "linux")]
impl Drop for OneCore {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = sched_setaffinity(None, before);
        }
    }
}

/// Who sends back what is sent, in a thread of its own.
fn echo() -> io::Result<SocketAddr> {
    let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = socket.local_addr()?;
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((length, sender)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(buffer.get(..length).unwrap_or_default(), sender);
        }
    });
    Ok(address)
}

async fn by_hand(server: SocketAddr, key: &hmac::Key) -> Result<Message, Box<dyn Error>> {
    let mut message = Message::new(rand::random(), MessageType::Query, OpCode::Update);
    message.add_query(Query::query(Name::from_ascii("example.com.")?, RecordType::SOA));
    let name = Name::from_ascii(format!("{NAME}."))?;
    message.add_authority(Record::from_rdata(name, 60, RData::TXT(TXT::new(vec![VALUE.to_owned()]))));
    let bytes = message.to_vec()?;
    let tag = hmac::sign(key, &bytes);
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    socket.connect(server).await?;
    socket.send(&[&bytes, tag.as_ref()].concat()).await?;
    let mut buffer = vec![0; 4096];
    let length = socket.recv(&mut buffer).await?;
    let (answer, tag) = buffer.split_at(length.saturating_sub(tag.as_ref().len()));
    hmac::verify(key, answer, tag.get(..32).unwrap_or_default()).map_err(|error| error.to_string())?;
    Ok(Message::from_vec(answer)?)
}
