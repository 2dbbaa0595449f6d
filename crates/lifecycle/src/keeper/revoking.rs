//! Revoking what must not be trusted any more: a debt on record, paid after a new certificate is in place.

use super::{
    boxed,
    desk::{Desk, Page},
    material, pass,
    walk::guarded,
};
use crate::{EventKind, Generation, IssueErrorClass, Revocation, StoreError, record::Compromised};

/// Revokes what was compromised and is not needed any more. What cannot be revoked now stays on record.
pub(super) async fn revoke(desk: Desk<'_>, page: &mut Page) -> Result<(), StoreError> {
    let serving = page.record.current.as_ref().map(|current| current.generation);
    revoke_but(desk, page, serving).await
}

/// The same where nothing is needed any more: the one that serves, too.
pub(super) async fn revoke_all(desk: Desk<'_>, page: &mut Page) -> Result<(), StoreError> {
    revoke_but(desk, page, None).await
}

async fn revoke_but(desk: Desk<'_>, page: &mut Page, needed: Option<Generation>) -> Result<(), StoreError> {
    let is_due = |compromised: &&Compromised| Some(compromised.generation) != needed;
    let due: Vec<Compromised> = page.record.compromised.iter().filter(is_due).cloned().collect();
    for compromised in due {
        if !boxed(|| is_over(desk, page, &compromised)).await? {
            continue;
        }
        page.record.compromised.retain(|other| *other != compromised);
        // Nobody goes back to a key that is in other hands, nor trusts what it signed.
        page.record.previous.take_if(|previous| *previous == compromised.generation);
        desk.save(page).await?;
        // That it stays a little longer harms nobody.
        let _ = desk.inner.store.forget(page.id(), compromised.generation).await;
    }
    Ok(())
}

/// Whether nothing is to be done any more: it is revoked, has ended, or nothing is left of it.
async fn is_over(desk: Desk<'_>, page: &mut Page, compromised: &Compromised) -> Result<bool, StoreError> {
    let (id, generation) = (&page.id().clone(), compromised.generation);
    let chain = match material::chain(desk.inner, id, generation).await {
        Err(error) if material::is_of_one_slot(&error) => return Ok(false),
        chain => chain?,
    };
    let Some(chain) = chain else { return Ok(true) };
    if chain.facts().not_after <= desk.now() {
        return Ok(true);
    }
    let Ok(issuer) = desk.inner.issuer(id, &compromised.issuer) else { return Ok(false) };
    let key = material::key(desk.inner, id, generation).await.ok();
    let serial = chain.facts().serial.clone();
    let revocation = Revocation { chain, key };
    let (version, record) = (page.version, page.record.clone());
    let journal = desk.journal(&compromised.issuer, Page::new(version, record));
    let revoked = guarded(issuer.revoke(&revocation, &journal)).await;
    *page = desk.close(journal).await;
    let Err(error) = revoked else {
        desk.tell(id, EventKind::Revoked { serial });
        return Ok(true);
    };
    if error.retry().is_worthwhile() {
        return Ok(false);
    }
    // A person has to do something about it: that is said. What is wrong here, or with our credentials, is mended
    // some day, and it is revoked then; what the issuer refuses is not asked again.
    let over = !matches!(error.class, IssueErrorClass::Auth | IssueErrorClass::Local);
    let retry_at = (!over).then(|| desk.now() + pass::DEBT_PAUSE);
    let (issuer, class, message) = (compromised.issuer.clone(), error.class, error.message);
    desk.tell(id, EventKind::RevocationFailed { issuer, class, serial, message, retry_at });
    Ok(over)
}
