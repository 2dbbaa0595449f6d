//! Keeping a certificate no longer.

use std::sync::Arc;

use perennial_core::Retry;

use super::{
    Keeper,
    desk::Desk,
    ended,
    lease::Ticket,
    revoking,
    settling::{drop_attempt, settle},
};
use crate::{CertificateId, Error, EventKind, IssueError, IssueErrorClass, Record, StoreError};

impl Keeper {
    /// Keeps a certificate no longer: takes its record out of the store, with all its keys and chains, in one step, and
    /// tells that ([`EventKind::Removed`]). Wishing for it again begins anew.
    ///
    /// What is owed for it is paid first: its issuers remove what they presented, and what is in other hands is revoked,
    /// the one that serves, too. Where that fails it goes on being kept, and this may be called again. A record that
    /// nobody can have removed any more is struck out by whoever looks after the zone, as `perennial-issuers` has a
    /// `Janitor` for.
    ///
    /// What is under way for it here ends with its next commit, or at once where it waits for something outside, and is
    /// waited for; whoever called [`step`](Self::step) hears [`Error::ShutDown`]. A wish that comes in between goes with the
    /// rest.
    ///
    /// **What was delivered stays where it is**, and goes on serving until somebody takes it away: to stop serving is
    /// a matter of the server. It is not revoked either. Its handles go on showing it, and answer
    /// [`Error::UnknownCertificate`] to who waits for another; in other processes that takes half a minute.
    ///
    /// # Errors
    /// [`Error::UnknownCertificate`] when there is none, [`Error::Held`] while another process works on it,
    /// [`Error::Issue`] or [`Error::UnknownIssuer`] when something that is owed is left, [`Error::Store`] when the store
    /// cannot be read or written, [`Error::ShutDown`] when the keeper ends.
    pub async fn remove(&self, id: &CertificateId) -> Result<(), Error> {
        self.inner.leases.end(id);
        let _turn = self.inner.turns.wait(id).await;
        let Ticket { hold, .. } = self.inner.claim_one(id).await?;
        let hold = Arc::new(hold);
        let desk = Desk { inner: &self.inner, hold: &hold };
        match ended(hold.under(Box::pin(clear_away(desk, id))).await, id) {
            Ok(()) => hold.leave(),
            Err(error) => {
                hold.release().await?;
                return Err(error);
            }
        }
        self.inner.watched.end(id, &Error::UnknownCertificate { id: id.clone() });
        self.inner.tell(id, EventKind::Removed);
        Ok(())
    }
}

/// Pays what is owed, and removes what is there then.
async fn clear_away(desk: Desk<'_>, id: &CertificateId) -> Result<(), Error> {
    loop {
        match try_clear_away(desk, id).await {
            // A wish was changed meanwhile.
            Err(Error::Store(StoreError::Conflict { .. })) => {}
            cleared => return cleared,
        }
    }
}

async fn try_clear_away(desk: Desk<'_>, id: &CertificateId) -> Result<(), Error> {
    let page = drop_attempt(desk, desk.page(id).await?).await?;
    let (mut page, settled) = settle(desk, page).await;
    settled?;
    revoking::revoke_all(desk, &mut page).await?;
    if let Some(error) = unrevoked(&page.record) {
        return Err(error.into());
    }
    Ok(desk.hold.remove(page.version).await?)
}

fn unrevoked(record: &Record) -> Option<IssueError> {
    let left = record.compromised.first()?;
    let (id, issuer, generation) = (record.id(), &left.issuer, left.generation);
    let message = format!(
        "the key of certificate {id} is in other hands, and issuer {issuer} has not revoked its generation \
         {generation} yet: remove it again later"
    );
    Some(IssueError::new(IssueErrorClass::Local, message, Retry::Backoff))
}
