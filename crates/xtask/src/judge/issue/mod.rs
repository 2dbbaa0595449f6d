//! `judge issue`: the example `issue`, run as a user runs it, against Pebble, BIND and unbound.
//!
//! ```text
//!   issue --- ACME ---> Pebble --- DNS ---> unbound 127.0.0.20
//!     |                                        |
//!     |                                        v
//!     |                                     BIND 127.0.0.10: the root and `test`
//!     |                                        |
//!     |                                        v
//!     +-- update ---> BIND 127.0.0.11: example.test ---> BIND 127.0.0.3: its secondary
//! ```

mod finding;
mod run;
mod scene;

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use perennial_testkit::real::Tool;

use super::{Outcome, Report, Running, Setting, Suite};
use crate::{Error, shell};
use finding::{certificate, issued, key, nothing_written, refused};
use run::Invocation;
use scene::{GOOD_DAY, Scene, Secondary, Weather};

pub(super) const SUITE: Suite = Suite {
    name: "issue",
    tools: &[Tool::Pebble, Tool::Named, Tool::Rndc, Tool::Unbound, Tool::Openssl],
    addresses: || [ROOT, PRIMARY, SECONDARY, RESOLVER].map(IpAddr::V4).to_vec(),
    build,
    run,
};

const ROOT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 10);
const PRIMARY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);
const SECONDARY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
const RESOLVER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 20);
const ZONE: &str = "example.test";
/// What bad input is tried with.
const DEEP: &str = "deep.example.test";
/// The certificate authority issues nothing for it.
const BLOCKED: &str = "blocked.example.test";

fn build() -> Result<(), Error> {
    shell::run(shell::cargo(["build", "--release", "--example", "issue"]))
}

fn run<'a>(setting: &'a Setting, report: &'a mut Report) -> Running<'a> {
    Box::pin(async move {
        good_day(setting, report).await;
        nonce_storm(setting, report).await;
        lagging_secondary(setting, report).await;
        dead_secondary(setting, report).await;
        bad_input(setting, report).await;
    })
}

async fn good_day(setting: &Setting, report: &mut Report) {
    const CASES: [&str; 4] = ["issued", "certificate", "key", "zone_clean"];
    if !report.wants_any(&CASES) {
        return;
    }
    let scene = match Scene::start(setting, GOOD_DAY).await {
        Ok(scene) => scene,
        Err(error) => return CASES.iter().for_each(|case| report.case(case, Err(error.to_string()))),
    };
    let run = scene.run(&scene.invocation()).await;
    report.case("issued", issued(&run));
    report.case("certificate", certificate(&scene, &run).await);
    report.case("key", key(setting, &run));
    report.case("zone_clean", scene.zone_clean().await);
}

async fn nonce_storm(setting: &Setting, report: &mut Report) {
    if !report.wants_any(&["nonce_storm"]) {
        return;
    }
    let outcome = async {
        let scene = Scene::start(setting, Weather { rejected_nonces: 50, ..GOOD_DAY }).await?;
        let run = scene.run(&scene.invocation()).await;
        all([issued(&run), certificate(&scene, &run).await, scene.zone_clean().await])
    };
    report.case("nonce_storm", outcome.await);
}

/// The secondary learns of nothing by itself. It is told two seconds after the primary has the record, again
/// and again; until then nothing may be issued.
async fn lagging_secondary(setting: &Setting, report: &mut Report) {
    if !report.wants_any(&["lagging_secondary"]) {
        return;
    }
    let outcome = async {
        let scene = Scene::start(setting, Weather { secondary: Secondary::Lagging, ..GOOD_DAY }).await?;
        let invocation = scene.invocation();
        let lag = async {
            while text(scene.primary.challenge_records(ZONE).await)?.is_empty() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            tokio::time::sleep(Duration::from_secs(2)).await;
            Ok::<(), String>(())
        };
        let run = scene.run(&invocation);
        tokio::pin!(run);
        tokio::select! {
            run = &mut run => {
                let serial = text(scene.secondary.serial(ZONE).await)?;
                return Err(format!("it did not wait for the secondary, which is at serial {serial}; {run}"));
            }
            lag = lag => lag?,
        }
        let refreshes = async {
            loop {
                text(scene.secondary.refresh(ZONE).await)?;
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
        };
        let run = tokio::select! {
            run = &mut run => run,
            stopped = refreshes => return stopped,
        };
        all([issued(&run), certificate(&scene, &run).await, scene.zone_clean().await])
    };
    report.case("lagging_secondary", outcome.await);
}

/// One of two name servers is silent: the certificate comes all the same, and the silence is told.
async fn dead_secondary(setting: &Setting, report: &mut Report) {
    if !report.wants_any(&["dead_secondary"]) {
        return;
    }
    let outcome = async {
        let scene = Scene::start(setting, GOOD_DAY).await?;
        text(scene.secondary.pause().await)?;
        let run = scene.run(&scene.invocation()).await;
        let told = [SECONDARY.to_string().as_str(), "ns2.example.test"]
            .iter()
            .any(|name| run.stdout.contains(name) || run.stderr.contains(name));
        let warned =
            if told { Ok(String::new()) } else { Err("the silent name server is not named".to_owned()) };
        all([issued(&run), certificate(&scene, &run).await, warned, scene.zone_clean().await])
    };
    report.case("dead_secondary", outcome.await);
}

/// What a user can get wrong.
struct BadInput {
    case: &'static str,
    /// Does the wrong thing.
    spoil: fn(&mut Invocation),
    /// One of these must be in the message.
    mentions: &'static [&'static str],
}

const BAD_INPUT: &[BadInput] = &[
    BadInput {
        case: "bad_tsig_secret",
        spoil: |it| it.set("secret", "@other.key"),
        mentions: &["BADSIG", "NOTAUTH", "TSIG"],
    },
    BadInput {
        case: "wrong_zone",
        spoil: |it| it.domains = vec!["www.other.test".to_owned()],
        mentions: &["other.test"],
    },
    BadInput {
        case: "unreachable_directory",
        spoil: |it| it.directory = "https://127.0.0.1:1/dir".to_owned(),
        mentions: &["127.0.0.1:1"],
    },
    BadInput {
        case: "http_directory",
        spoil: |it| it.directory = it.directory.replacen("https:", "http:", 1),
        mentions: &["https"],
    },
    BadInput {
        case: "unknown_provider",
        spoil: |it| it.provider = "no-such-provider".to_owned(),
        mentions: &["no-such-provider"],
    },
    BadInput {
        case: "missing_option",
        spoil: |it| it.options.retain(|(name, _)| *name != "key-name"),
        mentions: &["key-name"],
    },
    BadInput {
        case: "bad_nameserver",
        spoil: |it| it.name_server = "64:ff9b::8.8.8.8:53".to_owned(),
        mentions: &["brackets"],
    },
    BadInput {
        case: "ca_rejects",
        spoil: |it| it.domains = vec![BLOCKED.to_owned()],
        mentions: &["rejectedIdentifier", BLOCKED],
    },
];

async fn bad_input(setting: &Setting, report: &mut Report) {
    let wanted: Vec<&BadInput> = BAD_INPUT.iter().filter(|bad| report.wants_any(&[bad.case])).collect();
    if wanted.is_empty() {
        return;
    }
    match Scene::start(setting, Weather { blocked: Some(BLOCKED), ..GOOD_DAY }).await {
        Err(error) => wanted.iter().for_each(|bad| report.case(bad.case, Err(error.clone()))),
        Ok(scene) => {
            for bad in wanted {
                let mut invocation = scene.invocation();
                invocation.domains = vec![DEEP.to_owned()];
                (bad.spoil)(&mut invocation);
                let run = scene.run(&invocation).await;
                let outcome = [refused(&run, bad.mentions), nothing_written(&run), scene.zone_clean().await];
                report.case(bad.case, all(outcome));
            }
        }
    }
}

/// Everything that passed, or the first thing that did not.
fn all<const N: usize>(outcomes: [Outcome; N]) -> Outcome {
    let details: Vec<String> = outcomes.into_iter().collect::<Result<_, _>>()?;
    Ok(details.into_iter().filter(|detail| !detail.is_empty()).collect::<Vec<_>>().join(", "))
}

fn text<T, E: std::fmt::Display>(result: Result<T, E>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}
