//! The walk itself.

use std::collections::BTreeSet;

use perennial_core::Timestamp;

use crate::{
    AuthorizationState, AuthorizationStatus, CertificationRequest, ChallengeStatus, Error, Misbehaved,
    Misuse, NewOrder, OrderState, OrderStatus, Problem, ProblemType, Url,
    call::{self, Call, Download, Settled},
    error::{AuthorizationFailure, OrderInvalid},
    flow::{Errand, Event, Finalization, Next, Offer, Reply, State, Step, Task},
    url::shown,
};

/// What a certificate is ordered with.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs)] // A question with all its parts.
pub struct Plan {
    /// What is ordered.
    pub request: NewOrder,
    /// The certification request (RFC 2986). Its private key is durable before the walk begins.
    pub certification_request: CertificationRequest,
    /// Until when the CA may take its time.
    pub deadline: Timestamp,
}

/// One order on its way to its certificate. See the [module](super) for how to drive it.
#[derive(Debug)]
#[must_use = "a walk does nothing until it is driven"]
pub struct Walk {
    plan: Plan,
    state: State,
    /// Whether the state has to be written down before the next step.
    unrecorded: bool,
    next: Position,
    /// The authorizations as they were last seen.
    known: Vec<Offer>,
    /// Where the order's signing request goes, and where its certificate is, as the server said last.
    addresses: Option<(Url, Option<Url>)>,
    finalization: Finalization,
}

/// What comes next, once the state is written down.
#[derive(Clone, Debug)]
enum Position {
    // In the order in which they come.
    Place,
    /// An order of an earlier run.
    TakeUp,
    Authorize(OrderState),
    Choose,
    Present,
    Wait,
    Answer,
    Validate,
    /// With the order as it was when the CA had looked.
    CleanUp(OrderState),
    Finalize(OrderState),
    /// With the moment that the server has named for the first look.
    Issue(Option<Timestamp>),
    Download(Url),
    Take(Box<Download>),
    /// The order is invalid, and does not say why.
    Explain(OrderState),
}

impl Walk {
    /// A walk that begins with a new order.
    ///
    /// # Errors
    /// [`Misuse::CertificationRequest`] when the certification request is for other names than the order: a CA would
    /// say so only after all names were proven.
    pub fn new(plan: Plan) -> Result<Self, Misuse> {
        let walk = Self::at(plan, State::Ordering)?;
        Ok(Self { unrecorded: true, next: Position::Place, ..walk })
    }

    /// A walk that goes on where an earlier one has written this state down.
    ///
    /// The order is looked at first. One that the server does not know any more, that failed, or that is for other
    /// names than the plan's, is left, and a new one is placed.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn resume(plan: Plan, state: State) -> Result<Self, Misuse> {
        if state.order().is_none() {
            return Self::new(plan);
        }
        Self::at(plan, state)
    }

    fn at(plan: Plan, state: State) -> Result<Self, Misuse> {
        plan.certification_request.check_identifiers(plan.request.identifiers())?;
        let (known, finalization) = (Vec::new(), Finalization::default());
        let (next, addresses) = (Position::TakeUp, None);
        Ok(Self { plan, state, unrecorded: false, next, known, addresses, finalization })
    }

    /// How far it has come: what was last to be written down.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// The authorizations as they were last seen; none before the server was asked for them, as it is not for an order
    /// that is born `ready`.
    #[must_use]
    pub fn authorizations(&self) -> &[Offer] {
        &self.known
    }

    /// Where the signing request goes, once the server has described the order.
    #[must_use]
    pub fn finalize_url(&self) -> Option<&Url> {
        self.addresses.as_ref().map(|(finalize, _)| finalize)
    }

    /// Where the certificate is, once the order is `valid`.
    #[must_use]
    pub fn certificate_url(&self) -> Option<&Url> {
        self.addresses.as_ref().and_then(|(_, certificate)| certificate.as_ref())
    }

    /// What is ordered.
    pub const fn request(&self) -> &NewOrder {
        &self.plan.request
    }

    /// What the order is finalized with.
    #[must_use]
    pub const fn certification_request(&self) -> &CertificationRequest {
        &self.plan.certification_request
    }

    /// Whether an order is placed next.
    pub(crate) const fn is_ordering(&self) -> bool {
        matches!(self.next, Position::Place)
    }

    /// What is to be done next. It is the same until [`handle`](Self::handle) is told that it is done, so a step
    /// that failed for a passing reason can be done again.
    pub fn poll(&self) -> Step {
        if self.unrecorded {
            return Step::Do(Errand::Record(self.state.clone()));
        }
        let tasks = || self.state.tasks().to_vec();
        let order = || self.state.order().cloned();
        let call = match &self.next {
            Position::Choose => return Step::Do(Errand::Choose(self.pending().cloned().collect())),
            Position::Present => return Step::Do(Errand::Present(tasks())),
            Position::Wait => return Step::Do(Errand::Wait(tasks())),
            Position::CleanUp(_) => return Step::Do(Errand::CleanUp(tasks())),
            Position::Take(download) => return Step::Do(Errand::Take(download.clone())),
            Position::Authorize(order) | Position::Explain(order) => {
                let urls = order.authorizations.iter().cloned();
                let call = |url| call::authorization(url).map(Reply::Authorization);
                return Step::Send(urls.map(call).collect());
            }
            Position::Answer => {
                let call = |url| call::answer_challenge(url).map(Reply::Challenge);
                return Step::Send(self.unanswered().map(call).collect());
            }
            Position::Place => Some(call::new_order(&self.plan.request).map(Reply::Created)),
            Position::TakeUp => order().map(|url| call::order(url).map(Reply::Order)),
            Position::Validate => order().map(|url| self.wait(url, Settled::Validated)),
            Position::Issue(at) => order().map(|url| self.wait(url, Settled::Issued).at(*at)),
            Position::Finalize(_) if self.finalization.is_in_doubt() => {
                order().map(|url| call::order(url).map(Reply::Order))
            }
            Position::Finalize(order) => Some(
                call::finalize(order.finalize.clone(), self.plan.certification_request.der())
                    .map(Reply::Order),
            ),
            Position::Download(url) => Some(call::certificate(url.clone()).map(Reply::Certificate)),
        };
        Step::Send(call.into_iter().collect())
    }

    fn wait(&self, url: Url, settled: Settled) -> Call<Reply> {
        call::wait_for_order(url, settled, self.plan.deadline).map(Reply::Order)
    }

    /// The authorizations that need a proof.
    fn pending(&self) -> impl Iterator<Item = &Offer> {
        self.known.iter().filter(|offer| offer.state.status == AuthorizationStatus::Pending)
    }

    /// The chosen challenges that the CA was not told of yet: after a crash it may be looking already, and must
    /// not be told twice.
    fn unanswered(&self) -> impl Iterator<Item = Url> {
        let challenges = self.known.iter().flat_map(|offer| &offer.state.challenges);
        let silent = challenges.filter(|challenge| challenge.status == ChallengeStatus::Pending);
        let silent: BTreeSet<&Url> = silent.map(|challenge| &challenge.url).collect();
        let tasks = self.state.tasks().iter().map(|task| &task.challenge);
        tasks.filter(move |url| silent.contains(url)).cloned()
    }

    /// What is still pending at the server after a failure. Sent, these requests give the authorizations up (RFC
    /// 8555 §7.5.2): CAs limit how many an account may have. Whether they succeed is of no importance.
    #[must_use]
    pub fn leftovers(&self) -> Vec<Call<Reply>> {
        let give_up = |url| call::deactivate_authorization(url).map(Reply::Authorization);
        self.pending().map(|offer| give_up(offer.url.clone())).collect()
    }

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

    fn handle_choice(&mut self, challenges: &[Url]) -> Result<(), Error> {
        let chosen: BTreeSet<&Url> = challenges.iter().collect();
        let mut tasks = Vec::new();
        for offer in self.pending() {
            let mut own = offer.state.challenges.iter().filter(|challenge| chosen.contains(&challenge.url));
            let (Some(challenge), None) = (own.next(), own.next()) else {
                return Err(Misuse::Choice { name: offer.state.identifier.to_string() }.into());
            };
            tasks.push(Task {
                authorization: offer.url.clone(),
                challenge: challenge.url.clone(),
                kind: challenge.kind.clone(),
                identifier: offer.state.identifier.clone(),
                wildcard: offer.state.wildcard,
            });
        }
        if let Some(order) = self.state.order().cloned() {
            self.enter(State::Presenting { order, tasks });
        }
        self.next = Position::Present;
        Ok(())
    }

    fn handle_visible(&mut self) {
        if let (Some(order), tasks) = (self.state.order().cloned(), self.state.tasks().to_vec()) {
            self.enter(State::Answering { order, tasks });
        }
        // All of them may have been answered before a crash.
        self.next = if self.unanswered().next().is_some() { Position::Answer } else { Position::Validate };
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

    /// Notes which challenges the CA was told of, so that a second try after a failure leaves them alone. What an
    /// answer says of the status is no help: the largest CA says `pending` while it looks.
    fn mark_answered(&mut self, replies: &[Result<Reply, Error>]) {
        let asked: Vec<Url> = self.unanswered().collect();
        let is_told = |reply: &Result<Reply, Error>| reply.is_ok() && problem_of(reply).is_none();
        let told: BTreeSet<&Url> =
            asked.iter().zip(replies).filter(|(_, reply)| is_told(reply)).map(|(url, _)| url).collect();
        let challenges = self.known.iter_mut().flat_map(|offer| &mut offer.state.challenges);
        for challenge in challenges.filter(|challenge| told.contains(&challenge.url)) {
            challenge.status = ChallengeStatus::Processing;
        }
    }

    /// The names whose proofs the CA has not found, and will not look for again before it is told anew: step-ca looks
    /// while it answers, and leaves a challenge `pending`, with the reason. Waited for, the order would be pending until
    /// the deadline.
    ///
    /// DIVERGES: by RFC 8555 §8.2 such a challenge is `processing`, and the CA looks again by itself.
    fn in_vain(&self, replies: &[Result<Reply, Error>]) -> Vec<AuthorizationFailure> {
        let failures = self.unanswered().zip(replies).filter_map(|(url, reply)| {
            let problem = problem_of(reply)?;
            let is_its = |offer: &&Offer| offer.state.challenges.iter().any(|challenge| challenge.url == url);
            let AuthorizationState { identifier, wildcard, status, .. } =
                &self.known.iter().find(is_its)?.state;
            Some(AuthorizationFailure {
                identifier: identifier.clone(),
                wildcard: *wildcard,
                status: status.clone(),
                problem: Some(problem.clone()),
            })
        });
        failures.collect()
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

    fn handle_finalization(&mut self, reply: Result<Reply, Error>) -> Result<(), Error> {
        let reply = reply.and_then(Reply::into_order);
        let next = if self.finalization.is_in_doubt() {
            self.finalization.handle_look(reply)
        } else {
            self.finalization.handle_answer(reply)
        };
        match next? {
            Next::Send | Next::Look => Ok(()),
            Next::Settled(order) => self.proceed(*order),
        }
    }

    /// An order of an earlier run: taken up if it can still succeed.
    fn handle_take_up(&mut self, reply: Result<Reply, Error>) -> Result<(), Error> {
        let order = match reply.and_then(Reply::into_order) {
            Ok(order) => order,
            Err(error) if self.is_lost(&error) => {
                self.start_over();
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if matches!(order.status, OrderStatus::Canceled | OrderStatus::Invalid)
            || !order.is_for(self.plan.request.identifiers())
        {
            self.start_over();
            return Ok(());
        }
        if let (OrderStatus::Pending, State::Finalizing { order: url }) = (&order.status, &self.state) {
            // What was proven is so no longer: that is for the proofs to mend.
            self.enter(State::Ordered { order: url.clone() });
        }
        self.proceed(order)
    }

    /// Whether nobody will hear of the order again. All else passes, or can be mended, and then the order is there.
    fn is_lost(&self, error: &Error) -> bool {
        match error {
            // 404 and 403 both mean that this account has no such order any more; but 403 may also mean that terms
            // have changed (RFC 8555 §7.3.3).
            Error::Server(refusal) => {
                matches!(refusal.problem.status, Some(403 | 404 | 410))
                    && refusal.problem.kind != ProblemType::UserActionRequired
            }
            // The order's URL is another server's: the directory was changed under the walk. A bad URL within the
            // order is no reason to place a second one.
            Error::Misbehaved(Misbehaved::Url { url, .. }) => {
                self.state.order().is_some_and(|order| shown(order.as_str()) == *url)
            }
            _ => false,
        }
    }

    fn start_over(&mut self) {
        (self.known, self.addresses) = (Vec::new(), None);
        self.enter(State::Ordering);
        self.next = Position::Place;
    }

    fn handle_authorizations(
        &mut self,
        order: &OrderState,
        replies: Vec<Result<Reply, Error>>,
    ) -> Result<(), Error> {
        let replies = replies.into_iter().collect::<Result<Vec<_>, _>>()?;
        self.known = offers(order, replies.into_iter().map(Some));
        self.check_names()?;
        let failed = |offer: &Offer| {
            !matches!(offer.state.status, AuthorizationStatus::Pending | AuthorizationStatus::Valid)
        };
        if self.known.iter().any(failed) {
            return Err(self.invalid(None));
        }
        self.next = if self.pending().next().is_some() { Position::Choose } else { Position::Validate };
        Ok(())
    }

    /// That the server wants nothing proven that was not asked for: a proof for another name would be one for
    /// somebody else's certificate. RFC 9444 lets a server ask for an ancestor of a name.
    fn check_names(&self) -> Result<(), Misbehaved> {
        let asked = self.plan.request.identifiers();
        let strange = |offer: &&Offer| !asked.iter().any(|own| own.is_proven_by(&offer.state.identifier));
        match self.known.iter().find(strange) {
            None => Ok(()),
            Some(offer) => Err(Misbehaved::authorization_name(&offer.url, &offer.state)),
        }
    }

    /// Goes on with an order as the server describes it.
    fn proceed(&mut self, order: OrderState) -> Result<(), Error> {
        let finalized = matches!(self.state, State::Finalizing { .. });
        self.note_addresses(&order);
        match order.status {
            OrderStatus::Canceled | OrderStatus::Invalid => self.fail(order),
            // A server could let an order go round for ever.
            OrderStatus::Pending if finalized => Err(self.backwards(order.status)),
            OrderStatus::Ready if finalized && !self.finalization.may_be_sent() => {
                Err(self.backwards(order.status))
            }
            OrderStatus::Pending => {
                self.next = Position::Authorize(order);
                Ok(())
            }
            OrderStatus::Unknown(_) => {
                self.next = Position::Validate;
                Ok(())
            }
            _ if !self.state.tasks().is_empty() => {
                self.next = Position::CleanUp(order);
                Ok(())
            }
            _ => self.finish(order),
        }
    }

    /// They seldom change, and are copied only then.
    fn note_addresses(&mut self, order: &OrderState) {
        let certificate = order.certificate.as_ref().or(order.star_certificate.as_ref());
        let known = self.addresses.as_ref().map(|(finalize, certificate)| (finalize, certificate.as_ref()));
        if known != Some((&order.finalize, certificate)) {
            self.addresses = Some((order.finalize.clone(), certificate.cloned()));
        }
    }

    /// Goes on with an order whose names are proven, and whose proofs are removed.
    fn finish(&mut self, order: OrderState) -> Result<(), Error> {
        if let Some(url) = self.state.order().cloned() {
            self.enter(State::Finalizing { order: url });
        }
        self.next = match order.status {
            OrderStatus::Ready => Position::Finalize(order),
            // That of the moment, where the CA renews by itself (RFC 8739 §3.3).
            OrderStatus::Valid => match order.certificate.or(order.star_certificate) {
                Some(url) => Position::Download(url),
                None => {
                    let (resource, field) = ("order", "certificate");
                    return Err(Misbehaved::Field { resource, field, expected: "a URL" }.into());
                }
            },
            // A moment past the deadline is no reason to sleep until then: a look tells whether it stays so.
            _ => Position::Issue(order.retry_at.filter(|at| *at <= self.plan.deadline)),
        };
        Ok(())
    }

    /// The end of an order that failed: with its own reason, or after a look for the reasons of its names.
    fn fail(&mut self, order: OrderState) -> Result<(), Error> {
        if order.error.is_none() && !order.authorizations.is_empty() {
            self.next = Position::Explain(order);
            return Ok(());
        }
        Err(self.invalid(order.error))
    }

    fn invalid(&self, problem: Option<Problem>) -> Error {
        let states = self.known.iter().map(|offer| &offer.state);
        OrderInvalid::explained(self.order_url(), problem, states).into()
    }

    fn backwards(&self, status: OrderStatus) -> Error {
        Misbehaved::Backwards { url: self.order_url(), status }.into()
    }

    fn enter(&mut self, state: State) {
        self.unrecorded = self.unrecorded || self.state != state;
        self.state = state;
    }

    fn order_url(&self) -> String {
        self.state.order().map_or_else(String::new, ToString::to_string)
    }
}

/// Why a challenge that was answered is still pending, if the CA has looked already.
fn problem_of(reply: &Result<Reply, Error>) -> Option<&Problem> {
    match reply {
        Ok(Reply::Challenge(state)) if state.status == ChallengeStatus::Pending => state.error.as_ref(),
        _ => None,
    }
}

impl Position {
    const fn awaits_answers(&self) -> bool {
        !matches!(self, Self::Choose | Self::Present | Self::Wait | Self::CleanUp(_) | Self::Take(_))
    }

    const fn expected(&self) -> &'static str {
        match self {
            Self::Choose => "chosen",
            Self::Present => "presented",
            Self::Wait => "visible",
            Self::CleanUp(_) => "cleaned up",
            Self::Take(_) => "nothing: the walk is over",
            _ => "answered",
        }
    }
}

/// Authorizations with their URLs; those that were not answered are left out.
fn offers(order: &OrderState, replies: impl Iterator<Item = Option<Reply>>) -> Vec<Offer> {
    let urls = order.authorizations.iter().cloned();
    urls.zip(replies)
        .filter_map(|(url, reply)| match reply {
            Some(Reply::Authorization(state)) => Some(Offer { url, state }),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests;
