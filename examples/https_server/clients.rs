//! Those who ask for a page again and again, and trust the CA alone.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use perennial::lifecycle::Facts;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

pub(crate) const PAGE: &str = "still here\n";

/// What the clients have seen.
#[derive(Clone, Default)]
pub(crate) struct Told {
    /// How many requests were answered over new connections, by the serial number of the certificate.
    pub(crate) answered: BTreeMap<String, u64>,
    pub(crate) on_the_open_connection: u64,
    pub(crate) failures: Vec<String>,
}

impl Told {
    pub(crate) fn requests(&self) -> u64 {
        let failures = u64::try_from(self.failures.len()).unwrap_or(u64::MAX);
        self.answered.values().sum::<u64>() + self.on_the_open_connection + failures
    }
}

pub(crate) struct Clients {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

struct Shared {
    connector: TlsConnector,
    address: SocketAddr,
    name: ServerName<'static>,
    done: AtomicBool,
    told: Mutex<Told>,
}

/// So many that connect anew for each request, and one that stays connected.
pub(crate) fn start(
    clients: u32,
    address: SocketAddr,
    name: &str,
    root_pem: &str,
) -> Result<Clients, Box<dyn std::error::Error>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(root_pem.as_bytes())?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A session that is resumed shows no certificate.
    config.resumption = rustls::client::Resumption::disabled();
    let shared = Arc::new(Shared {
        connector: TlsConnector::from(Arc::new(config)),
        address,
        name: ServerName::try_from(name.to_owned())?,
        done: AtomicBool::new(false),
        told: Mutex::default(),
    });
    let mut tasks = JoinSet::new();
    for _ in 0..clients {
        let shared = shared.clone();
        tasks.spawn(async move { shared.visit().await });
    }
    let stays = shared.clone();
    tasks.spawn(async move { stays.stay().await });
    Ok(Clients { shared, tasks })
}

impl Clients {
    /// Waits until a certificate was seen a few times, ten seconds at most.
    pub(crate) async fn until_served_by(&self, serial: &str) {
        let seen = async {
            while self.shared.told().answered.get(serial).is_none_or(|times| *times < ENOUGH) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if timeout(PATIENCE, seen).await.is_err() {
            self.shared.told().failures.push(format!("fewer than {ENOUGH} requests were served by {serial}"));
        }
    }

    /// Lets all end what they are about, and tells what they have seen.
    pub(crate) async fn end(self) -> Told {
        self.shared.done.store(true, Ordering::Relaxed);
        self.tasks.join_all().await;
        self.shared.told().clone()
    }
}

impl Shared {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn visit(&self) {
        while !self.done.load(Ordering::Relaxed) {
            let visit = async {
                let mut stream = self.connect().await?;
                let serial = serial(&stream)?;
                ask(&mut stream).await?;
                io::Result::Ok(serial)
            };
            match timeout(PATIENCE, visit).await.map_err(io::Error::from).and_then(|visited| visited) {
                Ok(serial) => *self.told().answered.entry(serial).or_default() += 1,
                Err(error) => self.told().failures.push(format!("over a new connection: {error}")),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn stay(&self) {
        let stay = async {
            let mut stream = self.connect().await?;
            while !self.done.load(Ordering::Relaxed) {
                timeout(PATIENCE, ask(&mut stream)).await??;
                self.told().on_the_open_connection += 1;
                tokio::time::sleep(PAUSE).await;
            }
            io::Result::Ok(())
        };
        if let Err(error) = stay.await {
            self.told().failures.push(format!("on the open connection: {error}"));
        }
    }

    async fn connect(&self) -> io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await?;
        self.connector.connect(self.name.clone(), stream).await
    }
}

fn serial(stream: &TlsStream<TcpStream>) -> io::Result<String> {
    let leaf = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let leaf = leaf.ok_or_else(|| io::Error::other("no certificate was shown"))?;
    Facts::from_der(leaf).map(|facts| facts.serial).map_err(io::Error::other)
}

/// One request, and the whole of its answer.
async fn ask(stream: &mut TlsStream<TcpStream>) -> io::Result<()> {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n").await?;
    let mut answer = Vec::new();
    while !answer.ends_with(PAGE.as_bytes()) {
        if stream.read_buf(&mut answer).await? == 0 || answer.len() > LONGEST {
            return Err(io::Error::other("the answer is not the page"));
        }
    }
    if answer.starts_with(b"HTTP/1.1 200 ") { Ok(()) } else { Err(io::Error::other("the answer is not 200")) }
}

const PATIENCE: Duration = Duration::from_secs(10);
/// A machine that does nothing else would measure its own handshakes.
const PAUSE: Duration = Duration::from_millis(5);
const LONGEST: usize = 10_000;
/// So many requests that some are under way when the next certificate comes.
const ENOUGH: u64 = 200;
