//! What a pass over one certificate works with: the keeper's settings, its claim, and the record as it stands.

use std::sync::Arc;

use perennial_core::Timestamp;

use super::{Inner, lease::Hold};
use crate::{
    CertificateId, Error, EventKind, IssuerName, Journal, Material, Record, StoreError, Version, store::Batch,
};

/// What a pass works with.
#[derive(Clone, Copy)]
pub(super) struct Desk<'a> {
    pub(super) inner: &'a Inner,
    pub(super) hold: &'a Arc<Hold>,
}

/// A record as the store has it.
pub(super) struct Page {
    pub(super) version: Version,
    pub(super) record: Record,
    /// Whether something was noted in it that is worth writing down when the pass is over.
    pub(super) noted: bool,
}

impl Page {
    pub(super) const fn new(version: Version, record: Record) -> Self {
        Self { version, record, noted: false }
    }

    /// Notes how its key and chain were found, and since when its conditions are what they are.
    pub(super) fn observe(&mut self, material: Material, now: Timestamp) {
        let seen =
            |record: &Record| (record.transitions, record.current.as_ref().map(|current| current.found));
        let before = seen(&self.record);
        self.record.observe(Some(material), now);
        self.noted |= before != seen(&self.record);
    }

    pub(super) const fn id(&self) -> &CertificateId {
        self.record.id()
    }
}

impl Desk<'_> {
    pub(super) fn now(self) -> Timestamp {
        self.inner.clock.now()
    }

    pub(super) fn tell(self, id: &CertificateId, kind: EventKind) {
        self.inner.tell(id, kind);
    }

    /// The record as it is now.
    pub(super) async fn page(self, id: &CertificateId) -> Result<Page, Error> {
        let (version, record) = self.inner.record(id).await?;
        Ok(Page::new(version, record))
    }

    /// Writes the record down.
    pub(super) async fn save(self, page: &mut Page) -> Result<(), StoreError> {
        self.save_with(self.hold.batch(), page).await
    }

    /// Writes the record down together with what else is in the batch.
    pub(super) async fn save_with(self, batch: Batch, page: &mut Page) -> Result<(), StoreError> {
        let batch = batch.change(page.record.clone(), Some(page.version));
        page.version = self.apply(&batch).await?;
        page.noted = false;
        Ok(())
    }

    /// Applies a batch that changes this one record.
    pub(super) async fn apply(self, batch: &Batch) -> Result<Version, StoreError> {
        let versions = self.inner.store.apply(batch).await?;
        self.hold.reached_commit().await;
        // One change has one version.
        Ok(versions.first().copied().unwrap_or(Version::FIRST))
    }

    /// What an issuer may write down from here on.
    pub(super) fn journal(self, issuer: &IssuerName, page: Page) -> Journal {
        let Inner { store, clock, audience, .. } = self.inner;
        let state = (page.version, page.record);
        Journal::new(store.clone(), clock.clone(), audience.clone(), issuer.clone(), state)
            .under(self.hold.clone())
    }

    /// Takes the record back from an issuer.
    pub(super) async fn close(self, journal: Journal) -> Page {
        let (version, record) = journal.into_state().await;
        Page::new(version, record)
    }
}
