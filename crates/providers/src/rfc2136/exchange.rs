//! The thin part that touches the network: one request to one server over UDP or TCP (RFC 1035 §4.2).

use std::{fmt, io, net::SocketAddr, str::FromStr, time::Duration};

use hickory_proto::op::Message;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout_at},
};

use super::{
    failure::Failure,
    request::{Reading, Request},
    server::{Place, Server},
    sockets::{self, Sockets},
};

/// How requests travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Transport {
    /// Over TCP, for servers or networks that let no UDP pass.
    Tcp,
    /// Over UDP, sent again when no answer comes; over TCP when the request or the answer does not fit, or when
    /// nothing comes back in three seconds. The default: no connection to be made, and every server takes it.
    #[default]
    Udp,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// Reads `udp` and `tcp`, in any case.
impl FromStr for Transport {
    type Err = TransportError;

    fn from_str(text: &str) -> Result<Self, TransportError> {
        match text.trim().to_ascii_lowercase().as_str() {
            "tcp" => Ok(Self::Tcp),
            "udp" => Ok(Self::Udp),
            _ => Err(TransportError { text: text.chars().take(64).collect() }),
        }
    }
}

/// A text that names no transport.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no transport; use udp (which turns to tcp when it must) or tcp")]
#[non_exhaustive]
pub struct TransportError {
    /// The text, cut at 64 characters.
    pub text: String,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Trouble {
    Failed(Failure),
    /// Nothing that could be judged arrived; the reason ends in a remedy.
    Network(String),
}

/// How long to wait for an answer before the datagram is sent again, and at last TCP is tried. RFC 1035 §4.2.1
/// advises two to five seconds for the whole internet; a primary is nearer, and repeating an update does no
/// harm.
const UDP_WAITS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(2)];

/// After an answer that proves nothing, how long a true one may still come: a forger must be faster than the
/// server, but not by more than this. Long enough for any round trip.
const GRACE: Duration = Duration::from_millis(500);

/// Three times what we say that we take ([`super::message`]), so that servers that think little of it are heard too;
/// of what fills it nobody knows whether it was longer. To clear 64 KiB for each request took longer than to sign it.
const LARGEST_DATAGRAM: usize = 4096;

/// A host name rarely has more, and each costs its share of the time.
const MOST_ADDRESSES: usize = 4;

/// Sends the request and returns its answer, within `limit`.
pub(super) async fn ask(
    server: &Server,
    (transport, sockets): (Transport, &Sockets),
    limit: Duration,
    request: &Request<'_>,
) -> Result<Message, Trouble> {
    let deadline = Instant::now() + limit;
    let addresses = addresses(server, deadline).await?;
    let mut last = Trouble::Network("it has no address; check its name".to_owned());
    for (index, address) in addresses.iter().enumerate() {
        let left = u32::try_from(addresses.len() - index).unwrap_or(1);
        let share = Instant::now() + deadline.saturating_duration_since(Instant::now()) / left;
        last = match ask_address(*address, (transport, sockets), share, request).await {
            Err(trouble @ Trouble::Network(_)) => trouble,
            decided => return decided,
        };
    }
    Err(last)
}

async fn addresses(server: &Server, deadline: Instant) -> Result<Vec<SocketAddr>, Trouble> {
    match server.place() {
        Place::Address(address) => Ok(vec![*address]),
        Place::Host(host, port) => {
            let found = timeout_at(deadline, tokio::net::lookup_host((host.as_str(), *port))).await;
            match found {
                Ok(Ok(addresses)) => Ok(addresses.take(MOST_ADDRESSES).collect()),
                Ok(Err(error)) => Err(Trouble::Network(format!("its name has no address: {error}"))),
                Err(_) => Err(Trouble::Network("its name could not be resolved in time".to_owned())),
            }
        }
    }
}

async fn ask_address(
    address: SocketAddr,
    (transport, sockets): (Transport, &Sockets),
    deadline: Instant,
    request: &Request<'_>,
) -> Result<Message, Trouble> {
    let mut before = "";
    if transport == Transport::Udp && request.fits_datagram() {
        match over_udp(address, sockets, deadline, request).await? {
            Heard::Answer(answer) => return Ok(*answer),
            Heard::Truncated => before = "its answer does not fit into a datagram; ",
            Heard::Nothing => before = "no answer over udp; ",
        }
        tracing::debug!(%address, before, "asking over TCP");
    }
    let trouble = match timeout_at(deadline, over_tcp(address, request)).await {
        Ok(Ok(outcome)) => return outcome,
        Ok(Err(error)) => describe(&error, "tcp"),
        Err(_) => "no answer over tcp in time; check the address, the port and firewalls".to_owned(),
    };
    Err(Trouble::Network(format!("{before}{trouble}")))
}

/// What came over UDP.
enum Heard {
    Answer(Box<Message>),
    Nothing,
    Truncated,
}

async fn over_udp(
    address: SocketAddr,
    sockets: &Sockets,
    deadline: Instant,
    request: &Request<'_>,
) -> Result<Heard, Trouble> {
    let failed = |error: io::Error| Trouble::Network(describe(&error, "udp"));
    let socket = match request.wants_signature() {
        true => sockets.used(address).await,
        false => sockets::connected(address).await,
    };
    let socket = socket.map_err(failed)?;
    let mut buffer = vec![0; LARGEST_DATAGRAM];
    for wait in UDP_WAITS {
        socket.send(request.bytes()).await.map_err(failed)?;
        let mut doubtful: Option<Failure> = None;
        let mut again = deadline.min(Instant::now() + wait);
        while let Ok(received) = timeout_at(again, socket.recv(&mut buffer)).await {
            let length = received.map_err(failed)?;
            if length == buffer.len() {
                return Ok(Heard::Truncated);
            }
            match request.read(buffer.get(..length).unwrap_or_default()) {
                Reading::Answer(answer) => {
                    if request.wants_signature() {
                        sockets.keep(address, socket);
                    }
                    return Ok(Heard::Answer(answer));
                }
                Reading::Truncated => return Ok(Heard::Truncated),
                Reading::Failed(failure) if failure.is_proved() => return Err(Trouble::Failed(failure)),
                Reading::Failed(failure) => {
                    if doubtful.replace(failure).is_none() {
                        again = deadline.min(Instant::now() + GRACE);
                    }
                }
                Reading::Foreign => tracing::debug!(%address, "a message that answers nothing we asked"),
            }
        }
        if let Some(failure) = doubtful {
            return Err(Trouble::Failed(failure));
        }
    }
    Ok(Heard::Nothing)
}

async fn over_tcp(address: SocketAddr, request: &Request<'_>) -> io::Result<Result<Message, Trouble>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let length = u16::try_from(request.bytes().len()).map_err(io::Error::other)?;
    let mut frame = length.to_be_bytes().to_vec();
    frame.extend_from_slice(request.bytes());
    stream.write_all(&frame).await?;
    loop {
        let length = stream.read_u16().await?;
        let mut bytes = vec![0; usize::from(length)];
        stream.read_exact(&mut bytes).await?;
        match request.read(&bytes) {
            Reading::Answer(answer) => return Ok(Ok(*answer)),
            Reading::Failed(failure) => return Ok(Err(Trouble::Failed(failure))),
            Reading::Truncated => {
                let reason = "it truncates its answers over tcp too, which no server should";
                return Ok(Err(Trouble::Network(reason.to_owned())));
            }
            Reading::Foreign => tracing::debug!(%address, "a message that answers nothing we asked"),
        }
    }
}

fn describe(error: &io::Error, transport: &str) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => format!(
            "connection refused: nothing listens there on {transport}; check the address and the port, and \
             that the server runs"
        ),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            format!("no route over {transport}: {error}; check the address, and IPv4 or IPv6 of this host")
        }
        io::ErrorKind::UnexpectedEof => {
            format!("it closed the {transport} connection without an answer; its log may say why")
        }
        _ => format!("{error} ({transport})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rfc2136::{Algorithm, TsigKey, message};
    use hickory_proto::{op::MessageType, rr::RecordType};
    use perennial_core::Timestamp;
    use tokio::net::UdpSocket;

    #[tokio::test]
    async fn what_is_asked_goes_out_of_a_port_of_its_own_each_time_signed_or_not() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let at = Server::from(server.local_addr().unwrap());
        let (sockets, mut ports) = (Sockets::default(), std::collections::BTreeSet::new());
        let key = TsigKey::new("acme-key", Algorithm::HmacSha256, &"c2VjcmV0".into()).unwrap();
        for (id, key) in [(0, None), (1, None), (2, Some(&key)), (3, Some(&key))] {
            let query = message::query(id, &"example.com".parse().unwrap(), RecordType::SOA).unwrap();
            // As simple servers answer: without a signature.
            let mut answer = query.clone();
            answer.metadata.message_type = MessageType::Response;
            let answer = answer.to_vec().unwrap();
            let request = Request::new(query, key, Timestamp::from_unix(0)).unwrap();
            let answer = async {
                let (_, from) = server.recv_from(&mut [0; 512]).await.unwrap();
                server.send_to(&answer, from).await.unwrap();
                from.port()
            };
            let asked = ask(&at, (Transport::Udp, &sockets), Duration::from_secs(5), &request);
            let (port, asked) = tokio::join!(answer, asked);
            assert!(asked.is_ok(), "{asked:?}");
            ports.insert(port);
        }
        assert_eq!(ports.len(), 4);
    }
}
