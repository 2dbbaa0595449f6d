//! Where a walk goes on, by what the server says of its order.

use super::{Position, Walk};
use crate::{
    Error, Misbehaved, OrderState, OrderStatus, ProblemType,
    flow::{Next, Reply, State},
    url::shown,
};

impl Walk {
    /// An order of an earlier run: taken up if it can still succeed.
    pub(super) fn handle_take_up(&mut self, reply: Result<Reply, Error>) -> Result<(), Error> {
        let order = match reply.and_then(Reply::into_order) {
            Ok(order) => order,
            Err(error) if self.is_lost(&error) => {
                self.start_over();
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if matches!(order.status, OrderStatus::Canceled | OrderStatus::Invalid)
            || !order.is_for(self.plan.request.identifiers())
        {
            self.start_over();
            return Ok(());
        }
        if let (OrderStatus::Pending, State::Finalizing { order: url }) = (&order.status, &self.state) {
            // What was proven is so no longer: that is for the proofs to mend.
            self.enter(State::Ordered { order: url.clone() });
        }
        self.proceed(order)
    }

    /// Whether nobody will hear of the order again. All else passes, or can be mended, and then the order is there.
    fn is_lost(&self, error: &Error) -> bool {
        match error {
            // 404 and 403 both mean that this account has no such order any more; but 403 may also mean that terms
            // have changed (RFC 8555 §7.3.3).
            Error::Server(refusal) => {
                matches!(refusal.problem.status, Some(403 | 404 | 410))
                    && refusal.problem.kind != ProblemType::UserActionRequired
            }
            // The order's URL is another server's: the directory was changed under the walk. A bad URL within the
            // order is no reason to place a second one.
            Error::Misbehaved(Misbehaved::Url { url, .. }) => {
                self.state.order().is_some_and(|order| shown(order.as_str()) == *url)
            }
            _ => false,
        }
    }

    fn start_over(&mut self) {
        (self.known, self.addresses) = (Vec::new(), None);
        self.enter(State::Ordering);
        self.next = Position::Place;
    }

    pub(super) fn handle_finalization(&mut self, reply: Result<Reply, Error>) -> Result<(), Error> {
        let reply = reply.and_then(Reply::into_order);
        let next = if self.finalization.is_in_doubt() {
            self.finalization.handle_look(reply)
        } else {
            self.finalization.handle_answer(reply)
        };
        match next? {
            Next::Send | Next::Look => Ok(()),
            Next::Settled(order) => self.proceed(*order),
        }
    }

    /// Goes on with an order as the server describes it.
    pub(super) fn proceed(&mut self, order: OrderState) -> Result<(), Error> {
        let finalized = matches!(self.state, State::Finalizing { .. });
        self.note_addresses(&order);
        if matches!(order.status, OrderStatus::Processing | OrderStatus::Ready | OrderStatus::Valid) {
            self.mark_proven();
        }
        match order.status {
            OrderStatus::Canceled | OrderStatus::Invalid => self.fail(order),
            // A server could let an order go round for ever.
            OrderStatus::Pending if finalized => Err(self.backwards(order.status)),
            OrderStatus::Ready if finalized && !self.finalization.may_be_sent() => {
                Err(self.backwards(order.status))
            }
            OrderStatus::Pending => {
                self.next = Position::Authorize(order);
                Ok(())
            }
            OrderStatus::Unknown(_) => {
                self.next = Position::Validate;
                Ok(())
            }
            _ if !self.state.tasks().is_empty() => {
                self.next = Position::CleanUp(order);
                Ok(())
            }
            _ => self.finish(order),
        }
    }

    /// They seldom change, and are copied only then.
    fn note_addresses(&mut self, order: &OrderState) {
        let certificate = order.certificate.as_ref().or(order.star_certificate.as_ref());
        let known = self.addresses.as_ref().map(|(finalize, certificate)| (finalize, certificate.as_ref()));
        if known != Some((&order.finalize, certificate)) {
            self.addresses = Some((order.finalize.clone(), certificate.cloned()));
        }
    }

    /// Goes on with an order whose names are proven, and whose proofs are removed.
    pub(super) fn finish(&mut self, order: OrderState) -> Result<(), Error> {
        if let Some(url) = self.state.order().cloned() {
            self.enter(State::Finalizing { order: url });
        }
        self.next = match order.status {
            OrderStatus::Ready => Position::Finalize(order),
            // That of the moment, where the CA renews by itself (RFC 8739 §3.3).
            OrderStatus::Valid => match order.certificate.or(order.star_certificate) {
                Some(url) => Position::Download(url),
                None => {
                    let (resource, field) = ("order", "certificate");
                    return Err(Misbehaved::Field { resource, field, expected: "a URL" }.into());
                }
            },
            // A moment past the deadline is no reason to sleep until then: a look tells whether it stays so.
            _ => Position::Issue(order.retry_at.filter(|at| *at <= self.plan.deadline)),
        };
        Ok(())
    }

    /// The end of an order that failed: with its own reason, or after a look for the reasons of its names.
    fn fail(&mut self, order: OrderState) -> Result<(), Error> {
        if order.error.is_none() && !order.authorizations.is_empty() {
            self.next = Position::Explain(order);
            return Ok(());
        }
        Err(self.invalid(order.error))
    }

    fn backwards(&self, status: OrderStatus) -> Error {
        Misbehaved::Backwards { url: self.order_url(), status }.into()
    }
}
