//! Short-term certificates that the CA renews by itself (STAR, RFC 8739).
//!
//! One order, one signing request, and then a rolling certificate at one URL until an agreed date, or until
//! the order is canceled. It is not revoked: it stops.

use std::time::Duration;

use http::HeaderMap;
use perennial_core::Timestamp;
use serde_json::{Value, json};

use crate::{CertificateChain, json::Object, retry_after};

/// How the CA should renew, as an order asks for it or as the server has decided (RFC 8739 §3.1.1).
///
/// ```
/// use perennial_acme::AutoRenewal;
/// use std::time::Duration;
///
/// let day = Duration::from_secs(86_400);
/// let renewal = AutoRenewal::new("2026-12-31T00:00:00Z".parse()?, 4 * day).lifetime_adjust(3 * day);
/// assert_eq!(renewal.lifetime.as_secs(), 345_600);
/// # Ok::<(), perennial_core::TimestampError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AutoRenewal {
    /// From when the first certificate is valid; `None` is as soon as the names are authorized.
    pub start_date: Option<Timestamp>,
    /// Until when the last certificate is valid at most.
    pub end_date: Timestamp,
    /// How long each certificate is valid, in whole seconds, without any adjustment.
    pub lifetime: Duration,
    /// How far each certificate's beginning is dated back, in whole seconds, for clients whose clocks are
    /// slow.
    pub lifetime_adjust: Duration,
    /// Whether anybody may fetch the certificate with a plain GET (RFC 8739 §3.4).
    pub allow_certificate_get: bool,
}

impl AutoRenewal {
    /// Certificates of that lifetime until that date, beginning as soon as possible, not dated back, and for
    /// the account alone to fetch.
    #[must_use]
    pub const fn new(end_date: Timestamp, lifetime: Duration) -> Self {
        let lifetime_adjust = Duration::ZERO;
        Self { start_date: None, end_date, lifetime, lifetime_adjust, allow_certificate_get: false }
    }

    /// From when the first certificate should be valid.
    #[must_use]
    pub const fn start_date(mut self, moment: Timestamp) -> Self {
        self.start_date = Some(moment);
        self
    }

    /// How far each certificate should be dated back. RFC 8739 §4.1 recommends days where clocks are slow.
    #[must_use]
    pub const fn lifetime_adjust(mut self, duration: Duration) -> Self {
        self.lifetime_adjust = duration;
        self
    }

    /// Lets anybody fetch the certificate with a plain GET, for instance a server to which the name is
    /// delegated and that has no account.
    #[must_use]
    pub const fn allow_certificate_get(mut self) -> Self {
        self.allow_certificate_get = true;
        self
    }

    /// Reads the object of an order; `None` without an end and a lifetime.
    pub(crate) fn read(object: &Object<'_>) -> Option<Self> {
        let seconds = |field| object.number(field).map(Duration::from_secs);
        Some(Self {
            start_date: object.moment("start-date"),
            end_date: object.moment("end-date")?,
            lifetime: seconds("lifetime")?,
            lifetime_adjust: seconds("lifetime-adjust").unwrap_or_default(),
            allow_certificate_get: object.flag("allow-certificate-get").unwrap_or(false),
        })
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut object = json!({ "end-date": self.end_date, "lifetime": self.lifetime.as_secs() });
        let mut put = |field: &str, value: Value| {
            if let Some(fields) = object.as_object_mut() {
                fields.insert(field.to_owned(), value);
            }
        };
        if let Some(moment) = self.start_date {
            put("start-date", json!(moment));
        }
        if !self.lifetime_adjust.is_zero() {
            put("lifetime-adjust", json!(self.lifetime_adjust.as_secs()));
        }
        if self.allow_certificate_get {
            put("allow-certificate-get", json!(true));
        }
        object
    }

    /// Whether a server with that policy can have it.
    pub(crate) fn check(&self, policy: Option<&AutoRenewalPolicy>) -> Result<(), AutoRenewalFault> {
        let policy = policy.ok_or(AutoRenewalFault::NotOffered)?;
        if self.lifetime < policy.min_lifetime {
            let (lifetime, least) = (self.lifetime.as_secs(), policy.min_lifetime.as_secs());
            return Err(AutoRenewalFault::LifetimeTooShort { lifetime, least });
        }
        if let Some(start) = self.start_date {
            let duration = self.end_date.since(start);
            if duration.is_zero() {
                return Err(AutoRenewalFault::EndsBeforeStart { start, end: self.end_date });
            }
            if duration > policy.max_duration {
                let (duration, most) = (duration.as_secs(), policy.max_duration.as_secs());
                return Err(AutoRenewalFault::TooLong { duration, most });
            }
        }
        if self.allow_certificate_get && !policy.allow_certificate_get {
            return Err(AutoRenewalFault::GetNotOffered);
        }
        Ok(())
    }
}

/// What a server allows (RFC 8739 §3.2); part of the directory's [`Meta`](crate::Meta).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AutoRenewalPolicy {
    /// The shortest lifetime of a certificate, in whole seconds.
    pub min_lifetime: Duration,
    /// The longest time between start and end, in whole seconds.
    pub max_duration: Duration,
    /// Whether an order may ask for plain GETs.
    pub allow_certificate_get: bool,
}

impl AutoRenewalPolicy {
    /// Reads the object of a directory; `None` without its required numbers.
    pub(crate) fn read(object: &Object<'_>) -> Option<Self> {
        Some(Self {
            min_lifetime: object.number("min-lifetime").map(Duration::from_secs)?,
            max_duration: object.number("max-duration").map(Duration::from_secs)?,
            allow_certificate_get: object.flag("allow-certificate-get").unwrap_or(false),
        })
    }
}

/// Why an order for a self-renewing certificate cannot be sent to this server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AutoRenewalFault {
    /// The end is not after the start.
    #[error("the renewals end at {end}, which is not after their start at {start}")]
    EndsBeforeStart {
        /// The start.
        start: Timestamp,
        /// The end.
        end: Timestamp,
    },
    /// `notBefore` or `notAfter` beside it.
    #[error("an order with auto-renewal has no validity of its own (RFC 8739 §3.1.1): leave it out")]
    FixedValidity,
    /// The server does not offer plain GETs.
    #[error("the CA does not let certificates be fetched with a plain GET")]
    GetNotOffered,
    /// The certificates would be too short-lived for the server.
    #[error("certificates of {lifetime} s are too short-lived: the CA wants {least} s at least")]
    LifetimeTooShort {
        /// What was asked for, in seconds.
        lifetime: u64,
        /// The least that the server has, in seconds.
        least: u64,
    },
    /// The server does not renew.
    #[error("the CA does not offer auto-renewal (RFC 8739)")]
    NotOffered,
    /// The server does not renew for so long.
    #[error("renewals over {duration} s are too long: the CA offers {most} s at most")]
    TooLong {
        /// What was asked for, in seconds.
        duration: u64,
        /// The most that the server has, in seconds.
        most: u64,
    },
}

/// The certificate of the moment (RFC 8739 §3.3).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StarCertificate {
    /// The chain.
    pub chain: CertificateChain,
    /// `Cert-Not-Before`: what the server says of the beginning of its validity, if it does.
    pub not_before: Option<Timestamp>,
    /// `Cert-Not-After`: what the server says of the end. The next certificate is there when half of the time
    /// has passed, at the latest.
    pub not_after: Option<Timestamp>,
}

impl StarCertificate {
    pub(crate) fn new(chain: CertificateChain, headers: &HeaderMap) -> Self {
        let moment = |header| moment(headers.get(header)?.to_str().ok()?);
        Self { chain, not_before: moment("cert-not-before"), not_after: moment("cert-not-after") }
    }
}

/// An HTTP-date in double quotes. RFC 8739 writes its own examples without the leading zero of the day.
fn moment(text: &str) -> Option<Timestamp> {
    let text = text.trim().trim_matches('"');
    retry_after::from_http_date(text).or_else(|| {
        let (weekday, rest) = text.split_once(", ")?;
        retry_after::from_http_date(&format!("{weekday}, 0{rest}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn object(text: &str) -> Object<'_> {
        Object::parse("auto-renewal", text.as_bytes()).unwrap()
    }

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn rfc8739_3_5_1_the_object_of_an_order() {
        let renewal = AutoRenewal::read(&object(
            r#"{
     "start-date": "2019-01-10T00:00:00Z",
     "end-date": "2019-01-20T00:00:00Z",
     "lifetime": 345600,
     "lifetime-adjust": 259200
}"#,
        ))
        .unwrap();
        let expected = AutoRenewal::new(at("2019-01-20T00:00:00Z"), 4 * DAY)
            .start_date(at("2019-01-10T00:00:00Z"))
            .lifetime_adjust(3 * DAY);
        assert_eq!(renewal, expected);
        assert_eq!(AutoRenewal::read(&object(&renewal.to_json().to_string())), Some(renewal));
    }

    #[test]
    fn what_was_not_asked_for_is_not_sent() {
        let renewal = AutoRenewal::new(at("2019-01-20T00:00:00Z"), DAY);
        assert_eq!(renewal.to_json(), json!({ "end-date": "2019-01-20T00:00:00Z", "lifetime": 86_400 }));
        assert_eq!(renewal.allow_certificate_get().to_json()["allow-certificate-get"], json!(true));
    }

    #[test]
    fn rfc8739_3_2_the_policy_of_a_directory_and_what_it_forbids() {
        let text = r#"{ "min-lifetime": 86400, "max-duration":  31536000, "allow-certificate-get": true }"#;
        let policy = AutoRenewalPolicy::read(&object(text)).unwrap();
        let renewal =
            AutoRenewal::new(at("2020-01-01T00:00:00Z"), DAY).start_date(at("2019-01-01T00:00:00Z"));
        assert_eq!(renewal.check(Some(&policy)), Ok(()));
        assert_eq!(renewal.check(None), Err(AutoRenewalFault::NotOffered));
        let short = AutoRenewal { lifetime: Duration::from_secs(3600), ..renewal.clone() };
        let fault = AutoRenewalFault::LifetimeTooShort { lifetime: 3600, least: 86_400 };
        assert_eq!(short.check(Some(&policy)), Err(fault));
        let long = renewal.clone().start_date(at("2018-12-31T23:59:59Z"));
        let fault = AutoRenewalFault::TooLong { duration: 31_536_001, most: 31_536_000 };
        assert_eq!(long.check(Some(&policy)), Err(fault));
        let turned = renewal.clone().start_date(renewal.end_date);
        assert!(matches!(turned.check(Some(&policy)), Err(AutoRenewalFault::EndsBeforeStart { .. })));
        let closed = AutoRenewalPolicy { allow_certificate_get: false, ..policy };
        let open = renewal.allow_certificate_get();
        assert_eq!(open.check(Some(&closed)), Err(AutoRenewalFault::GetNotOffered));
    }

    #[test]
    fn rfc8739_3_3_the_headers_of_a_certificate_are_quoted_dates() {
        for text in [r#""Thu, 3 Oct 2019 00:00:00 GMT""#, r#""Thu, 03 Oct 2019 00:00:00 GMT""#] {
            assert_eq!(moment(text), Some(at("2019-10-03T00:00:00Z")), "{text}");
        }
        assert_eq!(moment("soon"), None);
        let mut headers = HeaderMap::new();
        headers.insert("cert-not-after", HeaderValue::from_static("\"Thu, 10 Oct 2019 00:00:00 GMT\""));
        let value = headers.get("cert-not-after").unwrap().to_str().unwrap();
        assert_eq!(moment(value), Some(at("2019-10-10T00:00:00Z")));
    }

    proptest! {
        #[test]
        fn no_header_and_no_object_panics(text in ".{0,40}", number in any::<u64>()) {
            let _ = moment(&text);
            let fields = json!({
                "end-date": text, "lifetime": number, "min-lifetime": number, "max-duration": number,
            });
            let _ = AutoRenewal::read(&object(&fields.to_string()));
            let _ = AutoRenewalPolicy::read(&object(&fields.to_string()));
        }
    }
}
