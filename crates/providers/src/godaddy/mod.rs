//! GoDaddy: API v1.
//!
//! A record set is read and replaced as a whole. The vendor has no way to say "only if it is still as I have
//! read it", so the writers of one process go one after the other and each write is read back.
//!
//! ```
//! use perennial_providers::godaddy::GoDaddy;
//!
//! let provider = GoDaddy::builder("k3y:s3cret").zone("example.com".parse()?).build()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The key is one for production. Since 2024 the vendor refuses most of its interface to accounts with few
//! domains; so domains are never looked at, only their record sets, which more accounts may see.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use perennial_core::DomainName;
use serde::{Deserialize, Serialize};

use crate::{
    Capabilities, Error, Rate, SerialScope, WriteClass, Zone,
    engine::{self, Member, RecordSet, SetApi, Sets, Settings, Swap, Vendor},
    txt,
    vendor::{Answer, Client, Complaint, Credential, HeaderToken, segment},
};

mod options;
pub use options::factory;

/// The [`kind`](crate::DnsProvider::kind) of this provider.
pub const KIND: &str = "godaddy";

const BASE_URL: &str = "https://api.godaddy.com/v1";

/// Who may do what is needed, for the error when it may not.
const NEEDS: &str =
    "a production key of an account that may use the API: the vendor wants ten domains or a paid plan";

/// 60 requests a minute.
const RATE: Rate = Rate::new(60, Duration::from_secs(60));

/// The least time to live that is taken.
const MIN_TTL: Duration = Duration::from_secs(600);

/// GoDaddy's API v1.
#[derive(Clone)]
pub struct GoDaddy(Arc<Sets<Api>>);

engine::forward!(GoDaddy, "GoDaddy");

impl GoDaddy {
    /// Begins a provider with a key and its secret, with a colon between them.
    pub fn builder(key_and_secret: impl Into<Credential>) -> GoDaddyBuilder {
        let client = Client::builder(
            KIND,
            BASE_URL,
            HeaderToken::new("authorization", key_and_secret.into()).scheme("sso-key"),
        )
        .complaints(complaint)
        .needs(NEEDS)
        .rate(RATE);
        GoDaddyBuilder { client, settings: Settings::new() }
    }

    /// A provider as the environment describes it: `PERENNIAL_GODADDY_TOKEN` or `…_TOKEN_FILE`, and the other
    /// options.
    ///
    /// # Errors
    /// [`Error::Config`] that names the variable and the remedy.
    pub fn from_env() -> Result<Self, Error> {
        options::from_options(&factory().options_from_env(KIND)?)
    }
}

engine::builder!(GoDaddyBuilder, GoDaddy, |client, settings| Sets::new(Api { client }, settings));

struct Api {
    client: Client,
}

#[derive(Deserialize, Serialize)]
struct Text {
    data: String,
    ttl: u64,
}

#[derive(Deserialize)]
struct Fault {
    code: String,
    message: Option<String>,
}

/// With 429, beside the rest of the fault: in how many seconds to ask again. There is no `Retry-After`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Limit {
    retry_after_sec: u64,
}

fn complaint(answer: &Answer) -> Option<Complaint> {
    let complaint = Complaint::of_status(answer)?;
    let complaint = match answer.json_if_any() {
        Some(Limit { retry_after_sec }) => complaint.retry_after(Duration::from_secs(retry_after_sec)),
        None => complaint,
    };
    let Some(Fault { code, message }) = answer.json_if_any::<Fault>() else { return Some(complaint) };
    let complaint = complaint.code(code);
    Some(match message {
        Some(message) => complaint.message(message),
        None => complaint,
    })
}

fn set_path(zone: &DomainName, relative: &str) -> String {
    let relative = if relative.is_empty() { "@" } else { relative };
    format!("/domains/{}/records/TXT/{}", segment(zone.as_str()), segment(relative))
}

#[async_trait]
impl Vendor for Api {
    fn kind(&self) -> &str {
        KIND
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(WriteClass::SetReplaced)
            .batch_max(100)
            .min_ttl(MIN_TTL)
            .serial(SerialScope::Set)
            .rate(RATE)
    }

    fn account(&self) -> String {
        self.client.base_url().to_owned()
    }

    fn zones_have_no_id(&self) -> bool {
        true
    }

    /// What is asked for is a record set, which exists or not: only a domain that is none is an error.
    async fn zone_named(&self, apex: &DomainName) -> Result<Option<Zone>, Error> {
        match self.client.get(set_path(apex, "")).send_if_there().await {
            Ok(found) => Ok(found.map(|_| Zone::new(apex.clone()))),
            // So it calls what is no domain at all, such as a top-level name.
            Err(error) if error.status() == Some(422) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[async_trait]
impl SetApi for Api {
    async fn read(&self, zone: &Zone, name: &DomainName) -> Result<RecordSet, Error> {
        let answer = self.client.get(set_path(&zone.apex, zone.relative(name))).send().await?;
        let texts: Vec<Text> = answer.json()?;
        let ttl = texts.first().map(|text| Duration::from_secs(text.ttl));
        let members = texts.into_iter().map(|text| Member::echoed(txt::unquote(&text.data), text.data));
        Ok(RecordSet::new(name.clone(), members.collect(), ttl))
    }

    async fn swap(&self, zone: &Zone, swaps: &[Swap]) -> Result<Option<String>, Error> {
        for Swap { new, .. } in swaps {
            let path = set_path(&zone.apex, zone.relative(&new.name));
            // An empty set cannot be put.
            if new.is_empty() {
                self.client.delete(path).send_if_there().await?;
                continue;
            }
            let ttl = new.ttl.unwrap_or(MIN_TTL).max(MIN_TTL).as_secs();
            let texts = new
                .members
                .iter()
                .map(|member| Text { data: member.raw.clone().unwrap_or_else(|| member.value.clone()), ttl });
            self.client.put(path).json(&texts.collect::<Vec<_>>()).send().await?;
        }
        Ok(None)
    }
}
