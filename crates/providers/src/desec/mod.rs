//! deSEC: API v1.
//!
//! Record sets are replaced, many in one request, all or none. The vendor itself knows which of its domains is
//! responsible for a name. It has no way to say "only if it is still as I have read it", so the writers of
//! one process go one after the other and each write is read back.
//!
//! ```
//! use perennial_providers::desec::Desec;
//!
//! let provider = Desec::builder("t0k3n").zone("example.dedyn.io".parse()?).build()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The token's policies can keep it to TXT records at `_acme-challenge`.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use perennial_core::DomainName;
use serde::{Deserialize, Serialize};

use crate::{
    Capabilities, Error, Rate, SerialScope, WriteClass, Zone,
    engine::{self, Member, RecordSet, SetApi, Sets, Settings, Survey, Swap, Vendor},
    txt,
    vendor::{Answer, Client, Complaint, Credential, HeaderToken, segment},
};

mod options;
pub use options::factory;

/// The [`kind`](crate::DnsProvider::kind) of this provider.
pub const KIND: &str = "desec";

const BASE_URL: &str = "https://desec.io/api/v1";

/// Who may do what is needed, for the error when it may not.
const NEEDS: &str = "a token whose policies let it write TXT records there";

/// 15 writes a minute of one domain are what is taken, 100 an hour; reads are more generous.
const RATE: Rate = Rate::new(60, Duration::from_secs(60));

/// Sets in one request: it has room for many more, but one that is wrong lets all of them fail.
const SETS_PER_WRITE: usize = 50;

/// The least time to live of every domain that has no other agreed.
const MIN_TTL: Duration = Duration::from_secs(3600);

/// deSEC's API v1.
#[derive(Clone)]
pub struct Desec(Arc<Sets<Api>>);

engine::forward!(Desec, "Desec");

impl Desec {
    /// Begins a provider with a token.
    pub fn builder(token: impl Into<Credential>) -> DesecBuilder {
        let client =
            Client::builder(KIND, BASE_URL, HeaderToken::new("authorization", token.into()).scheme("Token"))
                .complaints(complaint)
                .needs(NEEDS)
                .rate(RATE);
        DesecBuilder { client, settings: Settings::new() }
    }

    /// A provider as the environment describes it: `PERENNIAL_DESEC_TOKEN` or `…_TOKEN_FILE`, and the other
    /// options.
    ///
    /// # Errors
    /// [`Error::Config`] that names the variable and the remedy.
    pub fn from_env() -> Result<Self, Error> {
        options::from_options(&factory().options_from_env(KIND)?)
    }
}

engine::builder!(DesecBuilder, Desec, |client, settings| Sets::new(Api { client }, settings));

struct Api {
    client: Client,
}

#[derive(Deserialize)]
struct Domain {
    name: String,
}

#[derive(Deserialize)]
struct Set {
    records: Vec<String>,
    ttl: u64,
}

#[derive(Serialize)]
struct NewSet<'s> {
    subname: &'s str,
    r#type: &'s str,
    ttl: u64,
    records: Vec<String>,
}

#[derive(Deserialize)]
struct Detail {
    detail: String,
}

/// `{"detail": "…"}`, or what is wrong with each field; of many sets, one such object each.
fn complaint(answer: &Answer) -> Option<Complaint> {
    let complaint = Complaint::of_status(answer)?;
    Some(match answer.json_if_any::<Detail>() {
        Some(Detail { detail }) => complaint.message(detail),
        None => complaint,
    })
}

fn sets_path(zone: &Zone) -> String {
    format!("/domains/{}/rrsets/", segment(zone.apex.as_str()))
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
            .serial(SerialScope::Zone)
            .rate(RATE)
    }

    fn account(&self) -> String {
        self.client.base_url().to_owned()
    }

    fn zones_have_no_id(&self) -> bool {
        true
    }

    async fn zone_named(&self, apex: &DomainName) -> Result<Option<Zone>, Error> {
        let path = format!("/domains/{}/", segment(apex.as_str()));
        Ok(self.client.get(path).send_if_there().await?.map(|_| Zone::new(apex.clone())))
    }

    async fn survey(&self, name: &DomainName) -> Result<Survey, Error> {
        let answer = self.client.get("/domains/").query("owns_qname", name.as_str()).send().await?;
        let holder = answer.json::<Vec<Domain>>()?.into_iter().next();
        let holder = holder.map(|domain| domain.name.parse().map(Zone::new)).transpose();
        Ok(Survey::Holder(holder.map_err(|error| answer.misbehaved(error.to_string()))?))
    }
}

#[async_trait]
impl SetApi for Api {
    fn sets_per_write(&self) -> usize {
        SETS_PER_WRITE
    }

    async fn read(&self, zone: &Zone, name: &DomainName) -> Result<RecordSet, Error> {
        let relative = match zone.relative(name) {
            "" => "@",
            relative => relative,
        };
        let path = format!("{}{}/TXT/", sets_path(zone), segment(relative));
        let Some(answer) = self.client.get(path).send_if_there().await? else {
            return Ok(RecordSet::empty(name.clone()));
        };
        let Set { records, ttl } = answer.json()?;
        let members = records.into_iter().map(|raw| Member::echoed(txt::unquote(&raw), raw));
        Ok(RecordSet::new(name.clone(), members.collect(), Some(Duration::from_secs(ttl))))
    }

    async fn swap(&self, zone: &Zone, swaps: &[Swap]) -> Result<Option<String>, Error> {
        let sets = swaps.iter().map(|Swap { new, .. }| NewSet {
            subname: zone.relative(&new.name),
            r#type: "TXT",
            ttl: new.ttl.unwrap_or(MIN_TTL).as_secs(),
            // None at all deletes the set.
            records: new
                .members
                .iter()
                .map(|member| member.raw.clone().unwrap_or_else(|| txt::quote(&member.value)))
                .collect(),
        });
        let sets: Vec<_> = sets.collect();
        // PATCH takes sets that are there, that are new and that are to go; PUT does the same with more words.
        self.client.patch(sets_path(zone)).json(&sets).repeatable().send().await?;
        Ok(None)
    }
}
