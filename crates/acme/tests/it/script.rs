//! A server in memory that follows a script, and a clock that passes only when somebody sleeps.
//!
//! The script fixes every request in its order; a request too many or too few fails the test. Each signed
//! request is held against RFC 8555 §6: content type, `url`, `kid` xor `jwk`, a nonce that this server gave
//! out and that nobody used before.

use std::{
    collections::{HashSet, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Method, Request, Response};
use perennial_acme::{Account, AccountKey, Client, Identifier, NewAccount, NewOrder, Order};
use perennial_core::{Clock, DomainName, HttpClient, HttpError, Timestamp};
use serde_json::{Value, json};

pub(crate) const HOME: &str = "https://ca.test";

/// One answer of the script.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
    nonce: bool,
    lost: bool,
}

pub(crate) fn reply(status: u16, body: impl Into<Bytes>) -> Reply {
    Reply { status, headers: Vec::new(), body: body.into(), nonce: true, lost: false }
}

pub(crate) fn json(status: u16, body: &Value) -> Reply {
    reply(status, body.to_string())
}

pub(crate) fn problem(status: u16, kind: &str) -> Reply {
    json(status, &json!({ "type": format!("urn:ietf:params:acme:error:{kind}"), "detail": "because" }))
}

/// The connection breaks before the answer arrives.
pub(crate) fn lost() -> Reply {
    Reply { lost: true, ..reply(200, "") }
}

impl Reply {
    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn without_nonce(mut self) -> Self {
        self.nonce = false;
        self
    }
}

/// A signed request as the server understood it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) line: String,
    pub(crate) protected: Value,
    pub(crate) payload: String,
    pub(crate) headers: http::HeaderMap,
}

#[derive(Default)]
pub(crate) struct Script {
    exchanges: Mutex<VecDeque<(String, Reply)>>,
    seen: Mutex<Vec<Seen>>,
    nonces: Mutex<(u32, HashSet<String>)>,
}

impl Script {
    /// Adds an exchange: what has to be asked next (`POST /new-order`), and the answer.
    pub(crate) fn on(&self, line: &str, reply: Reply) -> &Self {
        self.exchanges.lock().unwrap().push_back((line.to_owned(), reply));
        self
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// How many requests came, and that none is missing.
    pub(crate) fn requests(&self) -> usize {
        let left = self.exchanges.lock().unwrap();
        assert!(left.is_empty(), "never asked: {:?}", left.iter().map(|(line, _)| line).collect::<Vec<_>>());
        self.seen.lock().unwrap().len()
    }

    fn new_nonce(&self) -> String {
        let mut nonces = self.nonces.lock().unwrap();
        nonces.0 += 1;
        let nonce = format!("nonce-{}", nonces.0);
        nonces.1.insert(nonce.clone());
        nonce
    }

    fn examine(&self, request: &Request<Bytes>) -> (Value, String) {
        if request.method() != Method::POST {
            assert!(request.body().is_empty());
            return (Value::Null, String::new());
        }
        assert_eq!(request.headers()["content-type"], "application/jose+json");
        let body: Value = serde_json::from_slice(request.body()).unwrap();
        let part = |name: &str| URL_SAFE_NO_PAD.decode(body[name].as_str().unwrap()).unwrap();
        let protected: Value = serde_json::from_slice(&part("protected")).unwrap();
        assert_eq!(protected["url"], request.uri().to_string());
        assert_ne!(protected.get("kid").is_some(), protected.get("jwk").is_some());
        let size = match protected["alg"].as_str() {
            Some("ES256" | "EdDSA") => 64,
            Some("ES384") => 96,
            Some("RS256") => 256, // A key of 2048 bits: that of RFC 7515.
            other => panic!("no account key signs with {other:?}"),
        };
        assert_eq!(part("signature").len(), size);
        let nonce = protected["nonce"].as_str().unwrap();
        assert!(self.nonces.lock().unwrap().1.remove(nonce), "nonce {nonce} is unknown or used");
        (protected, String::from_utf8(part("payload")).unwrap())
    }
}

#[async_trait]
impl HttpClient for Script {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let url = request.uri().to_string();
        let line = format!("{} {}", request.method(), url.strip_prefix(HOME).unwrap_or(&url));
        let next = self.exchanges.lock().unwrap().pop_front();
        let (expected, reply) = next.unwrap_or_else(|| panic!("one request too many: {line}"));
        assert_eq!(line, expected);
        let (protected, payload) = self.examine(&request);
        let headers = request.headers().clone();
        self.seen.lock().unwrap().push(Seen { line, protected, payload, headers });
        if reply.lost {
            return Err(HttpError::Exchange { url, reason: "connection reset".to_owned() });
        }
        let mut response = Response::builder().status(reply.status);
        for (name, value) in &reply.headers {
            response = response.header(*name, value);
        }
        if reply.nonce && request.method() != Method::GET {
            response = response.header("replay-nonce", self.new_nonce());
        }
        Ok(response.body(reply.body).unwrap())
    }
}

/// A clock that stands still, and jumps when somebody sleeps.
pub(crate) struct Jumping {
    now: AtomicI64,
    naps: Mutex<Vec<u64>>,
}

impl Jumping {
    pub(crate) fn naps(&self) -> Vec<u64> {
        self.naps.lock().unwrap().clone()
    }
}

#[async_trait]
impl Clock for Jumping {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix(self.now.load(Ordering::SeqCst))
    }

    async fn sleep(&self, duration: Duration) {
        self.naps.lock().unwrap().push(duration.as_secs());
        self.now.fetch_add(i64::try_from(duration.as_secs()).unwrap(), Ordering::SeqCst);
    }
}

/// 2026-11-21T12:00:00Z
pub(crate) const NOON: Timestamp = Timestamp::from_unix(1_795_262_400);

pub(crate) fn after(seconds: u64) -> Timestamp {
    NOON + Duration::from_secs(seconds)
}

/// A script, a clock and a client between them.
pub(crate) struct Stage {
    pub(crate) script: Arc<Script>,
    pub(crate) clock: Arc<Jumping>,
    pub(crate) client: Client,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let script = Arc::new(Script::default());
        let clock = Arc::new(Jumping { now: AtomicI64::new(NOON.unix()), naps: Mutex::default() });
        let client =
            Client::builder(format!("{HOME}/dir")).http(script.clone()).clock(clock.clone()).build().unwrap();
        Self { script, clock, client }
    }

    pub(crate) fn on(&self, line: &str, reply: Reply) -> &Self {
        self.script.on(line, reply);
        self
    }

    /// An account, after the three requests that a cold start takes.
    pub(crate) async fn account(&self) -> Account {
        self.on("GET /dir", json(200, &directory()))
            .on("HEAD /new-nonce", reply(200, ""))
            .on("POST /new-account", json(201, &json!({ "status": "valid" })).header("location", acct(1)));
        let key = Arc::new(AccountKey::generate().unwrap());
        self.client.register(NewAccount::new().agree_to_terms(), key).await.unwrap()
    }

    /// An order for `example.org` that the server made with that status.
    pub(crate) async fn order(&self, status: &str) -> Order {
        let account = self.account().await;
        self.on(
            "POST /new-order",
            json(201, &order(status, 1)).header("location", format!("{HOME}/order/1")),
        );
        account.new_order(&NewOrder::new(names(1))).await.unwrap()
    }
}

pub(crate) fn acct(number: u32) -> String {
    format!("{HOME}/acct/{number}")
}

pub(crate) fn directory() -> Value {
    json!({
        "newNonce": format!("{HOME}/new-nonce"),
        "newAccount": format!("{HOME}/new-account"),
        "newOrder": format!("{HOME}/new-order"),
        "meta": { "profiles": { "classic": "as always", "short": "six days" } },
    })
}

pub(crate) fn identifiers(names: &[DomainName]) -> Vec<Identifier> {
    names.iter().map(Identifier::from).collect()
}

/// `example.org`, `a1.example.org`, …
pub(crate) fn names(count: usize) -> Vec<DomainName> {
    let name = |index| if index == 0 { "example.org".to_owned() } else { format!("a{index}.example.org") };
    (0..count).map(|index| name(index).parse().unwrap()).collect()
}

/// Order 1 for so many names.
pub(crate) fn order(status: &str, count: usize) -> Value {
    let identifier = |name: &DomainName| json!({ "type": "dns", "value": name.as_str() });
    let mut order = json!({
        "status": status,
        "expires": "2026-11-28T12:00:00Z",
        "identifiers": names(count).iter().map(identifier).collect::<Vec<_>>(),
        "authorizations": (0..count).map(|index| format!("{HOME}/authz/{index}")).collect::<Vec<_>>(),
        "finalize": format!("{HOME}/order/1/finalize"),
    });
    if status == "valid" {
        order["certificate"] = json!(format!("{HOME}/cert/1"));
    }
    order
}

pub(crate) const TOKEN: &str = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA";

pub(crate) fn authorization(index: usize, status: &str) -> Value {
    json!({
        "identifier": { "type": "dns", "value": names(index + 1)[index].as_str() },
        "status": status,
        "challenges": [
            { "type": "dns-persist-01", "url": format!("{HOME}/chall/{index}/persist"), "status": "pending" },
            challenge(index, "pending"),
        ],
    })
}

pub(crate) fn challenge(index: usize, status: &str) -> Value {
    json!({ "type": "dns-01", "url": format!("{HOME}/chall/{index}"), "status": status, "token": TOKEN })
}
