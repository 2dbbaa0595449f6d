//! Gandi LiveDNS: API v5.
//!
//! A record set is read and replaced as a whole. The vendor has no way to say "only if it is still as I have
//! read it", so the writers of one process go one after the other and each write is read back.
//!
//! ```
//! use perennial_providers::gandi::Gandi;
//!
//! let provider = Gandi::builder("p4t").zone("example.com".parse()?).build()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The token is a personal access token of the organisation with the permission to manage the technical
//! configuration of its domains. API keys of old have no header here: the vendor gives out no new ones.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use perennial_core::DomainName;
use serde::{Deserialize, Serialize};

use crate::{
    Capabilities, Error, Rate, SerialScope, WriteClass, Zone,
    engine::{self, Member, RecordSet, SetApi, Sets, Settings, Swap, Vendor},
    txt,
    vendor::{Answer, Bearer, Client, Complaint, Credential, segment},
};

mod options;
pub use options::factory;

/// The [`kind`](crate::DnsProvider::kind) of this provider.
pub const KIND: &str = "gandi";

const BASE_URL: &str = "https://api.gandi.net/v5/livedns";

/// Who may do what is needed, for the error when it may not.
const NEEDS: &str = "the permission to see and to manage the technical configuration of the domain";

/// 1000 requests a minute.
const RATE: Rate = Rate::new(1000, Duration::from_secs(60));

/// The least time to live that is taken.
const MIN_TTL: Duration = Duration::from_secs(300);

/// Gandi LiveDNS.
#[derive(Clone)]
pub struct Gandi(Arc<Sets<Api>>);

engine::forward!(Gandi, "Gandi");

impl Gandi {
    /// Begins a provider with a personal access token.
    pub fn builder(token: impl Into<Credential>) -> GandiBuilder {
        let client = Client::builder(KIND, BASE_URL, Bearer::new(token.into()))
            .complaints(complaint)
            .needs(NEEDS)
            .rate(RATE);
        GandiBuilder { client, settings: Settings::new() }
    }

    /// A provider as the environment describes it: `PERENNIAL_GANDI_TOKEN` or `…_TOKEN_FILE`, and the other
    /// options.
    ///
    /// # Errors
    /// [`Error::Config`] that names the variable and the remedy.
    pub fn from_env() -> Result<Self, Error> {
        options::from_options(&factory().options_from_env(KIND)?)
    }
}

engine::builder!(GandiBuilder, Gandi, |client, settings| Sets::new(Api { client }, settings));

struct Api {
    client: Client,
}

#[derive(Deserialize, Serialize)]
struct Set {
    rrset_values: Vec<String>,
    rrset_ttl: u64,
}

#[derive(Deserialize)]
struct Fault {
    message: Option<String>,
    #[serde(default)]
    errors: Vec<FieldFault>,
}

#[derive(Deserialize)]
struct FieldFault {
    name: Option<String>,
    description: Option<String>,
}

fn complaint(answer: &Answer) -> Option<Complaint> {
    let complaint = Complaint::of_status(answer)?;
    let Some(Fault { message, errors }) = answer.json_if_any::<Fault>() else { return Some(complaint) };
    let of_fields = errors.into_iter().map(|fault| {
        let (name, said) = (fault.name.unwrap_or_default(), fault.description.unwrap_or_default());
        format!("{name}: {said}")
    });
    let said: Vec<_> = message.into_iter().chain(of_fields).collect();
    Some(if said.is_empty() { complaint } else { complaint.message(said.join("; ")) })
}

fn set_path(zone: &Zone, name: &DomainName) -> String {
    let relative = match zone.relative(name) {
        "" => "@",
        relative => relative,
    };
    format!("/domains/{}/records/{}/TXT", segment(zone.apex.as_str()), segment(relative))
}

#[async_trait]
impl Vendor for Api {
    fn kind(&self) -> &str {
        KIND
    }

    fn capabilities(&self) -> Capabilities {
        // Their secondaries may take minutes, lego waits for twenty.
        Capabilities::new(WriteClass::SetReplaced)
            .batch_max(100)
            .min_ttl(MIN_TTL)
            .serial(SerialScope::Set)
            .propagation(Duration::from_secs(10), Duration::from_secs(20 * 60))
            .rate(RATE)
    }

    fn account(&self) -> String {
        self.client.base_url().to_owned()
    }

    fn zones_have_no_id(&self) -> bool {
        true
    }

    async fn zone_named(&self, apex: &DomainName) -> Result<Option<Zone>, Error> {
        let path = format!("/domains/{}", segment(apex.as_str()));
        Ok(self.client.get(path).send_if_there().await?.map(|_| Zone::new(apex.clone())))
    }
}

#[async_trait]
impl SetApi for Api {
    async fn read(&self, zone: &Zone, name: &DomainName) -> Result<RecordSet, Error> {
        let Some(answer) = self.client.get(set_path(zone, name)).send_if_there().await? else {
            return Ok(RecordSet::empty(name.clone()));
        };
        let Set { rrset_values, rrset_ttl } = answer.json()?;
        let members = rrset_values.into_iter().map(|raw| Member::echoed(txt::unquote(&raw), raw));
        Ok(RecordSet::new(name.clone(), members.collect(), Some(Duration::from_secs(rrset_ttl))))
    }

    async fn swap(&self, zone: &Zone, swaps: &[Swap]) -> Result<Option<String>, Error> {
        for Swap { new, .. } in swaps {
            let path = set_path(zone, &new.name);
            if new.is_empty() {
                self.client.delete(path).send_if_there().await?;
                continue;
            }
            let values = new.members.iter();
            let body = Set {
                rrset_values: values
                    .map(|member| member.raw.clone().unwrap_or_else(|| txt::quote(&member.value)))
                    .collect(),
                rrset_ttl: new.ttl.unwrap_or(MIN_TTL).as_secs(),
            };
            self.client.put(path).json(&body).send().await?;
        }
        Ok(None)
    }
}
