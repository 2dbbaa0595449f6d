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
            Err(error) if may_have_arrived(&error) => {
                // Also after the last attempt: whoever comes back begins with a look.
                self.doubt = Some(error.clone());
                if self.may_be_sent() { Ok(Next::Look) } else { Err(error) }
            }
            Err(error) => Err(error),
        }
    }

    /// Reads what the order says about itself.
    pub(crate) fn handle_look(&mut self, look: Result<OrderState, Error>) -> Result<Next, Error> {
        let doubt = self.doubt.take();
        match (look, doubt) {
            // The error that raised the doubt says more than that there was no answer to the question, and more
            // than that authorizations are missing. The doubt stays: nothing is sent before a look that succeeds.
            (Err(_), Some(error)) => Err(self.still_in_doubt(error)),
            (Ok(state), Some(error)) if state.status == OrderStatus::Pending => {
                Err(self.still_in_doubt(error))
            }
            (Err(error), None) => Err(error),
            (Ok(state), _) if matches!(state.status, OrderStatus::Ready | OrderStatus::Unknown(_)) => {
                Ok(Next::Send)
            }
            (Ok(state), _) => Ok(Next::Settled(Box::new(state))),
        }
    }

    fn still_in_doubt(&mut self, error: Error) -> Error {
        self.doubt = Some(error.clone());
        error
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Misbehaved, Problem, error::Refusal};
    use perennial_core::HttpError;

    fn refused(status: u16, kind: &str) -> Error {
        let body = format!(r#"{{"type":"urn:ietf:params:acme:error:{kind}","status":{status}}}"#);
        let problem = Problem::parse(body.as_bytes()).unwrap();
        Error::Server(Box::new(Refusal { verb: "finalize", url: String::new(), problem }))
    }

    fn lost() -> Error {
        HttpError::Timeout { url: String::new() }.into()
    }

    fn order(status: &str) -> Result<OrderState, Error> {
        let body = format!(
            r#"{{"status":"{status}","identifiers":[],"authorizations":[],"finalize":"https://ca.example/f"}}"#
        );
        Ok(OrderState::parse(body.as_bytes()).unwrap())
    }

    #[test]
    fn the_order_is_looked_at_when_the_request_may_have_arrived_and_only_then() {
        for (error, may_have) in [
            (lost(), true),
            (HttpError::BodyTooLarge { url: String::new(), limit: 1 }.into(), true),
            (HttpError::InsecureUrl { url: String::new() }.into(), false),
            (Misbehaved::Header { url: String::new(), header: "Location" }.into(), true),
            (refused(403, "orderNotReady"), true),
            (refused(500, "serverInternal"), true),
            (refused(503, "rateLimited"), true),
            (refused(400, "badCSR"), false),
            (refused(403, "unauthorized"), false),
            (refused(429, "rateLimited"), false),
        ] {
            let mut finalization = Finalization::default();
            let next = finalization.handle_answer(Err(error.clone()));
            assert_eq!(matches!(next, Ok(Next::Look)), may_have, "{error}");
            assert_eq!(next.is_err(), !may_have, "{error}");
            assert_eq!(finalization.is_in_doubt(), may_have, "{error}");
        }
    }

    #[test]
    fn the_order_decides_what_becomes_of_a_request_that_may_have_arrived() {
        let look = |look| {
            let mut finalization = Finalization::default();
            finalization.handle_answer(Err(lost())).unwrap();
            (finalization.handle_look(look), finalization.is_in_doubt())
        };
        for status in ["ready", "new-word"] {
            assert!(matches!(look(order(status)), (Ok(Next::Send), false)), "{status}");
        }
        for status in ["processing", "valid", "invalid", "canceled"] {
            assert!(matches!(look(order(status)), (Ok(Next::Settled(_)), false)), "{status}");
        }
        for answer in [order("pending"), Err(refused(400, "malformed"))] {
            let (next, in_doubt) = look(answer);
            assert_eq!((next.unwrap_err(), in_doubt), (lost(), true));
        }
    }
}
