//! Where records, keys and chains are kept, and who works on which of them.

use std::time::Duration;

use async_trait::async_trait;
use perennial_core::{SecretBytes, Timestamp};

use crate::{
    CertificateId, Generation, Record, StoreError,
    budget::{Bucket, BudgetKey},
};

mod batch;
pub use batch::{Batch, BucketChange, Change};

mod claim;
pub use claim::{Claim, Due, Fence, Held, Owner, OwnerError, Quarantined};

mod due;

mod file;
pub use file::{FileStore, FileStoreBuilder};

pub mod laws;

mod memory;
pub use memory::MemoryStore;

mod overlay;
pub use overlay::{Call, Overlay};

mod sealed;
pub use sealed::{Aes256GcmEnvelope, Envelope, Sealed};

mod slot;
pub use slot::{Slot, Version};

pub mod transfer;

/// Where records, keys and chains are kept, and who works on which of them.
///
/// Records are small and compared-and-swapped; keys and chains lie apart in [`Slot`]s. Which certificate is due
/// when is the store's own index, made of each record's [`next_at`](Record::next_at): a keeper claims what is
/// due, works, commits under its claim, and lets go. One process on one file store and ten on a shared database
/// do the same; there is no leader. The runnable form of this contract is [`laws`].
///
/// # Contract
/// - `apply` MUST be atomic and durable when it returns: after a crash each of its records is the old or the new
///   one, and all are of one kind.
/// - `apply` MUST refuse the whole batch with [`StoreError::Fenced`] unless each claim in it is the newest of its
///   certificate, and otherwise with [`StoreError::Conflict`] or [`StoreError::BudgetConflict`] unless each
///   version there is the expected one; of two writers that expect the same version exactly one succeeds. A batch
///   without a claim is a user's own change, which versions alone guard.
/// - A certificate MUST NOT be held by two owners at once. What ends a claim is `release`, or its time, by the
///   store's clock; whatever is written under it after somebody else has claimed the certificate is refused.
/// - A commit MUST move a certificate that nobody holds in the index at once. While it is held its place is the
///   end of the claim; what was committed meanwhile counts when it is let go.
/// - `claim` MUST hand out of both lines while both have something that is due: a million first issuances keep no
///   renewal waiting, nor the other way round.
/// - `write` and `write_if` MUST be atomic and durable when they return, and a private key MUST be readable by its
///   owner alone.
/// - What cannot be read MUST stay as it is, be named by `quarantined`, and hold nothing else up.
/// - All methods may be called from any number of tasks at once. On cancellation an operation has happened
///   wholly or not at all.
#[async_trait]
pub trait Store: Send + Sync {
    /// The record of a certificate and its version, or `None`.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], [`StoreError::NewerSchema`], [`StoreError::Io`] or
    /// [`StoreError::Unavailable`]; the record is left as it is.
    async fn load(&self, id: &CertificateId) -> Result<Option<(Version, Record)>, StoreError>;

    /// Writes all that is in the batch, and returns the new versions of its records, in its order.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when somebody else has taken a certificate over, [`StoreError::Conflict`] or
    /// [`StoreError::BudgetConflict`] when somebody else wrote in between: then nothing was written. Else
    /// [`StoreError::Io`] or [`StoreError::Unavailable`]: then it may have happened all the same, and the next
    /// one tells.
    async fn apply(&self, batch: &Batch) -> Result<Vec<Version>, StoreError>;

    /// Writes one record, under no claim, if the version there is `expected` (`None`: there is none yet), and
    /// returns the new version.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    async fn commit(&self, record: &Record, expected: Option<Version>) -> Result<Version, StoreError> {
        let versions = self.apply(&Batch::new().change(record.clone(), expected)).await?;
        // One change has one version.
        Ok(versions.first().copied().unwrap_or(Version::FIRST))
    }

    /// Up to `most` ids that come after `after`, in order.
    ///
    /// # Errors
    /// [`StoreError::Io`] or [`StoreError::Unavailable`].
    async fn list(
        &self,
        after: Option<&CertificateId>,
        most: usize,
    ) -> Result<Vec<CertificateId>, StoreError>;

    /// Claims up to `most` certificates that are due by the store's clock and that nobody holds, for at least
    /// `ttl`. One that cannot be read is not handed out and stops no other.
    ///
    /// They stand in two lines: those whose record names a [current](Record::current) certificate, which are renewals
    /// for the most part, and those that have none yet. While something is due in both, each line is given half; the
    /// odd one goes to either line in turn, so that nobody starves where one is claimed at a time. What one line does
    /// not need the other is given. In each line the longest due comes first.
    ///
    /// # Errors
    /// [`StoreError::Io`] or [`StoreError::Unavailable`]; nothing is claimed then, or for `ttl` at most.
    async fn claim(&self, owner: &Owner, ttl: Duration, most: usize) -> Result<Vec<Claim>, StoreError>;

    /// Claims one certificate, due or not; `None` while anybody holds it, or when there is none.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    async fn claim_one(
        &self,
        owner: &Owner,
        ttl: Duration,
        id: &CertificateId,
    ) -> Result<Option<Claim>, StoreError>;

    /// Holds them for at least `ttl` from now, and returns those that are lost: somebody else has claimed them
    /// since, or they are gone. A claim whose time is over is no loss while nobody else wants it.
    ///
    /// # Errors
    /// [`StoreError::Io`] or [`StoreError::Unavailable`]; it is not known then which are held.
    async fn extend(&self, held: &[Held], ttl: Duration) -> Result<Vec<CertificateId>, StoreError>;

    /// Lets go: each is due again at the `next_at` of its record as it is stored, and what is written under this
    /// claim afterwards is refused. Letting go of what is lost is a no-op.
    ///
    /// # Errors
    /// [`StoreError::Io`] or [`StoreError::Unavailable`]; the claims end by their time then.
    async fn release(&self, held: &[Held]) -> Result<(), StoreError>;

    /// Up to `most` rows of the index that are not after `until` and come after `after`, in the order of [`Due`].
    ///
    /// Moments before 1970 may be shown as 1970, and those after 2106 as that: an index is compact.
    ///
    /// # Errors
    /// [`StoreError::Io`] or [`StoreError::Unavailable`].
    async fn scan_due(
        &self,
        until: Timestamp,
        after: Option<&Due>,
        most: usize,
    ) -> Result<Vec<Due>, StoreError>;

    /// The first moment in the index: when there will be something to claim, because it is due or because
    /// somebody's claim ends. `None` for an empty store. So long a keeper may sleep.
    ///
    /// # Errors
    /// [`StoreError::Io`] or [`StoreError::Unavailable`].
    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError>;

    /// Whether other processes may use it at the same time. Its clock is then nobody's but its own: budgets are counted
    /// by that, and a process whose clock jumps leaves them alone. Unless a store says so it is this process's, and
    /// lives by the same clock.
    fn is_shared(&self) -> bool {
        false
    }

    /// Returns when something may have become due earlier than [`next_due`](Self::next_due) has said: a commit,
    /// here or in another process. It may return for nothing, and may miss what another process did, so a keeper
    /// looks from time to time in any case. Unless a store can tell it never returns.
    async fn woken(&self) {
        std::future::pending().await
    }

    /// What lies in a slot, or `None`.
    ///
    /// # Errors
    /// [`StoreError::Io`] or [`StoreError::Unavailable`].
    async fn read(&self, slot: &Slot) -> Result<Option<SecretBytes>, StoreError>;

    /// Puts bytes in a slot under no claim, replacing what was there.
    ///
    /// # Errors
    /// [`StoreError::Io`]; what was there stays. [`StoreError::Unavailable`]; it is the old or the new.
    async fn write(&self, slot: &Slot, bytes: &SecretBytes) -> Result<(), StoreError>;

    /// Puts bytes in a slot under no claim if what lies there is `expected` (`None`: nothing does), as atomically and
    /// durably as [`write`](Self::write): for what processes share that no claim guards, such as an account key.
    ///
    /// # Errors
    /// [`StoreError::SlotConflict`] when something else lies there; of two writers that expect the same exactly one
    /// succeeds. Otherwise as [`write`](Self::write).
    async fn write_if(
        &self,
        slot: &Slot,
        expected: Option<&SecretBytes>,
        bytes: &SecretBytes,
    ) -> Result<(), StoreError>;

    /// Drops the key and chain of a generation that no record names any more. A no-op when they are gone.
    ///
    /// # Errors
    /// [`StoreError::Io`] or [`StoreError::Unavailable`].
    async fn forget(&self, id: &CertificateId, generation: Generation) -> Result<(), StoreError>;

    /// The token buckets of these keys with their versions, in their order; `None` for one that nobody has used.
    /// A store may forget those that are full.
    ///
    /// # Errors
    /// [`StoreError::Io`] or [`StoreError::Unavailable`].
    async fn buckets(&self, keys: &[BudgetKey]) -> Result<Vec<Option<(Version, Bucket)>>, StoreError>;

    /// What could not be read, and why: at most the first thousand. What can be read again is due at once.
    ///
    /// # Errors
    /// [`StoreError::Io`] or [`StoreError::Unavailable`].
    async fn quarantined(&self) -> Result<Vec<Quarantined>, StoreError>;

    /// Removes the record of a certificate that nobody wants any more, and all its keys and chains, if the
    /// version there is `expected` and the claim, if one is given, is the newest.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    async fn remove(
        &self,
        id: &CertificateId,
        expected: Version,
        held: Option<&Held>,
    ) -> Result<(), StoreError>;
}

/// Whether `expected` is what is there; the one comparison that all stores share.
fn check_version(
    id: &CertificateId,
    expected: Option<Version>,
    found: Option<Version>,
) -> Result<Version, StoreError> {
    if expected != found {
        return Err(StoreError::Conflict { id: id.clone(), expected, found });
    }
    Ok(found.map_or(Version::FIRST, Version::next))
}

/// The same for a slot.
fn check_slot(
    slot: &Slot,
    expected: Option<&SecretBytes>,
    found: Option<&SecretBytes>,
) -> Result<(), StoreError> {
    if expected != found {
        return Err(StoreError::SlotConflict { slot: slot.clone() });
    }
    Ok(())
}

/// The same for a bucket.
fn check_bucket(change: &BucketChange, found: Option<Version>) -> Result<Version, StoreError> {
    if change.expected != found {
        let (key, expected) = (change.key.clone(), change.expected);
        return Err(StoreError::BudgetConflict { key, expected, found });
    }
    Ok(found.map_or(Version::FIRST, Version::next))
}
