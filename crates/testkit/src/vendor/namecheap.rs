//! Namecheap: a whole domain at a time.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use http::{Method, Request, Response};

use super::{Refusal, Reply, Service, StoredZone, TxtStore, store::plain};

/// Namecheap, at `/xml.response`.
///
/// `setHosts` replaces every record of the domain, mail records and their `EmailType` among them, and gives new
/// identifiers to all; the `MXPref` of a host is its [comment](super::StoredRecord::comment). Everything is said
/// with 200; who is too fast gets 405. A domain is found when it is split before its public suffix, of which
/// `co.uk` is one. A [forbidden](TxtStore::forbidden) one is another account's.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Namecheap {
    user: String,
    key: String,
    client_ip: String,
    state: Arc<Mutex<State>>,
}

/// What a domain has besides records.
#[derive(Debug)]
struct State {
    email_type: Option<String>,
    uses_our_dns: bool,
}

impl Namecheap {
    /// An account of this user with this key, whose list has this address.
    #[must_use]
    pub fn new(user: &str, key: &str, client_ip: &str) -> Self {
        let state = State { email_type: Some("MX".to_owned()), uses_our_dns: true };
        let [user, key, client_ip] = [user, key, client_ip].map(str::to_owned);
        Self { user, key, client_ip, state: Arc::new(Mutex::new(state)) }
    }

    /// The domains use other name servers.
    #[must_use]
    pub fn elsewhere(self) -> Self {
        self.state().uses_our_dns = false;
        self
    }

    /// The domains' `EmailType` is this now, or is not said.
    pub fn set_email_type(&self, email_type: Option<&str>) {
        self.state().email_type = email_type.map(str::to_owned);
    }

    /// The domains' `EmailType`.
    #[must_use]
    pub fn email_type(&self) -> Option<String> {
        self.state().email_type.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Form = BTreeMap<String, String>;

fn form(request: &Request<Bytes>) -> Form {
    form_urlencoded::parse(request.body()).into_owned().collect()
}

impl Service for Namecheap {
    fn answer(&self, request: &Request<Bytes>, store: &mut TxtStore) -> Response<Bytes> {
        if request.method() != Method::POST || request.uri().path() != "/xml.response" {
            return Reply::of(404, "text/html", "<html>not found</html>");
        }
        let form = form(request);
        let field = |name: &str| form.get(name).map_or("", String::as_str);
        if field("ApiUser") != self.user || field("UserName") != self.user || field("ApiKey") != self.key {
            return self.refusal(Refusal::Unauthorized);
        }
        if field("ClientIp") != self.client_ip {
            return error("1011150", &format!("Invalid request IP: {}", field("ClientIp")));
        }
        let (sld, tld) = (field("SLD"), field("TLD"));
        let name = format!("{sld}.{tld}");
        let suffix =
            if name.ends_with(".co.uk") { "co.uk" } else { name.rsplit('.').next().unwrap_or_default() };
        let zone = store.zone_named(&name).filter(|_| tld == suffix).cloned();
        let Some(zone) = zone else { return error("2019166", "Domain name not found") };
        if store.is_forbidden(&name) {
            return error("2016166", "Domain is not associated with your account");
        }
        match field("Command") {
            "namecheap.domains.dns.getHosts" => self.hosts(&zone, store),
            "namecheap.domains.dns.setHosts" => self.set(&form, &zone, store),
            _ => error("1010104", "Parameter Command is missing"),
        }
    }

    fn refusal(&self, refusal: Refusal) -> Response<Bytes> {
        match refusal {
            Refusal::Busy => Reply::text(405, "Method Not Allowed"),
            Refusal::Forbidden => error("1017410", "API access is not allowed for this account"),
            Refusal::Trouble => error("5050900", "Unknown exceptions"),
            Refusal::Unauthorized => {
                let text = format!("API Key {} is invalid or API access has not been enabled", self.key);
                error("1011102", &text)
            }
        }
    }

    fn writes(&self, request: &Request<Bytes>) -> bool {
        form(request).get("Command").is_some_and(|command| command.ends_with("setHosts"))
    }
}

impl Namecheap {
    fn hosts(&self, zone: &StoredZone, store: &TxtStore) -> Response<Bytes> {
        let mut hosts = String::new();
        for record in store.records.iter().filter(|record| record.zone == zone.id) {
            let relative = record.name.strip_suffix(&zone.name).unwrap_or(&record.name).trim_end_matches('.');
            let name = if relative.is_empty() { "@" } else { relative };
            let preference = record.comment.as_deref().unwrap_or("10");
            hosts.push_str(&format!(
                r#"<host HostId="{}" Name="{}" Type="{}" Address="{}" MXPref="{preference}" TTL="{}"
                    AssociatedAppTitle="" FriendlyName="" IsActive="{}" IsDDNSEnabled="false" />"#,
                record.id,
                escaped(name),
                record.kind,
                escaped(&store.echoed(record)),
                record.ttl,
                !record.disabled,
            ));
        }
        let state = self.state();
        let email = state.email_type.as_ref().map_or_else(String::new, |it| format!(r#" EmailType="{it}""#));
        let result = format!(
            r#"<DomainDNSGetHostsResult Domain="{}"{email} IsUsingOurDNS="{}">{hosts}</DomainDNSGetHostsResult>"#,
            zone.name, state.uses_our_dns
        );
        reply("OK", "<Errors />", &format!(r#"<CommandResponse Type="x">{result}</CommandResponse>"#))
    }

    fn set(&self, form: &Form, zone: &StoredZone, store: &mut TxtStore) -> Response<Bytes> {
        let mut hosts = Vec::new();
        for index in 1.. {
            let field = |name: &str| form.get(&format!("{name}{index}"));
            let Some(name) = field("HostName") else { break };
            let fields = [field("RecordType"), field("Address"), field("MXPref"), field("TTL")];
            let [Some(kind), Some(address), Some(preference), Some(ttl)] = fields else {
                return error("2011166", &format!("the host {index} lacks a field"));
            };
            let Some(ttl) = ttl.parse().ok().filter(|ttl| (60..=60_000).contains(ttl)) else {
                return error("2011166", &format!("TTL{index} is invalid"));
            };
            let name = match name.as_str() {
                "@" => zone.name.clone(),
                relative => format!("{relative}.{}", zone.name),
            };
            hosts.push((name, kind, address, preference, ttl));
        }
        // As the interface lists them afterwards.
        hosts.sort();
        store.records.retain(|record| record.zone != zone.id);
        for (name, kind, address, preference, ttl) in hosts {
            let id = store.insert(&zone.id, &name, &plain(address), address, ttl);
            if let Some(record) = store.records.iter_mut().find(|record| record.id == id) {
                record.kind.clone_from(kind);
                record.comment = (preference != "10").then(|| preference.clone());
            }
        }
        // What is not said is switched off.
        self.state().email_type = Some(form.get("EmailType").map_or("NONE", String::as_str).to_owned());
        let result = format!(
            r#"<DomainDNSSetHostsResult Domain="{}" IsSuccess="true"><Warnings /></DomainDNSSetHostsResult>"#,
            zone.name
        );
        reply("OK", "<Errors />", &format!(r#"<CommandResponse Type="x">{result}</CommandResponse>"#))
    }
}

fn error(number: &str, text: &str) -> Response<Bytes> {
    reply("ERROR", &format!(r#"<Errors><Error Number="{number}">{}</Error></Errors>"#, escaped(text)), "")
}

fn reply(status: &str, errors: &str, response: &str) -> Response<Bytes> {
    let xml = format!(
        r#"<?xml version="1.0" encoding="utf-8"?>
<ApiResponse Status="{status}" xmlns="http://api.namecheap.com/xml.response">
  {errors}
  <Warnings />
  <RequestedCommand>x</RequestedCommand>
  {response}
  <Server>PHX01</Server>
  <GMTTimeDifference>--5:00</GMTTimeDifference>
  <ExecutionTime>0.1</ExecutionTime>
</ApiResponse>"#
    );
    Reply::of(200, "text/xml; charset=utf-8", xml)
}

fn escaped(text: &str) -> String {
    let escape = |c: char| match c {
        '&' => "&amp;".to_owned(),
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        '"' => "&quot;".to_owned(),
        other => other.to_string(),
    };
    text.chars().map(escape).collect()
}
