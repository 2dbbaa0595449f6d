//! The contract of every DNS provider.

use async_trait::async_trait;
use perennial_core::DomainName;

use crate::{Applied, Capabilities, Change, Error, Pending, TxtRecord, Zone};

/// Who can change the TXT records of a zone.
///
/// # Contract
///
/// The records of a provider are a set of triples (zone, name, value), and the only verbs are *add* and
/// *remove*.
///
/// - **Set algebra.** Adding a value that is there changes nothing, and neither does removing one that is
///   absent; both succeed. A change touches exactly its one value: siblings at the same name, whoever wrote
///   them, MUST stay, and so MUST their time to live, comments and flags.
/// - **Idempotence.** An answer may get lost after the change was made. Doing the same change again MUST lead
///   to the same set, so a caller may always repeat a whole batch.
/// - **Concurrency.** Every method may be called from any number of tasks, and other processes write too. When
///   all writers are done, each added value is there and each removed one is not, whatever the order of
///   changes of *different* values was. Where the vendor's interface cannot promise this alone
///   ([`WriteClass`](crate::WriteClass)), the provider MUST lock, compare and read back on its behalf.
/// - **Names** are absolute. A provider whose vendor wants relative names converts them itself.
/// - **Values** are bytes of text, compared exactly, upper and lower case apart, after unquoting and joining
///   what the vendor echoes ([`txt::unquote`](crate::txt::unquote)). A value of more than 255 bytes is split
///   into character-strings by the provider.
/// - **Order.** The changes of one batch are made in their order, or all at once. A batch MAY be half done
///   when it fails; repeating it finishes it.
/// - **Cancellation.** A dropped future leaves a state that the same batch, or the removal of its values,
///   brings in order.
/// - **Secrets** never appear in errors or in `Debug`.
///
/// [`laws::check`](crate::laws::check) runs this contract against an implementation.
#[async_trait]
pub trait DnsProvider: Send + Sync {
    /// What kind of provider this is, for messages and receipts: `rfc2136`, `cloudflare`.
    fn kind(&self) -> &str;

    /// What its interface can do.
    fn capabilities(&self) -> Capabilities;

    /// The zone that holds the name: the nearest one at or above it that this provider can write to.
    ///
    /// # Errors
    /// [`Error::ZoneNotFound`] with the names that were tried when there is none; other errors when the
    /// question could not be answered.
    async fn zone(&self, name: &DomainName) -> Result<Zone, Error>;

    /// Makes one batch of changes in one zone.
    ///
    /// The receipts are one for each [`Change::add`], in order, whether the value was there before or not:
    /// after a lost answer nobody knows.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] before anything is sent when [`Change::check`] refuses a change; other
    /// errors when the batch is not known to be done.
    async fn apply(&self, zone: &Zone, changes: &[Change]) -> Result<Applied, Error>;

    /// The TXT values at the name now, as the vendor's own interface sees them: joined, unquoted, in no
    /// particular order. No record is no error, but an empty list.
    ///
    /// # Errors
    /// [`Error`] when the question could not be answered.
    async fn values(&self, zone: &Zone, name: &DomainName) -> Result<Vec<String>, Error>;

    /// The same with the times to live, for somebody who looks: nothing of the contract rests on these.
    ///
    /// Without any by default, since not every interface tells them.
    ///
    /// # Errors
    /// [`Error`] when the question could not be answered.
    async fn records(&self, zone: &Zone, name: &DomainName) -> Result<Vec<TxtRecord>, Error> {
        let values = self.values(zone, name).await?;
        Ok(values.into_iter().map(|value| TxtRecord::new(value, None)).collect())
    }

    /// Whether the vendor's own servers have what was applied: one look, never a wait
    /// ([`engine::wait_in_sync`](crate::engine::wait_in_sync) waits).
    ///
    /// Says yes by default, since most vendors cannot tell; [`Capabilities::reports_in_sync`] is then false,
    /// and only a look at the servers themselves shows it.
    ///
    /// # Errors
    /// [`Error`] when the question could not be answered, or the vendor says that the change failed.
    async fn in_sync(&self, pending: &Pending) -> Result<bool, Error> {
        let _ = pending;
        Ok(true)
    }
}

#[cfg(test)]
fn _object_safe(_: &dyn DnsProvider) {}
