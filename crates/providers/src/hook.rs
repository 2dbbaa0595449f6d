//! What providers have in common that hand each change to somebody else: a program, a web service.
//!
//! They can tell to add and to remove one value, and nothing more: what is there, they cannot ask.

use async_trait::async_trait;
use perennial_core::DomainName;

use crate::{
    Action, Applied, Capabilities, Change, DnsProvider, Error, OptionDoc, OptionForm, Receipt, WriteClass,
    Zone, zone_match,
};

/// For every provider of this kind.
pub(crate) const ZONES: OptionDoc =
    OptionDoc::optional("zone", "the zones that names may be in, with commas between them; any by default")
        .form(OptionForm::Names);

/// Whoever is told of changes.
#[async_trait]
pub(crate) trait Hook: Send + Sync + 'static {
    /// See [`DnsProvider::kind`].
    fn kind(&self) -> &str;

    /// Tells of one change, and waits until it is made.
    async fn tell(&self, zone: &Zone, change: &Change) -> Result<(), Error>;
}

/// A hook as a provider.
#[derive(Debug)]
pub(crate) struct Hooked<H> {
    pub(crate) hook: H,
    /// The zones that names may be in; any when empty.
    pub(crate) zones: Vec<Zone>,
}

#[async_trait]
impl<H: Hook> DnsProvider for Hooked<H> {
    fn kind(&self) -> &str {
        self.hook.kind()
    }

    fn capabilities(&self) -> Capabilities {
        // The other side promises as much: lego's and cert-manager's contracts are both of one value.
        Capabilities::new(WriteClass::AtomicValue)
    }

    /// The zone is the other side's business. Where nobody has named some, each name counts as its own.
    async fn zone(&self, name: &DomainName) -> Result<Zone, Error> {
        if self.zones.is_empty() {
            return Ok(Zone::new(name.clone()));
        }
        zone_match::longest(name, &self.zones).cloned().ok_or_else(|| Error::ZoneNotFound {
            provider: self.kind().to_owned(),
            name: name.clone(),
            tried: self.zones.iter().map(|zone| zone.apex.clone()).collect(),
            reason: "it is in none of the zones that the option `zone` names".to_owned(),
        })
    }

    async fn apply(&self, zone: &Zone, changes: &[Change]) -> Result<Applied, Error> {
        changes.iter().try_for_each(|change| change.check(self.kind(), zone))?;
        let mut receipts = Vec::new();
        for change in changes {
            self.hook.tell(zone, change).await?;
            if change.action == Action::Add {
                receipts.push(Receipt::new(self.kind(), zone, change));
            }
        }
        Ok(Applied::new(receipts))
    }

    async fn values(&self, _: &Zone, name: &DomainName) -> Result<Vec<String>, Error> {
        Err(Error::Unsupported {
            provider: self.kind().to_owned(),
            reason: format!("it can be told to change {name} but not be asked what is there; ask the DNS"),
            fault: None,
        })
    }
}
