//! OVHcloud's API v1 as far as zones go, as its console and its answers of the field have it.

use bytes::Bytes;
use data_encoding::HEXLOWER;
use http::{HeaderValue, Method, Request, Response};
use perennial_core::{Clock as _, SystemClock};
use ring::digest;
use serde::Deserialize;
use serde_json::json;

use super::{Refusal, Reply, Service, StoredZone, TxtStore, query};

/// OVHcloud's API v1, below `/1.0`.
///
/// Requests are signed over their whole URL and with this server's time. A record is shown by its number alone and asked
/// for one by one; equal records are two.
pub struct Ovh {
    application_key: String,
    application_secret: String,
    consumer_key: String,
}

impl Ovh {
    /// The account whose owner let this application act.
    #[must_use]
    pub fn new(application_key: &str, application_secret: &str, consumer_key: &str) -> Self {
        Self {
            application_key: application_key.to_owned(),
            application_secret: application_secret.to_owned(),
            consumer_key: consumer_key.to_owned(),
        }
    }

    fn verify(&self, request: &Request<Bytes>) -> Result<(), (&'static str, &'static str)> {
        let header =
            |name: &str| request.headers().get(name).and_then(|it| it.to_str().ok()).unwrap_or_default();
        if header("x-ovh-application") != self.application_key {
            return Err(("INVALID_KEY", "This application key is invalid"));
        }
        if header("x-ovh-consumer") != self.consumer_key {
            return Err(("INVALID_CREDENTIAL", "This credential is not valid"));
        }
        let moment = header("x-ovh-timestamp");
        let (Self { application_secret, consumer_key, .. }, method) = (self, request.method());
        let url = format!("http://{}{}", header("host"), request.uri());
        let body = String::from_utf8_lossy(request.body());
        let text = format!("{application_secret}+{consumer_key}+{method}+{url}+{body}+{moment}");
        let digest = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
        if header("x-ovh-signature") != format!("$1${}", HEXLOWER.encode(digest.as_ref())) {
            return Err(("INVALID_SIGNATURE", "Invalid signature"));
        }
        // OVHcloud allows less; the clocks of tests skip some.
        let ahead = moment.parse::<i64>().unwrap_or_default() - SystemClock::new().now().unix();
        if ahead.abs() > 3600 { Err(("QUERY_TIME_OUT", "Query out of time")) } else { Ok(()) }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewRecord {
    field_type: String,
    sub_domain: String,
    target: String,
    ttl: u32,
}

impl Service for Ovh {
    fn answer(&self, request: &Request<Bytes>, store: &mut TxtStore) -> Response<Bytes> {
        let Some(path) = request.uri().path().strip_prefix("/1.0/") else {
            return fault(404, "Client::NotFound", None, "Got an invalid (or empty) URL");
        };
        if path == "auth/time" {
            return Reply::json(200, &SystemClock::new().now().unix());
        }
        if let Err((code, message)) = self.verify(request) {
            return fault(403, "Client::Forbidden", Some(code), message);
        }
        let parts: Vec<_> = path.split('/').collect();
        let ["domain", "zone", rest @ ..] = parts.as_slice() else {
            return fault(404, "Client::NotFound", None, "Got an invalid (or empty) URL");
        };
        let Some((zone, rest)) = rest.split_first() else {
            let zones = store.zones.iter().filter(|zone| !zone.private);
            return Reply::json(200, &zones.map(|zone| zone.name.clone()).collect::<Vec<_>>());
        };
        if store.is_forbidden(zone) {
            return self.refusal(Refusal::Forbidden);
        }
        let Some(zone) = store.zone_named(zone).cloned() else {
            return fault(404, "Client::NotFound", None, "This service does not exist");
        };
        in_zone(request, store, &zone, rest)
    }

    fn refusal(&self, refusal: Refusal) -> Response<Bytes> {
        match refusal {
            Refusal::Busy => fault(429, "Client::TooManyRequests", None, "Too many requests"),
            Refusal::Forbidden => {
                fault(403, "Client::Forbidden", Some("NOT_GRANTED_CALL"), "This call has not been granted")
            }
            Refusal::Trouble => fault(503, "Server::ServiceUnavailable", None, "Service unavailable"),
            Refusal::Unauthorized => {
                fault(403, "Client::Forbidden", Some("INVALID_CREDENTIAL"), "This credential is not valid")
            }
        }
    }
}

fn in_zone(
    request: &Request<Bytes>,
    store: &mut TxtStore,
    zone: &StoredZone,
    rest: &[&str],
) -> Response<Bytes> {
    let no_record = || fault(404, "Client::NotFound", None, "The requested object does not exist");
    match (request.method().clone(), rest) {
        (Method::GET, []) => Reply::json(200, &json!({ "name": zone.name, "hasDnsAnycast": false })),
        (Method::POST, ["refresh"]) => Reply::json(200, &json!(null)),
        (Method::GET, ["record"]) => {
            let sub_domain = query(request, "subDomain");
            let kind = query(request, "fieldType");
            let found = store.records.iter().filter(|record| {
                record.zone == zone.id
                    && sub_domain.as_ref().is_none_or(|sub| *sub == below(zone, &record.name))
                    && kind.as_ref().is_none_or(|kind| *kind == record.kind)
            });
            let ids: Vec<u64> = found.filter_map(|record| record.id.parse().ok()).collect();
            Reply::json(200, &ids)
        }
        (Method::GET, ["record", id]) => match object(store, zone, id) {
            Some(object) => Reply::json(200, &object),
            None => no_record(),
        },
        (Method::POST, ["record"]) => match serde_json::from_slice::<NewRecord>(request.body()) {
            Ok(NewRecord { field_type, sub_domain, target, ttl }) if field_type == "TXT" && ttl >= 60 => {
                let name = match sub_domain.as_str() {
                    "" => zone.name.clone(),
                    sub_domain => format!("{sub_domain}.{}", zone.name),
                };
                let id = store.insert(&zone.id, &name, &super::store::plain(&target), &target, ttl);
                Reply::json(200, &object(store, zone, &id))
            }
            _ => fault(400, "Client::BadRequest", None, "Invalid parameters"),
        },
        (Method::DELETE, ["record", id]) => match store.remove(&zone.id, id) {
            true => Reply::json(200, &json!(null)),
            false => no_record(),
        },
        _ => fault(404, "Client::NotFound", None, "Got an invalid (or empty) URL"),
    }
}

fn object(store: &TxtStore, zone: &StoredZone, id: &str) -> Option<serde_json::Value> {
    let record = store.records.iter().find(|record| record.zone == zone.id && record.id == id)?;
    Some(json!({
        "id": record.id.parse::<u64>().ok()?, "zone": zone.name, "fieldType": record.kind,
        "subDomain": below(zone, &record.name), "target": store.echoed(record), "ttl": record.ttl,
    }))
}

fn below(zone: &StoredZone, name: &str) -> String {
    name.strip_suffix(&zone.name).unwrap_or(name).trim_end_matches('.').to_owned()
}

fn fault(status: u16, class: &str, code: Option<&str>, message: &str) -> Response<Bytes> {
    let mut body = json!({ "class": class, "message": message, "httpCode": status.to_string() });
    if let (Some(code), Some(body)) = (code, body.as_object_mut()) {
        body.insert("errorCode".to_owned(), code.into());
    }
    let mut response = Reply::json(status, &body);
    response.headers_mut().insert("x-ovh-queryid", HeaderValue::from_static("EU.ext-1.fake.1"));
    response
}
