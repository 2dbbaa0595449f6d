//! `judge fleet`: four processes keep ten thousand certificates in one PostgreSQL, while they are killed and
//! stopped for longer than their claims last, and the server is restarted.
//!
//! ```text
//!   worker ──┐                       ┌── the authority, which counts orders and certificates
//!   worker ──┼── PostgreSQL          │
//!   worker ──┤    a trigger notes    │   every worker orders there and finalizes there
//!   worker ──┘    who wrote          │
//! ```
//!
//! A third of them have a certificate that is due for renewal, the others none yet: stores hand both out of two lines.
//! Each must be issued exactly once, a renewal in the place of the one before it, and whoever was held up for longer
//! than it held a certificate must write nothing about it any more. What happens is decided by a seed.

mod audit;
mod authority;
mod weather;
mod wishes;
pub(crate) mod worker;

use std::{fmt::Display, process::Command, time::Duration};

use perennial_core::{PrivateKey, SecretString};
use perennial_lifecycle::{CertificateId, Facts, Generation, Slot, Store as _};
use perennial_postgres::PostgresStore;
use perennial_testkit::real::{Postgres, Tool};
use tokio::time::Instant;

use super::{Outcome, Report, Running, Setting, Suite};
use crate::Error;
use audit::{Audit, Noted};
use authority::{Authority, Counted};
use weather::{Fleet, Restarts};

pub(super) const SUITE: Suite = Suite {
    name: "fleet",
    tools: &[Tool::Postgres],
    addresses: Vec::new,
    build: || Ok::<(), Error>(()),
    run,
};

const CASES: [&str; 5] = ["issued", "exactly_once", "fenced", "restarted", "material"];

const PROCESSES: usize = 4;
const CERTIFICATES: usize = 10_000;

/// Short, so that whoever is stopped loses much within the minutes that this takes.
const LEASE: Duration = Duration::from_secs(3);

/// Something happens to one of the processes whenever so many more are done, so that a slow machine gets as
/// far as a fast one; or else after so long.
const BETWEEN_STRIKES: usize = 100;
const LONGEST_CALM: Duration = Duration::from_secs(10);

/// How often somebody looks how far they are.
const GLANCE: Duration = Duration::from_millis(250);

/// Many times what it takes on an idle machine.
const PATIENCE: Duration = Duration::from_secs(1_200);

/// Another one lives through other mishaps.
const SEED_VARIABLE: &str = "PERENNIAL_FLEET_SEED";

/// Fewer, for a look while something is changed.
const CERTIFICATES_VARIABLE: &str = "PERENNIAL_FLEET_CERTIFICATES";

/// A number from the environment, or else the usual one.
fn variable(name: &str, usual: usize) -> Result<usize, String> {
    std::env::var(name).map_or(Ok(usual), |number| text(number.parse()))
}

fn run<'a>(_setting: &'a Setting, report: &'a mut Report) -> Running<'a> {
    Box::pin(async move {
        if !report.wants_any(&CASES) {
            return;
        }
        match Found::by_living_through_it().await {
            Ok(found) => {
                report.case("issued", found.issued());
                report.case("exactly_once", found.exactly_once());
                report.case("fenced", found.fenced());
                report.case("restarted", found.restarted());
                report.case("material", found.material);
            }
            Err(error) => CASES.iter().for_each(|case| report.case(case, Err(error.clone()))),
        }
    })
}

/// What was found when all was done, or when patience ended.
struct Found {
    certificates: usize,
    seed: u64,
    took: Duration,
    done: usize,
    killed: usize,
    stopped: usize,
    restarts: Vec<&'static str>,
    counted: Counted,
    noted: Noted,
    refused: usize,
    material: Outcome,
}

impl Found {
    async fn by_living_through_it() -> Result<Self, String> {
        let certificates = variable(CERTIFICATES_VARIABLE, CERTIFICATES)?;
        let seed = variable(SEED_VARIABLE, 1)? as u64;
        let mut server = text(Postgres::builder().setting("shared_buffers", "128MB").start().await)?;
        let store = text(PostgresStore::builder(server.socket()).connect().await)?;
        let authority = Authority::start().await?;
        wishes::write(&store, &authority, certificates).await?;
        let audit = Audit::begin(server.socket()).await?;
        let mut fleet = Fleet::start(PROCESSES, seed, command(server.socket(), &authority)?)?;
        let mut restarts = Restarts::of(certificates);
        let begun = Instant::now();
        let (mut done, mut struck) = (0, (0, begun));
        while done < certificates && begun.elapsed() < PATIENCE {
            tokio::time::sleep(GLANCE).await;
            let now = Instant::now();
            fleet.look_after(now)?;
            done = audit.done().await?;
            restarts.strike(&mut server, done).await?;
            if done >= struck.0 + BETWEEN_STRIKES || now >= struck.1 + LONGEST_CALM {
                struck = (done, now);
                fleet.strike(LEASE, now)?;
            }
        }
        let took = begun.elapsed();
        // Whoever is stopped still has something to say about what it has lost.
        fleet.calm()?;
        tokio::time::sleep(2 * LEASE).await;
        let (counted, noted, refused) =
            (authority.counted(), audit.noted().await?, fleet.said(worker::FENCED)?);
        let (killed, stopped, restarts) = (fleet.killed, fleet.stopped, restarts.done);
        drop(fleet);
        let material = material(&store, certificates).await;
        Ok(Self {
            certificates,
            seed,
            took,
            done,
            killed,
            stopped,
            restarts,
            counted,
            noted,
            refused,
            material,
        })
    }

    fn issued(&self) -> Outcome {
        let Self { certificates, seed, done, killed, stopped, noted, .. } = self;
        let told = format!(
            "{done} of {certificates} certificates in {:.0} s by {PROCESSES} processes, {killed} times \
             killed, {stopped} times stopped past the lease; {} claims, {} of them took over, {} of which renewals; \
             seed {seed}",
            self.took.as_secs_f64(),
            noted.claims,
            noted.takeovers,
            noted.renewals_taken_over,
        );
        let in_both_lines = 0 < noted.renewals_taken_over && noted.renewals_taken_over < noted.takeovers;
        let all_happened = done == certificates && *killed > 0 && *stopped > 0 && in_both_lines;
        if all_happened { Ok(told) } else { Err(told) }
    }

    fn exactly_once(&self) -> Outcome {
        let Counted { orders, issued } = &self.counted;
        let (total, once) =
            (issued.values().sum::<usize>(), issued.values().filter(|count| **count == 1).count());
        let renewals = issued.keys().filter(|(_, replaces)| replaces.is_some()).count();
        let told = format!(
            "{once} certificates were issued once, {renewals} of them in the place of another, {} more than once; \
             {total} in all from {orders} orders, \
             {} of which were made just before their maker was killed or fenced, or could not note them",
            issued.len() - once,
            orders - total,
        );
        let as_wished = renewals == wishes::renewals(self.certificates);
        if once == self.certificates && total == self.certificates && as_wished {
            Ok(told)
        } else {
            Err(told)
        }
    }

    fn fenced(&self) -> Outcome {
        let Noted { writes, stale, .. } = self.noted;
        let told = format!("{} writes of stale owners refused, {stale} of {writes} accepted", self.refused);
        if stale == 0 && writes > 0 && self.refused > 0 { Ok(told) } else { Err(told) }
    }

    fn restarted(&self) -> Outcome {
        let told = format!("the server was {} in between", self.restarts.join(", "));
        if self.restarts.len() == weather::RESTARTS { Ok(told) } else { Err(told) }
    }
}

/// How a process of the fleet is started: this program once more.
fn command(store: &str, authority: &Authority) -> Result<impl Fn(usize) -> Command + 'static, String> {
    let (this, store, authority) = (text(std::env::current_exe())?, store.to_owned(), authority.address);
    Ok(move |number| {
        let mut command = Command::new(&this);
        // By this name the database knows who wrote.
        let store = format!("{store} application_name=worker-{number}");
        command.arg("fleet-worker").args(["--store", &store, "--authority", &authority.to_string()]);
        command.args(["--lease", &LEASE.as_secs().to_string()]);
        command
    })
}

/// Whether each certificate has its key beside it, and so has the one before it.
async fn material(store: &PostgresStore, certificates: usize) -> Outcome {
    let (mut whole, mut after) = (0, None::<CertificateId>);
    loop {
        let ids = text(store.list(after.as_ref(), 1_000).await)?;
        let Some(last) = ids.last() else { break };
        after = Some(last.clone());
        for id in ids {
            let Some((_, record)) = text(store.load(&id).await)? else { continue };
            let current = record.current.map(|current| current.generation);
            for generation in current.into_iter().chain(record.previous) {
                whole += usize::from(has_its_key(store, &id, generation).await?);
            }
        }
    }
    let chains = certificates + wishes::renewals(certificates);
    let told = format!("{whole} of {chains} chains lie beside the key that they are for");
    if whole == chains { Ok(told) } else { Err(told) }
}

async fn has_its_key(
    store: &PostgresStore,
    id: &CertificateId,
    generation: Generation,
) -> Result<bool, String> {
    let certificate = id.clone();
    let chain = text(store.read(&Slot::Chain { certificate: certificate.clone(), generation }).await)?;
    let key = text(store.read(&Slot::PrivateKey { certificate, generation }).await)?;
    let (Some(chain), Some(key)) = (chain, key) else { return Ok(false) };
    let key = SecretString::new(text(String::from_utf8(key.expose().to_vec()))?);
    Ok(text(Facts::from_pem(chain.expose()))?.has_key(&text(PrivateKey::from_pem(&key))?))
}

fn text<T>(result: Result<T, impl Display>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}
