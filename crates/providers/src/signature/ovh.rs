//! The scheme of OVHcloud: `$1$` and a SHA-1 over the request and both secrets.
//!
//! Source: OVHcloud, "First steps with the API"; checked against OVHcloud's python-ovh. SHA-1 is the vendor's
//! choice and its only one; who prefers better uses OAuth 2.

use bytes::Bytes;
use data_encoding::HEXLOWER;
use http::{HeaderName, Request, header::InvalidHeaderValue};
use perennial_core::{SecretString, Timestamp};
use ring::digest;

use super::{insert, insert_sensitive};

/// Who signs: a program, and the person who let it act.
#[derive(Clone)]
#[non_exhaustive]
pub struct Credentials {
    /// Which program. No secret.
    pub application_key: String,
    /// The program's secret.
    pub application_secret: SecretString,
    /// The person's consent, which names the paths that the program may use.
    pub consumer_key: SecretString,
}

impl Credentials {
    /// From the three texts that `https://eu.api.ovh.com/createToken/` shows.
    #[must_use]
    pub fn new(
        application_key: impl Into<String>,
        application_secret: impl Into<SecretString>,
        consumer_key: impl Into<SecretString>,
    ) -> Self {
        Self {
            application_key: application_key.into(),
            application_secret: application_secret.into(),
            consumer_key: consumer_key.into(),
        }
    }
}

/// Signs the request: sets `X-Ovh-Application`, `X-Ovh-Consumer`, `X-Ovh-Timestamp` and `X-Ovh-Signature`.
///
/// `now` is OVHcloud's time (`GET /auth/time`), not ours: it refuses a signature with another.
///
/// ```
/// use perennial_core::Timestamp;
/// use perennial_providers::signature::ovh::{Credentials, sign};
///
/// let mut request = http::Request::get("https://eu.api.ovh.com/1.0/domain/zone").body(bytes::Bytes::new())?;
/// let credentials = Credentials::new("application", "secret", "consumer");
/// sign(&mut request, &credentials, Timestamp::from_unix(1_800_000_000))?;
///
/// assert_eq!(request.headers()["x-ovh-timestamp"], "1800000000");
/// assert!(request.headers()["x-ovh-signature"].to_str()?.starts_with("$1$"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// When one of the keys has a character that no header can carry.
pub fn sign(
    request: &mut Request<Bytes>,
    credentials: &Credentials,
    now: Timestamp,
) -> Result<(), InvalidHeaderValue> {
    let Credentials { application_key, application_secret, consumer_key } = credentials;
    let moment = now.unix().to_string();
    let mut digest = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    for part in [application_secret.expose(), consumer_key.expose(), request.method().as_str()] {
        digest.update(part.as_bytes());
        digest.update(b"+");
    }
    digest.update(request.uri().to_string().as_bytes());
    digest.update(b"+");
    digest.update(request.body());
    digest.update(b"+");
    digest.update(moment.as_bytes());
    let signature = format!("$1${}", HEXLOWER.encode(digest.finish().as_ref()));

    insert(request, "x-ovh-application", application_key)?;
    insert(request, "x-ovh-timestamp", &moment)?;
    insert_sensitive(request, HeaderName::from_static("x-ovh-consumer"), consumer_key.expose())?;
    insert_sensitive(request, HeaderName::from_static("x-ovh-signature"), &signature)
}
