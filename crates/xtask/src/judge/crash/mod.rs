//! `judge crash`: a process that keeps a certificate is killed at each of its steps and at any moment, and
//! the next one goes on; nothing is lost, nothing is left, nothing is paid for twice, and the old certificate serves
//! throughout. It obtains a first certificate, renews one, takes one over that lies where it is delivered to, or turns
//! from an issuer that has failed for days, with a proof of its in the world, to the next.
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

mod budgets;
mod damage;
mod disk;
mod lab;
mod life;
mod matrix;
mod mortal;
pub(super) mod place;
mod shifted;
mod tally;
pub(super) mod witness;
pub(crate) mod worker;

use perennial_testkit::real::Tool;

use super::{Report, Running, Setting, Suite};
use lab::{Kind, Lab, Start};
use tally::{HEAD, Tally};

pub(super) const SUITE: Suite = Suite {
    name: "crash",
    tools: &[Tool::Ip, Tool::Postgres, Tool::Strace],
    addresses: Vec::new,
    build: || Ok(()),
    run,
};

/// Which moments these are depends on this and on how long a life takes.
const SEED: u64 = 1;

fn run<'a>(_: &'a Setting, report: &'a mut Report) -> Running<'a> {
    Box::pin(async move {
        let mut lab = match Lab::start().await {
            Ok(lab) => lab,
            Err(reason) => return report.case("lab", Err(reason)),
        };
        let mut table = vec![HEAD.to_owned()];
        for case in CASES {
            let name = format!("{}_{}", case.store(), case.name);
            if !report.wants_any(&[&name]) {
                continue;
            }
            match case.judge(&mut lab).await {
                Ok(tally) => {
                    report.case(&name, tally.outcome());
                    table.push(tally.row(&name));
                }
                Err(reason) => report.case(&name, Err(reason)),
            }
        }
        table.iter().for_each(|line| println!("{line}"));
        if report.wants_any(&["file_damaged_records"]) {
            report.case("file_damaged_records", damage::beside_a_good_one(&lab, SEED).await);
        }
    })
}

/// A matrix: many deaths of one sort.
struct Case {
    name: &'static str,
    kind: Kind,
    start: Start,
    deaths: Deaths,
}

#[derive(Clone, Copy)]
enum Deaths {
    /// While the index is not what it was.
    DamagedIndex,
    /// At every fsync that fails.
    FailingDisk,
    /// While the disk is full.
    FullDisk,
    /// At so many moments.
    Moments(usize),
    /// Before and after every operation that writes to the store.
    Steps,
    /// At every system call that changes the disk.
    SystemCalls,
}

/// 500 moments for each kind of store.
#[rustfmt::skip] // A table.
const CASES: &[Case] = &[
    Case { name: "first_steps", kind: Kind::File, start: Start::Nothing, deaths: Deaths::Steps },
    Case { name: "renewal_steps", kind: Kind::File, start: Start::Due, deaths: Deaths::Steps },
    Case { name: "adoption_steps", kind: Kind::File, start: Start::Adoptable, deaths: Deaths::Steps },
    Case { name: "failover_steps", kind: Kind::File, start: Start::Forsaken, deaths: Deaths::Steps },
    Case { name: "first_moments", kind: Kind::File, start: Start::Nothing, deaths: Deaths::Moments(250) },
    Case { name: "renewal_moments", kind: Kind::File, start: Start::Due, deaths: Deaths::Moments(250) },
    Case { name: "first_steps", kind: Kind::Postgres, start: Start::Nothing, deaths: Deaths::Steps },
    Case { name: "renewal_steps", kind: Kind::Postgres, start: Start::Due, deaths: Deaths::Steps },
    Case { name: "adoption_steps", kind: Kind::Postgres, start: Start::Adoptable, deaths: Deaths::Steps },
    Case { name: "failover_steps", kind: Kind::Postgres, start: Start::Forsaken, deaths: Deaths::Steps },
    Case { name: "first_moments", kind: Kind::Postgres, start: Start::Nothing, deaths: Deaths::Moments(250) },
    Case { name: "renewal_moments", kind: Kind::Postgres, start: Start::Due, deaths: Deaths::Moments(250) },
    Case { name: "renewal_system_calls", kind: Kind::File, start: Start::Due, deaths: Deaths::SystemCalls },
    Case { name: "first_failing_fsync", kind: Kind::File, start: Start::Nothing, deaths: Deaths::FailingDisk },
    Case { name: "renewal_failing_fsync", kind: Kind::File, start: Start::Due, deaths: Deaths::FailingDisk },
    Case { name: "first_full_disk", kind: Kind::File, start: Start::Nothing, deaths: Deaths::FullDisk },
    Case { name: "renewal_full_disk", kind: Kind::File, start: Start::Due, deaths: Deaths::FullDisk },
    Case { name: "renewal_damaged_index", kind: Kind::File, start: Start::Due, deaths: Deaths::DamagedIndex },
];

impl Case {
    const fn store(&self) -> &'static str {
        self.kind.word()
    }

    async fn judge(&self, lab: &mut Lab) -> Result<Tally, String> {
        if self.kind == Kind::Postgres {
            lab.start_postgres().await?;
        }
        match self.deaths {
            Deaths::DamagedIndex => damage::indexes(lab, SEED).await,
            Deaths::FailingDisk => disk::failing(lab, self.start).await,
            Deaths::FullDisk => disk::full(lab, self.start, FULL_DISKS, SEED).await,
            Deaths::Moments(kills) => matrix::moments(lab, self.kind, self.start, kills, SEED).await,
            Deaths::Steps => matrix::steps(lab, self.kind, self.start).await,
            Deaths::SystemCalls => disk::calls(lab, self.start).await,
        }
    }
}

/// How many disks are full for a while, for each start.
const FULL_DISKS: usize = 40;

fn text<T, E: std::fmt::Display>(result: Result<T, E>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}
