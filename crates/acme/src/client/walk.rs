//! Driving a [`Walk`].

use super::{Account, Authorization};
use crate::{
    AuthorizationState, Error, Url,
    flow::{Errand, Event, Step, Walk},
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
                Step::Send(calls) => {
                    let answers = self.send(calls).await;
                    walk.handle(Event::Answered(answers))?;
                }
            }
        }
    }

    /// The handle of an authorization of which the server's word is known already, as it is in an
    /// [`Offer`](crate::flow::Offer). Sends nothing.
    #[must_use]
    pub fn authorization(&self, url: Url, state: AuthorizationState) -> Authorization {
        Authorization::new(self.clone(), url, state)
    }
}
