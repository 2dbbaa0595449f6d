//! How a Java key store hides a key: a stream of SHA-1 digests of password and salt, and a digest that tells a wrong
//! password.

use perennial_core::{SecretBytes, SecretString};
use x509_parser::asn1_rs::{Any, FromDer as _, OctetString, Sequence};

use super::{digested, read::damaged, sha1};
use crate::{OutputFormat, output::OutputError};

/// How many random bytes a key is hidden with.
pub(super) const SALT: usize = 20;
const DIGEST: usize = 20;

/// The key as `EncryptedPrivateKeyInfo` (RFC 5958 §3) of Java's own algorithm.
pub(super) fn seal(password: &SecretString, key: &SecretBytes, salt: &[u8; SALT]) -> Vec<u8> {
    let password = digested(password);
    let mut sealed = salt.to_vec();
    sealed.extend(streamed(&password, salt, key.expose()));
    sealed.extend_from_slice(sha1(&[password.expose(), key.expose()]).as_ref());
    let octets = tlv(OCTET_STRING, &sealed);
    tlv(SEQUENCE, &[ALGORITHM, &octets].concat())
}

/// The key in PKCS#8 DER.
pub(super) fn open(password: &SecretString, protected: &[u8]) -> Result<SecretBytes, OutputError> {
    let sealed = octets(protected).ok_or_else(|| damaged("its key is hidden in another way"))?;
    let (salt, rest) = sealed.split_at_checked(SALT).ok_or_else(|| damaged("its key is too short"))?;
    let (hidden, check) = rest
        .len()
        .checked_sub(DIGEST)
        .and_then(|at| rest.split_at_checked(at))
        .ok_or_else(|| damaged("its key is too short"))?;
    let password = digested(password);
    let key = SecretBytes::new(streamed(&password, salt, hidden));
    if sha1(&[password.expose(), key.expose()]).as_ref() != check {
        return Err(OutputError::WrongPassword { format: OutputFormat::Jks });
    }
    Ok(key)
}

/// What lies in the structure, if it is of Java's algorithm.
fn octets(protected: &[u8]) -> Option<&[u8]> {
    let (_, whole) = Sequence::from_der(protected).ok()?;
    let content: &[u8] = match &whole.content {
        std::borrow::Cow::Borrowed(content) => content,
        std::borrow::Cow::Owned(_) => return None,
    };
    let rest = content.strip_prefix(ALGORITHM)?;
    let (_, any) = Any::from_der(rest).ok()?;
    OctetString::try_from(&any).ok()?;
    Some(any.data)
}

/// Hides or shows: each digest is of the password and the one before, the first of the salt.
fn streamed(password: &SecretBytes, salt: &[u8], data: &[u8]) -> Vec<u8> {
    let mut last = sha1(&[password.expose(), salt]);
    let mut out = Vec::with_capacity(data.len());
    for block in data.chunks(DIGEST) {
        out.extend(block.iter().zip(last.as_ref()).map(|(byte, mask)| byte ^ mask));
        last = sha1(&[password.expose(), last.as_ref()]);
    }
    out
}

/// Tag, length and value (X.690 §8.1).
fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
    let bytes = value.len().to_be_bytes();
    let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    let significant = bytes.get(first..).unwrap_or_default();
    let mut out = vec![tag];
    match (significant, u8::try_from(significant.len())) {
        ([], _) => out.push(0),
        ([short], _) if *short < LONG => out.push(*short),
        (long, count) => {
            out.push(LONG | count.unwrap_or_default());
            out.extend_from_slice(long);
        }
    }
    out.extend_from_slice(value);
    out
}

const SEQUENCE: u8 = 0x30;
const OCTET_STRING: u8 = 0x04;
const LONG: u8 = 0x80;

/// `AlgorithmIdentifier` of 1.3.6.1.4.1.42.2.17.1.1, without parameters.
const ALGORITHM: &[u8] =
    &[0x30, 0x0e, 0x06, 0x0a, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x2a, 0x02, 0x11, 0x01, 0x01, 0x05, 0x00];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_any_length_is_shown_again_by_its_password_alone() {
        let (password, other) = (SecretString::new("changeit"), SecretString::new("changed"));
        for length in [0, 1, 20, 87, 88, 127, 128, 215, 216, 4_000, 70_000] {
            let key = SecretBytes::new(vec![7; length]);
            let sealed = seal(&password, &key, &[9; SALT]);
            assert!(open(&password, &sealed).unwrap() == key, "{length}");
            let wrong = OutputError::WrongPassword { format: OutputFormat::Jks };
            assert_eq!(open(&other, &sealed).err(), Some(wrong), "{length}");
        }
    }
}
