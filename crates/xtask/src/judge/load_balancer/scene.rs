//! The fronts, the solver behind them, and the names that lead there.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use perennial::{
    acme::{
        Jwk,
        challenge::{KeyAuthorization, Token},
    },
    core::DomainName,
    issuers::{
        Http01, Solver as _, Task,
        solver::http01::{Http01Listener, Http01Place, Http01Report, Http01Responder, SelfCheck, Verdict},
    },
    propagation::Checker,
};
use perennial_testkit::{World, dns::Data, real::Nginx};

use super::{Expected, text};

/// A front, by the last number of its address 127.0.80.N.
pub(super) struct Front {
    pub(super) name: &'static str,
    number: u8,
    /// What nginx does there on port 80; nothing listens where there is nothing.
    does: Does,
    pub(super) expected: Expected,
}

enum Does {
    /// In TCP mode.
    PassThrough,
    /// In HTTP mode, with these directives.
    Serve(&'static str),
    /// The same, and a server on port 443.
    ServeSecurely(&'static str, &'static str),
    /// The name has an IPv6 address besides, where the directives hold.
    LeadElsewhere(&'static str),
    /// There is nobody, nor behind.
    Nothing,
}

/// The IPv6 address of a name whose other one is right.
pub(super) const SIX: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x80, 0, 0, 0, 0, 1);
/// Where the solver listens.
const BEHIND: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(127, 0, 81, 1)), 8080);

const FORWARD: &str = "location /.well-known/acme-challenge/ { proxy_pass http://127.0.81.1:8080; proxy_set_header \
                       Host $host; }";
const ACME_OF_ITS_OWN: &str = "location ~ ^/.well-known/acme-challenge/(.+)$ { default_type text/plain; return 200 \
                               $1.AAAA6WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI; }";
const SHIELD: &str = "add_header CF-RAY 8f0c-AMS always; default_type text/html; location / { return 403 \
                      '<html><title>Attention Required!</title></html>'; }";

#[rustfmt::skip] // A table.
pub(super) const FRONTS: &[Front] = &[
    Front { name: "tcp_pass_through", number: 1, does: Does::PassThrough,
            expected: Expected { verdict: Verdict::Pass, advice: &[], says: &["the right answer"] } },
    Front { name: "http_forwarding", number: 2, does: Does::Serve(FORWARD),
            expected: Expected { verdict: Verdict::Pass, advice: &[], says: &["the right answer"] } },
    Front { name: "http_interception", number: 3, does: Does::Serve(ACME_OF_ITS_OWN),
            expected: Expected { verdict: Verdict::Fail, advice: &["intercepted"],
                                 says: &["expected \"evaGxf", "but got \"evaGxfADs6….AAAA6WB3rR… (truncated)", "as TCP"] } },
    Front { name: "not_forwarded", number: 4, does: Does::Serve("location / { return 404; }"),
            expected: Expected { verdict: Verdict::Fail, advice: &["wrong_status"],
                                 says: &["wrong status code 404, expected 200", "nginx"] } },
    Front { name: "redirect_to_https", number: 5,
            does: Does::ServeSecurely("location / { return 301 https://$host$request_uri; }", FORWARD),
            expected: Expected { verdict: Verdict::Pass, advice: &[], says: &["after redirects to https://"] } },
    Front { name: "redirect_loop", number: 6, does: Does::Serve("location / { return 301 http://$host$request_uri; }"),
            expected: Expected { verdict: Verdict::Fail, advice: &["redirect_loop"],
                                 says: &["out of the redirect"] } },
    Front { name: "redirect_to_another_port", number: 7,
            does: Does::Serve("location / { return 301 https://$host:8443$request_uri; }"),
            expected: Expected { verdict: Verdict::Fail, advice: &["redirected"], says: &["8443"] } },
    Front { name: "firewall_page", number: 8, does: Does::Serve(SHIELD),
            expected: Expected { verdict: Verdict::Fail, advice: &["shielded"],
                                 says: &["status 403", "8f0c-AMS (cf-ray)", "without a challenge"] } },
    Front { name: "start_page", number: 9, does: Does::Serve("location / { return 200 welcome; }"),
            expected: Expected { verdict: Verdict::Fail, advice: &["wrong_content"], says: &["\"welcome\""] } },
    Front { name: "server_is_down", number: 10,
            does: Does::Serve("location / { proxy_pass http://127.0.81.2:9; }"),
            expected: Expected { verdict: Verdict::Fail, advice: &["wrong_status"], says: &["wrong status code 502", "not up"] } },
    Front { name: "ipv6_leads_elsewhere", number: 11, does: Does::LeadElsewhere("location / { return 404; }"),
            expected: Expected { verdict: Verdict::Fail, advice: &["wrong_status", "elsewhere"],
                                 says: &["2001:db8:80::1 leads to another server than 127.0.80.11"] } },
    Front { name: "port_closed", number: 12, does: Does::Nothing,
            expected: Expected { verdict: Verdict::Fail, advice: &["closed"],
                                 says: &["port 80 of 127.0.80.12 is closed"] } },
];

impl Front {
    fn address(&self) -> Ipv4Addr {
        Ipv4Addr::new(127, 0, 80, self.number)
    }

    /// A host name: labels have no underscores.
    fn host(&self) -> String {
        format!("{}.site.example.com", self.name.replace('_', "-"))
    }
}

/// All fronts, one solver, and a DNS of our own.
pub(super) struct Scene {
    world: World,
    listener: Http01Listener,
    _nginx: Nginx,
}

impl Scene {
    pub(super) async fn start() -> Result<Self, String> {
        let world = text(World::builder().zone("example.com").build().await)?;
        let mut nginx = Nginx::builder();
        for front in FRONTS {
            let (at, secure) =
                (SocketAddr::from((front.address(), 80)), SocketAddr::from((front.address(), 443)));
            text(world.zone().add(&front.host(), Data::A(front.address())))?;
            nginx = match front.does {
                Does::PassThrough => nginx.pass_through(at, BEHIND),
                Does::Serve(directives) => nginx.server(at, directives),
                Does::ServeSecurely(directives, there) => {
                    nginx.server(at, directives).secure_server(secure, there)
                }
                Does::LeadElsewhere(directives) => {
                    text(world.zone().add(&front.host(), Data::Aaaa(SIX)))?;
                    nginx.pass_through(at, BEHIND).server((SIX, 80).into(), directives)
                }
                Does::Nothing => nginx,
            };
        }
        let listener = text(Http01Listener::bind([BEHIND]).await)?;
        Ok(Self { world, listener, _nginx: text(nginx.start().await)? })
    }

    pub(super) fn world(&self) -> &World {
        &self.world
    }

    pub(super) fn check(&self) -> Result<SelfCheck, String> {
        let checker = Checker::builder()
            .nameservers([text(self.world.resolver().to_string().parse())?])
            .authoritative_port(self.world.authoritative_port());
        Ok(SelfCheck::new().checker(text(checker.build())?))
    }

    pub(super) async fn look(&self, front: &Front) -> Result<Http01Report, String> {
        match front.does {
            // Nobody shows the answer, here neither.
            Does::Nothing => looked(Http01Responder::new(), self.check()?, &front.host()).await,
            _ => looked(self.listener.responder(), self.check()?, &front.host()).await,
        }
    }
}

/// What the solver's own look has found, once the answer is put there. Whether it lets the CA look is held against the
/// verdict.
pub(super) async fn looked(
    place: impl Http01Place + 'static,
    check: SelfCheck,
    host: &str,
) -> Result<Http01Report, String> {
    let last = Arc::new(Mutex::new(None));
    let told = last.clone();
    let solver = Http01::new(place).self_check(check).timeout(Duration::ZERO).on_report(move |report| {
        *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(report.clone());
    });
    let name: DomainName = text(host.parse())?;
    let token = text(Token::parse("evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"))?;
    let key_authorization = KeyAuthorization::new(&token, &Jwk::ed25519([7; 32]).thumbprint());
    let proofs = [text(solver.proof(&Task::new(&name, &key_authorization)))?];
    text(solver.present(&proofs).await)?;
    let waited = solver.wait(&proofs, Duration::from_secs(60)).await;
    text(solver.clean_up(&proofs).await)?;
    let report = last.lock().unwrap_or_else(PoisonError::into_inner).take();
    let report: Http01Report = report.ok_or_else(|| format!("nothing was reported: {waited:?}"))?;
    if waited.is_err() != (report.verdict == Verdict::Fail) {
        return Err(format!("the solver returned {waited:?} for {report}"));
    }
    Ok(report)
}
