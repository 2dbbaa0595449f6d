//! Which redirects a CA follows.
//!
//! RFC 8555 §8.3 lets it follow redirects and says no more. These are the rules of Boulder, Let's Encrypt's CA
//! (`va/http.go`): http and https, to a DNS name, on port 80 or 443, ten at most, none twice, and not after a 303.

use std::net::IpAddr;

use serde::Serialize;
use url::{Host, Url};

use super::answer::shown;

/// The ports that may be redirected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ports {
    pub(super) http: u16,
    pub(super) https: u16,
}

/// Those of the world.
pub(super) const STANDARD: Ports = Ports { http: 80, https: 443 };

/// Why a redirect is not followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RedirectFault {
    /// To an IP address instead of a name.
    Address,
    /// With a user or a password in it.
    Credentials,
    /// To where it came from.
    Loop,
    /// Without a `Location` that is a URL.
    Nowhere,
    /// To a port that CAs do not go to.
    Port(u16),
    /// To something that is neither http nor https.
    Scheme(String),
    /// By a status code that CAs do not follow.
    Status(u16),
    /// More than a CA follows.
    TooMany,
}

/// How many a CA follows.
pub(super) const MOST: usize = 10;
/// A URL that is longer is no redirect but an attack.
const LONGEST: usize = 2000;

/// Whether a status says that the answer is elsewhere.
pub(super) const fn is_redirect(status: u16) -> bool {
    matches!(status, 301 | 302 | 303 | 307 | 308)
}

/// Where a redirect leads, or why it is not followed.
pub(super) fn target(
    visited: &[Url],
    status: u16,
    location: Option<&str>,
    ports: Ports,
) -> Result<Url, RedirectFault> {
    let from = visited.last().ok_or(RedirectFault::Nowhere)?;
    if status == 303 {
        return Err(RedirectFault::Status(status));
    }
    let location = location.filter(|text| text.len() <= LONGEST).ok_or(RedirectFault::Nowhere)?;
    let mut to = from.join(location).map_err(|_| RedirectFault::Nowhere)?;
    to.set_fragment(None);
    if !matches!(to.scheme(), "http" | "https") {
        return Err(RedirectFault::Scheme(shown(to.scheme(), 20)));
    }
    if !to.username().is_empty() || to.password().is_some() {
        return Err(RedirectFault::Credentials);
    }
    match to.host() {
        Some(Host::Domain(name)) if name.parse::<IpAddr>().is_err() => {}
        _ => return Err(RedirectFault::Address),
    }
    let port = to.port_or_known_default().unwrap_or_default();
    if ![80, 443, ports.http, ports.https].contains(&port) {
        return Err(RedirectFault::Port(port));
    }
    if visited.contains(&to) {
        return Err(RedirectFault::Loop);
    }
    if visited.len() > MOST {
        return Err(RedirectFault::TooMany);
    }
    Ok(to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn follow(location: &str) -> Result<String, RedirectFault> {
        let from = Url::parse("http://a.example/.well-known/acme-challenge/token").unwrap();
        target(&[from], 301, Some(location), STANDARD).map(|url| url.to_string())
    }

    #[test]
    fn redirects_are_followed_as_the_largest_ca_follows_them() {
        let other = "https://a.example/.well-known/acme-challenge/token";
        assert_eq!(follow(other).unwrap(), other);
        assert_eq!(follow("/x?y#z").unwrap(), "http://a.example/x?y");
        assert_eq!(follow("//b.example/x").unwrap(), "http://b.example/x");
        assert_eq!(follow("http://b.example:443/x").unwrap(), "http://b.example:443/x");
        for (location, fault) in [
            ("https://a.example:8443/", RedirectFault::Port(8443)),
            ("ftp://a.example/", RedirectFault::Scheme("ftp".to_owned())),
            ("http://192.0.2.1/", RedirectFault::Address),
            ("http://[2001:db8::1]/", RedirectFault::Address),
            ("http://user:secret@a.example/", RedirectFault::Credentials),
            ("http://user@a.example/", RedirectFault::Credentials),
            ("http://:secret@a.example/", RedirectFault::Credentials),
            ("http://a.example/.well-known/acme-challenge/token", RedirectFault::Loop),
            ("#there", RedirectFault::Loop),
            ("http://", RedirectFault::Nowhere),
        ] {
            assert_eq!(follow(location), Err(fault), "{location}");
        }
    }

    #[test]
    fn nor_are_more_than_ten_nor_a_303_nor_one_to_nowhere() {
        let url = |number: usize| Url::parse(&format!("http://a.example/{number}")).unwrap();
        let visited: Vec<Url> = (0..=MOST).map(url).collect();
        assert!(target(&visited[..MOST], 302, Some("/next"), STANDARD).is_ok());
        assert_eq!(target(&visited, 302, Some("/next"), STANDARD), Err(RedirectFault::TooMany));
        assert_eq!(target(&visited[..1], 303, Some("/next"), STANDARD), Err(RedirectFault::Status(303)));
        assert_eq!(target(&visited[..1], 302, None, STANDARD), Err(RedirectFault::Nowhere));
        let long = format!("/{}", "x".repeat(LONGEST));
        assert_eq!(target(&visited[..1], 302, Some(&long), STANDARD), Err(RedirectFault::Nowhere));
    }

    proptest! {
        #[test]
        fn no_location_panics(location in ".{0,60}", status in 300u16..310) {
            let from = Url::parse("http://a.example/").unwrap();
            if let Ok(url) = target(&[from], status, Some(&location), STANDARD) {
                prop_assert!(matches!(url.scheme(), "http" | "https"));
            }
        }
    }
}
