//! What a Vault answers: pure, from status and bytes to data or whose fault it is.

use perennial_core::{SecretString, Timestamp};
use serde::{Deserialize, de::DeserializeOwned};
use std::time::Duration;

use super::VaultError;

/// The head of an answer, as far as it is looked at.
#[derive(Clone, Debug, Default)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) location: Option<String>,
    pub(super) retry_after: Option<String>,
}

/// What was asked, and what must not be shown of it.
pub(super) struct Asked<'a> {
    /// The URL.
    pub(super) at: &'a str,
    pub(super) secrets: &'a [&'a SecretString],
    pub(super) now: Timestamp,
}

/// An answer of success.
pub(super) struct Answer<T> {
    pub(super) data: Option<T>,
    pub(super) auth: Option<Access>,
    /// Fit to be shown.
    pub(super) warnings: Vec<String>,
    /// By which the audit log knows the request, fit to be shown.
    pub(super) request: Option<String>,
}

/// What a login gives.
#[derive(Deserialize)]
pub(super) struct Access {
    #[serde(deserialize_with = "secret")]
    pub(super) client_token: SecretString,
    /// In seconds; 0 for a token that does not end.
    #[serde(default)]
    pub(super) lease_duration: u64,
    #[serde(default)]
    pub(super) renewable: bool,
}

fn secret<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<SecretString, D::Error> {
    String::deserialize(deserializer).map(SecretString::new)
}

#[derive(Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
struct Body<T> {
    #[serde(default)]
    request_id: Option<String>,
    #[serde(default = "Option::default")]
    data: Option<T>,
    #[serde(default)]
    auth: Option<Access>,
    #[serde(default)]
    warnings: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Complaint {
    request_id: Option<String>,
    errors: Option<Vec<String>>,
    warnings: Option<Vec<String>>,
}

/// Reads an answer.
pub(super) fn read<T: DeserializeOwned>(
    asked: &Asked<'_>,
    head: &Head,
    body: &[u8],
) -> Result<Answer<T>, VaultError> {
    let at = || asked.at.to_owned();
    if body.len() > LARGEST_BODY {
        return Err(VaultError::Unreadable { at: at(), reason: format!("it has {} bytes", body.len()) });
    }
    match head.status {
        204 => return Ok(Answer { data: None, auth: None, warnings: Vec::new(), request: None }),
        200..=299 => {}
        300..=399 => {
            let to = head.location.as_deref().unwrap_or("nowhere");
            return Err(VaultError::Redirected { at: at(), to: asked.shown(to) });
        }
        _ => return Err(complaint(asked, head, body)),
    }
    let body: Body<T> = serde_json::from_slice(body).map_err(|error| {
        // Its words would quote what is there, and there may be a token.
        let reason = format!("no such JSON at line {} column {}", error.line(), error.column());
        VaultError::Unreadable { at: at(), reason }
    })?;
    let warnings = body.warnings.unwrap_or_default();
    Ok(Answer {
        data: body.data,
        auth: body.auth,
        warnings: warnings.iter().take(MOST_TEXTS).map(|text| asked.shown(text)).collect(),
        request: body.request_id.filter(|id| !id.is_empty()).map(|id| asked.shown(&id)),
    })
}

/// Whose fault it is that there is no success.
fn complaint(asked: &Asked<'_>, head: &Head, body: &[u8]) -> VaultError {
    let complaint: Complaint = serde_json::from_slice(body).unwrap_or_default();
    let at = asked.at.to_owned();
    let said = asked.said(&complaint, head.status);
    let says = |words: &str| said.to_ascii_lowercase().contains(words);
    match head.status {
        400 if says("unknown role") => VaultError::NoRole { at, said },
        400 | 405 | 413 | 422 => VaultError::Refused { at, said },
        401 | 403 => VaultError::Denied { at, said },
        404 => VaultError::NoMount { at, said },
        429 => {
            let seconds = head.retry_after.as_deref().and_then(|text| text.trim().parse::<u64>().ok());
            let wait = seconds.map(|seconds| Duration::from_secs(seconds).min(LONGEST_WAIT));
            VaultError::Quota { at, said, until: wait.map(|wait| asked.now + wait) }
        }
        501 => VaultError::NotInitialized { at },
        503 if says("sealed") => VaultError::Sealed { at },
        status => VaultError::Unavailable { at, status, said },
    }
}

impl Asked<'_> {
    /// Its own words, with the identifier of the request where there is one.
    fn said(&self, complaint: &Complaint, status: u16) -> String {
        let texts = complaint.errors.iter().flatten().chain(complaint.warnings.iter().flatten());
        let texts: Vec<String> = texts.take(MOST_TEXTS).map(|text| self.shown(text)).collect();
        let said = if texts.is_empty() { format!("status {status}") } else { texts.join("; ") };
        match complaint.request_id.as_deref().filter(|id| !id.is_empty()) {
            Some(request) => format!("{said} (request {})", self.shown(request)),
            None => said,
        }
    }

    fn hide(&self, text: String) -> String {
        let secrets = self.secrets.iter().filter(|secret| secret.expose().len() >= SHORTEST_SECRET);
        secrets.fold(text, |text, secret| text.replace(secret.expose(), "[secret]"))
    }

    /// A text of the other side on one line, without what moves a cursor, and without our secrets: some servers
    /// repeat what they were given.
    pub(super) fn shown(&self, text: &str) -> String {
        // Not after the cut: half a secret would not be found.
        let text: String = self.hide(text.to_owned()).chars().take(LONGEST_READ).collect();
        let spaced = text.replace(['\n', '\r', '\t'], " ");
        let harmless = spaced.chars().filter(|&letter| !letter.is_control() && !is_direction(letter));
        // Once more: what was left out may have stood in the middle of one.
        let line = self.hide(harmless.collect());
        let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
        match line.char_indices().nth(LONGEST_TEXT) {
            Some((end, _)) => format!("{}…", &line[..end]),
            None => line,
        }
    }
}

/// Marks that turn the direction of writing round, and so make a text look like another (UAX #9).
const fn is_direction(letter: char) -> bool {
    matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A chain of ten certificates has a few kilobytes.
const LARGEST_BODY: usize = 1 << 20;
/// What is worth a look: Vault says one thing at a time, and warns of three.
const MOST_TEXTS: usize = 8;
const LONGEST_TEXT: usize = 300;
const LONGEST_READ: usize = 4096;
/// A shorter one would be found in ordinary words.
const SHORTEST_SECRET: usize = 6;
/// A quota counts within minutes.
const LONGEST_WAIT: Duration = Duration::from_secs(86_400);

#[cfg(test)]
mod tests {
    use super::*;
    use perennial_core::Retry;
    use perennial_lifecycle::IssueErrorClass::{self, Auth, Local, Policy, Transient};
    use proptest::prelude::*;
    use serde_json::Value;

    const AT: &str = "https://v.example/v1/pki/sign/web";

    fn answered(status: u16, body: &str) -> Result<Answer<Value>, VaultError> {
        let head = Head { status, ..Head::default() };
        let asked = Asked { at: AT, secrets: &[], now: Timestamp::from_unix(1_800_000_000) };
        read(&asked, &head, body.as_bytes())
    }

    fn fault(status: u16, body: &str) -> (IssueErrorClass, Retry, String) {
        let error = answered(status, body).err().unwrap();
        (error.class(), error.retry(), error.to_string())
    }

    #[test]
    fn each_complaint_is_sorted_by_whose_fault_it_is_and_quotes_vault() {
        let errors = |text: &str| format!(r#"{{"errors":["{text}"]}}"#);
        for (status, text, class, retry, says) in [
            (
                400,
                "common name evil.com not allowed by this role",
                Policy,
                Retry::Never,
                "evil.com not allowed",
            ),
            (400, "unknown role: none", Local, Retry::Never, "create the role"),
            (401, "who are you", Auth, Retry::Backoff, "who are you"),
            (403, "permission denied", Auth, Retry::Backoff, "permission denied"),
            (404, "no handler for route", Local, Retry::Never, "mount"),
            (405, "unsupported operation", Policy, Retry::Never, "unsupported operation"),
            (413, "request body too large", Policy, Retry::Never, "body too large"),
            (422, "csr does not contain a name", Policy, Retry::Never, "change the spec or the role"),
            (429, "rate limit quota exceeded", Transient, Retry::Backoff, "quota"),
            (500, "internal error", Transient, Retry::Backoff, "500"),
            (503, "Vault is sealed", Transient, Retry::Backoff, "is sealed; unseal it"),
            (503, "error", Transient, Retry::Backoff, "503"),
            (501, "", Transient, Retry::Backoff, "not initialized"),
        ] {
            let (told, again, message) = fault(status, &errors(text));
            assert_eq!((told, again), (class, retry), "{status} {text}");
            assert!(message.contains(says) && message.contains(AT), "{message}");
        }
        assert!(fault(502, "<html>Bad Gateway</html>").2.contains("502"));
        let head =
            Head { status: 307, location: Some("https://other.example/".to_owned()), ..Head::default() };
        let asked = Asked { at: AT, secrets: &[], now: Timestamp::from_unix(0) };
        let error = read::<Value>(&asked, &head, b"").err().unwrap().to_string();
        assert!(error.contains("other.example"), "{error}");
        // What is no answer of a Vault is the other side's fault, and may be mended there.
        let (class, again, message) = fault(200, "<html>Welcome</html>");
        assert_eq!((class, again), (IssueErrorClass::Contract, Retry::Backoff));
        assert!(
            message.contains("see that a Vault listens there") && !message.contains("Welcome"),
            "{message}"
        );
    }

    #[test]
    fn a_complaint_that_has_warnings_alone_is_quoted_too() {
        let body = r#"{"errors":[],"warnings":["no value found at pki/sign/web"],"request_id":""}"#;
        let message = fault(404, body).2;
        assert!(message.contains("no value found at pki/sign/web; see"), "{message}");
    }

    #[test]
    fn a_quota_with_a_moment_is_waited_for_and_not_for_ever() {
        let until = |text: &str| {
            let head = Head { status: 429, retry_after: Some(text.to_owned()), location: None };
            let asked = Asked { at: AT, secrets: &[], now: Timestamp::from_unix(100) };
            read::<Value>(&asked, &head, b"{}").err().unwrap().retry()
        };
        assert_eq!(until("7"), Retry::At(Timestamp::from_unix(107)));
        assert_eq!(until("99999999999999"), Retry::At(Timestamp::from_unix(86_500)));
        assert_eq!(until("soon"), Retry::Backoff);
    }

    #[test]
    fn no_message_shows_a_secret_or_moves_the_cursor() {
        let secret = SecretString::new("s.TopSecret123");
        let asked = Asked { at: AT, secrets: &[&secret], now: Timestamp::from_unix(0) };
        let body = br#"{"request_id":"r\u0007-1","errors":["bad token s.TopSecret123\u001b[2J\n\u202eok"]}"#;
        let head = Head { status: 403, ..Head::default() };
        let error = read::<Value>(&asked, &head, body).err().unwrap().to_string();
        assert!(error.contains("bad token [secret][2J ok (request r-1)"), "{error}");
        let long = format!(r#"{{"errors":["{}"]}}"#, "x".repeat(5_000));
        assert!(fault(400, &long).2.len() < 600);
        let body = br#"{"request_id":"s.TopSecret123","warnings":["bad\u001b token\ts.TopSecret123"]}"#;
        let answer = read::<Value>(&asked, &Head { status: 200, ..Head::default() }, body).ok().unwrap();
        assert_eq!(answer.warnings, ["bad token [secret]"]);
        assert_eq!(answer.request.as_deref(), Some("[secret]"));
        // What cannot be read is not quoted.
        let error =
            answered(200, r#"{"auth":{"client_token":["s.TopSecret123"]}}"#).err().unwrap().to_string();
        assert!(!error.contains("TopSecret"), "{error}");
    }

    #[test]
    fn what_is_too_short_for_a_secret_is_not_looked_for_in_words() {
        let [empty, short, long] = ["", "web", "s.toke"].map(SecretString::new);
        let secrets = [&empty, &short, &long];
        let asked = Asked { at: AT, secrets: &secrets, now: Timestamp::from_unix(0) };
        assert_eq!(asked.shown("the role web of s.toke"), "the role web of [secret]");
    }

    #[test]
    fn a_secret_is_found_wherever_a_text_is_cut_and_however_long_it_is() {
        let [token, long] = ["s.TopSecret123".to_owned(), "e".repeat(5_000)].map(SecretString::new);
        let secrets = [&token, &long];
        let asked = Asked { at: AT, secrets: &secrets, now: Timestamp::from_unix(0) };
        for (before, filler) in [(LONGEST_TEXT - 3, "x"), (LONGEST_READ - 5, " ")] {
            let shown = asked.shown(&(filler.repeat(before) + " s.TopSecret123"));
            assert!(!shown.contains("s."), "{shown}");
        }
        assert_eq!(asked.shown(&format!("bad {}", long.expose())), "bad [secret]");
        assert_eq!(asked.shown("bad s.Top\u{7}Sec\u{200e}ret123"), "bad [secret]");
    }

    #[test]
    fn of_many_texts_the_first_eight_are_told() {
        let texts: Vec<String> = (1..=9).map(|number| number.to_string()).collect();
        let message = fault(500, &serde_json::json!({ "errors": texts }).to_string()).2;
        assert!(message.ends_with("1; 2; 3; 4; 5; 6; 7; 8"), "{message}");
        let answer = answered(200, &serde_json::json!({ "warnings": texts }).to_string()).ok().unwrap();
        assert_eq!(answer.warnings, texts[..8]);
    }

    #[test]
    fn a_success_brings_data_warnings_and_the_request() {
        let answer = answered(200, r#"{"request_id":"r1","data":{"a":1},"warnings":["w"],"auth":null}"#);
        let answer = answer.ok().unwrap();
        assert_eq!((answer.data.unwrap()["a"].as_u64(), answer.request.as_deref()), (Some(1), Some("r1")));
        assert_eq!(answer.warnings, ["w"]);
        assert!(answered(204, "").is_ok_and(|answer| answer.data.is_none()));
        assert!(answered(200, &format!("{{}}{}", " ".repeat(LARGEST_BODY - 2))).is_ok());
        let error = answered(200, &format!("{{}}{}", " ".repeat(LARGEST_BODY - 1))).err().unwrap();
        assert!(error.to_string().contains("1048577 bytes"), "{error}");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(status in 0u16..1000, body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let head = Head { status, ..Head::default() };
            let asked = Asked { at: AT, secrets: &[], now: Timestamp::from_unix(0) };
            let _ = read::<Value>(&asked, &head, &body);
        }

        #[test]
        fn no_text_is_shown_that_has_a_control_character(text in ".{0,400}") {
            let asked = Asked { at: AT, secrets: &[], now: Timestamp::from_unix(0) };
            let shown = asked.shown(&text);
            prop_assert!(!shown.chars().any(char::is_control));
            prop_assert!(shown.chars().count() <= LONGEST_TEXT + 1);
        }
    }
}
