//! axum over rustls, and nothing between them.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use perennial::acme::challenge::tls_alpn01::PROTOCOL;
use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// Serves until the listener ends, which it does not.
pub(crate) async fn serve(
    socket: TcpListener,
    config: Arc<ServerConfig>,
    app: axum::Router,
) -> io::Result<()> {
    let local = socket.local_addr()?;
    let (sender, ready) = mpsc::channel(WAITING);
    tokio::spawn(accept(socket, TlsAcceptor::from(config), sender));
    axum::serve(Handshaken { ready, local }, app).await
}

/// Takes connections through their handshakes, all at once: one client that is slow holds no other up.
async fn accept(socket: TcpListener, acceptor: TlsAcceptor, sender: mpsc::Sender<Connection>) {
    loop {
        let Ok((stream, peer)) = socket.accept().await else {
            // No more files, say: asking again at once would only cost the processor.
            sleep(PAUSE).await;
            continue;
        };
        let (acceptor, sender) = (acceptor.clone(), sender.clone());
        tokio::spawn(async move {
            let Ok(Ok(stream)) = timeout(PATIENCE, acceptor.accept(stream)).await else { return };
            // A CA has seen what it wanted to see.
            if stream.get_ref().1.alpn_protocol() != Some(PROTOCOL) {
                let _ = sender.send((stream, peer)).await;
            }
        });
    }
}

type Connection = (TlsStream<TcpStream>, SocketAddr);

/// Connections whose handshakes are over, as axum wants them.
struct Handshaken {
    ready: mpsc::Receiver<Connection>,
    local: SocketAddr,
}

impl axum::serve::Listener for Handshaken {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> Connection {
        match self.ready.recv().await {
            Some(connection) => connection,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }
}

const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);
/// Connections that wait for axum; those after them wait in their tasks.
const WAITING: usize = 64;
