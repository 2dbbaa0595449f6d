//! The keys that a server may know: one, or the old and the new one while keys are changed.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{Algorithm, KeyFileError, TsigKey, TsigKeyError, key_file, tsig::Weak};
use crate::vendor::Credential;

/// The keys of one provider, the one that was accepted last first.
///
/// When keys are changed, the server and its clients do not change at one moment. A client that has both keys
/// works before, while and after the server is told of the new one and forgets the old one.
#[derive(Debug, Default)]
pub(super) struct Keys {
    held: Mutex<Vec<TsigKey>>,
    /// Those that were given beside the source, and stay when it is read again.
    given: Vec<TsigKey>,
    source: Option<Source>,
}

/// Where keys come from that may be others later.
#[derive(Clone)]
enum Source {
    /// A file of keys.
    File(PathBuf, Weak),
    /// The secret of one key.
    Secret { name: String, algorithm: Algorithm, secret: Credential },
}

/// Without the secret.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, _) => f.debug_tuple("File").field(path).finish(),
            Self::Secret { name, .. } => f.debug_struct("Secret").field("name", name).finish_non_exhaustive(),
        }
    }
}

impl Keys {
    /// Those of a file, which is read again when none of them is accepted.
    pub(super) fn of_file(path: &Path, weak: Weak) -> Result<Self, KeyFileError> {
        let keys = key_file::read(path, weak)?;
        let source = Some(Source::File(path.to_owned(), weak));
        Ok(Self { held: Mutex::new(keys), given: Vec::new(), source })
    }

    /// One whose secret is read again when it is not accepted.
    pub(super) fn of_secret(
        name: &str,
        algorithm: Algorithm,
        secret: Credential,
    ) -> Result<Self, TsigKeyError> {
        let key = TsigKey::new(name, algorithm, &secret.current())?;
        let source = Some(Source::Secret { name: name.to_owned(), algorithm, secret });
        Ok(Self { held: Mutex::new(vec![key]), given: Vec::new(), source })
    }

    pub(super) fn add(&mut self, key: TsigKey) {
        self.given.push(key.clone());
        self.held.get_mut().unwrap_or_else(PoisonError::into_inner).push(key);
    }

    /// The keys in the order in which they are to be tried.
    pub(super) fn in_turn(&self) -> Vec<TsigKey> {
        self.lock().clone()
    }

    /// That the server accepted this key: it is tried first from now on.
    pub(super) fn accepted(&self, key: &TsigKey) {
        let mut held = self.lock();
        if let Some(at) = held.iter().position(|other| other == key) {
            held[..=at].rotate_right(1);
        }
    }

    /// Those that are there now besides these, which the server refused: of several who are refused at one time, each
    /// learns of what the first one has read. What cannot be read changes nothing: the refusal tells what is wrong.
    pub(super) fn news(&self, tried: &[TsigKey]) -> Vec<TsigKey> {
        let read = match &self.source {
            None => return Vec::new(),
            Some(Source::File(path, weak)) => key_file::read(path, *weak).map_err(|error| error.to_string()),
            Some(Source::Secret { name, algorithm, secret }) => {
                let key = TsigKey::new(name, *algorithm, &secret.current());
                key.map(|key| vec![key]).map_err(|error| error.to_string())
            }
        };
        let mut keys = match read {
            Ok(keys) => keys,
            Err(error) => {
                tracing::warn!(source = ?self.source, error, "the keys cannot be read again");
                return Vec::new();
            }
        };
        keys.extend(self.given.iter().cloned());
        let mut held = self.lock();
        let is_other =
            keys.iter().any(|key| !held.contains(key)) || held.iter().any(|key| !keys.contains(key));
        if is_other {
            *held = keys;
        }
        held.iter().filter(|key| !tried.contains(key)).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<TsigKey>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clone for Keys {
    fn clone(&self) -> Self {
        Self { held: Mutex::new(self.in_turn()), given: self.given.clone(), source: self.source.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rfc2136::Algorithm;

    fn key(name: &str) -> TsigKey {
        TsigKey::new(name, Algorithm::HmacSha256, &"c2VjcmV0".into()).unwrap()
    }

    fn names(keys: &[TsigKey]) -> Vec<String> {
        keys.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_key_that_was_accepted_last_is_tried_first() {
        let mut keys = Keys::default();
        ["a", "b", "c"].into_iter().for_each(|name| keys.add(key(name)));
        keys.accepted(&key("c"));
        assert_eq!(names(&keys.in_turn()), ["c. hmac-sha256", "a. hmac-sha256", "b. hmac-sha256"]);
        keys.accepted(&key("c"));
        keys.accepted(&key("unknown"));
        // The same name with another secret is another key.
        let other = TsigKey::new("b", Algorithm::HmacSha256, &"b3RoZXI=".into()).unwrap();
        keys.accepted(&other);
        assert_eq!(names(&keys.in_turn())[0], "c. hmac-sha256");
    }

    #[test]
    fn a_file_that_was_changed_has_news_for_all_who_were_refused_and_a_broken_one_changes_nothing() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "old:hmac-sha256:c2VjcmV0").unwrap();
        let keys = Keys::of_file(file.path(), Weak::Refused).unwrap();
        let old = keys.in_turn();
        assert!(keys.news(&old).is_empty());
        std::fs::write(file.path(), "old:hmac-sha256:c2VjcmV0\nnew:hmac-sha256:c2VjcmV0").unwrap();
        for _ in 0..2 {
            assert_eq!(names(&keys.news(&old)), ["new. hmac-sha256"]);
        }
        keys.accepted(&key("new"));
        let both = keys.in_turn();
        assert!(keys.news(&both).is_empty());
        assert_eq!(names(&keys.in_turn()), ["new. hmac-sha256", "old. hmac-sha256"], "the order stays");
        std::fs::write(file.path(), "key {").unwrap();
        assert!(keys.news(&both).is_empty());
        assert_eq!(keys.in_turn().len(), 2);
        // A copy reads the same file.
        let copy = keys.clone();
        std::fs::write(file.path(), "third:hmac-sha256:c2VjcmV0").unwrap();
        assert_eq!(names(&copy.news(&both)), ["third. hmac-sha256"]);
        // The same name with another secret is another key.
        std::fs::write(file.path(), "new:hmac-sha256:b3RoZXI=").unwrap();
        assert_eq!(keys.news(&both).len(), 1);
    }

    #[test]
    fn a_key_that_was_given_beside_a_file_stays() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "old:hmac-sha256:c2VjcmV0").unwrap();
        let mut keys = Keys::of_file(file.path(), Weak::Refused).unwrap();
        keys.add(key("given"));
        std::fs::write(file.path(), "new:hmac-sha256:c2VjcmV0").unwrap();
        assert_eq!(names(&keys.news(&keys.in_turn())), ["new. hmac-sha256"]);
        assert_eq!(names(&keys.in_turn()), ["new. hmac-sha256", "given. hmac-sha256"]);
    }

    #[test]
    fn a_secret_in_a_file_is_read_again_and_never_shown() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "c2VjcmV0\n").unwrap();
        let secret = Credential::from_file(file.path()).unwrap_or_else(|error| panic!("{error}"));
        let keys = Keys::of_secret("acme-key", Algorithm::HmacSha256, secret).unwrap();
        let news = |keys: &Keys| keys.news(&keys.in_turn());
        assert!(news(&keys).is_empty() && keys.in_turn().len() == 1);
        std::fs::write(file.path(), "bmV3ZXI=\n").unwrap();
        assert_eq!(names(&news(&keys.clone())), ["acme-key. hmac-sha256"]);
        assert_eq!(news(&keys).len(), 1);
        assert!(news(&keys).is_empty() && keys.in_turn().len() == 1);
        std::fs::write(file.path(), "not base64!").unwrap();
        assert!(news(&keys).is_empty() && keys.in_turn().len() == 1);
        assert!(!format!("{keys:?}").contains("bmV3ZXI"), "{keys:?}");
    }
}
