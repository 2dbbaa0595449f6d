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

use std::{
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use perennial_testkit::real::{self, Bind, Pebble, Tool, Unbound, ZoneFile};
use tempfile::TempDir;
use tokio::process::Command;

use super::{Outcome, Report, Running, Setting, Suite};
use crate::{Error, shell};

pub(super) const SUITE: Suite = Suite {
    name: "issue",
    tools: &[Tool::Pebble, Tool::Named, Tool::Rndc, Tool::Unbound, Tool::Openssl],
    addresses: &[ROOT, PRIMARY, SECONDARY, RESOLVER],
    build,
    run,
};

const ROOT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 10);
const PRIMARY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);
const SECONDARY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
const RESOLVER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 20);
/// Name servers are asked here, and nowhere else: an NS record has no port.
const DNS_PORT: u16 = 53;

const ZONE: &str = "example.test";
/// What bad input is tried with.
const DEEP: &str = "deep.example.test";
/// The certificate authority issues nothing for it.
const BLOCKED: &str = "blocked.example.test";

/// A run takes seconds; whoever takes minutes hangs.
const LONGEST_RUN: Duration = Duration::from_secs(180);

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
            run = &mut run => return Err(format!("it did not wait for the secondary; {run}")),
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

/// The servers of the picture above.
struct Scene<'a> {
    setting: &'a Setting,
    primary: Bind,
    secondary: Bind,
    pebble: Pebble,
    _root: Bind,
    _resolver: Unbound,
}

/// What makes one scene differ from another.
#[derive(Clone, Copy)]
struct Weather {
    secondary: Secondary,
    /// Percent.
    rejected_nonces: u8,
    /// Pebble drops the connection when a shorter name than this is ordered.
    blocked: Option<&'static str>,
}

const GOOD_DAY: Weather = Weather { secondary: Secondary::Following, rejected_nonces: 0, blocked: None };

#[derive(Clone, Copy, PartialEq, Eq)]
enum Secondary {
    Following,
    Lagging,
}

impl<'a> Scene<'a> {
    async fn start(setting: &'a Setting, weather: Weather) -> Result<Self, String> {
        text(Self::try_start(setting, weather).await)
    }

    async fn try_start(setting: &'a Setting, weather: Weather) -> Result<Self, real::Error> {
        let root = "a.root-servers.test";
        let top = ZoneFile::new(".").name_server(root, ROOT).delegation("test", root, ROOT);
        let test = ZoneFile::new("test")
            .name_server(root, ROOT)
            .delegation(ZONE, "ns1.example.test", PRIMARY)
            .delegation(ZONE, "ns2.example.test", SECONDARY);
        let zone = ZoneFile::new(ZONE)
            .name_server("ns1.example.test", PRIMARY)
            .name_server("ns2.example.test", SECONDARY);
        let root = Bind::builder().address(ROOT).port(DNS_PORT).zone(top).zone(test).start().await?;
        let second = SocketAddr::from((SECONDARY, DNS_PORT));
        let primary = Bind::builder().address(PRIMARY).port(DNS_PORT).zone(zone).notify(second);
        let primary = primary.start().await?;
        let second = Bind::builder().address(SECONDARY).port(DNS_PORT).zone(ZONE);
        let second = second.secondary_of(primary.socket_addr());
        let second = if weather.secondary == Secondary::Lagging { second.lagging() } else { second };
        let second = second.start().await?;
        let resolver =
            Unbound::builder().address(RESOLVER).port(DNS_PORT).stub_zone(".", [root.socket_addr()]);
        let resolver = resolver.start().await?;
        let pebble =
            Pebble::builder().dns_server(resolver.socket_addr()).rejected_nonces(weather.rejected_nonces);
        let pebble = weather.blocked.into_iter().fold(pebble, |pebble, domain| pebble.block(domain));
        let pebble = pebble.start().await?;
        Ok(Self { setting, primary, secondary: second, pebble, _root: root, _resolver: resolver })
    }

    /// What works, and what a case then spoils.
    fn invocation(&self) -> Invocation {
        let tsig = self.primary.tsig();
        let options = [
            ("server", self.primary.socket_addr().to_string()),
            ("key-name", tsig.name.clone()),
            ("algorithm", tsig.algorithm.clone()),
            ("secret", "@tsig.key".to_owned()),
        ];
        Invocation {
            directory: self.pebble.directory_url(),
            domains: vec![ZONE.to_owned(), format!("*.{ZONE}")],
            provider: "rfc2136".to_owned(),
            options: options.into(),
            name_server: SocketAddr::from((RESOLVER, DNS_PORT)).to_string(),
        }
    }

    /// Runs the example in a new directory with the files that a user would have.
    async fn run(&self, invocation: &Invocation) -> Run {
        self.try_run(invocation).await.unwrap_or_else(|reason| Run { stderr: reason, ..Run::default() })
    }

    async fn try_run(&self, invocation: &Invocation) -> Result<Run, String> {
        let directory = text(TempDir::with_prefix("perennial-judge-"))?;
        let file = |name: &str, contents: &str| text(std::fs::write(directory.path().join(name), contents));
        file("pebble.pem", self.pebble.ca_pem())?;
        file("tsig.key", &self.primary.tsig().secret_base64)?;
        file("other.key", &self.secondary.tsig().secret_base64)?;
        let program = self.setting.target_directory.join("release/examples/issue");
        let mut command = Command::new(program);
        command.args(invocation.arguments()).current_dir(directory.path()).kill_on_drop(true);
        let watch = shell::Stopwatch::start();
        let output = tokio::time::timeout(LONGEST_RUN, command.output()).await;
        let output = output.map_err(|_| format!("still running after {LONGEST_RUN:?}"))?;
        let output = text(output)?;
        Ok(Run {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            elapsed: watch.read(),
            directory: Some(directory),
        })
    }

    async fn zone_clean(&self) -> Outcome {
        let left = text(self.primary.challenge_records(ZONE).await)?;
        if left.is_empty() {
            Ok(String::new())
        } else {
            Err(format!("left in the zone: {}", left.join(", ")))
        }
    }
}

/// The command line.
struct Invocation {
    directory: String,
    domains: Vec<String>,
    provider: String,
    options: Vec<(&'static str, String)>,
    name_server: String,
}

impl Invocation {
    fn set(&mut self, option: &str, value: &str) {
        for (name, old) in &mut self.options {
            if *name == option {
                value.clone_into(old);
            }
        }
    }

    fn arguments(&self) -> Vec<String> {
        let mut arguments =
            ["--ca-file", "pebble.pem", "--agree-tos", "--out", "out", "--json"].map(str::to_owned).to_vec();
        let mut flag = |name: &str, value: &str| arguments.extend([name.to_owned(), value.to_owned()]);
        flag("--directory", &self.directory);
        flag("--provider", &self.provider);
        flag("--nameserver", &self.name_server);
        self.domains.iter().for_each(|domain| flag("--domain", domain));
        self.options.iter().for_each(|(name, value)| flag("--provider-option", &format!("{name}={value}")));
        arguments
    }
}

/// What came of a run.
#[derive(Default)]
struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
    elapsed: Duration,
    directory: Option<TempDir>,
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let code = self.code.map_or_else(|| "no exit code".to_owned(), |code| format!("exit code {code}"));
        write!(f, "{code} after {:.1} s; {}", self.elapsed.as_secs_f32(), last_lines(&self.stderr, 6))
    }
}

impl Run {
    /// A file that it should have written.
    fn file(&self, name: &str) -> Result<PathBuf, String> {
        let directory = self.directory.as_ref().ok_or("it did not run")?;
        let path = directory.path().join("out").join(name);
        if path.is_file() { Ok(path) } else { Err(format!("there is no out/{name}")) }
    }
}

fn issued(run: &Run) -> Outcome {
    if run.code != Some(0) {
        return Err(run.to_string());
    }
    let documents: Result<Vec<serde_json::Value>, _> =
        serde_json::Deserializer::from_str(&run.stdout).into_iter().collect();
    match documents {
        Ok(documents) if documents.is_empty() => Err("--json printed nothing".to_owned()),
        Ok(_) => Ok(format!("in {:.1} s", run.elapsed.as_secs_f32())),
        Err(error) => Err(format!("--json printed no JSON: {error}: {}", last_lines(&run.stdout, 3))),
    }
}

/// The certificate, read with the eyes of OpenSSL.
async fn certificate(scene: &Scene<'_>, run: &Run) -> Outcome {
    let (certificate, chain) = (run.file("cert.pem")?, run.file("chain.pem")?);
    let root = certificate.with_file_name("pebble-root.pem");
    text(std::fs::write(&root, text(scene.pebble.issuer_root_pem().await)?))?;
    let ask = ["x509", "-noout", "-subject", "-ext", "subjectAltName", "-dates", "-in"];
    let said = openssl(scene.setting, &ask, &[&certificate])?;
    for name in [ZONE, "*.example.test"] {
        if !said.contains(&format!("DNS:{name}")) {
            return Err(format!("{name} is not in the certificate: {said}"));
        }
    }
    let verify = ["verify", "-x509_strict", "-CAfile"];
    openssl(scene.setting, &verify, &[&root, Path::new("-untrusted"), &chain, &certificate])?;
    let until = said.lines().find(|line| line.starts_with("notAfter")).unwrap_or_default();
    Ok(format!("{until}, verified to the root"))
}

/// The private key: for its owner's eyes only, and the one that was certified.
fn key(setting: &Setting, run: &Run) -> Outcome {
    let (certificate, key) = (run.file("cert.pem")?, run.file("privkey.pem")?);
    let mode = text(std::fs::metadata(&key))?.permissions().mode() & 0o777;
    if mode != 0o600 {
        return Err(format!("privkey.pem has mode {mode:o}, not 600"));
    }
    let of_key = openssl(setting, &["pkey", "-pubout", "-in"], &[&key])?;
    let of_certificate = openssl(setting, &["x509", "-noout", "-pubkey", "-in"], &[&certificate])?;
    if of_key != of_certificate {
        return Err("privkey.pem is not the key of cert.pem".to_owned());
    }
    Ok("mode 600, the certificate's own".to_owned())
}

/// A failure that is told and is no crash.
fn refused(run: &Run, mentions: &[&str]) -> Outcome {
    let message = run.stderr.to_lowercase();
    if matches!(run.code, None | Some(0)) {
        return Err(format!("it did not fail as it should: {run}"));
    }
    if message.contains("panicked at") {
        return Err(format!("it crashed: {run}"));
    }
    if !mentions.iter().any(|word| message.contains(&word.to_lowercase())) {
        return Err(format!("the message mentions none of {mentions:?}: {run}"));
    }
    Ok(format!("after {:.1} s: {}", run.elapsed.as_secs_f32(), last_lines(&run.stderr, 1)))
}

/// A run that failed leaves neither a part of a certificate nor a temporary file.
fn nothing_written(run: &Run) -> Outcome {
    let directory = run.directory.as_ref().ok_or("it did not run")?.path().join("out");
    let names = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let written: Vec<String> = names
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| {
            matches!(name.as_str(), "cert.pem" | "chain.pem" | "fullchain.pem" | "privkey.pem")
                || name.contains("tmp")
        })
        .collect();
    if written.is_empty() { Ok(String::new()) } else { Err(format!("half written: {}", written.join(", "))) }
}

fn openssl(setting: &Setting, arguments: &[&str], files: &[&Path]) -> Outcome {
    let component = text(setting.components.find(Tool::Openssl))?;
    let mut command = component.command();
    command.args(arguments).args(files);
    text(shell::read(command))
}

/// Everything that passed, or the first thing that did not.
fn all<const N: usize>(outcomes: [Outcome; N]) -> Outcome {
    let details: Vec<String> = outcomes.into_iter().collect::<Result<_, _>>()?;
    Ok(details.into_iter().filter(|detail| !detail.is_empty()).collect::<Vec<_>>().join(", "))
}

fn text<T, E: std::fmt::Display>(result: Result<T, E>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
