//! Google Cloud DNS.
//!
//! A record set is replaced by deleting exactly what was read and adding what is wanted, in one change, which is done
//! whole or not at all: where another writer was faster the deletion does not match, and nothing happens.
//!
//! Source: the discovery document of the Cloud DNS API v1.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use http::Request;
use perennial_core::{DomainName, Timestamp};
use tokio::sync::OnceCell;

use crate::{
    Capabilities, ConfigError, Error, Pending, Rate, WriteClass, Zone,
    credentials::google::Access,
    engine::{self, Member, RecordSet, SetApi, Sets, Settings, Swap, Vendor},
    registry::ZONE_ID,
    txt,
    vendor::{Answer, Authorize, Blame, Client, ClientBuilder, Complaint, Fingerprint, Secrets, segment},
};

mod options;
pub use options::factory;

mod wire;
use wire::{Change, Changed, Fault, ManagedZone, ManagedZones, RecordSets, ResourceRecordSet};

/// What receipts and messages call this provider.
pub const KIND: &str = "google";

/// Managed zones of Google Cloud DNS.
///
/// ```no_run
/// use perennial_providers::{credentials::google::Access, google::{GoogleCloudDns, KIND}};
///
/// let access = Access::builder(KIND).environment()?; // a service account's key, or the machine's account
/// let provider = GoogleCloudDns::builder(access).project("my-project").build()?;
/// # let _ = provider; Ok::<(), perennial_providers::Error>(())
/// ```
#[derive(Clone)]
pub struct GoogleCloudDns(Arc<Sets<Api>>);

engine::forward!(GoogleCloudDns, "GoogleCloudDns");

impl GoogleCloudDns {
    /// Begins a provider with whoever has access.
    pub fn builder(access: impl Into<Arc<Access>>) -> GoogleCloudDnsBuilder {
        let access = access.into();
        let client = Client::builder(KIND, BASE_URL, ByAccess(access.clone()))
            .complaints(read_complaint)
            .needs(NEEDS)
            .rate(RATE);
        GoogleCloudDnsBuilder { client, settings: Settings::new(), access, project: None, private: false }
    }

    /// A provider as the environment describes it: `PERENNIAL_GOOGLE_SERVICE_ACCOUNT_FILE` and the other options; where
    /// they name no account, that of Google's own variables and of the machine.
    ///
    /// # Errors
    /// [`Error::Config`] that names the variable and the remedy.
    pub fn from_env() -> Result<Self, Error> {
        options::from_options(&factory().options_from_env(KIND)?)
    }
}

const BASE_URL: &str = "https://dns.googleapis.com";

/// Who may do what is needed, for the error when it may not.
const NEEDS: &str = "the role DNS Administrator, or the permissions dns.changes.create, dns.changes.get, \
                     dns.managedZones.list, dns.managedZones.get, dns.resourceRecordSets.list, .create and .delete";

/// A provider in the making: see [`GoogleCloudDns::builder`].
#[must_use = "a builder does nothing until `build`"]
pub struct GoogleCloudDnsBuilder {
    client: ClientBuilder,
    settings: Settings,
    access: Arc<Access>,
    project: Option<String>,
    private: bool,
}

engine::setters!(GoogleCloudDnsBuilder: base_url, clock, http, options, ttl, zone);

impl GoogleCloudDnsBuilder {
    /// The project that the zones are in. Default: the one of the account.
    pub fn project(mut self, project: impl Into<String>) -> Self {
        self.project = Some(project.into());
        self
    }

    /// Looks for private zones, and for them alone. Default: for public ones.
    pub const fn private(mut self, private: bool) -> Self {
        self.private = private;
        self
    }

    /// The zone of all names, by what the interface calls it; with [`zone`](Self::zone) nothing is looked up.
    pub fn zone_id(mut self, name: impl Into<String>) -> Self {
        self.settings = self.settings.zone_id(name);
        self
    }

    /// The provider.
    ///
    /// # Errors
    /// [`Error::Config`] when the base URL is none that requests with credentials may go to.
    pub fn build(self) -> Result<GoogleCloudDns, Error> {
        let Self { client, settings, access, project, private } = self;
        let project = OnceCell::new_with(project);
        let api = Api { client: client.build()?, access, project, private };
        Ok(GoogleCloudDns(Arc::new(Sets::new(api, settings))))
    }
}

/// Access that two share: the client, and whoever asks for the project.
struct ByAccess(Arc<Access>);

#[async_trait]
impl Authorize for ByAccess {
    async fn authorize(&self, request: &mut Request<Bytes>, now: Timestamp) -> Result<Secrets, Error> {
        self.0.authorize(request, now).await
    }

    fn refused(&self) -> bool {
        self.0.refused()
    }

    fn fingerprint(&self) -> Option<Fingerprint> {
        self.0.fingerprint()
    }
}

/// Cloud DNS, "Quotas": 600 requests a minute for a project.
const RATE: Rate = Rate::new(600, Duration::from_secs(60));

struct Api {
    client: Client,
    access: Arc<Access>,
    project: OnceCell<String>,
    private: bool,
}

impl Api {
    /// Of a path of the project.
    async fn path(&self, rest: &str) -> Result<String, Error> {
        let project = self.project.get_or_try_init(|| self.ask_project()).await?;
        Ok(format!("/dns/v1/projects/{}/managedZones{rest}", segment(project)))
    }

    async fn ask_project(&self) -> Result<String, Error> {
        let project = self.access.project().await?;
        Ok(project.ok_or_else(|| options::PROJECT.missing(KIND))?)
    }

    /// Of a path of a zone.
    async fn zone_path(&self, zone: &Zone, rest: &str) -> Result<String, Error> {
        match &zone.id {
            Some(id) => self.path(&format!("/{}{rest}", segment(id))).await,
            None => Err(Error::InvalidRequest {
                provider: KIND.to_owned(),
                reason: format!("the zone {zone} has no id; ask for the zone of a name first"),
                fault: None,
            }),
        }
    }
}

#[async_trait]
impl Vendor for Api {
    fn kind(&self) -> &str {
        KIND
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(WriteClass::SetWithPrecondition)
            .batch_max(SETS)
            .propagation(Duration::from_secs(5), Duration::from_secs(180))
            .reports_in_sync()
            .rate(RATE)
    }

    fn account(&self) -> String {
        format!("{} {}", self.client.base_url(), self.project.get().map_or("", String::as_str))
    }

    /// Credentials are for a project or a zone.
    fn permits_by_name(&self) -> bool {
        false
    }

    async fn zone_named(&self, apex: &DomainName) -> Result<Option<Zone>, Error> {
        let answer =
            self.client.get(self.path("").await?).query("dnsName", format!("{apex}.")).send().await?;
        let zones = answer.json::<ManagedZones>()?.managed_zones;
        let is_meant =
            |zone: &&ManagedZone| zone.apex() == apex.as_str() && zone.is_private() == self.private;
        let found: Vec<_> = zones.iter().filter(is_meant).collect();
        match found.as_slice() {
            [] => Ok(None),
            [zone] => Ok(Some(Zone::new(apex.clone()).with_id(&zone.name))),
            twins => {
                let names: Vec<_> = twins.iter().map(|zone| zone.name.as_str()).collect();
                Err(ConfigError::BadOption {
                    provider: KIND.to_owned(),
                    option: ZONE_ID.name.to_owned(),
                    reason: format!("{apex} is the apex of several zones; say which: {}", names.join(", ")),
                }
                .into())
            }
        }
    }

    async fn shown(&self, names: Vec<DomainName>) -> Vec<DomainName> {
        self.client.shown(names).await
    }

    async fn zone_with_id(&self, id: &str) -> Result<Option<Zone>, Error> {
        let path = self.path(&format!("/{}", segment(id))).await?;
        let Some(answer) = self.client.get(path).send_if_there().await? else { return Ok(None) };
        let zone = answer.json::<ManagedZone>()?;
        let apex =
            zone.apex().parse().map_err(|error| answer.misbehaved(format!("a zone's apex: {error}")))?;
        Ok(Some(Zone::new(apex).with_id(zone.name)))
    }

    async fn in_sync(&self, pending: &Pending) -> Result<bool, Error> {
        let path = self.zone_path(&pending.zone, &format!("/changes/{}", segment(&pending.handle))).await?;
        Ok(self.client.get(path).send().await?.json::<Changed>()?.status == "done")
    }
}

#[async_trait]
impl SetApi for Api {
    fn sets_per_write(&self) -> usize {
        SETS
    }

    async fn read(&self, zone: &Zone, name: &DomainName) -> Result<RecordSet, Error> {
        let path = self.zone_path(zone, "/rrsets").await?;
        let answer =
            self.client.get(path).query("name", format!("{name}.")).query("type", "TXT").send().await;
        let answer = answer.map_err(in_zone(zone))?;
        let owner = format!("{name}.");
        let sets = answer.json::<RecordSets>()?.rrsets;
        let Some(set) = sets.into_iter().find(|set| set.kind == "TXT" && set.name == owner) else {
            return Ok(RecordSet::empty(name.clone()));
        };
        if set.routing_policy.is_some() {
            return Err(Error::Unsupported {
                provider: KIND.to_owned(),
                reason: format!(
                    "the TXT records of {name} have a routing policy; remove it, or delegate the name"
                ),
                fault: None,
            });
        }
        let members = set.rrdatas.iter().map(|raw| Member::echoed(txt::unquote(raw), raw)).collect();
        Ok(RecordSet::new(name.clone(), members, Some(Duration::from_secs(set.ttl))))
    }

    async fn swap(&self, zone: &Zone, swaps: &[Swap]) -> Result<Option<String>, Error> {
        let mut change = Change::default();
        for Swap { old, new, .. } in swaps {
            change.deletions.extend(written(old));
            change.additions.extend(written(new));
        }
        if change == Change::default() {
            return Ok(None);
        }
        let path = self.zone_path(zone, "/changes").await?;
        // Sent twice it fails the second time on its own precondition, which is a race like any other.
        let answer = self.client.post(path).json(&change).repeatable().send().await.map_err(in_zone(zone))?;
        let changed: Changed = answer.json()?;
        Ok((changed.status != "done").then_some(changed.id))
    }
}

/// The error of a request in a zone that is gone is that there is no such zone.
fn in_zone(zone: &Zone) -> impl Fn(Error) -> Error + '_ {
    move |error| match error.code() {
        Some("notFound") => Error::ZoneNotFound {
            provider: KIND.to_owned(),
            name: zone.apex.clone(),
            tried: vec![zone.apex.clone()],
            reason: format!("the zone {zone} is gone, or the project; it is looked for again next time"),
        },
        _ => error,
    }
}

/// Cloud DNS, "Quotas": 1,000 additions and as many deletions a change, and 100,000 characters; the longest challenges
/// of a hundred names stay below both.
const SETS: usize = 100;

/// The set as the interface has it; none when it is empty.
fn written(set: &RecordSet) -> Option<ResourceRecordSet> {
    if set.members.is_empty() {
        return None;
    }
    let rrdatas = set.members.iter().map(|it| it.raw.clone().unwrap_or_else(|| txt::quote(&it.value)));
    Some(ResourceRecordSet {
        name: format!("{}.", set.name),
        kind: "TXT".to_owned(),
        ttl: set.ttl.map_or(0, |ttl| ttl.as_secs()),
        rrdatas: rrdatas.collect(),
        routing_policy: None,
    })
}

fn read_complaint(answer: &Answer) -> Option<Complaint> {
    let complaint = Complaint::of_status(answer)?;
    let Some(Fault { error }) = answer.json_if_any() else { return Some(complaint) };
    let blame = match error.reason() {
        // What was to be deleted is not there, or not any more.
        "notFound" if error.message.contains("entity.change.deletions") => Some(Blame::Conflict),
        "alreadyExists" | "conditionNotMet" => Some(Blame::Conflict),
        "dailyLimitExceeded" | "quotaExceeded" => Some(Blame::Quota),
        "rateLimitExceeded" | "userRateLimitExceeded" => Some(Blame::RateLimit),
        _ => None,
    };
    let complaint = match error.reason() {
        "" => complaint,
        reason => complaint.code(reason),
    };
    let complaint = complaint.message(error.message);
    Some(match blame {
        Some(blame) => complaint.blame(blame),
        None => complaint,
    })
}
