//! INWX's DomRobot: sessions in a cookie, a second factor, and no equal records.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response};
use perennial_core::{Clock, SystemClock};
use ring::hmac;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Refusal, Reply, Service, StoredRecord, StoredZone, TxtStore};

/// INWX's DomRobot in JSON, at `/jsonrpc/`.
///
/// Every call but a login bears its session's cookie, and a session with a second factor is of no use until it is
/// unlocked, with a number that is good once. Everything is said with 200. A record that equals another is
/// refused (2302). A [forbidden](TxtStore::forbidden) zone may not be looked at.
#[derive(Clone)]
#[non_exhaustive]
pub struct Inwx {
    user: String,
    password: String,
    factor: Option<Vec<u8>>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    sessions: BTreeSet<String>,
    locked: BTreeSet<String>,
    used: BTreeSet<u64>,
}

impl Inwx {
    /// An account of this user with this password.
    #[must_use]
    pub fn new(user: &str, password: &str) -> Self {
        Self { user: user.to_owned(), password: password.to_owned(), factor: None, state: Arc::default() }
    }

    /// The account has a second factor (RFC 6238) with this secret.
    #[must_use]
    pub fn second_factor(mut self, secret: &[u8]) -> Self {
        self.factor = Some(secret.to_vec());
        self
    }

    /// Ends all sessions.
    pub fn end_sessions(&self) {
        self.state().sessions.clear();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn login(&self, params: &Value, store: &mut TxtStore) -> Response<Bytes> {
        if params["user"] != *self.user || params["pass"] != *self.password {
            return self.refusal(Refusal::Unauthorized);
        }
        let session = format!("s{:08x}", store.next_id());
        let mut state = self.state();
        let sessions = if self.factor.is_some() { &mut state.locked } else { &mut state.sessions };
        sessions.insert(session.clone());
        let tfa = if self.factor.is_some() { "GOOGLE-AUTH" } else { "0" };
        let mut response = done(&json!({ "customerId": 1, "accountId": 2, "tfa": tfa, "version": "2.4" }));
        for cookie in ["lb=a; path=/".to_owned(), format!("domrobot={session}; path=/; HttpOnly; Secure")] {
            let value = HeaderValue::from_str(&cookie).unwrap_or(HeaderValue::from_static(""));
            response.headers_mut().append("set-cookie", value);
        }
        response
    }

    fn unlock(&self, session: &str, params: &Value) -> Response<Bytes> {
        let step = SystemClock::new().now().unix().unsigned_abs() / 30;
        let right =
            |step: &u64| self.factor.as_ref().is_some_and(|secret| params["tan"] == *tan(secret, *step));
        let mut state = self.state();
        match (step.saturating_sub(1)..=step + 1).find(right) {
            Some(step) if state.locked.contains(session) && state.used.insert(step) => {
                state.locked.remove(session);
                state.sessions.insert(session.to_owned());
                done(&Value::Null)
            }
            _ => fault(2200, "Authentication error", Some("tan")),
        }
    }
}

/// RFC 4226 §5.3.
fn tan(secret: &[u8], step: u64) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret), &step.to_be_bytes());
    let tag = tag.as_ref();
    let offset = usize::from(tag.last().copied().unwrap_or_default() & 15);
    let number = tag.iter().skip(offset).take(4).fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
    format!("{:06}", (number & 0x7fff_ffff) % 1_000_000)
}

#[derive(Deserialize)]
struct Call {
    method: String,
    params: Value,
}

impl Service for Inwx {
    fn answer(&self, request: &Request<Bytes>, store: &mut TxtStore) -> Response<Bytes> {
        if request.method() != Method::POST || request.uri().path() != "/jsonrpc/" {
            return Reply::of(404, "text/html", "<html>not found</html>");
        }
        let Ok(Call { method, params }) = serde_json::from_slice(request.body()) else {
            return fault(2001, "Command syntax error", None);
        };
        let cookie = request.headers().get("cookie").and_then(|cookie| cookie.to_str().ok());
        let session = cookie.and_then(|cookie| cookie.strip_prefix("domrobot=")).unwrap_or_default();
        match method.as_str() {
            "account.login" => return self.login(&params, store),
            "account.unlock" => return self.unlock(session, &params),
            _ if self.state().sessions.contains(session) => {}
            _ => return fault(2200, "Authentication error", None),
        }
        if method == "nameserver.deleteRecord" {
            let id = params["id"].as_u64().map(|id| id.to_string()).unwrap_or_default();
            let zone = store.records.iter().find(|record| record.id == id).map(|record| record.zone.clone());
            return match zone.is_some_and(|zone| store.remove(&zone, &id)) {
                true => done(&Value::Null),
                false => fault(2303, "Object does not exist", None),
            };
        }
        let domain = params["domain"].as_str().unwrap_or_default();
        if store.is_forbidden(domain) {
            return self.refusal(Refusal::Forbidden);
        }
        let Some(zone) = store.zone_named(domain).cloned() else {
            return fault(2303, "Object does not exist", None);
        };
        match method.as_str() {
            "nameserver.info" => info(&params, &zone, store),
            "nameserver.createRecord" => create(&params, &zone, store),
            _ => fault(2000, "Unknown command", None),
        }
    }

    fn refusal(&self, refusal: Refusal) -> Response<Bytes> {
        match refusal {
            Refusal::Busy => fault(2502, "Session limit exceeded; server closing connection", None),
            Refusal::Forbidden => fault(2201, "Authorization error", None),
            Refusal::Trouble => Reply::text(503, "unavailable"),
            Refusal::Unauthorized => fault(2200, &format!("Authentication error {}", self.password), None),
        }
    }

    fn writes(&self, request: &Request<Bytes>) -> bool {
        let call: Option<Call> = serde_json::from_slice(request.body()).ok();
        call.is_some_and(|call| call.method.ends_with("Record"))
    }
}

fn info(params: &Value, zone: &StoredZone, store: &TxtStore) -> Response<Bytes> {
    let (kind, name) = (params["type"].as_str(), params["name"].as_str());
    let found = store
        .records
        .iter()
        .filter(|record| record.zone == zone.id)
        .filter(|record| kind.is_none_or(|kind| kind == record.kind))
        .filter(|record| name.is_none_or(|name| name == record.name));
    let records: Vec<_> = found.map(|record| record_json(store, record)).collect();
    let mut data = json!({ "roId": 1, "domain": zone.name, "type": "MASTER", "count": records.len() });
    if !records.is_empty() {
        data["record"] = records.into();
    }
    done(&data)
}

fn record_json(store: &TxtStore, record: &StoredRecord) -> Value {
    json!({
        "id": record.id.parse::<u64>().unwrap_or_default(),
        "name": record.name,
        "type": record.kind,
        "content": store.echoed(record),
        "ttl": record.ttl,
        "prio": 0,
    })
}

fn create(params: &Value, zone: &StoredZone, store: &mut TxtStore) -> Response<Bytes> {
    let text = |name: &str| params[name].as_str().unwrap_or_default();
    let (name, content) = (text("name"), text("content"));
    let inside = name == zone.name || name.ends_with(&format!(".{}", zone.name));
    if text("type") != "TXT" || content.is_empty() || !inside {
        return fault(2005, "Parameter value syntax error", None);
    }
    let ttl = params["ttl"].as_u64().and_then(|ttl| u32::try_from(ttl).ok()).filter(|ttl| *ttl >= 300);
    let Some(ttl) = ttl else { return fault(2306, "Parameter value policy error", Some("ttl")) };
    if store.txt(&zone.id, name).any(|record| record.value == content) {
        return fault(2302, "Object exists", None);
    }
    let id = store.insert(&zone.id, name, content, content, ttl);
    done(&json!({ "id": id.parse::<u64>().unwrap_or_default() }))
}

fn done(data: &Value) -> Response<Bytes> {
    let mut body = json!({ "code": 1000, "msg": "Command completed successfully", "svTRID": "20260101-1", "runtime": 0.1 });
    if !data.is_null() {
        body["resData"] = data.clone();
    }
    Reply::json(200, &body)
}

fn fault(code: u32, message: &str, reason: Option<&str>) -> Response<Bytes> {
    let mut body = json!({ "code": code, "msg": message, "svTRID": "20260101-2", "runtime": 0.1 });
    if let Some(reason) = reason {
        body["reason"] = reason.into();
        body["reasonCode"] = "VALUE".into();
    }
    Reply::json(200, &body)
}
