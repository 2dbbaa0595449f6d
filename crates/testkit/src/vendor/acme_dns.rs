//! acme-dns: two values an account, the older one overwritten.

use bytes::Bytes;
use http::{Method, Request, Response};
use serde::Deserialize;
use serde_json::json;

use super::{Refusal, Reply, Service, TxtStore};

/// An acme-dns server, whose own zone is the first of the store.
///
/// An account is a zone of the store by the name of its full domain; its user is `user-` and its key `key-`
/// before the subdomain. The two newest values are kept, and a value has 43 characters or is refused.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct AcmeDns;

impl AcmeDns {
    /// A server without accounts.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Register {
    allowfrom: Vec<String>,
}

#[derive(Deserialize)]
struct Update {
    subdomain: String,
    txt: String,
}

impl Service for AcmeDns {
    fn answer(&self, request: &Request<Bytes>, store: &mut TxtStore) -> Response<Bytes> {
        match (request.method(), request.uri().path()) {
            (&Method::POST, "/register") => register(request, store),
            (&Method::POST, "/update") => update(request, store),
            (&Method::GET, "/health") => Reply::empty(200),
            _ => Reply::text(404, "404 page not found"),
        }
    }

    fn refusal(&self, refusal: Refusal) -> Response<Bytes> {
        match refusal {
            Refusal::Busy => Reply::text(429, "Too Many Requests"),
            Refusal::Forbidden | Refusal::Unauthorized => fault(401, "forbidden"),
            Refusal::Trouble => fault(500, "db_error"),
        }
    }
}

fn register(request: &Request<Bytes>, store: &mut TxtStore) -> Response<Bytes> {
    let asked: Register = serde_json::from_slice(request.body()).unwrap_or_default();
    let domain = store.zones.first().map(|zone| zone.name.clone()).unwrap_or_default();
    let subdomain = format!("{:08x}-0000-4000-8000-000000000000", store.next_id());
    let fulldomain = format!("{subdomain}.{domain}");
    store.add_zone(&fulldomain);
    Reply::json(
        201,
        &json!({
            "username": format!("user-{subdomain}"), "password": format!("key-{subdomain}"),
            "fulldomain": fulldomain, "subdomain": subdomain, "allowfrom": asked.allowfrom,
        }),
    )
}

fn update(request: &Request<Bytes>, store: &mut TxtStore) -> Response<Bytes> {
    let Ok(update) = serde_json::from_slice::<Update>(request.body()) else {
        return fault(400, "malformed_json_payload");
    };
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let subdomain = header("x-api-user").and_then(|user| user.strip_prefix("user-")).unwrap_or_default();
    let key = header("x-api-key").unwrap_or_default();
    if subdomain != update.subdomain || key.strip_prefix("key-") != Some(subdomain) {
        return fault(401, "forbidden");
    }
    let of_account = |name: &str| name.split('.').next() == Some(subdomain);
    let Some(zone) = store.zones.iter().find(|zone| of_account(&zone.name)).cloned() else {
        return fault(401, "forbidden");
    };
    if update.txt.len() != 43 {
        return fault(400, "bad_txt");
    }
    let old: Vec<_> = store.txt(&zone.id, &zone.name).map(|record| record.id.clone()).collect();
    for id in old.iter().take(old.len().saturating_sub(1)) {
        store.remove(&zone.id, id);
    }
    store.insert(&zone.id, &zone.name, &update.txt, &update.txt, 1);
    Reply::json(200, &json!({ "txt": update.txt }))
}

fn fault(status: u16, error: &str) -> Response<Bytes> {
    Reply::json(status, &json!({ "error": error }))
}
