//! The loop around [`Watch`]: sends what it asks for, hands in what comes back.

use futures_util::{
    future::{BoxFuture, FutureExt as _},
    stream::{FuturesUnordered, StreamExt as _},
};
use perennial_core::Retry;
use tokio::time::{self, Instant};

use super::{Shared, locator::Sighting};
use crate::{
    Error, Report, Wanted,
    transport::{Reply, TransportError},
    watch::{Event, Locate, Located, Outcome, Question, Settings, StageId, Sweep, Ticket, Watch},
};

pub(super) struct Drive<'a> {
    shared: &'a Shared,
    wanted: &'a Wanted,
    settings: Settings,
}

/// What comes back.
enum Landed {
    Answer(Ticket, Result<Reply, TransportError>),
    Sighting(StageId, Result<Sighting, Error>),
    Zone(StageId, Result<Located, Error>),
}

impl<'a> Drive<'a> {
    pub(super) const fn new(shared: &'a Shared, wanted: &'a Wanted, settings: Settings) -> Self {
        Self { shared, wanted, settings }
    }

    /// Runs a watch to its end, which the watch's own deadline bounds.
    pub(super) async fn run(self, on_report: &mut (dyn FnMut(&Report) + Send)) -> Result<Outcome, Error> {
        if self.wanted.values().is_empty() {
            return Err(Error::NothingWanted { name: self.wanted.name().clone() });
        }
        let start = Instant::now();
        let mut watch = Watch::new(self.wanted.clone(), self.settings, rand::random());
        let mut flights: FuturesUnordered<BoxFuture<'_, Landed>> = FuturesUnordered::new();
        loop {
            while let Some(event) = watch.poll_event() {
                match event {
                    Event::Changed => on_report(&watch.report()),
                    Event::Done(outcome) => {
                        self.shared.locator.learn_from(outcome.report());
                        return Ok(outcome);
                    }
                    Event::Locate(locate) => flights.push(self.locate(locate).boxed()),
                }
            }
            while let Some(question) = watch.poll_query() {
                flights.push(self.ask(question).boxed());
            }
            let Some(timeout) = watch.poll_timeout() else { continue };
            let landed = tokio::select! {
                Some(landed) = flights.next() => Some(landed),
                () = time::sleep_until(start + timeout) => None,
            };
            let now = start.elapsed();
            match landed {
                None => watch.handle_timeout(now),
                Some(Landed::Answer(ticket, answer)) => watch.handle_answer(now, ticket, answer),
                Some(Landed::Sighting(stage, Ok(Sighting { located, rest }))) => {
                    watch.handle_located(now, stage, Ok(located));
                    flights.extend(rest.map(|rest| rest.map(move |zone| Landed::Zone(stage, zone)).boxed()));
                }
                Some(Landed::Zone(stage, Ok(located))) => watch.handle_located(now, stage, Ok(located)),
                Some(Landed::Sighting(stage, Err(error)) | Landed::Zone(stage, Err(error))) => {
                    if self.is_final(&error, watch.report().stages.len()) {
                        return Err(error);
                    }
                    watch.handle_located(now, stage, Err(error.to_string()));
                }
            }
        }
    }

    /// Whether a zone that was not found ends it all: always for a single check, unless aliases led us there;
    /// in a watch only when no time can help.
    const fn is_final(&self, error: &Error, stages: usize) -> bool {
        let first = stages == 1;
        first && (matches!(self.settings.sweep, Sweep::Once) || matches!(error.retry(), Retry::Never))
    }

    async fn ask(&self, question: Question) -> Landed {
        let Question { ticket, endpoint, query, .. } = question;
        Landed::Answer(ticket, self.shared.exchange.exchange(&endpoint, &query).await)
    }

    async fn locate(&self, locate: Locate) -> Landed {
        let Locate { stage, place, freshness } = locate;
        let asking = self.settings.policy.asking();
        Landed::Sighting(stage, self.shared.locator.locate(&place, freshness, asking).await)
    }
}
