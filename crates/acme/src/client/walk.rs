//! Driving a [`Walk`].

use super::{Account, Authorization};
use crate::{
    Error, Misuse,
    call::Call,
    flow::{Errand, Event, Offer, Reply, Step, Walk},
};

impl Account {
    /// Sends what a walk wants sent, until it wants something that is not the server's business, and returns that.
    /// See [`flow`](crate::flow) for an example.
    ///
    /// # Errors
    /// What ends the walk or its step; [`Walk::state`] is where it can be taken up again. After
    /// [`Error::OrderInvalid`] the [`leftovers`](Walk::leftovers) may be [sent](Self::send).
    pub async fn advance(&self, walk: &mut Walk) -> Result<Errand, Error> {
        loop {
            match walk.poll() {
                Step::Do(errand) => return Ok(errand),
                Step::Send(calls) => self.perform(walk, calls).await?,
            }
        }
    }

    /// Sends the requests of one step of a walk and tells it how they were answered, for those who want to know of
    /// each. Before an order is placed, the certification
    /// request's key is held against the account's (RFC 8555 §11.1), and a [CAA
    /// check](crate::ClientBuilder::caa_check), if there is one, is consulted.
    ///
    /// # Errors
    /// As [`advance`](Self::advance).
    pub async fn perform(&self, walk: &mut Walk, calls: Vec<Call<Reply>>) -> Result<(), Error> {
        if walk.is_ordering() {
            walk.certification_request().check_key(&self.thumbprint()).map_err(Misuse::from)?;
            self.check_caa_if_set(walk.request()).await?;
        }
        let answers = self.send(calls).await;
        walk.handle(Event::Answered(answers))
    }

    /// The handle of an authorization that a walk offers. Sends nothing: the server's word is known already.
    #[must_use]
    pub fn offered(&self, offer: &Offer) -> Authorization {
        Authorization::new(self.clone(), offer.url.clone(), offer.state.clone())
    }
}
