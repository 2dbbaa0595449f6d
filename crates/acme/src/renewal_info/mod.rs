//! Renewal information (RFC 9773): when the CA wants a certificate renewed, and by which name it is asked.
//!
//! A CA that revokes thousands of certificates, or is busy, says so here before anything breaks; and an order
//! that comes within the window and names what it [replaces](crate::NewOrder::replaces) is spared most rate
//! limits. So it is asked for right after a certificate was issued, and then whenever the last answer says.

mod certificate_id;
pub use certificate_id::{CertificateId, CertificateIdError};

mod failure;
pub use failure::RenewalInfoFailure;

mod window;
pub use window::RenewalWindow;

use std::{ops::RangeInclusive, time::Duration};

use perennial_core::Timestamp;

use crate::{Misbehaved, Url, json::Object};

/// When a CA wants a certificate renewed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RenewalInfo {
    /// Between which moments.
    pub window: RenewalWindow,
    /// A page for people that says why, when there is more to say than "in time": an incident, most often.
    pub explanation_url: Option<String>,
    /// When to ask again, not sooner and not later (RFC 9773 §4.3.2); a minute to a day from the answer,
    /// whatever the server said. A certificate that has expired or was replaced is not asked about any more
    /// (§4.3): that is for the caller to know.
    pub retry_at: Timestamp,
}

impl RenewalInfo {
    /// Reads the object, which came with that `Retry-After`.
    ///
    /// # Errors
    /// [`Misbehaved`] when it is no JSON object, lacks a moment of the window, or the window ends before it
    /// begins, which makes it worthless (RFC 9773 §4.2).
    pub fn parse(body: &[u8], retry_at: Timestamp) -> Result<Self, Misbehaved> {
        let info = Object::parse("renewal information", body)?;
        let window = info.object("suggested window", "suggestedWindow");
        let window = window.ok_or_else(|| info.lacks("suggestedWindow", "an object"))?;
        let moment = |field| window.moment(field).ok_or_else(|| window.lacks(field, "a moment in RFC 3339"));
        let (start, end) = (moment("start")?, moment("end")?);
        let window = RenewalWindow::new(start, end).ok_or(Misbehaved::RenewalWindow { start, end })?;
        let explanation_url = info.text("explanationURL").filter(|text| is_page(text)).map(str::to_owned);
        Ok(Self { window, explanation_url, retry_at })
    }
}

/// Whether people may be shown that link: `https`, no longer than a URL can be, and nothing but ASCII that can
/// be seen.
fn is_page(text: &str) -> bool {
    let (page, fragment) = text.split_once('#').unwrap_or((text, ""));
    page.starts_with("https://")
        && Url::parse(page).is_ok()
        && fragment.len() <= MAX_FRAGMENT
        && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The name of a heading on the page.
const MAX_FRAGMENT: usize = 200;

/// How far away the next question may be: RFC 9773 §4.3.2 suggests to set such bounds. A minute spares the
/// server; a day, so that an incident is heard of in time.
pub(crate) const RETRY_BOUNDS: RangeInclusive<Duration> =
    Duration::from_secs(60)..=Duration::from_secs(86_400);

/// The largest honest answer has two moments and a link.
pub(crate) const MAX_INFO_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    const LATER: Timestamp = Timestamp::from_unix(1_795_262_400);

    fn parse(value: &Value) -> Result<RenewalInfo, Misbehaved> {
        RenewalInfo::parse(value.to_string().as_bytes(), LATER)
    }

    #[test]
    fn rfc9773_4_2_renewal_info_object() {
        let sample = br#"{
  "suggestedWindow": {
    "start": "2025-01-02T04:00:00Z",
    "end": "2025-01-03T04:00:00Z"
  },
  "explanationURL": "https://acme.example.com/docs/ari"
}"#;
        let info = RenewalInfo::parse(sample, LATER).unwrap();
        assert_eq!(info.window.start().to_string(), "2025-01-02T04:00:00Z");
        assert_eq!(info.window.end().to_string(), "2025-01-03T04:00:00Z");
        assert_eq!(info.explanation_url.as_deref(), Some("https://acme.example.com/docs/ari"));
        assert_eq!(info.retry_at, LATER);
    }

    #[test]
    fn rfc9773_4_2_a_window_that_does_not_end_after_its_start_is_no_answer() {
        for end in ["2025-01-02T04:00:00Z", "2025-01-01T04:00:00Z"] {
            let window = json!({ "start": "2025-01-02T04:00:00Z", "end": end });
            let error = parse(&json!({ "suggestedWindow": window })).unwrap_err();
            assert!(matches!(error, Misbehaved::RenewalWindow { .. }), "{error}");
            assert!(error.to_string().contains(end), "{error}");
        }
    }

    #[test]
    fn a_missing_moment_is_named() {
        let error = parse(&json!({ "suggestedWindow": { "start": "2025-01-02T04:00:00Z", "end": 7 } }));
        let expected = "a moment in RFC 3339";
        let lacking = Misbehaved::Field { resource: "suggested window", field: "end", expected };
        assert_eq!(error, Err(lacking));
        let error = parse(&json!({ "suggestedWindow": [] }));
        let (resource, field) = ("renewal information", "suggestedWindow");
        assert_eq!(error, Err(Misbehaved::Field { resource, field, expected: "an object" }));
    }

    #[test]
    fn only_a_link_that_people_can_be_shown_is_kept() {
        let link = |url: &str| {
            let window = json!({ "start": "2025-01-02T04:00:00Z", "end": "2025-01-03T04:00:00Z" });
            parse(&json!({ "suggestedWindow": window, "explanationURL": url })).unwrap().explanation_url
        };
        assert_eq!(link("https://ca.example/a?b=1#c").as_deref(), Some("https://ca.example/a?b=1#c"));
        let (long, fragment) = ("a".repeat(3000), "a".repeat(300));
        for url in [
            "http://ca.example/a",
            "javascript:alert(1)",
            "https://ca.example/\u{1b}[2J",
            "https://ca.example/a b",
            "https://ca.example/\u{202e}",
            "https://user@ca.example/",
            &format!("https://ca.example/{long}"),
            &format!("https://ca.example/#{fragment}"),
        ] {
            assert_eq!(link(url), None, "{url}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = RenewalInfo::parse(&body, LATER);
        }

        #[test]
        fn no_moments_and_no_link_panic(start in ".{0,30}", end in ".{0,30}", link in ".{0,60}") {
            let window = json!({ "start": start, "end": end });
            let _ = parse(&json!({ "suggestedWindow": window, "explanationURL": link }));
            let _ = is_page(&format!("https://{link}"));
        }
    }
}
