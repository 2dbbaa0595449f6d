//! Azure DNS, public and private.
//!
//! A record set has an ETag. It is written where that is still what was read (`If-Match`), and made where there is
//! none (`If-None-Match: *`); where another writer was faster nothing happens.
//!
//! Source: Azure's REST API, Microsoft.Network/dnsZones of 2018-05-01 and privateDnsZones of 2018-09-01.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use perennial_core::DomainName;
use serde_json::{Map, Value};

use crate::{
    Capabilities, Error, WriteClass, Zone,
    credentials::azure::Access,
    engine::{self, Member, RecordSet, SetApi, Sets, Settings, Survey, Swap, Vendor},
    vendor::{Answer, Blame, Call, Client, ClientBuilder, Complaint, segment},
};

mod options;
pub use options::factory;

mod wire;
use wire::{Fault, RecordSetResource, TxtRecord, ZoneResource, Zones};

/// What receipts and messages call this provider.
pub const KIND: &str = "azure";

/// Zones of Azure DNS.
///
/// ```no_run
/// use perennial_providers::{azure::{AzureDns, KIND}, credentials::azure::Access};
///
/// let access = Access::builder(KIND).environment()?; // a secret, a workload identity, the machine's identity
/// let provider = AzureDns::builder(access, "00000000-0000-0000-0000-000000000000").build()?;
/// # let _ = provider; Ok::<(), perennial_providers::Error>(())
/// ```
#[derive(Clone)]
pub struct AzureDns(Arc<Sets<Api>>);

engine::forward!(AzureDns, "AzureDns");

impl AzureDns {
    /// Begins a provider with whoever has access, and the subscription that the zones are in.
    pub fn builder(access: Access, subscription: impl Into<String>) -> AzureDnsBuilder {
        let url = access.management().to_owned();
        let client = Client::builder(KIND, url, access).complaints(read_complaint).needs(NEEDS);
        AzureDnsBuilder {
            client,
            settings: Settings::new(),
            subscription: subscription.into(),
            resource_group: None,
            visibility: Visibility::Public,
        }
    }

    /// A provider as the environment describes it: `PERENNIAL_AZURE_SUBSCRIPTION_ID` and the other options; where they
    /// name no application, that of Azure's own variables and of the machine.
    ///
    /// # Errors
    /// [`Error::Config`] that names the variable and the remedy.
    pub fn from_env() -> Result<Self, Error> {
        options::from_options(&factory().options_from_env(KIND)?)
    }
}

/// Who may do what is needed, for the error when it may not.
const NEEDS: &str = "the role DNS Zone Contributor, or Private DNS Zone Contributor, on the zone";

/// A provider in the making: see [`AzureDns::builder`].
#[must_use = "a builder does nothing until `build`"]
pub struct AzureDnsBuilder {
    client: ClientBuilder,
    settings: Settings,
    subscription: String,
    resource_group: Option<String>,
    visibility: Visibility,
}

engine::setters!(AzureDnsBuilder: base_url, clock, http, options, ttl, zone);

/// Who sees a zone: there are two interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Visibility {
    Private,
    Public,
}

impl Visibility {
    const fn resource(self) -> &'static str {
        match self {
            Self::Private => "privateDnsZones",
            Self::Public => "dnsZones",
        }
    }

    const fn version(self) -> &'static str {
        match self {
            Self::Private => "2018-09-01",
            Self::Public => "2018-05-01",
        }
    }
}

impl AzureDnsBuilder {
    /// The resource group that the zones are in, where the identity may not list those of the whole subscription.
    /// Default: any.
    pub fn resource_group(mut self, group: impl Into<String>) -> Self {
        self.resource_group = Some(group.into());
        self
    }

    /// Looks for private zones, and for them alone. Default: for public ones.
    pub const fn private(mut self, private: bool) -> Self {
        self.visibility = if private { Visibility::Private } else { Visibility::Public };
        self
    }

    /// The provider.
    ///
    /// # Errors
    /// [`Error::Config`] when the base URL is none that requests with credentials may go to.
    pub fn build(self) -> Result<AzureDns, Error> {
        let Self { client, settings, subscription, resource_group, visibility } = self;
        let api = Api { client: client.build()?, subscription, resource_group, visibility };
        Ok(AzureDns(Arc::new(Sets::new(api, settings))))
    }
}

struct Api {
    client: Client,
    subscription: String,
    resource_group: Option<String>,
    visibility: Visibility,
}

impl Api {
    /// The path of a zone in the resource group that was given.
    fn zone_in(&self, group: &str, apex: &DomainName) -> String {
        format!(
            "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.Network/{}/{apex}",
            segment(&self.subscription),
            segment(group),
            self.visibility.resource()
        )
    }

    fn versioned<'c>(&self, call: Call<'c>) -> Call<'c> {
        call.query("api-version", self.visibility.version())
    }

    /// The path of the TXT records of a name.
    fn path(zone: &Zone, name: &DomainName) -> Result<String, Error> {
        let relative = match zone.relative(name) {
            "" => "@",
            relative => relative,
        };
        match &zone.id {
            Some(id) => Ok(format!("{id}/TXT/{relative}")),
            None => Err(Error::InvalidRequest {
                provider: KIND.to_owned(),
                reason: format!("the zone {zone} has no id; ask for the zone of a name first"),
                fault: None,
            }),
        }
    }

    fn zone(&self, answer: &Answer, found: &ZoneResource) -> Result<Zone, Error> {
        let apex: DomainName =
            found.name.parse().map_err(|error| answer.misbehaved(format!("a zone's name: {error}")))?;
        if !is_path(&found.id) {
            return Err(answer.misbehaved("the id of a zone is no path"));
        }
        Ok(Zone::new(apex).with_id(&found.id))
    }
}

/// The id of a resource becomes the path of a request: it must be no more than one.
fn is_path(id: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/-._()~%".contains(c);
    id.starts_with("/subscriptions/") && id.chars().all(is_plain) && !id.contains("..") && !id.contains("//")
}

#[async_trait]
impl Vendor for Api {
    fn kind(&self) -> &str {
        KIND
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(WriteClass::SetWithPrecondition)
            .batch_max(100)
            .min_ttl(Duration::from_secs(1))
            .propagation(Duration::from_secs(5), Duration::from_secs(180))
    }

    fn account(&self) -> String {
        format!("{} {}", self.client.base_url(), self.subscription)
    }

    /// Without a resource group all zones of the subscription are listed.
    async fn shown(&self, names: Vec<DomainName>) -> Vec<DomainName> {
        self.client.shown(names).await
    }

    async fn survey(&self, _: &DomainName) -> Result<Survey, Error> {
        if self.resource_group.is_some() {
            return Ok(Survey::Walk);
        }
        let path = format!(
            "/subscriptions/{}/providers/Microsoft.Network/{}",
            segment(&self.subscription),
            self.visibility.resource()
        );
        let mut call = self.versioned(self.client.get(path));
        let mut zones = Vec::new();
        for _ in 0..MOST_PAGES {
            let answer = call.send().await?;
            let page: Zones = answer.json()?;
            for found in &page.value {
                zones.push(self.zone(&answer, found)?);
            }
            match page.next_link {
                Some(link) => call = self.client.follow(&link)?,
                None => return Ok(Survey::All(zones)),
            }
        }
        Err(Error::Misbehaved {
            provider: KIND.to_owned(),
            server: self.client.base_url().to_owned(),
            reason: format!("its list of zones has more than {MOST_PAGES} pages; give `resource-group`"),
            fault: None,
        })
    }

    async fn zone_named(&self, apex: &DomainName) -> Result<Option<Zone>, Error> {
        let Some(group) = &self.resource_group else { return Ok(None) };
        let answer = match self.versioned(self.client.get(self.zone_in(group, apex))).send().await {
            Ok(answer) => answer,
            Err(error) if error.status() == Some(404) && error.code() == Some("ResourceNotFound") => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        Ok(Some(self.zone(&answer, &answer.json()?)?))
    }

    async fn zone_with_id(&self, id: &str) -> Result<Option<Zone>, Error> {
        if !is_path(id) {
            return Err(Error::InvalidRequest {
                provider: KIND.to_owned(),
                reason: "a zone's id is the path of its resource, /subscriptions/…/dnsZones/example.com"
                    .to_owned(),
                fault: None,
            });
        }
        let Some(answer) = self.versioned(self.client.get(id)).send_if_there().await? else {
            return Ok(None);
        };
        Ok(Some(self.zone(&answer, &answer.json()?)?))
    }
}

/// A page has a hundred zones; a subscription has 250 of them at first, and 10,000 at most.
const MOST_PAGES: usize = 200;

#[async_trait]
impl SetApi for Api {
    async fn read(&self, zone: &Zone, name: &DomainName) -> Result<RecordSet, Error> {
        let answer = match self.versioned(self.client.get(Self::path(zone, name)?)).send().await {
            Ok(answer) => answer,
            Err(error) if error.status() == Some(404) && !is_of_parent(&error) => {
                return Ok(RecordSet::empty(name.clone()));
            }
            Err(error) => return Err(in_zone(zone, error)),
        };
        let set: RecordSetResource = answer.json()?;
        let Some(etag) = set.etag else { return Err(answer.misbehaved("a record set has no ETag")) };
        let members = set.properties.records.iter().map(|record| {
            let raw = Value::from(record.value.clone()).to_string();
            Member::echoed(record.value.concat(), raw)
        });
        let ttl = Some(Duration::from_secs(set.properties.ttl));
        let mut found = RecordSet::new(name.clone(), members.collect(), ttl);
        found.version = Some(etag);
        found.extra = Some(Value::Object(set.properties.metadata).to_string());
        Ok(found)
    }

    async fn swap(&self, zone: &Zone, swaps: &[Swap]) -> Result<Option<String>, Error> {
        for Swap { old, new, .. } in swaps {
            let path = Self::path(zone, &new.name)?;
            let call = match new.members.is_empty() {
                true => self.client.delete(path),
                false => self.client.put(path).json(&body(self.visibility, new)),
            };
            let call = match &old.version {
                Some(etag) => call.header("if-match", etag),
                None => call.header("if-none-match", "*"),
            };
            // Sent twice it fails the second time on its own precondition, which is a race like any other.
            self.versioned(call).send().await.map_err(|error| in_zone(zone, error))?;
        }
        Ok(None)
    }
}

/// Whether it is not the record set that is missing, but what it would be in.
fn is_of_parent(error: &Error) -> bool {
    const PARENTS: [&str; 3] = ["ParentResourceNotFound", "ResourceGroupNotFound", "SubscriptionNotFound"];
    error.code().is_some_and(|code| PARENTS.contains(&code))
}

/// The error of a request in a zone that is gone is that there is no such zone.
fn in_zone(zone: &Zone, error: Error) -> Error {
    if !is_of_parent(&error) {
        return error;
    }
    Error::ZoneNotFound {
        provider: KIND.to_owned(),
        name: zone.apex.clone(),
        tried: vec![zone.apex.clone()],
        reason: format!("the zone {zone} is gone; it is looked for again next time"),
    }
}

fn body(visibility: Visibility, set: &RecordSet) -> Value {
    let records: Vec<_> = set.members.iter().map(record).collect();
    let metadata: Map<_, _> =
        set.extra.as_deref().and_then(|extra| serde_json::from_str(extra).ok()).unwrap_or_default();
    wire::body(visibility, set.ttl.map_or(1, |ttl| ttl.as_secs()), &records, &metadata)
}

/// A sibling goes back in the pieces in which it came.
fn record(member: &Member) -> TxtRecord {
    let pieces = member.raw.as_deref().and_then(|raw| serde_json::from_str(raw).ok());
    TxtRecord { value: pieces.unwrap_or_else(|| strings(&member.value)) }
}

/// The value in pieces of at most 255 bytes, cut between two characters, since JSON holds nothing less.
fn strings(value: &str) -> Vec<String> {
    let mut strings = vec![String::new()];
    for character in value.chars() {
        match strings.last_mut() {
            Some(last) if last.len() + character.len_utf8() <= 255 => last.push(character),
            _ => strings.push(character.to_string()),
        }
    }
    strings
}

fn read_complaint(answer: &Answer) -> Option<Complaint> {
    let complaint = Complaint::of_status(answer)?;
    let complaint = match answer.header("x-ms-request-id") {
        Some(id) => complaint.request_id(id),
        None => complaint,
    };
    let Some(error) = answer.json_if_any::<Fault>().and_then(Fault::body) else { return Some(complaint) };
    let complaint = complaint.code(&error.code).message(&error.message);
    Some(match error.code.as_str() {
        "SubscriptionRequestsThrottled" | "TooManyRequests" => complaint.blame(Blame::RateLimit),
        _ => complaint,
    })
}
