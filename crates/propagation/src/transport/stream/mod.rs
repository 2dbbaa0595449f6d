//! DNS over connections: TCP (RFC 1035 §4.2.2, RFC 7766) and TLS (RFC 7858), one of each for a server, reused.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    net::TcpStream,
    runtime,
    sync::{mpsc, oneshot},
    time::{self, Instant},
};

use super::{TransportError, tls::Connector};
use crate::wire::{Answer, Edns, Query, ResponseCode};

mod connection;

use connection::{Asked, Broken, serve};

/// The connections that are open. Clones share them.
///
/// Questions to one server go over one connection, many at a time (RFC 7766 §6.2.1.1), and it is closed when
/// nobody has asked anything for some seconds (§6.2.3).
#[derive(Clone, Default)]
pub(super) struct Streams(Arc<Mutex<HashMap<Peer, Line>>>);

/// Whom a connection is with: for TLS, by which name it is known, too.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    pub(super) name: Option<String>,
}

/// The hold on one connection's task.
#[derive(Clone)]
struct Line {
    questions: mpsc::UnboundedSender<Asked>,
    runtime: runtime::Id,
}

impl Streams {
    /// Asks, within `limit`. Over TLS where there is a connector.
    pub(super) async fn exchange(
        &self,
        peer: &Peer,
        tls: Option<&Connector>,
        query: &Query,
        limit: Duration,
    ) -> Result<Answer, TransportError> {
        let deadline = Instant::now() + limit;
        let answer = self.ask(peer, tls, query, Edns::On, deadline).await?;
        let unread = [ResponseCode::FORMERR, ResponseCode::NOTIMP, ResponseCode::BADVERS];
        if !unread.contains(&answer.code) {
            return Ok(answer);
        }
        // A server from before EDNS (RFC 6891 §7) gets the question once more in the words of RFC 1035.
        self.ask(peer, tls, query, Edns::Off, deadline).await
    }

    async fn ask(
        &self,
        peer: &Peer,
        tls: Option<&Connector>,
        query: &Query,
        edns: Edns,
        deadline: Instant,
    ) -> Result<Answer, TransportError> {
        let mut broken = TransportError::Closed;
        for _ in 0..LINES {
            let line = self.line(peer, tls);
            let (reply, answered) = oneshot::channel();
            // A task that has just ended takes nothing: the next turn opens another line.
            let _ = line.questions.send(Asked { query: query.clone(), edns, reply });
            match time::timeout_at(deadline, answered).await {
                Ok(Ok(Ok(answer))) => return Ok(answer),
                // RFC 7766 §6.2.4: servers close what they deem idle, perhaps with our question on its way.
                Ok(Ok(Err(Broken { error, served: true }))) => broken = error,
                Ok(Ok(Err(Broken { error, served: false }))) => return Err(error),
                Ok(Err(_task_ended)) => {}
                Err(_elapsed) => {
                    self.hang_up(peer, &line);
                    return Err(TransportError::Timeout);
                }
            }
            self.hang_up(peer, &line);
        }
        Err(broken)
    }

    /// The line to a peer; a new one when there is none, or only one in another runtime, which may stand still.
    fn line(&self, peer: &Peer, tls: Option<&Connector>) -> Line {
        let here = runtime::Handle::current();
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.get(peer)
            && line.runtime == here.id()
            && !line.questions.is_closed()
        {
            return line.clone();
        }
        lines.retain(|_, line| !line.questions.is_closed());
        let (questions, waiting) = mpsc::unbounded_channel();
        match (tls.cloned(), peer.clone()) {
            (Some(tls), Peer { address, name: Some(name) }) => {
                here.spawn(serve(async move { tls.connect(address, &name).await }, waiting));
            }
            (_, Peer { address, .. }) => {
                here.spawn(serve(connect(address), waiting));
            }
        }
        let line = Line { questions, runtime: here.id() };
        lines.insert(peer.clone(), line.clone());
        line
    }

    /// Asks nothing more over this line; what waits there may still be answered.
    fn hang_up(&self, peer: &Peer, line: &Line) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.get(peer).is_some_and(|other| other.questions.same_channel(&line.questions)) {
            lines.remove(peer);
        }
    }
}

/// Opens a connection that sends at once what it is given.
pub(super) async fn connect(server: SocketAddr) -> Result<TcpStream, TransportError> {
    let stream = TcpStream::connect(server).await.map_err(|error| TransportError::from_io(&error))?;
    stream.set_nodelay(true).map_err(|error| TransportError::from_io(&error))?;
    Ok(stream)
}

/// A line that was in use may break, then one more is tried.
const LINES: usize = 2;

#[cfg(test)]
mod tests;
