//! Stores over stores.

use std::{pin::Pin, sync::Arc, time::Duration};

use async_trait::async_trait;
use perennial_core::{SecretBytes, Timestamp};

use super::{Batch, Claim, Due, Held, Owner, Quarantined, Slot, Store, Version};
use crate::{
    CertificateId, Generation, Record, StoreError,
    budget::{Bucket, BudgetKey},
};

/// A store over another one: what it does not do otherwise is passed on to the store below.
///
/// Every overlay is a [`Store`], under the contract of stores. [`Sealed`](super::Sealed) is one, which changes three
/// methods and none of the others; one that counts, slows down or refuses changes [`around`](Self::around) alone.
///
/// The methods have the names of those of [`Store`]: where both traits are in scope, a call goes through a `dyn Store` or
/// says which one it means.
///
/// ```
/// use perennial_lifecycle::{CertificateId, CertificateSpec, MemoryStore, Record, Store, StoreError};
/// use perennial_lifecycle::store::Overlay;
///
/// /// A store that does not show what others keep in it.
/// struct Discreet(MemoryStore);
///
/// #[async_trait::async_trait]
/// impl Overlay for Discreet {
///     type Below = MemoryStore;
///
///     fn below(&self) -> &MemoryStore {
///         &self.0
///     }
///
///     async fn list(&self, _: Option<&CertificateId>, _: usize) -> Result<Vec<CertificateId>, StoreError> {
///         Ok(Vec::new())
///     }
/// }
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let store: &dyn Store = &Discreet(MemoryStore::new());
/// let record = Record::new(CertificateSpec::new("shop", ["shop.example"])?);
/// let version = store.commit(&record, None).await?;
/// assert_eq!(store.list(None, 9).await?, []);
/// assert_eq!(store.load(record.id()).await?, Some((version, record)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Contract
/// - A method that is changed MUST call the same one of [`below`](Self::below), or do without: on `self` it would go
///   [around](Self::around) twice.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no store",
    note = "a store implements `Store`; one that changes a few things of another store implements `Overlay`"
)]
#[async_trait]
pub trait Overlay: Send + Sync {
    /// What lies below.
    type Below: Store + ?Sized;

    /// The store below.
    fn below(&self) -> &Self::Below;

    /// Carries out a call of a method, which is called by its name: of every method but
    /// [`commit`](Store::commit), which is an `apply`, and those that ask the store for nothing,
    /// [`is_shared`](Store::is_shared) and [`woken`](Store::woken). Provided: does so, and nothing
    /// else.
    ///
    /// # Errors
    /// Those of the call, unless it changes them.
    async fn around<T: Send>(&self, method: &'static str, call: Call<'_, T>) -> Result<T, StoreError> {
        let _ = method;
        call.await
    }

    /// As [`Store::load`], with its errors, and so on for all that follow.
    async fn load(&self, id: &CertificateId) -> Result<Option<(Version, Record)>, StoreError> {
        self.below().load(id).await
    }

    /// As [`Store::apply`].
    async fn apply(&self, batch: &Batch) -> Result<Vec<Version>, StoreError> {
        self.below().apply(batch).await
    }

    /// As [`Store::list`].
    async fn list(
        &self,
        after: Option<&CertificateId>,
        most: usize,
    ) -> Result<Vec<CertificateId>, StoreError> {
        self.below().list(after, most).await
    }

    /// As [`Store::claim`].
    async fn claim(&self, owner: &Owner, ttl: Duration, most: usize) -> Result<Vec<Claim>, StoreError> {
        self.below().claim(owner, ttl, most).await
    }

    /// As [`Store::claim_one`].
    async fn claim_one(
        &self,
        owner: &Owner,
        ttl: Duration,
        id: &CertificateId,
    ) -> Result<Option<Claim>, StoreError> {
        self.below().claim_one(owner, ttl, id).await
    }

    /// As [`Store::extend`].
    async fn extend(&self, held: &[Held], ttl: Duration) -> Result<Vec<CertificateId>, StoreError> {
        self.below().extend(held, ttl).await
    }

    /// As [`Store::release`].
    async fn release(&self, held: &[Held]) -> Result<(), StoreError> {
        self.below().release(held).await
    }

    /// As [`Store::scan_due`].
    async fn scan_due(
        &self,
        until: Timestamp,
        after: Option<&Due>,
        most: usize,
    ) -> Result<Vec<Due>, StoreError> {
        self.below().scan_due(until, after, most).await
    }

    /// As [`Store::next_due`].
    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.below().next_due().await
    }

    /// As [`Store::is_shared`].
    fn is_shared(&self) -> bool {
        self.below().is_shared()
    }

    /// As [`Store::woken`].
    async fn woken(&self) {
        self.below().woken().await;
    }

    /// As [`Store::read`].
    async fn read(&self, slot: &Slot) -> Result<Option<SecretBytes>, StoreError> {
        self.below().read(slot).await
    }

    /// As [`Store::write`].
    async fn write(&self, slot: &Slot, bytes: &SecretBytes) -> Result<(), StoreError> {
        self.below().write(slot, bytes).await
    }

    /// As [`Store::write_if`].
    async fn write_if(
        &self,
        slot: &Slot,
        expected: Option<&SecretBytes>,
        bytes: &SecretBytes,
    ) -> Result<(), StoreError> {
        self.below().write_if(slot, expected, bytes).await
    }

    /// As [`Store::forget`].
    async fn forget(&self, id: &CertificateId, generation: Generation) -> Result<(), StoreError> {
        self.below().forget(id, generation).await
    }

    /// As [`Store::buckets`].
    async fn buckets(&self, keys: &[BudgetKey]) -> Result<Vec<Option<(Version, Bucket)>>, StoreError> {
        self.below().buckets(keys).await
    }

    /// As [`Store::quarantined`].
    async fn quarantined(&self) -> Result<Vec<Quarantined>, StoreError> {
        self.below().quarantined().await
    }

    /// As [`Store::remove`].
    async fn remove(
        &self,
        id: &CertificateId,
        expected: Version,
        held: Option<&Held>,
    ) -> Result<(), StoreError> {
        self.below().remove(id, expected, held).await
    }
}

/// A call that is on its way to a store: see [`Overlay::around`].
pub type Call<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// A store that is shared is a store.
#[async_trait]
impl<S: Store + ?Sized> Overlay for Arc<S> {
    type Below = S;

    fn below(&self) -> &S {
        self
    }
}

#[async_trait]
impl<O: Overlay> Store for O {
    async fn load(&self, id: &CertificateId) -> Result<Option<(Version, Record)>, StoreError> {
        self.around("load", Overlay::load(self, id)).await
    }

    async fn apply(&self, batch: &Batch) -> Result<Vec<Version>, StoreError> {
        self.around("apply", Overlay::apply(self, batch)).await
    }

    async fn list(
        &self,
        after: Option<&CertificateId>,
        most: usize,
    ) -> Result<Vec<CertificateId>, StoreError> {
        self.around("list", Overlay::list(self, after, most)).await
    }

    async fn claim(&self, owner: &Owner, ttl: Duration, most: usize) -> Result<Vec<Claim>, StoreError> {
        self.around("claim", Overlay::claim(self, owner, ttl, most)).await
    }

    async fn claim_one(
        &self,
        owner: &Owner,
        ttl: Duration,
        id: &CertificateId,
    ) -> Result<Option<Claim>, StoreError> {
        self.around("claim_one", Overlay::claim_one(self, owner, ttl, id)).await
    }

    async fn extend(&self, held: &[Held], ttl: Duration) -> Result<Vec<CertificateId>, StoreError> {
        self.around("extend", Overlay::extend(self, held, ttl)).await
    }

    async fn release(&self, held: &[Held]) -> Result<(), StoreError> {
        self.around("release", Overlay::release(self, held)).await
    }

    async fn scan_due(
        &self,
        until: Timestamp,
        after: Option<&Due>,
        most: usize,
    ) -> Result<Vec<Due>, StoreError> {
        self.around("scan_due", Overlay::scan_due(self, until, after, most)).await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.around("next_due", Overlay::next_due(self)).await
    }

    fn is_shared(&self) -> bool {
        Overlay::is_shared(self)
    }

    async fn woken(&self) {
        Overlay::woken(self).await;
    }

    async fn read(&self, slot: &Slot) -> Result<Option<SecretBytes>, StoreError> {
        self.around("read", Overlay::read(self, slot)).await
    }

    async fn write(&self, slot: &Slot, bytes: &SecretBytes) -> Result<(), StoreError> {
        self.around("write", Overlay::write(self, slot, bytes)).await
    }

    async fn write_if(
        &self,
        slot: &Slot,
        expected: Option<&SecretBytes>,
        bytes: &SecretBytes,
    ) -> Result<(), StoreError> {
        self.around("write_if", Overlay::write_if(self, slot, expected, bytes)).await
    }

    async fn forget(&self, id: &CertificateId, generation: Generation) -> Result<(), StoreError> {
        self.around("forget", Overlay::forget(self, id, generation)).await
    }

    async fn buckets(&self, keys: &[BudgetKey]) -> Result<Vec<Option<(Version, Bucket)>>, StoreError> {
        self.around("buckets", Overlay::buckets(self, keys)).await
    }

    async fn quarantined(&self) -> Result<Vec<Quarantined>, StoreError> {
        self.around("quarantined", Overlay::quarantined(self)).await
    }

    async fn remove(
        &self,
        id: &CertificateId,
        expected: Version,
        held: Option<&Held>,
    ) -> Result<(), StoreError> {
        self.around("remove", Overlay::remove(self, id, expected, held)).await
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, sync::Mutex};

    use super::{Arc, Call, Overlay, StoreError, async_trait};
    use crate::{CertificateSpec, MemoryStore, Record, store::Store};

    /// Changes nothing, and notes what it is asked for.
    #[derive(Default)]
    struct Noting {
        below: MemoryStore,
        asked: Mutex<Vec<&'static str>>,
    }

    #[async_trait]
    impl Overlay for Noting {
        type Below = MemoryStore;

        fn below(&self) -> &MemoryStore {
            &self.below
        }

        async fn around<T: Send>(&self, method: &'static str, call: Call<'_, T>) -> Result<T, StoreError> {
            self.asked.lock().unwrap().push(method);
            call.await
        }
    }

    impl Noting {
        fn asked(&self) -> BTreeSet<&'static str> {
            self.asked.lock().unwrap().drain(..).collect()
        }
    }

    #[tokio::test]
    async fn an_overlay_that_changes_nothing_keeps_the_laws_and_hears_of_each_method_by_its_name() {
        let noting = Arc::new(Noting::default());
        let store: &dyn Store = &noting;
        crate::store::laws::check(store).await.unwrap();
        let by_laws = [
            "apply",
            "buckets",
            "claim",
            "claim_one",
            "extend",
            "forget",
            "list",
            "load",
            "next_due",
            "read",
            "release",
            "remove",
            "scan_due",
            "write",
            "write_if",
        ];
        assert_eq!(noting.asked(), BTreeSet::from(by_laws));
        assert_eq!(store.quarantined().await.unwrap(), []);
        assert_eq!(noting.asked(), BTreeSet::from(["quarantined"]));
        let record = Record::new(CertificateSpec::new("site", ["site.example"]).unwrap());
        store.commit(&record, None).await.unwrap();
        assert_eq!(noting.asked(), BTreeSet::from(["apply"]), "a commit is no way past it");
        store.woken().await; // The commit has woken whoever comes next.
    }
}
