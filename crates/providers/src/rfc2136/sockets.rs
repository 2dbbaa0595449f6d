//! Sockets that were used a moment ago.
//!
//! To open a socket for each datagram, and to close it, takes as much of the system's time as to send the datagram and
//! to receive its answer. Whoever makes one change after the other keeps the socket for as long.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{net::UdpSocket, time::Instant};

/// Sockets that nobody uses just now, for signed updates: who wants to forge an answer to those needs more than their port.
/// All else goes out of a port of its own each time (RFC 5452 §9).
#[derive(Debug, Default)]
pub(super) struct Sockets(Mutex<Vec<Idle>>);

/// It belongs to no runtime, so that it may outlive the one that it was used in.
#[derive(Debug)]
struct Idle {
    address: SocketAddr,
    socket: std::net::UdpSocket,
    since: Instant,
}

/// After so long it serves nobody, and the next request closes it. Of a later request the way may be another: a new address of this host, a new entry in a router's table.
const LONGEST: Duration = Duration::from_secs(1);

/// As many changes as are made at the same time, for the most part.
const MOST: usize = 4;

impl Sockets {
    /// A socket to this server that was used a moment ago, or else a new one.
    pub(super) async fn used(&self, address: SocketAddr) -> io::Result<UdpSocket> {
        match self.take(address) {
            Some(socket) => UdpSocket::from_std(socket),
            None => connected(address).await,
        }
    }

    fn take(&self, address: SocketAddr) -> Option<std::net::UdpSocket> {
        let mut idle = self.idle();
        idle.retain(|it| it.since.elapsed() < LONGEST);
        let place = idle.iter().position(|it| it.address == address)?;
        let socket = idle.swap_remove(place).socket;
        // What the network has said of it meanwhile would be taken for a word about the next datagram.
        matches!(socket.take_error(), Ok(None)).then_some(socket)
    }

    /// Keeps a socket that an answer has come over.
    pub(super) fn keep(&self, address: SocketAddr, socket: UdpSocket) {
        let Ok(socket) = socket.into_std() else { return };
        let mut idle = self.idle();
        if idle.len() < MOST {
            idle.push(Idle { address, socket, since: Instant::now() });
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A socket on a port of its own that the system chose at random, and that hears this server only
/// (RFC 5452 §9).
pub(super) async fn connected(address: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr = match address {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(address).await?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn server() -> (UdpSocket, SocketAddr) {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = socket.local_addr().unwrap();
        (socket, address)
    }

    async fn port(sockets: &Sockets, address: SocketAddr) -> u16 {
        let socket = sockets.used(address).await.unwrap();
        let port = socket.local_addr().unwrap().port();
        sockets.keep(address, socket);
        port
    }

    #[tokio::test]
    async fn a_socket_serves_the_next_request_to_the_same_server_for_a_second() {
        let (sockets, (_one, one), (_other, other)) = (Sockets::default(), server().await, server().await);
        let first = port(&sockets, one).await;
        assert_eq!(port(&sockets, one).await, first);
        assert_ne!(port(&sockets, other).await, first);
        for idle in &mut *sockets.idle() {
            idle.since -= LONGEST;
        }
        let held = sockets.used(one).await.unwrap();
        assert!(sockets.idle().is_empty(), "the other server's is closed, too");
        assert_ne!(held.local_addr().unwrap().port(), first);
    }

    #[tokio::test]
    async fn a_socket_that_the_network_has_complained_about_serves_nobody() {
        let (sockets, (server, address)) = (Sockets::default(), server().await);
        let first = port(&sockets, address).await;
        drop(server);
        let socket = sockets.used(address).await.unwrap();
        assert_eq!(socket.local_addr().unwrap().port(), first);
        // Nobody listens there: the system hears so at once.
        socket.send(b"hello").await.unwrap();
        sockets.keep(address, socket);
        let next = sockets.used(address).await.unwrap();
        assert_ne!(next.local_addr().unwrap().port(), first);
        assert!(next.send(b"hello").await.is_ok());
    }

    #[tokio::test]
    async fn no_more_sockets_are_kept_than_are_used_at_once() {
        let (sockets, (_server, address)) = (Sockets::default(), server().await);
        for _ in 0..=MOST {
            sockets.keep(address, connected(address).await.unwrap());
        }
        assert_eq!(sockets.idle().len(), MOST);
    }
}
