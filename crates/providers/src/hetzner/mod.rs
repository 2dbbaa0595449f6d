//! Hetzner Cloud DNS: API v1.
//!
//! The vendor itself adds values to a record set and removes them, so nothing is locked and no sibling is ever
//! sent. It refuses to add what is there and to remove what is not, so there is a look before; and what it has
//! accepted is an action, which can be asked whether it is done.
//!
//! ```
//! use perennial_providers::hetzner::Hetzner;
//!
//! let provider = Hetzner::builder("t0k3n").zone("example.com".parse()?).build()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The token is one of the project that the zones are in, with the permission Read & Write. (The older console
//! at `dns.hetzner.com` had another interface, which is gone.)

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use perennial_core::DomainName;
use serde::{Deserialize, Serialize};

use crate::{
    Action, Capabilities, Error, Outcome, Pending, Rate, SerialScope, WriteClass, Zone,
    engine::{self, Edit, Settings, ValueApi, Values, Vendor, Written},
    txt,
    vendor::{Answer, Bearer, Blame, Client, Complaint, Credential, segment},
};

mod options;
pub use options::factory;

/// The [`kind`](crate::DnsProvider::kind) of this provider.
pub const KIND: &str = "hetzner";

const BASE_URL: &str = "https://api.hetzner.cloud/v1";

/// Who may do what is needed, for the error when it may not.
const NEEDS: &str = "the permission Read & Write in the project of the zone";

/// 3600 requests an hour, and no more at once than half of what they come to in a minute.
const RATE: Rate = Rate::new(60, Duration::from_secs(60));

/// The most values that one request adds or removes.
const MOST_VALUES: usize = 50;

/// Hetzner Cloud DNS.
#[derive(Clone)]
pub struct Hetzner(Arc<Values<Api>>);

engine::forward!(Hetzner, "Hetzner");

impl Hetzner {
    /// Begins a provider with an API token.
    pub fn builder(token: impl Into<Credential>) -> HetznerBuilder {
        let client = Client::builder(KIND, BASE_URL, Bearer::new(token.into()))
            .complaints(complaint)
            .needs(NEEDS)
            .rate(RATE);
        HetznerBuilder { client, settings: Settings::new() }
    }

    /// A provider as the environment describes it: `PERENNIAL_HETZNER_TOKEN` or `…_TOKEN_FILE`, and the other
    /// options.
    ///
    /// # Errors
    /// [`Error::Config`] that names the variable and the remedy.
    pub fn from_env() -> Result<Self, Error> {
        options::from_options(&factory().options_from_env(KIND)?)
    }
}

engine::builder!(HetznerBuilder, Hetzner, |client, settings| Values::new(Api { client }, settings));

struct Api {
    client: Client,
}

#[derive(Deserialize)]
struct ZoneAnswer {
    zone: Named,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct SetAnswer {
    rrset: Set,
}

#[derive(Deserialize)]
struct Set {
    records: Vec<Text>,
}

#[derive(Deserialize, Serialize)]
struct Text {
    value: String,
}

#[derive(Serialize)]
struct Texts {
    records: Vec<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<u64>,
}

#[derive(Deserialize)]
struct ActionAnswer {
    action: Progress,
}

#[derive(Deserialize)]
struct Progress {
    id: u64,
    status: String,
    error: Option<Fault>,
}

#[derive(Deserialize)]
struct Complained {
    error: Fault,
}

#[derive(Deserialize)]
struct Fault {
    code: String,
    message: String,
}

fn complaint(answer: &Answer) -> Option<Complaint> {
    let complaint = Complaint::of_status(answer)?;
    let Some(Complained { error }) = answer.json_if_any::<Complained>() else { return Some(complaint) };
    // "Locked" is what a zone is while another action runs, whatever the status says.
    let complaint = match error.code.as_str() {
        "conflict" | "locked" | "resource_unavailable" | "uniqueness_error" => {
            complaint.blame(Blame::Conflict)
        }
        _ => complaint,
    };
    Some(complaint.code(error.code).message(error.message))
}

impl Api {
    fn set_path(zone: &Zone, name: &DomainName) -> String {
        let relative = match zone.relative(name) {
            "" => "@",
            relative => relative,
        };
        format!("/zones/{}/rrsets/{}/TXT", segment(zone.apex.as_str()), segment(relative))
    }

    /// `None` where there is no set.
    async fn present(&self, zone: &Zone, name: &DomainName) -> Result<Option<Vec<String>>, Error> {
        let answer = self.client.get(Self::set_path(zone, name)).send_if_there().await?;
        let set = answer.map(|answer| answer.json::<SetAnswer>()).transpose()?;
        Ok(set.map(|set| set.rrset.records.iter().map(|text| txt::unquote(&text.value)).collect()))
    }

    async fn change(&self, path: &str, action: Action, texts: &Texts) -> Result<u64, Error> {
        let verb = match action {
            Action::Add => "add_records",
            Action::Remove => "remove_records",
        };
        let call = self.client.post(format!("{path}/actions/{verb}")).json(texts);
        Ok(call.send().await?.json::<ActionAnswer>()?.action.id)
    }
}

#[async_trait]
impl Vendor for Api {
    fn kind(&self) -> &str {
        KIND
    }

    fn capabilities(&self) -> Capabilities {
        // A minute is the least that is documented. A zone is locked while an action of it runs, so writers of one
        // process wait for each other instead of being refused.
        Capabilities::new(WriteClass::AtomicValue)
            .batch_max(100)
            .min_ttl(Duration::from_secs(60))
            .serial(SerialScope::Zone)
            .reports_in_sync()
            .rate(RATE)
    }

    fn account(&self) -> String {
        self.client.base_url().to_owned()
    }

    fn zones_have_no_id(&self) -> bool {
        true
    }

    async fn zone_named(&self, apex: &DomainName) -> Result<Option<Zone>, Error> {
        let answer = self.client.get(format!("/zones/{}", segment(apex.as_str()))).send_if_there().await?;
        let Some(answer) = answer else { return Ok(None) };
        // The path takes a name or a number, and a name may be a number.
        let found = answer.json::<ZoneAnswer>()?.zone.name == apex.as_str();
        Ok(found.then(|| Zone::new(apex.clone())))
    }

    async fn in_sync(&self, pending: &Pending) -> Result<bool, Error> {
        for id in pending.handle.split(',') {
            let answer = self.client.get(format!("/zones/actions/{}", segment(id))).send().await?;
            let Progress { status, error, .. } = answer.json::<ActionAnswer>()?.action;
            match status.as_str() {
                "success" => {}
                "error" => {
                    let said = error.map_or_else(|| "no reason".to_owned(), |error| error.message);
                    return Err(answer.misbehaved(format!("it accepted a change that failed later: {said}")));
                }
                _ => return Ok(false),
            }
        }
        Ok(true)
    }
}

#[async_trait]
impl ValueApi for Api {
    async fn values(&self, zone: &Zone, name: &DomainName) -> Result<Vec<String>, Error> {
        Ok(self.present(zone, name).await?.unwrap_or_default())
    }

    async fn write(&self, zone: &Zone, edits: &[Edit]) -> Result<Written, Error> {
        let mut outcomes = vec![Outcome::AlreadyDone; edits.len()];
        let mut actions = Vec::new();
        let mut names: Vec<&DomainName> = edits.iter().map(|edit| &edit.name).collect();
        names.dedup();
        for name in names {
            let present = self.present(zone, name).await?;
            let has = |value: &String| present.as_ref().is_some_and(|values| values.contains(value));
            // First what is added: a set that loses its last value loses its time to live, too.
            for action in [Action::Add, Action::Remove] {
                let wanted: Vec<(usize, &Edit)> = edits
                    .iter()
                    .enumerate()
                    .filter(|(_, edit)| edit.name == *name && edit.action == action)
                    .filter(|(_, edit)| has(&edit.value) == (action == Action::Remove))
                    .collect();
                for (index, part) in wanted.chunks(MOST_VALUES).enumerate() {
                    let records =
                        part.iter().map(|(_, edit)| Text { value: txt::quote(&edit.value) }).collect();
                    // A set that is there keeps its time to live, and another one would be refused.
                    let is_new = action == Action::Add && present.is_none() && index == 0;
                    let ttl = part.first().filter(|_| is_new).map(|(_, edit)| edit.ttl.as_secs());
                    let path = Self::set_path(zone, name);
                    actions.push(self.change(&path, action, &Texts { records, ttl }).await?.to_string());
                    for (place, _) in part {
                        if let Some(outcome) = outcomes.get_mut(*place) {
                            *outcome = Outcome::Made;
                        }
                    }
                }
            }
        }
        let pending = (!actions.is_empty()).then(|| actions.join(","));
        Ok(Written { outcomes, pending })
    }
}
