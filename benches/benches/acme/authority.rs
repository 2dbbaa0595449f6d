//! A CA in memory that answers at once and verifies nothing.
//!
//! What is measured is the client, so this server has its answers ready: each costs a copy of its headers and
//! a reference to its body. The shapes are those of the largest public CA.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use perennial_core::{HttpClient, HttpError};
use serde_json::{Value, json};

/// Where the server is.
pub(crate) const HOME: &str = "https://acme-v02.api.ca.example";

/// Whether an order needs proofs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Born {
    /// Each name has to be proven.
    Pending,
    /// All authorizations are still valid.
    Ready,
}

/// The CA: it knows one order at a time.
#[derive(Debug)]
pub(crate) struct Authority {
    born: Born,
    /// How many names are still to be proven.
    unproven: AtomicUsize,
    finalized: AtomicBool,
    asked: AtomicUsize,
    answers: Answers,
}

/// Answers as they go out.
#[derive(Debug)]
struct Answers {
    account: Response<Bytes>,
    authorizations: Vec<Response<Bytes>>,
    certificate: Response<Bytes>,
    challenges: Vec<Response<Bytes>>,
    directory: Response<Bytes>,
    made: Response<Bytes>,
    nonce: Response<Bytes>,
    pending: Response<Bytes>,
    ready: Response<Bytes>,
    unknown: Response<Bytes>,
    valid: Response<Bytes>,
}

impl Authority {
    /// A CA that issues that chain for those names.
    pub(crate) fn new(names: &[String], born: Born, chain_pem: String) -> Arc<Self> {
        let order = |status| order(status, names);
        let made = match born {
            Born::Pending => order("pending"),
            Born::Ready => order("ready"),
        };
        let names = || names.iter().enumerate();
        let account = json!({ "status": "valid", "contact": [] });
        let answers = Answers {
            account: located(answer(201, &account), "/acme/acct/123456789"),
            authorizations: names()
                .map(|(index, name)| answer(200, &authorization(index, name, born)))
                .collect(),
            certificate: with_body(200, "application/pem-certificate-chain", chain_pem),
            challenges: names()
                .map(|(index, _)| answer(200, &challenge("dns-01", index, "processing")))
                .collect(),
            directory: without_nonce(answer(200, &directory())),
            made: located(answer(201, &made), "/acme/order/123456789/987654321"),
            nonce: with_body(200, "text/plain", String::new()),
            pending: answer(200, &order("pending")),
            ready: answer(200, &order("ready")),
            unknown: answer(404, &json!({ "type": "urn:ietf:params:acme:error:malformed" })),
            valid: answer(200, &order("valid")),
        };
        let (unproven, asked) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Self { born, unproven, finalized: AtomicBool::new(false), asked, answers })
    }

    /// How many requests came since this was asked last.
    pub(crate) fn asked(&self) -> usize {
        self.asked.swap(0, Ordering::Relaxed)
    }

    /// The answer to a request for that path.
    pub(crate) fn answer(&self, path: &str) -> Response<Bytes> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let answers = &self.answers;
        let mut segments = path.split('/').skip(1);
        let (first, second) = (segments.next().unwrap_or_default(), segments.next().unwrap_or_default());
        let answer = match (first, second) {
            ("directory", _) => &answers.directory,
            (_, "authz") => numbered(&answers.authorizations, path).unwrap_or(&answers.unknown),
            (_, "cert") => &answers.certificate,
            (_, "chall") => {
                self.unproven.fetch_sub(1, Ordering::Relaxed);
                numbered(&answers.challenges, path).unwrap_or(&answers.unknown)
            }
            (_, "finalize") => {
                self.finalized.store(true, Ordering::Relaxed);
                &answers.valid
            }
            (_, "new-acct") => &answers.account,
            (_, "new-nonce") => &answers.nonce,
            (_, "new-order") => self.make_order(),
            (_, "order") if self.finalized.load(Ordering::Relaxed) => &answers.valid,
            (_, "order") if self.unproven.load(Ordering::Relaxed) > 0 => &answers.pending,
            (_, "order") => &answers.ready,
            _ => &answers.unknown,
        };
        answer.clone()
    }

    fn make_order(&self) -> &Response<Bytes> {
        let unproven = match self.born {
            Born::Pending => self.answers.authorizations.len(),
            Born::Ready => 0,
        };
        self.unproven.store(unproven, Ordering::Relaxed);
        self.finalized.store(false, Ordering::Relaxed);
        &self.answers.made
    }
}

#[async_trait]
impl HttpClient for Authority {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        Ok(self.answer(request.uri().path()))
    }
}

/// The answer whose number ends the path.
fn numbered<'a>(answers: &'a [Response<Bytes>], path: &str) -> Option<&'a Response<Bytes>> {
    answers.get(path.rsplit('/').next()?.parse::<usize>().ok()?)
}

fn answer(status: u16, body: &Value) -> Response<Bytes> {
    with_body(status, "application/json", body.to_string())
}

fn with_body(status: u16, media_type: &'static str, body: String) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status.try_into().unwrap_or_default();
    let headers = response.headers_mut();
    headers.insert(header::SERVER, HeaderValue::from_static("nginx"));
    headers.insert(header::DATE, HeaderValue::from_static("Sat, 21 Nov 2026 12:00:00 GMT"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=0, no-cache"));
    let index = "<https://acme-v02.api.ca.example/directory>;rel=\"index\"";
    headers.insert(header::LINK, HeaderValue::from_static(index));
    // It verifies nothing, so one nonce is as good as another.
    headers.insert(
        "replay-nonce",
        HeaderValue::from_static("Ta9OzmXi3IRAo1ZuyLHGNTwNfiFHYOJFJZKbY2mZQlO6aUbWPZ4"),
    );
    response
}

/// A GET brings no nonce: RFC 8555 §6.5 wants one on the answers to POST.
fn without_nonce(mut response: Response<Bytes>) -> Response<Bytes> {
    response.headers_mut().remove("replay-nonce");
    response
}

fn located(mut response: Response<Bytes>, path: &str) -> Response<Bytes> {
    if let Ok(location) = HeaderValue::try_from(format!("{HOME}{path}")) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// The directory.
pub(crate) fn directory() -> Value {
    json!({
        "keyChange": format!("{HOME}/acme/key-change"),
        "meta": {
            "caaIdentities": ["ca.example"],
            "profiles": {
                "classic": "https://ca.example/docs/profiles#classic",
                "shortlived": "https://ca.example/docs/profiles#shortlived",
                "tlsserver": "https://ca.example/docs/profiles#tlsserver",
            },
            "termsOfService": "https://ca.example/documents/subscriber-agreement.pdf",
            "website": "https://ca.example",
        },
        "newAccount": format!("{HOME}/acme/new-acct"),
        "newNonce": format!("{HOME}/acme/new-nonce"),
        "newOrder": format!("{HOME}/acme/new-order"),
        "renewalInfo": format!("{HOME}/acme/renewal-info"),
        "revokeCert": format!("{HOME}/acme/revoke-cert"),
    })
}

/// The order for those names.
pub(crate) fn order(status: &str, names: &[String]) -> Value {
    let authorization = |index| format!("{HOME}/acme/authz/123456789/55{index:06}/{index}");
    let mut order = json!({
        "status": status,
        "expires": "2026-11-28T12:00:00Z",
        "identifiers": names.iter().map(|name| json!({ "type": "dns", "value": name })).collect::<Vec<_>>(),
        "authorizations": (0..names.len()).map(authorization).collect::<Vec<_>>(),
        "finalize": format!("{HOME}/acme/finalize/123456789/987654321"),
    });
    if let (Some(fields), "valid") = (order.as_object_mut(), status) {
        fields.insert("certificate".to_owned(), json!(format!("{HOME}/acme/cert/04f3c1a2b5d6e7f80912")));
    }
    order
}

fn authorization(index: usize, name: &str, born: Born) -> Value {
    let status = match born {
        Born::Pending => "pending",
        Born::Ready => "valid",
    };
    let challenges = ["http-01", "dns-01", "tls-alpn-01"].map(|kind| challenge(kind, index, status));
    json!({
        "identifier": { "type": "dns", "value": name },
        "status": status,
        "expires": "2026-11-28T12:00:00Z",
        "challenges": challenges,
    })
}

fn challenge(kind: &str, index: usize, status: &str) -> Value {
    json!({
        "type": kind,
        "url": format!("{HOME}/acme/chall/123456789/55{index:06}/{index}"),
        "status": status,
        "token": "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA",
    })
}

/// A problem as a rate limit brings it, and with one subproblem a name.
pub(crate) fn problem(names: &[String]) -> Value {
    let subproblem = |name: &String| {
        json!({
            "type": "urn:ietf:params:acme:error:rejectedIdentifier",
            "detail": "Error creating new order :: the CA will not issue for this name",
            "identifier": { "type": "dns", "value": name },
        })
    };
    json!({
        "type": "urn:ietf:params:acme:error:compound",
        "detail": "Error creating new order :: several names were refused (and more problems; refer to sub-problems)",
        "status": 400,
        "subproblems": names.iter().map(subproblem).collect::<Vec<_>>(),
    })
}
