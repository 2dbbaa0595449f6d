//! Scaleway Domains and DNS (v2beta1, <https://www.scaleway.com/en/developers/api/domains-and-dns/>).
//!
//! A secret key whose policy has `DomainsDNSFullAccess`, for the project of the zones.
//!
//! ```
//! use perennial_providers::scaleway::Scaleway;
//!
//! let provider = Scaleway::builder("11111111-2222-3333-4444-555555555555").build()?;
//! # Ok::<(), perennial_providers::Error>(())
//! ```

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use perennial_core::DomainName;

use crate::{
    Capabilities, Error, Rate, WriteClass, Zone,
    engine::{self, Created, NewRecord, Page, Record, RecordApi, Records, Settings, Survey, Vendor, pages},
    vendor::{Call, Client, Credential, HeaderToken},
    zone_match,
};

mod options;
pub use options::factory;
mod wire;
use wire::{Change, Entry, Listed, Patch, Patched, Zones};

/// The [`kind`](crate::DnsProvider::kind) of this provider.
pub const KIND: &str = "scaleway";

const BASE_URL: &str = "https://api.scaleway.com";

/// Who may do what is needed, for the error when it may not.
const NEEDS: &str = "the permission set DomainsDNSFullAccess";

/// The zones of a Scaleway project.
///
/// All changes of a batch go out as one edit, records that are removed by their identifiers: whether the
/// addition of a value that is there or the removal of one that is not is an error is not documented, and
/// neither is needed this way. Clones share the connections and the limit.
#[derive(Clone)]
pub struct Scaleway(Arc<Records<Api>>);

engine::forward!(Scaleway, "Scaleway");

impl Scaleway {
    /// Begins a provider with the secret key of an API key.
    pub fn builder(secret_key: impl Into<Credential>) -> ScalewayBuilder {
        let token = HeaderToken::new("x-auth-token", secret_key.into());
        let client =
            Client::builder(KIND, BASE_URL, token).complaints(wire::complaint).needs(NEEDS).rate(RATE);
        ScalewayBuilder { client, settings: Settings::new() }
    }

    /// A provider as the environment describes it: `PERENNIAL_SCALEWAY_SECRET_KEY` or `…_SECRET_KEY_FILE`, and the
    /// other options.
    ///
    /// # Errors
    /// [`Error::Config`] that names the variable and the remedy.
    pub fn from_env() -> Result<Self, Error> {
        options::from_options(&factory().options_from_env(KIND)?)
    }
}

engine::builder!(ScalewayBuilder, Scaleway, |client, settings| Records::new(Api { client }, settings));

struct Api {
    client: Client,
}

impl Api {
    async fn patch(&self, zone: &Zone, changes: Vec<Change<'_>>) -> Result<Vec<Entry>, Error> {
        let call = self.client.patch(format!("/domain/v2beta1/dns-zones/{}/records", zone.apex));
        Ok(call.json(&Patch::new(changes)).send().await?.json::<Patched>()?.records)
    }

    fn list<'c>(&'c self, path: &str, cursor: &Cursor) -> Call<'c> {
        let call = self.client.get(format!("/domain/v2beta1/dns-zones{path}"));
        call.query("page_size", PAGE_SIZE.to_string()).query("page", cursor.page.to_string())
    }

    /// A page of the zones among these names, or of all zones.
    async fn zone_page(&self, among: &[DomainName], cursor: &Cursor) -> Result<Zones, Error> {
        let call = self.list("", cursor);
        let call = among.iter().fold(call, |call, apex| call.query("dns_zones", apex.as_str()));
        call.send().await?.json()
    }

    /// The zones among these names, or all zones.
    async fn zones(&self, among: &[DomainName]) -> Result<Vec<Zone>, Error> {
        pages(KIND, async |cursor| {
            let cursor = Cursor::read(cursor.as_deref());
            let page = self.zone_page(among, &cursor).await?;
            let next = cursor.next(page.dns_zones.len(), page.total_count);
            Ok(Page { items: page.dns_zones.iter().filter_map(wire::Zone::zone).collect(), next })
        })
        .await
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
            .propagation(Duration::from_secs(5), Duration::from_secs(300))
    }

    fn account(&self) -> String {
        self.client.base_url().to_owned()
    }

    fn zones_have_no_id(&self) -> bool {
        true
    }

    /// Credentials are for a project.
    fn permits_by_name(&self) -> bool {
        false
    }

    async fn zone_named(&self, apex: &DomainName) -> Result<Option<Zone>, Error> {
        let zones = self.zones(std::slice::from_ref(apex)).await?;
        Ok(zones.into_iter().find(|zone| zone.apex == *apex))
    }

    /// All zones of an account that has not too many; otherwise one question for all candidates.
    async fn shown(&self, names: Vec<DomainName>) -> Vec<DomainName> {
        self.client.shown(names).await
    }

    async fn survey(&self, name: &DomainName) -> Result<Survey, Error> {
        let first = self.zone_page(&[], &Cursor::read(None)).await?;
        if first.total_count == first.dns_zones.len() {
            return Ok(Survey::All(first.dns_zones.iter().filter_map(wire::Zone::zone).collect()));
        }
        let candidates: Vec<_> = zone_match::candidates(name).filter(|it| it.parent().is_some()).collect();
        let zones = self.zones(&candidates).await?;
        Ok(Survey::Holder(zone_match::longest(name, &zones).cloned()))
    }
}

#[async_trait]
impl RecordApi for Api {
    fn writes_at_once(&self) -> bool {
        true
    }

    async fn records(&self, zone: &Zone, names: &[DomainName]) -> Result<Vec<Record>, Error> {
        // One name is asked for by itself. The filter of the apex is an empty text, which is no filter.
        let only = match names {
            [name] => Some(zone.relative(name)).filter(|relative| !relative.is_empty()),
            _ => None,
        };
        pages(KIND, async |cursor| {
            let cursor = Cursor::read(cursor.as_deref());
            let call = self.list(&format!("/{}/records", zone.apex), &cursor).query("type", "TXT");
            let call = match only {
                Some(name) => call.query("name", name),
                None => call,
            };
            let answer: Listed = call.send().await?.json()?;
            let next = cursor.next(answer.records.len(), answer.total_count);
            let items = answer.records.into_iter().filter_map(|entry| entry.text(zone)).collect();
            Ok(Page { items, next })
        })
        .await
    }

    async fn create(&self, zone: &Zone, record: &NewRecord) -> Result<Created, Error> {
        let made = self.write(zone, &[], std::slice::from_ref(record)).await?;
        Ok(made.into_iter().next().unwrap_or(Created::New { id: None }))
    }

    async fn delete(&self, zone: &Zone, record: &Record) -> Result<(), Error> {
        match self.patch(zone, vec![Change::delete(&record.id)]).await {
            Err(error) if error.status() == Some(404) => Ok(()),
            other => other.map(drop),
        }
    }

    async fn write(
        &self,
        zone: &Zone,
        deletes: &[Record],
        creates: &[NewRecord],
    ) -> Result<Vec<Created>, Error> {
        let deletions = deletes.iter().map(|record| Change::delete(&record.id));
        let additions = (!creates.is_empty()).then(|| Change::add(zone, creates));
        let made = match self.patch(zone, deletions.chain(additions).collect()).await {
            // Somebody else removed one of them meanwhile, and nothing of the edit was done.
            Err(error) if error.status() == Some(404) && !deletes.is_empty() => {
                for record in deletes {
                    self.delete(zone, record).await?;
                }
                match creates {
                    [] => Vec::new(),
                    creates => self.patch(zone, vec![Change::add(zone, creates)]).await?,
                }
            }
            other => other?,
        };
        let made: Vec<Record> = made.into_iter().filter_map(|entry| entry.text(zone)).collect();
        let id_of = |new: &NewRecord| {
            made.iter().find(|it| it.name == new.name && it.value == new.value).map(|it| it.id.clone())
        };
        Ok(creates.iter().map(|new| Created::New { id: id_of(new) }).collect())
    }
}

/// Where in a list we are: which page is next, and how many items were before it. The total counts, not the size
/// of the pages, which the vendor may choose.
struct Cursor {
    page: usize,
    seen: usize,
}

impl Cursor {
    fn read(text: Option<&str>) -> Self {
        let numbers = text.and_then(|text| text.split_once('/'));
        let numbers = numbers.and_then(|(page, seen)| Some((page.parse().ok()?, seen.parse().ok()?)));
        let (page, seen) = numbers.unwrap_or((1, 0));
        Self { page, seen }
    }

    /// The one after a page of so many items, if that was not the last.
    fn next(&self, items: usize, total: usize) -> Option<String> {
        let (page, seen) = (self.page.saturating_add(1), self.seen.saturating_add(items));
        (items > 0 && seen < total).then(|| format!("{page}/{seen}"))
    }
}

/// The most that a page holds; 20 is the vendor's default.
const PAGE_SIZE: usize = 100;

/// The least that the vendor takes.
const MIN_TTL: Duration = Duration::from_secs(60);

/// Scaleway tells no figure; more than this is more than a fleet of certificates needs.
const RATE: Rate = Rate::new(10, Duration::from_secs(1));
