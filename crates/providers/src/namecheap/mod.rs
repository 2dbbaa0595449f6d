//! Namecheap (<https://www.namecheap.com/support/api/methods/>).
//!
//! An API key, the user that it is of, and the address that requests come from, which has to be on the
//! account's list.
//!
//! ```
//! use perennial_providers::namecheap::Namecheap;
//!
//! let provider = Namecheap::builder("user", "k3y", "192.0.2.1".parse()?).build()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The whole zone, each time
//!
//! The one way to write is `setHosts`, which replaces every record of the domain. So:
//!
//! - What `getHosts` does not say clearly stops the write: a status that is not OK, an answer that breaks off, a
//!   host without one of its five fields, one that is switched off (`setHosts` would switch it on), mail records
//!   without the `EmailType` that keeps them, a domain with other name servers.
//! - Everything goes back as it came: name, type, address, `MXPref`, `TTL` of each host, and the `EmailType`.
//! - The writers of this process go one after the other, and what was written is read back.
//!
//! A writer elsewhere that writes between our read and our write is not noticed: no interface of Namecheap could
//! tell. Let one process at a time write to a domain, or delegate `_acme-challenge` to another provider.

use std::{
    collections::HashMap,
    net::Ipv4Addr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use perennial_core::DomainName;

use crate::{
    Capabilities, Error, Rate, WriteClass, Zone,
    engine::{self, Settings, Vendor, WholeZones, ZoneApi, ZoneContent},
    vendor::{Client, Credential},
};

mod form;
use form::Form;
mod host;
mod key;
use key::Key;
mod options;
pub use options::factory;
mod reply;
use reply::Reply;
mod split;
use split::Split;

/// The [`kind`](crate::DnsProvider::kind) of this provider.
pub const KIND: &str = "namecheap";

const BASE_URL: &str = "https://api.namecheap.com";

/// Who may do what is needed, for the error when it may not.
const NEEDS: &str =
    "a place for the address on the list at Profile > Tools > API Access, and the domain in this account";

/// The domains of a Namecheap account that use its name servers.
///
/// Clones share the connections and the limit.
#[derive(Clone)]
pub struct Namecheap(Arc<WholeZones<Api>>);

engine::forward!(Namecheap, "Namecheap");

impl Namecheap {
    /// Begins a provider with a user, an API key of that user, and the address that requests come from.
    pub fn builder(
        user: impl Into<String>,
        api_key: impl Into<Credential>,
        client_ip: Ipv4Addr,
    ) -> NamecheapBuilder {
        let key = Key { user: user.into(), key: api_key.into(), client_ip };
        let client =
            Client::builder(KIND, BASE_URL, key).complaints(reply::complaint).needs(NEEDS).rate(RATE);
        NamecheapBuilder { client, settings: Settings::new() }
    }

    /// A provider as the environment describes it: `PERENNIAL_NAMECHEAP_USER`, `…_API_KEY` or `…_API_KEY_FILE`,
    /// `…_CLIENT_IP`, and the other options.
    ///
    /// # Errors
    /// [`Error::Config`] that names the variable and the remedy.
    pub fn from_env() -> Result<Self, Error> {
        options::from_options(&factory().options_from_env(KIND)?)
    }
}

engine::builder!(NamecheapBuilder, Namecheap, |client, settings| WholeZones::new(Api::new(client), settings));

struct Api {
    client: Client,
    /// Where the domains are split that were asked for.
    splits: Mutex<HashMap<DomainName, Split>>,
}

impl Api {
    fn new(client: Client) -> Self {
        Self { client, splits: Mutex::default() }
    }

    async fn hosts(&self, split: &Split) -> Result<Reply, Error> {
        let form = Form::new("namecheap.domains.dns.getHosts").split(split);
        let answer =
            self.client.post(PATH).body(form::CONTENT_TYPE, form.finish()).repeatable().send().await?;
        reply::read(&answer.text()).map_err(|reason| answer.misbehaved(reason))
    }

    /// The hosts of a domain, and where it is split; `None` if the account has no such domain.
    ///
    /// Names below a registered domain can be domains of their own here ("FreeDNS"), and public suffixes have one
    /// label or two. Which it is tells a try better than a list that was made once.
    async fn find(&self, apex: &DomainName) -> Result<Option<(Split, Reply)>, Error> {
        let known = self.splits().get(apex).cloned();
        let candidates = match known {
            Some(split) => vec![split],
            None => Split::candidates(apex),
        };
        for split in candidates {
            match self.hosts(&split).await {
                Ok(reply) => {
                    self.splits().insert(apex.clone(), split.clone());
                    return Ok(Some((split, reply)));
                }
                Err(error) if error.code().is_some_and(|code| NO_SUCH_DOMAIN.contains(&code)) => {}
                Err(error) => return Err(error),
            }
        }
        self.splits().remove(apex);
        Ok(None)
    }

    fn splits(&self) -> MutexGuard<'_, HashMap<DomainName, Split>> {
        // Whole between any two statements.
        self.splits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Vendor for Api {
    fn kind(&self) -> &str {
        KIND
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(WriteClass::ZoneReplaced)
            .batch_max(100)
            .min_ttl(MIN_TTL)
            .rate(RATE)
            .propagation(Duration::from_secs(10), Duration::from_secs(1800))
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
        if !apex.is_host_name() {
            return Ok(None);
        }
        match self.find(apex).await {
            Ok(found) => Ok(found.map(|_| Zone::new(apex.clone()))),
            // It is the account that may not, or its address: no other name will do better.
            Err(Error::Permission { provider, reason, fault }) => {
                Err(Error::Auth { provider, reason, fault })
            }
            Err(error) => Err(error),
        }
    }
}

#[async_trait]
impl ZoneApi for Api {
    async fn read(&self, zone: &Zone) -> Result<ZoneContent, Error> {
        let Some((_, reply)) = self.find(&zone.apex).await? else {
            return Err(Error::ZoneNotFound {
                provider: KIND.to_owned(),
                name: zone.apex.clone(),
                tried: vec![zone.apex.clone()],
                reason: "the account has no such domain, or may not change it".to_owned(),
            });
        };
        host::content(zone, reply).map_err(|reason| Error::InvalidRequest {
            provider: KIND.to_owned(),
            reason: format!("{zone} is left alone, since every write replaces all of it: {reason}"),
            fault: None,
        })
    }

    async fn replace(&self, zone: &Zone, _: &ZoneContent, new: &ZoneContent) -> Result<(), Error> {
        let split = self.splits().get(&zone.apex).cloned();
        let split = split.or_else(|| Split::candidates(&zone.apex).into_iter().next());
        let invalid =
            |reason: String| Error::InvalidRequest { provider: KIND.to_owned(), reason, fault: None };
        let split = split.ok_or_else(|| invalid(format!("{zone} has one label, and is no domain")))?;
        let form = Form::new("namecheap.domains.dns.setHosts").split(&split);
        let form = host::put(form, zone, new).map_err(invalid)?;
        // Not repeatable: a second time might undo what somebody wrote after the first.
        let answer = self.client.post(PATH).body(form::CONTENT_TYPE, form.finish()).send().await?;
        let reply = reply::read(&answer.text()).map_err(|reason| answer.misbehaved(reason))?;
        match reply.attribute("IsSuccess") {
            Some("true") => Ok(()),
            _ => {
                Err(answer
                    .misbehaved("setHosts says neither success nor an error; look at the domain's records"))
            }
        }
    }
}

/// There is one path, and a command in the form.
const PATH: &str = "/xml.response";

/// Domain not found; not associated with this account; one that may not be edited, which is said of what is no
/// domain, too.
const NO_SUCH_DOMAIN: [&str; 3] = ["2019166", "2016166", "2030166"];

/// What `setHosts` takes: 60 to 60000 seconds.
const MIN_TTL: Duration = Duration::from_secs(60);

/// The documented limit: 20 requests a minute, 700 an hour, 8000 a day, over all keys of an account.
const RATE: Rate = Rate::new(20, Duration::from_secs(60));
