//! A certificate authority that counts: orders, and certificates that were issued for them.
//!
//! As with ACME, an order is finalized once: whoever asks again for the same order gets the same certificate.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use perennial_core::{Clock as _, SystemClock};
use perennial_lifecycle::CertificateId;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, IsCa, Issuer, KeyPair, SerialNumber,
};
use rustls_pki_types::CertificateSigningRequestDer;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use x509_parser::{certification_request::X509CertificationRequest, prelude::FromDer as _};

use super::text;

/// What it is asked: a line of JSON each.
#[derive(Serialize, Deserialize)]
pub(super) enum Question {
    Finalize {
        order: usize,
        csr: Vec<u8>,
    },
    NewOrder {
        certificate: CertificateId,
        /// The fingerprint of the one that is replaced, if there is one (as RFC 9773 §5 has it).
        replaces: Option<String>,
    },
}

/// What it answers, likewise.
#[derive(Serialize, Deserialize)]
pub(super) enum Answer {
    Chain(String),
    Order(usize),
    Refused(String),
}

/// How long it takes to issue: long enough that whoever is killed or stopped has something under way.
const WORK: Duration = Duration::from_millis(30);

/// The authority, on a port of its own until it is dropped.
pub(super) struct Authority {
    pub(super) address: SocketAddr,
    state: Arc<State>,
    serving: JoinHandle<()>,
}

impl Drop for Authority {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

struct State {
    signer: Issuer<'static, KeyPair>,
    orders: Mutex<Vec<Order>>,
}

struct Order {
    what: Wanted,
    /// The key and the chain that was issued for it.
    issued: Option<(Vec<u8>, String)>,
}

/// A certificate, and the fingerprint of the one that it replaces: each generation is counted by itself.
type Wanted = (CertificateId, Option<String>);

/// What it has counted.
#[derive(Default)]
pub(super) struct Counted {
    pub(super) orders: usize,
    /// How many certificates were issued for each.
    pub(super) issued: BTreeMap<Wanted, usize>,
}

impl Authority {
    pub(super) async fn start() -> Result<Self, String> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let signer = Issuer::new(params, text(KeyPair::generate())?);
        let state = Arc::new(State { signer, orders: Mutex::default() });
        let listener = text(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await)?;
        let address = text(listener.local_addr())?;
        let serving = tokio::spawn(serve(listener, state.clone()));
        Ok(Self { address, state, serving })
    }

    pub(super) fn counted(&self) -> Counted {
        let orders = self.state.orders();
        let mut counted = Counted { orders: orders.len(), ..Counted::default() };
        for order in orders.iter().filter(|order| order.issued.is_some()) {
            *counted.issued.entry(order.what.clone()).or_default() += 1;
        }
        counted
    }

    /// A certificate that was issued long ago and ends within days, and its key, in PEM. It is not counted.
    pub(super) fn sign_one_that_ends(
        &self,
        certificate: &CertificateId,
        number: usize,
    ) -> Result<(String, String), String> {
        let key = text(KeyPair::generate())?;
        let mut params = text(CertificateParams::new(vec![certificate.to_string()]))?;
        params.serial_number = Some(SerialNumber::from(u64::MAX - number as u64));
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        let ends = SystemClock::new().now() + Duration::from_secs(5 * 86_400);
        params.not_after = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(ends.unix().unsigned_abs());
        Ok((text(params.signed_by(&key, &self.state.signer))?.pem(), key.serialize_pem()))
    }
}

/// Asks one question.
pub(super) async fn ask(stream: &mut BufReader<TcpStream>, question: &Question) -> Result<Answer, String> {
    let line = format!("{}\n", text(serde_json::to_string(question))?);
    text(stream.write_all(line.as_bytes()).await)?;
    let mut line = String::new();
    text(stream.read_line(&mut line).await)?;
    text(serde_json::from_str(&line))
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        let state = state.clone();
        tokio::spawn(async move {
            // Whoever is killed leaves half a question, and needs no answer.
            let _ = talk(BufReader::new(stream), &state).await;
        });
    }
}

async fn talk(mut stream: BufReader<TcpStream>, state: &Arc<State>) -> Result<(), String> {
    loop {
        let mut line = String::new();
        if text(stream.read_line(&mut line).await)? == 0 {
            return Ok(());
        }
        let answer = match text(serde_json::from_str(&line))? {
            Question::NewOrder { certificate, replaces } => {
                Answer::Order(state.order((certificate, replaces)))
            }
            Question::Finalize { order, csr } => {
                tokio::time::sleep(WORK).await;
                let state = state.clone();
                let issued = tokio::task::spawn_blocking(move || state.finalize(order, &csr)).await;
                text(issued).and_then(|issued| issued).map_or_else(Answer::Refused, Answer::Chain)
            }
        };
        let line = format!("{}\n", text(serde_json::to_string(&answer))?);
        text(stream.write_all(line.as_bytes()).await)?;
    }
}

impl State {
    fn orders(&self) -> MutexGuard<'_, Vec<Order>> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn order(&self, what: Wanted) -> usize {
        let mut orders = self.orders();
        orders.push(Order { what, issued: None });
        orders.len() - 1
    }

    fn finalize(&self, number: usize, csr: &[u8]) -> Result<String, String> {
        // Two requests for one key differ, in the random part of their signatures.
        let (_, request) = text(X509CertificationRequest::from_der(csr))?;
        let key = request.certification_request_info.subject_pki.raw;
        let known = |orders: &[Order]| match orders.get(number) {
            None => Err(format!("there is no order {number}")),
            Some(Order { issued: None, .. }) => Ok(None),
            Some(Order { issued: Some((first, chain)), .. }) if first == key => Ok(Some(chain.clone())),
            Some(_) => Err(format!("order {number} was finalized with another key")),
        };
        if let Some(chain) = known(&self.orders())? {
            return Ok(chain);
        }
        let chain = self.sign(number, csr)?;
        let mut orders = self.orders();
        if let Some(chain) = known(&orders)? {
            return Ok(chain);
        }
        if let Some(order) = orders.get_mut(number) {
            order.issued = Some((key.to_vec(), chain.clone()));
        }
        Ok(chain)
    }

    fn sign(&self, number: usize, csr: &[u8]) -> Result<String, String> {
        let request = CertificateSigningRequestDer::from(csr);
        let mut request = text(CertificateSigningRequestParams::from_der(&request))?;
        request.params.serial_number = Some(SerialNumber::from(number as u64 + 1));
        request.params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        // Nothing that was issued is due again while this runs.
        request.params.not_after = rcgen::date_time_ymd(2200, 1, 1);
        Ok(text(request.signed_by(&self.signer))?.pem())
    }
}
