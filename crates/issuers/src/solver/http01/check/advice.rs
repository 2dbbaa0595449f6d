//! What to do when the answer is not seen.

use std::{fmt, net::IpAddr};

use serde::Serialize;

/// Why the answer is not seen, and the remedy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "advice", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Advice {
    /// The port is closed.
    Closed {
        /// At which address.
        address: IpAddr,
    },
    /// The addresses of the name lead to different servers.
    Elsewhere {
        /// Those that give the answer.
        right: Vec<IpAddr>,
        /// Those that do not.
        elsewhere: Vec<IpAddr>,
    },
    /// Nobody answers at all, as behind a firewall that drops packets.
    Filtered {
        /// At which address.
        address: IpAddr,
    },
    /// This machine shows the answer, and cannot reach itself by its public address (NAT loopback).
    Hairpin {
        /// By which address.
        address: IpAddr,
    },
    /// Somebody in between answers challenges of its own.
    Intercepted {
        /// The beginning of the key authorization.
        expected: String,
        /// The beginning of what came.
        got: String,
        /// Who that is, by its own headers.
        by: Vec<String>,
    },
    /// The name has no address.
    NoAddress,
    /// What listens on port 80 speaks no HTTP, or no longer.
    NoHttp {
        /// At which address.
        address: IpAddr,
        /// What happened.
        reason: String,
    },
    /// This host has no way to the address.
    NoRoute {
        /// To which address.
        address: IpAddr,
        /// Why.
        reason: String,
    },
    /// The place elsewhere could not look.
    NoVantage {
        /// Why.
        reason: String,
    },
    /// Redirects that never end.
    RedirectLoop {
        /// Where the last one led.
        to: String,
    },
    /// A redirect that no CA follows.
    Redirected {
        /// Where to.
        to: String,
        /// Why it is not followed.
        fault: String,
    },
    /// A protection or a cache before the server answers in its place.
    Shielded {
        /// With which status.
        status: u16,
        /// Who that is, by its own headers.
        by: Vec<String>,
    },
    /// The name's addresses could not be looked up.
    Unresolved {
        /// Why.
        reason: String,
    },
    /// Something else is served there.
    WrongContent {
        /// The beginning of the key authorization.
        expected: String,
        /// The beginning of what came.
        got: String,
    },
    /// The server does not know the answer.
    WrongStatus {
        /// What it says instead of 200.
        status: u16,
    },
}

impl Advice {
    /// Its word, as in its serialized form.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Closed { .. } => "closed",
            Self::Elsewhere { .. } => "elsewhere",
            Self::Filtered { .. } => "filtered",
            Self::Hairpin { .. } => "hairpin",
            Self::Intercepted { .. } => "intercepted",
            Self::NoAddress => "no_address",
            Self::NoHttp { .. } => "no_http",
            Self::NoRoute { .. } => "no_route",
            Self::NoVantage { .. } => "no_vantage",
            Self::RedirectLoop { .. } => "redirect_loop",
            Self::Redirected { .. } => "redirected",
            Self::Shielded { .. } => "shielded",
            Self::Unresolved { .. } => "unresolved",
            Self::WrongContent { .. } => "wrong_content",
            Self::WrongStatus { .. } => "wrong_status",
        }
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed { address } => write!(
                f,
                "port 80 of {address} is closed: have something listen there, or forward the port to it"
            ),
            Self::Elsewhere { right, elsewhere } => write!(
                f,
                "{} leads to another server than {}: correct or remove that address record, for the CA takes IPv6 \
                 first",
                list(elsewhere),
                list(right)
            ),
            Self::Filtered { address } => write!(
                f,
                "nobody answers at {address}: open port 80 in the firewall, for the whole world, since the CA comes \
                 from addresses that it does not tell; if it is open, this machine may not reach its own public \
                 address (NAT loopback), which a look from elsewhere settles"
            ),
            Self::Hairpin { address } => write!(
                f,
                "this machine shows the answer, but cannot reach itself by {address}: its router or load balancer \
                 has no NAT loopback (hairpin). The CA may see it all the same: try from outside, give the \
                 self-check a vantage point or an address to connect to, or set up NAT loopback"
            ),
            Self::Intercepted { expected, got, by } => write!(
                f,
                "expected {expected:?} but got {got:?}: a load balancer or proxy in between answers ACME challenges \
                 of its own{}; have it pass port 80 on as TCP, or forward /.well-known/acme-challenge/ to this \
                 program, or turn its own certificates off",
                from(by)
            ),
            Self::NoAddress => f.write_str(
                "the name has no address: add an A or AAAA record that leads here, or prove it by dns-01",
            ),
            Self::NoHttp { address, reason } => write!(
                f,
                "what listens on port 80 of {address} gives no HTTP answer ({reason}): see that it speaks plain HTTP \
                 there, not TLS, and that the server behind it is up"
            ),
            Self::NoRoute { address, reason } => write!(
                f,
                "{address} cannot be looked at from here ({reason}): the CA may reach it; give the self-check NAT64 \
                 or a vantage point to be sure"
            ),
            Self::NoVantage { reason } => write!(f, "nobody looked from outside: {reason}"),
            Self::RedirectLoop { to } => write!(
                f,
                "redirects end in a circle at {to}: leave /.well-known/acme-challenge/ out of the redirect"
            ),
            Self::Redirected { to, fault } => {
                let to = if to.is_empty() { "nowhere" } else { to };
                write!(
                    f,
                    "a redirect to {to}, {fault}: leave /.well-known/acme-challenge/ out of the redirect, or redirect \
                     to port 80 or 443 of a name"
                )
            }
            Self::Shielded { status, by } => write!(
                f,
                "a CDN or web application firewall{} answers with status {status} and a page of its own: let \
                 /.well-known/acme-challenge/ pass without a challenge, a cache or a block by country",
                from(by)
            ),
            Self::Unresolved { reason } => write!(
                f,
                "its addresses could not be looked up: {reason}; the CA asks the name's own servers"
            ),
            Self::WrongContent { expected, got } => write!(
                f,
                "expected {expected:?} but got {got:?}: another server answers, or one that shows the same for every \
                 path; forward /.well-known/acme-challenge/ to this program"
            ),
            Self::WrongStatus { status: status @ 500..=599 } => write!(
                f,
                "wrong status code {status}, expected 200: the server there is in trouble, or the one behind it is not \
                 up: see that it runs and is forwarded to"
            ),
            Self::WrongStatus { status } => write!(
                f,
                "wrong status code {status}, expected 200: the server there does not know the answer; forward \
                 /.well-known/acme-challenge/ to this program, or give it the document root of that server"
            ),
        }
    }
}

fn list(addresses: &[IpAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn from(by: &[String]) -> String {
    if by.is_empty() { String::new() } else { format!(" ({})", by.join(", ")) }
}
