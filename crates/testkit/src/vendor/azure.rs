//! Azure DNS 2018-05-01 and Azure Private DNS 2018-09-01, as their documents have them.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Refusal, Reply, Service, StoredRecord, StoredZone, TxtStore, query};

/// Azure DNS.
///
/// A set has an ETag, and a write a precondition: `If-Match`, `If-None-Match`. What somebody notes about a set
/// (`metadata`) is lost by a write without it. Values are plain, in pieces of 255 bytes at most.
pub struct AzureDns {
    token: String,
}

const SUBSCRIPTION: &str = "00000000-0000-4000-8000-fake00000000";
const GROUP: &str = "fake-group";

impl AzureDns {
    /// The subscription with one resource group, for whoever has this access token.
    #[must_use]
    pub fn new(token: &str) -> Self {
        Self { token: token.to_owned() }
    }

    /// The subscription's id.
    #[must_use]
    pub const fn subscription() -> &'static str {
        SUBSCRIPTION
    }

    /// The resource group's name.
    #[must_use]
    pub const fn resource_group() -> &'static str {
        GROUP
    }
}

/// One of the two interfaces.
#[derive(Clone, Copy)]
struct Interface {
    private: bool,
}

impl Interface {
    /// The one of a resource's type, whose case does not matter.
    fn of(resource: &str) -> Option<Self> {
        let is = |name: &str| resource.eq_ignore_ascii_case(name);
        (is("dnsZones") || is("privateDnsZones")).then(|| Self { private: is("privateDnsZones") })
    }

    const fn version(self) -> &'static str {
        if self.private { "2018-09-01" } else { "2018-05-01" }
    }

    const fn resource(self) -> &'static str {
        if self.private { "privateDnsZones" } else { "dnszones" }
    }

    const fn ttl(self) -> &'static str {
        if self.private { "ttl" } else { "TTL" }
    }

    const fn records(self) -> &'static str {
        if self.private { "txtRecords" } else { "TXTRecords" }
    }

    fn zone<'s>(self, store: &'s TxtStore, name: &str) -> Option<&'s StoredZone> {
        store.zones.iter().find(|zone| zone.name.eq_ignore_ascii_case(name) && zone.private == self.private)
    }

    fn zone_object(self, zone: &StoredZone) -> Value {
        let id = format!(
            "/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/Microsoft.Network/{}/{}",
            self.resource(),
            zone.name
        );
        json!({ "id": id, "name": zone.name, "type": format!("Microsoft.Network/{}", self.resource()),
                "location": "global", "properties": {} })
    }
}

impl Service for AzureDns {
    fn answer(&self, request: &Request<Bytes>, store: &mut TxtStore) -> Response<Bytes> {
        let authorization = request.headers().get("authorization").and_then(|value| value.to_str().ok());
        if authorization != Some(&format!("Bearer {}", self.token)) {
            return self.refusal(Refusal::Unauthorized);
        }
        let parts: Vec<_> = request.uri().path().trim_start_matches('/').split('/').collect();
        let (group, resource, rest) = match parts.as_slice() {
            ["subscriptions", SUBSCRIPTION, "providers", "Microsoft.Network", resource] => {
                (GROUP, *resource, &[][..])
            }
            [
                "subscriptions",
                SUBSCRIPTION,
                groups,
                group,
                "providers",
                "Microsoft.Network",
                resource,
                rest @ ..,
            ] if groups.eq_ignore_ascii_case("resourceGroups") => (*group, *resource, rest),
            ["subscriptions", other, ..] if *other != SUBSCRIPTION => {
                return fault(
                    404,
                    "SubscriptionNotFound",
                    &format!("The subscription '{other}' could not be found."),
                );
            }
            _ => return fault(404, "InvalidResourceType", "The resource type could not be found."),
        };
        let Some(interface) = Interface::of(resource) else {
            return fault(404, "InvalidResourceType", "The resource type could not be found.");
        };
        if query(request, "api-version").as_deref() != Some(interface.version()) {
            return fault(400, "MissingApiVersionParameter", "The api-version query parameter is required.");
        }
        if !group.eq_ignore_ascii_case(GROUP) {
            return fault(
                404,
                "ResourceGroupNotFound",
                &format!("Resource group '{group}' could not be found."),
            );
        }
        match (request.method().clone(), rest) {
            (Method::GET, []) => list(request, store, interface),
            (_, [zone, ..]) if store.is_forbidden(zone) => self.refusal(Refusal::Forbidden),
            (Method::GET, [zone]) => match interface.zone(store, zone) {
                Some(zone) => Reply::json(200, &interface.zone_object(zone)),
                None => not_found(zone),
            },
            (method, [zone, "TXT", relative]) => match interface.zone(store, zone).cloned() {
                Some(zone) => record_set(&method, request, store, interface, &zone, relative),
                None => fault(404, "ParentResourceNotFound", &format!("Parent resource '{zone}' not found.")),
            },
            _ => fault(404, "InvalidResourceType", "The resource type could not be found."),
        }
    }

    fn refusal(&self, refusal: Refusal) -> Response<Bytes> {
        match refusal {
            Refusal::Busy => {
                fault(429, "SubscriptionRequestsThrottled", "Number of requests exceeded the limit.")
            }
            Refusal::Forbidden => fault(
                403,
                "AuthorizationFailed",
                "The client 'fake' does not have authorization to perform action 'Microsoft.Network/dnsZones/TXT/write'.",
            ),
            Refusal::Trouble => fault(503, "ServiceUnavailable", "The service is unavailable."),
            Refusal::Unauthorized => fault(401, "InvalidAuthenticationToken", "The access token is invalid."),
        }
    }
}

fn list(request: &Request<Bytes>, store: &TxtStore, interface: Interface) -> Response<Bytes> {
    let page: usize = query(request, "$skipToken").and_then(|page| page.parse().ok()).unwrap_or(1);
    let zones: Vec<_> = store.zones.iter().filter(|zone| zone.private == interface.private).collect();
    let (zones, more) = store.page(&zones, page, 100);
    let zones: Vec<_> = zones.iter().map(|zone| interface.zone_object(zone)).collect();
    let mut answer = json!({ "value": zones });
    if more && let Some(answer) = answer.as_object_mut() {
        let host = request.headers().get("host").and_then(|host| host.to_str().ok()).unwrap_or_default();
        let path = request.uri().path();
        let next =
            format!("http://{host}{path}?api-version={}&%24skipToken={}", interface.version(), page + 1);
        answer.insert("nextLink".to_owned(), next.into());
    }
    Reply::json(200, &answer)
}

fn record_set(
    method: &Method,
    request: &Request<Bytes>,
    store: &mut TxtStore,
    interface: Interface,
    zone: &StoredZone,
    relative: &str,
) -> Response<Bytes> {
    let relative = percent_decoded(relative);
    let name = match relative.as_str() {
        "@" => zone.name.clone(),
        relative => format!("{relative}.{}", zone.name).to_ascii_lowercase(),
    };
    let version = store.version(&zone.id, &name);
    let etag = format!("{version:08x}-0000-4000-8000-fake00000000");
    let is_there = store.txt(&zone.id, &name).next().is_some();
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let holds = match (header("if-match"), header("if-none-match")) {
        (Some(wanted), _) => is_there && (wanted == etag || wanted == "*"),
        (None, Some("*")) => !is_there,
        _ => true,
    };
    match *method {
        Method::GET if is_there => Reply::json(200, &object(store, interface, zone, &name, &etag)),
        // Of Azure DNS itself, which does not wrap what it says.
        Method::GET => Reply::json(
            404,
            &json!({ "code": "NotFound", "message": format!("The resource record '{relative}' does not exist.") }),
        ),
        Method::DELETE if !is_there => Reply::empty(204),
        Method::PUT | Method::DELETE if !holds => {
            let message = "The condition 'If-Match' in the request was not met.";
            fault(412, "PreconditionFailed", message)
        }
        Method::DELETE => {
            replace(store, zone, &name, 0, &BTreeMap::new(), &Map::new());
            Reply::empty(200)
        }
        Method::PUT => {
            let Some((ttl, values, metadata)) = read(request.body(), interface) else {
                return fault(400, "BadRequest", "The record set is invalid.");
            };
            replace(store, zone, &name, ttl, &values, &metadata);
            let etag = format!("{:08x}-0000-4000-8000-fake00000000", store.version(&zone.id, &name));
            let status = if is_there { 200 } else { 201 };
            Reply::json(status, &object(store, interface, zone, &name, &etag))
        }
        _ => fault(405, "MethodNotAllowed", "The method is not allowed."),
    }
}

/// The time to live, the values, and the notes.
type Written = (u32, BTreeMap<String, String>, Map<String, Value>);

fn read(body: &[u8], interface: Interface) -> Option<Written> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        properties: Map<String, Value>,
    }
    let Body { mut properties } = serde_json::from_slice(body).ok()?;
    let ttl = u32::try_from(properties.remove(interface.ttl())?.as_u64()?).ok().filter(|ttl| *ttl >= 1)?;
    let records = properties.remove(interface.records())?;
    let metadata = properties.remove("metadata").and_then(|it| it.as_object().cloned()).unwrap_or_default();
    let mut values = BTreeMap::new();
    for record in records.as_array()? {
        let strings = record.get("value")?.as_array()?;
        let strings: Option<Vec<&str>> = strings.iter().map(Value::as_str).collect();
        let strings = strings?;
        if strings.is_empty() || strings.iter().any(|string| string.len() > 255) {
            return None;
        }
        if values.insert(strings.concat(), record.get("value")?.to_string()).is_some() {
            return None;
        }
    }
    (properties.is_empty() && !values.is_empty()).then_some((ttl, values, metadata))
}

/// What stays keeps what somebody wrote beside it, if the notes came back.
fn replace(
    store: &mut TxtStore,
    zone: &StoredZone,
    name: &str,
    ttl: u32,
    values: &BTreeMap<String, String>,
    metadata: &Map<String, Value>,
) {
    let there: Vec<_> =
        store.txt(&zone.id, name).map(|record| (record.id.clone(), record.value.clone())).collect();
    for (id, _) in there.iter().filter(|(_, value)| !values.contains_key(value)) {
        store.remove(&zone.id, id);
    }
    for (value, sent) in values.iter().filter(|(value, _)| !there.iter().any(|(_, it)| it == *value)) {
        store.insert(&zone.id, name, value, sent, ttl);
    }
    for record in &mut store.records {
        if record.zone == zone.id && record.name == name && record.kind == "TXT" {
            record.ttl = ttl;
            if !metadata.contains_key(&note(record)) {
                record.comment = None;
            }
        }
    }
    store.touch(&zone.id, name);
}

/// What a comment is called among the notes of a set.
fn note(record: &StoredRecord) -> String {
    format!("record{}", record.id)
}

fn object(store: &TxtStore, interface: Interface, zone: &StoredZone, name: &str, etag: &str) -> Value {
    let records: Vec<_> = store.txt(&zone.id, name).collect();
    let ttl = records.first().map_or(0, |record| record.ttl);
    let notes: Map<_, _> = records
        .iter()
        .filter_map(|record| Some((note(record), Value::from(record.comment.clone()?))))
        .collect();
    let strings = |record: &&StoredRecord| json!({ "value": pieces(&record.value) });
    let mut properties = Map::new();
    properties.insert(interface.ttl().to_owned(), ttl.into());
    properties.insert(interface.records().to_owned(), records.iter().map(strings).collect());
    properties.insert("fqdn".to_owned(), format!("{name}.").into());
    properties.insert("provisioningState".to_owned(), "Succeeded".into());
    if !notes.is_empty() {
        properties.insert("metadata".to_owned(), notes.into());
    }
    let relative = name.strip_suffix(&zone.name).map_or(name, |relative| relative.trim_end_matches('.'));
    json!({ "id": format!("{}/TXT/{relative}", interface.zone_object(zone)["id"].as_str().unwrap_or_default()),
            "name": if relative.is_empty() { "@" } else { relative }, "type": "Microsoft.Network/dnszones/TXT",
            "etag": etag, "properties": properties })
}

fn pieces(value: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    for character in value.chars() {
        match pieces.last_mut() {
            Some(last) if last.len() + character.len_utf8() <= 255 => last.push(character),
            _ => pieces.push(character.to_string()),
        }
    }
    pieces
}

fn percent_decoded(text: &str) -> String {
    text.replace("%40", "@").replace("%2A", "*").replace("%2a", "*")
}

fn not_found(name: &str) -> Response<Bytes> {
    fault(404, "ResourceNotFound", &format!("The Resource '{name}' was not found."))
}

fn fault(status: u16, code: &str, message: &str) -> Response<Bytes> {
    let mut response = Reply::json(status, &json!({ "error": { "code": code, "message": message } }));
    let id = HeaderValue::from_static("00000000-0000-4000-8000-fake00000001");
    response.headers_mut().insert("x-ms-request-id", id);
    response
}
