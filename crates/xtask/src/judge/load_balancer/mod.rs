//! `judge load-balancer`: what stands between a CA and an http-01 answer, and whether the self-check names it.
//!
//! The fronts are nginx's, each at an address of its own on port 80; behind them listens the solver. Hairpin NAT is a
//! router's, with nftables:
//!
//! ```text
//!   the solver                       the router                          a place outside
//!   10.80.0.2 --- near --- 10.80.0.1   203.0.113.1 --- far --- 203.0.113.9
//! ```

mod hairpin;
mod scene;

use std::net::IpAddr;

use perennial::issuers::solver::http01::{Http01Report, Verdict};
use perennial_testkit::real::Tool;

use super::{Outcome, Report, Running, Setting, Suite};
use scene::{FRONTS, SIX, Scene};

pub(super) const SUITE: Suite = Suite {
    name: "load-balancer",
    tools: &[Tool::Ip, Tool::Nft, Tool::Nginx],
    addresses: || vec![IpAddr::V6(SIX)],
    build: || Ok(()),
    run,
};

/// What a story comes to.
struct Expected {
    verdict: Verdict,
    advice: &'static [&'static str],
    /// What a person must be able to read.
    says: &'static [&'static str],
}

fn run<'a>(_: &'a Setting, report: &'a mut Report) -> Running<'a> {
    Box::pin(async move {
        let scene = match Scene::start().await {
            Ok(scene) => scene,
            Err(reason) => return report.case("scene", Err(reason)),
        };
        for front in FRONTS {
            if report.wants_any(&[front.name]) {
                let found = scene.look(front).await;
                report.case(front.name, found.and_then(|found| judged(&found, &front.expected)));
            }
        }
        hairpin::judge(report, &scene).await;
    })
}

/// One line with the verdict and the advice, if they are the expected ones.
fn judged(found: &Http01Report, expected: &Expected) -> Outcome {
    let advice: Vec<&str> = found.advice.iter().map(|advice| advice.code()).collect();
    let text = found.to_string();
    if found.verdict != expected.verdict || advice != expected.advice {
        let (verdict, advice) = (expected.verdict, expected.advice);
        return Err(format!("expected {verdict:?} {advice:?}: {text}"));
    }
    if let Some(part) = expected.says.iter().find(|part| !text.contains(**part)) {
        return Err(format!("{part:?} is not said: {text}"));
    }
    let told: Vec<String> = found.advice.iter().map(ToString::to_string).collect();
    Ok(if told.is_empty() {
        format!("{:?}", found.verdict)
    } else {
        format!("{:?}: {}", found.verdict, told.join("; "))
    })
}

fn text<T, E: std::fmt::Display>(result: Result<T, E>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}
