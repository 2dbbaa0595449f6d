//! The walk from a signing request to a verified chain, resumable at every step.

use std::collections::BTreeSet;

use perennial_acme::{
    Account, Authorization, CertificateChain, CertificateFault, CertificationRequest, ChainSelector,
    Challenge, ChallengeKind, Error as AcmeError, Expected, Identifier, Misuse, NewOrder, ProblemType, Url,
    call::{Call, Download},
    challenge::dns_persist01::Draft,
    flow::{Errand, Event, Offer, Plan, Reply, State, Step, Task as WalkTask, Walk},
};
use perennial_core::DomainName;
use perennial_lifecycle::{IssuedChain, Journal, OfferedChallenge, Progress, SigningRequest, Stage};
use serde::Serialize;
use tokio::sync::mpsc;

use super::{
    AcmeIssuer,
    deadline::{Deadline, within},
    refusal::{Refusal, refusals},
    renewal_info,
    turns::{Again, Turns},
};
use crate::{Error, Proof, Task};

pub(super) async fn issue(
    issuer: &AcmeIssuer,
    request: &SigningRequest,
    journal: &Journal,
    deadline: Deadline,
) -> Result<IssuedChain, Error> {
    let account = issuer.account.account(&issuer.client, journal).await?;
    let walker = Walker { issuer, request, journal, deadline };
    match walker.walk(&account).await {
        Err(error) if is_account_gone(&error) => {
            let account = issuer.account.replacement(&account, &issuer.client, journal).await?;
            walker.walk(&account).await
        }
        walked => walked,
    }
}

fn is_account_gone(error: &Error) -> bool {
    matches!(error, Error::Acme(error) if error.problem().is_some_and(|problem| problem.kind == ProblemType::AccountDoesNotExist))
}

/// Who drives a [`Walk`]: the requests go to the CA, the states to the journal, the proofs to the solvers.
#[derive(Clone, Copy)]
struct Walker<'a> {
    issuer: &'a AcmeIssuer,
    request: &'a SigningRequest,
    journal: &'a Journal,
    deadline: Deadline,
}

impl Walker<'_> {
    async fn walk(self, account: &Account) -> Result<IssuedChain, Error> {
        self.journal.tell(Stage::AccountReady { url: account.url().to_string() }).await;
        let request = self.new_order();
        let _flight = self.journal.parked(account.flight(&request)).await;
        let certification_request = CertificationRequest::parse(&self.request.csr_der)
            .map_err(Misuse::from)
            .map_err(AcmeError::from)?;
        let plan = Plan { request, certification_request, deadline: self.deadline.moment };
        let mut state = self.journal.progress().await.and_then(|progress| progress.decode::<State>());
        let mut turns = Turns::default();
        loop {
            let walk = match state.take() {
                Some(state) => Walk::resume(plan.clone(), state),
                None => Walk::new(plan.clone()),
            };
            let mut walk = walk.map_err(AcmeError::from)?;
            let error = match self.drive(account, &mut walk, &mut turns).await {
                Ok(chain) => return Ok(chain),
                Err(error) => error,
            };
            self.give_up(account, &walk, &error).await?;
            state = match turns.after(&error, |name, turns| self.has_way(name, turns)) {
                Some(Again::SameOrder) => walk.state().order().cloned().map(|order| State::Ordered { order }),
                Some(Again::NewOrder) => None,
                None => return Err(error),
            };
            // What the next one presents may be put in the same place.
            if self.issuer.clean_up(self.journal).await.is_err() {
                // What stays owed is tried again; what went wrong first is what has to be known.
                return Err(error);
            }
        }
    }

    /// Tells the failure, and lets go of an order that has come to nothing.
    async fn give_up(self, account: &Account, walk: &Walk, error: &Error) -> Result<(), Error> {
        if let Error::Acme(error) = error {
            self.tell_failure(error).await;
        }
        let ended = matches!(error, Error::Acme(AcmeError::OrderInvalid(_)));
        if ended {
            // Whether the CA lets go of the other authorizations is not what the failure is about.
            account.send(walk.leftovers()).await;
        }
        if ended || walk.state().order().is_none() {
            // There is no order to go on with: the next call makes one, and who counts them knows.
            self.journal.start_over().await?;
        }
        Ok(())
    }

    /// Whether somebody who had no turn yet can prove a name in a way that the CA offers.
    fn has_way(self, name: &DomainName, turns: &Turns) -> bool {
        let candidates = self.issuer.solvers.candidates(name, &self.request.labels).unwrap_or_default();
        candidates.iter().any(|seat| turns.is_open(name, &seat.solver.kind()))
    }

    /// Tells what the CA refuses, name by name where it says so, and what it counts.
    async fn tell_failure(self, error: &AcmeError) {
        if let Some((problem, limit)) = error.problem().and_then(|it| Some((it, it.rate_limit()?))) {
            self.journal.tell(Stage::RateLimited { limit: problem.to_string(), until: limit.retry_at }).await;
        }
        let AcmeError::OrderInvalid(order) = error else { return };
        for Refusal { name, reason, .. } in refusals(order, |name| self.request.names.contains(name)) {
            self.journal.tell(Stage::ChallengeFailed { name: name.into(), reason }).await;
        }
        self.journal.tell(Stage::OrderFailed { reason: order.to_string() }).await;
    }

    fn new_order(self) -> NewOrder {
        let order = NewOrder::new(self.request.names.iter().map(Identifier::from));
        let order = match self.request.replaces.as_ref().and_then(renewal_info::name_of) {
            Some(replaced) => order.replaces(&replaced, self.issuer.account.directory()),
            None => order,
        };
        match &self.request.profile {
            Some(profile) => order.profile(profile.as_str()),
            None => order,
        }
    }

    async fn drive(
        self,
        account: &Account,
        walk: &mut Walk,
        turns: &mut Turns,
    ) -> Result<IssuedChain, Error> {
        let mut proofs = Vec::new();
        let mut told = Told::default();
        loop {
            self.tell_described(walk, &mut told).await;
            let event = match walk.poll() {
                Step::Send(calls) => {
                    self.send(account, walk, calls, &proofs).await?;
                    continue;
                }
                Step::Do(Errand::Record(state)) => {
                    self.record(&state, &mut told).await?;
                    Event::Recorded
                }
                Step::Do(Errand::Choose(offers)) => {
                    let (challenges, chosen) = self.choose(account, &offers, turns).await?;
                    let chosen =
                        within(self.deadline.left(), "looking for where proofs go", self.locate(chosen))
                            .await?;
                    turns.choose(&offers, &chosen);
                    self.tell_chosen(&challenges, &chosen).await;
                    proofs = chosen;
                    Event::Chosen(challenges)
                }
                Step::Do(Errand::Present(_)) => {
                    self.present(&proofs).await?;
                    Event::Presented
                }
                Step::Do(Errand::Wait(_)) => {
                    self.journal.parked(self.wait(&proofs)).await?;
                    Event::Visible
                }
                Step::Do(Errand::CleanUp(tasks)) => {
                    self.tell_validated(&tasks).await;
                    // What cannot be removed stays on record and was told; it does not fail the issuance.
                    let _ = self.issuer.clean_up(self.journal).await;
                    Event::CleanedUp
                }
                Step::Do(Errand::Take(download)) => {
                    // What an earlier call has left is no errand of this walk, if nothing had to be proven on it.
                    let _ = self.issuer.clean_up(self.journal).await;
                    return self.take(account, *download).await;
                }
            };
            walk.handle(event)?;
        }
    }

    /// Sends requests, and tells of those that others wait for.
    async fn send(
        self,
        account: &Account,
        walk: &mut Walk,
        calls: Vec<Call<Reply>>,
        proofs: &[Proof],
    ) -> Result<(), Error> {
        let verb = calls.first().map(Call::verb);
        if verb == Some("order") {
            // The CA takes its time.
            self.journal.parked(account.perform(walk, calls)).await?;
        } else {
            account.perform(walk, calls).await?;
        }
        match verb {
            Some("challenge") => {
                for proof in proofs {
                    let (name, kind) = (proof.name.clone().into(), proof.kind.clone());
                    self.journal.tell(Stage::ChallengeAnswered { name, kind }).await;
                }
            }
            Some("finalize") => self.journal.tell(Stage::Finalized).await,
            _ => {}
        }
        Ok(())
    }

    /// Writes down how far the walk has come.
    async fn record(self, state: &State, told: &mut Told) -> Result<(), Error> {
        self.journal.record(encode(state)?).await?;
        if state.order() != told.order.as_ref() {
            *told = Told { order: state.order().cloned(), ..Told::default() };
            if let Some(url) = &told.order {
                self.journal.tell(Stage::OrderCreated { url: url.to_string() }).await;
            }
        }
        Ok(())
    }

    /// Tells what the CA has said of an order that was told of.
    async fn tell_described(self, walk: &Walk, told: &mut Told) {
        if told.order.is_none() || told.order.as_ref() != walk.state().order() {
            return;
        }
        let certificate = walk.certificate_url();
        if let Some(finalize) = walk.finalize_url()
            && (!told.finalize || certificate.is_some() && !told.certificate)
        {
            (told.finalize, told.certificate) = (true, certificate.is_some());
            let (finalize, certificate) = (finalize.to_string(), certificate.map(ToString::to_string));
            self.journal.tell(Stage::OrderDescribed { finalize, certificate }).await;
        }
        for Offer { url, state } in walk.authorizations().iter().skip(told.authorizations) {
            let offered = state.challenges.iter().map(|challenge| OfferedChallenge {
                kind: challenge.kind.to_string(),
                url: challenge.url.to_string(),
            });
            let found = Stage::AuthorizationFound {
                identifier: state.identifier.to_string(),
                wildcard: state.wildcard,
                url: url.to_string(),
                state: state.status.to_string(),
                offered: offered.collect(),
            };
            self.journal.tell(found).await;
        }
        told.authorizations = told.authorizations.max(walk.authorizations().len());
    }

    /// One challenge for each authorization: its URL, and the proof that will be presented for it.
    async fn choose(
        self,
        account: &Account,
        offers: &[Offer],
        turns: &Turns,
    ) -> Result<(Vec<Url>, Vec<Proof>), Error> {
        let mut chosen = (Vec::new(), Vec::new());
        for offer in offers {
            let Chosen { challenge, proof } = self.choose_one(&account.offered(offer), turns).await?;
            chosen.0.push(challenge.state().url.clone());
            chosen.1.push(proof);
        }
        Ok(chosen)
    }

    /// The first of those who are for a name and can do what the CA offers.
    async fn choose_one(self, authorization: &Authorization, turns: &Turns) -> Result<Chosen, Error> {
        let Some(base) = authorization.identifier().dns() else {
            let reason = format!("the CA wants {} proven, which is no DNS name", authorization.identifier());
            return Err(Error::Configuration { reason });
        };
        // Told apart from the apex, which has its own authorization and its own value.
        let name = if authorization.is_wildcard() { wildcard_of(base) } else { base.clone() };
        let names = &self.request.names;
        // A CA may ask for an ancestor of what was asked for (RFC 9444): whoever is for the one proves the other.
        let below = || names.iter().find(|asked| asked.base().is_at_or_below(base));
        let asked = names.iter().find(|asked| **asked == name).or_else(below).unwrap_or(&name);
        let candidates = self.issuer.solvers.candidates(asked, &self.request.labels)?;
        let mut unfit = None;
        for seat in &candidates {
            let kind = seat.solver.kind();
            if turns.is_over(&name, &kind) {
                continue;
            }
            if let Some(challenge) = authorization.challenge(&kind) {
                let mut proof = match seat.solver.persists() {
                    // The CA may speak another revision: the next one does not mind.
                    Some(draft) => match standing_proof(&challenge, draft, &name).await {
                        Ok(proof) => proof,
                        Err(error) => {
                            unfit.get_or_insert(error);
                            continue;
                        }
                    },
                    None => seat.solver.proof(&Task::new(base, &challenge.key_authorization()?))?,
                };
                (proof.name, proof.selector) = (name, seat.selector.clone());
                return Ok(Chosen { challenge, proof });
            }
        }
        if let Some(error) = unfit {
            return Err(error);
        }
        let offered: Vec<_> =
            authorization.challenges().iter().map(|offer| offer.kind().to_string()).collect();
        let have: Vec<_> = candidates.iter().map(|seat| seat.solver.kind().to_string()).collect();
        Err(Error::NoSolver { name, offered: offered.join(", "), have: have.join(", ") })
    }

    /// Where the proofs really go, before that is written down.
    async fn locate(self, mut proofs: Vec<Proof>) -> Result<Vec<Proof>, Error> {
        let parts: Vec<_> = self.issuer.solvers.by_solver(&proofs).collect();
        for (solver, own) in parts {
            let located = solver.locate(own.clone()).await?;
            for (from, to) in own.into_iter().zip(located) {
                proofs.iter_mut().filter(|proof| **proof == from).for_each(|proof| *proof = to.clone());
            }
        }
        Ok(proofs)
    }

    async fn tell_chosen(self, challenges: &[Url], proofs: &[Proof]) {
        for (url, Proof { kind, name, .. }) in challenges.iter().zip(proofs) {
            let (name, kind, url) = (name.clone().into(), kind.clone(), url.to_string());
            self.journal.tell(Stage::ChallengeChosen { name, kind, url }).await;
        }
    }

    async fn tell_validated(self, tasks: &[WalkTask]) {
        for task in tasks {
            let Some(base) = task.identifier.dns() else { continue };
            let name = if task.wildcard { wildcard_of(base) } else { base.clone() };
            self.journal.tell(Stage::DomainVerified { name: name.into(), kind: task.kind.to_string() }).await;
        }
        self.journal.tell(Stage::Validated).await;
    }

    /// Writes down what will be presented, and presents it. An earlier call may have got this far and removed all
    /// of it again: that the walk has come here is on record then, and what it owes is not.
    async fn present(self, proofs: &[Proof]) -> Result<(), Error> {
        let is_debt = |proof: &&Proof| {
            self.issuer.solvers.solver_of(proof).is_none_or(|solver| solver.persists().is_none())
        };
        let owed: Vec<Proof> = proofs.iter().filter(is_debt).cloned().collect();
        self.journal.owe(&debts(&owed)?).await?;
        let mut parts: Vec<_> = self.issuer.solvers.by_solver(proofs).collect();
        // Whether records that stay are there is known before anything is put anywhere.
        parts.sort_by_key(|(solver, _)| solver.persists().is_none());
        let mut wanted = Vec::new();
        for (solver, own) in parts {
            if !wanted.is_empty() && solver.persists().is_none() {
                break;
            }
            match within(self.deadline.left(), "presenting the proofs", solver.present(&own)).await {
                // All that are lacking are told at once, whoever looks for them.
                Err(Error::RecordWanted { records }) => {
                    wanted.extend(records);
                    continue;
                }
                presented => presented?,
            }
            for Proof { kind, name, at, .. } in own {
                self.journal.tell(Stage::ChallengePresented { name: name.into(), kind, at }).await;
            }
        }
        if wanted.is_empty() { Ok(()) } else { Err(Error::RecordWanted { records: wanted }) }
    }

    async fn wait(self, proofs: &[Proof]) -> Result<(), Error> {
        for (solver, own) in self.issuer.solvers.by_solver(proofs) {
            let (told, mut hears) = mpsc::unbounded_channel();
            let wait = async move {
                let tell = |stage| drop(told.send(stage));
                solver.wait_and_tell(&own, self.deadline.left(), &tell).await.map(|()| own)
            };
            let hear = async {
                while let Some(stage) = hears.recv().await {
                    self.journal.tell(stage).await;
                }
            };
            // Nothing more is told once the wait is over.
            let (waited, ()) = tokio::join!(wait, hear);
            let own = waited?;
            for at in places(&own) {
                self.journal.tell(Stage::Propagated { at }).await;
            }
        }
        Ok(())
    }

    /// The chain that is wanted of those that the CA offers, once it is verified.
    async fn take(self, account: &Account, download: Download) -> Result<IssuedChain, Error> {
        let chain = self.verified(account, download).await;
        if chain.as_ref().is_err_and(is_final) {
            // The order will never give another certificate: the next call makes a new one.
            self.journal.start_over().await?;
        }
        let chain = chain?;
        self.journal.tell(Stage::Downloaded).await;
        Ok(IssuedChain::from_pem(chain.to_pem())?)
    }

    async fn verified(self, account: &Account, download: Download) -> Result<CertificateChain, Error> {
        let wished = self.issuer.preferred_chain.as_deref().map(ChainSelector::issuer);
        let chain = account.choose_chain(download, &wished.unwrap_or_default()).await;
        let identifiers: Vec<Identifier> = self.request.names.iter().map(Identifier::from).collect();
        let (public_key, now) = (&self.request.public_key_der, self.issuer.clock.now());
        chain.verify(&Expected { public_key, identifiers: &identifiers, now })?;
        Ok(chain)
    }
}

/// What was told of an order.
#[derive(Default)]
struct Told {
    order: Option<Url>,
    finalize: bool,
    certificate: bool,
    /// How many of its authorizations.
    authorizations: usize,
}

/// A challenge that will be answered, and its proof.
struct Chosen {
    challenge: Challenge,
    proof: Proof,
}

/// The record that stays, of a challenge that has no token.
async fn standing_proof(challenge: &Challenge, draft: Draft, name: &DomainName) -> Result<Proof, Error> {
    let at = challenge.dns_persist01_record_name()?;
    let record = challenge.dns_persist01_record(draft).await?;
    let record = if name.is_wildcard() { record.wildcard() } else { record };
    Ok(Proof::new(&ChallengeKind::DnsPersist01, name.clone(), at.as_str(), record.to_string()))
}

/// The name with `*.` before it; itself where that would be too long for a name.
pub(super) fn wildcard_of(name: &DomainName) -> DomainName {
    name.child("*").unwrap_or_else(|_| name.clone())
}

/// Whether the order's certificate is of no use now or later: wrong, or ended while nobody was there to fetch
/// it. One that begins in the future waits for our clock to be put right.
fn is_final(error: &Error) -> bool {
    let Error::Acme(AcmeError::Certificate(fault)) = error else {
        return false;
    };
    !matches!(fault, CertificateFault::IssuerNotYetValid { .. } | CertificateFault::NotYetValid { .. })
}

/// Proofs as the journal keeps them.
pub(super) fn debts(proofs: &[Proof]) -> Result<Vec<Progress>, Error> {
    proofs.iter().map(encode).collect()
}

/// The places of proofs, each once.
pub(super) fn places(proofs: &[Proof]) -> BTreeSet<String> {
    proofs.iter().map(|proof| proof.at.clone()).collect()
}

fn encode<T: Serialize>(value: &T) -> Result<Progress, Error> {
    Progress::encode(value).map_err(|reason| Error::Configuration { reason })
}
