//! When the CA would like a certificate to be renewed (RFC 9773): asked when it is time, and written down.

use std::time::Duration;

use perennial_core::{Retry, Timestamp};

use super::{
    desk::{Desk, Page},
    material,
    walk::guarded,
};
use crate::{Current, Error, SuggestedWindow, schedule::Spread};

/// When the CA is asked about this certificate next: not after it has ended, and not one that has no wishes.
pub(super) fn poll_at(current: &Current, now: Timestamp) -> Option<Timestamp> {
    let ends = current.facts.not_after;
    current.poll_at.filter(|poll_at| *poll_at < ends && now < ends)
}

/// Asks the CA when it would like the certificate to be renewed, if it is time. One that does not answer changes
/// nothing: the last answer stands, or the certificate's own dates.
pub(super) async fn ask(desk: Desk<'_>, page: &mut Page) -> Result<(), Error> {
    let now = desk.now();
    let Some(current) = &page.record.current else { return Ok(()) };
    // An old record does not know that there is somebody to ask.
    let is_due = current.poll_at.is_none_or(|poll_at| poll_at <= now) && now < current.facts.not_after;
    let agent = desk.inner.issuers.get(current.issuer()).filter(|agent| is_due && agent.suggests_windows());
    let Some(agent) = agent.cloned() else { return Ok(()) };
    let chain = match material::chain(desk.inner, page.id(), current.generation).await {
        // That it cannot be read is said where it counts.
        Err(error) if !material::is_of_one_slot(&error) => return Err(error.into()),
        chain => chain.ok().flatten(),
    };
    let Some(chain) = chain else { return Ok(()) };
    let issuer = current.issuer().clone();
    let asked = desk.hold.left_while(async {
        // An answer that does not come must not hold up a certificate that is due.
        let asked = tokio::time::timeout(PATIENCE, guarded(agent.suggested_window(&chain))).await;
        asked.unwrap_or_else(|_| {
            Err(crate::IssueError::new(
                crate::IssueErrorClass::Transient,
                "the CA did not answer in time",
                Retry::Backoff,
            ))
        })
    });
    let rest = desk.inner.rest_of(&issuer, now).map(|rest| rest.retry_at);
    let rest = rest.or_else(|| desk.inner.rests().silent_until(&issuer, now));
    let answer = match rest {
        Some(again) => Answer::None { again: Some(again) },
        None => {
            let asked = asked.await;
            desk.inner.rests().asked(&issuer, asked.as_ref().err(), desk.now());
            Answer::of(asked)
        }
    };
    let now = desk.now();
    let Some(current) = &mut page.record.current else { return Ok(()) };
    current.poll_at = Some(next_poll(&answer, Spread::of_fingerprint(&current.facts.fingerprint), now));
    match answer {
        Answer::Window(window) => current.window = Some(window),
        // It has taken its wish back.
        Answer::Nothing => current.window = None,
        Answer::None { .. } => {}
    }
    desk.save(page).await?;
    Ok(())
}

/// What a CA said about a certificate.
enum Answer {
    /// Nothing at all, for now.
    None {
        again: Option<Timestamp>,
    },
    /// That it has no wish.
    Nothing,
    Window(SuggestedWindow),
}

impl Answer {
    fn of(asked: Result<Option<SuggestedWindow>, crate::IssueError>) -> Self {
        match asked {
            Ok(Some(window)) => Self::Window(window),
            Ok(None) => Self::Nothing,
            Err(error) => Self::None { again: error.retry().at() },
        }
    }
}

/// When to ask again: when the CA has said, in an hour at the earliest and a week at the latest (RFC 9773 §4.3.2
/// wants such bounds); a CA that says nothing, in six hours, and one that has no wishes once a day. A tenth more by
/// the certificate's own fingerprint, so that a fleet does not ask as one.
fn next_poll(answer: &Answer, spread: Spread, now: Timestamp) -> Timestamp {
    let wait = match answer {
        Answer::Window(window) => now.until(window.ask_at),
        Answer::None { again: Some(again) } => now.until(*again),
        Answer::None { again: None } => UNANSWERED,
        Answer::Nothing => WISHLESS,
    };
    let wait = wait.clamp(SHORTEST, LONGEST);
    now + wait + spread.of_width(wait / 10)
}

const PATIENCE: Duration = Duration::from_secs(30);
const SHORTEST: Duration = Duration::from_secs(3_600);
const LONGEST: Duration = Duration::from_secs(7 * 86_400);
const UNANSWERED: Duration = Duration::from_secs(6 * 3_600);
const WISHLESS: Duration = Duration::from_secs(86_400);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_question_is_asked_when_the_ca_says_within_bounds() {
        let at = Timestamp::from_unix;
        let window = |ask_at| {
            Answer::Window(SuggestedWindow {
                start: at(0),
                end: at(9),
                explanation_url: None,
                ask_at: at(ask_at),
            })
        };
        let next = |answer: &Answer| next_poll(answer, Spread::NONE, at(1_000)).unix() - 1_000;
        assert_eq!(next(&window(1_000 + 7_200)), 7_200);
        assert_eq!(next(&window(-5)), 3_600);
        assert_eq!(next(&window(i64::MAX)), 7 * 86_400);
        assert_eq!(next(&Answer::None { again: None }), 6 * 3_600);
        assert_eq!(next(&Answer::None { again: Some(at(9_000)) }), 8_000);
        assert_eq!(next(&Answer::Nothing), 86_400);
        let spread = next_poll(&Answer::Nothing, Spread::at(u16::MAX), at(0)).unix();
        assert!((86_400 + 8_600..=86_400 + 8_640).contains(&spread), "{spread}");
    }
}
