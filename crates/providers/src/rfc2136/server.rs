//! The text that names a DNS server.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6},
    str::FromStr,
};

use perennial_core::{DomainName, DomainNameError};

/// A DNS server: an address or a host name, and a port, 53 when none is given (RFC 1035 §4.2).
///
/// ```
/// use perennial_providers::rfc2136::Server;
///
/// for (text, server) in [
///     ("192.0.2.1", "192.0.2.1:53"),
///     ("192.0.2.1:5353", "192.0.2.1:5353"),
///     ("2001:db8::1", "[2001:db8::1]:53"),
///     ("[2001:db8::1]:5353", "[2001:db8::1]:5353"),
///     ("NS1.example.com.", "ns1.example.com:53"),
///     ("ns1.example.com:5353", "ns1.example.com:5353"),
/// ] {
///     assert_eq!(text.parse::<Server>()?.to_string(), server);
/// }
/// let error = "64:ff9b::8.8.8.8:53".parse::<Server>().unwrap_err();
/// assert!(error.to_string().ends_with("put brackets around the address: [64:ff9b::8.8.8.8]:53"));
/// # Ok::<(), perennial_providers::rfc2136::ServerError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Server(Place);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Place {
    Address(SocketAddr),
    Host(DomainName, u16),
}

const DNS_PORT: u16 = 53;

impl Server {
    pub(super) const fn place(&self) -> &Place {
        &self.0
    }

    fn parse(text: &str) -> Result<Place, Problem> {
        if text.is_empty() {
            return Err(Problem::Empty);
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Place::Address(SocketAddr::new(address, DNS_PORT)));
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return if address.port() == 0 { Err(Problem::Port) } else { Ok(Place::Address(address)) };
        }
        if let Some((address, port)) = text.strip_prefix('[').and_then(|text| text.split_once(']')) {
            return Self::parse_bracketed(address, port);
        }
        if text.matches(':').count() > 1 {
            return Self::parse_bracketed(text, "").map_err(|_| missing_brackets(text));
        }
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, parse_port(port)?),
            None => (text, DNS_PORT),
        };
        // An address with five parts or too large numbers would pass for a host name.
        if host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
            return Err(Problem::Address { text: host.to_owned() });
        }
        DomainName::parse(host).map(|host| Place::Host(host, port)).map_err(Problem::Host)
    }

    /// An IPv6 address, maybe with a zone identifier (RFC 4007 §11), and `:port` or nothing after it.
    fn parse_bracketed(address: &str, port: &str) -> Result<Place, Problem> {
        let port = match port.strip_prefix(':') {
            Some(port) => parse_port(port)?,
            None if port.is_empty() => DNS_PORT,
            None => return Err(Problem::AfterBracket { text: port.to_owned() }),
        };
        let parsed = format!("[{address}]:{port}").parse::<SocketAddrV6>();
        parsed
            .map(|address| Place::Address(address.into()))
            .map_err(|_| Problem::Address { text: address.to_owned() })
    }
}

fn parse_port(text: &str) -> Result<u16, Problem> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let port = if digits { text.parse().ok() } else { None };
    port.filter(|port| *port != 0).ok_or(Problem::Port)
}

/// An IPv6 address with a port behind it cannot be told from a longer address, so it is not guessed at.
fn missing_brackets(text: &str) -> Problem {
    let with_port = text
        .rsplit_once(':')
        .filter(|(address, port)| address.parse::<Ipv6Addr>().is_ok() && parse_port(port).is_ok());
    match with_port {
        Some((address, port)) => Problem::Brackets { text: format!("[{address}]:{port}") },
        None => Problem::Address { text: text.to_owned() },
    }
}

impl FromStr for Server {
    type Err = ServerError;

    fn from_str(text: &str) -> Result<Self, ServerError> {
        Self::parse(text.trim())
            .map(Self)
            .map_err(|problem| ServerError { text: text.chars().take(260).collect(), problem })
    }
}

impl From<SocketAddr> for Server {
    fn from(address: SocketAddr) -> Self {
        Self(Place::Address(address))
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Address(address) => address.fmt(f),
            Place::Host(host, port) => write!(f, "{host}:{port}"),
        }
    }
}

/// A text that names no DNS server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a DNS server: {problem}")]
#[non_exhaustive]
pub struct ServerError {
    /// The text, cut at 260 characters.
    pub text: String,
    problem: Problem,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Problem {
    #[error("{text:?} is no IP address")]
    Address { text: String },
    #[error("{text:?} follows the bracket; only a colon and a port may")]
    AfterBracket { text: String },
    #[error("put brackets around the address: {text}")]
    Brackets { text: String },
    #[error("it is empty; write 192.0.2.1, [2001:db8::1]:53 or ns1.example.com")]
    Empty,
    #[error("{0}")]
    Host(DomainNameError),
    #[error("a port is a number from 1 to 65535")]
    Port,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn problem(text: &str) -> Problem {
        text.parse::<Server>().unwrap_err().problem
    }

    #[test]
    fn every_form_of_an_address_is_read() {
        for (text, server) in [
            (" 192.0.2.1 ", "192.0.2.1:53"),
            ("[2001:db8::1]", "[2001:db8::1]:53"),
            ("2001:db8::1:53", "[2001:db8::1:53]:53"), // an address like any other
            ("64:ff9b::8.8.8.8", "[64:ff9b::808:808]:53"),
            ("[64:ff9b::8.8.8.8]:5353", "[64:ff9b::808:808]:5353"),
            ("fe80::1%2", "[fe80::1%2]:53"),
            ("[fe80::1%2]:5353", "[fe80::1%2]:5353"),
            ("localhost", "localhost:53"),
            ("bücher.example:65535", "xn--bcher-kva.example:65535"),
        ] {
            assert_eq!(text.parse::<Server>().map(|s| s.to_string()).as_deref(), Ok(server), "{text}");
        }
    }

    #[test]
    fn each_mistake_is_named() {
        for text in ["192.0.2.1:0", "192.0.2.1:65536", "ns.example:", "ns.example:dns", "[::1]:0", "a:+53"] {
            assert_eq!(problem(text), Problem::Port, "{text}");
        }
        assert_eq!(problem(""), Problem::Empty);
        assert_eq!(problem("[::1]53"), Problem::AfterBracket { text: "53".into() });
        assert_eq!(problem("192.0.2.256"), Problem::Address { text: "192.0.2.256".into() });
        assert_eq!(problem("[192.0.2.1]:53"), Problem::Address { text: "192.0.2.1".into() });
        assert_eq!(problem("1:2:3"), Problem::Address { text: "1:2:3".into() });
        assert_eq!(
            problem("64:ff9b::8.8.8.8:53"),
            Problem::Brackets { text: "[64:ff9b::8.8.8.8]:53".into() }
        );
        assert!(matches!(problem("a..b"), Problem::Host(_)));
        assert!(matches!(problem("ns1.example.com/53"), Problem::Host(_)));
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_is_read_is_read_again(text in "[\\[\\]0-9a-f:.%]{0,40}|\\PC{0,60}") {
            if let Ok(server) = text.parse::<Server>() {
                prop_assert_eq!(server.to_string().parse::<Server>().unwrap(), server);
            }
        }
    }
}
