//! How many checks a second, and how much processor time for each?
//!
//! Five rounds; in each one every name of a zone of 100 000 is asked about once, by each client in turn. The
//! server is a real Knot with one thread on loopback. A check of ours is the whole of it: a drawn id, drawn
//! letters and a cookie out; in the answer id, port, question, letters and cookie compared, AA looked at, and the
//! wanted value found among the texts. What has no right answer ends the bench.
//!
//! - `dnsperf` as its makers tune it for one core: one thread, one socket, 200 questions at a time, EDNS. It
//!   counts answers and looks at their ids and codes.
//! - `bare-sockets`: messages that were written before, 64 in a system call over one socket, and answers that nobody
//!   reads: what the system calls cost, which no client can save.
//! - `hickory-net`: a hundred tasks ask over clones of its UDP client; the value is compared, as ours is. It gets a
//!   fifth of the names, since it takes that much longer.
//!
//! Each process has its own processor time: ours is of the process, dnsperf's as its shell tells it. The
//! server's is nobody's here, but it has a core of its own to run on, and is the same for all.

use std::{
    error::Error,
    fmt::Write as _,
    fs,
    io::{self, IoSliceMut},
    net::{Ipv4Addr, SocketAddr},
    process::Command,
    time::Duration,
};

use futures_util::future;
use hickory_net::{
    client::{Client, ClientHandle as _},
    runtime::TokioRuntimeProvider,
    udp::UdpClientStream,
};
use hickory_proto::{
    op::{Message, MessageType, OpCode, Query as HickoryQuery},
    rr::{DNSClass, Name, RData, RecordType as HickoryType},
};
use perennial_benches::{Usage, median, usage};
use perennial_propagation::{
    Exchange,
    transport::{Endpoint, Network},
    wire::{Data, Query, RecordType, ResponseCode},
};
use perennial_testkit::real::{Components, Knot, Tool, ZoneFile};
use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSocketState};
use tokio::{io::Interest, net::UdpSocket, runtime::Builder};

type Outcome<T> = Result<T, Box<dyn Error>>;

pub(crate) fn figures() -> Outcome<()> {
    let components = Components::locate();
    for tool in [Tool::Knotd, Tool::Dnsperf] {
        if !components.has(tool) {
            say(&format!("skipped propagation/throughput: there is no {tool:?} here"));
            return Ok(());
        }
    }
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let zone = (0..NAMES).fold(ZoneFile::new("bench.test"), |zone, index| {
        zone.record(format!("_acme-challenge.h{index} TXT {}", value(index)))
    });
    let knot = runtime.block_on(Knot::builder().zone(zone).start())?;
    let dnsperf = Dnsperf::prepare(components.find(Tool::Dnsperf)?.command(), knot.socket_addr())?;
    let questions = questions(knot.socket_addr())?;
    let network = Network::new();
    let messages = messages()?;
    let [mut ours, mut tool, mut hickory, mut bare] = [const { Vec::new() }; 4];
    for round in 0..=ROUNDS {
        let mut results = [None; 4];
        // Who goes first changes from round to round.
        for turn in 0..4 {
            let client = (round + turn) % 4;
            let rate = match client {
                0 => runtime.block_on(ours_once(&network, &questions))?,
                1 => dnsperf.run()?,
                2 => runtime.block_on(bare_once(knot.socket_addr(), &messages))?,
                _ => runtime.block_on(hickory_once(knot.socket_addr()))?,
            };
            if let Some(place) = results.get_mut(client) {
                *place = Some(rate);
            }
        }
        // The first round warms everybody up.
        if let ([Some(a), Some(b), Some(c), Some(d)], true) = (results, round > 0) {
            ours.push(a);
            tool.push(b);
            bare.push(c);
            hickory.push(d);
        }
    }
    let counters = network.counters();
    say(&format!("{} answers over UDP, {} mismatches", counters.accepted, counters.mismatches));
    compare("bare-sockets", &ours, &bare);
    compare("dnsperf", &ours, &tool);
    compare("hickory-net", &ours, &hickory);
    Ok(())
}

/// What one check costs.
#[derive(Clone, Copy)]
struct Rate {
    per_second: f64,
    /// In microseconds.
    cpu: f64,
}

impl Rate {
    fn of(checks: u32, used: Usage) -> Self {
        let checks = f64::from(checks);
        Self { per_second: checks / used.wall.as_secs_f64(), cpu: used.cpu.as_secs_f64() * 1e6 / checks }
    }
}

fn compare(peer: &str, ours: &[Rate], theirs: &[Rate]) {
    let of = |rates: &[Rate], what: fn(&Rate) -> f64| median(rates.iter().map(what).collect());
    let ratio = |what: fn(&Rate) -> f64| {
        median(ours.iter().zip(theirs).map(|(ours, theirs)| what(ours) / what(theirs)).collect())
    };
    let per_second: fn(&Rate) -> f64 = |rate| rate.per_second;
    let cpu: fn(&Rate) -> f64 = |rate| rate.cpu;
    let (rate, rates, other) = (of(ours, per_second), ratio(per_second), of(theirs, per_second));
    say(&format!(
        "figure propagation/checks_per_second {rate:.0} 1/s peer={peer} ratio={rates:.3} ({other:.0})"
    ));
    let (cost, costs, other) = (of(ours, cpu), ratio(cpu), of(theirs, cpu));
    say(&format!("figure propagation/check_cpu {cost:.2} us peer={peer} ratio={costs:.3} ({other:.2})"));
}

fn name(index: u32) -> String {
    format!("_acme-challenge.h{index}.bench.test")
}

/// As long as the digest of RFC 8555 §8.4, and another one for each name.
fn value(index: u32) -> String {
    format!("{index:0>43}")
}

fn questions(server: SocketAddr) -> Outcome<Vec<(Endpoint, Query)>> {
    let question =
        |index| Ok((Endpoint::Udp(server), Query::authoritative(name(index).parse()?, RecordType::Txt)));
    (0..NAMES).map(question).collect()
}

async fn ours_once(network: &Network, questions: &[(Endpoint, Query)]) -> Outcome<Rate> {
    let wanted: Vec<String> = (0..NAMES).map(value).collect();
    let (before, mut right, mut wrong) = (usage(), 0, String::new());
    let accepted = network.counters().accepted;
    network
        .exchange_all(questions, &mut |index, result| {
            let visible = result.as_ref().is_ok_and(|reply| {
                let answer = &reply.answer;
                let text = |data: &Data| matches!(data, Data::Txt(text) if text == wanted[index].as_bytes());
                answer.code == ResponseCode::NOERROR
                    && answer.authoritative
                    && answer.answers.iter().any(|record| text(&record.data))
            });
            if visible {
                right += 1;
            } else {
                wrong = format!("{result:?}");
            }
        })
        .await;
    let used = usage().since(before);
    let datagrams = network.counters().accepted - accepted;
    if datagrams < u64::from(NAMES) {
        say(&format!("{} answers came over TCP", u64::from(right).saturating_sub(datagrams)));
    }
    if right == NAMES {
        Ok(Rate::of(NAMES, used))
    } else {
        Err(format!("{right} of {NAMES}: {wrong}").into())
    }
}

async fn hickory_once(server: SocketAddr) -> Outcome<Rate> {
    let stream = UdpClientStream::builder(server, TokioRuntimeProvider::default()).build();
    let (client, background) = Client::<TokioRuntimeProvider>::from_sender(stream);
    tokio::spawn(background);
    let before = usage();
    let tasks = (0..TASKS).map(|task| {
        let mut client = client.clone();
        async move {
            for index in (task..NAMES / FEWER).step_by(TASKS as usize) {
                let name = Name::from_ascii(format!("{}.", name(index)))?;
                let answer = client.query(name, DNSClass::IN, HickoryType::TXT).await?;
                let wanted = value(index);
                let text = |data: &RData| matches!(data, RData::TXT(txt) if txt.txt_data.concat() == wanted.as_bytes());
                if !(answer.metadata.authoritative && answer.answers.iter().any(|record| text(&record.data))) {
                    return Err(format!("hickory: {answer:?}").into());
                }
            }
            Outcome::Ok(())
        }
    });
    future::try_join_all(tasks).await?;
    Ok(Rate::of(NAMES / FEWER, usage().since(before)))
}

/// As many questions as there are names, all of one length, with nobody's ids.
fn messages() -> Outcome<Vec<Vec<u8>>> {
    let indexes = (NAMES / 10..NAMES).cycle().take(NAMES as usize);
    let message = |index| {
        let mut message = Message::new(0, MessageType::Query, OpCode::Query);
        let name = Name::from_ascii(format!("{}.", name(index)))?;
        message.add_query(HickoryQuery::query(name, HickoryType::TXT));
        Ok(message.to_vec()?)
    };
    indexes.map(message).collect()
}

async fn bare_once(server: SocketAddr, messages: &[Vec<u8>]) -> Outcome<Rate> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    let state = UdpSocketState::new((&socket).into())?;
    let mut incoming = vec![0; BATCH_SIZE << 16];
    let mut found = [RecvMeta::default(); BATCH_SIZE];
    let mut bundles = messages.chunks(AT_ONCE);
    let (mut sent, mut come, mut outgoing) = (0, 0, Vec::new());
    let before = usage();
    while come < messages.len() {
        if sent - come <= IN_FLIGHT - AT_ONCE
            && let Some(bundle) = bundles.next()
        {
            outgoing.clear();
            for (id, message) in (sent..).zip(bundle) {
                let start = outgoing.len();
                outgoing.extend_from_slice(message);
                outgoing[start..start + 2].copy_from_slice(&(id as u16).to_be_bytes());
            }
            let segment_size = Some(outgoing.len() / bundle.len());
            let contents = &outgoing;
            let transmit = Transmit { destination: server, ecn: None, contents, segment_size, src_ip: None };
            state.try_send((&socket).into(), &transmit)?;
            sent += bundle.len();
        }
        let mut chunks = incoming.chunks_mut(1 << 16);
        let mut buffers: [_; BATCH_SIZE] =
            std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
        match socket.try_io(Interest::READABLE, || state.recv((&socket).into(), &mut buffers, &mut found)) {
            Ok(count) => {
                come += found[..count].iter().map(|meta| meta.len.div_ceil(meta.stride.max(1))).sum::<usize>()
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                tokio::time::timeout(LOST, socket.readable()).await??;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Rate::of(NAMES, usage().since(before)))
}

/// The command, ready to be run.
struct Dnsperf {
    script: String,
    _questions: tempfile::NamedTempFile,
}

impl Dnsperf {
    fn prepare(command: Command, server: SocketAddr) -> Outcome<Self> {
        let mut lines = String::new();
        for index in 0..NAMES {
            writeln!(lines, "{} TXT", name(index))?;
        }
        let questions = tempfile::NamedTempFile::new()?;
        fs::write(questions.path(), lines)?;
        let program = command.get_program().to_string_lossy().into_owned();
        let (ip, port, file) = (server.ip(), server.port(), questions.path().display());
        // The shell tells on its last line what its children used.
        let script = format!("'{program}' -s {ip} -p {port} -d '{file}' -n 1 -c 1 -T 1 -q 200 -e && times");
        Ok(Self { script, _questions: questions })
    }

    fn run(&self) -> Outcome<Rate> {
        let output = Command::new("sh").arg("-c").arg(&self.script).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.trim().strip_prefix(name));
            line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok())
        };
        let complete = field("Queries completed:").unwrap_or_default();
        let (Some(per_second), Some(cpu)) =
            (field("Queries per second:"), text.lines().last().and_then(times))
        else {
            return Err(format!("dnsperf: {text}{}", String::from_utf8_lossy(&output.stderr)).into());
        };
        Ok(Rate { per_second, cpu: cpu.as_secs_f64() * 1e6 / complete })
    }
}

/// `0m0.412s 0m1.034s`, user and system.
fn times(line: &str) -> Option<Duration> {
    let one = |text: &str| {
        let (minutes, seconds) = text.trim_end_matches('s').split_once('m')?;
        Some(Duration::from_secs_f64(minutes.parse::<f64>().ok()? * 60.0 + seconds.parse::<f64>().ok()?))
    };
    line.split_whitespace().map(one).sum()
}

#[expect(clippy::print_stdout, reason = "a benchmark's result is what it prints")]
fn say(line: &str) {
    println!("{line}");
}

const NAMES: u32 = 100_000;
const ROUNDS: usize = 5;
const TASKS: u32 = 100;
const FEWER: u32 = 5;
/// Of the bare sockets: what leaves in one system call, and what a socket's buffer holds.
const AT_ONCE: usize = 64;
const IN_FLIGHT: usize = 192;
/// Nothing gets lost on loopback; if something does all the same, the bench says so rather than waits for ever.
const LOST: Duration = Duration::from_secs(5);
