//! How often one server hears the same question: response-rate limiting counts those.
//!
//! It counts more: BIND takes all names of a zone that do not exist for one, and whoever asks for many of them at
//! once may still be limited. What it then drops or truncates goes over TCP as any lost or truncated answer does.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, BuildHasherDefault, Hasher, RandomState},
    time::Duration,
};

use crate::wire::Query;

/// Counts, second by second, which server was asked what.
pub(super) struct Pace {
    limit: u8,
    /// The second that is counted.
    second: u64,
    asked: HashMap<u64, u8, BuildHasherDefault<Hashed>>,
    hashes: RandomState,
}

impl Pace {
    pub(super) fn new(limit: u8) -> Self {
        Self { limit: limit.max(1), second: 0, asked: HashMap::default(), hashes: RandomState::new() }
    }

    /// Whether the question may go out now; if not, when to try again.
    pub(super) fn admit(&mut self, now: Duration, server: u32, query: &Query) -> Result<(), Duration> {
        // A resolver answers from its cache and limits nobody; it is the authorities who do.
        if query.recursion_desired {
            return Ok(());
        }
        if self.second != now.as_secs() {
            self.second = now.as_secs();
            // What one second took the next one may take.
            let room = self.asked.len().max(KEPT);
            self.asked.clear();
            self.asked.shrink_to(room);
        }
        // Two questions with one hash, once in a blue moon, cost one of them a second.
        let mut hasher = self.hashes.build_hasher();
        hasher.write(query.name.as_str().as_bytes());
        hasher.write_u64(u64::from(server) << 16 | u64::from(query.record_type.on_the_wire()));
        let asked = self.asked.entry(hasher.finish()).or_default();
        if *asked == self.limit {
            return Err(Duration::from_secs(self.second + 1));
        }
        *asked += 1;
        Ok(())
    }
}

/// Takes a hash for what it is.
#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn write(&mut self, _octets: &[u8]) {}

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Room that is kept in any case, in questions.
const KEPT: usize = 1 << 12;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::RecordType;

    #[test]
    fn a_server_hears_the_same_question_so_often_in_a_second() {
        let query = Query::authoritative("a.example".parse().unwrap(), RecordType::Txt);
        let other = Query::authoritative("b.example".parse().unwrap(), RecordType::Txt);
        let resolver = Query::recursive("a.example".parse().unwrap(), RecordType::Txt);
        let mut pace = Pace::new(2);
        let at = Duration::from_millis;
        assert_eq!([0, 1, 999].map(|now| pace.admit(at(now), 0, &query)), [Ok(()), Ok(()), Err(at(1000))]);
        assert_eq!(pace.admit(at(999), 1, &query), Ok(()));
        assert_eq!(pace.admit(at(999), 0, &other), Ok(()));
        assert!((0..9).all(|_| pace.admit(at(999), 0, &resolver).is_ok()));
        assert_eq!(pace.admit(at(1000), 0, &query), Ok(()));
    }
}
