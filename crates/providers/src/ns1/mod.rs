//! NS1 Connect (v1, <https://developer.ibm.com/apis/catalog/ns1--ibm-ns1-connect-api>).
//!
//! An API key that may view and manage the zones.
//!
//! ```
//! use perennial_providers::ns1::Ns1;
//!
//! let provider = Ns1::builder("k3y").build()?;
//! # Ok::<(), perennial_providers::Error>(())
//! ```

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use perennial_core::DomainName;

use crate::{
    Capabilities, Error, Rate, WriteClass, Zone,
    engine::{self, RecordSet, SetApi, Sets, Settings, Swap, Vendor},
    vendor::{Client, Credential, HeaderToken, segment},
};

mod options;
pub use options::factory;
mod wire;
use wire::{Creation, NO_SUCH_RECORD, Replacement};

/// The [`kind`](crate::DnsProvider::kind) of this provider.
pub const KIND: &str = "ns1";

const BASE_URL: &str = "https://api.nsone.net/v1";

/// Who may do what is needed, for the error when it may not.
const NEEDS: &str = "the permissions to view and to manage zones, for this zone";

/// The zones of an NS1 account.
///
/// A record of NS1 is a whole set. A write replaces the answers of the set and nothing else of it: filters,
/// metadata and the time to live stay as they are, and so does what else is said of each answer. It does not
/// ask whether the set changed since it was read; writers of one process are kept apart, and each write is read
/// back. Clones share the connections and the limit.
#[derive(Clone)]
pub struct Ns1(Arc<Sets<Api>>);

engine::forward!(Ns1, "Ns1");

impl Ns1 {
    /// Begins a provider with an API key.
    pub fn builder(api_key: impl Into<Credential>) -> Ns1Builder {
        let token = HeaderToken::new("x-nsone-key", api_key.into());
        let client =
            Client::builder(KIND, BASE_URL, token).complaints(wire::complaint).needs(NEEDS).rate(RATE);
        Ns1Builder { client, settings: Settings::new() }
    }

    /// A provider as the environment describes it: `PERENNIAL_NS1_API_KEY` or `…_API_KEY_FILE`, and the other
    /// options.
    ///
    /// # Errors
    /// [`Error::Config`] that names the variable and the remedy.
    pub fn from_env() -> Result<Self, Error> {
        options::from_options(&factory().options_from_env(KIND)?)
    }
}

engine::builder!(Ns1Builder, Ns1, |client, settings| Sets::new(Api { client }, settings));

engine::setters!(Ns1Builder: zone_id);

struct Api {
    client: Client,
}

impl Api {
    /// Where the set of a name is. A zone with more than one view goes by the id of one of them.
    fn path(zone: &Zone, name: &DomainName) -> String {
        format!("/zones/{}/{name}/TXT", segment(handle(zone)))
    }

    async fn zone(&self, handle: &str) -> Result<Option<wire::Zone>, Error> {
        let call = self.client.get(format!("/zones/{}", segment(handle))).query("records", "false");
        call.send_if_there().await?.map(|answer| answer.json()).transpose()
    }
}

fn handle(zone: &Zone) -> &str {
    zone.id.as_deref().unwrap_or(zone.apex.as_str())
}

#[async_trait]
impl Vendor for Api {
    fn kind(&self) -> &str {
        KIND
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(WriteClass::SetReplaced)
            .batch_max(100)
            .rate(RATE)
            .propagation(Duration::from_secs(2), Duration::from_secs(60))
    }

    fn account(&self) -> String {
        self.client.base_url().to_owned()
    }

    fn zones_have_no_id(&self) -> bool {
        true
    }

    async fn zone_named(&self, apex: &DomainName) -> Result<Option<Zone>, Error> {
        Ok(self.zone(apex.as_str()).await?.map(|_| Zone::new(apex.clone())))
    }

    async fn shown(&self, names: Vec<DomainName>) -> Vec<DomainName> {
        self.client.shown(names).await
    }

    async fn zone_with_id(&self, id: &str) -> Result<Option<Zone>, Error> {
        let found = self.zone(id).await?;
        Ok(found.and_then(|zone| zone.zone.parse().ok()).map(|apex| Zone::new(apex).with_id(id)))
    }
}

#[async_trait]
impl SetApi for Api {
    async fn read(&self, zone: &Zone, name: &DomainName) -> Result<RecordSet, Error> {
        match self.client.get(Self::path(zone, name)).send_if_there().await? {
            Some(answer) => answer.json::<wire::Set>()?.record_set(name),
            None => Ok(RecordSet::empty(name.clone())),
        }
    }

    async fn swap(&self, zone: &Zone, swaps: &[Swap]) -> Result<Option<String>, Error> {
        for Swap { old, new, .. } in swaps {
            let path = Self::path(zone, &new.name);
            match (old.members.is_empty(), new.members.is_empty()) {
                (_, true) => drop(self.client.delete(path).send_if_there().await?),
                // Refused as a conflict when there is a set by now.
                (true, false) => {
                    let call = self.client.put(path).once();
                    call.json(&Creation::new(zone.apex.as_str(), new)).send().await?;
                }
                (false, false) => {
                    let call =
                        self.client.post(path).repeatable().json(&Replacement::new(zone.apex.as_str(), new)?);
                    match call.send().await {
                        Err(error) if error.code() == Some(NO_SUCH_RECORD) => {
                            let what = format!("the TXT set of {}, which was deleted meanwhile", new.name);
                            let fault = error.fault().cloned().map(Box::new);
                            return Err(Error::Conflict { provider: KIND.to_owned(), what, fault });
                        }
                        other => drop(other?),
                    }
                }
            }
        }
        Ok(None)
    }
}

/// The smallest of the buckets that NS1's answers tell of: 100 new records in 200 seconds.
const RATE: Rate = Rate::new(100, Duration::from_secs(200));
