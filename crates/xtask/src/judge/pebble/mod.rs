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

use futures_util::StreamExt as _;
use perennial_testkit::real::Tool;

use super::{Outcome, Report, Running, Setting, Suite};
use lab::Lab;

pub(super) const SUITE: Suite = Suite {
    name: "pebble",
    tools: &[Tool::Pebble, Tool::PebbleOld],
    addresses: Vec::new,
    build: || Ok(()),
    run,
};

/// Most cases sleep most of the time; more than so many make one another's certificate authorities late.
const AT_A_TIME: usize = 12;

/// A case takes a few seconds; whoever takes a minute hangs.
const LONGEST_CASE: Duration = Duration::from_secs(60);

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
        let cases = cases.into_iter().flatten();
        let wanted: Vec<Case<'_>> = cases.filter(|(name, _)| report.wants_any(&[name])).collect();
        let outcomes = futures_util::stream::iter(wanted).map(|(name, story)| async move {
            let outcome = tokio::time::timeout(LONGEST_CASE, story).await;
            (name, outcome.unwrap_or_else(|_| Err(format!("still running after {LONGEST_CASE:?}"))))
        });
        let mut outcomes = outcomes.buffered(AT_A_TIME);
        while let Some((name, outcome)) = outcomes.next().await {
            report.case(name, outcome);
        }
    })
}

/// A failure unless that is so.
fn check(so: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if so { Ok(()) } else { Err(otherwise()) }
}

fn text<T, E: std::fmt::Display>(result: Result<T, E>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}
