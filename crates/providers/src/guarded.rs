//! A provider that is kept to some zones and names, whatever it is asked.

use std::sync::Arc;

use async_trait::async_trait;
use perennial_core::DomainName;

use crate::{Applied, Capabilities, Change, DnsProvider, Error, Pending, TxtRecord, Zone};

/// Where a provider may write. Nothing set is no limit.
///
/// ```
/// use perennial_providers::Rails;
///
/// let rails = Rails::new().zone("example.com".parse()?).label("_acme-challenge");
/// assert!(rails.allows_name(&"_acme-challenge.www.example.com".parse()?));
/// assert!(!rails.allows_name(&"www.example.com".parse()?));
/// # Ok::<(), perennial_core::DomainNameError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Rails {
    zones: Vec<DomainName>,
    labels: Vec<String>,
}

impl Rails {
    /// No limit yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// This zone may be written to; once one is named, no other.
    pub fn zone(mut self, apex: DomainName) -> Self {
        self.zones.push(apex);
        self
    }

    /// Names may be written to whose first label is this one, `_acme-challenge` above all; once one is named,
    /// no others.
    pub fn label(mut self, label: &str) -> Self {
        self.labels.push(label.to_ascii_lowercase());
        self
    }

    /// Whether there is any limit.
    #[must_use]
    pub fn is_unlimited(&self) -> bool {
        self.zones.is_empty() && self.labels.is_empty()
    }

    /// Whether a zone may be written to.
    #[must_use]
    pub fn allows_zone(&self, apex: &DomainName) -> bool {
        self.zones.is_empty() || self.zones.contains(apex)
    }

    /// Whether a name may be written to, in a zone that may.
    #[must_use]
    pub fn allows_name(&self, name: &DomainName) -> bool {
        let first = name.labels().next().unwrap_or_default();
        self.labels.is_empty() || self.labels.iter().any(|label| label == first)
    }

    fn check(&self, kind: &str, zone: &Zone, name: Option<&DomainName>) -> Result<(), Error> {
        let refused = |reason| Err(Error::InvalidRequest { provider: kind.to_owned(), reason, fault: None });
        if !self.allows_zone(&zone.apex) {
            let allowed: Vec<_> = self.zones.iter().map(DomainName::as_str).collect();
            return refused(format!(
                "the zone {zone} is not one that `allow-zones` lists: {}",
                allowed.join(", ")
            ));
        }
        match name {
            Some(name) if !self.allows_name(name) => refused(format!(
                "{name} does not begin with a label that `allow-labels` lists: {}",
                self.labels.join(", ")
            )),
            _ => Ok(()),
        }
    }
}

/// A provider behind [`Rails`]: what they do not allow is refused before the provider hears of it.
///
/// A credential that may do more than it should is the usual one; this keeps our own mistakes from using it.
#[derive(Clone)]
pub struct Guarded {
    provider: Arc<dyn DnsProvider>,
    rails: Rails,
}

impl Guarded {
    /// The provider, behind these rails.
    #[must_use]
    pub fn new(provider: Arc<dyn DnsProvider>, rails: Rails) -> Self {
        Self { provider, rails }
    }
}

#[async_trait]
impl DnsProvider for Guarded {
    fn kind(&self) -> &str {
        self.provider.kind()
    }

    fn capabilities(&self) -> Capabilities {
        self.provider.capabilities()
    }

    async fn zone(&self, name: &DomainName) -> Result<Zone, Error> {
        let zone = self.provider.zone(name).await?;
        self.rails.check(self.kind(), &zone, None)?;
        Ok(zone)
    }

    async fn apply(&self, zone: &Zone, changes: &[Change]) -> Result<Applied, Error> {
        for change in changes {
            self.rails.check(self.kind(), zone, Some(&change.name))?;
        }
        self.provider.apply(zone, changes).await
    }

    async fn values(&self, zone: &Zone, name: &DomainName) -> Result<Vec<String>, Error> {
        self.provider.values(zone, name).await
    }

    async fn records(&self, zone: &Zone, name: &DomainName) -> Result<Vec<TxtRecord>, Error> {
        self.provider.records(zone, name).await
    }

    async fn in_sync(&self, pending: &Pending) -> Result<bool, Error> {
        self.provider.in_sync(pending).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryProvider;

    fn name(text: &str) -> DomainName {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn nothing_is_written_outside_the_rails() {
        let memory = MemoryProvider::new([name("example.com"), name("example.net")]);
        let rails = Rails::new().zone(name("example.com")).label("_acme-challenge");
        let guarded = Guarded::new(Arc::new(memory.clone()), rails);
        let zone = guarded.zone(&name("_acme-challenge.example.com")).await.unwrap();
        let add = |at: &str| [Change::add(name(at), "v")];
        guarded.apply(&zone, &add("_acme-challenge.www.example.com")).await.unwrap();
        for refused in ["www.example.com", "example.com", "x._acme-challenge.example.com"] {
            let error = guarded.apply(&zone, &add(refused)).await.unwrap_err();
            assert!(error.to_string().contains("`allow-labels` lists: _acme-challenge"), "{error}");
        }
        let error = guarded.zone(&name("_acme-challenge.example.net")).await.unwrap_err();
        assert!(error.to_string().contains("`allow-zones` lists: example.com"), "{error}");
        let other = Zone::new(name("example.net"));
        assert!(guarded.apply(&other, &add("_acme-challenge.example.net")).await.is_err());
        // The removal of what was allowed once is refused no less.
        let mixed = [
            Change::add(name("_acme-challenge.example.com"), "v"),
            Change::remove(name("a.example.com"), "v"),
        ];
        assert!(guarded.apply(&zone, &mixed).await.is_err());
        assert_eq!(memory.names(), [name("_acme-challenge.www.example.com")]);
    }

    #[test]
    fn no_rails_are_no_limit() {
        let rails = Rails::new();
        assert!(
            rails.is_unlimited()
                && rails.allows_zone(&name("a.example"))
                && rails.allows_name(&name("a.example"))
        );
    }
}
