//! moto, which answers as AWS does: its Route 53.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use http::{Method, Request, StatusCode, request};
use quick_xml::{de::from_str, escape::escape};
use serde::{Deserialize, de::DeserializeOwned};
use tempfile::TempDir;

use super::{Components, Error, Tool, exchange::exchange, launch, port::Port};
use crate::ChildGuard;

/// A running moto, with no zone in it; stopped when dropped.
///
/// It speaks the wire format of Route 53 and is laxer than Route 53: signatures are not verified, a second set is
/// created beside one that is there, a set may be deleted that is no longer as the request says, and every change is
/// in sync at once. Tests that share one take a zone each.
#[derive(Debug)]
pub struct Moto {
    guard: ChildGuard,
    api_addr: SocketAddr,
    _directory: TempDir,
    _port: Port,
}

/// A TXT record set as moto lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MotoRecordSet {
    /// The owner, without a dot at its end.
    pub name: String,
    /// The time to live in seconds.
    pub ttl: u32,
    /// The values, in quotes as they were given.
    pub values: Vec<String>,
}

/// Which of AWS's interfaces is meant, moto reads from the scope of the signature.
const AUTHORIZATION: &str = "AWS4-HMAC-SHA256 Credential=AKIDFORTESTS/20260101/us-east-1/route53/aws4_request, \
                             SignedHeaders=host, Signature=00";

impl Moto {
    /// Starts the server.
    ///
    /// # Errors
    /// [`Error::Missing`] without moto; otherwise what its log says.
    pub async fn start() -> Result<Self, Error> {
        let components = Components::locate();
        let mut log = String::new();
        for _ in 0..launch::ATTEMPTS {
            let mut server = Self::spawn(&components)?;
            let api = server.api_addr;
            let probe = || async move {
                let answer =
                    exchange(api, request(Method::GET, "/2013-04-01/hostedzone"), String::new()).await;
                answer.is_ok_and(|(status, body)| status == StatusCode::OK && body.contains("HostedZones"))
            };
            if launch::becomes_ready(&mut server.guard, probe).await? {
                return Ok(server);
            }
            log = server.guard.log_tail();
        }
        Err(Error::PortsTaken { program: "moto_server", attempts: launch::ATTEMPTS, log })
    }

    /// `http://127.0.0.1:` and the port.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}", self.api_addr)
    }

    /// The end of what it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.guard.log_tail()
    }

    /// Makes a public zone. Its identifier is the answer.
    ///
    /// # Errors
    /// [`Error::Answer`] when the server refuses.
    pub async fn make_zone(&self, zone: &str) -> Result<String, Error> {
        let body = format!(
            "<CreateHostedZoneRequest xmlns=\"{NAMESPACE}\"><Name>{}.</Name>\
             <CallerReference>{0}</CallerReference></CreateHostedZoneRequest>",
            escape(zone)
        );
        let made: CreateHostedZoneResponse = self.read(Method::POST, "/2013-04-01/hostedzone", body).await?;
        Ok(made.hosted_zone.id.rsplit('/').next().unwrap_or_default().to_owned())
    }

    /// Creates a TXT record set, as somebody else would.
    ///
    /// # Errors
    /// [`Error::Answer`] when the server refuses.
    pub async fn create(&self, zone_id: &str, name: &str, ttl: u32, values: &[&str]) -> Result<(), Error> {
        let values = values.iter().map(|value| {
            format!("<ResourceRecord><Value>&quot;{}&quot;</Value></ResourceRecord>", escape(*value))
        });
        let body = format!(
            "<ChangeResourceRecordSetsRequest xmlns=\"{NAMESPACE}\"><ChangeBatch><Changes><Change>\
             <Action>CREATE</Action><ResourceRecordSet><Name>{}.</Name><Type>TXT</Type><TTL>{ttl}</TTL>\
             <ResourceRecords>{}</ResourceRecords></ResourceRecordSet>\
             </Change></Changes></ChangeBatch></ChangeResourceRecordSetsRequest>",
            escape(name),
            values.collect::<String>()
        );
        let path = format!("/2013-04-01/hostedzone/{zone_id}/rrset/");
        self.expect(Method::POST, &path, body).await.map(drop)
    }

    /// The TXT record sets of a zone, page by page to the last one, in moto's order.
    ///
    /// # Errors
    /// [`Error::Answer`] when the server refuses.
    pub async fn record_sets(&self, zone_id: &str) -> Result<Vec<MotoRecordSet>, Error> {
        let mut sets = Vec::new();
        let mut start = String::new();
        loop {
            let path = format!("/2013-04-01/hostedzone/{zone_id}/rrset?maxitems={PAGE}{start}");
            let page: ListResourceRecordSetsResponse = self.read(Method::GET, &path, String::new()).await?;
            let txt = page.resource_record_sets.list.into_iter().filter(|set| set.kind == "TXT");
            sets.extend(txt.map(MotoRecordSet::from));
            match (page.next_record_name, page.next_record_type) {
                (Some(name), Some(kind)) => start = format!("&name={name}&type={kind}"),
                _ => return Ok(sets),
            }
        }
    }

    async fn read<T: DeserializeOwned>(&self, method: Method, path: &str, body: String) -> Result<T, Error> {
        let text = self.expect(method, path, body).await?;
        from_str(&text).map_err(|error| self.failed(path, format!("{error}: {text}")))
    }

    async fn expect(&self, method: Method, path: &str, body: String) -> Result<String, Error> {
        match exchange(self.api_addr, request(method, path), body).await {
            Ok((status, body)) if status.is_success() => Ok(body),
            Ok((status, body)) => Err(self.failed(path, format!("{status}: {body}"))),
            Err(error) => Err(self.failed(path, error.to_string())),
        }
    }

    fn failed(&self, path: &str, reason: String) -> Error {
        Error::Answer { server: self.api_addr, question: path.to_owned(), reason }
    }

    fn spawn(components: &Components) -> Result<Self, Error> {
        let server = components.find(Tool::Moto)?;
        let localhost = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let port = Port::free(localhost)?;
        let directory = launch::directory()?;
        let mut command = server.command();
        command.args(["-H", "127.0.0.1", "-p", &port.number().to_string()]).current_dir(directory.path());
        // Its log is a file, which Python would fill late.
        command.env("PYTHONUNBUFFERED", "1");
        let guard = ChildGuard::spawn(command, directory.path().join("log"))?;
        let api_addr = SocketAddr::new(localhost, port.number());
        Ok(Self { guard, api_addr, _directory: directory, _port: port })
    }
}

const NAMESPACE: &str = "https://route53.amazonaws.com/doc/2013-04-01/";

/// As many as AWS puts on a page at most.
const PAGE: u32 = 300;

fn request(method: Method, path: &str) -> request::Builder {
    let request = Request::builder().method(method).uri(path);
    request.header("authorization", AUTHORIZATION).header("content-type", "application/xml")
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CreateHostedZoneResponse {
    hosted_zone: HostedZone,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HostedZone {
    id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListResourceRecordSetsResponse {
    resource_record_sets: ResourceRecordSets,
    next_record_name: Option<String>,
    next_record_type: Option<String>,
}

#[derive(Deserialize)]
struct ResourceRecordSets {
    #[serde(default, rename = "ResourceRecordSet")]
    list: Vec<ResourceRecordSet>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ResourceRecordSet {
    name: String,
    #[serde(rename = "Type")]
    kind: String,
    #[serde(rename = "TTL", default)]
    ttl: u32,
    resource_records: ResourceRecords,
}

#[derive(Deserialize)]
struct ResourceRecords {
    #[serde(default, rename = "ResourceRecord")]
    list: Vec<ResourceRecord>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ResourceRecord {
    value: String,
}

impl From<ResourceRecordSet> for MotoRecordSet {
    fn from(set: ResourceRecordSet) -> Self {
        Self {
            name: set.name.trim_end_matches('.').to_owned(),
            ttl: set.ttl,
            values: set.resource_records.list.into_iter().map(|record| record.value).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::real::require;

    #[tokio::test]
    async fn what_is_created_is_listed() {
        let Some(_) = require(&[Tool::Moto]) else { return };
        let moto = Moto::start().await.unwrap();
        let zone = moto.make_zone("example.test").await.unwrap();
        assert_eq!(moto.record_sets(&zone).await.unwrap(), []);
        moto.create(&zone, "a.example.test", 60, &["one", "two"]).await.unwrap();
        let sets = moto.record_sets(&zone).await.unwrap();
        let values = ["\"one\"".to_owned(), "\"two\"".to_owned()].to_vec();
        assert_eq!(sets, [MotoRecordSet { name: "a.example.test".to_owned(), ttl: 60, values }]);
        assert!(moto.create("Z0", "a.example.test", 60, &[]).await.is_err());
    }
}
