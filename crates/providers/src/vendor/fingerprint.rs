//! Whether two credentials are the same, without either.

use std::{fmt, sync::LazyLock};

use ring::hmac;

/// What a credential is recognized by in this process: never the credential, and nothing that leads to it.
///
/// It is a keyed hash (HMAC-SHA256, RFC 2104) whose key is drawn when the process starts and known to nobody, so
/// that it can be kept where secrets may not, and is worth nothing elsewhere.
///
/// ```
/// use perennial_providers::vendor::Fingerprint;
///
/// assert_eq!(Fingerprint::of(["user", "p4ssword"]), Fingerprint::of(["user", "p4ssword"]));
/// assert_ne!(Fingerprint::of(["user", "p4ssword"]), Fingerprint::of(["userp4", "ssword"]));
/// assert_eq!(format!("{:?}", Fingerprint::of(["p4ssword"])), "Fingerprint(..)");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Of everything that tells this credential from others, secret or not, in the same order each time.
    #[must_use]
    pub fn of<'p>(parts: impl IntoIterator<Item = &'p str>) -> Self {
        Self::over(&[], parts)
    }

    /// Of this credential and what is made of it, such as the role that it is used to take on.
    #[must_use]
    pub fn and<'p>(self, parts: impl IntoIterator<Item = &'p str>) -> Self {
        Self::over(&self.0, parts)
    }

    fn over<'p>(first: &[u8], parts: impl IntoIterator<Item = &'p str>) -> Self {
        let mut context = hmac::Context::with_key(&KEY);
        context.update(first);
        for part in parts {
            // Where one part ends and the next begins.
            context.update(&part.len().to_be_bytes());
            context.update(part.as_bytes());
        }
        let mut hash = [0; 32];
        for (to, from) in hash.iter_mut().zip(context.sign().as_ref()) {
            *to = *from;
        }
        Self(hash)
    }
}

/// Without the hash: it says nothing to anybody.
impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint(..)")
    }
}

static KEY: LazyLock<hmac::Key> =
    LazyLock::new(|| hmac::Key::new(hmac::HMAC_SHA256, &rand::random::<[u8; 32]>()));
