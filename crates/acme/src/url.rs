//! The URLs of an ACME server (RFC 8555 §6.1, §7.1) and which of them are trusted.
//!
//! Every URL but the first comes from the server, and the signature of a request covers its URL
//! (RFC 8555 §6.4). So each is read into a [`Url`] once, and checked against a [`UrlPolicy`] before anything
//! is sent to it.

use std::{borrow::Cow, fmt, str::FromStr, sync::Arc};

use http::Uri;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::text::printable;

/// An absolute `http` or `https` URL of an ACME resource, in the form in which it is signed.
///
/// Cloning is cheap. Whether it is trusted is [`UrlPolicy`]'s question.
///
/// ```
/// use perennial_acme::Url;
///
/// let order: Url = "https://ca.example/acme/order/7".parse()?;
/// assert_eq!(order.as_str(), "https://ca.example/acme/order/7");
/// assert!("ca.example/order/7".parse::<Url>().is_err());
/// # Ok::<(), perennial_acme::UrlFault>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Url(Arc<str>);

impl Url {
    /// Reads a URL.
    ///
    /// # Errors
    /// [`UrlFault`] when it is not absolute, has another scheme, carries a user name or a fragment, or is
    /// longer than 2048 characters.
    pub fn parse(text: &str) -> Result<Self, UrlFault> {
        if text.len() > MAX_URL {
            return Err(UrlFault::TooLong { length: text.len() });
        }
        if is_plain(text) {
            return Ok(Self(text.into()));
        }
        if text.contains('#') {
            return Err(UrlFault::Malformed);
        }
        let uri: Uri = text.parse().map_err(|_| UrlFault::Malformed)?;
        let authority = uri.authority().ok_or(UrlFault::Malformed)?;
        let scheme = uri.scheme_str().unwrap_or_default();
        if !matches!(scheme, "http" | "https") || authority.host().is_empty() {
            return Err(UrlFault::Malformed);
        }
        if authority.as_str().contains('@') {
            return Err(UrlFault::Credentials);
        }
        Ok(Self(uri.to_string().into()))
    }

    /// The URL as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The URL as `http` knows it.
    pub(crate) fn to_uri(&self) -> Result<Uri, UrlFault> {
        self.0.parse().map_err(|_| UrlFault::Malformed)
    }

    /// A reference from a header of an answer of this URL: absolute, or a path on the same origin
    /// (RFC 9110 §10.2.2).
    pub(crate) fn join(&self, reference: &str) -> Result<Self, UrlFault> {
        if !reference.starts_with('/') || reference.starts_with("//") {
            return Self::parse(reference);
        }
        Self::parse(&format!("{}{reference}", self.site()))
    }

    /// The part before the path, as the server wrote it.
    fn site(&self) -> &str {
        let authority = if self.0.starts_with("https") { "https://".len() } else { "http://".len() };
        let path = self.0.get(authority..).and_then(|rest| rest.find('/'));
        path.and_then(|path| self.0.get(..authority + path)).unwrap_or(&self.0)
    }

    /// A resource below this one, by the segment of its path: with one slash between, whether this URL ends in
    /// one or not, and before a query if there is one. The segment has to be fit for a path.
    pub(crate) fn below(&self, segment: &str) -> Result<Self, UrlFault> {
        let (path, query) =
            self.0.split_once('?').map_or((&*self.0, None), |(path, query)| (path, Some(query)));
        let path = path.strip_suffix('/').unwrap_or(path);
        match query {
            Some(query) => Self::parse(&format!("{path}/{segment}?{query}")),
            None => Self::parse(&format!("{path}/{segment}")),
        }
    }

    /// Scheme, host and port: what RFC 6454 §4 calls the origin.
    fn origin(&self) -> Option<(String, String, u16)> {
        let uri = self.to_uri().ok()?;
        let scheme = uri.scheme_str()?.to_owned();
        let port = uri.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
        Some((scheme, uri.host()?.to_ascii_lowercase(), port))
    }
}

/// Whether it can stay as it is, since `http` would take it and write it again the same: nearly all that
/// servers write can. `https`, a host in lower case without a port, and a path of unreserved characters
/// (RFC 3986 §2.3).
fn is_plain(text: &str) -> bool {
    let Some((host, path)) = text.strip_prefix("https://").and_then(|rest| rest.split_once('/')) else {
        return false;
    };
    let names = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    let walks = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'/' | b'_' | b'~');
    !host.is_empty() && host.bytes().all(names) && path.bytes().all(walks)
}

/// Far above what servers use, and what common HTTP servers still take in a request line.
const MAX_URL: usize = 2048;

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl AsRef<str> for Url {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl FromStr for Url {
    type Err = UrlFault;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl Serialize for Url {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Url {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(|fault| D::Error::custom(format!("{:?}: {fault}", shown(&text))))
    }
}

/// Which URLs a server may send us to.
///
/// The default is `https` on the directory's own origin: a directory that was tampered with can then not
/// make us send signed requests, or any at all, elsewhere. All CAs we know keep to one host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UrlPolicy {
    insecure: bool,
    any_origin: bool,
}

impl UrlPolicy {
    /// `https` and the directory's origin only.
    #[must_use]
    pub const fn strict() -> Self {
        Self { insecure: false, any_origin: false }
    }

    /// Lets URLs lead to other hosts or ports, for a CA that spreads its resources over several.
    #[must_use]
    pub const fn allow_any_origin(mut self) -> Self {
        self.any_origin = true;
        self
    }

    /// Lets plain `http` pass. **For tests on loopback only**: whoever sits on the wire can then swap tokens,
    /// nonces and certificates.
    #[must_use]
    pub const fn dangerous_allow_http(mut self) -> Self {
        self.insecure = true;
        self
    }

    /// Whether a server whose directory is at `home` may send us to `url`.
    ///
    /// # Errors
    /// [`UrlFault::Insecure`] or [`UrlFault::OtherOrigin`].
    pub fn check(self, url: &Url, home: &Url) -> Result<(), UrlFault> {
        if !self.insecure && !url.as_str().starts_with("https://") {
            return Err(UrlFault::Insecure);
        }
        // What is written alike is alike; reading both costs more than all the rest of a request's checks.
        let same_site = || {
            let path = url.as_str().strip_prefix(home.site());
            path.is_some_and(|path| path.starts_with('/')) || url.origin() == home.origin()
        };
        if !self.any_origin && !same_site() {
            return Err(UrlFault::OtherOrigin { home: home.to_string() });
        }
        Ok(())
    }
}

/// What is wrong with a URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlFault {
    /// It carries a user name or password.
    #[error("it carries a user name, which no ACME URL does")]
    Credentials,
    /// Plain `http`.
    #[error("only https is allowed (RFC 8555 §6.1)")]
    Insecure,
    /// No absolute `http` or `https` URL without fragment.
    #[error("it is not an absolute http or https URL without fragment")]
    Malformed,
    /// Another host, port or scheme than the directory's.
    #[error(
        "it leaves the origin of the directory {home}; if this CA uses several hosts, allow any origin when \
         building the client"
    )]
    OtherOrigin {
        /// The directory's URL.
        home: String,
    },
    /// Too long to be honest.
    #[error("it has {length} characters, {MAX_URL} is the most")]
    TooLong {
        /// How long it is.
        length: usize,
    },
}

/// A URL of the wire for an error's text: short and without control characters, whatever it was.
pub(crate) fn shown(text: &str) -> String {
    printable(text, 200)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn relative_user_and_other_schemes_are_refused() {
        for text in ["", "/acme", "ca.example/acme", "ftp://ca.example/", "file:///etc/passwd", "https://"] {
            assert_eq!(Url::parse(text), Err(UrlFault::Malformed), "{text}");
        }
        assert_eq!(Url::parse("https://u:p@ca.example/"), Err(UrlFault::Credentials));
        assert_eq!(Url::parse("https://ca.example/#x"), Err(UrlFault::Malformed));
        let long = format!("https://ca.example/{}", "a".repeat(3000));
        assert_eq!(Url::parse(&long), Err(UrlFault::TooLong { length: 3019 }));
    }

    #[test]
    fn a_url_has_one_form_however_it_was_written() {
        for (text, form) in [
            ("HTTPS://ca.example/x", "https://ca.example/x"),
            ("https://ca.example", "https://ca.example/"),
            ("https://ca.example?x=1", "https://ca.example/?x=1"),
            ("https://ca.example/x?y=/z", "https://ca.example/x?y=/z"),
        ] {
            assert_eq!(url(text).as_str(), form);
        }
    }

    #[test]
    fn the_default_port_is_the_same_origin_and_another_port_is_not() {
        let home = url("https://ca.example/dir");
        let policy = UrlPolicy::strict();
        assert_eq!(policy.check(&url("https://CA.example:443/order"), &home), Ok(()));
        let other = UrlFault::OtherOrigin { home: home.to_string() };
        assert_eq!(policy.check(&url("https://ca.example:14000/order"), &home), Err(other.clone()));
        assert_eq!(policy.check(&url("https://evil.example/order"), &home), Err(other));
        assert_eq!(policy.allow_any_origin().check(&url("https://cdn.example/x"), &home), Ok(()));
    }

    #[test]
    fn http_needs_the_test_switch_even_at_home() {
        let home = url("http://127.0.0.1:14000/dir");
        assert_eq!(UrlPolicy::strict().check(&home, &home), Err(UrlFault::Insecure));
        assert_eq!(UrlPolicy::strict().dangerous_allow_http().check(&home, &home), Ok(()));
    }

    #[test]
    fn a_path_is_read_against_the_url_it_came_from() {
        let here = url("https://ca.example:8443/acme/new-order?x=1");
        assert_eq!(here.join("/acme/order/7").unwrap().as_str(), "https://ca.example:8443/acme/order/7");
        assert_eq!(here.join("https://ca.example/o").unwrap().as_str(), "https://ca.example/o");
        assert!(here.join("//evil.example/o").is_err());
        assert!(here.join("order/7").is_err());
    }

    #[test]
    fn a_resource_below_another_has_one_slash_before_its_name() {
        let below = |text| url(text).below("aYhb.AIdl").unwrap().to_string();
        assert_eq!(below("https://ca.example/renewal-info"), "https://ca.example/renewal-info/aYhb.AIdl");
        assert_eq!(below("https://ca.example/renewal-info/"), "https://ca.example/renewal-info/aYhb.AIdl");
        assert_eq!(below("https://ca.example"), "https://ca.example/aYhb.AIdl");
        assert_eq!(below("https://ca.example/ari?tenant=1"), "https://ca.example/ari/aYhb.AIdl?tenant=1");
        let long = "a".repeat(MAX_URL);
        assert_eq!(url("https://ca.example/").below(&long), Err(UrlFault::TooLong { length: 2067 }));
    }

    proptest! {
        #[test]
        fn what_is_plain_is_what_would_be_written_again_the_same(
            text in prop_oneof![
                "https://[a-z0-9.-]{0,8}(:80|u@|Z)?/[A-Za-z0-9/._~-]{0,12}[#?%:@A]?",
                "https:/{0,3}[a-z.-]{0,6}/?[ -~]{0,8}",
            ],
        ) {
            if is_plain(&text) {
                let uri: Uri = text.parse().unwrap();
                prop_assert_eq!(uri.to_string(), &*text);
                let authority = uri.authority().unwrap();
                prop_assert!(!authority.host().is_empty() && authority.as_str() == authority.host());
                prop_assert!(uri.query().is_none() && !text.contains('#'));
            }
        }

        #[test]
        fn no_text_panics_and_what_parses_is_stable(
            text in "(https?://)?[ -~]{0,30}|.{0,30}",
            reference in "/?/?[ -~]{0,30}",
        ) {
            if let Ok(url) = Url::parse(&text) {
                prop_assert_eq!(Url::parse(url.as_str()), Ok(url.clone()));
                prop_assert_eq!(url.as_str(), text.parse::<Uri>().unwrap().to_string());
                prop_assert!(url.to_uri().is_ok());
                if let Ok(joined) = url.join(&reference) {
                    prop_assert!(!reference.starts_with('/') || joined.origin() == url.origin());
                }
            }
        }
    }
}
