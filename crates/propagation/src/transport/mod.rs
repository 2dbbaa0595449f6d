//! One DNS message to one server: over UDP and TCP (RFC 1035 §4.2, RFC 7766), TLS (RFC 7858), HTTPS (RFC 8484).
//!
//! [`Exchange`] is the seam: [`Network`] sends for real, a test answers from a script.

use std::{fmt, net::SocketAddr, time::Duration};

use async_trait::async_trait;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use perennial_core::Retry;
use serde::{Serialize, Serializer};

use crate::wire::{Answer, Query};

mod driver;
mod engine;
pub use engine::Counters;
mod https;
mod network;
pub use network::{Network, NetworkBuilder};
pub(crate) mod route;
mod stream;
mod tls;
mod udp;

/// Who carries one question to one server and brings the answer back.
///
/// # Contract
/// - The answer MUST be the server's own and MUST belong to this question: the question section, the message
///   id and the address it came from match. What does not match is dropped, and the wait goes on.
/// - The call MUST end within a bounded time; no answer is [`TransportError::Timeout`].
/// - Every response code is an answer, SERVFAIL and REFUSED included.
/// - It may be called from any number of tasks at once, for the same server too. Dropping the future abandons
///   the question.
/// - It MUST NOT ask any other server instead, and MUST NOT answer from a cache.
#[async_trait]
pub trait Exchange: Send + Sync {
    /// Asks `server`.
    ///
    /// # Errors
    /// [`TransportError`] when no usable answer arrived.
    async fn exchange(&self, server: &Endpoint, query: &Query) -> Result<Reply, TransportError>;

    /// Asks many questions, and hands each result to `land` with the question's index, as they come.
    ///
    /// `land` is called once for each question, in any order. Dropping the future abandons those that are
    /// left. How many are on their way at once is the implementation's business; callers need not ration.
    async fn exchange_all(&self, questions: &[(Endpoint, Query)], land: &mut Land<'_>) {
        let mut waiting = questions.iter().enumerate();
        let mut asked = FuturesUnordered::new();
        loop {
            let room = MOST_AT_ONCE - asked.len();
            for (index, (server, query)) in waiting.by_ref().take(room) {
                asked.push(async move { (index, self.exchange(server, query).await) });
            }
            let Some((index, result)) = asked.next().await else { return };
            land(index, result);
        }
    }
}

/// Who takes the results of [`Exchange::exchange_all`].
pub type Land<'a> = dyn FnMut(usize, Result<Reply, TransportError>) + Send + 'a;

/// Questions of one call that wait at a time, where nobody knows better.
const MOST_AT_ONCE: usize = 256;

/// Where a question goes, and how.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// Over UDP, over TCP when the answer is truncated or UDP is lost twice.
    Udp(SocketAddr),
    /// Over TCP.
    Tcp(SocketAddr),
    /// Over TLS.
    Tls {
        /// Where to connect to.
        address: SocketAddr,
        /// The name, or IP address, that the server's certificate must hold.
        name: String,
    },
    /// Over HTTPS.
    Https {
        /// The URL to post to.
        url: String,
    },
}

impl Endpoint {
    /// The address that is connected to; for HTTPS the HTTP client finds it.
    #[must_use]
    pub const fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Udp(address) | Self::Tcp(address) | Self::Tls { address, .. } => Some(*address),
            Self::Https { .. } => None,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Udp(address) => write!(f, "{address}"),
            Self::Tcp(address) => write!(f, "tcp://{address}"),
            Self::Tls { address, name } => write!(f, "tls://{name} at {address}"),
            Self::Https { url } => f.write_str(url),
        }
    }
}

impl Serialize for Endpoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// An answer, and how it came.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reply {
    /// What the server said.
    pub answer: Answer,
    /// What carried it in the end.
    pub transport: Transport,
    /// From the first octet sent to the answer; with lost datagrams, longer than one round trip.
    pub elapsed: Duration,
}

impl Reply {
    /// An answer that `transport` carried.
    #[must_use]
    pub const fn new(answer: Answer, transport: Transport, elapsed: Duration) -> Self {
        Self { answer, transport, elapsed }
    }
}

/// What carried an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Transport {
    /// A datagram.
    Udp,
    /// A TCP connection.
    Tcp,
    /// A TLS session.
    Tls,
    /// An HTTPS exchange.
    Https,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Https => "https",
        })
    }
}

/// Why no usable answer arrived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TransportError {
    /// The connection ended before the answer.
    #[error("the server closed the connection without an answer")]
    Closed,
    /// The HTTP side of RFC 8484 failed.
    #[error("no DNS answer over HTTPS: {reason}")]
    Http {
        /// The HTTP client's reason, or what was wrong with the response.
        reason: String,
    },
    /// The operating system's word for another failure.
    #[error("the network failed: {reason}")]
    Io {
        /// The system's reason.
        reason: String,
    },
    /// What came is no answer to the question.
    #[error("the server sent something that is no answer: {reason}")]
    Malformed {
        /// What is wrong with it.
        reason: String,
    },
    /// Nothing listens there.
    #[error("the host refuses connections on this port")]
    Refused,
    /// No answer in time.
    #[error("no answer in time")]
    Timeout,
    /// The server's certificate or handshake is unacceptable.
    #[error("TLS failed: {reason}")]
    Tls {
        /// The reason.
        reason: String,
    },
    /// There is no way to this address.
    #[error("no route to this address: {reason}")]
    Unreachable {
        /// The system's reason.
        reason: String,
    },
}

impl TransportError {
    /// Networks mend themselves: always worth another try.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        Retry::Backoff
    }

    fn from_io(error: &std::io::Error) -> Self {
        use std::io::ErrorKind as Kind;
        match error.kind() {
            Kind::ConnectionRefused => Self::Refused,
            Kind::TimedOut => Self::Timeout,
            Kind::UnexpectedEof | Kind::ConnectionReset | Kind::BrokenPipe => Self::Closed,
            Kind::NetworkUnreachable | Kind::HostUnreachable | Kind::AddrNotAvailable => {
                Self::Unreachable { reason: error.to_string() }
            }
            _ if error.raw_os_error() == Some(NO_SUCH_FAMILY) => {
                Self::Unreachable { reason: error.to_string() }
            }
            _ => Self::Io { reason: error.to_string() },
        }
    }
}

/// EAFNOSUPPORT, of a system without IPv6: [`std::io::ErrorKind`] has no name for it.
const NO_SUCH_FAMILY: i32 = match () {
    () if cfg!(any(target_os = "linux", target_os = "android")) => 97,
    () if cfg!(windows) => 10_047,
    () => 47,
};

/// How long a whole exchange over a connection may take, its set-up included. A recursive server may have to
/// ask half the world first, so it gets twice the time.
fn stream_patience(query: &Query) -> Duration {
    Duration::from_millis(if query.recursion_desired { 3200 } else { 1600 })
}

#[cfg(test)]
fn _object_safe(_: &dyn Exchange) {}

#[cfg(test)]
mod tests;
