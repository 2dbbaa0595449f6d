//! Sending the signing request, until it is known what became of it (RFC 8555 §7.4).
//!
//! A request that is lost may have arrived; and `orderNotReady` may mean that an earlier one did. In both cases
//! the order itself knows, so it is looked at before anything is sent again: never a second order, never two
//! certificates where one was wanted.

use crate::{Error, OrderState, OrderStatus, ProblemType};

/// How far it has come.
#[derive(Clone, Debug, Default)]
pub(crate) struct Finalization {
    attempts: u32,
    /// Why the order has to be looked at.
    doubt: Option<Error>,
}

/// What follows.
#[derive(Debug)]
pub(crate) enum Next {
    /// The signing request is to be sent, once more perhaps.
    Send,
    /// The order is to be looked at.
    Look,
    /// The server has the signing request; the order is not `ready` any more.
    Settled(Box<OrderState>),
}

impl Finalization {
    /// Whether the order is to be looked at before anything else.
    pub(crate) const fn is_in_doubt(&self) -> bool {
        self.doubt.is_some()
    }

    /// Whether the signing request may be sent, or sent again.
    pub(crate) const fn may_be_sent(&self) -> bool {
        self.attempts < MAX_ATTEMPTS
    }

    /// Reads the answer to the signing request.
    pub(crate) fn handle_answer(&mut self, answer: Result<OrderState, Error>) -> Result<Next, Error> {
        self.attempts += 1;
        match answer {
            Ok(state) => Ok(Next::Settled(Box::new(state))),
            Err(error) if self.may_be_sent() && may_have_arrived(&error) => {
                self.doubt = Some(error);
                Ok(Next::Look)
            }
            Err(error) => Err(error),
        }
    }

    /// Reads what the order says about itself.
    pub(crate) fn handle_look(&mut self, look: Result<OrderState, Error>) -> Result<Next, Error> {
        let doubt = self.doubt.take();
        match (look, doubt) {
            // The error that raised the doubt says more than that there was no answer to the question, and more
            // than that authorizations are missing.
            (Err(_), Some(error)) => Err(error),
            (Ok(state), Some(error)) if state.status == OrderStatus::Pending => Err(error),
            (Err(error), None) => Err(error),
            (Ok(state), _) if matches!(state.status, OrderStatus::Ready | OrderStatus::Unknown(_)) => {
                Ok(Next::Send)
            }
            (Ok(state), _) => Ok(Next::Settled(Box::new(state))),
        }
    }
}

/// Whether the server may have taken the request although we hear that it failed, or was not ready a moment
/// ago: then the order is asked, not the error.
fn may_have_arrived(error: &Error) -> bool {
    match error {
        Error::Network(error) => error.retry().is_worthwhile(),
        Error::Misbehaved(_) => true,
        Error::Server(refusal) => {
            error.is(&ProblemType::OrderNotReady)
                || refusal.problem.status.is_some_and(|status| status >= 500)
        }
        _ => false,
    }
}

/// Once more after a lost request is fair; a server that loses it twice has another trouble.
const MAX_ATTEMPTS: u32 = 2;
