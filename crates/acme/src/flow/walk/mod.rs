//! The walk itself.

use perennial_core::Timestamp;

use crate::{
    CertificationRequest, Error, Misuse, NewOrder, Problem, Url,
    call::{self, Call, Settled},
    error::OrderInvalid,
    flow::{Errand, Finalization, Offer, Reply, State, Step},
};

mod hearing;

mod order;

mod position;
use position::Position;

mod proofs;

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

    fn invalid(&self, problem: Option<Problem>) -> Error {
        let states = self.known.iter().map(|offer| &offer.state);
        OrderInvalid::explained(self.order_url(), problem, states).into()
    }

    fn enter(&mut self, state: State) {
        self.unrecorded = self.unrecorded || self.state != state;
        self.state = state;
    }

    fn order_url(&self) -> String {
        self.state.order().map_or_else(String::new, ToString::to_string)
    }
}

#[cfg(test)]
mod tests;
