//! `judge dns`: the corpus. Every case is a corner of one little internet of real servers, a question to the
//! checker, and what it should say.
//!
//! ```text
//!                  the checker, in this process
//!                   |                        |
//!                   v                        v
//!   unbound 127.0.0.20: resolver      BIND, Knot, NSD, PowerDNS, dnsdist: a zone or more for each case
//!                   |                        ^
//!                   v                        |
//!   BIND 127.0.0.10: the root and `test`, which delegates them
//! ```
//!
//! The cases are text, in `corpus/`; [`story`] says how they are written, [`host`] who can serve a zone. No
//! case passes whose challenge name the resolver was asked for.

mod host;
mod internet;
mod render;
mod story;
mod trial;

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use futures_util::StreamExt as _;
use perennial_testkit::real::Tool;

use super::{Outcome, Report, Running, Setting, Suite};
use internet::Internet;
use story::Story;

pub(super) const SUITE: Suite = Suite {
    name: "dns",
    tools: &[
        Tool::DnssecKeygen,
        Tool::DnssecSignzone,
        Tool::Dnsdist,
        Tool::Knotd,
        Tool::Named,
        Tool::Nsd,
        Tool::Nsupdate,
        Tool::Pdns,
        Tool::Rndc,
        Tool::Unbound,
    ],
    addresses,
    build: || Ok(()),
    run,
};

/// What the cases are, by what they are about.
const CORPUS: &[&str] = &[
    include_str!("corpus/names.txt"),
    include_str!("corpus/aliases.txt"),
    include_str!("corpus/caa.txt"),
    include_str!("corpus/zones.txt"),
    include_str!("corpus/servers.txt"),
    include_str!("corpus/resolvers.txt"),
    include_str!("corpus/signed.txt"),
    include_str!("corpus/vantage.txt"),
    include_str!("corpus/walk.txt"),
];

/// Most cases wait for somebody who keeps silent; more than so many make one another late.
const AT_A_TIME: usize = 16;

/// A case takes seconds; whoever takes a minute hangs.
const LONGEST_CASE: Duration = Duration::from_secs(60);

fn addresses() -> Vec<IpAddr> {
    let hosts = host::HOSTS.iter().flat_map(|host| host.addresses.iter().copied());
    let resolvers = host::RESOLVERS.iter().map(|resolver| resolver.address);
    let all: BTreeSet<IpAddr> = hosts.chain(resolvers).collect();
    // At `dead` nothing listens, and the loopback interface bears it anyway: it refuses, as a host does.
    all.into_iter().collect()
}

fn corpus() -> Result<Vec<Story>, String> {
    let read: Result<Vec<_>, String> = CORPUS.iter().map(|text| story::read(text)).collect();
    Ok(read?.concat())
}

fn run<'a>(_: &'a Setting, report: &'a mut Report) -> Running<'a> {
    Box::pin(async move {
        let wanted = |stories: Vec<Story>| {
            let wanted = stories.into_iter().filter(|story| report.wants_any(&[&story.name]));
            wanted.collect::<Vec<_>>()
        };
        let stories = match corpus().map(wanted) {
            Ok(stories) => stories,
            Err(reason) => return report.case("corpus", Err(reason)),
        };
        let internet = match Internet::start(&stories).await {
            Ok(internet) => internet,
            Err(reason) => return report.case("internet", Err(reason)),
        };
        let outcomes = futures_util::stream::iter(&stories).map(|story| async {
            let trial = tokio::time::timeout(LONGEST_CASE, trial::of(story, &internet)).await;
            let late = |_| Err(format!("still running after {LONGEST_CASE:?}"));
            (story.name.as_str(), trial.unwrap_or_else(late))
        });
        let mut outcomes = outcomes.buffered(AT_A_TIME);
        while let Some((name, outcome)) = outcomes.next().await {
            report.case(name, outcome);
        }
    })
}

fn text<T, E: std::fmt::Display>(result: Result<T, E>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use perennial_propagation::report::Advice;

    #[test]
    fn the_corpus_can_be_read_and_no_two_cases_meet() {
        let stories = corpus().unwrap();
        assert!(stories.len() >= 60, "{} cases", stories.len());
        let names: BTreeSet<&str> = stories.iter().map(|story| story.name.as_str()).collect();
        assert_eq!(names.len(), stories.len());
        let mut zones = BTreeSet::new();
        for story in &stories {
            let own: BTreeSet<&str> = story.zones.iter().map(|zone| zone.origin.as_str()).collect();
            for origin in own {
                assert!(zones.insert(origin.to_owned()), "{origin} is in two cases");
            }
        }
    }

    #[test]
    fn every_host_resolver_and_advice_of_the_corpus_is_there() {
        for story in corpus().unwrap() {
            for served in story.zones.iter().flat_map(|zone| &zone.hosts) {
                assert!(host::host(&served.host).is_some(), "{}: {}", story.name, served.host);
            }
            for advice in &story.advice {
                let code = advice.trim_end_matches('?');
                assert!(Advice::CODES.contains(&code), "{}: {code}", story.name);
            }
            for name in &story.resolvers {
                let name = name.rsplit(':').next().unwrap_or_default();
                assert!(host::resolver(name).is_some(), "{}: {name}", story.name);
            }
        }
    }
}
