//! The sockets around the [`Engine`], and the task that serves them.

use std::{
    future::{Future, poll_fn},
    io::{self, IoSliceMut},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{
    future::{AbortHandle, Aborted, BoxFuture, FutureExt as _, abortable},
    stream::{FuturesUnordered, StreamExt as _},
};
use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSocketState};
use tokio::{
    io::Interest,
    net::UdpSocket,
    time::{self, Sleep},
};

use super::{
    TransportError,
    engine::{Event, Family, SocketKey, Transmit},
    udp::{Shared, Token},
};

/// Serves the sockets until there is nothing to do for a while, or another one has taken over.
pub(super) async fn drive(shared: Arc<Shared>, number: u64) {
    let _leave = Leave { shared: &shared, number };
    let mut ports = Ports::new();
    let mut alarm = pin!(time::sleep(IDLE));
    loop {
        let wake = shared.wake.notified();
        if !shared.turn(number) {
            return;
        }
        ports.turn(&shared);
        let due = shared.with(|engine, _| engine.poll_timeout());
        let now = shared.now();
        let due_or_idle = due.unwrap_or(now + IDLE);
        // The reactor takes a socket that ICMP has told something for one that can be written to, from then on.
        let soon = if ports.blocked.is_some() { now + BLOCKED } else { due_or_idle };
        let deadline = shared.start + soon.min(due_or_idle);
        if alarm.deadline() != deadline {
            alarm.as_mut().reset(deadline);
        }
        let mut wake = pin!(wake);
        let idle = due.is_none() && ports.blocked.is_none();
        let rang = poll_fn(|context| ports.poll(context, wake.as_mut(), alarm.as_mut())).await;
        if rang && idle && shared.retire(number) {
            return;
        }
    }
}

/// However the task ends, with its runtime for instance, nobody waits for it any longer.
struct Leave<'a> {
    shared: &'a Shared,
    number: u64,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.shared.abandon(self.number);
    }
}

/// The sockets that are open.
struct Ports {
    open: Vec<Port>,
    /// Waits for the word that a port's questions have met an obstacle.
    obstacles: FuturesUnordered<BoxFuture<'static, Result<SocketKey, Aborted>>>,
    /// The ports that have had that word.
    met: Vec<SocketKey>,
    /// What a socket had no room for.
    blocked: Option<Transmit>,
    outgoing: Vec<u8>,
    incoming: Vec<u8>,
    found: [RecvMeta; BATCH_SIZE],
    events: Vec<Event<Token>>,
}

struct Port {
    key: SocketKey,
    socket: Arc<UdpSocket>,
    state: UdpSocketState,
    obstacle: AbortHandle,
}

impl Drop for Port {
    fn drop(&mut self) {
        // Who waits for obstacles holds the socket, too.
        self.obstacle.abort();
    }
}

impl Ports {
    fn new() -> Self {
        Self {
            open: Vec::new(),
            obstacles: FuturesUnordered::new(),
            met: Vec::new(),
            blocked: None,
            outgoing: Vec::new(),
            incoming: vec![0; BATCH_SIZE * MAX_RECEIVED],
            found: [RecvMeta::default(); BATCH_SIZE],
            events: Vec::new(),
        }
    }

    /// Takes in what has come, tells what became of it, sends what is to be sent.
    fn turn(&mut self, shared: &Shared) {
        for key in std::mem::take(&mut self.met) {
            if let Some(index) = self.open.iter().position(|port| port.key == key) {
                self.meet_obstacles(shared, index);
                self.expect_obstacles(index);
            }
        }
        for index in 0..self.open.len() {
            for _ in 0..ROUNDS {
                if !self.receive(shared, index) {
                    break;
                }
            }
        }
        // Only now: what had come in time is not late because we were.
        shared.with(|engine, now| engine.handle_timeout(now));
        self.send_all(shared);
        self.tell(shared);
    }

    /// One batch from one socket. Whether there may be more.
    fn receive(&mut self, shared: &Shared, index: usize) -> bool {
        let Some(Port { key, socket, state, .. }) = self.open.get(index) else { return false };
        let mut buffers: [IoSliceMut<'_>; BATCH_SIZE] = {
            let mut chunks = self.incoming.chunks_mut(MAX_RECEIVED);
            std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()))
        };
        let mut count = 0;
        let read = || {
            count = state.recv((&**socket).into(), &mut buffers, &mut self.found)?;
            // What is not full was the last one, and to ask once more would tell nothing else. Whatever has come
            // since wakes the reactor again.
            if count < BATCH_SIZE { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
        };
        match socket.try_io(Interest::READABLE, read) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                // An obstacle of an earlier question may be told here; the others' answers come after it.
                return self.meet_obstacles(shared, index);
            }
            _ if count == 0 => return false,
            _ => {}
        }
        let key = *key;
        let read = self.incoming.chunks(MAX_RECEIVED).zip(&self.found).take(count);
        shared.with(|engine, now| {
            for (octets, meta) in read {
                // The system may have joined several datagrams of one sender.
                let joined = octets.get(..meta.len).unwrap_or_default();
                for datagram in joined.chunks(meta.stride.max(1)) {
                    engine.handle_datagram(now, key, meta.addr, datagram);
                }
            }
        });
        count == BATCH_SIZE
    }

    /// Hands in what ICMP says. Whether it said anything.
    fn meet_obstacles(&self, shared: &Shared, index: usize) -> bool {
        let Some(Port { key, socket, state, .. }) = self.open.get(index) else { return false };
        let mut any = false;
        for _ in 0..BATCH_SIZE {
            let read = || {
                let next = state.recv_transport_error((&**socket).into()).ok().flatten();
                next.ok_or_else(|| io::ErrorKind::WouldBlock.into())
            };
            let Ok(obstacle) = socket.try_io(Interest::ERROR, read) else { break };
            any = true;
            // A router's word would not tell which server it means; the questions' own patience finds out.
            let error = TransportError::from_io(&io::Error::from_raw_os_error(obstacle.raw_errno));
            if let (TransportError::Refused, Some(host)) = (error, obstacle.addr) {
                let key = *key;
                shared.with(|engine, now| engine.handle_refusal(now, key, host.ip()));
            }
        }
        any
    }

    fn send_all(&mut self, shared: &Shared) {
        loop {
            if self.blocked.is_none() {
                let outgoing = &mut self.outgoing;
                self.blocked = shared.with(|engine, now| engine.poll_transmit(now, SEGMENTS, outgoing));
            }
            let Some(transmit) = self.blocked else { return };
            match self.send(&transmit) {
                Ok(()) => {}
                Err(Refusal::Busy) => return,
                Err(Refusal::Server(error)) => {
                    shared.with(|engine, now| engine.handle_unreachable(now, transmit.server, &error))
                }
                Err(Refusal::Socket(error)) => {
                    shared.with(|engine, now| engine.handle_socket_failure(now, transmit.socket, &error));
                }
            }
            self.blocked = None;
        }
    }

    fn send(&mut self, transmit: &Transmit) -> Result<(), Refusal> {
        let index =
            self.port(transmit.socket).map_err(|error| Refusal::Socket(TransportError::from_io(&error)))?;
        let Some(port) = self.open.get(index) else { return Ok(()) };
        let segments = port.state.max_gso_segments().max(1);
        let mut done = 0;
        let chunks = self.outgoing.chunks(transmit.segment.max(1) * segments);
        let sent = chunks.into_iter().try_for_each(|octets| port.send(transmit, octets, &mut done));
        // What has left is not sent again when there is room for the rest.
        self.outgoing.drain(..done);
        sent
    }

    /// Where the socket is, opened if need be: at a port that the system draws.
    fn port(&mut self, key: SocketKey) -> io::Result<usize> {
        if let Some(index) = self.open.iter().position(|port| port.key == key) {
            return Ok(index);
        }
        let any: SocketAddr = match key.family {
            Family::V4 => (Ipv4Addr::UNSPECIFIED, 0).into(),
            Family::V6 => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = std::net::UdpSocket::bind(any)?;
        socket.set_nonblocking(true)?;
        let socket = Arc::new(UdpSocket::from_std(socket)?);
        let state = UdpSocketState::new((&*socket).into())?;
        state.enable_transport_errors((&*socket).into())?;
        let (_, obstacle) = abortable(std::future::pending::<()>());
        self.open.push(Port { key, socket, state, obstacle });
        let index = self.open.len() - 1;
        self.expect_obstacles(index);
        Ok(index)
    }

    /// Waits for the next word of ICMP about a port.
    fn expect_obstacles(&mut self, index: usize) {
        let Some(port) = self.open.get_mut(index) else { return };
        let (key, socket) = (port.key, Arc::clone(&port.socket));
        let (obstacle, handle) = abortable(async move {
            let _ = socket.ready(Interest::ERROR).await;
            key
        });
        port.obstacle = handle;
        self.obstacles.push(obstacle.boxed());
    }

    /// Tells the callers what became of their questions, and closes sockets.
    fn tell(&mut self, shared: &Shared) {
        let events = &mut self.events;
        shared.with(|engine, _| events.extend(std::iter::from_fn(|| engine.poll_event())));
        for event in self.events.drain(..) {
            match event {
                Event::Close(key) => {
                    self.open.retain(|port| port.key != key);
                    // Whoever asked has gone, or nothing would close.
                    self.blocked = self.blocked.filter(|transmit| transmit.socket != key);
                }
                Event::Landed(token, outcome) => token.land(Some(outcome)),
            }
        }
    }

    /// Ready when there is something to do; with `true` when it is only the alarm.
    fn poll(
        &mut self,
        context: &mut Context<'_>,
        wake: Pin<&mut impl Future<Output = ()>>,
        alarm: Pin<&mut Sleep>,
    ) -> Poll<bool> {
        let mut ready = wake.poll(context).is_ready();
        for port in &self.open {
            ready |= port.socket.poll_recv_ready(context).is_ready();
        }
        while let Poll::Ready(Some(obstacle)) = self.obstacles.poll_next_unpin(context) {
            self.met.extend(obstacle);
            ready = true;
        }
        match alarm.poll(context) {
            _ if ready => Poll::Ready(false),
            Poll::Ready(()) => Poll::Ready(true),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl Port {
    /// Sends datagrams to one server, in one system call, and adds to `done` the octets that are dealt with.
    fn send(&self, transmit: &Transmit, octets: &[u8], done: &mut usize) -> Result<(), Refusal> {
        let several = quinn_udp::Transmit {
            destination: transmit.server,
            ecn: None,
            contents: octets,
            segment_size: Some(transmit.segment),
            src_ip: None,
        };
        match self.try_send(&several) {
            Ok(()) => {
                *done += octets.len();
                return Ok(());
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(Refusal::Busy),
            // It may be the joining of datagrams that the system cannot do, or the word of an earlier
            // question's obstacle: each is tried on its own.
            Err(_) => {}
        }
        for contents in octets.chunks(transmit.segment.max(1)) {
            let one = quinn_udp::Transmit { contents, segment_size: None, ..several.clone() };
            persist(|| {
                // The word that waits here may be about another server, and hides whether this one can be had.
                let _ = self.socket.take_error();
                self.try_send(&one)
            })?;
            *done += contents.len();
        }
        Ok(())
    }

    fn try_send(&self, transmit: &quinn_udp::Transmit<'_>) -> io::Result<()> {
        self.socket.try_io(Interest::WRITABLE, || self.state.try_send((&*self.socket).into(), transmit))
    }
}

/// Sends a datagram, and tells apart what the system says about it.
///
/// Much of it is not about this server: ICMP about another one, a queue or a table that is full. The datagram is
/// then as good as lost on the way, which the question's patience finds out.
fn persist(mut send: impl FnMut() -> io::Result<()>) -> Result<(), Refusal> {
    use io::ErrorKind as Kind;
    let mut last = Ok(());
    for _ in 0..SENDS {
        last = send();
        match &last {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == Kind::WouldBlock => return Err(Refusal::Busy),
            Err(_) => {}
        }
    }
    match last {
        Err(error) if matches!(error.kind(), Kind::InvalidInput) => {
            Err(Refusal::Server(TransportError::Unreachable { reason: error.to_string() }))
        }
        Err(error) => match TransportError::from_io(&error) {
            unreachable @ TransportError::Unreachable { .. } => Err(Refusal::Server(unreachable)),
            _ => Ok(()),
        },
        Ok(()) => Ok(()),
    }
}

/// Why something was not sent.
#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    /// Not yet.
    Busy,
    /// This server cannot be reached.
    Server(TransportError),
    /// This socket cannot be opened.
    Socket(TransportError),
}

/// The largest datagram, or bundle of joined ones, that the system hands out, in octets.
const MAX_RECEIVED: usize = 1 << 16;
/// Batches from one socket before the others have their turn.
const ROUNDS: usize = 4;
/// Datagrams in one system call; Linux takes 64 (`UDP_MAX_SEGMENTS`).
const SEGMENTS: usize = 64;
/// How often a datagram is handed to the system: what ICMP said of an earlier one takes the place of its sending.
const SENDS: usize = 3;
/// When a socket that had no room is tried again: it sends some hundreds of datagrams meanwhile.
const BLOCKED: Duration = Duration::from_millis(1);
/// For how long sockets stay open that nobody asks anything.
const IDLE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of a datagram when the system says this each time, and how often it was asked.
    fn told(kind: io::ErrorKind) -> (Result<(), Refusal>, usize) {
        let mut asked = 0;
        let sent = persist(|| {
            asked += 1;
            Err(kind.into())
        });
        (sent, asked)
    }

    #[test]
    fn only_a_server_without_a_route_is_given_up_for_what_the_system_says() {
        use io::ErrorKind as Kind;
        for kind in
            [Kind::AddrNotAvailable, Kind::HostUnreachable, Kind::InvalidInput, Kind::NetworkUnreachable]
        {
            let (sent, asked) = told(kind);
            assert!(matches!(sent, Err(Refusal::Server(TransportError::Unreachable { .. }))), "{kind}");
            assert_eq!(asked, SENDS);
        }
        // ICMP about another server, no memory, a full table of connections, and what has no name.
        for kind in [Kind::ConnectionRefused, Kind::OutOfMemory, Kind::PermissionDenied, Kind::Other] {
            assert_eq!(told(kind), (Ok(()), SENDS), "{kind}");
        }
        assert_eq!(told(Kind::WouldBlock), (Err(Refusal::Busy), 1));
    }

    #[test]
    fn an_obstacle_of_an_earlier_question_does_not_keep_a_datagram_back() {
        let mut words = vec![Ok(()), Err(io::ErrorKind::HostUnreachable.into())];
        assert_eq!(persist(|| words.pop().unwrap()), Ok(()));
        assert!(words.is_empty());
    }
}
