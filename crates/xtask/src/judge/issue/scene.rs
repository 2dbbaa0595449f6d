//! The servers of `judge issue`.

use std::net::SocketAddr;

use perennial_testkit::real::{self, Bind, Pebble, Unbound, ZoneFile};
use tempfile::TempDir;
use tokio::process::Command;

use super::{
    Outcome, PRIMARY, RESOLVER, ROOT, SECONDARY, Setting, ZONE,
    run::{Invocation, Run},
    text,
};

/// Name servers are asked here, and nowhere else: an NS record has no port.
const DNS_PORT: u16 = 53;

/// The servers of the picture above.
pub(super) struct Scene<'a> {
    pub(super) setting: &'a Setting,
    pub(super) primary: Bind,
    pub(super) secondary: Bind,
    pub(super) pebble: Pebble,
    _root: Bind,
    _resolver: Unbound,
}

/// What makes one scene differ from another.
#[derive(Clone, Copy)]
pub(super) struct Weather {
    pub(super) secondary: Secondary,
    /// Percent.
    pub(super) rejected_nonces: u8,
    /// Pebble drops the connection when a shorter name than this is ordered.
    pub(super) blocked: Option<&'static str>,
}

pub(super) const GOOD_DAY: Weather =
    Weather { secondary: Secondary::Following, rejected_nonces: 0, blocked: None };

#[derive(Clone, Copy)]
pub(super) enum Secondary {
    Following,
    Lagging,
}

impl<'a> Scene<'a> {
    pub(super) async fn start(setting: &'a Setting, weather: Weather) -> Result<Self, String> {
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
        let primary = Bind::builder().address(PRIMARY).port(DNS_PORT).zone(zone);
        let primary = match weather.secondary {
            Secondary::Following => primary.notify(SocketAddr::from((SECONDARY, DNS_PORT))),
            Secondary::Lagging => primary,
        };
        let primary = primary.start().await?;
        let second = Bind::builder().address(SECONDARY).port(DNS_PORT).zone(ZONE);
        let second = second.secondary_of(primary.socket_addr()).start().await?;
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
    pub(super) fn invocation(&self) -> Invocation {
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
    pub(super) async fn run(&self, invocation: &Invocation) -> Run {
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
        command.args(invocation.arguments());
        Run::of(command, directory).await
    }

    pub(super) async fn zone_clean(&self) -> Outcome {
        let left = text(self.primary.challenge_records(ZONE).await)?;
        if left.is_empty() {
            Ok(String::new())
        } else {
            Err(format!("left in the zone: {}", left.join(", ")))
        }
    }
}
