//! The walk from a signing request to a verified chain, resumable at every step.

use std::collections::BTreeSet;

use perennial_acme::{
    Account, Authorization, AuthorizationStatus, CertificateChain, CertificateFault, Challenge,
    ChallengeStatus, Error as AcmeError, Expected, Identifier, NewOrder, Order, OrderStatus, ProblemType,
};
use perennial_lifecycle::{IssuedChain, Journal, Progress, SigningRequest, Stage};
use serde::{Deserialize, Serialize};

use super::{
    AcmeIssuer,
    deadline::{Deadline, within},
};
use crate::{Error, Proof, Task};

/// How far a walk came: what the journal keeps.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Walked {
    /// The order under way. Its URL is the only way back to it.
    order_url: String,
}

pub(super) async fn issue(
    issuer: &AcmeIssuer,
    request: &SigningRequest,
    journal: &Journal,
    deadline: Deadline,
) -> Result<IssuedChain, Error> {
    let account = issuer.account.account(&issuer.client, journal).await?;
    journal.tell(Stage::AccountReady { url: account.url().to_string() }).await;
    let order = match order(&account, request, journal).await {
        Err(error) if is_account_gone(&error) => {
            let account = issuer.account.replacement(&account, &issuer.client, journal).await?;
            journal.tell(Stage::AccountReady { url: account.url().to_string() }).await;
            order(&account, request, journal).await?
        }
        order => order?,
    };
    if order.state().status == OrderStatus::Pending {
        validate(issuer, &order, journal, deadline).await?;
        journal.tell(Stage::Validated).await;
    }
    // Also when a crash left the order ahead of the clean-up. What cannot be removed stays on record and was
    // told; it does not fail the issuance.
    let _ = issuer.clean_up(journal).await;
    finish(issuer, &order, request, journal, deadline).await
}

fn is_account_gone(error: &Error) -> bool {
    matches!(error, Error::Acme(error) if error.problem().is_some_and(|problem| problem.kind == ProblemType::AccountDoesNotExist))
}

/// The order under way if it can still succeed, else a new one; its URL is on record before anything else
/// happens.
async fn order(account: &Account, request: &SigningRequest, journal: &Journal) -> Result<Order, Error> {
    if let Some(walked) = journal.progress().await.and_then(|progress| progress.decode::<Walked>())
        && let Some(order) = take_up(account, request, &walked.order_url).await?
    {
        journal.tell(Stage::OrderCreated { url: walked.order_url }).await;
        return Ok(order);
    }
    let wanted = NewOrder::new(request.names.iter().map(Identifier::from));
    let wanted = match &request.profile {
        Some(profile) => wanted.profile(profile.as_str()),
        None => wanted,
    };
    let order = account.new_order(&wanted).await?;
    let order_url = order.url().to_string();
    journal.record(encode(&Walked { order_url: order_url.clone() })?).await?;
    journal.tell(Stage::OrderCreated { url: order_url }).await;
    Ok(order)
}

/// The order on record, unless the CA has given it up, forgotten it, or it is for other names.
async fn take_up(account: &Account, request: &SigningRequest, url: &str) -> Result<Option<Order>, Error> {
    let order = match account.order(url).await {
        Ok(order) => order,
        // 404 and 403 both mean that this account has no such order any more.
        Err(AcmeError::Server(refusal)) if matches!(refusal.problem.status, Some(403 | 404 | 410)) => {
            return Ok(None);
        }
        // The URL is another CA's: the issuer's directory was changed under the attempt.
        Err(AcmeError::Misuse(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let state = order.state();
    let asked: BTreeSet<Identifier> = request.names.iter().map(Identifier::from).collect();
    let same = state.identifiers.iter().cloned().collect::<BTreeSet<_>>() == asked;
    let alive = !matches!(state.status, OrderStatus::Canceled | OrderStatus::Invalid);
    Ok((same && alive).then_some(order))
}

/// Proves every name that the CA wants proven: writes down what will be presented, presents all, waits for
/// all, answers all.
async fn validate(
    issuer: &AcmeIssuer,
    order: &Order,
    journal: &Journal,
    deadline: Deadline,
) -> Result<(), Error> {
    let authorizations = order.authorizations().await?;
    let chosen = authorizations
        .iter()
        .filter(|authorization| *authorization.status() == AuthorizationStatus::Pending)
        .map(|authorization| choose(issuer, authorization))
        .collect::<Result<Vec<_>, _>>()?;
    let proofs: Vec<Proof> = chosen.iter().map(|chosen| chosen.proof.clone()).collect();
    journal.owe(&debts(&proofs)?).await?;
    show(issuer, &proofs, journal, deadline).await?;
    for chosen in &chosen {
        // A crash after the answer: the CA is looking already, and must not be told twice.
        if *chosen.challenge.status() == ChallengeStatus::Pending {
            chosen.challenge.answer().await?;
        }
        journal.tell(Stage::ChallengeAnswered { name: chosen.proof.name.clone() }).await;
    }
    order.wait_ready(deadline.moment).await?;
    Ok(())
}

/// Presents all proofs, then waits until the CA will see all.
async fn show(
    issuer: &AcmeIssuer,
    proofs: &[Proof],
    journal: &Journal,
    deadline: Deadline,
) -> Result<(), Error> {
    for (solver, own) in issuer.by_solver(proofs) {
        within(deadline.left(), "presenting the proofs", solver.present(&own)).await?;
        for proof in own {
            journal.tell(Stage::ChallengePresented { name: proof.name, at: proof.at }).await;
        }
    }
    for (solver, own) in issuer.by_solver(proofs) {
        solver.wait(&own, deadline.left()).await?;
        for at in places(&own) {
            journal.tell(Stage::Propagated { at }).await;
        }
    }
    Ok(())
}

/// A challenge that will be answered, and its proof.
struct Chosen {
    challenge: Challenge,
    proof: Proof,
}

fn choose(issuer: &AcmeIssuer, authorization: &Authorization) -> Result<Chosen, Error> {
    let Some(name) = authorization.identifier().dns() else {
        let reason = format!("the CA wants {} proven, which is no DNS name", authorization.identifier());
        return Err(Error::Configuration { reason });
    };
    for solver in &issuer.solvers {
        if let Some(challenge) = authorization.challenge(&solver.kind()) {
            let key_authorization = challenge.key_authorization()?;
            let mut proof = solver.proof(&Task::new(name, &key_authorization))?;
            if authorization.is_wildcard() {
                // Told apart from the apex, which has its own authorization and its own value.
                proof.name = name.child("*").unwrap_or(proof.name);
            }
            return Ok(Chosen { challenge, proof });
        }
    }
    let offered: Vec<_> = authorization.challenges().iter().map(|offer| offer.kind().to_string()).collect();
    let have: Vec<_> = issuer.solvers.iter().map(|solver| solver.kind().to_string()).collect();
    Err(Error::NoSolver { name: name.clone(), offered: offered.join(", "), have: have.join(", ") })
}

/// From a validated order to a verified chain.
async fn finish(
    issuer: &AcmeIssuer,
    order: &Order,
    request: &SigningRequest,
    journal: &Journal,
    deadline: Deadline,
) -> Result<IssuedChain, Error> {
    if order.state().status == OrderStatus::Ready {
        order.finalize(&request.csr_der).await?;
        journal.tell(Stage::Finalized).await;
    }
    order.wait_valid(deadline.moment).await?;
    let chain = download(issuer, order, request).await;
    if chain.as_ref().is_err_and(is_final) {
        // The order will never give another certificate: the next call makes a new one.
        journal.start_over().await?;
    }
    let chain = chain?;
    journal.tell(Stage::Downloaded).await;
    Ok(IssuedChain::from_pem(chain.to_pem())?)
}

async fn download(
    issuer: &AcmeIssuer,
    order: &Order,
    request: &SigningRequest,
) -> Result<CertificateChain, Error> {
    let chain = match &issuer.preferred_chain {
        Some(common_name) => order.certificate_by_issuer(common_name).await?,
        None => order.certificate().await?,
    };
    let expected =
        Expected { public_key: &request.public_key_der, names: &request.names, now: issuer.clock.now() };
    chain.verify(&expected)?;
    Ok(chain)
}

/// Whether the order's certificate is of no use now or later: wrong, or ended while nobody was there to fetch
/// it. One that begins in the future waits for our clock to be put right.
fn is_final(error: &Error) -> bool {
    matches!(error, Error::Acme(AcmeError::Certificate(fault)) if !matches!(fault, CertificateFault::NotYetValid { .. }))
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
