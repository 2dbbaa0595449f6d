//! The server that speaks for a vendor.

use std::{
    collections::VecDeque,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use perennial_core::{Clock, SystemClock};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
};

use super::{Exchange, Fault, Refusal, Reply, RetryAfter, TxtStore, When};
use crate::{Error, sync::lock};

/// One vendor's paths, words and refusals.
///
/// It is strict: what the vendor refuses is refused, what it has by default is had by default (the size of a
/// page above all), and what it echoes is echoed. Each call deals with one request, alone.
pub trait Service: Send + Sync + 'static {
    /// Deals with a request.
    fn answer(&self, request: &Request<Bytes>, store: &mut TxtStore) -> Response<Bytes>;

    /// How this vendor refuses.
    fn refusal(&self, refusal: Refusal) -> Response<Bytes>;

    /// Whether a request changes something; by its method unless the vendor knows better.
    fn writes(&self, request: &Request<Bytes>) -> bool {
        !matches!(*request.method(), Method::GET | Method::HEAD)
    }
}

/// A vendor's interface on loopback, over plain HTTP; gone when dropped.
pub struct VendorServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    serving: AbortHandle,
}

struct Shared {
    service: Box<dyn Service>,
    store: Mutex<TxtStore>,
    faults: Mutex<VecDeque<(When, Fault)>>,
    exchanges: Mutex<Vec<Exchange>>,
}

impl VendorServer {
    /// Starts the interface of an account with these zones, all empty.
    ///
    /// # Errors
    /// [`Error::Bind`] when there is no port to be had.
    pub async fn start(service: impl Service, zones: &[&str]) -> Result<Self, Error> {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let unusable = |error: std::io::Error| Error::Bind { address: any, reason: error.to_string() };
        let listener = TcpListener::bind(any).await.map_err(unusable)?;
        let address = listener.local_addr().map_err(unusable)?;
        let mut store = TxtStore::default();
        for zone in zones {
            store.add_zone(zone);
        }
        let shared = Arc::new(Shared {
            service: Box::new(service),
            store: Mutex::new(store),
            faults: Mutex::default(),
            exchanges: Mutex::default(),
        });
        let serving = tokio::spawn(accept(listener, Arc::clone(&shared))).abort_handle();
        Ok(Self { address, shared, serving })
    }

    /// `http://127.0.0.1:` and the port.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The same server under another name, `http://localhost:` and the port: to a client another place.
    #[must_use]
    pub fn other_base_url(&self) -> String {
        format!("http://localhost:{}", self.address.port())
    }

    /// The records, to be read and written behind the client's back. No request is dealt with meanwhile.
    pub fn store(&self) -> MutexGuard<'_, TxtStore> {
        lock(&self.shared.store)
    }

    /// Makes the next request of this sort go wrong; several wait their turn.
    pub fn fault(&self, when: When, fault: Fault) {
        lock(&self.shared.faults).push_back((when, fault));
    }

    /// How many faults have not happened yet.
    #[must_use]
    pub fn faults_left(&self) -> usize {
        lock(&self.shared.faults).len()
    }

    /// Forgets the faults that have not happened yet.
    pub fn clear_faults(&self) {
        lock(&self.shared.faults).clear();
    }

    /// What was asked and answered, oldest first.
    #[must_use]
    pub fn exchanges(&self) -> Vec<Exchange> {
        lock(&self.shared.exchanges).clone()
    }

    /// Forgets what was asked and answered.
    pub fn clear_exchanges(&self) {
        lock(&self.shared.exchanges).clear();
    }
}

impl Drop for VendorServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Dropping the set ends the connections with the server.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept(), if connections.len() < MOST_CONNECTIONS => {
                if let Ok((stream, _)) = accepted {
                    connections.spawn(serve(stream, Arc::clone(&shared)));
                }
            }
        }
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request: Request<Incoming>| {
        let shared = Arc::clone(&shared);
        async move {
            let (parts, body) = request.into_parts();
            let body = Limited::new(body, LARGEST_BODY).collect().await.map_err(|_| Closed)?.to_bytes();
            let response = shared.deal_with(Request::from_parts(parts, body)).await.ok_or(Closed)?;
            Ok::<_, Closed>(response.map(Full::new))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), service);
    let _ = connection.await;
}

impl Shared {
    /// `None`: the connection is closed.
    async fn deal_with(&self, request: Request<Bytes>) -> Option<Response<Bytes>> {
        let writes = self.service.writes(&request);
        let fault = self.next_fault(writes);
        let honest = matches!(fault, None | Some(Fault::Interfere(_) | Fault::Lost | Fault::Slow(_)));
        let response = match fault {
            None => Some(self.answer(&request)),
            Some(Fault::Interfere(change)) => {
                change(&mut lock(&self.store));
                Some(self.answer(&request))
            }
            Some(Fault::Lost) => {
                drop(self.answer(&request));
                None
            }
            Some(Fault::Reset) => None,
            Some(Fault::Slow(time)) => {
                tokio::time::sleep(time).await;
                Some(self.answer(&request))
            }
            Some(fault) => Some(self.refuse(fault)),
        };
        let answered = response.as_ref();
        lock(&self.exchanges).push(Exchange {
            method: request.method().clone(),
            uri: request.uri().clone(),
            headers: request.headers().clone(),
            body: request.body().clone(),
            writes,
            status: answered.map(Response::status),
            answer_headers: answered.map_or_else(HeaderMap::new, |response| response.headers().clone()),
            answer: answered.map(|response| response.body().clone()).unwrap_or_default(),
            honest,
        });
        response
    }

    fn answer(&self, request: &Request<Bytes>) -> Response<Bytes> {
        self.service.answer(request, &mut lock(&self.store))
    }

    fn next_fault(&self, writes: bool) -> Option<Fault> {
        let mut faults = lock(&self.faults);
        let place = faults.iter().position(|(when, _)| match when {
            When::Any => true,
            When::Read => !writes,
            When::Write => writes,
        })?;
        faults.remove(place).map(|(_, fault)| fault)
    }

    fn refuse(&self, fault: Fault) -> Response<Bytes> {
        let refusal = |refusal| self.service.refusal(refusal);
        match fault {
            Fault::Answer(response) => response,
            Fault::Busy(after) => come_back(refusal(Refusal::Busy), after),
            Fault::Trouble(after) => come_back(refusal(Refusal::Trouble), after),
            Fault::Forbidden => refusal(Refusal::Forbidden),
            Fault::Unauthorized => refusal(Refusal::Unauthorized),
            Fault::WrongTime(seconds) => {
                let mut response = refusal(Refusal::Unauthorized);
                set(&mut response, header::DATE, &date(seconds));
                response
            }
            Fault::Html => {
                let page = "<!DOCTYPE html><html><head><title>Sign in</title></head><body></body></html>";
                Reply::of(200, "text/html; charset=utf-8", page)
            }
            Fault::Redirect(url) => {
                let mut response = Reply::empty(307);
                set(&mut response, header::LOCATION, &url);
                response
            }
            Fault::Huge(bytes) => Reply::of(200, "application/json", vec![b' '; bytes]),
            // Dealt with by whoever calls this.
            Fault::Interfere(_) | Fault::Lost | Fault::Reset | Fault::Slow(_) => Reply::empty(500),
        }
    }
}

fn come_back(mut response: Response<Bytes>, after: Option<RetryAfter>) -> Response<Bytes> {
    let value = match after {
        None => return response,
        Some(RetryAfter::Seconds(seconds)) => seconds.to_string(),
        Some(RetryAfter::Date(seconds)) => date(seconds.into()),
    };
    set(&mut response, header::RETRY_AFTER, &value);
    response
}

/// The time so many seconds from now, as HTTP writes it.
fn date(seconds: i64) -> String {
    let moment = SystemClock::new().now().unix().saturating_add(seconds);
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(u64::try_from(moment).unwrap_or_default()))
}

fn set(response: &mut Response<Bytes>, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// hyper closes the connection when a service fails.
#[derive(Debug, thiserror::Error)]
#[error("the test wants this connection to be closed")]
struct Closed;

/// Far more than any test has open, and a bound all the same.
const MOST_CONNECTIONS: usize = 1024;
/// A client that stalls for longer is gone.
const PATIENCE: Duration = Duration::from_secs(30);
/// A zone of records needs some kilobytes.
const LARGEST_BODY: usize = 4 * 1024 * 1024;
