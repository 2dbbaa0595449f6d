//! How long does it take to look at ten thousand names at four servers each, and what does it take of the machine?
//!
//! Four real Knots on loopback serve one zone in which every name has its value. `Checker::check_all` looks at all
//! names once, with everything that a check is: the zone of each name (which is known, but for whether it holds
//! that name too), four answers read and compared, a verdict and a report. Then `watch_all` does the same and
//! confirms it.
//!
//! - `propagation/sweep_1000x4`, `sweep_10000x4`: milliseconds for all, with the microseconds of this process's
//!   processor time for each of the questions, the most memory that the process ever had so far, and the most
//!   sockets that it had open for it. At most 64 sockets.
//! - `propagation/watch_10000x4`: the same, confirmed.
//!
//! The peer for a thousand names is a loop over `hickory-net`'s UDP client, a hundred tasks for each server, which
//! compares the value and makes no report.

use std::{fs, time::Duration};

use futures_util::future;
use hickory_net::{
    client::{Client, ClientHandle as _},
    runtime::TokioRuntimeProvider,
    udp::UdpClientStream,
};
use hickory_proto::rr::{DNSClass, Name, RData, RecordType};
use perennial_benches::{Usage, median, usage};
use perennial_propagation::{Checker, Verdict, Wanted};
use perennial_testkit::real::{Components, Knot, Tool, ZoneFile};
use tokio::runtime::Builder;

use crate::laboratory::{ADDRESSES, Laboratory, Outcome, name_servers, say, value, wanted};

pub(crate) fn figures() -> Outcome<()> {
    if !Components::locate().has(Tool::Knotd) {
        say("skipped propagation/sweep: there is no Knotd here");
        return Ok(());
    }
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (laboratory, endpoints) = Laboratory::new(&[ZONE.to_owned()]).await?;
        drop(endpoints);
        let knots = knots(laboratory.port()).await?;
        let before = sockets();
        let checker = laboratory.checker()?;
        // The zone is known from then on, and everybody is warm.
        check(&checker, names(SOME)?, before).await?;
        let few = names(SOME)?;
        let mut rounds = Vec::new();
        for round in 0..ROUNDS {
            let turn = async || check(&checker, few.clone(), before).await;
            let (ours, theirs) = if round % 2 == 0 {
                let ours = turn().await?;
                (ours, peer(laboratory.port()).await?)
            } else {
                let theirs = peer(laboratory.port()).await?;
                (turn().await?, theirs)
            };
            rounds.push((ours, theirs.wall.as_secs_f64() * 1e3));
        }
        let ratios = rounds.iter().map(|(ours, theirs)| ours.millis / theirs).collect();
        let ours: Vec<Sweep> = rounds.into_iter().map(|(ours, _)| ours).collect();
        print("sweep_1000x4", SOME * 4, &ours, &format!(" peer=hickory-net ratio={:.3}", median(ratios)));
        let many = names(MANY)?;
        let mut sweeps = Vec::new();
        let mut watches = Vec::new();
        for _ in 0..ROUNDS {
            sweeps.push(check(&checker, many.clone(), before).await?);
            watches.push(watch(&checker, many.clone(), before).await?);
        }
        print("sweep_10000x4", MANY * 4, &sweeps, "");
        print("watch_10000x4", MANY * 8, &watches, "");
        drop(knots);
        Ok(())
    })
}

/// What one turn took.
struct Sweep {
    millis: f64,
    cpu_micros: f64,
    sockets: usize,
}

impl Sweep {
    fn of(used: Usage, sockets: usize) -> Self {
        let (millis, cpu_micros) = (used.wall.as_secs_f64() * 1e3, used.cpu.as_secs_f64() * 1e6);
        Self { millis, cpu_micros, sockets }
    }
}

fn print(figure: &str, questions: usize, sweeps: &[Sweep], peer: &str) {
    let of = |what: fn(&Sweep) -> f64| median(sweeps.iter().map(what).collect());
    let (millis, cpu) = (of(|sweep| sweep.millis), of(|sweep| sweep.cpu_micros));
    let sockets = sweeps.iter().map(|sweep| sweep.sockets).max().unwrap_or_default();
    #[expect(clippy::cast_precision_loss, reason = "some ten thousands")]
    let cpu = cpu / questions as f64;
    let memory = most_memory();
    say(&format!(
        "figure propagation/{figure} {millis:.0} ms cpu_us={cpu:.2} memory_mb={memory} sockets={sockets}{peer}"
    ));
}

async fn knots(port: u16) -> Outcome<Vec<Knot>> {
    let mut zone = ZoneFile::new(ZONE);
    for (host, address) in name_servers(ZONE) {
        zone = zone.name_server(&host, address);
    }
    let zone = (0..MANY)
        .fold(zone, |zone, index| zone.record(format!("_acme-challenge.h{index} TXT {}", value(index))));
    let start = |address| Knot::builder().zone(zone.clone()).address(address).port(port).start();
    Ok(future::try_join_all(ADDRESSES.map(start)).await?)
}

fn names(count: usize) -> Outcome<Vec<Wanted>> {
    (0..count).map(|index| wanted(index, ZONE)).collect()
}

async fn check(checker: &Checker, names: Vec<Wanted>, sockets_before: usize) -> Outcome<Sweep> {
    let before = usage();
    let mut checks = checker.check_all(names);
    let mut most = 0;
    while let Some((_, result)) = checks.next().await {
        let report = result?;
        if report.verdict != Verdict::Ready {
            return Err(report.to_string().into());
        }
        if checks.left().is_multiple_of(SAMPLE) {
            most = most.max(sockets().saturating_sub(sockets_before));
        }
    }
    Ok(Sweep::of(usage().since(before), most))
}

async fn watch(checker: &Checker, names: Vec<Wanted>, sockets_before: usize) -> Outcome<Sweep> {
    let before = usage();
    let mut watches = checker.watch_all(names, LIMIT);
    let mut most = 0;
    while let Some((_, result)) = watches.next().await {
        result?;
        if watches.left().is_multiple_of(SAMPLE) {
            most = most.max(sockets().saturating_sub(sockets_before));
        }
    }
    Ok(Sweep::of(usage().since(before), most))
}

/// The least that one could do with a client of another make.
async fn peer(port: u16) -> Outcome<Usage> {
    let before = usage();
    let servers = ADDRESSES.map(|address| async move {
        let stream = UdpClientStream::builder((address, port).into(), TokioRuntimeProvider::default()).build();
        let (client, background) = Client::<TokioRuntimeProvider>::from_sender(stream);
        let background = tokio::spawn(background);
        let tasks = (0..TASKS).map(|task| {
            let mut client = client.clone();
            async move {
                for index in (task..SOME).step_by(TASKS) {
                    let name = Name::from_ascii(format!("_acme-challenge.h{index}.{ZONE}."))?;
                    let answer = client.query(name, DNSClass::IN, RecordType::TXT).await?;
                    let wanted = value(index);
                    let text = |data: &RData| matches!(data, RData::TXT(txt) if txt.txt_data.concat() == wanted.as_bytes());
                    if !answer.answers.iter().any(|record| text(&record.data)) {
                        return Err(format!("hickory: {answer:?}").into());
                    }
                }
                Outcome::Ok(())
            }
        });
        future::try_join_all(tasks).await?;
        background.abort();
        Outcome::Ok(())
    });
    future::try_join_all(servers).await?;
    Ok(usage().since(before))
}

/// How many sockets this process has open.
fn sockets() -> usize {
    let Ok(files) = fs::read_dir("/proc/self/fd") else { return 0 };
    let target = |file: fs::DirEntry| fs::read_link(file.path()).ok();
    let is_socket = |target: &std::path::PathBuf| target.to_string_lossy().starts_with("socket:");
    files.filter_map(|file| target(file.ok()?)).filter(is_socket).count()
}

/// The most memory that this process ever had, in megabytes.
fn most_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or_default() / 1024
}

const ZONE: &str = "bench.test";
const SOME: usize = 1_000;
const MANY: usize = 10_000;
const ROUNDS: usize = 5;
const TASKS: usize = 100;
const SAMPLE: usize = 500;
const LIMIT: Duration = Duration::from_secs(60);
