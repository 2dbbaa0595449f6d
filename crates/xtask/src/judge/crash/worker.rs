//! The program that is killed: as users write it, but for the store's wrapper.

use std::{io::Read as _, sync::Arc, time::Duration};

use perennial::{
    CertificateSpec,
    core::Clock as _,
    lifecycle::{IssuerName, Keeper, Outcome, Store},
};

use super::{
    life::{Death, Life, Temper, Word},
    mortal::{Mortal, say},
    shifted::Shifted,
    text,
};
use crate::Error;

/// `cargo xtask crash-worker`: one life, told on standard input.
pub(crate) fn run() -> Result<(), Error> {
    let failed = |reason: String| Error::Worker { reason };
    let mut told = String::new();
    std::io::stdin().read_to_string(&mut told).map_err(|error| failed(error.to_string()))?;
    let life: Life = serde_json::from_str(&told).map_err(|error| failed(error.to_string()))?;
    // One thread for file work: then who fails the seventh fsync of a thread fails the seventh of the process.
    let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).enable_all().build();
    let runtime = runtime.map_err(|error| failed(error.to_string()))?;
    runtime.block_on(live(&life)).map_err(failed)
}

async fn live(life: &Life) -> Result<(), String> {
    let clock = Arc::new(Shifted::by(life.shift));
    let spec = text(CertificateSpec::new(&life.id, &life.names))?;
    let generation = match life.temper {
        Temper::Mortal(death) => keep(life, death, spec, clock).await?,
        Temper::Stubborn => insist(life, spec, clock).await?,
    };
    say(&Word::Serves { generation });
    Ok(())
}

/// As programs do.
async fn keep(
    life: &Life,
    death: Option<Death>,
    spec: CertificateSpec,
    clock: Arc<Shifted>,
) -> Result<u32, String> {
    let store = life.store.open_by(clock.clone()).await?;
    let keeper = keeper(life, store, death, clock)?;
    let certificate = text(keeper.keep(spec).await)?;
    let mut issued = text(certificate.ready().await)?;
    while issued.generation().number() <= life.newer_than {
        issued = text(certificate.changed(&issued).await)?;
    }
    keeper.shut_down().await;
    Ok(issued.generation().number())
}

/// As nobody should: without a pause.
async fn insist(life: &Life, spec: CertificateSpec, clock: Arc<Shifted>) -> Result<u32, String> {
    let store = loop {
        match life.store.open_by(clock.clone()).await {
            Ok(store) => break store,
            Err(why) => say(&Word::Failed { what: "the start".to_owned(), progress: None, why }),
        }
        tokio::time::sleep(BREATH).await;
    };
    let keeper = keeper(life, store, None, clock.clone())?;
    loop {
        if keeper.wish(spec.clone()).await.is_ok() {
            match keeper.step(spec.id()).await {
                Ok(Outcome::Issued { .. } | Outcome::Kept { .. }) => break,
                Ok(waiting) => clock.skip_to(waiting.until()),
                // It could not even let go: its claim ends by its time.
                Err(_) => clock.skip_to(clock.now() + 2 * LEASE),
            }
        }
        tokio::time::sleep(BREATH).await;
    }
    let issued = text(keeper.current(spec.id()).await)?.ok_or("it was issued and does not serve")?;
    Ok(issued.generation().number())
}

/// Long enough for whoever frees a disk.
const BREATH: Duration = Duration::from_millis(10);

fn keeper(
    life: &Life,
    store: Arc<dyn Store>,
    death: Option<Death>,
    clock: Arc<Shifted>,
) -> Result<Keeper, String> {
    let issuer = Arc::new(life.world.issuer(clock.clone())?);
    let keeper = Keeper::builder(Arc::new(Mortal::new(store, death))).clock(clock).lease(LEASE);
    Ok(keeper.issuer(IssuerName::default(), issuer).build())
}

/// So long whoever comes after a death waits, where a database remembers the claim of the dead.
const LEASE: Duration = Duration::from_secs(1);
