//! Waiting until a vendor's own servers have what was applied.

use perennial_core::{Clock, Timestamp};

use crate::{DnsProvider, Error, Pending};

/// Waits until the vendor says that its own servers have all of this, looking as often as the provider
/// [suggests](crate::Capabilities::poll).
///
/// What a provider cannot tell is no wait at all: see
/// [`reports_in_sync`](crate::Capabilities::reports_in_sync).
///
/// # Errors
/// [`Error::NotInSync`] when the deadline comes first; other errors when the vendor says that a change failed,
/// or could not be asked.
pub async fn wait_in_sync(
    provider: &dyn DnsProvider,
    pending: &[Pending],
    clock: &dyn Clock,
    deadline: Timestamp,
) -> Result<(), Error> {
    let poll = provider.capabilities().poll;
    let mut left: Vec<&Pending> = pending.iter().collect();
    loop {
        let mut still = Vec::new();
        for pending in left {
            if !provider.in_sync(pending).await? {
                still.push(pending);
            }
        }
        let Some(first) = still.first() else { return Ok(()) };
        if clock.now() + poll > deadline {
            return Err(Error::NotInSync {
                provider: provider.kind().to_owned(),
                what: format!("the change {} of {}", first.handle, first.zone),
                at: clock.now(),
            });
        }
        left = still;
        clock.sleep(poll).await;
    }
}
