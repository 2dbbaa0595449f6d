//! What is written together.

use perennial_core::SecretBytes;

use super::{Held, Slot, Version};
use crate::{
    Record,
    budget::{Bucket, BudgetKey},
};

/// What is written together: all of it, durably, or nothing.
///
/// ```
/// use perennial_lifecycle::{CertificateSpec, MemoryStore, Record, Store as _, store::{Batch, Owner}};
/// use std::time::Duration;
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let store = MemoryStore::new();
/// let record = Record::new(CertificateSpec::new("shop", ["shop.example"])?);
/// store.commit(&record, None).await?;
/// let owner = Owner::unique();
/// let claim = store.claim_one(&owner, Duration::from_secs(60), record.id()).await?.ok_or("held")?;
/// // Refused when somebody else has written or taken the certificate over since.
/// let batch = Batch::new().change(claim.record, Some(claim.version)).held(&claim.held);
/// store.apply(&batch).await?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct Batch {
    changes: Vec<Change>,
    writes: Vec<(Slot, SecretBytes)>,
    buckets: Vec<BucketChange>,
    held: Vec<Held>,
}

/// A record that is written if the version there is the expected one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs)] // What a commit is.
pub struct Change {
    /// What is written.
    pub record: Record,
    /// The version that must be there; `None` for a new record.
    pub expected: Option<Version>,
}

/// A token bucket that is written if the version there is the expected one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs)] // What a change of a bucket is.
pub struct BucketChange {
    /// Which bucket.
    pub key: BudgetKey,
    /// The version that must be there; `None` for one that nobody has used yet.
    pub expected: Option<Version>,
    /// What is written.
    pub bucket: Bucket,
}

impl Batch {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// And this record, if the version there is `expected` (`None`: there is none yet). Changes are made in the
    /// order in which they are added.
    #[must_use]
    pub fn change(mut self, record: Record, expected: Option<Version>) -> Self {
        self.changes.push(Change { record, expected });
        self
    }

    /// And these bytes in this slot, replacing what is there.
    #[must_use]
    pub fn write(mut self, slot: Slot, bytes: SecretBytes) -> Self {
        self.writes.push((slot, bytes));
        self
    }

    /// And this bucket, if the version there is `expected` (`None`: nobody has used it yet).
    #[must_use]
    pub fn bucket(mut self, key: BudgetKey, expected: Option<Version>, bucket: Bucket) -> Self {
        self.buckets.push(BucketChange { key, expected, bucket });
        self
    }

    /// All of it only while this claim is the newest of its certificate.
    #[must_use]
    pub fn held(mut self, held: &Held) -> Self {
        self.held.push(held.clone());
        self
    }

    /// With other content in its slots: the same, but sealed.
    pub(super) fn with_writes(mut self, writes: Vec<(Slot, SecretBytes)>) -> Self {
        self.writes = writes;
        self
    }

    /// The records.
    #[must_use]
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// The slots.
    #[must_use]
    pub fn writes(&self) -> &[(Slot, SecretBytes)] {
        &self.writes
    }

    /// The buckets.
    #[must_use]
    pub fn buckets(&self) -> &[BucketChange] {
        &self.buckets
    }

    /// The claims that must be the newest of their certificates.
    #[must_use]
    pub fn holds(&self) -> &[Held] {
        &self.held
    }

    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.writes.is_empty() && self.buckets.is_empty()
    }
}
