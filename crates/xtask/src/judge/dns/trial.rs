//! One case: the checker is asked, and what it says is held against what it should say.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use perennial_core::ReqwestClient;
use perennial_propagation::{
    Checker, CheckerBuilder, Error, NameServer, Report, Wanted,
    caa::{self, Question},
    zone::ZoneServer,
};

use super::{
    Outcome, host,
    internet::Internet,
    story::{self, Event, Story},
    text,
};
use crate::shell::Stopwatch;

/// What the checker said.
struct Said {
    /// A verdict, or the error.
    verdict: String,
    advice: BTreeSet<String>,
    queries: u32,
    elapsed: Duration,
    /// All of it, for who has to find out what went wrong.
    whole: String,
}

/// Long enough for what should come, when a case says nothing else.
const WATCH: Duration = Duration::from_secs(20);

/// Asks the checker, and judges.
pub(super) async fn of(story: &Story, internet: &Internet) -> Outcome {
    let (name, values) = story.question();
    let wanted = Wanted::new(text(name.parse())?, values);
    let checker = text(checker(story, internet)?.build())?;
    for event in &story.first {
        happens(event, story, internet).await?;
    }
    let watch = Stopwatch::start();
    if let Some((subject, words)) = &story.caa {
        let report = checker.caa(&question(subject, words)?).await;
        let said = said_of_caa(report, watch.read())?;
        judge(story, &said)?;
        return Ok(format!("{} ({} questions, {} ms)", said.verdict, said.queries, said.elapsed.as_millis()));
    }
    let report = match story.watch {
        None if story.events.is_empty() => checker.check(&wanted).await,
        limit => {
            let mut ignore = |_: &Report| ();
            let watching = checker.watch(&wanted, limit.unwrap_or(WATCH), &mut ignore);
            let (watched, happened) = tokio::join!(watching, happen(story, internet));
            happened?;
            match watched {
                Ok(propagated) => Ok(propagated.into_report()),
                Err(Error::NotPropagated(report)) => Ok(*report),
                Err(error) => Err(error),
            }
        }
    };
    let said = said(report, watch.read())?;
    judge(story, &said)?;
    if !asks_resolvers(story, &AT_LAST) {
        unpoisoned(internet, &name)?;
    }
    let advice = said.advice.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
    let colon = if advice.is_empty() { "" } else { ": " };
    Ok(format!(
        "{}{colon}{advice} ({} questions, {} ms)",
        said.verdict,
        said.queries,
        said.elapsed.as_millis()
    ))
}

/// With these settings the resolvers `main` and `secure` may hear of the challenge name: at once, or once the
/// authoritative servers have the value.
const AT_ONCE: [&str; 1] = ["policy recursive-only"];
const AT_LAST: [&str; 4] =
    ["policy recursive-only", "dnssec require", "vantage main", "vantage tls:secure https:secure"];

fn asks_resolvers(story: &Story, settings: &[&str]) -> bool {
    story.settings.iter().any(|setting| settings.contains(&setting.as_str()))
}

fn checker(story: &Story, internet: &Internet) -> Result<CheckerBuilder, String> {
    let names = if story.resolvers.is_empty() { &["main".to_owned()] } else { story.resolvers.as_slice() };
    let servers: Result<Vec<_>, String> = names.iter().map(|name| server(name)).collect();
    let https = internet.dnsdist.certificate_pem().unwrap_or_default();
    let http = text(ReqwestClient::builder().root_certificates_pem(https).build())?;
    let tls = internet.secure.certificate_pem().unwrap_or_default();
    let builder = Checker::builder().nameservers(servers?).http(Arc::new(http));
    let mut builder = builder.root_certificates_pem(tls);
    for setting in &story.settings {
        builder = match setting.split(' ').collect::<Vec<_>>()[..] {
            ["policy", policy] => builder.policy(text(policy.parse())?),
            ["walk"] => builder.iterative().root_hints([root()?]),
            ["hints"] => builder.root_hints([root()?]),
            ["resolvers", name, "for", zone] => builder.nameservers_for(text(zone.parse())?, [server(name)?]),
            ["dnssec", demand] => builder.dnssec(text(demand.parse())?),
            ["vantage", ref points @ ..] => {
                let points: Result<Vec<_>, String> = points.iter().map(|name| server(name)).collect();
                builder.vantage_points(points?)
            }
            ["agreement", agreement] => builder.vantage_agreement(text(agreement.parse())?),
            ["settle", settle] => builder.settle(story::duration(settle)?),
            _ => return Err(format!("there is no setting {setting:?}")),
        };
    }
    Ok(builder)
}

/// The laboratory's own root.
fn root() -> Result<ZoneServer, String> {
    let mut root = ZoneServer::new(text("a.parents.test".parse())?);
    root.add(host::PARENTS);
    Ok(root)
}

fn server(name: &str) -> Result<NameServer, String> {
    let (scheme, host) = name.split_once(':').unwrap_or(("udp", name));
    let address = host::resolver(host).ok_or_else(|| format!("there is no resolver {host}"))?;
    let path = if scheme == "https" { "/dns-query" } else { "" };
    text(format!("{scheme}://{address}{path}").parse())
}

/// What happens meanwhile.
async fn happen(story: &Story, internet: &Internet) -> Result<(), String> {
    let mut passed = Duration::ZERO;
    for (at, event) in &story.events {
        tokio::time::sleep(at.saturating_sub(passed)).await;
        passed = *at;
        happens(event, story, internet).await?;
    }
    Ok(())
}

async fn happens(event: &Event, story: &Story, internet: &Internet) -> Result<(), String> {
    match event {
        Event::Ask => text(internet.public.txt_values(&story.question().0).await).map(drop),
        Event::Refresh { zone } => text(internet.lagging.refresh(zone).await),
        Event::Update { zone, line } => {
            if !asks_resolvers(story, &AT_ONCE) {
                unpoisoned(internet, &story.question().0)?;
            }
            text(internet.bind.update(zone, line).await)
        }
    }
}

/// Whether this CA may issue for that name.
fn question(subject: &str, words: &[(String, String)]) -> Result<Question, String> {
    let question = Question::new(&text(subject.parse())?);
    words.iter().try_fold(question, |question, (kind, value)| match kind.as_str() {
        "account" => Ok(question.account(value)),
        "by" => Ok(question.issuer(value)),
        "method" => Ok(question.method(value)),
        _ => Err(format!("what is {kind:?}?")),
    })
}

fn said_of_caa(report: Result<caa::Report, Error>, elapsed: Duration) -> Result<Said, String> {
    let report = text(report)?;
    let json = text(serde_json::to_value(&report))?;
    let verdict = json["decision"]["is"].as_str().unwrap_or_default().to_owned();
    let queries = u32::try_from(report.queries()).unwrap_or(u32::MAX);
    Ok(Said { verdict, advice: BTreeSet::new(), queries, elapsed, whole: report.to_string() })
}

fn said(report: Result<Report, Error>, elapsed: Duration) -> Result<Said, String> {
    let report = match report {
        Ok(report) => report,
        Err(error) => {
            let verdict = format!("error {error}");
            return Ok(Said {
                whole: verdict.clone(),
                verdict,
                advice: BTreeSet::new(),
                queries: 0,
                elapsed,
            });
        }
    };
    // As a program sees it that reads the report.
    let json = text(serde_json::to_value(&report))?;
    let verdict = json["verdict"].as_str().unwrap_or_default().to_owned();
    let advice = json["advice"].as_array().into_iter().flatten();
    let advice = advice.filter_map(|one| one["advice"].as_str()).map(str::to_owned).collect();
    Ok(Said { verdict, advice, queries: report.queries(), elapsed, whole: report.to_string() })
}

fn judge(story: &Story, said: &Said) -> Result<(), String> {
    let verdict = match story.expected.strip_prefix("error ") {
        Some(words) => said.verdict.starts_with("error ") && said.verdict.contains(words),
        None => said.verdict == story.expected,
    };
    let (may, must): (Vec<&String>, Vec<&String>) = story.advice.iter().partition(|code| code.ends_with('?'));
    let advised = must.iter().all(|code| said.advice.contains(*code));
    let known = |code: &String| must.contains(&code) || may.iter().any(|it| it.trim_end_matches('?') == code);
    let Said { whole, elapsed, queries, .. } = said;
    let expected = format!("{} {}", story.expected, story.advice.join(" "));
    if !verdict || !advised || !said.advice.iter().all(known) {
        let found: Vec<&str> = said.advice.iter().map(String::as_str).collect();
        return Err(format!("expected {expected}, found {} {}: {whole}", said.verdict, found.join(" ")));
    }
    if story.within.is_some_and(|within| *elapsed > within) {
        return Err(format!("it took {elapsed:?}: {whole}"));
    }
    if let Some(silent) = story.says.iter().find(|words| !whole.contains(words.as_str())) {
        return Err(format!("it does not say {silent}: {whole}"));
    }
    if story.queries.is_some_and(|most| *queries > most) {
        return Err(format!("it took {queries} questions: {whole}"));
    }
    Ok(())
}

/// The resolvers must not have heard of the challenge name: they would remember a "no" for all of us.
fn unpoisoned(internet: &Internet, name: &str) -> Result<(), String> {
    let asked = [text(internet.main.queries())?, text(internet.secure.queries())?].concat();
    let about = format!("{}. ", name.to_lowercase());
    match asked.iter().find(|query| query.to_lowercase().starts_with(&about)) {
        Some(query) => Err(format!("the resolver was asked for {query}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn story(text: &str) -> Story {
        story::read(text).unwrap().remove(0)
    }

    fn said(verdict: &str, advice: &[&str]) -> Said {
        Said {
            verdict: verdict.to_owned(),
            advice: advice.iter().map(|code| (*code).to_owned()).collect(),
            queries: 5,
            elapsed: Duration::from_secs(1),
            whole: String::new(),
        }
    }

    #[test]
    fn a_case_passes_only_with_its_own_verdict_advice_and_bounds() {
        let strict = story("a\n    not_yet: lame_server\n    within 2s\n    queries 5");
        assert!(judge(&strict, &said("not_yet", &["lame_server"])).is_ok());
        assert!(judge(&strict, &said("not_yet", &[])).is_err());
        assert!(judge(&strict, &said("not_yet", &["lame_server", "not_yet"])).is_err());
        assert!(judge(&strict, &said("ready", &["lame_server"])).is_err());
        let lenient = story("a\n    not_yet: lame_server not_yet?");
        assert!(judge(&lenient, &said("not_yet", &["lame_server"])).is_ok());
        assert!(judge(&lenient, &said("not_yet", &["lame_server", "not_yet"])).is_ok());
        assert!(judge(&lenient, &said("not_yet", &["not_yet"])).is_err());
        let mut slow = said("not_yet", &["lame_server"]);
        slow.elapsed = Duration::from_secs(3);
        assert!(judge(&strict, &slow).unwrap_err().contains("took 3s"));
        let mut curious = said("not_yet", &["lame_server"]);
        curious.queries = 6;
        assert!(judge(&strict, &curious).unwrap_err().contains("6 questions"));
        let talkative = story("a\n    not_yet: lame_server\n    says instance");
        assert!(
            judge(&talkative, &said("not_yet", &["lame_server"])).unwrap_err().contains("not say instance")
        );
        let error = story("a\n    error no resolver");
        assert!(judge(&error, &said("error no resolver answers", &[])).is_ok());
        assert!(judge(&error, &said("ready", &[])).is_err());
    }
}
