//! Amazon Route 53, and what speaks its language.
//!
//! A record set is replaced by deleting exactly what was read and creating what is wanted, in one batch, which is
//! done whole or not at all: where another writer was faster the deletion does not match, and nothing happens.
//! `UPSERT` would overwrite them.
//!
//! Source: Amazon Route 53 API Reference, version 2013-04-01, and botocore's service model of it.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use perennial_core::DomainName;
use quick_xml::de::from_str;
use serde::de::DeserializeOwned;

use crate::{
    Capabilities, ConfigError, Error, Pending, Rate, WriteClass, Zone,
    credentials::aws::{Access, Fault, Partition, Signer, explain},
    engine::{self, Member, RecordSet, SetApi, Sets, Settings, Swap, Vendor},
    registry::ZONE_ID,
    vendor::{Answer, Blame, Client, ClientBuilder, Complaint, segment},
};

mod batch;

mod options;
pub use options::factory;

mod text;

mod wire;
use wire::{ChangeResponse, HostedZone, HostedZoneResponse, HostedZonesResponse, RecordSetsResponse};

/// What receipts and messages call this provider.
pub const KIND: &str = "route53";

/// Hosted zones of Amazon Route 53.
///
/// ```no_run
/// use perennial_providers::{credentials::aws::Access, route53::{KIND, Route53}};
///
/// let access = Access::builder(KIND).environment()?; // a key, a role, the machine's role
/// let provider = Route53::builder(access).build()?;
/// # let _ = provider; Ok::<(), perennial_providers::Error>(())
/// ```
#[derive(Clone)]
pub struct Route53(Arc<Sets<Api>>);

engine::forward!(Route53, "Route53");

impl Route53 {
    /// Begins a provider with whoever has access. Route 53 is in no region; which one of its partitions it is, is
    /// told by the region of the access.
    pub fn builder(access: impl Into<Arc<Access>>) -> Route53Builder {
        let access = access.into();
        let region = Partition::of(access.region()).route53_region;
        Self::builder_signing_for(access, region)
    }

    /// The same, with signatures for this region, which something compatible with Route 53 may want.
    pub fn builder_signing_for(access: impl Into<Arc<Access>>, region: &str) -> Route53Builder {
        let access = access.into();
        let url = Partition::of(access.region()).route53;
        let client = Client::builder(KIND, url, Signer::new(access, region, "route53"))
            .complaints(read_complaint)
            .needs(NEEDS)
            .rate(RATE);
        Route53Builder { client, settings: Settings::new(), private: false, upsert: false }
    }

    /// A provider as the environment describes it: `PERENNIAL_ROUTE53_ACCESS_KEY_ID` and the other options; where they
    /// name no credentials, those of AWS's own variables and of the machine.
    ///
    /// # Errors
    /// [`Error::Config`] that names the variable and the remedy.
    pub fn from_env() -> Result<Self, Error> {
        options::from_options(&factory().options_from_env(KIND)?)
    }
}

/// A provider in the making: see [`Route53::builder`].
#[must_use = "a builder does nothing until `build`"]
pub struct Route53Builder {
    client: ClientBuilder,
    settings: Settings,
    private: bool,
    upsert: bool,
}

engine::setters!(Route53Builder: base_url, clock, http, options, ttl, zone);

impl Route53Builder {
    /// Looks for private hosted zones, and for them alone. Default: for public ones.
    pub const fn private(mut self, private: bool) -> Self {
        self.private = private;
        self
    }

    /// Writes sets by UPSERT, after a look that costs a request: for servers that are compatible with Route 53 and
    /// do not keep the word of CREATE, such as moto and LocalStack. What another process writes in between may be
    /// lost there. Default: no, since Route 53 itself refuses what is not as it was read.
    pub const fn upsert(mut self, upsert: bool) -> Self {
        self.upsert = upsert;
        self
    }

    /// The hosted zone of all names, by its id; with [`zone`](Self::zone) nothing is looked up.
    pub fn zone_id(mut self, id: &str) -> Self {
        self.settings = self.settings.zone_id(bare_id(id));
        self
    }

    /// The provider.
    ///
    /// # Errors
    /// [`Error::Config`] when the base URL is none that requests with credentials may go to.
    pub fn build(self) -> Result<Route53, Error> {
        let api = Api { client: self.client.build()?, private: self.private, upsert: self.upsert };
        Ok(Route53(Arc::new(Sets::new(api, self.settings))))
    }
}

/// Who may do what is needed, for the error when it may not.
const NEEDS: &str = "route53:ListHostedZonesByName (or route53:GetHostedZone with `zone-id`), \
                     route53:ListResourceRecordSets, route53:ChangeResourceRecordSets and route53:GetChange";

/// "Five requests per second per AWS account" (Route 53 Developer Guide, "Quotas").
const RATE: Rate = Rate::new(5, Duration::from_secs(1));

struct Api {
    client: Client,
    private: bool,
    upsert: bool,
}

impl Api {
    fn path(zone: &Zone) -> Result<String, Error> {
        match &zone.id {
            Some(id) => Ok(format!("/2013-04-01/hostedzone/{}", segment(bare_id(id)))),
            None => Err(Error::InvalidRequest {
                provider: KIND.to_owned(),
                reason: format!("the zone {zone} has no id; ask for the zone of a name first"),
                fault: None,
            }),
        }
    }

    fn zone(apex: DomainName, found: &HostedZone) -> Zone {
        Zone::new(apex).with_id(found.id())
    }
}

#[async_trait]
impl Vendor for Api {
    fn kind(&self) -> &str {
        KIND
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(WriteClass::SetWithPrecondition)
            .batch_max(200)
            .propagation(Duration::from_secs(4), Duration::from_secs(120))
            .reports_in_sync()
            .rate(RATE)
    }

    fn account(&self) -> String {
        self.client.base_url().to_owned()
    }

    /// The list begins at a name; it does not end there.
    async fn zone_named(&self, apex: &DomainName) -> Result<Option<Zone>, Error> {
        let answer = self
            .client
            .get("/2013-04-01/hostedzonesbyname")
            .query("dnsname", format!("{apex}."))
            .header("accept", "application/xml")
            .send()
            .await?;
        let listed = read::<HostedZonesResponse>(&answer)?.hosted_zones.list;
        let is_meant = |zone: &&HostedZone| zone.name() == apex.as_str() && zone.is_private() == self.private;
        let found: Vec<_> = listed.iter().filter(is_meant).collect();
        match found.as_slice() {
            [] => Ok(None),
            [zone] => Ok(Some(Self::zone(apex.clone(), zone))),
            twins => {
                let ids: Vec<_> = twins.iter().map(|zone| zone.id()).collect();
                Err(ConfigError::BadOption {
                    provider: KIND.to_owned(),
                    option: ZONE_ID.name.to_owned(),
                    reason: format!(
                        "{apex} is the name of several hosted zones; say which: {}",
                        ids.join(", ")
                    ),
                }
                .into())
            }
        }
    }

    async fn shown(&self, names: Vec<DomainName>) -> Vec<DomainName> {
        self.client.shown(names).await
    }

    async fn zone_with_id(&self, id: &str) -> Result<Option<Zone>, Error> {
        let path = format!("/2013-04-01/hostedzone/{}", segment(bare_id(id)));
        let answer = self.client.get(path).header("accept", "application/xml").send_if_there().await?;
        let Some(answer) = answer else { return Ok(None) };
        let zone = read::<HostedZoneResponse>(&answer)?.hosted_zone;
        let apex =
            zone.name().parse().map_err(|error| answer.misbehaved(format!("a zone's name: {error}")))?;
        Ok(Some(Self::zone(apex, &zone)))
    }

    async fn in_sync(&self, pending: &Pending) -> Result<bool, Error> {
        for id in pending.handle.split(HANDLES) {
            let path = format!("/2013-04-01/change/{}", segment(id));
            let answer = self.client.get(path).header("accept", "application/xml").send().await?;
            if read::<ChangeResponse>(&answer)?.change_info.status != "INSYNC" {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Between the changes of one handle.
const HANDLES: &str = " ";

#[async_trait]
impl SetApi for Api {
    fn sets_per_write(&self) -> usize {
        200
    }

    fn refuses_a_second_set(&self) -> bool {
        !self.upsert
    }

    async fn read(&self, zone: &Zone, name: &DomainName) -> Result<RecordSet, Error> {
        let answer = self
            .client
            .get(format!("{}/rrset", Self::path(zone)?))
            .query("name", format!("{name}."))
            .query("type", "TXT")
            .query("maxitems", "1")
            .header("accept", "application/xml")
            .send()
            .await
            .map_err(in_zone(zone))?;
        let listed = read::<RecordSetsResponse>(&answer)?.resource_record_sets.list;
        let Some(set) = listed.iter().find(|set| set.is_txt_at(name.as_str())) else {
            return Ok(RecordSet::empty(name.clone()));
        };
        if let Some(identifier) = &set.set_identifier {
            return Err(Error::Unsupported {
                provider: KIND.to_owned(),
                reason: format!(
                    "the TXT records of {name} have a routing policy ({identifier:?}); records without one \
                     cannot be beside them: remove them, or delegate the name with a CNAME record"
                ),
                fault: None,
            });
        }
        let members = set.values().map(|raw| Member::echoed(text::unquote(raw), raw)).collect();
        Ok(RecordSet::new(name.clone(), members, set.ttl.map(Duration::from_secs)))
    }

    async fn swap(&self, zone: &Zone, swaps: &[Swap]) -> Result<Option<String>, Error> {
        let path = format!("{}/rrset/", Self::path(zone)?);
        let mut handles = Vec::new();
        for body in batch::of(swaps, if self.upsert { "UPSERT" } else { "CREATE" }) {
            let call = self.client.post(&path).header("accept", "application/xml");
            // Sent twice it fails the second time on its own precondition, which is a race like any other.
            let answer = call.body("application/xml", body).repeatable().send().await;
            let answer = answer.map_err(in_zone(zone))?;
            handles.push(read::<ChangeResponse>(&answer)?.change_info.id().to_owned());
        }
        Ok((!handles.is_empty()).then(|| handles.join(HANDLES)))
    }
}

/// The error of a request in a zone that is gone is that there is no such zone.
fn in_zone(zone: &Zone) -> impl Fn(Error) -> Error + '_ {
    move |error| match error.code() {
        Some("NoSuchHostedZone") => Error::ZoneNotFound {
            provider: KIND.to_owned(),
            name: zone.apex.clone(),
            tried: vec![zone.apex.clone()],
            reason: format!("the hosted zone {zone} is gone; it is looked for again next time"),
        },
        _ => error,
    }
}

fn read<T: DeserializeOwned>(answer: &Answer) -> Result<T, Error> {
    from_str(&answer.text()).map_err(|error| {
        answer.misbehaved(format!("its XML is not as documented: {error}; is this an endpoint of Route 53?"))
    })
}

fn read_complaint(answer: &Answer) -> Option<Complaint> {
    let complaint = Complaint::of_status(answer)?;
    let Some(fault) = Fault::read(&answer.text()) else { return Some(complaint) };
    let complaint = explain(complaint, &fault);
    let is_race = fault.code == "InvalidChangeBatch" && RACES.iter().any(|part| fault.message.contains(part));
    Some(if is_race { complaint.blame(Blame::Conflict) } else { complaint })
}

/// What a refused batch says when somebody else was faster: what was to be created is there, what was to be deleted
/// is not, or is not what it was.
const RACES: [&str; 3] = ["but it already exists", "but it was not found", "do not match the current values"];

/// An identifier without the path that the interface puts before it.
fn bare_id(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
}
