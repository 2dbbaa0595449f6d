//! The program that is killed: as users write it, but for the store's wrapper.

use std::{fs, io::Read as _, sync::Arc, time::Duration};

use perennial::{
    CertificateSpec,
    core::Clock as _,
    lifecycle::{FileSink, IssuerName, Keeper, Outcome, OutputFormat, SinkName, Store},
};

use super::{
    budgets,
    life::{Death, Life, Temper, Word},
    mortal::{Mortal, say},
    place::Place,
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
    // One thread for file work: then who fails the seventh fsync of a thread fails the seventh of the
    // process.
    let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).enable_all().build();
    let runtime = runtime.map_err(|error| failed(error.to_string()))?;
    runtime.block_on(live(&life)).map_err(failed)
}

async fn live(life: &Life) -> Result<(), String> {
    let clock = Arc::new(Shifted::by(life.shift));
    let spec = spec(life)?;
    match life.temper {
        Temper::Mortal(death) => keep(life, death, spec, clock).await?,
        Temper::Restored => do_what_is_due(life, clock).await?,
        Temper::Stubborn => insist(life, spec, clock).await?,
    }
    say(&Word::Over);
    Ok(())
}

/// What a life wishes for.
pub(super) fn spec(life: &Life) -> Result<CertificateSpec, String> {
    let spec = text(CertificateSpec::new(&life.id, &life.names))?.output(sink_name()?, OutputFormat::Pem);
    if life.fallback.is_some() { text(spec.fallback_issuer(FALLBACK)) } else { Ok(spec) }
}

/// What the issuer is called that is asked where the first has failed for too long.
pub(super) const FALLBACK: &str = "second";

/// As programs do.
async fn keep(
    life: &Life,
    death: Option<Death>,
    spec: CertificateSpec,
    clock: Arc<Shifted>,
) -> Result<(), String> {
    let store = life.store.open_by(clock.clone()).await?;
    let keeper = keeper(life, store, death, clock)?;
    let certificate = text(keeper.keep(spec).await)?;
    let mut issued = text(certificate.ready().await)?;
    while issued.generation().number() <= life.newer_than {
        issued = text(certificate.changed(&issued).await)?;
    }
    rest(&keeper, || is_delivered(life, issued.chain_pem())).await;
    Ok(())
}

/// As a program does whose wishes were made by another.
async fn do_what_is_due(life: &Life, clock: Arc<Shifted>) -> Result<(), String> {
    let Place::File(root) = &life.store else {
        return Err("a database remembers the claims of the dead".into());
    };
    let link = root.join("certificates").join(&life.id).join("current/fullchain.pem");
    let store = life.store.open_by(clock.clone()).await?;
    let keeper = keeper(life, store, None, clock)?;
    keeper.start().await;
    rest(&keeper, || fs::read_to_string(&link).is_ok_and(|chain| is_delivered(life, &chain))).await;
    Ok(())
}

/// Until there is nothing left to do; some seconds more where it has not arrived yet.
async fn rest(keeper: &Keeper, has_arrived: impl Fn() -> bool) {
    for _ in 0..LOOKS {
        keeper.rested().await;
        if has_arrived() {
            break;
        }
        tokio::time::sleep(5 * BREATH).await;
    }
    keeper.shut_down().await;
}

/// Ten seconds.
const LOOKS: usize = 200;

/// As nobody should: without a pause.
async fn insist(life: &Life, spec: CertificateSpec, clock: Arc<Shifted>) -> Result<(), String> {
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
                Ok(Outcome::Issued { .. } | Outcome::Kept { .. }) => {
                    let current = keeper.current(spec.id()).await;
                    if current.is_ok_and(|it| it.is_some_and(|it| is_delivered(life, it.chain_pem()))) {
                        return Ok(());
                    }
                    clock.skip_to(clock.now() + MINUTE);
                }
                Ok(waiting) => clock.skip_to(waiting.until()),
                // It could not even let go: its claim ends by its time.
                Err(_) => clock.skip_to(clock.now() + 2 * LEASE),
            }
        }
        tokio::time::sleep(BREATH).await;
    }
}

const MINUTE: Duration = Duration::from_secs(60);

fn is_delivered(life: &Life, chain: &str) -> bool {
    let there = life.target.join(&life.id).join("fullchain.pem");
    fs::read_to_string(there).is_ok_and(|there| there == chain)
}

/// Long enough for whoever frees a disk.
const BREATH: Duration = Duration::from_millis(10);

fn keeper(
    life: &Life,
    store: Arc<dyn Store>,
    death: Option<Death>,
    clock: Arc<Shifted>,
) -> Result<Keeper, String> {
    let mut keeper = Keeper::builder(Arc::new(Mortal::new(store, death))).clock(clock.clone()).lease(LEASE);
    let worlds =
        [(IssuerName::default(), Some(&life.world)), (text(FALLBACK.parse())?, life.fallback.as_ref())];
    for (name, world) in worlds {
        let Some(world) = world else { continue };
        let issuer = Arc::new(world.issuer(clock.clone())?);
        keeper = keeper.issuer(name.clone(), issuer).limits(name, budgets::limits());
    }
    let sink = Arc::new(FileSink::new(&life.target));
    Ok(keeper.sink(sink_name()?, sink).build())
}

fn sink_name() -> Result<SinkName, String> {
    text("files".parse())
}

/// So long whoever comes after a death waits, where a database remembers the claim of the dead.
const LEASE: Duration = Duration::from_secs(1);
