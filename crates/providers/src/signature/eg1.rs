//! `EG1-HMAC-SHA256`, EdgeGrid: the scheme of Akamai.
//!
//! Source: Akamai, "EdgeGrid authentication"; where it leaves a choice, what Akamai's edgegrid-python does. No
//! header is signed: Edge DNS names none that must be.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{Method, Request, header, header::InvalidHeaderValue};
use perennial_core::{SecretString, Timestamp};
use zeroize::Zeroizing;

use super::{hmac_sha256, host, insert_sensitive, sha256};

/// Who signs: the three texts that an API client of Akamai's Control Center has beside its host.
#[derive(Clone)]
#[non_exhaustive]
pub struct Credentials {
    /// `akab-…`, the client's token.
    pub client_token: SecretString,
    /// The client's secret.
    pub client_secret: SecretString,
    /// `akab-…`, the token that says what the client may do.
    pub access_token: SecretString,
}

impl Credentials {
    /// From the three texts of an `.edgerc` file.
    #[must_use]
    pub fn new(
        client_token: impl Into<SecretString>,
        client_secret: impl Into<SecretString>,
        access_token: impl Into<SecretString>,
    ) -> Self {
        Self {
            client_token: client_token.into(),
            client_secret: client_secret.into(),
            access_token: access_token.into(),
        }
    }
}

/// Signs the request: sets `Authorization`.
///
/// `nonce` is any text that was not used before, such as a UUID. Akamai refuses a request whose time is more than
/// 30 seconds from its own.
///
/// ```
/// use perennial_core::Timestamp;
/// use perennial_providers::signature::eg1::{Credentials, sign};
///
/// let mut request = http::Request::get("https://akab-example.luna.akamaiapis.net/config-dns/v2/zones")
///     .body(bytes::Bytes::new())?;
/// let credentials = Credentials::new("akab-client", "secret", "akab-access");
/// let nonce = "7dfbcca6-9de1-4c1e-8b1c-5d8e4a2f9b3a";
/// sign(&mut request, &credentials, nonce, Timestamp::from_unix(1_800_000_000))?;
///
/// let authorization = request.headers()["authorization"].to_str()?;
/// assert!(authorization.starts_with(
///     "EG1-HMAC-SHA256 client_token=akab-client;access_token=akab-access;\
///      timestamp=20270115T08:00:00+0000;nonce=7dfbcca6-9de1-4c1e-8b1c-5d8e4a2f9b3a;signature="
/// ));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// When a token or the nonce has a character that no header can carry.
pub fn sign(
    request: &mut Request<Bytes>,
    credentials: &Credentials,
    nonce: &str,
    now: Timestamp,
) -> Result<(), InvalidHeaderValue> {
    let moment = now.to_string().replace('-', "").replace('Z', "+0000");
    let Credentials { client_token, client_secret, access_token } = credentials;
    let unsigned = Zeroizing::new(format!(
        "EG1-HMAC-SHA256 client_token={};access_token={};timestamp={moment};nonce={nonce};",
        client_token.expose(),
        access_token.expose()
    ));
    let uri = request.uri();
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let signed_headers = "";
    let text = Zeroizing::new(
        [
            request.method().as_str(),
            uri.scheme_str().unwrap_or("https"),
            &host(uri),
            target,
            signed_headers,
            &content_digest(request),
            &unsigned,
        ]
        .join("\t"),
    );
    let key = BASE64_STANDARD.encode(hmac_sha256(client_secret.expose().as_bytes(), moment.as_bytes()));
    let signature = BASE64_STANDARD.encode(hmac_sha256(key.as_bytes(), text.as_bytes()));
    insert_sensitive(request, header::AUTHORIZATION, &format!("{}signature={signature}", *unsigned))
}

/// Of the methods with a body only POST has it signed, and of that the beginning.
fn content_digest(request: &Request<Bytes>) -> String {
    let body = request.body();
    if request.method() != Method::POST || body.is_empty() {
        return String::new();
    }
    BASE64_STANDARD.encode(sha256(body.get(..MAX_BODY).unwrap_or(body)))
}

/// How much of a body is signed, in bytes: `max-body` of an `.edgerc` file, which Akamai sets to this for all.
const MAX_BODY: usize = 131_072;
