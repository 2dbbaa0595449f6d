//! The loop around [`Watch`]: sends what it asks for, hands in what comes back.

use futures_util::{
    future::{BoxFuture, FutureExt as _},
    stream::{FuturesUnordered, StreamExt as _},
};
use perennial_core::Retry;
use tokio::time::{self, Instant};

use super::Shared;
use crate::{
    Error, Report, Wanted,
    report::State,
    transport::{Reply, TransportError},
    watch::{
        Asking, Event, Freshness, Locate, Located, Outcome, Question, Settings, StageId, Sweep, Ticket,
        Verification, Watch,
    },
};

pub(super) struct Drive<'a> {
    shared: &'a Shared,
    wanted: &'a Wanted,
    settings: Settings,
}

/// What comes back.
enum Landed {
    Answer(Ticket, Result<Reply, TransportError>),
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
                        self.learn_from(&outcome);
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
                Some(Landed::Zone(stage, Ok(located))) => watch.handle_located(now, stage, Ok(located)),
                Some(Landed::Zone(stage, Err(error))) => {
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
        let located = match self.settings.policy.asking() {
            Asking::Authorities => self.authorities(&locate).await,
            Asking::Resolvers => Ok(self.resolvers().await),
        };
        Landed::Zone(locate.stage, located)
    }

    async fn authorities(&self, locate: &Locate) -> Result<Located, Error> {
        let zone = self.shared.zone(&locate.place, locate.freshness == Freshness::Fresh).await?;
        let targets = self.shared.paths.plan(&zone.servers, self.shared.port).await;
        let servers = zone.servers.iter().map(|server| server.name.to_string()).collect();
        Ok(Located { zone: Some(zone), servers, targets, verification: Verification::Done })
    }

    async fn resolvers(&self) -> Located {
        let targets = self.shared.paths.resolvers().await.to_vec();
        let servers = self.shared.paths.resolver_names();
        Located { zone: None, servers, targets, verification: Verification::Done }
    }

    /// A zone whose servers gave trouble is not kept: perhaps it moved.
    fn learn_from(&self, outcome: &Outcome) {
        let report = match outcome {
            Outcome::Expired(report) | Outcome::Finished(report) => report,
            Outcome::Ready(propagated) => propagated.report(),
        };
        for stage in &report.stages {
            let trouble = |state: &State| matches!(state, State::Lame { .. } | State::Unreachable { .. });
            if stage.rows.iter().any(|row| trouble(&row.state)) {
                self.shared.zones.forget(&stage.name);
            }
        }
    }
}
