//! Whatever goes wrong while keys are changed, the account stays reachable by what was kept.
//!
//! The server in here keeps one account, checks who signed, and misbehaves as it is told; the program crashes
//! as it is told.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Request, Response};
use perennial_acme::{Account, AccountCredentials, AccountKey, Client, NewAccount, Signer as _};
use perennial_core::{HttpClient, HttpError, SecretString, SystemClock};
use proptest::prelude::*;
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use serde_json::{Value, json};

use crate::script::{HOME, acct, directory};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The server does what it is asked for, and the answer is an error.
    Broken,
    /// The server is overloaded, and does nothing.
    Busy,
    /// The server says that it has done it, and has not.
    Lie,
    /// The connection breaks after the server has done it.
    LostAfter,
    /// The connection breaks before the server hears of it.
    LostBefore,
    None,
}

#[derive(Default)]
struct Ledger {
    /// The key of the only account.
    key: Mutex<Value>,
    faults: Mutex<VecDeque<Fault>>,
    nonces: AtomicU32,
}

type Answer = (u16, Value);

impl Ledger {
    fn owns(&self, jwk: &Value) -> bool {
        *self.key.lock().unwrap() == *jwk
    }

    fn new_account(&self, jwk: &Value, payload: &Value) -> Answer {
        if self.key.lock().unwrap().is_null() && payload.get("onlyReturnExisting").is_none() {
            *self.key.lock().unwrap() = jwk.clone();
            return (201, json!({ "status": "valid" }));
        }
        if self.owns(jwk) { (200, json!({ "status": "valid" })) } else { refusal(400, "accountDoesNotExist") }
    }

    fn key_change(&self, inner: &Value, apply: bool) -> Answer {
        let (header, change) = (part(inner, "protected"), part(inner, "payload"));
        let right =
            verifies(&header["jwk"], inner) && change["account"] == acct(1) && self.owns(&change["oldKey"]);
        if !right {
            return refusal(400, "malformed");
        }
        if apply {
            *self.key.lock().unwrap() = header["jwk"].clone();
        }
        (200, Value::Null)
    }

    fn answer(&self, path: &str, body: &[u8], apply: bool) -> Answer {
        let jws: Value = serde_json::from_slice(body).unwrap();
        let header = part(&jws, "protected");
        let signer = header.get("jwk").cloned().unwrap_or_else(|| self.key.lock().unwrap().clone());
        if !verifies(&signer, &jws) {
            return refusal(401, "unauthorized");
        }
        match path {
            "/new-account" => self.new_account(&signer, &part(&jws, "payload")),
            "/key-change" => self.key_change(&part(&jws, "payload"), apply),
            "/acct/1" => (200, json!({ "status": "valid" })),
            other => panic!("{other}"),
        }
    }
}

fn refusal(status: u16, kind: &str) -> Answer {
    (status, json!({ "type": format!("urn:ietf:params:acme:error:{kind}") }))
}

/// A part of a JWS, read; null for an empty payload.
fn part(jws: &Value, name: &str) -> Value {
    let text = URL_SAFE_NO_PAD.decode(jws[name].as_str().unwrap()).unwrap();
    serde_json::from_slice(&text).unwrap_or_default()
}

fn verifies(jwk: &Value, jws: &Value) -> bool {
    let bytes = |value: &Value| URL_SAFE_NO_PAD.decode(value.as_str().unwrap_or_default()).unwrap();
    let input = format!("{}.{}", jws["protected"].as_str().unwrap(), jws["payload"].as_str().unwrap());
    let point = [&[0x04][..], &bytes(&jwk["x"]), &bytes(&jwk["y"])].concat();
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
    key.verify(input.as_bytes(), &bytes(&jws["signature"])).is_ok()
}

#[async_trait]
impl HttpClient for Ledger {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (path, url) = (request.uri().path().to_owned(), request.uri().to_string());
        let lost = || HttpError::Exchange { url: url.clone(), reason: "connection reset".to_owned() };
        let mut changing = directory();
        changing["keyChange"] = json!(format!("{HOME}/key-change"));
        let (status, body) = match path.as_str() {
            "/dir" => (200, changing),
            "/new-nonce" => (200, Value::Null),
            _ => {
                let fault = self.faults.lock().unwrap().pop_front().unwrap_or(Fault::None);
                let answer = match fault {
                    Fault::LostBefore => return Err(lost()),
                    Fault::Busy => refusal(503, "serverInternal"),
                    _ => self.answer(&path, request.body(), fault != Fault::Lie),
                };
                match fault {
                    Fault::LostAfter => return Err(lost()),
                    Fault::Broken => refusal(500, "serverInternal"),
                    _ => answer,
                }
            }
        };
        let nonce = format!("nonce-{}", self.nonces.fetch_add(1, Ordering::Relaxed));
        let response =
            Response::builder().status(status).header("replay-nonce", nonce).header("location", acct(1));
        Ok(response.body(if body.is_null() { Bytes::new() } else { body.to_string().into() }).unwrap())
    }
}

/// What happens in a step of the story: a change of the key, or a crash and a new start.
#[derive(Clone, Debug)]
struct Step {
    crash: bool,
    faults: Vec<Fault>,
}

fn step() -> impl Strategy<Value = Step> {
    let fault = prop::sample::select(vec![
        Fault::Broken,
        Fault::Busy,
        Fault::Lie,
        Fault::LostAfter,
        Fault::LostBefore,
        Fault::None,
    ]);
    let step = (any::<bool>(), prop::collection::vec(fault, 0..4));
    step.prop_map(|(crash, faults)| Step { crash, faults })
}

fn key() -> Arc<AccountKey> {
    Arc::new(AccountKey::generate().unwrap())
}

/// A program that keeps its credentials as text, and nothing else through a crash.
struct Program {
    client: Client,
    account: Option<Account>,
    kept: SecretString,
}

impl Program {
    fn credentials(&self) -> AccountCredentials {
        AccountCredentials::from_json(&self.kept).unwrap()
    }

    async fn start(&mut self) -> bool {
        self.account = None;
        let Ok((account, settled)) = self.client.settle_key_change(&self.credentials()).await else {
            return false;
        };
        self.kept = settled.to_json();
        self.account = Some(account);
        true
    }

    async fn change_key(&mut self) {
        let Some(account) = &self.account else { return };
        let mut credentials = self.credentials();
        if credentials.pending_key().is_none() {
            credentials = credentials.with_pending_key(key()).unwrap();
            self.kept = credentials.to_json();
        }
        if let Ok(changed) = account.change_key(&credentials).await {
            self.kept = changed.to_json();
        }
    }
}

async fn live(steps: Vec<Step>) {
    let ledger = Arc::new(Ledger::default());
    let client =
        Client::builder(format!("{HOME}/dir")).http(ledger.clone()).clock(Arc::new(SystemClock::new()));
    let client = client.build().unwrap();
    let first = key();
    let account = client.register(NewAccount::new(), first.clone()).await.unwrap();
    let kept = account.credentials(first).unwrap().to_json();
    let mut program = Program { client, account: Some(account), kept };
    for step in steps {
        *ledger.faults.lock().unwrap() = step.faults.into();
        if step.crash {
            program.start().await;
        } else {
            program.change_key().await;
        }
    }
    ledger.faults.lock().unwrap().clear();
    assert!(program.start().await);
    let jwk: Value = serde_json::from_str(&program.credentials().key().jwk().to_json()).unwrap();
    assert!(ledger.owns(&jwk), "what is kept is the key that the server knows");
    program.account.unwrap().refresh().await.unwrap();
}

proptest! {
    #[test]
    fn no_crash_no_lost_answer_and_no_lie_costs_the_account(steps in prop::collection::vec(step(), 1..8)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(live(steps));
    }
}
