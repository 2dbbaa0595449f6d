//! INWX (DomRobot, JSON-RPC, <https://www.inwx.com/en/help/apidoc>).
//!
//! The user and password of an account, best of one of its sub-accounts with the role for DNS alone, and the
//! shared secret of its second factor, if it has one.
//!
//! ```
//! use perennial_providers::inwx::Inwx;
//!
//! let provider = Inwx::builder("user", "passw0rd").shared_secret("JBSWY3DPEHPK3PXP").build()?;
//! # Ok::<(), perennial_providers::Error>(())
//! ```

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use perennial_core::DomainName;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Capabilities, Error, Rate, WriteClass, Zone,
    engine::{self, Created, NewRecord, Record, RecordApi, Records, Vendor},
    vendor::{Answer, Call, Client, Credential},
};

mod builder;
pub use builder::InwxBuilder;
mod options;
pub use options::factory;
mod session;
mod totp;
mod wire;
use wire::{Creation, Deletion, EXISTS, Listed, NO_SUCH_OBJECT, Question, Request};

/// The [`kind`](crate::DnsProvider::kind) of this provider.
pub const KIND: &str = "inwx";

const BASE_URL: &str = "https://api.domrobot.com";

/// Who may do what is needed, for the error when it may not.
const NEEDS: &str = "the role for name servers (DNS) on this account";

/// The zones of an INWX account.
///
/// Records are made and deleted by their identifiers, and one that equals another is refused by INWX itself.
/// Clones share the session, the connections and the limit.
#[derive(Clone)]
pub struct Inwx(Arc<Records<Api>>);

engine::forward!(Inwx, "Inwx");

impl Inwx {
    /// Begins a provider with a user and its password.
    pub fn builder(user: impl Into<String>, password: impl Into<Credential>) -> InwxBuilder {
        InwxBuilder::new(user.into(), password.into())
    }

    /// A provider as the environment describes it: `PERENNIAL_INWX_USER`, `…_PASSWORD` or `…_PASSWORD_FILE`,
    /// `…_SHARED_SECRET` or `…_SHARED_SECRET_FILE`, and the other options.
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
    fn call<'c, P: Serialize>(&'c self, method: &'static str, params: &P) -> Call<'c> {
        self.client.post(PATH).json(&Request { method, params })
    }

    /// The result of an answer; absent where there is nothing to say.
    fn result<T: DeserializeOwned + Default>(answer: &Answer) -> Result<T, Error> {
        Ok(answer.json::<wire::Reply<T>>()?.res_data.unwrap_or_default())
    }

    async fn info(&self, question: &Question<'_>) -> Result<Listed, Error> {
        let answer = self.call("nameserver.info", question).repeatable().send().await?;
        let listed: Listed = Self::result(&answer)?;
        if listed.is_cut() {
            return Err(answer
                .misbehaved("it lists fewer records than it counts; nothing is decided on a part of them"));
        }
        Ok(listed)
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
            .min_ttl(MIN_TTL)
            .rate(RATE)
            .propagation(Duration::from_secs(5), Duration::from_secs(360))
    }

    fn account(&self) -> String {
        self.client.base_url().to_owned()
    }

    fn zones_have_no_id(&self) -> bool {
        true
    }

    async fn zone_named(&self, apex: &DomainName) -> Result<Option<Zone>, Error> {
        if apex.parent().is_none() {
            return Ok(None);
        }
        match self.info(&Question::soa(apex)).await {
            Ok(_) => Ok(Some(Zone::new(apex.clone()))),
            Err(error) if error.code() == Some(NO_SUCH_OBJECT) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[async_trait]
impl RecordApi for Api {
    fn refuses_duplicates(&self) -> bool {
        true
    }

    async fn records(&self, zone: &Zone, names: &[DomainName]) -> Result<Vec<Record>, Error> {
        // More than one name is quicker had with the whole list, which has no pages.
        let name = match names {
            [name] => Some(name),
            _ => None,
        };
        Ok(self.info(&Question::texts(zone, name)).await?.texts())
    }

    async fn create(&self, zone: &Zone, record: &NewRecord) -> Result<Created, Error> {
        match self.call("nameserver.createRecord", &Creation::new(zone, record)).send().await {
            Ok(answer) => {
                let made: wire::Created = Self::result(&answer)?;
                Ok(Created::New { id: made.id.map(|id| id.to_string()) })
            }
            Err(error) if error.code() == Some(EXISTS) => Ok(Created::Exists),
            Err(error) => Err(error),
        }
    }

    async fn delete(&self, _: &Zone, record: &Record) -> Result<(), Error> {
        match self.call("nameserver.deleteRecord", &Deletion::of(record)).repeatable().send().await {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some(NO_SUCH_OBJECT) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// There is one path, and a method in the body.
const PATH: &str = "/jsonrpc/";

/// The least that has been seen to be taken.
const MIN_TTL: Duration = Duration::from_secs(300);

/// INWX tells no figure; more than this is more than a fleet of certificates needs.
const RATE: Rate = Rate::new(5, Duration::from_secs(1));
