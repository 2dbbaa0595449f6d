//! What every vendor's interface has, however it writes.

use async_trait::async_trait;
use perennial_core::DomainName;

use crate::{Capabilities, Error, Pending, Zone};

/// What every vendor's interface has, however it writes.
///
/// # How a zone is found
///
/// 1. A zone that was [given](super::Settings::zone) is used, and no other.
/// 2. What is known is not asked again for five minutes, and that there is no such zone for one; both are
///    forgotten when the vendor says that a zone is not there.
/// 3. The vendor is asked for its [`survey`](Self::survey).
/// 4. The name and its ancestors are [looked up](Self::zone_named) one by one, the longest first, so that a
///    zone below another is found before it. A candidate that the credential may not look at, or that the
///    vendor takes for no name, is "not this one": a token for one zone may be refused for every other. What
///    was refused is told at the end, if no zone was found. Any other error ends the search, since what could
///    not be asked may have been the nearest.
#[async_trait]
pub trait Vendor: Send + Sync + 'static {
    /// See [`DnsProvider::kind`](crate::DnsProvider::kind).
    fn kind(&self) -> &str;

    /// See [`DnsProvider::capabilities`](crate::DnsProvider::capabilities).
    fn capabilities(&self) -> Capabilities;

    /// What tells this vendor's zones from those of another place with the same names, such as the base URL:
    /// writers of one process that must be kept apart are those of one account. Never a secret.
    fn account(&self) -> String {
        String::new()
    }

    /// Whether a zone is called by its name alone, so that one that was given need not be looked up.
    fn zones_have_no_id(&self) -> bool {
        false
    }

    /// Whether a credential of this vendor's may be good for some names of a zone and not for others. Where it is not,
    /// what the vendor does not let one caller do is told to all whose changes went with that caller's; where it is,
    /// who may not is found by more writes. Yes by default, which is never wrong.
    fn permits_by_name(&self) -> bool {
        true
    }

    /// Of names that the vendor has sent, those that may be shown: none with a secret in it that was shown to the vendor.
    /// Whoever tells zones of the vendor's own choice ([`survey`](Self::survey), [`zone_with_id`](Self::zone_with_id)) MUST
    /// look for its secrets here ([`Client::shown`](crate::vendor::Client::shown)). All by default.
    async fn shown(&self, names: Vec<DomainName>) -> Vec<DomainName> {
        names
    }

    /// The zone with exactly this apex, or that there is none.
    ///
    /// # Errors
    /// [`Error::Permission`] or [`Error::InvalidRequest`] when it was this candidate that was refused.
    async fn zone_named(&self, apex: &DomainName) -> Result<Option<Zone>, Error>;

    /// The zone with this identifier, for an operator who knows only that.
    ///
    /// # Errors
    /// [`Error::Unsupported`] by default; and as [`zone_named`](Self::zone_named).
    async fn zone_with_id(&self, id: &str) -> Result<Option<Zone>, Error> {
        let reason = format!("it cannot look a zone up by its id alone; give its name with `zone-id` {id}");
        Err(Error::Unsupported { provider: self.kind().to_owned(), reason, fault: None })
    }

    /// What the vendor itself says about the zone of a name, before candidates are looked up one by one.
    ///
    /// # Errors
    /// [`Error`] when it could not be asked; [`Error::Permission`] means the same as [`Survey::Walk`].
    async fn survey(&self, name: &DomainName) -> Result<Survey, Error> {
        let _ = name;
        Ok(Survey::Walk)
    }

    /// See [`DnsProvider::in_sync`](crate::DnsProvider::in_sync).
    ///
    /// # Errors
    /// [`Error`] when it could not be asked, or the vendor says that the change failed.
    async fn in_sync(&self, pending: &Pending) -> Result<bool, Error> {
        let _ = pending;
        Ok(true)
    }
}

/// What a vendor says about zones.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Survey {
    /// All zones that the credential can see. The list must be complete: the nearest one is taken from it.
    All(Vec<Zone>),
    /// The nearest zone that holds the name, or that there is none.
    Holder(Option<Zone>),
    /// Nothing: the candidates have to be looked up.
    Walk,
}
