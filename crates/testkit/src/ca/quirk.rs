//! What real CAs do that clients must bear, on demand.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode, header::RETRY_AFTER};
use perennial_core::{DomainName, Timestamp};

use super::{Misbehaviour, Verb, misbehaviour, problem::Problem};

/// Something that a CA does, rightly or wrongly, and that a client must bear; settable while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Quirk {
    /// Answers the next `times` requests for this with a page for people instead of what was asked.
    AnswerNonsense {
        /// Which requests.
        verb: Verb,
        /// How many of them.
        times: u32,
    },
    /// Fails the next `times` requests for this, before anything else is looked at: a busy CA (503), a broken
    /// one (500), a rate limit (429).
    Fail {
        /// Which requests.
        verb: Verb,
        /// The HTTP status: 400 to 599.
        status: u16,
        /// What `Retry-After` says, if it is there.
        retry_after: Option<RetryAfter>,
        /// How many of them.
        times: u32,
    },
    /// Issues certificates with this flaw.
    Flaw(Flaw),
    /// Does what the next `times` requests for this want, and closes the connection instead of answering.
    LoseAnswer {
        /// Which requests.
        verb: Verb,
        /// How many of them.
        times: u32,
    },
    /// Does something that no CA should do.
    Misbehave(Misbehaviour),
    /// Refuses to place orders that have this name (`rejectedIdentifier`).
    RejectIdentifier(DomainName),
    /// Says `badNonce` to every `nth` signed request, though its nonce was good. 1 means every one.
    RejectEveryNthNonce(u32),
    /// Says `badNonce` to the next `times` signed requests, though their nonces are good.
    RejectNonces {
        /// How many.
        times: u32,
    },
    /// Sends this `Retry-After` with renewal information (RFC 9773 §4.3), instead of six hours.
    RenewalRetryAfter(RetryAfter),
    /// Sends `Retry-After` with every order and authorization that is still being worked on.
    RetryAfter(RetryAfter),
    /// Leaves a finalized order `processing` until it has been asked for it so many times.
    SlowIssuance {
        /// How many polls see `processing` before one sees `valid`.
        polls: u32,
    },
    /// Leaves a finalized order `processing` for so long on the CA's clock, in whole seconds.
    SlowIssuanceFor(Duration),
}

/// What a `Retry-After` header says (RFC 9110 §10.2.3).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RetryAfter {
    /// So much later than now on the CA's clock, as an HTTP date.
    DateIn(Duration),
    /// Seconds.
    Seconds(u64),
    /// Any text, for those who must bear it.
    Text(String),
}

/// What can be wrong with a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Flaw {
    /// It holds a key that nobody has asked for.
    AnotherKey,
    /// Its intermediate is another one than signed it.
    BrokenChain,
    /// It ended a day ago.
    Expired,
    /// It lacks one of the names, or holds another if there was only one.
    OtherNames,
    /// It begins in a day.
    NotYetValid,
    /// The chain is the leaf alone.
    NoIntermediate,
}

/// The quirks that are on.
#[derive(Debug, Default)]
pub(super) struct Quirks {
    active: Vec<Quirk>,
    pub(super) misbehaviours: Vec<misbehaviour::Active>,
    signed_requests: u32,
}

/// What happens to a request before it is looked at.
pub(super) enum Ambush {
    Nonsense,
    Problem(Problem, Option<RetryAfter>),
}

impl Quirks {
    pub(super) fn add(&mut self, quirk: Quirk) {
        match quirk {
            Quirk::Misbehave(misbehaviour) => {
                self.misbehaviours.push(misbehaviour::Active::new(misbehaviour));
            }
            quirk => self.active.push(quirk),
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn ambush(&mut self, verb: Verb) -> Option<Ambush> {
        self.active.iter_mut().find_map(|quirk| match quirk {
            Quirk::AnswerNonsense { verb: at, times } if *at == verb => {
                used(times).then_some(Ambush::Nonsense)
            }
            Quirk::Fail { verb: at, status, retry_after, times } if *at == verb => {
                if !used(times) {
                    return None;
                }
                let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                let kind =
                    if status == StatusCode::TOO_MANY_REQUESTS { "rateLimited" } else { "serverInternal" };
                let detail = "the test wants this request to fail";
                Some(Ambush::Problem(Problem::new(kind, status, detail), retry_after.clone()))
            }
            _ => None,
        })
    }

    pub(super) fn loses_answer(&mut self, verb: Verb) -> bool {
        self.active.iter_mut().any(|quirk| match quirk {
            Quirk::LoseAnswer { verb: at, times } if *at == verb => used(times),
            _ => false,
        })
    }

    pub(super) fn rejects_nonce(&mut self) -> bool {
        self.signed_requests = self.signed_requests.wrapping_add(1);
        let count = self.signed_requests;
        if self.misbehaviours.iter_mut().any(misbehaviour::Active::refuses_nonce) {
            return true;
        }
        self.active.iter_mut().any(|quirk| match quirk {
            Quirk::RejectEveryNthNonce(nth) => count.is_multiple_of((*nth).max(1)),
            Quirk::RejectNonces { times } => used(times),
            _ => false,
        })
    }

    pub(super) fn rejects(&self, name: &DomainName) -> bool {
        self.active.iter().any(|quirk| matches!(quirk, Quirk::RejectIdentifier(rejected) if rejected == name))
    }

    pub(super) fn retry_after(&self) -> Option<&RetryAfter> {
        self.active.iter().find_map(|quirk| match quirk {
            Quirk::RetryAfter(value) => Some(value),
            _ => None,
        })
    }

    pub(super) fn renewal_retry_after(&self) -> Option<&RetryAfter> {
        self.active.iter().find_map(|quirk| match quirk {
            Quirk::RenewalRetryAfter(value) => Some(value),
            _ => None,
        })
    }

    /// How many polls and how much time an order that is finalized now stays `processing`.
    pub(super) fn slowness(&self) -> Option<(u32, Duration)> {
        self.active.iter().find_map(|quirk| match quirk {
            Quirk::SlowIssuance { polls } => Some((*polls, Duration::ZERO)),
            Quirk::SlowIssuanceFor(time) => Some((0, *time)),
            _ => None,
        })
    }

    pub(super) fn has_flaw(&self, flaw: Flaw) -> bool {
        self.active.contains(&Quirk::Flaw(flaw)) || self.misbehaviours.iter().any(|on| on.has_flaw(flaw))
    }
}

impl RetryAfter {
    pub(super) fn write(&self, headers: &mut HeaderMap, now: Timestamp) {
        let text = match self {
            Self::Seconds(seconds) => seconds.to_string(),
            Self::Text(text) => text.clone(),
            Self::DateIn(later) => {
                let moment = u64::try_from((now + *later).unix()).unwrap_or(0);
                // HTTP dates end with the year 9999, as timestamps do.
                httpdate::fmt_http_date(std::time::UNIX_EPOCH + Duration::from_secs(moment))
            }
        };
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(RETRY_AFTER, value);
        }
    }
}

fn used(times: &mut u32) -> bool {
    let any = *times > 0;
    *times = times.saturating_sub(1);
    any
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counted_quirk_wears_off() {
        let mut quirks = Quirks::default();
        quirks.add(Quirk::RejectNonces { times: 2 });
        assert_eq!(
            [quirks.rejects_nonce(), quirks.rejects_nonce(), quirks.rejects_nonce()],
            [true, true, false]
        );
        quirks.add(Quirk::LoseAnswer { verb: Verb::Finalize, times: 1 });
        assert!(!quirks.loses_answer(Verb::Order));
        assert_eq!([quirks.loses_answer(Verb::Finalize), quirks.loses_answer(Verb::Finalize)], [true, false]);
    }

    #[test]
    fn every_nth_nonce_is_rejected() {
        let mut quirks = Quirks::default();
        quirks.add(Quirk::RejectEveryNthNonce(3));
        let rejected: Vec<bool> = (0..6).map(|_| quirks.rejects_nonce()).collect();
        assert_eq!(rejected, [false, false, true, false, false, true]);
    }

    #[test]
    fn retry_after_is_written_in_both_forms() {
        let now = Timestamp::from_unix(784_111_717);
        for (value, text) in [
            (RetryAfter::Seconds(7), "7"),
            (RetryAfter::DateIn(Duration::from_secs(60)), "Sun, 06 Nov 1994 08:49:37 GMT"),
            (RetryAfter::Text("soon".into()), "soon"),
        ] {
            let mut headers = HeaderMap::new();
            value.write(&mut headers, now);
            assert_eq!(headers[RETRY_AFTER], text);
        }
    }
}
