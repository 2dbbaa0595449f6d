//! How soon is it known that the last server has the value, and what does it cost to know?
//!
//! A hundred zones on four name servers; three have each record at once, the fourth a random while later, up to
//! ten seconds, another one for each. All are watched at once, in real time, over loopback. The delay is counted
//! from the moment in which the fourth server's zone has the record to the moment in which the watch returns,
//! its confirmation included; on loopback the round trips in it are nothing.
//!
//! - `propagation/detect_p50`, `detect_p99`: that delay. At most 150 and 400 ms.
//! - `propagation/detect_queries_max`: how often one server was asked about one name, in all. At most 45.
//! - `…_crowd_…`: the same where all hundred names lie in one zone, so that they share a look-out. Each record that
//!   comes moves the zone's serial number, and has everybody asked about.

use std::time::Duration;

use perennial_benches::{median, usage};
use perennial_propagation::Checker;
use perennial_testkit::dns::{AuthoritativeServer, Data, Zone};
use tokio::{runtime::Builder, task::JoinSet, time};

use crate::laboratory::{Laboratory, Outcome, name_servers, say, value, wanted};

pub(crate) fn figures() -> Outcome<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let alone: Vec<String> = (0..NAMES).map(|index| format!("z{index}.test")).collect();
    runtime.block_on(measure("detect", &alone))?;
    runtime.block_on(measure("detect_crowd", &["crowd.test".to_owned()]))
}

/// One zone, as the servers that keep up have it and as the one that lags does.
#[derive(Clone)]
struct Split {
    name: String,
    prompt: Zone,
    late: Zone,
}

impl Split {
    fn new(name: &str) -> Outcome<Self> {
        let (prompt, late) = (Zone::new(name)?, Zone::new(name)?);
        for (host, address) in name_servers(name) {
            prompt.add_name_server(&host, &[address])?;
            late.add_name_server(&host, &[address])?;
        }
        Ok(Self { name: name.to_owned(), prompt, late })
    }
}

async fn measure(figure: &str, zones: &[String]) -> Outcome<()> {
    let (laboratory, endpoints) = Laboratory::new(zones).await?;
    let splits = zones.iter().map(|zone| Split::new(zone)).collect::<Outcome<Vec<_>>>()?;
    let servers: Vec<AuthoritativeServer> = (0..)
        .zip(endpoints)
        .map(|(place, endpoint)| {
            let lags = place == 3;
            let zone = |split: &Split| if lags { split.late.clone() } else { split.prompt.clone() };
            let builder = AuthoritativeServer::builder();
            splits.iter().map(zone).fold(builder, |builder, zone| builder.zone(&zone)).start(endpoint)
        })
        .collect();
    let checker = laboratory.checker()?;
    // The zones are known: how long they take to be found is another question.
    let zone =
        |index: usize| splits.get(index % splits.len()).map_or("", |split: &Split| split.name.as_str());
    let names = (0..NAMES).map(|index| wanted(index, zone(index))).collect::<Outcome<Vec<_>>>()?;
    let mut checks = checker.check_all(names);
    while let Some((_, report)) = checks.next().await {
        report?;
    }
    servers.iter().for_each(AuthoritativeServer::clear_queries);
    let mut watches = JoinSet::new();
    for index in 0..NAMES {
        let split = splits.get(index % splits.len()).ok_or("there is a zone")?;
        // The watches begin apart as well, so that nothing happens in step.
        let begin = Duration::from_millis(rand::random_range(0..1000));
        let lag = Duration::from_millis(rand::random_range(0..10_000));
        watches.spawn(one(checker.clone(), index, split.clone(), begin, lag));
    }
    let mut delays = Vec::new();
    while let Some(delay) = watches.join_next().await {
        delays.push(delay?.map_err(|error| error.to_string())?);
    }
    delays.sort_by(f64::total_cmp);
    let late = delays.get(delays.len() * 99 / 100).copied().unwrap_or_default();
    let questions = most_questions(&servers);
    say(&format!("figure propagation/{figure}_p50 {:.0} ms most=150", median(delays.clone())));
    say(&format!("figure propagation/{figure}_p99 {late:.0} ms most=400"));
    say(&format!("figure propagation/{figure}_queries_max {questions} queries most=45"));
    Ok(())
}

/// The delay of one name, in milliseconds.
async fn one(
    checker: Checker,
    index: usize,
    split: Split,
    begin: Duration,
    lag: Duration,
) -> Result<f64, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    time::sleep(begin).await;
    let wanted = wanted(index, &split.name).map_err(|error| text(&error))?;
    let name = wanted.name().to_string();
    split.prompt.add(&name, Data::txt(value(index))).map_err(|error| text(&error))?;
    let publish = async {
        time::sleep(lag).await;
        split.late.add(&name, Data::txt(value(index))).map_err(|error| text(&error))?;
        Ok::<_, String>(usage().wall)
    };
    let mut ignore = |_: &_| ();
    let watch = async {
        checker.watch(&wanted, LIMIT, &mut ignore).await.map_err(|error| text(&error))?;
        Ok::<_, String>(usage().wall)
    };
    let (published, seen) = tokio::try_join!(publish, watch)?;
    Ok(seen.saturating_sub(published).as_secs_f64() * 1e3)
}

/// How often one server was asked about one challenge name, at most.
fn most_questions(servers: &[AuthoritativeServer]) -> usize {
    let most = |server: &AuthoritativeServer| {
        let mut names: Vec<String> = server.queries().into_iter().map(|query| query.name).collect();
        names.retain(|name| name.starts_with("_acme-challenge."));
        names.sort();
        names.chunk_by(|one, other| one == other).map(<[String]>::len).max().unwrap_or_default()
    };
    servers.iter().map(most).max().unwrap_or_default()
}

const NAMES: usize = 100;
const LIMIT: Duration = Duration::from_secs(60);
