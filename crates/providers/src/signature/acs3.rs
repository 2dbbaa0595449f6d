//! `ACS3-HMAC-SHA256`, the scheme of Alibaba Cloud.
//!
//! Source: Alibaba Cloud SDK, "Request syntax and signature method V3".

use bytes::Bytes;
use data_encoding::HEXLOWER;
use http::{Request, header, header::InvalidHeaderValue};
use perennial_core::{SecretString, Timestamp};

use super::{
    CanonicalRequest,
    canonical::{payload_digest, sorted_query},
    hmac_sha256, insert, insert_sensitive,
};

/// Who signs.
#[derive(Clone)]
#[non_exhaustive]
pub struct Credentials {
    /// The access key's identifier, `LTAI…`, or `STS.…` for a session. No secret.
    pub access_key_id: String,
    /// The access key itself.
    pub access_key_secret: SecretString,
    /// The token of a session.
    pub security_token: Option<SecretString>,
}

impl Credentials {
    /// An access key of its own, without a session.
    #[must_use]
    pub fn new(access_key_id: impl Into<String>, access_key_secret: impl Into<SecretString>) -> Self {
        Self {
            access_key_id: access_key_id.into(),
            access_key_secret: access_key_secret.into(),
            security_token: None,
        }
    }

    /// The key of a session, with its token.
    #[must_use]
    pub fn with_security_token(mut self, token: impl Into<SecretString>) -> Self {
        self.security_token = Some(token.into());
        self
    }
}

/// Signs the request: sets `Authorization`, `x-acs-date`, `x-acs-signature-nonce`, `x-acs-content-sha256` and,
/// for a session, `x-acs-security-token`. The request must have `x-acs-action` and `x-acs-version` already.
///
/// `nonce` is any text that was not used within the last 15 minutes; Alibaba refuses a second request with it,
/// and one whose time is more than 15 minutes from its own.
///
/// ```
/// use perennial_core::Timestamp;
/// use perennial_providers::signature::acs3::{Credentials, sign};
///
/// let mut request = http::Request::post("https://alidns.aliyuncs.com/?SubDomain=www.example.com")
///     .header("x-acs-action", "DescribeSubDomainRecords")
///     .header("x-acs-version", "2015-01-09")
///     .body(bytes::Bytes::new())?;
/// let now = Timestamp::from_unix(1_800_000_000);
/// sign(&mut request, &Credentials::new("LTAIEXAMPLE", "secret"), "3156853299f313e23d1673dc12e1703d", now)?;
///
/// assert_eq!(request.headers()["x-acs-date"], "2027-01-15T08:00:00Z");
/// let authorization = request.headers()["authorization"].to_str()?;
/// assert!(authorization.starts_with(
///     "ACS3-HMAC-SHA256 Credential=LTAIEXAMPLE,SignedHeaders=host;x-acs-action;x-acs-content-sha256;\
///      x-acs-date;x-acs-signature-nonce;x-acs-version,Signature="
/// ));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// When the identifier, the token or the nonce has a character that no header can carry.
pub fn sign(
    request: &mut Request<Bytes>,
    credentials: &Credentials,
    nonce: &str,
    now: Timestamp,
) -> Result<(), InvalidHeaderValue> {
    insert(request, "x-acs-date", &now.to_string())?;
    insert(request, "x-acs-signature-nonce", nonce)?;
    let payload = payload_digest(request);
    insert(request, "x-acs-content-sha256", &payload)?;
    match &credentials.security_token {
        Some(token) => {
            insert_sensitive(
                request,
                header::HeaderName::from_static("x-acs-security-token"),
                token.expose(),
            )?;
        }
        None => _ = request.headers_mut().remove("x-acs-security-token"),
    }

    let query = sorted_query(request.uri().query().unwrap_or_default());
    let canonical = CanonicalRequest::new(request, request.uri().path(), &query, is_signed);
    let text = format!("{ALGORITHM}\n{}", canonical.digest);
    let key = credentials.access_key_secret.expose().as_bytes();
    let signature = HEXLOWER.encode(hmac_sha256(key, text.as_bytes()).as_ref());
    let authorization = format!(
        "{ALGORITHM} Credential={},SignedHeaders={},Signature={signature}",
        credentials.access_key_id, canonical.signed_headers
    );
    insert_sensitive(request, header::AUTHORIZATION, &authorization)
}

/// Every header that Alibaba knows must be signed when it is there.
fn is_signed(name: &str) -> bool {
    name.starts_with("x-acs-") || name == "host" || name == "content-type"
}

const ALGORITHM: &str = "ACS3-HMAC-SHA256";
