//! Asking whether a certificate may be asked for.

use perennial_core::Retry;

use super::desk::{Desk, Page};
use crate::{
    Approval, ApprovalRequest, Error, EventKind, IssueError, IssueErrorClass, IssuerName, record::Denied,
};

/// Asks the approver, if there is one. `None`: it has said no, and that is on record.
pub(super) async fn ask(
    desk: Desk<'_>,
    page: &mut Page,
    issuer: &IssuerName,
) -> Result<Option<Option<String>>, Error> {
    let Some(approver) = &desk.inner.approver else { return Ok(Some(None)) };
    let record = &page.record;
    let is_renewal = record.current.as_ref().is_some_and(|current| record.spec.has_names_of(&current.facts));
    let requester = record.requester.as_deref();
    let request = ApprovalRequest { spec: &record.spec, issuer, requester, is_renewal };
    let approval = approver.approve(&request).await.map_err(|reason| {
        let message = format!("nobody could tell whether it may be asked for: {reason}");
        IssueError::new(IssueErrorClass::Local, message, Retry::Backoff)
    })?;
    match approval {
        Approval::Approved { by } => {
            desk.tell(page.id(), EventKind::Approved { by: by.clone() });
            Ok(Some(Some(by)))
        }
        Approval::Denied { by, reason } => {
            page.record.denied = Some(Denied { by: by.clone(), reason: reason.clone(), at: desk.now() });
            page.record.observe(None, desk.now());
            desk.save(page).await?;
            desk.tell(page.id(), EventKind::Denied { by, reason });
            Ok(None)
        }
    }
}
