//! What a request asks for that ACME, or this issuer, cannot give.

use perennial_lifecycle::{SigningRequest, Subject, Usage};

use crate::Error;

/// Refuses what would otherwise be left out in silence, or be refused by the CA in its own words.
pub(super) fn refuse(request: &SigningRequest) -> Result<(), Error> {
    let Subject { common_name, .. } = &request.subject;
    let only_named = request.subject == common_name.as_ref().map_or_else(Subject::default, Subject::named);
    let what = if let Some(uri) = request.uris.first() {
        format!("the URI {uri}: no ACME challenge proves one")
    } else if let Some(mailbox) = request.emails.first() {
        format!("the mailbox {mailbox}: this issuer has no solver for one (RFC 8823)")
    } else if let Some(address) = request.addresses.first() {
        format!("the IP address {address}: this issuer has no solver for one (RFC 8738)")
    } else if request.is_ca {
        "a CA certificate: no ACME CA signs one".to_owned()
    } else if !only_named {
        "a subject beside the common name: ACME proves none".to_owned()
    } else if request.duration.is_some() {
        "a duration: choose a profile of the CA".to_owned()
    } else if let Some(usage) = request.usages.iter().find(|usage| !GIVEN.contains(usage)) {
        format!("the usage {usage:?}: choose a profile of the CA")
    } else {
        return Ok(());
    };
    Err(Error::Unserved { certificate: request.certificate.clone(), what })
}

/// What a certificate for a web server has in any case.
const GIVEN: [Usage; 3] = [Usage::DigitalSignature, Usage::KeyEncipherment, Usage::ServerAuth];

#[cfg(test)]
mod tests {
    use super::*;
    use perennial_core::Retry;
    use perennial_lifecycle::{CertificateSpec, IssueErrorClass, KeyAlgorithm, PrivateKey};
    use std::time::Duration;

    fn refused(change: impl FnOnce(CertificateSpec) -> CertificateSpec, name: &str) -> Result<(), Error> {
        let spec = change(CertificateSpec::new("a", [name]).unwrap());
        let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
        refuse(&SigningRequest::of(&spec, &key).unwrap())
    }

    #[test]
    fn what_cannot_be_served_is_refused_by_its_name() {
        let organization = || {
            let mut subject = Subject::named("a.example");
            subject.organization = Some("Example".to_owned());
            subject
        };
        for (refused, says) in [
            (refused(|spec| spec, "spiffe://prod/web"), "spiffe://prod/web"),
            (refused(|spec| spec, "ops@a.example"), "ops@a.example"),
            (refused(|spec| spec, "192.0.2.1"), "192.0.2.1"),
            (refused(CertificateSpec::ca, "a.example"), "CA certificate"),
            (refused(|spec| spec.subject(organization()), "a.example"), "subject"),
            (refused(|spec| spec.duration(Duration::from_secs(86_400)), "a.example"), "duration"),
            (refused(|spec| spec.usages([Usage::CodeSigning]), "a.example"), "CodeSigning"),
        ] {
            let error = refused.unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
            assert_eq!((error.class(), error.retry()), (IssueErrorClass::Policy, Retry::Never));
        }
    }

    #[test]
    fn what_every_certificate_has_is_no_reason_to_refuse() {
        assert!(refused(|spec| spec.usages(GIVEN), "a.example").is_ok());
        assert!(refused(|spec| spec.subject(Subject::named("a.example")), "a.example").is_ok());
    }
}
