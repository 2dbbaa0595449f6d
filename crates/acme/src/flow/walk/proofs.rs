//! What has to be proven, and what the CA was told of it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Position, Walk};
use crate::{
    AuthorizationState, AuthorizationStatus, ChallengeStatus, Error, Misbehaved, Misuse, OrderState, Problem,
    Url,
    call::{self, Call},
    error::AuthorizationFailure,
    flow::{Offer, Reply, State, Task},
};

impl Walk {
    /// The authorizations that need a proof.
    pub(super) fn pending(&self) -> impl Iterator<Item = &Offer> {
        self.known.iter().filter(|offer| offer.state.status == AuthorizationStatus::Pending)
    }

    /// The chosen challenges that the CA was not told of yet: after a crash it may be looking already, and must
    /// not be told twice.
    pub(super) fn unanswered(&self) -> impl Iterator<Item = Url> {
        let challenges = self.known.iter().flat_map(|offer| &offer.state.challenges);
        let silent = challenges.filter(|challenge| challenge.status == ChallengeStatus::Pending);
        let silent: BTreeSet<&Url> = silent.map(|challenge| &challenge.url).collect();
        let tasks = self.state.tasks().iter().map(|task| &task.challenge);
        tasks.filter(move |url| silent.contains(url)).cloned()
    }

    /// What is still pending at the server after a failure, and will stay so. Sent, these requests give the
    /// authorizations up (RFC 8555 §7.5.2): CAs limit how many an account may have. Whether they succeed is of no
    /// importance.
    ///
    /// What is proven is no leftover, nor what the CA is looking at, which will be proven or fail by itself: the next
    /// order has it for nothing (RFC 8555 §7.1.6), and no look is spent on it twice.
    #[must_use]
    pub fn leftovers(&self) -> Vec<Call<Reply>> {
        let give_up = |url| call::deactivate_authorization(url).map(Reply::Authorization);
        let left = self.pending().filter(|offer| !is_looked_at(offer));
        left.map(|offer| give_up(offer.url.clone())).collect()
    }

    pub(super) fn handle_authorizations(
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

    pub(super) fn handle_choice(&mut self, challenges: &[Url]) -> Result<(), Error> {
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

    pub(super) fn handle_visible(&mut self) {
        if let (Some(order), tasks) = (self.state.order().cloned(), self.state.tasks().to_vec()) {
            self.enter(State::Answering { order, tasks });
        }
        // All of them may have been answered before a crash.
        self.next = if self.unanswered().next().is_some() { Position::Answer } else { Position::Validate };
    }

    /// Notes which challenges the CA was told of, so that a second try after a failure leaves them alone, and which names
    /// are proven by now. That an answer says `pending` is no help: the largest CA says so while it looks.
    pub(super) fn mark_answered(&mut self, replies: &[Result<Reply, Error>]) {
        let asked: Vec<Url> = self.unanswered().collect();
        let told = asked.iter().zip(replies).filter_map(|(url, reply)| Some((url, told_status(reply)?)));
        let told: BTreeMap<&Url, ChallengeStatus> = told.collect();
        for offer in &mut self.known {
            for challenge in &mut offer.state.challenges {
                let Some(status) = told.get(&challenge.url) else { continue };
                if *status == ChallengeStatus::Valid {
                    offer.state.status = AuthorizationStatus::Valid;
                }
                challenge.status = status.clone();
            }
        }
    }

    /// Notes that all names are proven: an order does not go on before they are (RFC 8555 §7.1.6).
    pub(super) fn mark_proven(&mut self) {
        for offer in &mut self.known {
            offer.state.status = AuthorizationStatus::Valid;
        }
    }

    /// The names whose proofs the CA has not found, and will not look for again before it is told anew: step-ca looks
    /// while it answers, and leaves a challenge `pending`, with the reason. Waited for, the order would be pending until
    /// the deadline.
    ///
    /// DIVERGES: by RFC 8555 §8.2 such a challenge is `processing`, and the CA looks again by itself.
    pub(super) fn in_vain(&self, replies: &[Result<Reply, Error>]) -> Vec<AuthorizationFailure> {
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
}

/// Authorizations with their URLs; those that were not answered are left out.
pub(super) fn offers(order: &OrderState, replies: impl Iterator<Item = Option<Reply>>) -> Vec<Offer> {
    let urls = order.authorizations.iter().cloned();
    urls.zip(replies)
        .filter_map(|(url, reply)| match reply {
            Some(Reply::Authorization(state)) => Some(Offer { url, state }),
            _ => None,
        })
        .collect()
}

/// Whether the CA was told of a challenge, and has not said that its look was in vain.
fn is_looked_at(offer: &Offer) -> bool {
    let mut challenges = offer.state.challenges.iter();
    challenges.any(|challenge| challenge.status == ChallengeStatus::Processing)
}

/// How a challenge stands of which the CA was told: `processing` at least.
fn told_status(reply: &Result<Reply, Error>) -> Option<ChallengeStatus> {
    match reply {
        Ok(Reply::Challenge(state)) if state.status == ChallengeStatus::Valid => Some(ChallengeStatus::Valid),
        Ok(_) if problem_of(reply).is_none() => Some(ChallengeStatus::Processing),
        _ => None,
    }
}

/// Why a challenge that was answered is still pending, if the CA has looked already.
fn problem_of(reply: &Result<Reply, Error>) -> Option<&Problem> {
    match reply {
        Ok(Reply::Challenge(state)) if state.status == ChallengeStatus::Pending => state.error.as_ref(),
        _ => None,
    }
}
