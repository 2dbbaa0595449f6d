//! netcup (CCP API, <https://ccp.netcup.net/run/webservice/servers/endpoint.php>).
//!
//! The number of the customer, an API key and its password.
//!
//! ```
//! use perennial_providers::netcup::Netcup;
//!
//! let provider = Netcup::builder("12345", "k3y", "passw0rd").build()?;
//! # Ok::<(), perennial_providers::Error>(())
//! ```

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use perennial_core::DomainName;
use serde::de::DeserializeOwned;

use crate::{
    Capabilities, Error, Rate, WriteClass, Zone,
    engine::{self, Created, NewRecord, Record, RecordApi, Records, Vendor},
    vendor::{Client, Credential},
};

mod builder;
pub use builder::NetcupBuilder;
mod options;
pub use options::factory;
mod session;
mod wire;
use wire::{Listed, NO_RECORDS, NO_SUCH_ZONE, Request, Row};

/// The [`kind`](crate::DnsProvider::kind) of this provider.
pub const KIND: &str = "netcup";

const BASE_URL: &str = "https://ccp.netcup.net";

/// Who may do what is needed, for the error when it may not.
const NEEDS: &str = "the domain in this customer's account, with netcup's name servers";

/// The domains of a netcup customer.
///
/// All changes of a batch go out as one update that names the rows to be made and those to be deleted, and no
/// other. New records are served after ten minutes or a quarter of an hour, with the time to live of the zone.
/// Clones share the session, the connections and the limit.
#[derive(Clone)]
pub struct Netcup(Arc<Records<Api>>);

engine::forward!(Netcup, "Netcup");

impl Netcup {
    /// Begins a provider with the number of a customer, an API key and the API password.
    pub fn builder(
        customer: impl Into<String>,
        api_key: impl Into<Credential>,
        api_password: impl Into<Credential>,
    ) -> NetcupBuilder {
        NetcupBuilder::new(customer.into(), api_key.into(), api_password.into())
    }

    /// A provider as the environment describes it: `PERENNIAL_NETCUP_CUSTOMER_NUMBER`, `…_API_KEY`, `…_API_PASSWORD`, the
    /// last two with `_FILE`, too, and the other options.
    ///
    /// # Errors
    /// [`Error::Config`] that names the variable and the remedy.
    pub fn from_env() -> Result<Self, Error> {
        options::from_options(&factory().options_from_env(KIND)?)
    }
}

struct Api {
    client: Client,
}

impl Api {
    /// Asks something that may be asked twice.
    async fn ask<T: DeserializeOwned>(&self, request: &Request<'_>) -> Result<T, Error> {
        let answer = self.client.post(PATH).json(request).repeatable().send().await?;
        Ok(answer.json::<wire::Reply<T>>()?.responsedata)
    }

    async fn update(
        &self,
        zone: &Zone,
        deletes: &[Record],
        creates: &[NewRecord],
    ) -> Result<Vec<Record>, Error> {
        let rows = deletes.iter().map(|record| Row::deleted(zone, record));
        let rows = rows.chain(creates.iter().map(|record| Row::new(zone, record))).collect();
        let request = Request::update(zone, rows);
        let answer = self.client.post(PATH).json(&request).send().await?;
        Ok(answer.json::<wire::Reply<Listed>>()?.responsedata.texts(zone))
    }
}

#[async_trait]
impl Vendor for Api {
    fn kind(&self) -> &str {
        KIND
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(WriteClass::RecordByRecord)
            .batch_max(100)
            .rate(RATE)
            .propagation(Duration::from_secs(30), Duration::from_secs(1800))
    }

    fn account(&self) -> String {
        self.client.base_url().to_owned()
    }

    fn zones_have_no_id(&self) -> bool {
        true
    }

    /// Credentials are for an account.
    fn permits_by_name(&self) -> bool {
        false
    }

    async fn zone_named(&self, apex: &DomainName) -> Result<Option<Zone>, Error> {
        // What cannot be registered is no domain of anybody's.
        if apex.parent().is_none() || !apex.is_host_name() {
            return Ok(None);
        }
        match self.ask::<wire::Anything>(&Request::zone(apex)).await {
            Ok(_) => Ok(Some(Zone::new(apex.clone()))),
            Err(error) if error.code() == Some(NO_SUCH_ZONE) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[async_trait]
impl RecordApi for Api {
    fn writes_at_once(&self) -> bool {
        true
    }

    fn has_ttls(&self) -> bool {
        false
    }

    /// There is no filter, and there are no pages.
    async fn records(&self, zone: &Zone, _: &[DomainName]) -> Result<Vec<Record>, Error> {
        match self.ask::<Listed>(&Request::records(zone)).await {
            Ok(listed) => Ok(listed.texts(zone)),
            Err(error) if error.code() == Some(NO_RECORDS) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    async fn create(&self, zone: &Zone, record: &NewRecord) -> Result<Created, Error> {
        let made = self.write(zone, &[], std::slice::from_ref(record)).await?;
        Ok(made.into_iter().next().unwrap_or(Created::New { id: None }))
    }

    async fn delete(&self, zone: &Zone, record: &Record) -> Result<(), Error> {
        self.write(zone, std::slice::from_ref(record), &[]).await.map(drop)
    }

    async fn write(
        &self,
        zone: &Zone,
        deletes: &[Record],
        creates: &[NewRecord],
    ) -> Result<Vec<Created>, Error> {
        let there = match self.update(zone, deletes, creates).await {
            // A row that somebody else deleted meanwhile may be what it is about; nothing was done then.
            Err(error @ Error::InvalidRequest { .. }) if !deletes.is_empty() => {
                let there = self.records(zone, &[]).await?;
                let is_there = |record: &&Record| there.iter().any(|it| it.id == record.id);
                let left: Vec<_> = deletes.iter().filter(is_there).cloned().collect();
                match (left.len(), creates) {
                    (left, _) if left == deletes.len() => return Err(error),
                    (0, []) => there,
                    _ => self.update(zone, &left, creates).await?,
                }
            }
            other => other?,
        };
        let id_of = |new: &NewRecord| {
            there.iter().find(|it| it.name == new.name && it.value == new.value).map(|it| it.id.clone())
        };
        Ok(creates.iter().map(|new| Created::New { id: id_of(new) }).collect())
    }
}

/// There is one path, and an action in the body.
const PATH: &str = "/run/webservice/servers/endpoint.php?JSON";

/// The documented limit of requests, with room for whoever else uses the account.
const RATE: Rate = Rate::new(120, Duration::from_secs(60));
