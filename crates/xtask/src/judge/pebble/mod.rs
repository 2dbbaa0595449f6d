//! `judge pebble`: the ACME client, feature by feature, against the certificate authority for those who test
//! clients; the newest one and the older dialect.
//!
//! ```text
//!   a case --- ACME ---> Pebble --- DNS ----------------> a resolver and its zone, of the testkit
//!                           |
//!                           +------ HTTP, TLS-ALPN -----> a responder
//! ```
//!
//! Every case starts what it needs; several run at a time, for most of them wait: a second is the least that
//! `Retry-After` can say.

mod account;
mod certificate;
mod challenge;
#[cfg(target_os = "linux")]
mod keeper;
mod lab;
mod older;
mod order;
mod proof;
mod recorder;
mod renewal;
mod requests;
mod responder;
mod revocation;
mod walk;

use std::{pin::Pin, time::Duration};

use futures_util::{StreamExt as _, future::join_all};
use perennial_testkit::real::Tool;

use super::{Outcome, Report, Running, Setting, Suite};
use lab::Lab;

pub(super) const SUITE: Suite = Suite {
    name: "pebble",
    tools: &[Tool::Openssl, Tool::Pebble, Tool::PebbleOld],
    addresses: Vec::new,
    build: || Ok(()),
    run,
};

/// Most cases sleep most of the time; more than so many make one another's certificate authorities late.
const AT_A_TIME: usize = 12;

/// A case takes a few seconds; whoever takes a minute hangs.
const LONGEST_CASE: Duration = Duration::from_secs(60);

/// The life of a certificate takes a minute.
const LONGEST_CYCLE: Duration = Duration::from_secs(120);

/// Its name and its story, not begun yet.
type Case<'a> = (&'static str, Pin<Box<dyn Future<Output = Outcome> + 'a>>);

fn run<'a>(_: &'a Setting, report: &'a mut Report) -> Running<'a> {
    Box::pin(async move {
        let lab = match Lab::start().await {
            Ok(lab) => lab,
            Err(reason) => return report.case("lab", Err(reason)),
        };
        let cases = [
            requests::cases(&lab),
            account::cases(&lab),
            order::cases(&lab),
            walk::cases(&lab),
            challenge::cases(&lab),
            certificate::cases(&lab),
            renewal::cases(&lab),
            revocation::cases(&lab),
            older::cases(&lab),
        ];
        let mut wanted: Vec<Case<'_>> = cases.into_iter().flatten().collect();
        wanted.retain(|(name, _)| report.wants_any(&[name]));
        // They take longer than all others together, and wait.
        let mut long: Vec<Case<'_>> = Vec::new();
        #[cfg(target_os = "linux")]
        long.extend(keeper::cases(&lab));
        long.retain(|(name, _)| report.wants_any(&[name]));
        let long = join_all(long.into_iter().map(|case| heard(case, LONGEST_CYCLE)));
        let others = async {
            let cases = futures_util::stream::iter(wanted).map(|case| heard(case, LONGEST_CASE));
            let mut outcomes = cases.buffered(AT_A_TIME);
            while let Some((name, outcome)) = outcomes.next().await {
                report.case(name, outcome);
            }
        };
        let (long, ()) = tokio::join!(long, others);
        for (name, outcome) in long {
            report.case(name, outcome);
        }
    })
}

/// Hears a story to its end, unless it has none.
async fn heard((name, story): Case<'_>, longest: Duration) -> (&'static str, Outcome) {
    let outcome = tokio::time::timeout(longest, story).await;
    (name, outcome.unwrap_or_else(|_| Err(format!("still running after {longest:?}"))))
}

/// A failure unless that is so.
fn check(so: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if so { Ok(()) } else { Err(otherwise()) }
}

fn text<T, E: std::fmt::Display>(result: Result<T, E>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}
