//! PowerDNS before a database of its own, written to by its HTTP API.

use std::{
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
};

use http::{Method, Request, StatusCode, request};
use serde_json::json;
use tempfile::TempDir;

use super::{Components, Error, Tool, ask, exchange::exchange, launch, pdns::plugins, port::Port};
use crate::ChildGuard;

/// A running PowerDNS with its HTTP API, and the zones it was started with; stopped when dropped. Its records are
/// in LMDB, which keeps no comments.
#[derive(Debug)]
pub struct PdnsApi {
    guard: ChildGuard,
    socket_addr: SocketAddr,
    api_addr: SocketAddr,
    _directory: TempDir,
    _ports: [Port; 2],
}

/// What the API wants in `X-API-Key`.
const KEY: &str = "testkit-api-key";

impl PdnsApi {
    /// Starts the server and makes these zones, with nothing in them but what a zone must have.
    ///
    /// # Errors
    /// [`Error::Missing`] without PowerDNS and its LMDB backend; otherwise what its log says.
    pub async fn start(zones: &[&str]) -> Result<Self, Error> {
        let components = Components::locate();
        let mut log = String::new();
        for _ in 0..launch::ATTEMPTS {
            let mut server = Self::spawn(&components)?;
            let api = server.api_addr;
            let probe = || async move {
                exchange(api, request(Method::GET, "/api/v1/servers/localhost"), String::new())
                    .await
                    .is_ok_and(|(status, _)| status == StatusCode::OK)
            };
            if launch::becomes_ready(&mut server.guard, probe).await? {
                for zone in zones {
                    server.make_zone(zone).await?;
                }
                return Ok(server);
            }
            log = server.guard.log_tail();
        }
        Err(Error::PortsTaken { program: "pdns_server", attempts: launch::ATTEMPTS, log })
    }

    /// `http://127.0.0.1:` and the port of the API.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}", self.api_addr)
    }

    /// The key of the API.
    #[must_use]
    pub const fn key(&self) -> &str {
        KEY
    }

    /// Where it answers queries, over UDP and TCP.
    #[must_use]
    pub const fn socket_addr(&self) -> SocketAddr {
        self.socket_addr
    }

    /// The end of what it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.guard.log_tail()
    }

    /// The texts of the TXT records at a name, asked over DNS.
    ///
    /// # Errors
    /// [`Error::Answer`] when it does not answer or refuses to.
    pub async fn txt_values(&self, name: &str) -> Result<Vec<String>, Error> {
        ask::texts(self.socket_addr, name).await
    }

    /// Puts this into the place of the TXT record set at a name, as somebody else would: each value with whether it
    /// is disabled.
    ///
    /// # Errors
    /// [`Error::Answer`] when the server refuses.
    pub async fn put(&self, zone: &str, name: &str, ttl: u32, values: &[(&str, bool)]) -> Result<(), Error> {
        let records: Vec<_> = values
            .iter()
            .map(|(value, disabled)| json!({ "content": format!("\"{value}\""), "disabled": disabled }))
            .collect();
        let set = json!({
            "name": format!("{name}."), "type": "TXT", "ttl": ttl, "changetype": "REPLACE", "records": records,
        });
        let path = format!("/api/v1/servers/localhost/zones/{zone}.");
        self.expect(Method::PATCH, &path, json!({ "rrsets": [set] }).to_string()).await.map(drop)
    }

    /// The answer of the API to a question for a path, whatever it is.
    ///
    /// # Errors
    /// [`Error::Answer`] when it does not answer with success.
    pub async fn get(&self, path: &str) -> Result<String, Error> {
        self.expect(Method::GET, path, String::new()).await
    }

    async fn make_zone(&self, zone: &str) -> Result<(), Error> {
        let name = format!("{zone}.");
        let body = json!({ "name": name, "kind": "Native", "nameservers": [format!("ns1.{name}")] });
        self.expect(Method::POST, "/api/v1/servers/localhost/zones", body.to_string()).await.map(drop)
    }

    async fn expect(&self, method: Method, path: &str, body: String) -> Result<String, Error> {
        let failed = |reason| Error::Answer { server: self.api_addr, question: path.to_owned(), reason };
        match exchange(self.api_addr, request(method, path), body).await {
            Ok((status, body)) if status.is_success() => Ok(body),
            Ok((status, body)) => Err(failed(format!("{status}: {body}"))),
            Err(error) => Err(failed(error.to_string())),
        }
    }

    fn spawn(components: &Components) -> Result<Self, Error> {
        let server = components.find_whole(Tool::Pdns)?;
        let localhost = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let ports = [Port::free(localhost)?, Port::free(localhost)?];
        let directory = launch::directory()?;
        let [dns, api] = &ports;
        let text = configuration(directory.path(), plugins(server).as_deref(), dns.number(), api.number());
        launch::write(&directory.path().join("pdns.conf"), &text)?;
        let mut command = server.command();
        command.arg(format!("--config-dir={}", directory.path().display()));
        let guard = ChildGuard::spawn(command, directory.path().join("log"))?;
        let [socket_addr, api_addr] = [dns, api].map(|port| SocketAddr::new(localhost, port.number()));
        Ok(Self { guard, socket_addr, api_addr, _directory: directory, _ports: ports })
    }
}

fn request(method: Method, path: &str) -> request::Builder {
    Request::builder().method(method).uri(path).header("x-api-key", KEY)
}

fn configuration(home: &Path, plugins: Option<&Path>, dns: u16, api: u16) -> String {
    let home = home.display();
    // security-poll-suffix: without it the server asks its makers over the DNS whether it is out of date.
    let mut text = format!(
        "launch=lmdb
lmdb-filename={home}/pdns.lmdb
lmdb-shards=1
local-address=127.0.0.1
local-port={dns}
api=yes
api-key={KEY}
webserver=yes
webserver-address=127.0.0.1
webserver-port={api}
webserver-allow-from=127.0.0.1
socket-dir={home}
daemon=no
guardian=no
setuid=
setgid=
disable-syslog=yes
write-pid=no
cache-ttl=0
query-cache-ttl=0
negquery-cache-ttl=0
zone-cache-refresh-interval=0
receiver-threads=1
distributor-threads=1
security-poll-suffix=
"
    );
    if let Some(plugins) = plugins {
        let _ = writeln!(text, "module-dir={}", plugins.display());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::real::require_whole;

    #[tokio::test]
    async fn what_is_put_by_its_api_is_served() {
        let Some(_) = require_whole(&[Tool::Pdns]) else { return };
        let pdns = PdnsApi::start(&["example.test"]).await.unwrap();
        pdns.put("example.test", "a.example.test", 60, &[("on", false), ("off", true)]).await.unwrap();
        assert_eq!(pdns.txt_values("a.example.test").await.unwrap(), ["on"]);
        let zone = pdns.get("/api/v1/servers/localhost/zones/example.test.").await.unwrap();
        assert!(zone.contains("off"), "{zone}");
        assert!(pdns.put("other.test", "a.other.test", 60, &[]).await.is_err());
    }
}
