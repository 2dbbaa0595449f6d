//! What a web server has said, and what that looks like.

use http::{HeaderMap, HeaderName, header};
use serde::Serialize;

/// A response, reduced to what tells who has given it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// What the body looks like.
    pub content: Content,
    /// The beginning of the body, without control characters.
    pub body: String,
    /// Who stands before the server, or is it, by its own headers: `cloudflare (server)`.
    pub signs: Vec<String>,
}

/// What a body looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Content {
    /// There is none.
    Empty,
    /// The key authorization that was put there.
    Expected,
    /// A web page.
    Html,
    /// A key authorization (RFC 8555 §8.1), and another one: somebody else speaks ACME for this name.
    OtherKeyAuthorization,
    /// Anything else.
    Other,
}

/// Headers in which those that stand before a server tell of themselves.
const SIGNS: [HeaderName; 8] = [
    header::SERVER,
    header::VIA,
    HeaderName::from_static("cf-ray"),
    HeaderName::from_static("x-served-by"),
    HeaderName::from_static("x-amz-cf-id"),
    HeaderName::from_static("x-azure-ref"),
    HeaderName::from_static("x-sucuri-id"),
    HeaderName::from_static("x-akamai-request-id"),
];

/// As much as tells a page from another, and a key authorization whole.
const MOST_SHOWN: usize = 120;
const MOST_OF_A_SIGN: usize = 60;

impl Answer {
    /// Reads a response. Of `body` the first few kilobytes are enough.
    #[must_use]
    pub fn read(status: u16, headers: &HeaderMap, body: &[u8], expected: &str) -> Self {
        // RFC 8555 §8.3: "The server SHOULD ignore whitespace characters at the end of the body".
        let trimmed = body.trim_ascii_end();
        let text = String::from_utf8_lossy(trimmed.get(..LOOKED_AT).unwrap_or(trimmed));
        let content = if trimmed == expected.as_bytes() {
            Content::Expected
        } else if trimmed.is_empty() {
            Content::Empty
        } else if is_key_authorization(trimmed) {
            Content::OtherKeyAuthorization
        } else if is_html(headers, &text) {
            Content::Html
        } else {
            Content::Other
        };
        let sign = |name: &HeaderName| {
            let value = headers.get(name)?.to_str().ok()?;
            Some(format!("{} ({name})", shown(value, MOST_OF_A_SIGN)))
        };
        let signs = SIGNS.iter().filter_map(sign).collect();
        Self { status, content, body: shown(&text, MOST_SHOWN), signs }
    }

    /// Whether a CA is content with it.
    #[must_use]
    pub const fn is_right(&self) -> bool {
        self.status == 200 && matches!(self.content, Content::Expected)
    }
}

/// Of a page the beginning tells what it is.
const LOOKED_AT: usize = 4096;

/// A token, a dot, and a SHA-256 in base64url: nothing else looks like that.
fn is_key_authorization(body: &[u8]) -> bool {
    let is_base64url =
        |part: &[u8]| part.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte));
    let Some(at) = body.iter().position(|byte| *byte == b'.') else { return false };
    let (token, rest) = body.split_at(at);
    let thumbprint = rest.get(1..).unwrap_or_default();
    (16..=255).contains(&token.len())
        && thumbprint.len() == THUMBPRINT
        && is_base64url(token)
        && is_base64url(thumbprint)
}

/// 32 bytes in base64url.
const THUMBPRINT: usize = 43;

fn is_html(headers: &HeaderMap, text: &str) -> bool {
    let declared = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let start: String = text.trim_start().chars().take(15).collect::<String>().to_ascii_lowercase();
    declared.is_some_and(|declared| declared.to_ascii_lowercase().starts_with("text/html"))
        || start.starts_with("<!doctype html")
        || start.starts_with("<html")
}

/// Text of somebody else for a terminal or a log: short, on one line, nothing but what can be seen.
pub(crate) fn shown(text: &str, most: usize) -> String {
    let mut clean: String = text
        .chars()
        .map(|letter| if letter.is_whitespace() { ' ' } else { letter })
        .map(|letter| if letter.is_control() || is_format(letter) { '\u{fffd}' } else { letter })
        .take(most + 1)
        .collect();
    if clean.chars().count() > most {
        clean = clean.chars().take(most).chain(" (truncated)".chars()).collect();
    }
    clean
}

/// Letters that turn the direction of those around them, or are not seen.
const fn is_format(letter: char) -> bool {
    matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    const EXPECTED: &str =
        "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA.9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI";

    fn read(status: u16, content_type: &'static str, body: &str) -> Answer {
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(content_type))]);
        Answer::read(status, &headers, body.as_bytes(), EXPECTED)
    }

    #[test]
    fn a_body_is_told_by_its_looks() {
        let other = EXPECTED.replace("evaG", "hzvG");
        for (body, content) in [
            (EXPECTED, Content::Expected),
            (&format!("{EXPECTED}\r\n "), Content::Expected),
            (&format!(" {EXPECTED}"), Content::Other),
            ("", Content::Empty),
            ("\n", Content::Empty),
            (&other, Content::OtherKeyAuthorization),
            (&other[..other.len() - 1], Content::Other),
            (&format!("{other}A"), Content::Other),
            (&format!("{}.{}", "t".repeat(16), "k".repeat(43)), Content::OtherKeyAuthorization),
            (&format!("{}.{}", "t".repeat(15), "k".repeat(43)), Content::Other),
            (&format!("{}.{}*", "t".repeat(16), "k".repeat(42)), Content::Other),
            ("index.html.of.something", Content::Other),
            ("<!DOCTYPE html><title>Just a moment...</title>", Content::Html),
            ("  <html lang=en>", Content::Html),
            ("404 page not found", Content::Other),
        ] {
            assert_eq!(read(200, "text/plain", body).content, content, "{body}");
        }
        assert_eq!(read(403, "text/html; charset=utf-8", "no").content, Content::Html);
        assert!(read(200, "text/html", EXPECTED).is_right());
        assert!(!read(201, "text/plain", EXPECTED).is_right());
    }

    #[test]
    fn who_stands_before_a_server_is_told_by_its_headers() {
        let mut headers = HeaderMap::new();
        headers.insert("server", HeaderValue::from_static("cloudflare"));
        headers.insert("cf-ray", HeaderValue::from_static("8f0c-AMS"));
        headers.insert("x-powered-by", HeaderValue::from_static("PHP"));
        let answer = Answer::read(403, &headers, b"x", EXPECTED);
        assert_eq!(answer.signs, ["cloudflare (server)", "8f0c-AMS (cf-ray)"]);
    }

    #[test]
    fn nothing_of_a_stranger_moves_the_cursor() {
        assert_eq!(shown("a\u{1b}[2J\nb\u{202e}c", 20), "a\u{fffd}[2J b\u{fffd}c");
        assert_eq!(shown("abcdef", 3), "abc (truncated)");
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_what_is_shown_is_short(body in proptest::collection::vec(any::<u8>(), 0..9000)) {
            let answer = Answer::read(200, &HeaderMap::new(), &body, EXPECTED);
            prop_assert!(answer.body.chars().count() <= MOST_SHOWN + 12);
            prop_assert!(!answer.body.chars().any(char::is_control));
        }
    }
}
