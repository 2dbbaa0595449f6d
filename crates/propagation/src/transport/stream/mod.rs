//! DNS over connections: TCP (RFC 1035 §4.2.2, RFC 7766) and TLS (RFC 7858), one of each for a server, reused.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    net::TcpStream,
    runtime,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time,
};

use super::{TransportError, tls::Connector};
use crate::wire::{Answer, Edns, Query, ResponseCode};

mod connection;

use connection::{Asked, Broken, serve};

/// The connections that are open. Clones share them.
///
/// Questions to one server go over one connection, many at a time (RFC 7766 §6.2.1.1), and it is closed when
/// nobody has asked anything for some seconds (§6.2.3).
#[derive(Clone)]
pub(super) struct Streams {
    lines: Arc<Mutex<HashMap<Peer, Line>>>,
    /// For each connection that is being opened.
    dials: Arc<Semaphore>,
}

impl Default for Streams {
    fn default() -> Self {
        Self { lines: Arc::default(), dials: Arc::new(Semaphore::new(MAX_DIALS)) }
    }
}

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
    /// How many answers have come over it.
    answers: Arc<AtomicU64>,
}

impl Line {
    fn is_open_here(&self) -> bool {
        self.runtime == runtime::Handle::current().id() && !self.questions.is_closed()
    }

    /// Waits for an answer; longer while the line is busy with others', for they may be before it.
    async fn wait<T>(&self, limit: Duration, mut answered: oneshot::Receiver<T>) -> Waited<T> {
        for _ in 0..EXTENSIONS {
            let before = self.answers.load(Ordering::Relaxed);
            let waited = time::timeout(limit, &mut answered).await;
            if waited.is_ok() || self.answers.load(Ordering::Relaxed) == before {
                return waited;
            }
        }
        time::timeout(limit, answered).await
    }
}

type Waited<T> = Result<Result<T, oneshot::error::RecvError>, time::error::Elapsed>;

impl Streams {
    /// Asks, within `limit`, which begins anew a few times while others' answers come in. Over TLS where there is a connector.
    pub(super) async fn exchange(
        &self,
        peer: &Peer,
        tls: Option<&Connector>,
        query: &Query,
        limit: Duration,
    ) -> Result<Answer, TransportError> {
        let answer = self.ask(peer, tls, query, Edns::On, limit).await?;
        let unread = [ResponseCode::FORMERR, ResponseCode::NOTIMP, ResponseCode::BADVERS];
        if !unread.contains(&answer.code) {
            return Ok(answer);
        }
        // A server from before EDNS (RFC 6891 §7) gets the question once more in the words of RFC 1035.
        self.ask(peer, tls, query, Edns::Off, limit).await
    }

    async fn ask(
        &self,
        peer: &Peer,
        tls: Option<&Connector>,
        query: &Query,
        edns: Edns,
        limit: Duration,
    ) -> Result<Answer, TransportError> {
        let mut broken = TransportError::Closed;
        for _ in 0..LINES {
            let line = match self.open_line(peer) {
                Some(line) => line,
                None => {
                    // The question's own limit begins when it has its turn, or servers behind many silent ones
                    // would be taken for silent, too.
                    let turn = time::timeout(QUEUED, Arc::clone(&self.dials).acquire_owned()).await;
                    self.line(peer, tls, turn.ok().and_then(Result::ok).ok_or(TransportError::Timeout)?)
                }
            };
            let (reply, answered) = oneshot::channel();
            // A task that has just ended takes nothing: the next turn opens another line.
            let _ = line.questions.send(Asked { query: query.clone(), edns, reply });
            match line.wait(limit, answered).await {
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

    /// The line to a peer, unless it is in another runtime, which may stand still.
    fn open_line(&self, peer: &Peer) -> Option<Line> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.get(peer).filter(|line| line.is_open_here()).cloned()
    }

    /// The line to a peer; a new one where somebody has not opened one meanwhile.
    fn line(&self, peer: &Peer, tls: Option<&Connector>, turn: OwnedSemaphorePermit) -> Line {
        let here = runtime::Handle::current();
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.get(peer)
            && line.is_open_here()
        {
            return line.clone();
        }
        lines.retain(|_, line| !line.questions.is_closed());
        let (questions, waiting) = mpsc::unbounded_channel();
        let answers = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&answers);
        match (tls.cloned(), peer.clone()) {
            (Some(tls), Peer { address, name: Some(name) }) => {
                let dial = async move {
                    let _turn = turn;
                    tls.connect(address, &name).await
                };
                here.spawn(serve(dial, waiting, count));
            }
            (_, Peer { address, .. }) => {
                let dial = async move {
                    let _turn = turn;
                    connect(address).await
                };
                here.spawn(serve(dial, waiting, count));
            }
        }
        let line = Line { questions, runtime: here.id(), answers };
        lines.insert(peer.clone(), line.clone());
        line
    }

    /// Asks nothing more over this line; what waits there may still be answered.
    fn hang_up(&self, peer: &Peer, line: &Line) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
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

/// Connections that are being opened at a time: a quarter of the 1024 descriptors that a process commonly may
/// have. Silent servers hold theirs until nobody asks them any more.
const MAX_DIALS: usize = 256;
/// For how long a question waits for its turn to open a connection: some four thousand silent servers.
const QUEUED: Duration = Duration::from_secs(30);
/// How often a question waits once more for a line that is busy.
const EXTENSIONS: usize = 4;
/// A line that was in use may break, then one more is tried.
const LINES: usize = 2;

#[cfg(test)]
mod tests;
