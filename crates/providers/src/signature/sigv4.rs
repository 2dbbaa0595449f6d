//! Signature Version 4, the scheme of AWS and of what is compatible with it.
//!
//! Source: AWS General Reference, "Signature Version 4 signing process"; where it leaves a choice, what botocore
//! does. Request signing by headers only: no presigned URLs, no chunks.

use bytes::Bytes;
use data_encoding::HEXLOWER;
use http::{Request, header, header::InvalidHeaderValue};
use percent_encoding::AsciiSet;
use perennial_core::{SecretString, Timestamp};
use ring::hmac;
use zeroize::Zeroizing;

use super::{
    CanonicalRequest,
    canonical::{UNRESERVED, encode, sorted_query},
    hmac_sha256, insert, insert_sensitive,
};

/// Who signs.
#[derive(Clone)]
#[non_exhaustive]
pub struct Credentials {
    /// The access key's identifier, `AKIA…`, or `ASIA…` for a session. No secret.
    pub access_key_id: String,
    /// The access key itself.
    pub secret_access_key: SecretString,
    /// The token of a session, which AssumeRole and the metadata services hand out with the key.
    pub session_token: Option<SecretString>,
}

impl Credentials {
    /// An access key of its own, without a session.
    #[must_use]
    pub fn new(access_key_id: impl Into<String>, secret_access_key: impl Into<SecretString>) -> Self {
        Self {
            access_key_id: access_key_id.into(),
            secret_access_key: secret_access_key.into(),
            session_token: None,
        }
    }

    /// The key of a session.
    #[must_use]
    pub fn with_session_token(mut self, token: impl Into<SecretString>) -> Self {
        self.session_token = Some(token.into());
        self
    }
}

/// For what a signature is good, besides the day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs)] // The scheme names these two.
pub struct Scope<'a> {
    /// The region that signs, which for a global service is one of its partition: `us-east-1`.
    pub region: &'a str,
    /// The service, as it signs: `route53`, `sts`.
    pub service: &'a str,
}

/// Signs the request: sets `Authorization`, `X-Amz-Date` and, for a session, `X-Amz-Security-Token`.
///
/// AWS refuses a signature whose time is more than five minutes from its own.
///
/// ```
/// use perennial_core::Timestamp;
/// use perennial_providers::signature::sigv4::{Credentials, Scope, sign};
///
/// let mut request = http::Request::get("https://route53.amazonaws.com/2013-04-01/hostedzonesbyname")
///     .body(bytes::Bytes::new())?;
/// let credentials = Credentials::new("AKIAEXAMPLE", "secret");
/// let scope = Scope { region: "us-east-1", service: "route53" };
/// sign(&mut request, &credentials, &scope, Timestamp::from_unix(1_800_000_000))?;
///
/// assert_eq!(request.headers()["x-amz-date"], "20270115T080000Z");
/// let authorization = request.headers()["authorization"].to_str()?;
/// assert!(authorization.starts_with(
///     "AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/20270115/us-east-1/route53/aws4_request, \
///      SignedHeaders=host;x-amz-date, Signature="
/// ));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// When the identifier or the token has a character that no header can carry.
pub fn sign(
    request: &mut Request<Bytes>,
    credentials: &Credentials,
    scope: &Scope<'_>,
    now: Timestamp,
) -> Result<(), InvalidHeaderValue> {
    let moment = now.to_string().replace(['-', ':'], "");
    let date = moment.split('T').next().unwrap_or_default();
    request.headers_mut().remove(header::AUTHORIZATION);
    insert(request, "x-amz-date", &moment)?;
    match &credentials.session_token {
        Some(token) => {
            insert_sensitive(
                request,
                header::HeaderName::from_static("x-amz-security-token"),
                token.expose(),
            )?;
        }
        None => _ = request.headers_mut().remove("x-amz-security-token"),
    }

    let path = encode(normalized(request.uri().path()).as_bytes(), IN_PATH);
    let query = sorted_query(request.uri().query().unwrap_or_default());
    let canonical = CanonicalRequest::new(request, &path, &query, |name| !UNSIGNED.contains(&name));
    let credential_scope = format!("{date}/{}/{}/aws4_request", scope.region, scope.service);
    let text = format!("{ALGORITHM}\n{moment}\n{credential_scope}\n{}", canonical.digest);
    let key = signing_key(&credentials.secret_access_key, date, scope);
    let signature = HEXLOWER.encode(hmac_sha256(key.as_ref(), text.as_bytes()).as_ref());
    let authorization = format!(
        "{ALGORITHM} Credential={}/{credential_scope}, SignedHeaders={}, Signature={signature}",
        credentials.access_key_id, canonical.signed_headers
    );
    insert_sensitive(request, header::AUTHORIZATION, &authorization)
}

/// A key that is good for one day, region and service.
fn signing_key(secret: &SecretString, date: &str, scope: &Scope<'_>) -> hmac::Tag {
    let secret = Zeroizing::new(format!("AWS4{}", secret.expose()));
    let date = hmac_sha256(secret.as_bytes(), date.as_bytes());
    let region = hmac_sha256(date.as_ref(), scope.region.as_bytes());
    let service = hmac_sha256(region.as_ref(), scope.service.as_bytes());
    hmac_sha256(service.as_ref(), b"aws4_request")
}

/// The path without `.`, `..` and empty segments (RFC 3986 §5.2.4, and AWS joins slashes).
fn normalized(path: &str) -> String {
    let mut segments = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => _ = segments.pop(),
            segment => segments.push(segment),
        }
    }
    let end = if path.ends_with('/') && !segments.is_empty() { "/" } else { "" };
    format!("/{}{end}", segments.join("/"))
}

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// The path is encoded a second time on top of its encoding on the wire, as every service but S3 wants it.
const IN_PATH: &AsciiSet = &UNRESERVED.remove(b'/');

/// Headers that clients and proxies add or change after the signature was made.
const UNSIGNED: [&str; 4] = ["expect", "transfer-encoding", "user-agent", "x-amzn-trace-id"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_loses_what_does_not_lead_anywhere() {
        for (path, expected) in [
            ("/", "/"),
            ("", "/"),
            ("/a/b", "/a/b"),
            ("/a//b/", "/a/b/"),
            ("/a/./b/../c", "/a/c"),
            ("/../..", "/"),
            ("/a/..", "/"),
        ] {
            assert_eq!(normalized(path), expected, "{path}");
        }
    }

    #[test]
    fn a_second_attempt_leaves_nothing_of_the_first() {
        let mut request = Request::get("https://route53.amazonaws.com/").body(Bytes::new()).unwrap();
        let scope = Scope { region: "us-east-1", service: "route53" };
        let session = Credentials::new("ASIAEXAMPLE", "secret").with_session_token("token");
        sign(&mut request, &session, &scope, Timestamp::from_unix(1_800_000_000)).unwrap();
        let later = Timestamp::from_unix(1_800_000_060);
        let plain = Credentials::new("AKIAEXAMPLE", "secret");
        sign(&mut request, &plain, &scope, later).unwrap();
        let mut fresh = Request::get("https://route53.amazonaws.com/").body(Bytes::new()).unwrap();
        sign(&mut fresh, &plain, &scope, later).unwrap();
        assert_eq!(request.headers(), fresh.headers());
    }

    #[test]
    fn a_line_break_in_an_identifier_is_refused_and_the_signature_is_kept_from_debug() {
        let mut request = Request::get("https://route53.amazonaws.com/").body(Bytes::new()).unwrap();
        let scope = Scope { region: "us-east-1", service: "route53" };
        let now = Timestamp::from_unix(1_800_000_000);
        assert!(sign(&mut request, &Credentials::new("AKIA\n", "secret"), &scope, now).is_err());
        sign(&mut request, &Credentials::new("AKIAEXAMPLE", "secret"), &scope, now).unwrap();
        assert!(!format!("{request:?}").contains("Signature="));
    }
}
