//! A web server that shows answers and nothing else.

use std::{
    convert::Infallible,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
    time,
};

use super::{Http01Responder, Http01Shared};
use crate::Error;

/// A web server of our own, for machines on which nobody else has port 80. It stops when it is dropped.
///
/// ```no_run
/// use perennial_issuers::solver::http01::{Http01, Http01Listener};
///
/// # async fn example() -> Result<(), perennial_issuers::Error> {
/// let listener = Http01Listener::everywhere(80).await?;
/// let solver = Http01::new(listener.responder());
/// # let _ = solver; Ok(())
/// # }
/// ```
///
/// It answers GET and HEAD of what a challenge asks for, 404 to the rest, and reads no body. A connection may take
/// ten seconds and 8 KiB of header; more than 256 at a time wait.
#[derive(Debug)]
pub struct Http01Listener {
    shows: Shows,
    addresses: Vec<SocketAddr>,
    serving: Vec<AbortHandle>,
}

/// What it shows.
#[derive(Clone, Debug)]
struct Shows {
    /// Of this process alone.
    own: Http01Responder,
    /// Of all that share a store.
    shared: Arc<RwLock<Option<Http01Shared>>>,
}

/// A CA asks from a few places at once; the rest is strangers.
const MOST_CONNECTIONS: usize = 256;
/// For one question and its answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// A CA's question has a few hundred bytes. hyper wants this much at least.
const LARGEST_HEADER: usize = 8 * 1024;
const MOST_HEADERS: usize = 64;
/// How many connections the operating system keeps for us.
const BACKLOG: i32 = 256;
/// After an accept that failed, usually for want of file descriptors.
const BREATH: Duration = Duration::from_millis(100);

impl Http01Listener {
    /// Listens on this port of all addresses, IPv6 and IPv4. One of the two may be missing on this machine.
    ///
    /// # Errors
    /// [`Error::Listen`] when the port is somebody else's, or may not be had.
    pub async fn everywhere(port: u16) -> Result<Self, Error> {
        let v6 = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
        let sockets = match listen(v6) {
            Ok(socket) => {
                // A port that the operating system has chosen is to be the same for both.
                let port = socket.local_addr().map_or(port, |address| address.port());
                vec![socket, bound((Ipv4Addr::UNSPECIFIED, port).into())?]
            }
            Err(error)
                if matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied) =>
            {
                return Err(refused(v6, &error));
            }
            // There is no IPv6 here.
            Err(_) => vec![bound((Ipv4Addr::UNSPECIFIED, port).into())?],
        };
        Ok(Self::serve(sockets))
    }

    /// Listens on these addresses. `[::]` is IPv6 alone: give `0.0.0.0` beside it.
    ///
    /// # Errors
    /// [`Error::Listen`] when one of them cannot be had.
    pub async fn bind(addresses: impl IntoIterator<Item = SocketAddr>) -> Result<Self, Error> {
        let sockets: Result<Vec<TcpListener>, Error> = addresses.into_iter().map(bound).collect();
        Ok(Self::serve(sockets?))
    }

    fn serve(sockets: Vec<TcpListener>) -> Self {
        let addresses: Vec<SocketAddr> =
            sockets.iter().filter_map(|socket| socket.local_addr().ok()).collect();
        let own = Http01Responder::shown_at(addresses.last().copied().map(here));
        let shows = Shows { own, shared: Arc::default() };
        let serve = |socket| tokio::spawn(accept(socket, shows.clone())).abort_handle();
        let serving = sockets.into_iter().map(serve).collect();
        Self { shows, addresses, serving }
    }

    /// Where it shows what it is given; for [`Http01::new`](super::Http01::new).
    #[must_use]
    pub fn responder(&self) -> Http01Responder {
        self.shows.own.clone()
    }

    /// Shows from now on what replicas share, too. What is returned is for [`Http01::new`](super::Http01::new): it knows
    /// that this machine shows it here.
    #[must_use]
    pub fn share(&self, shared: Http01Shared) -> Http01Shared {
        let shared = shared.shown_at(self.addresses.last().copied().map(here));
        let mut place = self.shows.shared.write().unwrap_or_else(PoisonError::into_inner);
        *place = Some(shared.clone());
        shared
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}

impl Shows {
    async fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let own = self.own.answer(request);
        let shared = self.shared.read().unwrap_or_else(PoisonError::into_inner).clone();
        match shared {
            Some(shared) if own.status() == StatusCode::NOT_FOUND => shared.answer(request).await,
            _ => own,
        }
    }
}

impl Drop for Http01Listener {
    fn drop(&mut self) {
        self.serving.iter().for_each(AbortHandle::abort);
    }
}

/// Where a server on this address is reached from its own machine.
fn here(listening: SocketAddr) -> SocketAddr {
    let ip: IpAddr = match listening.ip() {
        IpAddr::V4(v4) if v4.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(v6) if v6.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listening.port())
}

fn bound(address: SocketAddr) -> Result<TcpListener, Error> {
    listen(address).map_err(|error| refused(address, &error))
}

/// IPv6 alone, where it is IPv6: whether `[::]` has IPv4 as well differs from machine to machine.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // On Windows it would share the port with whoever has it.
    if cfg!(unix) {
        socket.set_reuse_address(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn refused(address: SocketAddr, error: &io::Error) -> Error {
    let remedy = match error.kind() {
        io::ErrorKind::AddrInUse => "; mount an Http01Responder in the server that has it, or use a Webroot",
        io::ErrorKind::PermissionDenied => {
            "; let this program have ports below 1024 (CAP_NET_BIND_SERVICE), or forward port 80 to another one"
        }
        _ => "",
    };
    Error::Listen { address, reason: format!("{error}{remedy}") }
}

async fn accept(listener: TcpListener, shows: Shows) {
    // Dropping the set ends the connections with the server.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept(), if connections.len() < MOST_CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(time::timeout(PATIENCE, serve(stream, shows.clone())));
                }
                Err(_) => time::sleep(BREATH).await,
            },
        }
    }
}

async fn serve(stream: TcpStream, shows: Shows) {
    let answer = service_fn(|request: Request<Incoming>| {
        let shows = &shows;
        async move { Ok::<_, Infallible>(shows.answer(&request).await) }
    });
    let served = http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(LARGEST_HEADER)
        .max_headers(MOST_HEADERS)
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), answer);
    // Who hangs up or speaks no HTTP has no answer.
    let _ = served.await;
}
