//! Web services that are told of changes: lego's `httpreq`, and a DNS-01 webhook of cert-manager.

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{Method, Request, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Refusal, Reply, Service, StoredZone, TxtStore,
    asked::{bearer, credential},
};

/// A service as lego's `httpreq` wants it: `/present` and `/cleanup`, behind a user and a password.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HttpReq {
    user: String,
    password: String,
}

impl HttpReq {
    /// A service with this user.
    #[must_use]
    pub fn new(user: &str, password: &str) -> Self {
        Self { user: user.to_owned(), password: password.to_owned() }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Message {
    fqdn: String,
    value: String,
}

impl Service for HttpReq {
    fn answer(&self, request: &Request<Bytes>, store: &mut TxtStore) -> Response<Bytes> {
        let expected = BASE64_STANDARD.encode(format!("{}:{}", self.user, self.password));
        if credential(request, "Basic") != Some(&expected) {
            return self.refusal(Refusal::Unauthorized);
        }
        let adds = match (request.method(), request.uri().path()) {
            (&Method::POST, "/hook/present") => true,
            (&Method::POST, "/hook/cleanup") => false,
            _ => return Reply::text(404, "not found"),
        };
        match serde_json::from_slice::<Message>(request.body()) {
            Ok(message) => match change(store, adds, &message.fqdn, &message.value) {
                Some(()) => Reply::text(200, "ok"),
                None => Reply::text(400, "no zone for that name"),
            },
            Err(error) => Reply::text(400, &error.to_string()),
        }
    }

    fn refusal(&self, refusal: Refusal) -> Response<Bytes> {
        match refusal {
            Refusal::Busy => Reply::text(429, "slow down"),
            Refusal::Forbidden => Reply::text(403, "not for you"),
            Refusal::Trouble => Reply::text(503, "later"),
            Refusal::Unauthorized => Reply::text(401, &format!("who is {}:{}?", self.user, self.password)),
        }
    }
}

/// A DNS-01 webhook of cert-manager, behind an API server that wants a bearer token.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Webhook {
    token: String,
}

impl Webhook {
    /// A webhook for whoever has this token.
    #[must_use]
    pub fn new(token: &str) -> Self {
        Self { token: token.to_owned() }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    kind: String,
    api_version: String,
    request: Challenge,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Challenge {
    uid: String,
    action: String,
    r#type: String,
    key: String,
    #[serde(rename = "resolvedFQDN")]
    resolved_fqdn: String,
    resolved_zone: String,
    config: Value,
}

impl Service for Webhook {
    fn answer(&self, request: &Request<Bytes>, store: &mut TxtStore) -> Response<Bytes> {
        if bearer(request) != Some(&self.token) {
            return self.refusal(Refusal::Unauthorized);
        }
        if (request.method(), request.uri().path())
            != (&Method::POST, "/apis/acme.example.com/v1alpha1/paper")
        {
            return status(404, "NotFound", "the server could not find the requested resource");
        }
        let payload: Payload = match serde_json::from_slice(request.body()) {
            Ok(payload) => payload,
            Err(error) => return status(400, "BadRequest", &error.to_string()),
        };
        let Challenge { uid, action, r#type, key, resolved_fqdn, resolved_zone, config } = payload.request;
        let fault = |message: &str| {
            let status =
                json!({ "status": "Failure", "message": message, "reason": "InternalError", "code": 500 });
            Reply::json(200, &json!({ "response": { "uid": uid, "success": false, "status": status } }))
        };
        if payload.kind != "ChallengePayload"
            || payload.api_version != "webhook.acme.cert-manager.io/v1alpha1"
            || r#type != "dns-01"
            || !config.is_object()
        {
            return fault("this is no ChallengePayload");
        }
        let zone = resolved_zone.trim_end_matches('.');
        if store.zone_named(zone).is_none() || !resolved_fqdn.trim_end_matches('.').ends_with(zone) {
            return fault("no such zone");
        }
        let adds = match action.as_str() {
            "Present" => true,
            "CleanUp" => false,
            _ => return fault("no such action"),
        };
        match change(store, adds, &resolved_fqdn, &key) {
            Some(()) => Reply::json(200, &json!({ "response": { "uid": uid, "success": true } })),
            None => fault("no zone for that name"),
        }
    }

    fn refusal(&self, refusal: Refusal) -> Response<Bytes> {
        match refusal {
            Refusal::Busy => status(429, "TooManyRequests", "too many requests"),
            Refusal::Forbidden => status(403, "Forbidden", "papers.acme.example.com is forbidden"),
            Refusal::Trouble => {
                status(503, "ServiceUnavailable", "the server is currently unable to handle the request")
            }
            Refusal::Unauthorized => status(401, "Unauthorized", &format!("Unauthorized: {}", self.token)),
        }
    }
}

/// As the API server says it.
fn status(code: u16, reason: &str, message: &str) -> Response<Bytes> {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
        "reason": reason, "code": code,
    });
    Reply::json(code, &status)
}

/// Adds or removes one value; siblings stay. `None` where no zone holds the name.
fn change(store: &mut TxtStore, adds: bool, fqdn: &str, value: &str) -> Option<()> {
    let name = fqdn.strip_suffix('.')?;
    let holds = |zone: &&StoredZone| name == zone.name || name.ends_with(&format!(".{}", zone.name));
    let zone = store.zones.iter().filter(holds).max_by_key(|zone| zone.name.len())?.clone();
    let equal: Vec<_> =
        store.txt(&zone.id, name).filter(|it| it.value == value).map(|it| it.id.clone()).collect();
    if adds && equal.is_empty() {
        store.insert(&zone.id, name, value, value, 60);
    }
    if !adds {
        for id in equal {
            store.remove(&zone.id, &id);
        }
    }
    Some(())
}
