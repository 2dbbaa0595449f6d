//! `judge crash`: a process that keeps a certificate is killed at each of its steps and at any moment, and the
//! next one goes on; nothing is lost, nothing is left, and the old certificate serves throughout.
//!
//! ```text
//!   the judge                             a worker: manager, ACME issuer, rfc2136, and a store that
//!     certificate authority, DNS <------- may be the death of it (SIGKILL)
//!     a witness who reads what serves        |
//!          |                                 v
//!          +---------------------------> file store, or PostgreSQL
//! ```
//!
//! The certificate authority and its DNS run in the judge, so they live on and count.

mod disk;
mod lab;
mod life;
mod matrix;
mod mortal;
mod place;
mod shifted;
mod tally;
mod witness;
pub(crate) mod worker;

use perennial_testkit::real::Tool;

use super::{Report, Running, Setting, Suite};
use lab::{Kind, Lab, Start};

pub(super) const SUITE: Suite =
    Suite { name: "crash", tools: &[Tool::Ip, Tool::Postgres], addresses: Vec::new, build: || Ok(()), run };

/// How many times a process is killed at any moment, for each kind of store; half of them from either start.
const KILLS: usize = 500;

/// Which moments these are depends on this and on how long a life takes.
const SEED: u64 = 1;

fn run<'a>(_: &'a Setting, report: &'a mut Report) -> Running<'a> {
    Box::pin(async move {
        let mut lab = match Lab::start().await {
            Ok(lab) => lab,
            Err(reason) => return report.case("lab", Err(reason)),
        };
        for kind in [Kind::File, Kind::Postgres] {
            for (start, word) in STARTS {
                matrices(&mut lab, report, kind, start, word).await;
            }
        }
        for (start, word) in STARTS {
            disks(&lab, report, start, word).await;
        }
    })
}

const STARTS: [(Start, &str); 2] = [(Start::Nothing, "from_nothing"), (Start::Due, "due")];

/// How many disks are full for a while, for each start.
const FULL_DISKS: usize = 40;

async fn disks(lab: &Lab, report: &mut Report, start: Start, word: &str) {
    let [calls, failing, full] =
        ["system_calls", "failing_fsync", "full_disk"].map(|how| format!("file_{word}_{how}"));
    if report.wants_any(&[&calls]) {
        report.case(&calls, disk::calls(lab, start).await.and_then(|tally| tally.outcome()));
    }
    if report.wants_any(&[&failing]) {
        report.case(&failing, disk::failing(lab, start).await.and_then(|tally| tally.outcome()));
    }
    if report.wants_any(&[&full]) {
        let tally = disk::full(lab, start, FULL_DISKS, SEED).await;
        report.case(&full, tally.and_then(|tally| tally.outcome()));
    }
}

async fn matrices(lab: &mut Lab, report: &mut Report, kind: Kind, start: Start, word: &str) {
    let [steps, moments] = ["steps", "moments"].map(|how| format!("{}_{word}_{how}", kind.word()));
    if kind == Kind::Postgres
        && report.wants_any(&[&steps, &moments])
        && let Err(reason) = lab.start_postgres().await
    {
        return report.case(&steps, Err(reason));
    }
    if report.wants_any(&[&steps]) {
        let tally = matrix::steps(lab, kind, start).await;
        report.case(&steps, tally.and_then(|tally| tally.outcome()));
    }
    if report.wants_any(&[&moments]) {
        let tally = matrix::moments(lab, kind, start, KILLS / 2, SEED).await;
        report.case(&moments, tally.and_then(|tally| tally.outcome()));
    }
}

fn text<T, E: std::fmt::Display>(result: Result<T, E>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}
