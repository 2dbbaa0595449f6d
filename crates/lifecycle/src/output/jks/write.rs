//! Writing Java key stores.

use perennial_core::{SecretBytes, SecretString, Timestamp};

use super::{KEY_ENTRY, MAGIC, TRUSTED_ENTRY, VERSION, WHITENER, X509, digested, protector, sha1};
use crate::{output::CertifiedKey, trust::TrustBundle};

pub(super) fn key_store(
    password: &SecretString,
    alias: &str,
    key: &CertifiedKey,
    salt: &[u8; protector::SALT],
) -> SecretBytes {
    let mut out = head(1);
    entry(&mut out, KEY_ENTRY, alias, key.facts().not_before);
    block(&mut out, &protector::seal(password, key.private_key_der(), salt));
    number(&mut out, key.chain_der().count());
    key.chain_der().for_each(|der| certificate(&mut out, der));
    finish(password, out)
}

pub(super) fn trust_store(password: &SecretString, anchors: &TrustBundle) -> SecretBytes {
    let mut out = head(anchors.anchors().len());
    for anchor in anchors.anchors() {
        entry(&mut out, TRUSTED_ENTRY, &anchor.alias(), anchor.not_before());
        certificate(&mut out, anchor.der());
    }
    finish(password, out)
}

fn head(entries: usize) -> Vec<u8> {
    let mut out = [MAGIC.to_be_bytes(), VERSION.to_be_bytes()].concat();
    number(&mut out, entries);
    out
}

/// The date of an entry is the first day of its certificate: the store of one certificate is always the same.
fn entry(out: &mut Vec<u8>, kind: u32, alias: &str, since: Timestamp) {
    out.extend_from_slice(&kind.to_be_bytes());
    text(out, alias.as_bytes());
    out.extend_from_slice(&since.unix().max(0).saturating_mul(1_000).to_be_bytes());
}

fn certificate(out: &mut Vec<u8>, der: &[u8]) {
    text(out, X509);
    block(out, der);
}

/// What is longer than its length can say is cut off.
fn text(out: &mut Vec<u8>, text: &[u8]) {
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(text.get(..usize::from(length)).unwrap_or_default());
}

fn block(out: &mut Vec<u8>, bytes: &[u8]) {
    number(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// Nothing here has as many bytes as this cannot count.
fn number(out: &mut Vec<u8>, number: usize) {
    out.extend_from_slice(&u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes());
}

fn finish(password: &SecretString, mut out: Vec<u8>) -> SecretBytes {
    let digest = sha1(&[digested(password).expose(), WHITENER, &out]);
    out.extend_from_slice(digest.as_ref());
    SecretBytes::new(out)
}
