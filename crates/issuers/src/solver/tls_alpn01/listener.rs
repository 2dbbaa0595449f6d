//! A server of its own on port 443, where there is no other.

use std::{future::poll_fn, io, net::SocketAddr, sync::Arc, task::Poll, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};

use super::{ChallengeAcceptor, ChallengeCertificates};

/// Answers the connections of CAs on port 443, and no others, for as long as it lives.
///
/// It serves 64 connections at once, at however many addresses, each for ten seconds at most, and takes no more until one
/// of them has ended: a CA makes a handful, and waits.
#[derive(Debug)]
#[must_use = "it ends when it is dropped"]
pub struct TlsAlpn01Listener {
    addresses: Vec<SocketAddr>,
    _tasks: JoinSet<()>,
}

impl TlsAlpn01Listener {
    /// Listens on these addresses; `[::]:443` is for IPv4, too, on systems whose sockets are (Linux, as it comes). CAs
    /// connect to port 443 whatever is said here: another port is for whoever forwards that one. Must be called within
    /// a tokio runtime.
    ///
    /// # Errors
    /// An address that cannot be listened on, with the reason; then it listens on none.
    pub async fn bind(
        addresses: impl IntoIterator<Item = SocketAddr>,
        certificates: &ChallengeCertificates,
    ) -> io::Result<Self> {
        let mut listeners = Vec::new();
        for address in addresses {
            let named = |error: io::Error| {
                io::Error::new(error.kind(), format!("cannot listen on {address} for tls-alpn-01: {error}"))
            };
            let listener = TcpListener::bind(address).await.map_err(named)?;
            listeners.push((listener.local_addr().map_err(named)?, listener));
        }
        let acceptor = ChallengeAcceptor::new(certificates.clone());
        let (addresses, listeners) = listeners.into_iter().unzip();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listeners, acceptor));
        Ok(Self { addresses, _tasks: tasks })
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}

async fn serve(listeners: Vec<TcpListener>, acceptor: ChallengeAcceptor) {
    let places = Arc::new(Semaphore::new(MOST));
    // They end with the listener.
    let mut connections = JoinSet::new();
    let mut last = 0;
    // Nobody closes the semaphore.
    while let Ok(place) = places.clone().acquire_owned().await {
        while connections.try_join_next().is_some() {}
        match accepted(&listeners, &mut last).await {
            Ok(stream) => {
                let acceptor = acceptor.clone();
                connections.spawn(async move {
                    // Whoever is no CA is nobody's business.
                    let _ = acceptor.prove(stream).await;
                    drop(place);
                });
            }
            // The process has no more files, say: asking again at once would only cost its processor.
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// The next connection at any of the addresses. Those after the one that had the last come first: a flood at one of them
/// does not keep the others waiting.
async fn accepted(listeners: &[TcpListener], last: &mut usize) -> io::Result<TcpStream> {
    poll_fn(|context| {
        let (before, after) = listeners.split_at((*last + 1).min(listeners.len()));
        for (step, listener) in after.iter().chain(before).enumerate() {
            if let Poll::Ready(accepted) = listener.poll_accept(context) {
                *last = (*last + 1 + step) % listeners.len().max(1);
                return Poll::Ready(accepted.map(|(stream, _)| stream));
            }
        }
        Poll::Pending
    })
    .await
}

const MOST: usize = 64;
const PAUSE: Duration = Duration::from_millis(100);
