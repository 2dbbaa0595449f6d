//! A look of one's own before the CA is told: it counts a look in vain as a failed validation.
//!
//! The look is made as a CA makes it, at every address of the name. What it comes to is one of three: the answer is
//! there; it is not, with the evidence; or it cannot be told from here, for a host that cannot reach itself through its
//! router says nothing about what the world sees.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use bytes::Bytes;
use futures_util::future::{self, join_all};
use http::{Request, header};
use perennial_core::{DomainName, HttpClient};
use perennial_propagation::{
    Checker, CheckerBuilder, HostAddress,
    target::{Embedded, Route},
};
use url::{Url, form_urlencoded};

use super::Http01Answer;
use crate::Error;

mod advice;
pub use advice::Advice;

mod answer;
pub(crate) use answer::shown;
pub use answer::{Answer, Content};

mod diagnosis;
pub use diagnosis::{Evidence, Verdict, diagnose};

mod fetch;
use fetch::{Fetched, fetch};

mod observation;
pub use observation::{Found, Observation, Phase};

mod redirect;
pub use redirect::RedirectFault;
use redirect::{Ports, STANDARD, is_redirect, target};

mod report;
pub use report::Http01Report;

/// How to look whether an answer can be seen, before the CA is told to.
///
/// ```
/// use perennial_issuers::solver::http01::SelfCheck;
///
/// // A load balancer that does not let the machines behind it in by its public address.
/// let check = SelfCheck::new().connect_to(["10.0.0.5:8080".parse()?]);
/// # let _ = check; Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone)]
pub struct SelfCheck {
    checker: Option<Checker>,
    connect_to: Vec<SocketAddr>,
    locally: Vec<SocketAddr>,
    ports: Ports,
    vantage: Option<Vantage>,
}

/// Somebody elsewhere who fetches URLs.
#[derive(Clone)]
struct Vantage {
    http: Arc<dyn HttpClient>,
    template: String,
}

/// More addresses than a name has whose server is looked after.
const MOST_ADDRESSES: usize = 16;

/// What stands for the URL in a vantage point's.
const PLACEHOLDER: &str = "{url}";

impl Default for SelfCheck {
    fn default() -> Self {
        Self::new()
    }
}

impl SelfCheck {
    /// Looks at all addresses of the name, on port 80.
    #[must_use]
    pub fn new() -> Self {
        Self { checker: None, connect_to: Vec::new(), locally: Vec::new(), ports: STANDARD, vantage: None }
    }

    /// Who looks addresses up, with its resolvers and its NAT64. Default: a [`Checker`] with the settings of the
    /// environment ([`CheckerBuilder::from_env`]), else over the name servers of `/etc/resolv.conf`.
    #[must_use]
    pub fn checker(mut self, checker: Checker) -> Self {
        self.checker = Some(checker);
        self
    }

    /// Connects there instead of to the addresses of the name: to the server behind a load balancer, whose public
    /// address cannot be reached from here. The question is the same. Default: nowhere else.
    #[must_use]
    pub fn connect_to(mut self, addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.connect_to = addresses.into_iter().collect();
        self
    }

    /// Where this machine shows the answer: it is looked at when no address of the name gives it, to tell a server
    /// that is missing from one that cannot be reached by its public address. Default: port 80 of the loopback
    /// addresses.
    #[must_use]
    pub fn locally(mut self, addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.locally = addresses.into_iter().collect();
        self
    }

    /// The ports that stand for 80 and 443. Default: these; another one is for tests, since no CA asks there.
    #[must_use]
    pub const fn ports(mut self, http: u16, https: u16) -> Self {
        self.ports = Ports { http, https };
        self
    }

    /// Somebody elsewhere who looks too: a URL that fetches the one that stands at its `{url}`, percent-encoded, and
    /// passes status and body on. Default: nobody. It settles what cannot be told from here.
    #[must_use]
    pub fn vantage_point(mut self, http: Arc<dyn HttpClient>, template: impl Into<String>) -> Self {
        self.vantage = Some(Vantage { http, template: template.into() });
        self
    }

    /// Where this machine shows answers, unless that was said.
    pub(super) fn or_locally(mut self, address: Option<SocketAddr>) -> Self {
        if self.locally.is_empty() {
            self.locally.extend(address);
        }
        self
    }

    /// Looks once. Takes half a minute at most where nobody answers, usually well under a second.
    ///
    /// # Errors
    /// [`Error`] when the resolvers of this machine cannot be used at all. What was seen, or not, is in the report.
    pub async fn look(&self, answer: &Http01Answer) -> Result<Http01Report, Error> {
        let url = Url::parse(&format!("http://{}{}", answer.name, answer.path())).map_err(|error| {
            Error::Configuration { reason: format!("{} has no URL: {error}", answer.name) }
        })?;
        let checker = match &self.checker {
            Some(checker) => checker.clone(),
            None => CheckerBuilder::from_env()?.build()?,
        };
        let look = Look { check: self, checker: &checker, expected: &answer.key_authorization, url: &url };
        let (rows, outside) = future::join(look.rows(&answer.name), look.outside()).await;
        let is_seen = rows.as_ref().is_ok_and(|rows| rows.iter().any(|row| row.found.is_right()));
        let local = if is_seen { Vec::new() } else { look.local().await };
        let evidence = Evidence { expected: answer.key_authorization.clone(), rows, local, outside };
        Ok(Http01Report::new(answer.name.clone(), url.to_string(), evidence))
    }
}

/// One look.
#[derive(Clone, Copy)]
struct Look<'a> {
    check: &'a SelfCheck,
    checker: &'a Checker,
    expected: &'a str,
    url: &'a Url,
}

impl Look<'_> {
    async fn rows(self, name: &DomainName) -> Result<Vec<Observation>, String> {
        if !self.check.connect_to.is_empty() {
            return Ok(
                join_all(self.check.connect_to.iter().map(|at| self.observe(at.ip(), *at, None))).await
            );
        }
        let addresses = self.checker.addresses(name).await.map_err(|error| error.to_string())?;
        let looks = addresses.into_iter().take(MOST_ADDRESSES).map(|host| async move {
            let HostAddress { address, reached_at, nat64, route, .. } = host;
            let asked = SocketAddr::new(reached_at, self.check.ports.http);
            match route {
                Route::Exists => self.observe(address, asked, nat64).await,
                Route::None(why) => {
                    let found = Found::NoRoute { reason: why.to_string() };
                    Observation { address, nat64, ..Observation::new(asked, found) }
                }
                _ => Observation::new(asked, Found::NoRoute { reason: "there is no way to it".to_owned() }),
            }
        });
        Ok(join_all(looks).await)
    }

    async fn local(self) -> Vec<Observation> {
        let loopback: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        let mut places = self.check.locally.clone();
        if places.is_empty() {
            places.extend(loopback.map(|ip| SocketAddr::new(ip, self.check.ports.http)));
        }
        join_all(places.iter().map(|at| self.observe(at.ip(), *at, None))).await
    }

    /// Asks at an address, and follows redirects as a CA does; to the same name at the same address.
    async fn observe(self, address: IpAddr, asked: SocketAddr, nat64: Option<Embedded>) -> Observation {
        let mut visited = vec![self.url.clone()];
        let mut at = asked;
        let found = loop {
            let Some(url) = visited.last() else { break Found::Refused };
            let fetched = match fetch(at, url).await {
                Ok(fetched) => fetched,
                Err(found) => break found,
            };
            if !is_redirect(fetched.status) {
                break Found::Answered(self.read(&fetched));
            }
            let location =
                fetched.headers.get(header::LOCATION).map(|value| String::from_utf8_lossy(value.as_bytes()));
            let to = match target(&visited, fetched.status, location.as_deref(), self.check.ports) {
                Ok(to) => to,
                Err(fault) => break Found::redirected(location.as_deref(), fault),
            };
            at = match self.place_of(&to, asked.ip()).await {
                Ok(place) => place,
                Err(found) => break found,
            };
            visited.push(to);
        };
        let redirects = visited.iter().skip(1).map(|url| shown(url.as_str(), observation::MOST_OF_A_URL));
        Observation { address, asked, nat64, redirects: redirects.collect(), found }
    }

    /// Where a redirect leads to.
    async fn place_of(self, to: &Url, own: IpAddr) -> Result<SocketAddr, Found> {
        let Ports { http, https } = self.check.ports;
        let usual = if to.scheme() == "https" { https } else { http };
        let port = to.port().unwrap_or(usual);
        let host = to.host_str().unwrap_or_default();
        if self.url.host_str() == Some(host) {
            return Ok(SocketAddr::new(own, port));
        }
        let unreachable = |reason: String| Found::Unreachable { reason };
        let name = DomainName::parse(host).map_err(|error| unreachable(error.to_string()))?;
        let addresses =
            self.checker.addresses(&name).await.map_err(|error| unreachable(error.to_string()))?;
        let reachable = addresses.iter().find(|host| host.route == Route::Exists);
        let missing =
            || unreachable(format!("{name}, which it redirects to, has no address that can be reached"));
        Ok(SocketAddr::new(reachable.ok_or_else(missing)?.reached_at, port))
    }

    fn read(self, Fetched { status, headers, body }: &Fetched) -> Answer {
        Answer::read(*status, headers, body, self.expected)
    }

    async fn outside(self) -> Option<Result<Answer, String>> {
        let Vantage { http, template } = self.check.vantage.as_ref()?;
        let encoded: String = form_urlencoded::byte_serialize(self.url.as_str().as_bytes()).collect();
        let request = Request::get(template.replace(PLACEHOLDER, &encoded)).body(Bytes::new());
        let request = match request {
            Ok(request) => request,
            Err(error) => return Some(Err(format!("the vantage point {template} is no URL: {error}"))),
        };
        Some(match http.send(request).await {
            Ok(answer) => {
                let status = answer.status().as_u16();
                Ok(Answer::read(status, answer.headers(), answer.body(), self.expected))
            }
            Err(error) => Err(error.to_string()),
        })
    }
}

impl fmt::Debug for SelfCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { checker, connect_to, locally, ports, vantage } = self;
        f.debug_struct("SelfCheck")
            .field("checker", checker)
            .field("connect_to", connect_to)
            .field("locally", locally)
            .field("ports", ports)
            .field("vantage_point", &vantage.as_ref().map(|vantage| &vantage.template))
            .finish()
    }
}
