//! What a walk wants done, and what it is told.

use super::{State, Task};
use crate::{
    AuthorizationState, ChallengeState, Error, Misuse, OrderState, Url,
    call::{Call, Created, Download},
};

/// What a walk wants done next.
#[derive(Debug)]
#[allow(clippy::exhaustive_enums)] // Requests for the server, and errands for everybody else.
pub enum Step {
    /// These requests are to be sent, at once or one after the other, and all their outcomes handed over in
    /// [`Event::Answered`], in the same order.
    Send(Vec<Call<Reply>>),
    /// Something that is not the server's business.
    Do(Errand),
}

/// What a walk wants its caller to do. Each has an [`Event`] that says that it is done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums)] // A new errand is a new duty of every caller.
pub enum Errand {
    // In the order in which they come.
    /// To write the state down, durably, before anything else. Then [`Event::Recorded`].
    Record(State),
    /// To choose a challenge for each of these authorizations. Then [`Event::Chosen`].
    Choose(Vec<Offer>),
    /// To present all these proofs. Whoever has to remove them after a crash writes them down first. Then
    /// [`Event::Presented`].
    Present(Vec<Task>),
    /// To wait until the CA will see all of them: a failed look spends the authorization. Then
    /// [`Event::Visible`].
    Wait(Vec<Task>),
    /// To remove all these proofs: the CA has looked. Then [`Event::CleanedUp`].
    CleanUp(Vec<Task>),
    /// Nothing more: here is the certificate, to be [verified](crate::CertificateChain::verify) before it
    /// replaces anything.
    Take(Box<Download>),
}

/// A name that the server wants proven, and the ways that it offers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs)] // Plain data: where, and what.
pub struct Offer {
    /// The authorization.
    pub url: Url,
    /// What the server says about it; it is `pending`.
    pub state: AuthorizationState,
}

/// What an answer was, by the verb of its request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums)] // The verbs of the walk.
pub enum Reply {
    /// Of an authorization.
    Authorization(AuthorizationState),
    /// Of an order's certificate.
    Certificate(Download),
    /// Of a challenge that was answered.
    Challenge(ChallengeState),
    /// Of newOrder.
    Created(Created<OrderState>),
    /// Of an order, or of its finalization.
    Order(OrderState),
}

impl Reply {
    /// The order, where only an order can have come.
    pub(super) fn into_order(self) -> Result<OrderState, Error> {
        match self {
            Self::Order(order) => Ok(order),
            _ => Err(Misuse::OutOfStep { expected: "an order", told: "another answer" }.into()),
        }
    }
}

/// What a walk is told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums)] // One for each step.
pub enum Event {
    /// What became of the requests of [`Step::Send`], in their order.
    Answered(Vec<Result<Reply, Error>>),
    /// The URLs of the challenges that were chosen, one for each offer, in any order.
    Chosen(Vec<Url>),
    /// The proofs were removed, or those whose removal failed are on record elsewhere.
    CleanedUp,
    /// The proofs are in place.
    Presented,
    /// The state is durable.
    Recorded,
    /// The CA will see all proofs.
    Visible,
}

impl Event {
    /// What it says, for those who hear it at the wrong moment.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Answered(_) => "answered",
            Self::Chosen(_) => "chosen",
            Self::CleanedUp => "cleaned up",
            Self::Presented => "presented",
            Self::Recorded => "recorded",
            Self::Visible => "visible",
        }
    }
}
