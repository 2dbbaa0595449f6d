//! Problem documents (RFC 7807, RFC 8555 §6.7): what a server says when it refuses, or when a validation
//! failed.

use std::fmt;

use http::{HeaderMap, StatusCode, header::LOCATION};
use perennial_core::{Retry, Timestamp};

use crate::{
    Identifier, Misbehaved, Url,
    json::{Json, Object},
    link,
    open_enum::open_enum,
    retry_after,
    text::printable,
};

open_enum! {
    /// The type of a problem, without the `urn:ietf:params:acme:error:` in front.
    ///
    /// Those of RFC 8555 §6.7, of STAR (RFC 8739 §6.3), of ARI (RFC 9773 §7.4), of onion services (RFC 9799
    /// §7.2) and of profiles; the registry is open. A type outside that name space is kept whole.
    pub enum ProblemType {
        /// The account does not exist.
        AccountDoesNotExist => "accountDoesNotExist",
        /// The certificate that an order `replaces` has been replaced already.
        AlreadyReplaced => "alreadyReplaced",
        /// The certificate has been revoked already.
        AlreadyRevoked => "alreadyRevoked",
        /// An order that is not `valid` was to be canceled.
        AutoRenewalCancellationInvalid => "autoRenewalCancellationInvalid",
        /// There are no more certificates: the order was canceled.
        AutoRenewalCanceled => "autoRenewalCanceled",
        /// There are no more certificates: the order's end has come.
        AutoRenewalExpired => "autoRenewalExpired",
        /// A certificate that renews itself is canceled, not revoked.
        AutoRenewalRevocationNotSupported => "autoRenewalRevocationNotSupported",
        /// The certificate signing request is unacceptable.
        BadCsr => "badCSR",
        /// The nonce is unknown or was used.
        BadNonce => "badNonce",
        /// The public key is not supported.
        BadPublicKey => "badPublicKey",
        /// The reason for revocation is not allowed.
        BadRevocationReason => "badRevocationReason",
        /// The signature algorithm is not supported.
        BadSignatureAlgorithm => "badSignatureAlgorithm",
        /// CAA records forbid this CA to issue.
        Caa => "caa",
        /// The subproblems tell what is wrong.
        Compound => "compound",
        /// The server could not connect for validation.
        Connection => "connection",
        /// A DNS query failed during validation.
        Dns => "dns",
        /// The request needs an external account.
        ExternalAccountRequired => "externalAccountRequired",
        /// The response to a challenge is not the expected one.
        IncorrectResponse => "incorrectResponse",
        /// A contact is invalid.
        InvalidContact => "invalidContact",
        /// The profile is not offered.
        InvalidProfile => "invalidProfile",
        /// The request is malformed.
        Malformed => "malformed",
        /// The CA wants the CAA records of an onion service with the request to finalize.
        OnionCaaRequired => "onionCAARequired",
        /// An order that is not ready was to be finalized.
        OrderNotReady => "orderNotReady",
        /// Too many requests.
        RateLimited => "rateLimited",
        /// The server does not issue for this identifier.
        RejectedIdentifier => "rejectedIdentifier",
        /// The server failed.
        ServerInternal => "serverInternal",
        /// A TLS error during validation.
        Tls => "tls",
        /// The account may not do this; also a validation that found the wrong thing.
        Unauthorized => "unauthorized",
        /// The scheme of a contact is not supported.
        UnsupportedContact => "unsupportedContact",
        /// The type of an identifier is not supported.
        UnsupportedIdentifier => "unsupportedIdentifier",
        /// Somebody has to visit the `instance` URL.
        UserActionRequired => "userActionRequired",
    }
}

impl ProblemType {
    fn read(uri: &str) -> Self {
        Self::from(uri.strip_prefix("urn:ietf:params:acme:error:").unwrap_or(uri))
    }
}

/// What a server says is wrong.
///
/// Its texts are fit to be shown: without control characters and bounded in length.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// What kind of problem; `about:blank` when the server did not say (RFC 7807 §4.2).
    pub kind: ProblemType,
    /// The explanation for humans, at most 1024 characters.
    pub detail: Option<String>,
    /// The HTTP status, of the answer itself or as the document has it.
    pub status: Option<u16>,
    /// Whom it is about; in subproblems only (RFC 8555 §6.7.1).
    pub identifier: Option<Identifier>,
    /// One for each identifier that has its own problem, at most 100.
    pub subproblems: Vec<Self>,
    /// Where to read more, or what to visit (`userActionRequired`, RFC 8555 §7.3.3).
    pub instance: Option<Url>,
    /// The terms that have to be agreed to (`Link` with relation `terms-of-service`).
    pub terms_of_service: Option<String>,
    /// The account that the new key of a key change has already: `Location` of a 409 (RFC 8555 §7.3.5).
    pub location: Option<String>,
    /// The algorithms that the server takes, after `badSignatureAlgorithm` (RFC 8555 §6.2).
    pub algorithms: Vec<String>,
    /// When the request may come again: `Retry-After`, at most a week away.
    pub retry_at: Option<Timestamp>,
    /// Where a paused account is let go again, read before `detail` was cut.
    unpause: Option<Url>,
}

/// A limit that a request ran into: the request may come again, unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RateLimit {
    /// When it may come again, at most a week away; `None` when the server does not say.
    pub retry_at: Option<Timestamp>,
}

impl Problem {
    /// Reads a problem document.
    ///
    /// # Errors
    /// [`Misbehaved::Body`] when it is no JSON object. Everything else is forgiven.
    pub fn parse(body: &[u8]) -> Result<Self, Misbehaved> {
        Ok(Self::from_object(&Object::parse("problem", body)?, 0))
    }

    /// Reads the answer with that status as a problem, whatever its body is: a load balancer's page is
    /// `about:blank`, and none of its text is kept.
    pub(crate) fn from_answer(status: StatusCode, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Self {
        let mut problem = Self::parse(body).unwrap_or_else(|_| Self::blank());
        problem.status = Some(status.as_u16());
        problem.retry_at = retry_after::read(headers, now, retry_after::REFUSAL_BOUNDS);
        problem.location = headers
            .get(LOCATION)
            .filter(|_| status == StatusCode::CONFLICT)
            .and_then(|value| value.to_str().ok())
            .map(|text| printable(text, 300));
        problem.terms_of_service =
            link::references(headers, "terms-of-service").next().map(|text| printable(&text, 300));
        problem
    }

    /// A problem inside a resource: an order's or a challenge's `error`.
    pub(crate) fn inner(value: Option<&Json<'_>>) -> Option<Self> {
        Some(Self::from_object(&Object::inner("problem", value?)?, 0))
    }

    fn blank() -> Self {
        Self {
            kind: ProblemType::read("about:blank"),
            detail: None,
            status: None,
            identifier: None,
            subproblems: Vec::new(),
            instance: None,
            terms_of_service: None,
            location: None,
            algorithms: Vec::new(),
            retry_at: None,
            unpause: None,
        }
    }

    fn from_object(object: &Object<'_>, depth: usize) -> Self {
        let list = |field| object.list(field, usize::MAX).unwrap_or_default().iter().take(MAX_SUBPROBLEMS);
        let subproblems = if depth == 0 {
            let inner = list("subproblems").filter_map(|value| Object::inner("problem", value));
            inner.map(|object| Self::from_object(&object, depth + 1)).collect()
        } else {
            Vec::new() // RFC 8555 §6.7.1 knows one level; a server could write a hundred.
        };
        let detail = object.text("detail").or_else(|| object.text("title"));
        let kind = ProblemType::read(object.text("type").unwrap_or("about:blank"));
        Self {
            unpause: detail.filter(|_| kind == ProblemType::RateLimited).and_then(unpause_url),
            kind,
            detail: detail.map(|text| printable(text, MAX_DETAIL)),
            status: object.number("status").and_then(|status| u16::try_from(status).ok()),
            identifier: object.value("identifier").and_then(Identifier::read),
            subproblems,
            instance: object.url("instance"),
            terms_of_service: None,
            location: None,
            algorithms: list("algorithms")
                .filter_map(Json::as_text)
                .map(|text| printable(text, 64))
                .collect(),
            retry_at: None,
        }
    }

    /// The limit that the request ran into, whether the CA counts (`rateLimited`, RFC 8555 §6.6, or status
    /// 429) or its load balancer has enough (status 503 with a `Retry-After`). A [paused](Self::paused)
    /// account is no such limit: it does not end by itself.
    #[must_use]
    pub fn rate_limit(&self) -> Option<RateLimit> {
        let counted = self.kind == ProblemType::RateLimited || self.status == Some(429);
        let busy = self.status == Some(503) && self.retry_at.is_some();
        ((counted || busy) && self.unpause.is_none()).then_some(RateLimit { retry_at: self.retry_at })
    }

    /// The `https` URL of the self-service page where the account's holder lets a paused name go again.
    ///
    /// Let's Encrypt pauses a name that fails for weeks. It says so with the type `rateLimited` and the URL
    /// at the end of `detail`; no time to wait helps. The URL is for a person, and is the server's word: show
    /// it, do not fetch it.
    #[must_use]
    pub const fn paused(&self) -> Option<&Url> {
        self.unpause.as_ref()
    }

    /// The `https` URL that a person has to visit before the request can succeed (`userActionRequired`,
    /// RFC 8555 §7.3.3): the problem's `instance`, else the terms of service. Show it, do not fetch it.
    #[must_use]
    pub fn user_action(&self) -> Option<&str> {
        let instance = self.instance.as_ref().map(Url::as_str);
        let links = [instance, self.terms_of_service.as_deref()];
        let mut secure = links.into_iter().flatten().filter(|url| url.starts_with("https://"));
        secure.next().filter(|_| self.kind == ProblemType::UserActionRequired)
    }

    /// Whether the request that it answers can succeed later, unchanged.
    #[must_use]
    pub fn retry(&self) -> Retry {
        if self.unpause.is_some() {
            return Retry::Never;
        }
        if let Some(at) = self.retry_at {
            return Retry::At(at);
        }
        let busy = self.status.is_some_and(|status| status >= 500 || status == 429 || status == 408);
        match self.kind {
            ProblemType::RateLimited | ProblemType::ServerInternal | ProblemType::BadNonce => Retry::Backoff,
            _ if busy => Retry::Backoff,
            _ => Retry::Never,
        }
    }
}

/// The URL in the explanation that a paused account gets from Boulder: the last word, of a page named
/// `unpause`.
fn unpause_url(detail: &str) -> Option<Url> {
    let word = detail.split_ascii_whitespace().rev().find(|word| word.starts_with("https://"))?;
    let path = word.split('?').next()?;
    if !path.ends_with("/unpause") {
        return None;
    }
    Url::parse(word).ok()
}

/// As much as fits a terminal's screen; the longest that CAs write lists a hundred names.
const MAX_DETAIL: usize = 1024;
/// One for each name of the largest certificate that public CAs issue.
const MAX_SUBPROBLEMS: usize = 100;

/// `dns: no TXT record found`; subproblems follow in parentheses.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(identifier) = &self.identifier {
            write!(f, "{identifier}: ")?;
        }
        match (&self.kind, self.status) {
            (ProblemType::Unknown(kind), Some(status)) if kind == "about:blank" => {
                let phrase = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
                write!(f, "HTTP {status} {}", phrase.unwrap_or("without a reason"))?;
            }
            (kind, _) => kind.fmt(f)?,
        }
        if let Some(detail) = &self.detail {
            write!(f, ": {detail}")?;
        }
        for (index, problem) in self.subproblems.iter().enumerate() {
            f.write_str(if index == 0 { " (" } else { "; " })?;
            problem.fmt(f)?;
        }
        if !self.subproblems.is_empty() {
            f.write_str(")")?;
        }
        if let Some(at) = self.retry_at {
            write!(f, "; not again before {at}")?;
        }
        if self.kind == ProblemType::UserActionRequired {
            self.name_the_action(f)?;
        }
        Ok(())
    }
}

impl Problem {
    /// Who has to act wants to know where (RFC 8555 §7.3.3).
    fn name_the_action(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(terms) = &self.terms_of_service {
            write!(f, "; agree to the terms of service at {terms}")?;
        }
        if let Some(page) = &self.instance {
            write!(f, "; visit {page}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    const NOON: Timestamp = Timestamp::from_unix(1_795_262_400); // 2026-11-21T12:00:00Z

    #[test]
    fn rfc8555_6_7_1_subproblems() {
        let problem = Problem::parse(
            br#"{
    "type": "urn:ietf:params:acme:error:malformed",
    "detail": "Some of the identifiers requested were rejected",
    "subproblems": [
        {
            "type": "urn:ietf:params:acme:error:malformed",
            "detail": "Invalid underscore in DNS name \"_example.org\"",
            "identifier": {
                "type": "dns",
                "value": "_example.org"
            }
        },
        {
            "type": "urn:ietf:params:acme:error:rejectedIdentifier",
            "detail": "This CA will not issue for \"example.net\"",
            "identifier": {
                "type": "dns",
                "value": "example.net"
            }
        }
    ]
}"#,
        )
        .unwrap();
        assert_eq!(problem.kind, ProblemType::Malformed);
        assert_eq!(
            problem.to_string(),
            "malformed: Some of the identifiers requested were rejected (_example.org: malformed: Invalid \
             underscore in DNS name \"_example.org\"; example.net: rejectedIdentifier: This CA will not \
             issue for \"example.net\")"
        );
    }

    fn answer(status: u16, body: &str, retry_after: Option<&'static str>) -> Problem {
        let mut headers = HeaderMap::new();
        if let Some(value) = retry_after {
            headers.insert("retry-after", HeaderValue::from_static(value));
        }
        Problem::from_answer(StatusCode::from_u16(status).unwrap(), &headers, body.as_bytes(), NOON)
    }

    #[test]
    fn retry_after_counts_on_429_and_503_alike_in_both_forms() {
        let limited = r#"{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many"}"#;
        assert_eq!(answer(429, limited, Some("60")).retry().at().unwrap().since(NOON).as_secs(), 60);
        let date = Some("Sat, 21 Nov 2026 12:01:00 GMT");
        assert_eq!(answer(503, "<html>", date).retry().at().unwrap().since(NOON).as_secs(), 60);
        assert_eq!(answer(429, limited, None).retry(), Retry::Backoff);
    }

    #[test]
    fn a_limit_is_a_limit_whoever_sets_it() {
        let limited = r#"{"type":"urn:ietf:params:acme:error:rateLimited"}"#;
        let wait = |problem: Problem| problem.rate_limit().map(|limit| limit.retry_at.is_some());
        assert_eq!(wait(answer(429, limited, Some("60"))), Some(true));
        assert_eq!(wait(answer(429, limited, None)), Some(false));
        assert_eq!(wait(answer(429, "<html>", Some("60"))), Some(true));
        assert_eq!(wait(answer(503, "<html>", Some("60"))), Some(true));
        assert_eq!(wait(answer(503, "<html>", None)), None);
        assert_eq!(wait(answer(403, r#"{"type":"urn:ietf:params:acme:error:dns"}"#, Some("60"))), None);
    }

    /// As Boulder writes it.
    fn paused(url: &str) -> Problem {
        let detail = format!(
            "Your account is temporarily prevented from requesting certificates for a.example.org and \
             possibly others. Please visit: {url}"
        );
        let body = serde_json::json!({ "type": "urn:ietf:params:acme:error:rateLimited", "detail": detail });
        answer(429, &body.to_string(), Some("60"))
    }

    #[test]
    fn a_paused_account_is_told_where_it_is_let_go_and_not_to_wait() {
        let jwt = "a".repeat(1500); // longer than what is kept of the detail
        let url = format!("https://portal.letsencrypt.org/sfe/v1/unpause?jwt={jwt}");
        let problem = paused(&url);
        assert_eq!(problem.paused().unwrap().as_str(), url);
        assert_eq!(problem.rate_limit(), None);
        assert_eq!(problem.retry(), Retry::Never);

        // Whoever fails for another reason is not paused, whatever is written there.
        let body =
            r#"{"type":"urn:ietf:params:acme:error:malformed","detail":"visit https://ca.example/unpause"}"#;
        assert_eq!(answer(400, body, None).paused(), None);
    }

    #[test]
    fn a_limit_s_own_page_and_a_link_that_is_not_https_pause_nothing() {
        for url in [
            "http://portal.example/sfe/v1/unpause?jwt=x",
            "https://letsencrypt.org/docs/rate-limits/",
            "javascript:alert(1)/unpause",
            "https://u:p@portal.example/unpause",
        ] {
            assert_eq!(paused(url).paused(), None, "{url}");
            assert!(paused(url).rate_limit().is_some());
        }
    }

    #[test]
    fn rfc8555_7_3_3_somebody_has_to_visit_a_page() {
        let ask = |kind: &str, instance: &str| {
            let kind = format!("urn:ietf:params:acme:error:{kind}");
            let body = serde_json::json!({ "type": kind, "instance": instance }).to_string();
            let mut headers = HeaderMap::new();
            let terms = r#"<https://example.com/acme/terms/2017-6-02>;rel="terms-of-service""#;
            headers.insert("link", HeaderValue::from_static(terms));
            Problem::from_answer(StatusCode::FORBIDDEN, &headers, body.as_bytes(), NOON)
        };
        let page = "https://example.com/acme/agreement/?token=W8Ih3PswD-8";
        assert_eq!(ask("userActionRequired", page).user_action(), Some(page));
        let terms = Some("https://example.com/acme/terms/2017-6-02");
        assert_eq!(ask("userActionRequired", "").user_action(), terms);
        assert_eq!(ask("userActionRequired", "http://example.com/agreement").user_action(), terms);
        assert_eq!(ask("malformed", page).user_action(), None);
    }

    #[test]
    fn a_load_balancers_page_is_not_reflected() {
        let problem = answer(502, "<script>alert(1)</script>", None);
        assert_eq!(problem.to_string(), "HTTP 502 Bad Gateway");
        assert_eq!(problem.retry(), Retry::Backoff);
    }

    #[test]
    fn unknown_types_are_kept_and_not_retried() {
        let problem = answer(403, r#"{"type":"https://ca.example/quota","detail":"\u001b[2Jno"}"#, None);
        assert_eq!(problem.kind, ProblemType::Unknown("https://ca.example/quota".into()));
        assert_eq!(problem.detail.as_deref(), Some("[2Jno"));
        assert_eq!(problem.retry(), Retry::Never);
    }

    #[test]
    fn rfc8555_7_3_3_an_action_of_the_user_is_named_with_its_links() {
        let mut headers = HeaderMap::new();
        let link = r#"<https://example.com/acme/terms/2017-6-02>;rel="terms-of-service""#;
        headers.insert("link", HeaderValue::from_static(link));
        let body = br#"{
  "type": "urn:ietf:params:acme:error:userActionRequired",
  "detail": "Terms of service have changed",
  "instance": "https://example.com/acme/agreement/?token=W8Ih3PswD-8"
}"#;
        let problem = Problem::from_answer(StatusCode::FORBIDDEN, &headers, body, NOON);
        assert_eq!(
            problem.to_string(),
            "userActionRequired: Terms of service have changed; agree to the terms of service at \
             https://example.com/acme/terms/2017-6-02; visit \
             https://example.com/acme/agreement/?token=W8Ih3PswD-8"
        );
    }

    #[test]
    fn only_a_conflict_names_what_is_in_the_way() {
        let mut headers = HeaderMap::new();
        headers.insert("location", HeaderValue::from_static("https://example.com/acme/acct/7"));
        let location = |status| Problem::from_answer(status, &headers, b"{}", NOON).location;
        assert_eq!(location(StatusCode::CONFLICT).as_deref(), Some("https://example.com/acme/acct/7"));
        assert_eq!(location(StatusCode::FORBIDDEN), None);
    }

    #[test]
    fn subproblems_of_subproblems_are_not_followed() {
        let problem =
            Problem::parse(br#"{"subproblems":[{"type":"a","subproblems":[{"type":"b"}]}]}"#).unwrap();
        assert_eq!(problem.to_string(), "about:blank (a)");
    }

    proptest! {
        #[test]
        fn no_body_panics(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Problem::parse(&body);
        }
    }
}
