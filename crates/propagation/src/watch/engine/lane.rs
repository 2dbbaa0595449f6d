//! The queue of one address.

use std::{collections::VecDeque, time::Duration};

use super::Ticket;
use crate::transport::{Endpoint, Reply, TransportError};

#[derive(Debug)]
pub(super) struct Lane {
    pub(super) endpoint: Endpoint,
    pub(super) queue: VecDeque<Ticket>,
    pub(super) under_way: usize,
    /// Whether it stands in line already.
    pub(super) in_turn: bool,
    /// How many questions in a row were not answered.
    failures: u32,
    /// What is wrong with the address, and until when that is believed.
    trouble: Option<(Duration, TransportError)>,
}

/// The most questions under way to one address: what a default socket buffer of a server holds of the answers.
/// At 20 ms of round trip that is 12 000 questions a second, which is as much as one address is ever asked.
const MOST_UNDER_WAY: usize = 256;
/// How many questions must go unanswered in a row until an address counts as dead. Each was sent several times,
/// over UDP and TCP, so that this is no packet loss.
const FAILURES: u32 = 8;
/// How long a dead address counts as dead before one question tries it again.
const PAUSE: Duration = Duration::from_secs(1);

impl Lane {
    pub(super) const fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, queue: VecDeque::new(), under_way: 0, in_turn: false, failures: 0, trouble: None }
    }

    pub(super) fn has_something_to_send(&self) -> bool {
        !self.queue.is_empty() && (self.under_way < MOST_UNDER_WAY || self.trouble.is_some())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.under_way == 0
    }

    /// One question is answered, or will not be.
    pub(super) fn landed(&mut self, now: Duration, answer: &Result<Reply, TransportError>) {
        self.under_way = self.under_way.saturating_sub(1);
        match answer {
            Ok(_) => (self.failures, self.trouble) = (0, None),
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                if self.failures >= FAILURES {
                    self.trouble = Some((now + PAUSE, error.clone()));
                }
            }
        }
    }

    /// Why the next question need not be sent, if so.
    pub(super) fn trouble(&mut self, now: Duration) -> Option<TransportError> {
        let (until, error) = self.trouble.as_mut()?;
        if now < *until {
            return Some(error.clone());
        }
        *until = now + PAUSE;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        transport::Transport,
        wire::{Answer, ResponseCode},
    };

    #[test]
    fn an_address_counts_as_dead_after_some_failures_and_is_tried_again() {
        let mut lane = Lane::new(Endpoint::Udp(([192, 0, 2, 1], 53).into()));
        let failure = Err(TransportError::Timeout);
        let now = Duration::from_secs(10);
        for _ in 1..FAILURES {
            lane.landed(now, &failure);
        }
        assert_eq!(lane.trouble(now), None);
        lane.landed(now, &failure);
        assert_eq!(lane.trouble(now), Some(TransportError::Timeout));
        assert_eq!(lane.trouble(now + PAUSE), None, "one question tries it");
        assert_eq!(lane.trouble(now + PAUSE), Some(TransportError::Timeout), "and only one");
        let answer = Answer::new(ResponseCode::NOERROR);
        lane.landed(now + PAUSE, &Ok(Reply::new(answer, Transport::Udp, PAUSE)));
        assert_eq!(lane.trouble(now + PAUSE), None);
    }
}
