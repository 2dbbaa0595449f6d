//! Whether a request is signed with Signature Version 4, as AWS's own documentation has it.

use bytes::Bytes;
use data_encoding::HEXLOWER;
use http::Request;
use perennial_core::{Clock as _, SystemClock};
use ring::{digest, hmac};

/// An access key, as an account has it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AwsKey {
    /// `AKIA…`.
    pub id: String,
    /// The secret.
    pub secret: String,
    /// What a session has besides.
    pub session_token: Option<String>,
}

/// The code and the message of a refusal.
type Refusal = (&'static str, &'static str);

impl AwsKey {
    /// A key without a session.
    #[must_use]
    pub fn new(id: &str, secret: &str) -> Self {
        Self { id: id.to_owned(), secret: secret.to_owned(), session_token: None }
    }

    /// A key of a session.
    #[must_use]
    pub fn with_session_token(mut self, token: &str) -> Self {
        self.session_token = Some(token.to_owned());
        self
    }

    /// Whether the request is signed with this key, for this service, now.
    pub(super) fn verify(
        &self,
        request: &Request<Bytes>,
        region: &str,
        service: &str,
    ) -> Result<(), Refusal> {
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
        let none = ("MissingAuthenticationToken", "Missing Authentication Token");
        let shape =
            ("IncompleteSignature", "Authorization header requires Credential, SignedHeaders and Signature.");
        let fields = header("authorization").ok_or(none)?.strip_prefix("AWS4-HMAC-SHA256 ").ok_or(shape)?;
        let field = |name: &str| {
            fields.split(", ").find_map(|field| field.strip_prefix(name)?.strip_prefix('=')).ok_or(shape)
        };
        let (credential, signed, signature) =
            (field("Credential")?, field("SignedHeaders")?, field("Signature")?);
        let (id, scope) = credential.split_once('/').ok_or(shape)?;
        if id != self.id || header("x-amz-security-token") != self.session_token.as_deref() {
            return Err(("InvalidClientTokenId", "The security token included in the request is invalid."));
        }
        let moment = header("x-amz-date").ok_or(shape)?;
        let date = moment.split('T').next().unwrap_or_default();
        if scope != format!("{date}/{region}/{service}/aws4_request") {
            return Err((
                "SignatureDoesNotMatch",
                "Credential should be scoped to a valid region and service.",
            ));
        }
        if !is_now(moment) {
            return Err(("SignatureDoesNotMatch", "Signature expired: it is not near the time."));
        }
        let canonical = canonical(request, signed);
        let hashed = HEXLOWER.encode(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
        let text = format!("AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashed}");
        let mut key = format!("AWS4{}", self.secret).into_bytes();
        for part in [date, region, service, "aws4_request", &text] {
            let mac = hmac::Key::new(hmac::HMAC_SHA256, &key);
            key = hmac::sign(&mac, part.as_bytes()).as_ref().to_vec();
        }
        if HEXLOWER.encode(&key) != signature {
            let message = "The request signature we calculated does not match the signature you provided.";
            return Err(("SignatureDoesNotMatch", message));
        }
        Ok(())
    }
}

fn canonical(request: &Request<Bytes>, signed: &str) -> String {
    // Every path and query that a client of Route 53 sends is in its canonical form but for the order of the query
    // and the second encoding of what is encoded in the path.
    let path = request.uri().path().replace('%', "%25");
    let mut query: Vec<_> = request.uri().query().unwrap_or_default().split('&').collect();
    query.sort_unstable();
    let headers: String = signed
        .split(';')
        .map(|name| {
            let values = request.headers().get_all(name).iter();
            let values: Vec<_> = values.map(|value| value.to_str().unwrap_or_default().trim()).collect();
            format!("{name}:{}\n", values.join(","))
        })
        .collect();
    let body = HEXLOWER.encode(digest::digest(&digest::SHA256, request.body()).as_ref());
    format!("{}\n{path}\n{}\n{headers}\n{signed}\n{body}", request.method(), query.join("&"))
}

/// `20270115T080000Z`, within an hour of now: AWS allows five minutes, and the clocks of tests skip some.
fn is_now(moment: &str) -> bool {
    let part = |from: usize, to: usize| moment.get(from..to).unwrap_or_default();
    let text = format!(
        "{}-{}-{}T{}:{}:{}Z",
        part(0, 4),
        part(4, 6),
        part(6, 8),
        part(9, 11),
        part(11, 13),
        part(13, 15)
    );
    let now = SystemClock::new().now();
    let limit = std::time::Duration::from_secs(3600);
    text.parse().is_ok_and(|then| now.since(then) <= limit && now.until(then) <= limit)
}
