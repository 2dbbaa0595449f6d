//! A server behind a router that translates addresses (NAT, RFC 4787 §6): what it sees of itself, and what others see.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use perennial::{
    core::{HttpClient, HttpError},
    issuers::solver::http01::{Http01Listener, Verdict},
};
use perennial_testkit::{
    dns::Data,
    real::{Components, Tool},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpSocket,
};

use super::{
    Expected, Outcome, Report, judged,
    scene::{Scene, looked},
    text,
};
use crate::{
    judge::namespace::{Namespace, ip},
    shell,
};

const INSIDE: Ipv4Addr = Ipv4Addr::new(10, 80, 0, 2);
const PUBLIC: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
const PORT: u16 = 8080;
const HOST: &str = "behind-nat.site.example.com";

/// What the router does for connections from outside.
const FORWARDING: &str = "add table ip nat
add chain ip nat in { type nat hook prerouting priority dstnat; }
add chain ip nat out { type nat hook postrouting priority srcnat; }
add rule ip nat in iifname far ip daddr 203.0.113.1 tcp dport 80 dnat to 10.80.0.2:8080";

/// And for those of its own network to its public address, where it was set up.
const HAIRPIN: &str =
    "add rule ip nat in iifname near ip daddr 203.0.113.1 tcp dport 80 dnat to 10.80.0.2:8080
add rule ip nat out oifname near ip saddr 10.80.0.0/24 masquerade";

/// The router's firewall in the meantime.
const DROPPING: &str = "add table ip filter
add chain ip filter in { type filter hook input priority filter; }
add rule ip filter in iifname near tcp dport 80 drop";
const DROPPING_NO_LONGER: &str = "delete table ip filter";

#[rustfmt::skip] // A table.
const CASES: [(&str, Expected); 4] = [
    ("hairpin_refused", Expected { verdict: Verdict::Inconclusive, advice: &["hairpin"],
        says: &["connection refused", "here, at 10.80.0.2:8080: the right answer", "NAT loopback (hairpin)"] }),
    ("hairpin_dropped", Expected { verdict: Verdict::Inconclusive, advice: &["hairpin"],
        says: &["no connection in time", "set up NAT loopback"] }),
    ("hairpin_seen_from_outside", Expected { verdict: Verdict::Pass, advice: &["hairpin"],
        says: &["from outside: the right answer"] }),
    ("hairpin_set_up", Expected { verdict: Verdict::Pass, advice: &[], says: &["203.0.113.1: the right answer"] }),
];

pub(super) async fn judge(report: &mut Report, scene: &Scene) {
    if !report.wants_any(&CASES.map(|(name, _)| name)) {
        return;
    }
    let lab = match Lab::start(scene).await {
        Ok(lab) => lab,
        Err(reason) => return report.case("hairpin", Err(reason)),
    };
    for (name, expected) in CASES {
        if report.wants_any(&[name]) {
            report.case(name, lab.story(scene, name, &expected).await);
        }
    }
}

struct Lab {
    router: Namespace,
    outside: Arc<Namespace>,
    listener: Http01Listener,
}

impl Lab {
    async fn start(scene: &Scene) -> Result<Self, String> {
        let (router, outside) = (Namespace::new().await?, Namespace::new().await?);
        ip(&format!("link add near type veth peer name near netns {}", router.pid()))?;
        router.ip(&format!("link add far type veth peer name far netns {}", outside.pid()))?;
        ip(&format!("addr add {INSIDE}/24 dev near"))?;
        ip("link set near up")?;
        router.ip("addr add 10.80.0.1/24 dev near")?;
        router.ip(&format!("addr add {PUBLIC}/24 dev far"))?;
        outside.ip("addr add 203.0.113.9/24 dev far")?;
        for line in ["link set near up", "link set far up"] {
            router.ip(line)?;
        }
        outside.ip("link set far up")?;
        ip("route add default via 10.80.0.1")?;
        router.forward()?;
        let listener = text(Http01Listener::bind([(INSIDE, PORT).into()]).await)?;
        text(scene.world().zone().add(HOST, Data::A(PUBLIC)))?;
        let lab = Self { router, outside: Arc::new(outside), listener };
        lab.rules(FORWARDING)?;
        Ok(lab)
    }

    async fn story(&self, scene: &Scene, name: &str, expected: &Expected) -> Outcome {
        let check = match name {
            "hairpin_seen_from_outside" => {
                scene.check()?.vantage_point(Arc::new(Outside(self.outside.clone())), "http://outside/?{url}")
            }
            _ => scene.check()?,
        };
        match name {
            "hairpin_dropped" => self.rules(DROPPING)?,
            "hairpin_set_up" => self.rules(HAIRPIN)?,
            _ => {}
        }
        let found = looked(self.listener.responder(), check, HOST).await;
        if name == "hairpin_dropped" {
            self.rules(DROPPING_NO_LONGER)?;
        }
        judged(&found?, expected)
    }

    /// Gives the router rules.
    fn rules(&self, rules: &str) -> Result<(), String> {
        let components = Components::locate();
        self.router.within(|| {
            for rule in rules.lines() {
                let mut command = text(components.find(Tool::Nft))?.command();
                command.arg(rule);
                text(shell::read(command))?;
            }
            Ok(())
        })
    }
}

/// Fetches from outside what it is asked for: a socket stays in the network in which it was made.
struct Outside(Arc<Namespace>);

#[async_trait]
impl HttpClient for Outside {
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, HttpError> {
        let url = request.uri().to_string();
        let failed = |reason: String| HttpError::Connect { url: url.clone(), reason };
        let asked = request.uri().query().unwrap_or_default().to_owned();
        let path = asked.rsplit_once("%2F").map(|(_, token)| format!("/.well-known/acme-challenge/{token}"));
        let path = path.ok_or_else(|| failed("nothing is asked for".to_owned()))?;
        let socket = self.0.within(|| text(TcpSocket::new_v4())).map_err(&failed)?;
        let answer = async {
            let mut stream = text(socket.connect(SocketAddr::from((PUBLIC, 80))).await)?;
            let question = format!("GET {path} HTTP/1.0\r\nHost: {HOST}\r\n\r\n");
            text(stream.write_all(question.as_bytes()).await)?;
            let mut answer = String::new();
            text(stream.read_to_string(&mut answer).await)?;
            let (head, body) = answer.split_once("\r\n\r\n").ok_or("no HTTP")?;
            let status = head.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok());
            text(
                http::Response::builder()
                    .status(status.ok_or("no status")?)
                    .body(Bytes::from(body.to_owned())),
            )
        };
        answer.await.map_err(failed)
    }
}
