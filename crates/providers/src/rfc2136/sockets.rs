//! Sockets that were used a moment ago.
//!
//! To open a socket for each datagram, and to close it, takes as much of the system's time as to send the datagram and
//! to receive its answer. Whoever makes one change after the other keeps the socket for as long.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::{net::UdpSocket, runtime::Handle, time::Instant};

/// Sockets that nobody uses just now, for signed updates: who wants to forge an answer to those needs more than their port.
/// All else goes out of a port of its own each time (RFC 5452 §9).
///
/// Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Sockets {
    shelf: Arc<Mutex<Shelf>>,
    longest: Duration,
}

impl Default for Sockets {
    fn default() -> Self {
        Self { shelf: Arc::default(), longest: LONGEST }
    }
}

#[derive(Debug, Default)]
struct Shelf {
    idle: Vec<Idle>,
    /// Whether a [`Watch`] sees to it that they are closed.
    is_watched: bool,
}

/// It belongs to no runtime, so that it may outlive the one that it was used in.
#[derive(Debug)]
struct Idle {
    address: SocketAddr,
    socket: std::net::UdpSocket,
    since: Instant,
}

/// After so long it serves nobody, and is closed. Of a later request the way may be another: a new address of this host,
/// a new entry in a router's table.
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
        let mut shelf = locked(&self.shelf);
        shelf.idle.retain(|it| it.since.elapsed() < self.longest);
        let place = shelf.idle.iter().position(|it| it.address == address)?;
        let socket = shelf.idle.swap_remove(place).socket;
        // What the network has said of it meanwhile would be taken for a word about the next datagram.
        matches!(socket.take_error(), Ok(None)).then_some(socket)
    }

    #[cfg(test)]
    pub(super) fn are_those_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shelf, &other.shelf)
    }

    /// Keeps a socket that an answer has come over.
    pub(super) fn keep(&self, address: SocketAddr, socket: UdpSocket) {
        let Ok(socket) = socket.into_std() else { return };
        let mut shelf = locked(&self.shelf);
        if shelf.idle.len() >= MOST {
            return;
        }
        shelf.idle.push(Idle { address, socket, since: Instant::now() });
        if shelf.is_watched {
            return;
        }
        // Where nobody can wait, whoever takes one next closes them.
        let Ok(runtime) = Handle::try_current() else { return };
        shelf.is_watched = true;
        drop(shelf);
        let watch = Watch { shelf: Arc::downgrade(&self.shelf), longest: self.longest, has_ended: false };
        drop(runtime.spawn(watch.run()));
    }
}

/// Closes sockets when their time is over, and is gone when there are none. It keeps neither them nor its runtime.
struct Watch {
    shelf: Weak<Mutex<Shelf>>,
    longest: Duration,
    has_ended: bool,
}

impl Watch {
    async fn run(mut self) {
        while let Some(next) = self.close() {
            tokio::time::sleep_until(next).await;
        }
    }

    /// Closes those whose time is over, and says when that of the next one is.
    fn close(&mut self) -> Option<Instant> {
        let shelf = self.shelf.upgrade()?;
        let mut shelf = locked(&shelf);
        shelf.idle.retain(|it| it.since.elapsed() < self.longest);
        let next = shelf.idle.iter().map(|it| it.since + self.longest).min();
        self.has_ended = next.is_none();
        shelf.is_watched = next.is_some();
        next
    }
}

/// With the runtime that it was in: one of another runtime can take its place.
impl Drop for Watch {
    fn drop(&mut self) {
        if let (false, Some(shelf)) = (self.has_ended, self.shelf.upgrade()) {
            locked(&shelf).is_watched = false;
        }
    }
}

fn locked(shelf: &Mutex<Shelf>) -> MutexGuard<'_, Shelf> {
    // Whole between any two statements.
    shelf.lock().unwrap_or_else(PoisonError::into_inner)
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
        for idle in &mut locked(&sockets.shelf).idle {
            idle.since -= LONGEST;
        }
        let held = sockets.used(one).await.unwrap();
        assert_eq!(idle(&sockets), 0, "the other server's is closed, too");
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
        assert_eq!(idle(&sockets), MOST);
    }

    #[tokio::test]
    async fn a_socket_is_closed_when_its_time_is_over_and_nobody_asks_for_it() {
        let (sockets, (_server, address)) = (brief(), server().await);
        for _ in 0..2 {
            port(&sockets, address).await;
            assert!(idle(&sockets) == 1 && locked(&sockets.shelf).is_watched);
            until(|| idle(&sockets) == 0).await;
            assert!(!locked(&sockets.shelf).is_watched, "whoever closes them is gone");
        }
        // One that is used again and again is watched by one.
        port(&sockets, address).await;
        let shelf = Arc::downgrade(&sockets.shelf);
        for _ in 0..20 {
            port(&sockets, address).await;
            assert!(shelf.weak_count() <= 2, "{} watch", shelf.weak_count() - 1);
        }
        drop(sockets);
        assert!(shelf.upgrade().is_none(), "it is kept by whoever closes them");
    }

    #[test]
    fn sockets_outlive_a_runtime_and_are_closed_in_the_next_one() {
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let sockets = brief();
        let first = runtime();
        let (_server, address) = first.block_on(server());
        first.block_on(port(&sockets, address));
        drop(first);
        assert!(idle(&sockets) == 1 && !locked(&sockets.shelf).is_watched);
        let second = runtime();
        let socket = second.block_on(connected(address)).unwrap();
        // In none at all.
        sockets.keep(address, socket);
        assert!(idle(&sockets) == 2 && !locked(&sockets.shelf).is_watched);
        second.block_on(async {
            port(&sockets, address).await;
            until(|| idle(&sockets) == 0).await;
        });
    }

    fn brief() -> Sockets {
        Sockets { longest: Duration::from_millis(50), ..Sockets::default() }
    }

    fn idle(sockets: &Sockets) -> usize {
        locked(&sockets.shelf).idle.len()
    }

    async fn until(holds: impl Fn() -> bool) {
        let soon = async {
            while !holds() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), soon).await.expect("it never does");
    }
}
