//! How many due certificates can processes that share a PostgreSQL claim in a second?
//!
//! A real server on a socket, four stores with one connection each, batches of 100; 240 000 records as they
//! are when a certificate is due for renewal. Counted is from the first claim to the last, with the records
//! read and checked, by the clock on the wall. What is claimed twice is an error.
//!
//! The server does not sync: a claim need not survive a crash of the machine, though it does where the server
//! is set up as usual. It has 256 MB of buffers, twice what a small database server commonly has.

use std::{collections::BTreeSet, error::Error, sync::Arc, time::Duration};

use perennial_benches::usage;
use perennial_lifecycle::{
    CertificateSpec, Facts, Record, Store as _,
    store::{Batch, Owner},
};
use perennial_postgres::PostgresStore;
use perennial_testkit::real::{self, Postgres, Tool};
use serde_json::json;
use tokio::{runtime::Builder, sync::Barrier, task::JoinSet};

const CERTIFICATES: usize = 240_000;
const CLIENTS: usize = 4;
const BATCH: usize = 100;

/// How many records are written together, so that filling the table takes seconds.
const FILLED_TOGETHER: usize = 2_000;

/// Long enough that nothing is due a second time.
const LEASE: Duration = Duration::from_secs(3_600);

pub(crate) fn figures() -> Result<(), Box<dyn Error>> {
    // Says aloud what is missing.
    if real::require(&[Tool::Postgres]).is_none() {
        return Ok(());
    }
    Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(claims_per_second())
}

#[expect(clippy::print_stdout, reason = "a benchmark's result is what it prints")]
async fn claims_per_second() -> Result<(), Box<dyn Error>> {
    let server = Postgres::builder().setting("shared_buffers", "256MB").start().await?;
    fill(&connect(&server).await?).await?;
    let barrier = Arc::new(Barrier::new(CLIENTS + 1));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (store, barrier) = (connect(&server).await?, barrier.clone());
        clients.spawn(async move {
            let (owner, mut ids) = (Owner::unique(), Vec::new());
            barrier.wait().await;
            loop {
                let claims = store.claim(&owner, LEASE, BATCH).await?;
                if claims.is_empty() {
                    return Ok::<_, perennial_lifecycle::StoreError>(ids);
                }
                ids.extend(claims.into_iter().map(|claim| claim.held.id));
            }
        });
    }
    barrier.wait().await;
    let before = usage();
    let mut claimed = Vec::new();
    while let Some(ids) = clients.join_next().await {
        claimed.extend(ids??);
    }
    let took = usage().since(before).wall;
    let count = claimed.len();
    let double = count - claimed.into_iter().collect::<BTreeSet<_>>().len();
    if double > 0 || count != CERTIFICATES {
        return Err(format!("{count} claims of {CERTIFICATES} certificates, {double} of them double").into());
    }
    #[expect(clippy::cast_precision_loss, reason = "fewer than an `f64` has exact integers")]
    let rate = count as f64 / took.as_secs_f64();
    println!(
        "figure lifecycle/postgres_claims_per_second {rate:.0} claims/s clients={CLIENTS} batch={BATCH} \
         certificates={count} double={double}"
    );
    Ok(())
}

async fn connect(server: &Postgres) -> Result<PostgresStore, perennial_postgres::Error> {
    PostgresStore::builder(server.socket()).pool_size(1).time_limit(Duration::from_secs(120)).connect().await
}

/// Writes the records; all of them are due.
async fn fill(store: &PostgresStore) -> Result<(), Box<dyn Error>> {
    let facts = facts()?;
    for first in (0..CERTIFICATES).step_by(FILLED_TOGETHER) {
        let mut batch = Batch::new();
        for number in first..first + FILLED_TOGETHER {
            batch = batch.change(due(number, &facts)?, None);
        }
        store.apply(&batch).await?;
    }
    Ok(())
}

/// A record of a certificate that was issued and is due for renewal.
fn due(number: usize, facts: &Facts) -> Result<Record, Box<dyn Error>> {
    let name = format!("customer-{number:07}.shop.example");
    let spec = CertificateSpec::new(&name, [name.as_str()])?;
    let mut record = Record::new(spec.clone());
    record.current = Some(serde_json::from_value(json!({
        "generation": 1, "issued_for": spec, "facts": facts, "issued_at": facts.not_before,
    }))?);
    Ok(record)
}

/// A certificate of ninety days.
fn facts() -> Result<Facts, Box<dyn Error>> {
    let key = rcgen::KeyPair::generate()?;
    let params = rcgen::CertificateParams::new(["shop.example".to_owned()])?;
    Ok(Facts::from_der(params.self_signed(&key)?.der())?)
}
