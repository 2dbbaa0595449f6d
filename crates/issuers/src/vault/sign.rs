//! What is asked of a role, and what is told of its answer: pure.

use std::time::Duration;

use data_encoding::BASE64;
use perennial_lifecycle::{Facts, SigningRequest, Subject, Usage};
use serde::{Deserialize, Serialize};

use crate::Error;

/// The request to `sign/ROLE`.
#[derive(Serialize)]
pub(super) struct SignBody {
    csr: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    common_name: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    alt_names: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    ip_sans: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    uri_sans: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<String>,
    exclude_cn_from_sans: bool,
}

/// The answer.
#[derive(Deserialize)]
pub(super) struct Signed {
    pub(super) certificate: String,
    #[serde(default)]
    pub(super) issuing_ca: String,
    #[serde(default)]
    pub(super) ca_chain: Option<Vec<String>>,
}

/// Refuses what a role would leave out in silence.
pub(super) fn refuse(request: &SigningRequest) -> Result<(), Error> {
    let Subject { common_name, .. } = &request.subject;
    let only_named = request.subject == common_name.as_ref().map_or_else(Subject::default, Subject::named);
    let what = if request.is_ca {
        "a CA certificate: a role signs none".to_owned()
    } else if !only_named {
        "a subject beside the common name: the role says what that is".to_owned()
    } else if let Some(usage) = request.usages.iter().find(|usage| !GIVEN.contains(usage)) {
        format!("the usage {usage:?}: the role says what those are")
    } else if let Some(profile) = &request.profile {
        format!("the profile {profile:?}: a role has none")
    } else {
        return Ok(());
    };
    Err(Error::Unserved { certificate: request.certificate.clone(), what })
}

/// What a role gives unless it was told otherwise.
const GIVEN: [Usage; 5] = [
    Usage::ClientAuth,
    Usage::DigitalSignature,
    Usage::KeyAgreement,
    Usage::KeyEncipherment,
    Usage::ServerAuth,
];

impl SignBody {
    /// All that a role takes is in the signing request too, and by default it is read there; roles that were told not
    /// to look there (`use_csr_sans`, `use_csr_common_name`) read it here.
    pub(super) fn of(request: &SigningRequest) -> Self {
        let names = request.names.iter().map(ToString::to_string);
        let named = request.subject.common_name.clone();
        // Most roles insist on a common name (`require_cn`).
        let first = || names.clone().find(|name| name.len() <= LONGEST_COMMON_NAME);
        Self {
            csr: pem(&request.csr_der),
            common_name: named.or_else(first),
            alt_names: joined(names.clone().chain(request.emails.iter().cloned())),
            ip_sans: joined(request.addresses.iter().map(ToString::to_string)),
            uri_sans: joined(request.uris.iter().cloned()),
            ttl: request.duration.map(|duration| format!("{}s", duration.as_secs())),
            exclude_cn_from_sans: true,
        }
    }
}

/// RFC 5280, appendix A.1.
const LONGEST_COMMON_NAME: usize = 64;

/// RFC 7468 §7.
fn pem(request: &[u8]) -> String {
    let text = BASE64.encode(request);
    let lines = text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok());
    let lines = lines.collect::<Vec<_>>().join("\n");
    format!("-----BEGIN CERTIFICATE REQUEST-----\n{lines}\n-----END CERTIFICATE REQUEST-----\n")
}

fn joined(texts: impl Iterator<Item = String>) -> String {
    texts.collect::<Vec<_>>().join(",")
}

/// Whether it is a warning that nobody needs: that a role looks into the signing request, where the same is. What came
/// of it is compared with what was asked for in any case.
pub(super) fn is_usual(warning: &str) -> bool {
    warning.contains("field was provided but the role is set with \"use_csr_")
}

/// What to say of a certificate that ends sooner than was asked for: the role has a limit of its own, or the CA ends.
pub(super) fn shortened(asked: Option<Duration>, facts: &Facts) -> Option<String> {
    let asked = asked?;
    let got = facts.lifetime();
    (got < asked).then(|| {
        format!(
            "asked for {} h, got {} h, until {}: see the max_ttl of role and mount, and the end of its CA",
            asked.as_secs() / 3600,
            got.as_secs() / 3600,
            facts.not_after
        )
    })
}

/// The serial number as Vault writes it: bytes in hex between colons, without the zero that DER has before a high bit.
pub(super) fn serial(hex: &str) -> String {
    let bytes: Vec<&str> =
        hex.as_bytes().chunks(2).filter_map(|pair| std::str::from_utf8(pair).ok()).collect();
    let zeros = bytes.iter().take_while(|byte| **byte == "00").count();
    bytes.get(zeros..).unwrap_or_default().join(":")
}

#[cfg(test)]
mod tests {
    use super::*;
    use perennial_core::{Retry, Timestamp};
    use perennial_lifecycle::{CertificateSpec, IssueErrorClass, KeyAlgorithm, PrivateKey};
    use proptest::prelude::*;

    fn request(spec: &CertificateSpec) -> SigningRequest {
        SigningRequest::of(spec, &PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap()).unwrap()
    }

    fn spec<const N: usize>(names: [&str; N]) -> CertificateSpec {
        CertificateSpec::new("a", names).unwrap()
    }

    #[test]
    fn all_kinds_of_names_and_the_duration_are_asked_for() {
        let spec = spec([
            "a.example",
            "*.a.example",
            "192.0.2.1",
            "2001:db8::1",
            "spiffe://prod/web",
            "ops@a.example",
        ])
        .duration(Duration::from_secs(7_200));
        let body = serde_json::to_value(SignBody::of(&request(&spec))).unwrap();
        assert_eq!(body["common_name"], "a.example");
        assert_eq!(body["alt_names"], "a.example,*.a.example,ops@a.example");
        assert_eq!(body["ip_sans"], "192.0.2.1,2001:db8::1");
        assert_eq!(body["uri_sans"], "spiffe://prod/web");
        assert_eq!(body["ttl"], "7200s");
        assert_eq!(body["exclude_cn_from_sans"], true);
        assert!(body["csr"].as_str().unwrap().lines().all(|line| line.len() <= 64));
    }

    #[test]
    fn the_common_name_is_the_one_that_was_asked_for_or_the_first_that_is_short_enough() {
        let common_name = |spec: &CertificateSpec| SignBody::of(&request(spec)).common_name;
        let wished = spec(["a.example", "b.example"]).subject(Subject::named("b.example"));
        assert!(refuse(&request(&wished)).is_ok());
        assert_eq!(common_name(&wished).as_deref(), Some("b.example"));
        let [longest, longer] = [56, 57].map(|length| format!("{}.example", "a".repeat(length)));
        assert_eq!(common_name(&spec([&longer, &longest, "a.example"])), Some(longest));
    }

    #[test]
    fn what_is_not_asked_for_is_not_sent() {
        let long = format!("{}.{}.example", "a".repeat(60), "b".repeat(60));
        let body = serde_json::to_value(SignBody::of(&request(&spec([long.as_str()])))).unwrap();
        let mut fields: Vec<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
        fields.sort_unstable();
        assert_eq!(fields, ["alt_names", "csr", "exclude_cn_from_sans"]);
    }

    #[test]
    fn what_a_role_would_leave_out_is_refused_by_its_name() {
        let mut subject = Subject::named("a.example");
        subject.organization = Some("Example".to_owned());
        for (spec, says) in [
            (spec(["a.example"]).ca(), "CA certificate"),
            (spec(["a.example"]).subject(subject), "subject"),
            (spec(["a.example"]).usages([Usage::CodeSigning]), "CodeSigning"),
            (spec(["a.example"]).profile("brief"), "brief"),
        ] {
            let error = refuse(&request(&spec)).unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
            assert_eq!((error.class(), error.retry()), (IssueErrorClass::Policy, Retry::Never));
        }
        assert!(refuse(&request(&spec(["a.example"]).usages(GIVEN))).is_ok());
    }

    #[test]
    fn a_shorter_life_is_told_and_a_longer_one_is_none_of_our_business() {
        let rcgen::CertifiedKey { cert, .. } = rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap();
        let mut facts = Facts::from_der(cert.der()).unwrap();
        facts.not_before = Timestamp::from_unix(0);
        facts.not_after = Timestamp::from_unix(72 * 3600);
        let said = shortened(Some(Duration::from_secs(2_160 * 3600)), &facts).unwrap();
        assert!(said.starts_with("asked for 2160 h, got 72 h"), "{said}");
        assert_eq!(shortened(Some(Duration::from_secs(72 * 3600)), &facts), None);
        assert_eq!(shortened(None, &facts), None);
    }

    #[test]
    fn a_field_that_was_not_heeded_for_another_reason_than_the_signing_request_is_worth_a_warning() {
        for (warning, usual) in [
            (
                "the common_name field was provided but the role is set with \"use_csr_common_name\" set to true",
                true,
            ),
            ("the serial_number field was provided but the role does not allow it", false),
            ("TTL of 2160h is greater than maxTTL, so maxTTL is being used", false),
        ] {
            assert_eq!(is_usual(warning), usual, "{warning}");
        }
    }

    #[test]
    fn a_serial_number_is_written_as_vault_writes_it() {
        assert_eq!(serial("00ab01"), "ab:01");
        assert_eq!(serial("52a1a201"), "52:a1:a2:01");
        assert_eq!(serial("008a0001"), "8a:00:01");
        assert_eq!(serial(""), "");
    }

    proptest! {
        #[test]
        fn no_serial_panics(text in ".{0,40}") {
            let _ = serial(&text);
        }
    }
}
