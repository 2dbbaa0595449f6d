//! Akamai Edge DNS, Config DNS API v2.
//!
//! A record set is replaced as a whole, and nothing says whether it is still what was read: the writers of this process
//! go one after the other, and each write is read back.
//!
//! ```
//! use perennial_providers::{akamai::Akamai, signature::eg1::Credentials};
//!
//! let credentials = Credentials::new("akab-client", "s3cret", "akab-access");
//! let provider = Akamai::builder("akab-host.luna.akamaiapis.net", credentials).build()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The API client needs the service "DNS—Zone Record Management" with READ-WRITE.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use perennial_core::DomainName;
use serde::{Deserialize, Serialize};

use crate::{
    Capabilities, Error, WriteClass, Zone,
    engine::{self, Member, RecordSet, SetApi, Sets, Settings, Swap, Vendor},
    signature::eg1,
    txt,
    vendor::{Answer, Client, Complaint, segment},
};

mod edgerc;

mod options;
pub use options::factory;

mod signer;
use signer::Signer;

mod source;
use source::Source;

/// The [`kind`](crate::DnsProvider::kind) of this provider.
pub const KIND: &str = "akamai";

/// Who may do what is needed, for the error when it may not.
const NEEDS: &str = "the service DNS—Zone Record Management with READ-WRITE, and the zone's group";

/// Akamai Edge DNS.
#[derive(Clone)]
pub struct Akamai(Arc<Sets<Api>>);

engine::forward!(Akamai, "Akamai");

impl Akamai {
    /// Begins a provider with an API client: its host, and the three texts that go with it.
    pub fn builder(host: &str, credentials: eg1::Credentials) -> AkamaiBuilder {
        Self::builder_for_account(host, credentials, None)
    }

    /// The same, for another account that the API client manages (`accountSwitchKey`).
    pub fn builder_for_account(
        host: &str,
        credentials: eg1::Credentials,
        account_switch_key: Option<String>,
    ) -> AkamaiBuilder {
        Self::begin(host, Source::Fixed(credentials), account_switch_key)
    }

    fn begin(host: &str, source: Source, account_switch_key: Option<String>) -> AkamaiBuilder {
        let signer = Signer::new(host, source, account_switch_key);
        let host = host.trim().trim_start_matches("https://").trim_end_matches('/');
        let client =
            Client::builder(KIND, format!("https://{host}"), signer).complaints(complaint).needs(NEEDS);
        AkamaiBuilder { client, settings: Settings::new() }
    }

    /// A provider as the environment describes it: `PERENNIAL_AKAMAI_HOST`, `…_CLIENT_TOKEN`, `…_CLIENT_SECRET`,
    /// `…_ACCESS_TOKEN` or `…_EDGERC`, and the other options.
    ///
    /// # Errors
    /// [`Error::Config`] that names the variable and the remedy.
    pub fn from_env() -> Result<Self, Error> {
        options::from_options(&factory().options_from_env(KIND)?)
    }
}

engine::builder!(AkamaiBuilder, Akamai, |client, settings| Sets::new(Api { client }, settings));

struct Api {
    client: Client,
}

/// A record set to be written.
#[derive(Serialize)]
struct Set<'s> {
    name: &'s str,
    #[serde(rename = "type")]
    kind: &'s str,
    ttl: u64,
    rdata: Vec<String>,
}

/// A record set as it is read.
#[derive(Deserialize)]
struct ReadSet {
    #[serde(rename = "type")]
    kind: String,
    ttl: u64,
    rdata: Vec<String>,
}

/// RFC 9457, with a few words of Akamai's.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Problem {
    #[serde(default)]
    title: String,
    #[serde(default)]
    detail: String,
    request_id: Option<String>,
    instance: Option<String>,
}

fn complaint(answer: &Answer) -> Option<Complaint> {
    let complaint = Complaint::of_status(answer)?;
    let Some(Problem { title, detail, request_id, instance }) = answer.json_if_any() else {
        return Some(complaint);
    };
    let message = if detail.is_empty() { title.clone() } else { format!("{title}: {detail}") };
    let complaint = complaint.code(title).message(message);
    Some(match request_id.or(instance) {
        Some(id) => complaint.request_id(id),
        None => complaint,
    })
}

impl Api {
    fn path(zone: &Zone, name: &DomainName) -> String {
        let (zone, name) = (segment(zone.apex.as_str()), segment(name.as_str()));
        format!("/config-dns/v2/zones/{zone}/names/{name}/types/TXT")
    }
}

#[async_trait]
impl Vendor for Api {
    fn kind(&self) -> &str {
        KIND
    }

    fn capabilities(&self) -> Capabilities {
        // A zone is published within seconds; Akamai promises a minute.
        Capabilities::new(WriteClass::SetReplaced)
            .batch_max(100)
            .min_ttl(Duration::from_secs(30))
            .propagation(Duration::from_secs(5), Duration::from_secs(180))
    }

    fn account(&self) -> String {
        self.client.base_url().to_owned()
    }

    fn zones_have_no_id(&self) -> bool {
        true
    }

    async fn zone_named(&self, apex: &DomainName) -> Result<Option<Zone>, Error> {
        let path = format!("/config-dns/v2/zones/{}", segment(apex.as_str()));
        Ok(self.client.get(path).send_if_there().await?.map(|_| Zone::new(apex.clone())))
    }
}

#[async_trait]
impl SetApi for Api {
    async fn read(&self, zone: &Zone, name: &DomainName) -> Result<RecordSet, Error> {
        let Some(answer) = self.client.get(Self::path(zone, name)).send_if_there().await? else {
            return Ok(RecordSet::empty(name.clone()));
        };
        let set: ReadSet = answer.json()?;
        if set.kind != "TXT" {
            return Err(answer.misbehaved(format!("it answers with records of the type {}", set.kind)));
        }
        let members = set.rdata.iter().map(|raw| Member::echoed(txt::unquote(raw), raw)).collect();
        Ok(RecordSet::new(name.clone(), members, Some(Duration::from_secs(set.ttl))))
    }

    async fn swap(&self, zone: &Zone, swaps: &[Swap]) -> Result<Option<String>, Error> {
        for Swap { old, new } in swaps {
            let path = Self::path(zone, &new.name);
            if new.is_empty() {
                self.client.delete(path).send_if_there().await?;
                continue;
            }
            let rdata = new.members.iter().map(|it| it.raw.clone().unwrap_or_else(|| txt::quote(&it.value)));
            let ttl = new.ttl.map_or(0, |ttl| ttl.as_secs());
            let body = Set { name: new.name.as_str(), kind: "TXT", ttl, rdata: rdata.collect() };
            // POST refuses where there is a set by now, which is a race like any other.
            let call = if old.is_empty() { self.client.post(path) } else { self.client.put(path) };
            call.json(&body).send().await?;
        }
        Ok(None)
    }
}
