//! How many certificates does the CA issuer sign on one core?
//!
//! Ours: `CaIssuer::issue`, from a signing request in DER, which is read and verified again, to a chain in PEM that is
//! read once more. The peer: rcgen alone reads and verifies the same request, and signs the same certificate with the
//! same key, as PEM. All keys are P-256.

use std::{
    error::Error,
    future::Future,
    hint::black_box,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use perennial_benches::{Effort, compare};
use perennial_core::{SecretString, SystemClock};
use perennial_issuers::{CaIssuer, CaSource};
use perennial_lifecycle::{CertificateSpec, Issuer as _, Journal, KeyAlgorithm, PrivateKey, SigningRequest};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose, SerialNumber, date_time_ymd,
};

pub(crate) fn figures() -> Result<(), Box<dyn Error>> {
    let ca_key = KeyPair::generate()?;
    let mut ca = CertificateParams::default();
    ca.distinguished_name.push(DnType::CommonName, "Example Root");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let chain = ca.self_signed(&ca_key)?.pem();
    let issuer =
        CaIssuer::builder(CaSource::pem(chain, SecretString::new(ca_key.serialize_pem()))).build()?;

    let spec = CertificateSpec::new("host", ["host-1.example.com", "host-1.internal.example.com"])?;
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256)?;
    let request = SigningRequest::of(&spec, &key)?;
    let journal = ready(Journal::in_memory(spec, Arc::new(SystemClock::new())))?;
    ready(issuer.issue(&request, &journal))?;

    let bare = rcgen::Issuer::new(ca, ca_key);
    let ours = || drop(black_box(ready(issuer.issue(black_box(&request), &journal))));
    let peer = || drop(black_box(sign_alone(black_box(&request), &bare)));
    let comparison = compare(EFFORT, ours, peer);
    print(1e9 / comparison.ours.cpu, comparison.ratio.cpu);
    Ok(())
}

fn sign_alone(request: &SigningRequest, issuer: &rcgen::Issuer<'_, KeyPair>) -> Result<String, rcgen::Error> {
    let mut asked = CertificateSigningRequestParams::from_der(&request.csr_der.as_slice().into())?;
    asked.params.serial_number = Some(SerialNumber::from(black_box(0x7fff_ffff_ffff_fff7_u64)));
    (asked.params.not_before, asked.params.not_after) =
        (date_time_ymd(2026, 1, 1), date_time_ymd(2026, 4, 1));
    asked.params.is_ca = IsCa::ExplicitNoCa;
    asked.params.use_authority_key_identifier_extension = true;
    asked.params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    asked.params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    Ok(asked.signed_by(issuer)?.pem())
}

/// A round has some ten milliseconds of each.
const EFFORT: Effort = Effort { rounds: 101, executions: 100 };

#[expect(clippy::print_stdout, reason = "a benchmark's result is what it prints")]
fn print(rate: f64, ratio: f64) {
    println!("figure issuers/ca_certificates_per_second {rate:.0} 1/s peer=rcgen ratio={ratio:.3}");
}

/// A key in memory signs at once: one poll is the whole future.
fn ready<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("a key in memory waits for nothing"),
    }
}
