//! `TC3-HMAC-SHA256`, the scheme of Tencent Cloud.
//!
//! Source: Tencent Cloud API, "Signature v3"; of its headers those are signed that Tencent's own libraries sign,
//! `Content-Type` and `Host`.

use bytes::Bytes;
use data_encoding::HEXLOWER;
use http::{Request, header, header::InvalidHeaderValue};
use perennial_core::{SecretString, Timestamp};
use ring::hmac;
use zeroize::Zeroizing;

use super::{CanonicalRequest, hmac_sha256, insert, insert_sensitive};

/// Who signs.
#[derive(Clone)]
#[non_exhaustive]
pub struct Credentials {
    /// The key's identifier, `AKID…`. No secret.
    pub secret_id: String,
    /// The key itself.
    pub secret_key: SecretString,
    /// The token of temporary credentials.
    pub token: Option<SecretString>,
}

impl Credentials {
    /// A key of its own, not a temporary one.
    #[must_use]
    pub fn new(secret_id: impl Into<String>, secret_key: impl Into<SecretString>) -> Self {
        Self { secret_id: secret_id.into(), secret_key: secret_key.into(), token: None }
    }

    /// A temporary key, with its token.
    #[must_use]
    pub fn with_token(mut self, token: impl Into<SecretString>) -> Self {
        self.token = Some(token.into());
        self
    }
}

/// Signs the request for one service, such as `dnspod`: sets `Authorization`, `X-TC-Timestamp` and, for
/// temporary credentials, `X-TC-Token`. The request must have its `Content-Type` already.
///
/// Tencent refuses a signature whose time is more than five minutes from its own.
///
/// ```
/// use perennial_core::Timestamp;
/// use perennial_providers::signature::tc3::{Credentials, sign};
///
/// let mut request = http::Request::post("https://dnspod.tencentcloudapi.com/")
///     .header("content-type", "application/json")
///     .header("x-tc-action", "DescribeRecordList")
///     .header("x-tc-version", "2021-03-23")
///     .body(bytes::Bytes::from_static(br#"{"Domain":"example.com"}"#))?;
/// sign(&mut request, &Credentials::new("AKIDEXAMPLE", "secret"), "dnspod", Timestamp::from_unix(1_800_000_000))?;
///
/// assert_eq!(request.headers()["x-tc-timestamp"], "1800000000");
/// let authorization = request.headers()["authorization"].to_str()?;
/// assert!(authorization.starts_with(
///     "TC3-HMAC-SHA256 Credential=AKIDEXAMPLE/2027-01-15/dnspod/tc3_request, \
///      SignedHeaders=content-type;host, Signature="
/// ));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// When the identifier or the token has a character that no header can carry.
pub fn sign(
    request: &mut Request<Bytes>,
    credentials: &Credentials,
    service: &str,
    now: Timestamp,
) -> Result<(), InvalidHeaderValue> {
    let moment = now.unix().to_string();
    let text = now.to_string();
    let date = text.split('T').next().unwrap_or_default();
    insert(request, "x-tc-timestamp", &moment)?;
    match &credentials.token {
        Some(token) => {
            insert_sensitive(request, header::HeaderName::from_static("x-tc-token"), token.expose())?;
        }
        None => _ = request.headers_mut().remove("x-tc-token"),
    }

    let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
    let canonical = CanonicalRequest::new(request, path, query, |name| SIGNED.contains(&name));
    let scope = format!("{date}/{service}/tc3_request");
    let text = format!("{ALGORITHM}\n{moment}\n{scope}\n{}", canonical.digest);
    let key = signing_key(&credentials.secret_key, date, service);
    let signature = HEXLOWER.encode(hmac_sha256(key.as_ref(), text.as_bytes()).as_ref());
    let authorization = format!(
        "{ALGORITHM} Credential={}/{scope}, SignedHeaders={}, Signature={signature}",
        credentials.secret_id, canonical.signed_headers
    );
    insert_sensitive(request, header::AUTHORIZATION, &authorization)
}

/// A key that is good for one day and service.
fn signing_key(secret: &SecretString, date: &str, service: &str) -> hmac::Tag {
    let secret = Zeroizing::new(format!("TC3{}", secret.expose()));
    let date = hmac_sha256(secret.as_bytes(), date.as_bytes());
    let service = hmac_sha256(date.as_ref(), service.as_bytes());
    hmac_sha256(service.as_ref(), b"tc3_request")
}

const ALGORITHM: &str = "TC3-HMAC-SHA256";

const SIGNED: [&str; 2] = ["content-type", "host"];
