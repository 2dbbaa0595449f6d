//! How a walk hears how its steps went.

use super::{Position, Walk, proofs::offers};
use crate::{
    Error, Misuse,
    error::OrderInvalid,
    flow::{Event, Reply, State},
};

impl Walk {
    /// Hears how a step went.
    ///
    /// # Errors
    /// The failure of a request that ends the walk or the step, first [`Error::OrderInvalid`] with all reasons;
    /// [`Misuse::OutOfStep`] for an event that answers no step that was asked for; [`Misuse::Choice`] when what was
    /// chosen is not one of the challenges that were offered. The walk stays where it is then.
    pub fn handle(&mut self, event: Event) -> Result<(), Error> {
        if self.unrecorded {
            return match event {
                Event::Recorded => {
                    self.unrecorded = false;
                    Ok(())
                }
                event => Err(Misuse::OutOfStep { expected: "recorded", told: event.name() }.into()),
            };
        }
        match (&self.next, event) {
            (Position::Choose, Event::Chosen(challenges)) => self.handle_choice(&challenges),
            (Position::Present, Event::Presented) => {
                self.next = Position::Wait;
                Ok(())
            }
            (Position::Wait, Event::Visible) => {
                self.handle_visible();
                Ok(())
            }
            (Position::CleanUp(order), Event::CleanedUp) => {
                let order = order.clone();
                self.finish(order)
            }
            (next, Event::Answered(replies)) if next.awaits_answers() => self.handle_replies(replies),
            (next, event) => Err(Misuse::OutOfStep { expected: next.expected(), told: event.name() }.into()),
        }
    }

    fn handle_replies(&mut self, replies: Vec<Result<Reply, Error>>) -> Result<(), Error> {
        match self.next.clone() {
            Position::Authorize(order) => self.handle_authorizations(&order, replies),
            Position::Explain(order) => {
                // Reasons that cannot be had do not hide the failure.
                self.known = offers(&order, replies.into_iter().map(Result::ok));
                Err(self.invalid(None))
            }
            Position::Answer => {
                let failures = self.in_vain(&replies);
                self.mark_answered(&replies);
                for reply in replies {
                    reply?;
                }
                if !failures.is_empty() {
                    return Err(OrderInvalid { url: self.order_url(), problem: None, failures }.into());
                }
                self.next = Position::Validate;
                Ok(())
            }
            here => match replies.into_iter().next() {
                Some(reply) => self.handle_reply(&here, reply),
                None => Err(Misuse::OutOfStep { expected: "one answer", told: "none" }.into()),
            },
        }
    }

    fn handle_reply(&mut self, here: &Position, reply: Result<Reply, Error>) -> Result<(), Error> {
        match (here, reply) {
            (Position::TakeUp, reply) => self.handle_take_up(reply),
            (Position::Finalize(_), reply) => self.handle_finalization(reply),
            (Position::Place, Ok(Reply::Created(created))) => {
                self.enter(State::Ordered { order: created.url });
                // Whatever comes now, there is an order, and none is placed beside it.
                self.next = Position::TakeUp;
                self.proceed(created.state)
            }
            (Position::Validate | Position::Issue(_), Ok(Reply::Order(order))) => self.proceed(order),
            (Position::Download(_), Ok(Reply::Certificate(download))) => {
                self.next = Position::Take(Box::new(download));
                Ok(())
            }
            (_, Err(error)) => Err(error),
            (_, Ok(_)) => {
                Err(Misuse::OutOfStep { expected: "the answer to what was sent", told: "another" }.into())
            }
        }
    }
}
