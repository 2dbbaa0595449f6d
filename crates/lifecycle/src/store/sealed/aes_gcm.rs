//! Envelopes of AES-256-GCM (NIST SP 800-38D) with keys that have numbers.
//!
//! ```text
//! "\xf5seal" 1  key number u32  nonce [12]  ciphertext  tag [16]     numbers have their lowest byte first
//! ```
//!
//! The first ten bytes and the slot are authenticated with the content.

use std::collections::BTreeMap;

use async_trait::async_trait;
use perennial_core::SecretBytes;
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    rand::{SecureRandom as _, SystemRandom},
};

use super::Envelope;
use crate::{StoreError, store::Slot};

/// Seals with AES-256-GCM (NIST SP 800-38D).
///
/// Each key has a number, which is written beside what it has sealed. To change the key, give a new one a new number
/// and keep the old one with [`also_opens`](Self::also_opens) until everything was written anew: each private key
/// is, with its certificate.
///
/// Nonces are random, so one key may seal four thousand million times (§8.3): a million certificates that are
/// renewed every week need eighty years for that.
pub struct Aes256GcmEnvelope {
    number: u32,
    keys: BTreeMap<u32, LessSafeKey>,
    random: SystemRandom,
}

const MAGIC: &[u8; 6] = b"\xf5seal\x01";
const HEAD: usize = MAGIC.len() + 4;

impl Aes256GcmEnvelope {
    /// Seals with this key, and opens what it has sealed.
    #[must_use]
    pub fn new(number: u32, key: &[u8; 32]) -> Self {
        Self { number, keys: BTreeMap::new(), random: SystemRandom::new() }.also_opens(number, key)
    }

    /// And opens what this key has sealed.
    #[must_use]
    pub fn also_opens(mut self, number: u32, key: &[u8; 32]) -> Self {
        // A key of 32 bytes is one for AES-256.
        self.keys.extend(UnboundKey::new(&AES_256_GCM, key).ok().map(|key| (number, LessSafeKey::new(key))));
        self
    }

    fn key(&self, slot: &Slot, number: u32) -> Result<&LessSafeKey, StoreError> {
        self.keys.get(&number).ok_or_else(|| refused(slot, &format!("key {number} is not known")))
    }
}

fn refused(slot: &Slot, reason: &str) -> StoreError {
    StoreError::Sealed { slot: slot.clone(), reason: reason.to_owned() }
}

fn head(number: u32) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    let (magic, octets) = head.split_at_mut(MAGIC.len());
    magic.copy_from_slice(MAGIC);
    octets.copy_from_slice(&number.to_le_bytes());
    head
}

/// What is sealed for one slot is not opened in another. No part of it has a zero byte.
fn authenticated(head: &[u8], slot: &Slot) -> Aad<Vec<u8>> {
    let (kind, owner, generation) = match slot {
        Slot::Chain { certificate, generation } => ("chain", certificate.as_str(), generation.number()),
        Slot::IssuerState { issuer } => ("issuer", issuer.as_str(), 0),
        Slot::PrivateKey { certificate, generation } => ("key", certificate.as_str(), generation.number()),
    };
    Aad::from([head, kind.as_bytes(), b"\0", owner.as_bytes(), b"\0", &generation.to_le_bytes()].concat())
}

#[async_trait]
impl Envelope for Aes256GcmEnvelope {
    async fn seal(&self, slot: &Slot, content: &SecretBytes) -> Result<SecretBytes, StoreError> {
        let key = self.key(slot, self.number)?;
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).map_err(|_| refused(slot, "the system has no random numbers"))?;
        let head = head(self.number);
        let mut sealed =
            Vec::with_capacity(HEAD + NONCE_LEN + content.expose().len() + AES_256_GCM.tag_len());
        sealed.extend_from_slice(&head);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(content.expose());
        let (_, body) = sealed.split_at_mut(HEAD + NONCE_LEN);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = key
            .seal_in_place_separate_tag(nonce, authenticated(&head, slot), body)
            .map_err(|_| refused(slot, "it is too long"))?;
        sealed.extend_from_slice(tag.as_ref());
        Ok(SecretBytes::new(sealed))
    }

    async fn open(&self, slot: &Slot, sealed: &SecretBytes) -> Result<SecretBytes, StoreError> {
        let parts = || {
            let (head, rest) = sealed.expose().split_first_chunk::<HEAD>()?;
            let number = u32::from_le_bytes(*head.strip_prefix(MAGIC)?.first_chunk()?);
            let (nonce, body) = rest.split_first_chunk::<NONCE_LEN>()?;
            Some((head, number, *nonce, body))
        };
        let (head, number, nonce, body) = parts().ok_or_else(|| refused(slot, "it is not sealed"))?;
        let key = self.key(slot, number)?;
        let mut body = body.to_vec();
        let nonce = Nonce::assume_unique_for_key(nonce);
        let length = key
            .open_in_place(nonce, authenticated(head, slot), &mut body)
            .map_err(|_| refused(slot, &format!("key {number} does not open it: it was changed or moved")))?
            .len();
        body.truncate(length);
        Ok(SecretBytes::new(body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Generation;
    use proptest::prelude::*;

    fn slot(generation: u32) -> Slot {
        let generation = Generation::from_number(generation);
        Slot::PrivateKey { certificate: "a".parse().unwrap(), generation }
    }

    fn now<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    #[test]
    fn what_a_key_has_sealed_it_opens_and_an_older_one_too() {
        let old = Aes256GcmEnvelope::new(1, &[1; 32]);
        let new = Aes256GcmEnvelope::new(2, &[2; 32]).also_opens(1, &[1; 32]);
        let key = SecretBytes::new(*b"key");
        for envelope in [&old, &new] {
            let sealed = now(envelope.seal(&slot(1), &key)).unwrap_or_else(|error| panic!("{error}"));
            assert!(now(new.open(&slot(1), &sealed)).is_ok_and(|opened| opened == key));
        }
        let sealed = now(new.seal(&slot(1), &key)).unwrap_or_else(|error| panic!("{error}"));
        let refused = now(old.open(&slot(1), &sealed)).map(drop).unwrap_err();
        assert!(refused.to_string().contains("key 2 is not known"), "{refused}");
    }

    #[test]
    fn nothing_is_sealed_twice_alike() {
        let envelope = Aes256GcmEnvelope::new(1, &[1; 32]);
        let key = SecretBytes::new(*b"key");
        let [one, two] =
            [0, 1].map(|_| now(envelope.seal(&slot(1), &key)).unwrap_or_else(|error| panic!("{error}")));
        assert!(one != two);
    }

    #[test]
    fn what_was_changed_anywhere_or_moved_is_refused() {
        let envelope = Aes256GcmEnvelope::new(1, &[1; 32]);
        let sealed =
            now(envelope.seal(&slot(1), &SecretBytes::new(*b"key"))).unwrap_or_else(|e| panic!("{e}"));
        for at in 0..sealed.expose().len() {
            let mut changed = sealed.expose().to_vec();
            changed[at] ^= 1;
            assert!(now(envelope.open(&slot(1), &SecretBytes::new(changed))).is_err(), "changed at {at}");
            let cut = SecretBytes::new(&sealed.expose()[..at]);
            assert!(now(envelope.open(&slot(1), &cut)).is_err(), "cut at {at}");
        }
        assert!(now(envelope.open(&slot(2), &sealed)).is_err(), "the key of another generation");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80), marked in any::<bool>()) {
            let bytes = if marked { [&head(1)[..], &bytes].concat() } else { bytes };
            let envelope = Aes256GcmEnvelope::new(1, &[1; 32]);
            prop_assert!(now(envelope.open(&slot(1), &SecretBytes::new(bytes))).is_err());
        }
    }
}
