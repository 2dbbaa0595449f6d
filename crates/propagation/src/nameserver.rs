//! How a person writes down a DNS server: the text grammar.
//!
//! Addresses follow RFC 4291 §2.2 (IPv6, mixed notation included), RFC 3986 §3.2.2 (brackets before a port)
//! and RFC 4007 §11 (zone ids); the schemes stand for RFC 1035 (UDP and TCP), RFC 7858 (TLS) and RFC 8484
//! (HTTPS).

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6},
    str::FromStr,
};

use perennial_core::{DomainName, Retry};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A DNS server to ask, as text: `8.8.8.8`, `[2001:db8::1]:5353`, `tls://dns.example`.
///
/// | text | asks |
/// |---|---|
/// | `8.8.8.8`, `8.8.8.8:53`, `udp://8.8.8.8` | over UDP, and over TCP where an answer is too large or UDP is lost |
/// | `2001:db8::1`, `[2001:db8::1]:53` | the same; a port needs the brackets |
/// | `64:ff9b::8.8.8.8`, `[64:ff9b::8.8.8.8]:5353` | an IPv4 server through NAT64, in mixed notation |
/// | `fe80::1%2`, `[fe80::1%2]:53` | a link-local server on the interface with index 2 |
/// | `tcp://192.0.2.1` | over TCP only |
/// | `tls://dns.example`, `tls://1.1.1.1:8853` | over TLS (RFC 7858), port 853 unless another is given |
/// | `https://dns.example/dns-query` | over HTTPS (RFC 8484), port 443 and path `/dns-query` unless given |
/// | `dns.example`, `dns.example:5353` | a host by name |
///
/// `Display` writes the shortest text that reads back as the same value.
///
/// ```
/// use perennial_propagation::NameServer;
///
/// let server: NameServer = "https://dns.example:443/dns-query".parse()?;
/// assert_eq!(server.to_string(), "https://dns.example");
/// let error = "64:ff9b::8.8.8.8:53".parse::<NameServer>().unwrap_err();
/// assert!(error.to_string().ends_with("add brackets: [64:ff9b::8.8.8.8]:53"));
/// # Ok::<(), perennial_propagation::NameServerError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameServer {
    protocol: Protocol,
    host: Host,
    port: u16,
    /// Always begins with a slash; `/dns-query` for the protocols that have none.
    path: String,
}

/// How a server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Protocol {
    /// DNS over UDP, and over TCP where UDP does not do (RFC 1035 §4.2, RFC 7766).
    Udp,
    /// DNS over TCP (RFC 7766).
    Tcp,
    /// DNS over TLS (RFC 7858).
    Tls,
    /// DNS over HTTPS (RFC 8484).
    Https,
}

impl Protocol {
    /// The registered port: 53, 853 (RFC 7858 §3.1) or 443.
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => 53,
            Self::Tls => 853,
            Self::Https => 443,
        }
    }

    const fn scheme(self) -> &'static str {
        match self {
            Self::Udp => "udp://",
            Self::Tcp => "tcp://",
            Self::Tls => "tls://",
            Self::Https => "https://",
        }
    }
}

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::exhaustive_enums)] // RFC 3986 §3.2.2 knows these three, and a future literal cannot be dialled.
pub enum Host {
    /// By IPv4 address.
    V4(Ipv4Addr),
    /// By IPv6 address and interface index (RFC 4007 §11); 0 is the default zone.
    V6(Ipv6Addr, u32),
    /// By name.
    Name(DomainName),
}

impl NameServer {
    /// A server at an address, over UDP with TCP behind it.
    #[must_use]
    pub fn at(address: SocketAddr) -> Self {
        let host = match address {
            SocketAddr::V4(v4) => Host::V4(*v4.ip()),
            SocketAddr::V6(v6) => Host::V6(*v6.ip(), v6.scope_id()),
        };
        Self { protocol: Protocol::Udp, host, port: address.port(), path: DEFAULT_PATH.to_owned() }
    }

    /// How it is spoken to.
    #[must_use]
    pub const fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Where it is.
    #[must_use]
    pub const fn host(&self) -> &Host {
        &self.host
    }

    /// The port, 1 to 65535.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The URL to post to, for [`Protocol::Https`].
    #[must_use]
    pub fn url(&self) -> Option<String> {
        let https = self.protocol == Protocol::Https;
        https.then(|| format!("https://{}{}", Authority(self), self.path))
    }

    /// The address and port, unless the host is a name.
    #[must_use]
    pub fn socket_address(&self) -> Option<SocketAddr> {
        match self.host {
            Host::V4(v4) => Some(SocketAddr::new(IpAddr::V4(v4), self.port)),
            Host::V6(v6, zone) => Some(SocketAddrV6::new(v6, self.port, 0, zone).into()),
            Host::Name(_) => None,
        }
    }
}

const DEFAULT_PATH: &str = "/dns-query";

impl FromStr for NameServer {
    type Err = NameServerError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).map_err(|problem| NameServerError { text: text.chars().take(300).collect(), problem })
    }
}

fn parse(text: &str) -> Result<NameServer, Problem> {
    let (protocol, rest) = match text.split_once("://") {
        None => (Protocol::Udp, text),
        Some((scheme, rest)) => {
            let known = [Protocol::Udp, Protocol::Tcp, Protocol::Tls, Protocol::Https];
            let same = |protocol: &Protocol| {
                protocol.scheme().strip_suffix("://").is_some_and(|name| name.eq_ignore_ascii_case(scheme))
            };
            let protocol = known.into_iter().find(same).ok_or_else(|| Problem::Scheme(scheme.to_owned()))?;
            (protocol, rest)
        }
    };
    let (authority, path) = match rest.find('/') {
        Some(slash) if protocol == Protocol::Https => rest.split_at(slash),
        Some(_) => return Err(Problem::Path),
        None => (rest, DEFAULT_PATH),
    };
    if !path.bytes().all(|byte| byte.is_ascii_graphic() && !b"#\"<>\\^`{|}".contains(&byte)) {
        return Err(Problem::BadPath);
    }
    let path = if path == "/" { DEFAULT_PATH } else { path };
    let (host, port) = parse_authority(authority)?;
    let port = port.unwrap_or_else(|| protocol.default_port());
    Ok(NameServer { protocol, host, port, path: path.to_owned() })
}

fn parse_authority(text: &str) -> Result<(Host, Option<u16>), Problem> {
    if let Some(bracketed) = text.strip_prefix('[') {
        let (inside, behind) = bracketed.split_once(']').ok_or(Problem::Brackets)?;
        let host = parse_v6(inside)?.ok_or_else(|| Problem::NotIpv6(inside.to_owned()))?;
        return match behind.strip_prefix(':') {
            Some(port) => Ok((host, Some(parse_port(port)?))),
            None if behind.is_empty() => Ok((host, None)),
            None => Err(Problem::Brackets),
        };
    }
    if text.matches(':').count() > 1 {
        if let Some(host) = parse_v6(text)? {
            return Ok((host, None));
        }
        return Err(match text.rsplit_once(':') {
            Some((address, port)) if matches!(parse_v6(address), Ok(Some(_))) && parse_port(port).is_ok() => {
                Problem::NeedsBrackets(format!("[{address}]:{port}"))
            }
            _ => Problem::NotIpv6(text.to_owned()),
        });
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(parse_port(port)?)),
        None => (text, None),
    };
    if host.is_empty() {
        return Err(Problem::NoHost);
    }
    if let Ok(v4) = host.parse() {
        return Ok((Host::V4(v4), port));
    }
    // `8.8.8.8.8` and `8.8.8.08` are misspelt addresses: no top-level name is a number (RFC 3696 §2).
    let is_number = |name: &str| {
        let last = name.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
        last.bytes().all(|byte| byte.is_ascii_digit())
    };
    if is_number(host) {
        return Err(Problem::NotIpv4(host.to_owned()));
    }
    let name = DomainName::parse(host).map_err(|_| Problem::NotName(host.to_owned()))?;
    // IDNA makes plain digits of others, such as superscript ones.
    if is_number(name.as_str()) {
        return Err(Problem::NotIpv4(host.to_owned()));
    }
    if name.is_wildcard() {
        return Err(Problem::NotName(host.to_owned()));
    }
    Ok((Host::Name(name), port))
}

/// An IPv6 address, perhaps with a zone id; `None` when it is no IPv6 address.
fn parse_v6(text: &str) -> Result<Option<Host>, Problem> {
    let (address, zone) = match text.split_once('%') {
        Some((address, zone)) => (address, Some(zone)),
        None => (text, None),
    };
    let Ok(v6) = address.parse::<Ipv6Addr>() else { return Ok(None) };
    let zone = match zone {
        None => 0,
        Some(zone) => parse_number(zone).ok_or_else(|| Problem::Zone(zone.to_owned()))?,
    };
    Ok(Some(Host::V6(v6, zone)))
}

fn parse_port(text: &str) -> Result<u16, Problem> {
    let port = parse_number::<u16>(text).filter(|port| *port != 0);
    port.ok_or_else(|| Problem::Port(text.to_owned()))
}

/// Digits only: `str::parse` would take a plus sign too.
fn parse_number<T: FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Host and, where it is not the protocol's own, port.
struct Authority<'a>(&'a NameServer);

impl fmt::Display for Authority<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NameServer { protocol, host, port, .. } = self.0;
        let own_port = *port == protocol.default_port();
        match host {
            Host::V4(v4) => write!(f, "{v4}")?,
            Host::Name(name) => write!(f, "{name}")?,
            Host::V6(v6, zone) => {
                // A bare address is unambiguous only where nothing can follow it.
                let bare = own_port && *protocol == Protocol::Udp;
                let (open, close) = if bare { ("", "") } else { ("[", "]") };
                write!(f, "{open}{v6}")?;
                if *zone != 0 {
                    write!(f, "%{zone}")?;
                }
                f.write_str(close)?;
            }
        }
        if own_port { Ok(()) } else { write!(f, ":{port}") }
    }
}

impl fmt::Display for NameServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.protocol != Protocol::Udp {
            f.write_str(self.protocol.scheme())?;
        }
        write!(f, "{}", Authority(self))?;
        let has_path = self.protocol == Protocol::Https && self.path != DEFAULT_PATH;
        if has_path { f.write_str(&self.path) } else { Ok(()) }
    }
}

impl fmt::Debug for NameServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for NameServer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for NameServer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// A text that names no DNS server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a name server: {problem}")]
#[non_exhaustive]
pub struct NameServerError {
    /// The text, cut at 300 characters.
    pub text: String,
    problem: Problem,
}

impl NameServerError {
    /// Never: the text has to be mended.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        Retry::Never
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Problem {
    #[error("its path holds a character that a URL cannot hold")]
    BadPath,
    #[error("the brackets do not match; write [2001:db8::1] or [2001:db8::1]:53")]
    Brackets,
    #[error("an IPv6 address with a port is ambiguous; add brackets: {0}")]
    NeedsBrackets(String),
    #[error("no host stands before the port; write 192.0.2.1:53, [2001:db8::1]:53 or dns.example:53")]
    NoHost,
    #[error("{0:?} looks like an IPv4 address and is none")]
    NotIpv4(String),
    #[error("{0:?} is not an IPv6 address")]
    NotIpv6(String),
    #[error("{0:?} is neither an address nor a host name")]
    NotName(String),
    #[error("only https:// has a path")]
    Path,
    #[error("{0:?} is not a port; it is a number from 1 to 65535")]
    Port(String),
    #[error("the scheme {0:?} is unknown; udp, tcp, tls and https are known")]
    Scheme(String),
    #[error("the zone id {0:?} is not an interface index; `ip link` shows the number, as in fe80::1%2")]
    Zone(String),
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn server(text: &str) -> NameServer {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    fn problem(text: &str) -> Problem {
        text.parse::<NameServer>().unwrap_err().problem
    }

    #[test]
    fn each_way_of_writing_is_understood() {
        for (text, protocol, address) in [
            ("8.8.8.8", Protocol::Udp, "8.8.8.8:53"),
            ("8.8.8.8:53", Protocol::Udp, "8.8.8.8:53"),
            ("udp://8.8.8.8:5353", Protocol::Udp, "8.8.8.8:5353"),
            ("UDP://8.8.8.8", Protocol::Udp, "8.8.8.8:53"),
            ("2001:db8::1", Protocol::Udp, "[2001:db8::1]:53"),
            ("[2001:db8::1]", Protocol::Udp, "[2001:db8::1]:53"),
            ("[2001:db8::1]:5353", Protocol::Udp, "[2001:db8::1]:5353"),
            ("64:ff9b::8.8.8.8", Protocol::Udp, "[64:ff9b::808:808]:53"),
            ("[64:ff9b::8.8.8.8]:5353", Protocol::Udp, "[64:ff9b::808:808]:5353"),
            ("fe80::1%2", Protocol::Udp, "[fe80::1%2]:53"),
            ("[fe80::1%2]:53", Protocol::Udp, "[fe80::1%2]:53"),
            ("tcp://192.0.2.1", Protocol::Tcp, "192.0.2.1:53"),
            ("tcp://2001:db8::1", Protocol::Tcp, "[2001:db8::1]:53"),
            ("tls://1.1.1.1", Protocol::Tls, "1.1.1.1:853"),
            ("https://1.1.1.1", Protocol::Https, "1.1.1.1:443"),
            ("::1", Protocol::Udp, "[::1]:53"),
        ] {
            let server = server(text);
            assert_eq!(server.protocol(), protocol, "{text}");
            assert_eq!(server.socket_address(), Some(address.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn hosts_may_be_names() {
        let named = server("tls://DNS.example:8853");
        assert_eq!(named.host(), &Host::Name("dns.example".parse().unwrap()));
        assert_eq!((named.port(), named.socket_address()), (8853, None));
        assert_eq!(server("dns.example.").to_string(), "dns.example");
        assert_eq!(server("dns.example:5353").to_string(), "dns.example:5353");
    }

    #[test]
    fn https_servers_have_urls() {
        for (text, url, shortest) in [
            ("https://dns.example", "https://dns.example/dns-query", "https://dns.example"),
            ("https://dns.example/", "https://dns.example/dns-query", "https://dns.example"),
            (
                "https://dns.example:444/q?x=1",
                "https://dns.example:444/q?x=1",
                "https://dns.example:444/q?x=1",
            ),
            ("https://[2001:db8::1]/dns-query", "https://[2001:db8::1]/dns-query", "https://[2001:db8::1]"),
        ] {
            assert_eq!(server(text).url().as_deref(), Some(url));
            assert_eq!(server(text).to_string(), shortest);
        }
        assert_eq!(server("tls://dns.example").url(), None);
    }

    #[test]
    fn the_ambiguous_port_is_answered_with_the_fix() {
        let error = "64:ff9b::8.8.8.8:53".parse::<NameServer>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "\"64:ff9b::8.8.8.8:53\" is not a name server: an IPv6 address with a port is ambiguous; \
             add brackets: [64:ff9b::8.8.8.8]:53"
        );
        assert_eq!(error.retry(), Retry::Never);
        assert_eq!(problem("1:2:3:4:5:6:7:8:53"), Problem::NeedsBrackets("[1:2:3:4:5:6:7:8]:53".into()));
    }

    #[test]
    fn each_fault_has_its_own_word() {
        assert_eq!(problem(""), Problem::NoHost);
        assert_eq!(problem(":53"), Problem::NoHost);
        assert_eq!(problem("8.8.8.8:"), Problem::Port("".into()));
        assert_eq!(problem("8.8.8.8:0"), Problem::Port("0".into()));
        assert_eq!(problem("8.8.8.8:65536"), Problem::Port("65536".into()));
        assert_eq!(problem("8.8.8.8:+53"), Problem::Port("+53".into()));
        assert_eq!(problem("8.8.8.8.8:53"), Problem::NotIpv4("8.8.8.8.8".into()));
        assert_eq!(problem("8.8.8.08"), Problem::NotIpv4("8.8.8.08".into()));
        assert_eq!(problem("８.８.８.８"), Problem::NotName("８.８.８.８".into()));
        assert_eq!(problem("²"), Problem::NotIpv4("²".into()));
        assert_eq!(problem("fe80::1%eth0"), Problem::Zone("eth0".into()));
        assert_eq!(problem("fe80::1%"), Problem::Zone("".into()));
        assert_eq!(problem("[2001:db8::1"), Problem::Brackets);
        assert_eq!(problem("[2001:db8::1]53"), Problem::Brackets);
        assert_eq!(problem("[8.8.8.8]:53"), Problem::NotIpv6("8.8.8.8".into()));
        assert_eq!(problem("2001:db8::g"), Problem::NotIpv6("2001:db8::g".into()));
        assert_eq!(problem("quic://dns.example"), Problem::Scheme("quic".into()));
        assert_eq!(problem("8.8.8.8/dns-query"), Problem::Path);
        assert_eq!(problem("https://dns.example/a b"), Problem::BadPath);
        assert_eq!(problem("https://user@dns.example"), Problem::NotName("user@dns.example".into()));
        assert_eq!(problem("*.example"), Problem::NotName("*.example".into()));
        assert_eq!(problem("dns example"), Problem::NotName("dns example".into()));
    }

    #[test]
    fn serde_speaks_the_same_text() {
        let servers: Vec<NameServer> = serde_json::from_str(r#"["8.8.8.8","tls://dns.example"]"#).unwrap();
        assert_eq!(serde_json::to_string(&servers).unwrap(), r#"["8.8.8.8","tls://dns.example"]"#);
        let error = serde_json::from_str::<NameServer>(r#""8.8.8.8:0""#).unwrap_err();
        assert!(error.to_string().contains("1 to 65535"));
    }

    fn any_server() -> impl Strategy<Value = NameServer> {
        let protocol =
            prop::sample::select(vec![Protocol::Udp, Protocol::Tcp, Protocol::Tls, Protocol::Https]);
        let host = prop_oneof![
            any::<Ipv4Addr>().prop_map(Host::V4),
            (any::<Ipv6Addr>(), prop_oneof![Just(0), any::<u32>()]).prop_map(|(v6, zone)| Host::V6(v6, zone)),
            "[a-z][a-z0-9]{0,8}(\\.[a-z][a-z0-9]{0,8}){0,2}".prop_map(|n| Host::Name(n.parse().unwrap())),
        ];
        let port = prop_oneof![Just(53), Just(443), Just(853), 1_u16..];
        (protocol, host, port, "/[a-z0-9/?=]{1,8}").prop_map(|(protocol, host, port, path)| {
            let path = if protocol == Protocol::Https { path } else { DEFAULT_PATH.to_owned() };
            NameServer { protocol, host, port, path }
        })
    }

    proptest! {
        #[test]
        fn every_server_reads_back_from_its_text(server in any_server()) {
            prop_assert_eq!(server.to_string().parse::<NameServer>(), Ok(server));
        }

        #[test]
        fn no_text_panics_and_what_parses_is_stable(text in "[0-9a-f.:%/\\[\\]tlsdp]{0,24}|.{0,24}") {
            if let Ok(server) = text.parse::<NameServer>() {
                prop_assert_eq!(server.to_string().parse::<NameServer>(), Ok(server));
            }
        }
    }
}
