//! Ending what nobody wants any more, and paying what is owed.

use std::collections::BTreeSet;

use perennial_core::Retry;

use super::{
    desk::{Desk, Page},
    walk::guarded,
};
use crate::{Error, IssueError, IssueErrorClass, IssuerName, StoreError};

/// Forgets an attempt that will not be continued, its key too.
pub(super) async fn drop_attempt(desk: Desk<'_>, mut page: Page) -> Result<Page, StoreError> {
    let Some(attempt) = page.record.attempt.take() else { return Ok(page) };
    desk.save(&mut page).await?;
    let _ = desk.inner.store.forget(page.id(), attempt.generation).await;
    Ok(page)
}

/// Lets each issuer pay what it owes; tells the first failure, after all have been asked.
pub(super) async fn settle(desk: Desk<'_>, page: Page) -> (Page, Result<(), Error>) {
    let owing: BTreeSet<IssuerName> = page.record.debts.iter().map(|debt| debt.issuer.clone()).collect();
    let (mut page, mut result) = (page, Ok(()));
    for name in owing {
        let issuer = match desk.inner.issuer(page.id(), &name) {
            Ok(issuer) => issuer,
            Err(error) => {
                result = result.and(Err(error));
                continue;
            }
        };
        let journal = desk.journal(&name, page);
        // Who has others remove something waits for them, and needs no slot.
        let settled = desk.hold.left_while(guarded(issuer.settle(&journal))).await;
        let left = journal.debts().await.len();
        page = desk.close(journal).await;
        let settled = settled.and_then(|()| if left == 0 { Ok(()) } else { Err(unpaid(&name, left)) });
        result = result.and_then(|()| settled.map_err(Error::from));
    }
    (page, result)
}

fn unpaid(issuer: &IssuerName, left: usize) -> IssueError {
    let message = format!("issuer {issuer} has not removed {left} of the things that it presented");
    IssueError::new(IssueErrorClass::Local, message, Retry::Backoff)
}
