//! When the CAA check is consulted.

use super::Account;
use crate::{
    CaaAnswer, CaaCheck, ChallengeKind, Error, Misuse, NewOrder,
    caa::{CaaForbids, questions},
};

impl Account {
    /// Asks the client's [`CaaCheck`] about every DNS name of an order, one after the other, without
    /// ordering. [`new_order`](Self::new_order) does it by itself; here the types of challenges that will be
    /// solved can be given, for records that allow some only (RFC 8657 §4). None given means that it is not
    /// decided.
    ///
    /// # Errors
    /// [`Error::CaaForbids`] with all names that are forbidden; [`Misuse::Missing`] when the client has no
    /// check; or why the directory could not be had.
    pub async fn check_caa(&self, request: &NewOrder, methods: &[ChallengeKind]) -> Result<(), Error> {
        match &self.client().caa {
            Some(check) => self.consult(&**check, request, methods).await,
            None => Err(Misuse::Missing { part: "a CAA check" }.into()),
        }
    }

    /// What [`new_order`](Self::new_order) does first.
    pub(super) async fn check_caa_if_set(&self, request: &NewOrder) -> Result<(), Error> {
        match &self.client().caa {
            Some(check) => self.consult(&**check, request, &[]).await,
            None => Ok(()),
        }
    }

    async fn consult(
        &self,
        check: &dyn CaaCheck,
        request: &NewOrder,
        methods: &[ChallengeKind],
    ) -> Result<(), Error> {
        let directory = self.client().directory().await?;
        let mut names = Vec::new();
        for question in questions(request.identifiers(), &directory.meta, self.url(), methods) {
            match check.check(&question).await {
                CaaAnswer::Allowed => {}
                CaaAnswer::Forbidden(record) => names.push((question.identifier(), record)),
                CaaAnswer::Inconclusive { reason } => {
                    tracing::debug!(name = %question.name, reason, "the CAA check does not know");
                }
            }
        }
        if names.is_empty() {
            return Ok(());
        }
        let (identities, account_url) = (directory.meta.caa_identities.clone(), self.url().to_owned());
        Err(Error::CaaForbids(Box::new(CaaForbids { names, identities, account_url })))
    }
}
