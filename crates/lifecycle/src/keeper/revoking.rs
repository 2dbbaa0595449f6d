//! Revoking what must not be trusted any more: a debt on record, paid after a new certificate is in place.

use super::{
    desk::{Desk, Page},
    material,
    walk::guarded,
};
use crate::{EventKind, Revocation, StoreError, record::Compromised};

/// Revokes what was compromised and is not needed any more. What cannot be revoked now stays on record.
pub(super) async fn revoke(desk: Desk<'_>, page: &mut Page) -> Result<(), StoreError> {
    if !page.record.is_to_revoke() {
        return Ok(());
    }
    let serving = page.record.current.as_ref().map(|current| current.generation);
    let due: Vec<Compromised> = page
        .record
        .compromised
        .iter()
        .filter(|compromised| Some(compromised.generation) != serving)
        .cloned()
        .collect();
    for compromised in due {
        if !is_over(desk, page, &compromised).await? {
            continue;
        }
        page.record.compromised.retain(|other| *other != compromised);
        desk.save(page).await?;
        let kept = page.record.previous == Some(compromised.generation);
        if !kept {
            // That it stays a little longer harms nobody.
            let _ = desk.inner.store.forget(page.id(), compromised.generation).await;
        }
    }
    Ok(())
}

/// Whether nothing is to be done any more: it is revoked, has ended, or nothing is left of it.
async fn is_over(desk: Desk<'_>, page: &mut Page, compromised: &Compromised) -> Result<bool, StoreError> {
    let (id, generation) = (&page.id().clone(), compromised.generation);
    let Some(chain) = material::chain(desk.inner, id, generation).await? else { return Ok(true) };
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
    // Nobody but a person can do it: that is said once.
    let message = format!("the certificate with the serial number {serial} was not revoked: {error}");
    let (issuer, retry_at) = (compromised.issuer.clone(), perennial_core::Timestamp::MAX);
    desk.tell(id, EventKind::Failed { issuer, class: error.class, message, retry_at });
    Ok(true)
}
