//! A server of its own on port 443, where there is no other.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{net::TcpListener, sync::Semaphore, task::JoinSet};

use super::{ChallengeAcceptor, ChallengeCertificates};

/// Answers the connections of CAs on port 443, and no others, for as long as it lives.
///
/// It serves 64 connections at once, each for ten seconds at most, and takes no more until one of them has ended: a CA
/// makes a handful, and waits.
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
        let places = Arc::new(Semaphore::new(MOST));
        let (mut bound, mut tasks) = (Vec::new(), JoinSet::new());
        for (address, listener) in listeners {
            bound.push(address);
            tasks.spawn(serve(listener, acceptor.clone(), places.clone()));
        }
        Ok(Self { addresses: bound, _tasks: tasks })
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}

async fn serve(listener: TcpListener, acceptor: ChallengeAcceptor, places: Arc<Semaphore>) {
    // They end with the listener.
    let mut connections = JoinSet::new();
    // Nobody closes the semaphore.
    while let Ok(place) = places.clone().acquire_owned().await {
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
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

const MOST: usize = 64;
const PAUSE: Duration = Duration::from_millis(100);
