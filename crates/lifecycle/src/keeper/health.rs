//! How a certificate stands, its key and chain really looked at, and another try for one that was given up.

use perennial_core::Timestamp;

use super::{Inner, Keeper, material};
use crate::{
    CertificateId, Condition, Conditions, Description, Error, Material, Record, StoreError, Version,
    conditions, describe,
};

impl Keeper {
    /// How a certificate stands now. Its key and chain are read for this call; that one of them is gone or foreign is
    /// written down then, and looked after at once.
    ///
    /// Without a call they are read at each pass: when the certificate is due, when its issuer is asked for its wishes,
    /// and when somebody opens a handle. What was found last is [on record](crate::Current::found), and metrics go by
    /// that: a scrape reads no keys.
    ///
    /// A record that cannot be read has the conditions [`unreadable`](Conditions::unreadable).
    ///
    /// # Errors
    /// [`Error::UnknownCertificate`] when nobody wished for it, [`Error::Store`] when the store cannot be asked.
    pub async fn conditions(&self, id: &CertificateId) -> Result<Conditions, Error> {
        let (version, record) = match self.inner.record(id).await {
            Err(Error::Store(error @ (StoreError::Damaged { .. } | StoreError::NewerSchema { .. }))) => {
                return Ok(Conditions::unreadable(&error, self.inner.unreadable_since(id)));
            }
            read => read?,
        };
        let found = self.inner.look_closely(version, &record).await?;
        let now = self.inner.clock.now();
        let mut conditions = conditions(&record, found.material, now);
        if let Some(ready) = found.unknown(now) {
            conditions.ready = ready;
        }
        Ok(conditions)
    }

    /// All that is known of a certificate, secrets apart, with its key and chain looked at as in
    /// [`conditions`](Self::conditions).
    ///
    /// # Errors
    /// As [`conditions`](Self::conditions), and [`Error::Store`] when its record cannot be read.
    pub async fn describe(&self, id: &CertificateId) -> Result<Description, Error> {
        let (version, record) = self.inner.record(id).await?;
        let found = self.inner.look_closely(version, &record).await?;
        let now = self.inner.clock.now();
        let mut description = describe(&record, found.material, now);
        if let Some(ready) = found.unknown(now) {
            description.conditions.ready = ready;
        }
        Ok(description)
    }

    /// Tries again now what failed, was denied or given up, because somebody has mended what was in the way: a DNS zone,
    /// the rules of an approver, the place that it is delivered to. One that lapsed because nobody asked for it is asked
    /// for herewith. A certificate that lacks nothing is looked at, and no more.
    ///
    /// An issuer that fails everybody goes on resting, and budgets hold as ever.
    ///
    /// # Errors
    /// [`Error::UnknownCertificate`] when nobody wished for it, [`Error::Store`] when it cannot be written down.
    pub async fn retry(&self, id: &CertificateId) -> Result<(), Error> {
        loop {
            let (version, mut record) = self.inner.record(id).await?;
            record.forget_failures();
            record.undelivered = None;
            record.reloads.values_mut().for_each(|failures| *failures = None);
            record.asked_at = record.asked_at.map(|_| self.inner.clock.now());
            record.next_at = self.inner.at_once();
            record.observe(None, self.inner.clock.now());
            match self.inner.store.commit(&record, Some(version)).await {
                Ok(_) => break,
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.inner.look_now();
        Ok(())
    }
}

/// How key and chain were found.
struct Found {
    material: Material,
    /// Why one of them cannot be read, so that nobody can tell.
    fault: Option<StoreError>,
}

impl Found {
    /// The condition of a certificate that may be good, or not.
    fn unknown(&self, now: Timestamp) -> Option<Condition> {
        self.fault.as_ref().map(|fault| Conditions::unreadable(fault, now).ready)
    }
}

impl Inner {
    /// Reads key and chain, and writes down how they were found if that is news.
    async fn look_closely(&self, version: Version, record: &Record) -> Result<Found, Error> {
        let material = match material::found(self, record).await {
            Err(Error::Store(fault)) if material::is_of_one_slot(&fault) => {
                // As a pass takes it: such a certificate is renewed by its dates.
                return Ok(Found { material: Material::Whole, fault: Some(fault) });
            }
            material => material?,
        };
        self.note_found(version, record, material).await;
        Ok(Found { material, fault: None })
    }

    /// Writes down how key and chain were found, so that all who look at the record know, and has it looked after at
    /// once. A pass that is under way finds it by itself, and who has written meanwhile knows better.
    pub(super) async fn note_found(&self, version: Version, record: &Record, material: Material) {
        let is_news = record.current.as_ref().is_some_and(|current| current.found != material);
        if !is_news || record.attempt.is_some() {
            return;
        }
        let mut record = record.clone();
        record.observe(Some(material), self.clock.now());
        record.next_at = record.next_at.min(self.at_once());
        if self.store.commit(&record, Some(version)).await.is_ok() {
            self.look_now();
        }
    }
}
