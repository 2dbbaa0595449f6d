//! Anti-replay nonces (RFC 8555 §6.5) and the pool that they wait in.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use http::{HeaderMap, HeaderName};
use perennial_core::Timestamp;

/// A value of `Replay-Nonce`: base64url characters only, as RFC 8555 §6.5.1 has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Nonce(String);

impl Nonce {
    /// The nonce of an answer; `None` when there is none, or one that RFC 8555 §6.5.1 tells us to ignore.
    pub(crate) fn from_headers(headers: &HeaderMap) -> Option<Self> {
        Self::parse(headers.get(&REPLAY_NONCE)?.to_str().ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let fits = !text.is_empty() && text.len() <= MAX_NONCE;
        (fits && text.bytes().all(known)).then(|| Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

static REPLAY_NONCE: HeaderName = HeaderName::from_static("replay-nonce");

/// Servers use 22 to 64 characters; what is much longer is meant to fill memory.
const MAX_NONCE: usize = 512;

/// The unused nonces of one server, shared by all its accounts and tasks.
///
/// Newest first, since servers forget the oldest first; at most 64, since more than that many requests are
/// hardly ever under way at once; and none older than an hour, since those are refused more often than not.
#[derive(Debug, Default)]
pub(crate) struct NoncePool(Mutex<VecDeque<(Nonce, Timestamp)>>);

impl NoncePool {
    /// The newest nonce, which is then nobody else's.
    pub(crate) fn take(&self, now: Timestamp) -> Option<Nonce> {
        let mut nonces = self.lock();
        let (nonce, since) = nonces.pop_back()?;
        if now.since(since) > MAX_AGE {
            // All the others are older still.
            nonces.clear();
            return None;
        }
        Some(nonce)
    }

    /// Keeps a nonce for the next request.
    pub(crate) fn put(&self, nonce: Nonce, now: Timestamp) {
        let mut nonces = self.lock();
        if nonces.len() >= CAPACITY {
            nonces.pop_front();
        }
        nonces.push_back((nonce, now));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Forgets all: one was refused, so its contemporaries are suspect.
    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<(Nonce, Timestamp)>> {
        // No code that holds the lock can panic half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const CAPACITY: usize = 64;
const MAX_AGE: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp::from_unix(1_800_000_000);

    fn nonce(text: &str) -> Nonce {
        Nonce::parse(text).unwrap()
    }

    #[test]
    fn rfc8555_6_5_1_nonces_are_base64url() {
        assert!(Nonce::parse("oFvnlFP1wIhRlYS2jTaXbA").is_some());
        for text in ["", "a b", "a=", "a/b", "ü", &"a".repeat(513)] {
            assert_eq!(Nonce::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_newest_goes_first_and_each_only_once() {
        let pool = NoncePool::default();
        pool.put(nonce("old"), NOON);
        pool.put(nonce("new"), NOON);
        assert_eq!(pool.take(NOON), Some(nonce("new")));
        assert_eq!(pool.take(NOON), Some(nonce("old")));
        assert_eq!(pool.take(NOON), None);
    }

    #[test]
    fn the_oldest_makes_room_when_the_pool_is_full() {
        let pool = NoncePool::default();
        for number in 0..=CAPACITY {
            pool.put(nonce(&number.to_string()), NOON);
        }
        let kept: Vec<_> = std::iter::from_fn(|| pool.take(NOON)).collect();
        assert_eq!(kept.len(), CAPACITY);
        assert_eq!(kept.last(), Some(&nonce("1")));
    }

    #[test]
    fn nonces_of_yesterday_are_not_tried() {
        let pool = NoncePool::default();
        pool.put(nonce("a"), NOON);
        pool.put(nonce("b"), NOON);
        assert_eq!(pool.take(NOON + Duration::from_secs(3601)), None);
        assert_eq!(pool.take(NOON), None);
    }
}
