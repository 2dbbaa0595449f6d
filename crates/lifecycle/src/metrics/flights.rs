//! From events to what is measured between them: pure.

use std::collections::HashMap;

use perennial_core::Timestamp;

use super::refusal::{LIMITS, limit};
use crate::{CertificateId, Event, EventKind, Identifier, Reason, Stage};

/// The attempts that are under way, as far as their events have told.
#[derive(Debug, Default)]
pub(super) struct Flights {
    flights: HashMap<CertificateId, Flight>,
}

/// An attempt that is under way, or has just ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Flight {
    pub(super) why: Option<Reason>,
    /// How often the CA asked for less, by which of [`LIMITS`], and until when at last.
    pub(super) rate_limited: [u64; LIMITS.len()],
    pub(super) rate_limited_until: Option<Timestamp>,
    pub(super) order: Option<Span>,
    pub(super) challenges: Vec<Challenge>,
}

/// Something that takes its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) began: Timestamp,
    /// When it ended, and whether well.
    pub(super) ended: Option<(Timestamp, bool)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Challenge {
    name: Identifier,
    pub(super) kind: String,
    pub(super) span: Span,
}

/// So many attempts are never made at once; what is left over belongs to attempts whose end nobody told.
const MOST_FLIGHTS: usize = 100_000;
/// As many as an order has on record.
const MOST_CHALLENGES: usize = 100;

impl Flights {
    /// Takes an event into account; an attempt that it ends is returned.
    pub(super) fn hear(&mut self, event: &Event) -> Option<Flight> {
        let id = event.certificate.as_ref()?;
        match &event.kind {
            EventKind::Issuing { why, .. } => {
                if self.flights.len() >= MOST_FLIGHTS {
                    self.flights.clear();
                }
                self.flights.insert(id.clone(), Flight { why: Some(*why), ..Flight::default() });
                None
            }
            EventKind::Stage { stage } => {
                if let Some(flight) = self.flights.get_mut(id) {
                    flight.reach(stage, event.at);
                }
                None
            }
            EventKind::LeaseLost | EventKind::Removed => {
                // Whoever has it now tells of it, and of one that is gone nobody does.
                self.flights.remove(id);
                None
            }
            EventKind::Failed { .. } | EventKind::GivenUp { .. } | EventKind::Issued { .. } => {
                Some(self.flights.remove(id).unwrap_or_default())
            }
            _ => None,
        }
    }
}

impl Flight {
    fn reach(&mut self, stage: &Stage, at: Timestamp) {
        match stage {
            Stage::OrderCreated { .. } => self.order = Some(Span { began: at, ended: None }),
            Stage::Downloaded => end(self.order.as_mut(), at, true),
            Stage::OrderFailed { .. } => end(self.order.as_mut(), at, false),
            Stage::ChallengePresented { name, kind, .. } if self.challenges.len() < MOST_CHALLENGES => {
                let span = Span { began: at, ended: None };
                self.challenges.push(Challenge { name: name.clone(), kind: kind.clone(), span });
            }
            Stage::DomainVerified { name, .. } => end(self.challenge(name), at, true),
            Stage::ChallengeFailed { name, .. } => end(self.challenge(name), at, false),
            Stage::RateLimited { limit: said, until } => {
                if let Some(count) = self.rate_limited.get_mut(limit(said)) {
                    *count += 1;
                }
                self.rate_limited_until = until.or(self.rate_limited_until);
            }
            _ => {}
        }
    }

    fn challenge(&mut self, name: &Identifier) -> Option<&mut Span> {
        let last = self.challenges.iter_mut().rev().find(|challenge| challenge.name == *name);
        last.map(|challenge| &mut challenge.span)
    }
}

fn end(span: Option<&mut Span>, at: Timestamp, well: bool) {
    if let Some(span) = span {
        span.ended.get_or_insert((at, well));
    }
}

impl Span {
    /// How long it took, in seconds, and whether it ended well; `None` while it goes on.
    pub(super) fn took(self) -> Option<(f64, bool)> {
        let (at, well) = self.ended?;
        Some((at.since(self.began).as_secs_f64(), well))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Generation, IssueErrorClass};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(seconds)
    }

    fn event(seconds: i64, kind: EventKind) -> Event {
        Event::new(at(seconds), Some("a".parse().unwrap()), kind)
    }

    fn stage(at: i64, stage: Stage) -> Event {
        event(at, EventKind::Stage { stage })
    }

    fn issued(at: i64) -> Event {
        let (not_after, renews_at) = (Timestamp::MAX, Timestamp::MAX);
        let (issuer, generation) = ("ca".parse().unwrap(), Generation::from_number(1));
        event(at, EventKind::Issued { issuer, generation, was_due_at: None, not_after, renews_at })
    }

    fn failed(at: i64) -> Event {
        let (issuer, class) = ("ca".parse().unwrap(), IssueErrorClass::Validation);
        event(at, EventKind::Failed { issuer, class, message: String::new(), retry_at: Timestamp::MAX })
    }

    fn landed(events: &[Event]) -> Flight {
        let mut flights = Flights::default();
        let landed: Vec<_> = events.iter().filter_map(|event| flights.hear(event)).collect();
        assert_eq!(flights.flights.len(), 0, "nothing is kept of what has ended");
        landed.into_iter().next().unwrap()
    }

    fn begun(why: Reason) -> Event {
        event(0, EventKind::Issuing { why, resumed: false })
    }

    fn presented(at: i64, name: &str) -> Event {
        let (name, kind) = (name.parse().unwrap(), "dns-01".to_owned());
        stage(at, Stage::ChallengePresented { name, kind, at: "here".to_owned() })
    }

    fn verified(at: i64, name: &str) -> Event {
        stage(at, Stage::DomainVerified { name: name.parse().unwrap(), kind: "dns-01".to_owned() })
    }

    #[test]
    fn spans_reach_from_what_begins_them_to_what_ends_them() {
        let flight = landed(&[
            begun(Reason::Renewing),
            stage(10, Stage::OrderCreated { url: String::new() }),
            presented(11, "a.example"),
            presented(12, "*.a.example"),
            verified(20, "*.a.example"),
            verified(25, "a.example"),
            stage(40, Stage::Downloaded),
            issued(41),
        ]);
        assert_eq!(flight.why, Some(Reason::Renewing));
        assert_eq!(flight.order.unwrap().took(), Some((30.0, true)));
        let took: Vec<_> = flight.challenges.iter().map(|challenge| challenge.span.took()).collect();
        assert_eq!(took, [Some((14.0, true)), Some((8.0, true))]);
    }

    #[test]
    fn a_failure_ends_what_failed_and_leaves_open_what_did_not() {
        let flight = landed(&[
            begun(Reason::DoesNotExist),
            stage(1, Stage::OrderCreated { url: String::new() }),
            presented(2, "a.example"),
            presented(3, "b.example"),
            stage(9, Stage::ChallengeFailed { name: "a.example".parse().unwrap(), reason: String::new() }),
            stage(9, Stage::RateLimited { limit: "too many new orders".to_owned(), until: Some(at(99)) }),
            stage(9, Stage::RateLimited { limit: String::new(), until: None }),
            failed(10),
        ]);
        assert_eq!(flight.order.unwrap().took(), None, "the same order goes on in the next attempt");
        assert_eq!(flight.challenges[0].span.took(), Some((7.0, false)));
        assert_eq!(flight.challenges[1].span.took(), None);
        assert_eq!(flight.rate_limited, [1, 0, 0, 0, 1]);
        assert_eq!(flight.rate_limited_until, Some(at(99)), "one that says nothing takes nothing back");
    }

    #[test]
    fn what_is_kept_of_attempts_whose_end_nobody_told_is_bounded() {
        let mut flights = Flights::default();
        let mut begin = |number: usize| {
            let id = Some(format!("c{number}").parse().unwrap());
            let kind = EventKind::Issuing { why: Reason::Renewing, resumed: false };
            flights.hear(&Event::new(at(0), id, kind));
            flights.flights.len()
        };
        let most = (0..=MOST_FLIGHTS).map(&mut begin).max();
        assert_eq!(most, Some(MOST_FLIGHTS));
        flights.hear(&begun(Reason::Renewing));
        for number in 0..MOST_CHALLENGES + 9 {
            flights.hear(&presented(1, &format!("h{number}.example")));
        }
        assert_eq!(flights.hear(&issued(9)).unwrap().challenges.len(), MOST_CHALLENGES);
    }

    #[test]
    fn of_two_proofs_of_one_name_the_later_ends_and_only_once() {
        let flight = landed(&[
            begun(Reason::Renewing),
            presented(1, "a.example"),
            presented(5, "a.example"),
            verified(9, "a.example"),
            verified(99, "a.example"),
            issued(100),
        ]);
        let took: Vec<_> = flight.challenges.iter().map(|challenge| challenge.span.took()).collect();
        assert_eq!(took, [None, Some((4.0, true))]);
    }

    #[test]
    fn what_somebody_else_has_taken_over_is_theirs_to_tell() {
        let mut flights = Flights::default();
        flights.hear(&begun(Reason::Renewing));
        assert_eq!(flights.hear(&event(5, EventKind::LeaseLost)), None);
        assert_eq!(flights.hear(&issued(9)).unwrap().why, None);
    }
}
