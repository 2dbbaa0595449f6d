//! Certificate chains that are none.

use bytes::Bytes;
use http::Response;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

use super::json::body;

type Answer = Response<Bytes>;

fn text(answer: &Answer) -> String {
    String::from_utf8_lossy(answer.body()).into_owned()
}

/// The blocks of a chain, each with its end.
fn blocks(answer: &Answer) -> Vec<String> {
    text(answer).split_inclusive(END).map(|block| format!("{}\n", block.trim())).collect()
}

/// The same certificates, the leaf last.
pub(super) fn reverse(answer: &mut Answer) {
    let mut blocks = blocks(answer);
    blocks.retain(|block| block.contains(END));
    blocks.reverse();
    body(answer, blocks.concat());
}

/// Three quarters of the chain: up to the middle of the last of two certificates.
pub(super) fn cut(answer: &mut Answer) {
    let most = answer.body().len() / 4 * 3;
    answer.body_mut().truncate(most);
}

/// The whole chain so many times.
pub(super) fn repeat(answer: &mut Answer, times: usize) {
    body(answer, text(answer).repeat(times));
}

/// A certificate behind the chain that has nothing to do with it.
pub(super) fn add_stranger(answer: &mut Answer) {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "Nobody's CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let stranger = KeyPair::generate().and_then(|key| params.self_signed(&key));
    body(answer, text(answer) + &stranger.map(|stranger| stranger.pem()).unwrap_or_default());
}

/// A block that calls itself a private key.
pub(super) fn add_key(answer: &mut Answer) {
    body(answer, text(answer) + "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
}

/// Text around the blocks, as some CAs write it (RFC 7468 §5.2).
pub(super) fn annotate(answer: &mut Answer) {
    let blocks = blocks(answer).into_iter().map(|block| format!("Subject: CN=you\r\n{block}\r\n"));
    body(answer, blocks.collect::<String>());
}

/// The leaf without PEM around it.
pub(super) fn leaf_der(answer: &mut Answer) {
    let leaf = CertificateDer::pem_slice_iter(answer.body()).next().and_then(Result::ok);
    body(answer, leaf.map(|leaf| leaf.to_vec()).unwrap_or_default());
}

/// PEM of octets that are no certificate.
pub(super) fn nonsense(answer: &mut Answer) {
    body(answer, "-----BEGIN CERTIFICATE-----\nbm90IGEgY2VydGlmaWNhdGU=\n-----END CERTIFICATE-----\n");
}

/// More text than any chain has, and the chain at its end.
pub(super) fn bury(answer: &mut Answer) {
    body(answer, "There is much to say before.\n".repeat(12_000) + &text(answer));
}

const END: &str = "-----END CERTIFICATE-----";
