//! One look at a change for all who wait for it.
//!
//! Those whose changes went [together](super::gather) wait for the same change, and would all ask about it at the same
//! time. Whoever comes while somebody is asking takes the answer.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex as SyncMutex, MutexGuard as SyncMutexGuard, PoisonError, Weak},
};

use tokio::sync::Mutex;

use super::Vendor;
use crate::{Error, Pending};

type Seen = Result<bool, Error>;

/// The changes that somebody of this provider asks about just now.
#[derive(Default)]
pub(super) struct Looks(SyncMutex<HashMap<Pending, Weak<Look>>>);

#[derive(Default)]
struct Look {
    /// Held by whoever asks.
    asking: Mutex<()>,
    /// How often was asked, and what the last answer was.
    last: SyncMutex<(u64, Option<Seen>)>,
}

impl Looks {
    /// Whether the vendor's servers have it, as one of those says who ask at this moment.
    pub(super) async fn in_sync(&self, vendor: &impl Vendor, pending: &Pending) -> Seen {
        let look = self.look(pending);
        let before = look.last().0;
        let _asking = look.asking.lock().await;
        {
            let last = look.last();
            if let (true, Some(seen)) = (last.0 != before, &last.1) {
                return seen.clone();
            }
        }
        let seen = vendor.in_sync(pending).await;
        let mut last = look.last();
        *last = (last.0 + 1, Some(seen.clone()));
        seen
    }

    fn look(&self, pending: &Pending) -> Arc<Look> {
        let mut looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(look) = looks.get(pending).and_then(Weak::upgrade) {
            return look;
        }
        // Nobody asks any more about most of what is there.
        looks.retain(|_, look| look.strong_count() > 0);
        let look = Arc::new(Look::default());
        looks.insert(pending.clone(), Arc::downgrade(&look));
        look
    }
}

impl Look {
    fn last(&self) -> SyncMutexGuard<'_, (u64, Option<Seen>)> {
        // Whole between any two statements.
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
