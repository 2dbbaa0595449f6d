//! Every misbehaviour of the testkit's catalogue, and what the client makes of it.
//!
//! Each row is one attempt at a certificate, from the directory to the verified chain, by the real HTTP client
//! over loopback. Whatever the CA does, the attempt ends in time, with a certificate or a typed error, with
//! one order and one account, and once the CA is sane again the same account obtains a certificate.

mod certificate;
mod challenge;
mod field;
mod json;
mod order;
mod refusal;
mod stage;
mod wire;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use perennial_testkit::{
    CertificateAuthority, ManualClock,
    ca::{Field, FieldFault, Misbehaviour, OrderStatus, Verb},
    dns::{AuthoritativeServer, Endpoint, Zone},
};
use tokio::{sync::Semaphore, task::JoinSet};

use stage::{Known, Stage};

/// A misbehaviour and what comes of it.
type Row = (Misbehaviour, Outcome);

/// What comes of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// The certificate comes in one walk.
    Bears,
    /// No certificate comes: the error is of this kind.
    Fails(&'static str),
    /// The walk fails with this kind of error, and another one from what was written down succeeds.
    Recovers(&'static str),
}

/// Plays all rows of a table, some at a time, and tells all that went wrong at once.
async fn judge(rows: &[Row]) {
    let zone = Zone::new("example.com").unwrap();
    let server =
        AuthoritativeServer::builder().zone(&zone).start(Endpoint::bind("127.0.0.1:0").await.unwrap());
    let (places, mut running) = (Arc::new(Semaphore::new(AT_ONCE)), JoinSet::new());
    for (number, row) in rows.iter().copied().enumerate() {
        let (zone, address, places) = (zone.clone(), server.address(), places.clone());
        running.spawn(async move {
            let _place = places.acquire_owned().await.unwrap();
            let clock = ManualClock::new("2027-01-01T00:00:00Z".parse().unwrap());
            let authority = CertificateAuthority::builder().clock(Arc::new(clock.clone()));
            let ca = authority.validate_through(&[address]).start().await.unwrap();
            let stage = Stage::new(ca, clock, zone, &format!("row-{number}.example.com"), is_slow(row.0));
            let name = row.0.to_string();
            match tokio::time::timeout(HANG, play(&stage, row)).await {
                Ok(Ok(())) => None,
                Ok(Err(complaint)) => Some(format!("{name}: {complaint}")),
                Err(_) => Some(format!("{name}: hangs")),
            }
        });
    }
    let complaints: Vec<String> = running.join_all().await.into_iter().flatten().collect();
    assert!(complaints.is_empty(), "{} of {}:\n{}", complaints.len(), rows.len(), complaints.join("\n"));
}

async fn play(stage: &Stage, (misbehaviour, wanted): Row) -> Result<(), String> {
    let decoys = usize::from(misbehaviour == Misbehaviour::FinalizeUrlOfAnotherOrder);
    if decoys > 0 {
        stage.place_decoy().await;
    }
    stage.ca.misbehave(misbehaviour);
    let mut known = Known::default();
    let outcome = match stage.walk(&mut known).await {
        Ok(()) => Ok(Outcome::Bears),
        Err(first) if first.is_worth_another_walk(&known) => match stage.walk(&mut known).await {
            Ok(()) => Err((first, true)),
            Err(_) => Err((first, false)),
        },
        Err(first) => Err((first, false)),
    };
    let (found, text) = match outcome {
        Ok(bears) => (bears, String::new()),
        Err((first, true)) => (Outcome::Recovers(first.kind), first.text),
        Err((first, false)) => (Outcome::Fails(first.kind), first.text),
    };
    let hold = |holds: bool, complaint: String| if holds { Ok(()) } else { Err(complaint) };
    hold(found == wanted, format!("{found:?} where {wanted:?} was expected: {text:.300}"))?;
    hold(!text.chars().any(char::is_control), format!("the error is not fit to be shown: {text:?}"))?;
    hold(text.len() <= LONGEST_TEXT, format!("the error has {} bytes", text.len()))?;

    let requests = stage.ca.requests();
    hold(requests.len() <= MOST_REQUESTS, format!("{} requests", requests.len()))?;
    let strayed = requests.iter().find(|request| request.verb.is_none());
    hold(strayed.is_none(), format!("a request that no ACME client has to send: {strayed:?}"))?;
    let orders = stage.ca.orders().len() - decoys;
    let most = 1 + usize::from(misbehaviour == Misbehaviour::ResetNewOrder);
    hold(orders <= most, format!("{orders} orders"))?;
    hold(stage.ca.certificates().len() <= 1, format!("{} certificates", stage.ca.certificates().len()))?;

    stage.ca.clear_quirks();
    let afterwards = stage.walk(&mut Known::default()).await;
    let afterwards = afterwards.map_err(|failure| failure.text);
    hold(afterwards.is_ok(), format!("and the account is of no use afterwards: {afterwards:?}"))?;
    let valid = stage.ca.orders().iter().filter(|order| order.status == OrderStatus::Valid).count();
    hold(valid >= 1, "and there is no valid order afterwards".into())?;
    let requests = stage.ca.requests();
    let made =
        requests.iter().filter(|request| request.verb == Some(Verb::NewAccount) && request.status == 201);
    let made = made.count() - decoys;
    hold(made == 1, format!("{made} accounts"))
}

/// Whether it can be ended by nothing but the HTTP client's patience, so that this had better be short.
const fn is_slow(misbehaviour: Misbehaviour) -> bool {
    matches!(misbehaviour, Misbehaviour::BodySlow | Misbehaviour::InterimAnswersWithoutEnd)
}

/// More would only wait for each other's processors.
const AT_ONCE: usize = 6;
/// Far above what a row needs on a busy machine.
const HANG: Duration = Duration::from_secs(60);
/// A problem's detail and a hundred subproblems, which is a page; more would flood a log.
const LONGEST_TEXT: usize = 10_000;
/// A look a second for two minutes, twice, is what `Retry-After: 0` may cost; all else is far below.
const MOST_REQUESTS: usize = 300;

const TABLES: [&[Row]; 6] =
    [certificate::ROWS, challenge::ROWS, json::ROWS, order::ROWS, refusal::ROWS, wire::ROWS];

#[test]
fn every_misbehaviour_has_a_row_and_only_one() {
    let named = TABLES.concat().into_iter().map(|(misbehaviour, _)| misbehaviour);
    let rows: Vec<Misbehaviour> = named.chain(field::rows().into_iter().map(|(found, _)| found)).collect();
    let unique: BTreeSet<Misbehaviour> = rows.iter().copied().collect();
    let missing: Vec<&Misbehaviour> =
        Misbehaviour::ALL.iter().filter(|misbehaviour| !unique.contains(misbehaviour)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert_eq!((rows.len(), unique.len()), (Misbehaviour::ALL.len(), Misbehaviour::ALL.len()));
    assert!(rows.len() - Field::ALL.len() * FieldFault::ALL.len() >= 60);
}
