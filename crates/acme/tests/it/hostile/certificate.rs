//! Certificates that are not what was ordered.

use perennial_testkit::ca::Misbehaviour::*;

use super::{
    Outcome::{Bears, Fails},
    Row, judge,
};

pub(super) const ROWS: &[Row] = &[
    (AlternateElsewhere, Bears),
    (BodyEmpty, Fails("Certificate::Empty")),
    (CertificateAnotherKey, Fails("Certificate::OtherKey")),
    (CertificateAnotherName, Fails("Certificate::OtherNames")),
    (CertificateBrokenChain, Fails("Certificate::BrokenLink")),
    (CertificateCut, Fails("Certificate::NotPem")),
    (CertificateDer, Fails("Certificate::Empty")),
    (CertificateExpired, Fails("Certificate::Expired")),
    (CertificateExtra, Fails("Certificate::BrokenLink")),
    (CertificateHuge, Fails("Misbehaved::TooLarge")),
    (CertificateNonsense, Fails("Certificate::Unreadable")),
    (CertificateNotYetValid, Fails("Certificate::NotYetValid")),
    (CertificatePrivateKey, Fails("Certificate::OtherBlock")),
    (CertificateReversed, Fails("Certificate::OtherKey")),
    (CertificateStatus202, Fails("Misbehaved::Status")),
    (CertificateTwice, Fails("Certificate::Duplicate")),
    (CertificateUrlElsewhere, Fails("Misbehaved::Url")),
    (CertificateUrlHttp, Fails("Misbehaved::Url")),
    (CertificateWithText, Bears),
    (CertificatesWithoutEnd, Fails("Certificate::TooMany")),
];

#[tokio::test(flavor = "multi_thread")]
async fn no_certificate_that_was_not_ordered_is_taken() {
    judge(ROWS).await;
}
