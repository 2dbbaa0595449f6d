//! After the watch: a few questions more, to say why not, or whether the rest of the world agrees.

use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use perennial_core::DomainName;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{self, Instant},
};

use super::Shared;
use crate::{
    Agreement, Dnssec, Policy, Propagated, Report, Wanted,
    inquiry::{self, Inquiry},
    report::Clue,
    target::{Route, Target},
    transport::{Endpoint, Reply, TransportError},
    vantage::{self, FollowUp, Said, Security, View, Witness},
    wire::{Answer, Query, RecordType},
};

mod settings;
pub(super) use settings::Demands;

/// One check's last questions.
pub(super) struct Examiner<'a> {
    shared: &'a Shared,
    wanted: &'a Wanted,
    /// Taken while something is asked, where others ask at the same time.
    places: Option<&'a Semaphore>,
    /// Each vantage point that was heard, and from when on it is worth another question.
    heard: Vec<(Endpoint, Witness, Instant)>,
}

/// How long the questions that explain a failure may take: a server that needs longer is explained by that.
const EXPLANATION: Duration = Duration::from_secs(2);
/// How much time a resolver must have had before it counts as one that does not answer: what its cache does not
/// hold it asks of others first.
const PATIENCE: Duration = Duration::from_secs(1);
/// With less time than this nobody is asked: no answer would be waited for.
const WORTH_ASKING: Duration = Duration::from_millis(10);
/// How long vantage points may take: a resolver that knows nothing of the zone yet asks half the world first.
const VANTAGE: Duration = Duration::from_secs(5);
/// The most zones on the way of aliases whose keys are asked for, one after the other.
const MAX_ZONES: usize = 4;

/// How much of the time until a deadline is kept for questions at the end.
pub(super) fn reserve(policy: Policy, deadline: Duration) -> Duration {
    match policy {
        // Nobody is asked at all, so there is nothing to explain.
        Policy::WaitOnly(_) => Duration::ZERO,
        _ => EXPLANATION.min(deadline / 10),
    }
}

impl<'a> Examiner<'a> {
    pub(super) const fn new(shared: &'a Shared, wanted: &'a Wanted, places: Option<&'a Semaphore>) -> Self {
        Self { shared, wanted, places, heard: Vec::new() }
    }

    /// Asks what may explain why the values are not seen. Takes two seconds at most from where there is a place
    /// for it, and not longer than until the `end`.
    pub(super) async fn explain(&self, mut report: Report, end: Instant) -> Report {
        if self.asks_nobody() {
            report.advise();
            return report;
        }
        let _place = self.place(end).await;
        let until = end.min(Instant::now() + EXPLANATION);
        let questions = inquiry::questions(&report, &self.resolvers(until).await);
        self.inquire(&mut report, questions, until).await;
        report.advise();
        report
    }

    /// Asks whether the rest of the world agrees, where the report says ready; and says so in it, in its verdict
    /// too. May be called again after [`pause`](Self::pause), for the same report.
    pub(super) async fn confirm(&mut self, mut report: Report, end: Instant) -> Report {
        if self.asks_nobody() {
            report.advise();
            return report;
        }
        self.name_the_silent(&mut report);
        let _place = self.place(end).await;
        let until = end.min(Instant::now() + VANTAGE);
        let Demands { points, agreement, dnssec } = &self.shared.demands;
        let witnesses = match (points.is_empty(), dnssec) {
            (true, Dnssec::Off) => Vec::new(),
            (true, Dnssec::Warn) => {
                self.ask_who_stumbled(&mut report, until).await;
                Vec::new()
            }
            (true, Dnssec::Require) => self.resolvers(until).await,
            (false, _) => {
                let targets = time::timeout_at(until, self.shared.paths.targets(points)).await;
                targets.unwrap_or_default()
            }
        };
        let agreement = if points.is_empty() { Agreement::Reported } else { *agreement };
        if !witnesses.is_empty() || *dnssec == Dnssec::Require {
            self.hear(&report, &witnesses, until).await;
            report.vantage = self.heard.iter().map(|(_, witness, _)| witness.clone()).collect();
            name_the_unchecked(&mut report);
        }
        vantage::weigh(&mut report, agreement, *dnssec);
        report.advise();
        report
    }

    /// Hears vantage points until they take nothing back any more, or the deadline comes.
    pub(super) async fn hear_the_world(
        &mut self,
        propagated: Propagated,
        deadline: Instant,
        on_report: &mut (dyn FnMut(&Report) + Send),
    ) -> Result<Propagated, Report> {
        let begin = Instant::now();
        loop {
            let mut report = self.confirm(propagated.report().clone(), deadline).await;
            report.elapsed += begin.elapsed();
            let mut report = match propagated.clone().with_report(report) {
                Ok(propagated) => return Ok(propagated),
                Err(report) => *report,
            };
            on_report(&report);
            let again = Instant::now() + self.pause();
            time::sleep_until(again.min(deadline)).await;
            if again >= deadline {
                report.elapsed = propagated.report().elapsed + begin.elapsed();
                return Err(report);
            }
        }
    }

    /// A place among those who ask, as soon as there is one; none where nobody counts them, or when the end
    /// comes first.
    async fn place(&self, end: Instant) -> Option<SemaphorePermit<'a>> {
        let places = self.places?;
        time::timeout_at(end, places.acquire()).await.ok()?.ok()
    }

    /// Whether the policy is to ask nobody anything, whatever else is demanded.
    const fn asks_nobody(&self) -> bool {
        matches!(self.shared.policy, Policy::WaitOnly(_))
    }

    /// How long to wait before it can help to ask those again who stand in the way.
    fn pause(&self) -> Duration {
        let now = Instant::now();
        let again = |(_, witness, due): &(Endpoint, Witness, Instant)| {
            let content = witness.view == View::Has && witness.security != Security::Bogus;
            (!content).then(|| due.duration_since(now))
        };
        self.heard.iter().filter_map(again).min().unwrap_or(vantage::AGAIN)
    }

    /// Sends questions to servers of the zone and to resolvers, and writes what they bring into the report.
    async fn inquire(&self, report: &mut Report, questions: Vec<Inquiry>, until: Instant) {
        let begin = Instant::now();
        let time = until.duration_since(begin);
        if time < WORTH_ASKING {
            return;
        }
        let exchange = &*self.shared.exchange;
        let ask = |inquiry: Inquiry| async move {
            let reply = exchange.exchange(&inquiry.endpoint, &inquiry.query).await;
            let query = inquiry::unchecked((&inquiry, &reply));
            let unchecked = match query {
                Some(query) => exchange.exchange(&inquiry.endpoint, &query).await.ok(),
                None => None,
            };
            (inquiry, reply, unchecked)
        };
        let mut outstanding = questions.clone();
        let mut flights: FuturesUnordered<_> = questions.into_iter().map(ask).collect();
        let mut heard: Vec<(Inquiry, Result<Reply, TransportError>)> = Vec::new();
        let mut unchecked: Vec<(Endpoint, Answer)> = Vec::new();
        while let Ok(Some((inquiry, reply, again))) = time::timeout_at(until, flights.next()).await {
            outstanding.retain(|other| *other != inquiry);
            unchecked.extend(again.map(|again| (inquiry.endpoint.clone(), again.answer)));
            heard.push((inquiry, reply));
        }
        // Who had no time to answer is not called dead.
        outstanding.retain(|inquiry| time >= PATIENCE || !inquiry.is_to_resolver());
        heard.extend(outstanding.into_iter().map(|inquiry| (inquiry, Err(TransportError::Timeout))));
        // The wildcards are read from the nearest up, whatever came first.
        heard.sort_by_key(|(inquiry, _)| std::cmp::Reverse(inquiry.query.name.labels().count()));
        let pairs: Vec<inquiry::Heard<'_>> = heard.iter().map(|(inquiry, reply)| (inquiry, reply)).collect();
        inquiry::learn(report, &pairs, &unchecked);
    }

    /// The configured resolvers that can be asked, as far as they are found in time.
    async fn resolvers(&self, until: Instant) -> Vec<Target> {
        if !self.shared.locator.may_ask_resolvers() {
            return Vec::new();
        }
        let found = time::timeout_at(until, self.shared.paths.resolvers(self.wanted.name())).await;
        let targets = found.map(|targets| targets.to_vec()).unwrap_or_default();
        targets.into_iter().filter(|target| target.route == Route::Exists).collect()
    }

    /// Where the way was found from the root down, resolvers that were silent before that are named.
    fn name_the_silent(&self, report: &mut Report) {
        if inquiry::is_walked(report) {
            let silent = self.shared.locator.silent_resolvers().into_iter();
            report.clues.extend(silent.map(|(resolver, error)| Clue::ResolverDead { resolver, error }));
        }
    }

    /// Resolvers are asked about a zone over which they stumbled, and about no other: while all is well, that
    /// is nobody.
    async fn ask_who_stumbled(&self, report: &mut Report, until: Instant) {
        let until = until.min(Instant::now() + EXPLANATION);
        let Some(zone) = inquiry::stumbled_over(report).cloned() else { return };
        let ask = |resolver: &Target| inquiry::zone_at(resolver, &zone);
        let questions = self.resolvers(until).await.iter().map(ask).collect();
        self.inquire(report, questions, until).await;
    }

    /// Asks each vantage point that it is worth while to ask.
    async fn hear(&mut self, report: &Report, targets: &[Target], until: Instant) {
        let begin = Instant::now();
        let zones = zones(report);
        let due = |target: &&Target| {
            let known = self.heard.iter().find(|(endpoint, ..)| *endpoint == target.endpoint);
            known.is_none_or(|(_, _, due)| *due <= begin)
        };
        let (this, zones) = (&*self, &zones);
        let ask = |target: Target| async move {
            let witness = time::timeout_at(until, this.witness(&target, zones)).await;
            witness.unwrap_or_else(|_| unheard(&target, View::Unreachable { error: TransportError::Timeout }))
        };
        let asked: Vec<Target> = targets.iter().filter(due).cloned().collect();
        let fresh = futures_util::future::join_all(asked.into_iter().map(ask)).await;
        let now = Instant::now();
        for witness in fresh {
            self.heard.retain(|(endpoint, ..)| *endpoint != witness.endpoint);
            let due = now + witness.useful_after();
            self.heard.push((witness.endpoint.clone(), witness, due));
        }
        let order = |endpoint: &Endpoint| targets.iter().position(|target| target.endpoint == *endpoint);
        self.heard.sort_by_key(|(endpoint, ..)| order(endpoint));
    }

    async fn witness(&self, target: &Target, zones: &[DomainName]) -> Witness {
        if let Route::None(reason) = &target.route {
            return unheard(target, View::NotAsked { reason: reason.clone() });
        }
        let query = Query::recursive(self.wanted.name().clone(), RecordType::Txt).with_dnssec_ok();
        let exchange = &*self.shared.exchange;
        let answer = match exchange.exchange(&target.endpoint, &query).await {
            Ok(reply) => reply.answer,
            Err(error) => return unheard(target, View::Unreachable { error }),
        };
        let follow_up = FollowUp::to(&answer).filter(|_| self.shared.demands.dnssec != Dnssec::Off);
        let (mut unchecked, mut delegation) = (None, None);
        match follow_up {
            Some(FollowUp::Unchecked) => {
                let again = exchange.exchange(&target.endpoint, &query.with_checking_disabled()).await;
                unchecked = again.ok().map(|reply| reply.answer);
            }
            Some(FollowUp::Delegation) => delegation = self.weakest(target, zones).await,
            None => {}
        }
        let delegation = delegation.as_ref().map(|(zone, answer)| (*zone, answer));
        let said = Said { answer: &answer, unchecked: unchecked.as_ref(), delegation };
        let (view, security) = vantage::interpret(self.wanted, &said);
        let mut witness = unheard(target, view);
        witness.security = security;
        witness.extended_error = answer.extended_error;
        witness
    }

    /// What is said of the keys above each zone on the way. That one has none makes all of it insecure, unless
    /// another has one and the resolver does not validate: its signatures may be broken then.
    async fn weakest<'z>(
        &self,
        target: &Target,
        zones: &'z [DomainName],
    ) -> Option<(&'z DomainName, Answer)> {
        let (mut last, mut insecure) = (None, None);
        for zone in zones.iter().take(MAX_ZONES) {
            let query = Query::recursive(zone.clone(), RecordType::Ds).with_dnssec_ok();
            let answer = self.shared.exchange.exchange(&target.endpoint, &query).await.ok()?.answer;
            if vantage::is_without_key(zone, &answer) {
                insecure = Some((zone, answer));
            } else if answer.authentic_data {
                last = Some((zone, answer));
            } else {
                return Some((zone, answer));
            }
        }
        // One that was not asked about may have a key.
        if zones.len() > MAX_ZONES { last } else { insecure.or(last) }
    }
}

fn unheard(target: &Target, view: View) -> Witness {
    Witness {
        server: target.servers.first().cloned().unwrap_or_else(|| target.endpoint.to_string()),
        endpoint: target.endpoint.clone(),
        nat64: target.nat64,
        view,
        security: Security::Indeterminate,
        extended_error: None,
    }
}

/// The zones that an answer passes through.
fn zones(report: &Report) -> Vec<DomainName> {
    let mut zones: Vec<DomainName> = Vec::new();
    for zone in report.stages.iter().filter_map(|stage| stage.zone.as_ref()) {
        if !zones.contains(&zone.apex) {
            zones.push(zone.apex.clone());
        }
    }
    zones
}

/// Names the zones of which nobody asked whether they have keys, where the word of somebody hangs on that.
fn name_the_unchecked(report: &mut Report) {
    let unchecked: Vec<DomainName> = zones(report).into_iter().skip(MAX_ZONES).collect();
    let answers = |view: &View| matches!(view, View::Has | View::Lacking { .. } | View::Stale { .. });
    let undecided = |one: &Witness| one.security == Security::Indeterminate && answers(&one.view);
    if !unchecked.is_empty() && report.vantage.iter().any(undecided) {
        report.clues.push(Clue::ZonesUnchecked { zones: unchecked });
    }
}

#[cfg(test)]
mod tests;
