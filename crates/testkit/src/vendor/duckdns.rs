//! DuckDNS: one value for a domain and everything below it.

use bytes::Bytes;
use http::{Method, Request, Response};

use super::{Refusal, Reply, Service, TxtStore, query};

/// DuckDNS, at `/update`.
///
/// A domain has one TXT value, and a new one overwrites it. The store has it at `_acme-challenge` below the domain,
/// though DuckDNS shows it at every name there. What is refused is answered with 200 and `KO`, whatever the reason.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DuckDns {
    token: String,
}

impl DuckDns {
    /// An account with this token.
    #[must_use]
    pub fn new(token: &str) -> Self {
        Self { token: token.to_owned() }
    }
}

impl Service for DuckDns {
    fn answer(&self, request: &Request<Bytes>, store: &mut TxtStore) -> Response<Bytes> {
        if request.method() != Method::GET || request.uri().path() != "/update" {
            return Reply::of(404, "text/html", "<html>not found</html>");
        }
        let parameter = |name: &str| query(request, name).unwrap_or_default();
        if parameter("token") != self.token {
            return ko();
        }
        let name = format!("{}.duckdns.org", parameter("domains"));
        let Some(zone) = store.zone_named(&name).filter(|zone| !store.is_forbidden(&zone.name)).cloned()
        else {
            return ko();
        };
        let (value, clear) = (parameter("txt"), parameter("clear") == "true");
        // Without a value it would be the address that is changed.
        if value.is_empty() && !clear {
            return ko();
        }
        let here: Vec<_> = store.records.iter().filter(|it| it.zone == zone.id).cloned().collect();
        let unchanged = !clear && here.iter().any(|record| record.value == value);
        if !unchanged {
            for record in here {
                store.remove(&zone.id, &record.id);
            }
            if !clear {
                store.insert(&zone.id, &format!("_acme-challenge.{name}"), &value, &value, 60);
            }
        }
        let text = match parameter("verbose").as_str() {
            "true" => format!("OK\n{value}\n{}", if unchanged { "NOCHANGE" } else { "UPDATED" }),
            _ => "OK".to_owned(),
        };
        Reply::text(200, &text)
    }

    fn refusal(&self, refusal: Refusal) -> Response<Bytes> {
        match refusal {
            Refusal::Busy => Reply::text(429, "slow down"),
            Refusal::Trouble => Reply::text(503, "unavailable"),
            Refusal::Forbidden => Reply::text(403, "forbidden"),
            Refusal::Unauthorized => ko(),
        }
    }

    fn writes(&self, _: &Request<Bytes>) -> bool {
        true
    }
}

/// Whatever the reason.
fn ko() -> Response<Bytes> {
    Reply::text(200, "KO")
}
