//! What lies on one shelf: answers by their token, as JSON.

use std::{collections::BTreeMap, time::Duration};

use perennial_core::Timestamp;
use serde::{Deserialize, Serialize};

use crate::solver::http01::Http01Answer;

/// The answers of one shelf.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Answers {
    /// By token.
    #[serde(default)]
    answers: BTreeMap<String, Kept>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    key_authorization: String,
    /// When it was put there.
    since: Timestamp,
}

/// No CA keeps an authorization pending for longer than a week: what is older was left behind by somebody who never
/// came back.
const LONGEST: Duration = Duration::from_secs(7 * 86_400);

/// Sixteen shelves have room for as many proofs as are ever under way in one fleet; each is read as a whole.
const MOST: usize = 1_000;

/// A thousand of the longest answers.
const MOST_BYTES: usize = 1024 * 1024;

impl Answers {
    /// What was kept; nothing of nothing.
    pub(super) fn read(kept: Option<&[u8]>) -> Result<Self, String> {
        match kept {
            Some(kept) if kept.len() > MOST_BYTES => Err(format!("it has more than {MOST_BYTES} bytes")),
            Some(kept) => serde_json::from_slice(kept).map_err(|error| error.to_string()),
            None => Ok(Self::default()),
        }
    }

    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, String> {
        serde_json::to_vec(self).map_err(|error| error.to_string())
    }

    /// What is shown for a token.
    pub(super) fn shown(&self, token: &str) -> Option<&str> {
        self.answers.get(token).map(|kept| kept.key_authorization.as_str())
    }

    /// Puts an answer there. Where there is no room the oldest makes some.
    pub(super) fn put(&mut self, answer: &Http01Answer, now: Timestamp) {
        let token = answer.token.as_str();
        if self.shown(token) == Some(&answer.key_authorization) {
            return;
        }
        self.answers.remove(token);
        self.answers.retain(|_, kept| now < kept.since + LONGEST);
        while self.answers.len() >= MOST {
            let oldest = self.answers.iter().min_by_key(|(_, kept)| kept.since);
            let Some(oldest) = oldest.map(|(token, _)| token.clone()) else { break };
            self.answers.remove(&oldest);
        }
        let kept = Kept { key_authorization: answer.key_authorization.clone(), since: now };
        self.answers.insert(token.to_owned(), kept);
    }

    /// Takes exactly this answer away.
    pub(super) fn remove(&mut self, answer: &Http01Answer) {
        if self.shown(answer.token.as_str()) == Some(&answer.key_authorization) {
            self.answers.remove(answer.token.as_str());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use perennial_acme::ChallengeKind;
    use proptest::prelude::*;

    fn answer(number: usize, key_authorization: &str) -> Http01Answer {
        let at = format!("http://a.example/.well-known/acme-challenge/evaGxfADs6pSRb2LAv9IZf{number:05}");
        let name = "a.example".parse().unwrap();
        Http01Answer::read(&crate::Proof::new(&ChallengeKind::Http01, name, at, key_authorization)).unwrap()
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(1_800_000_000 + seconds)
    }

    fn shown(answers: &Answers, number: usize) -> Option<&str> {
        answers.shown(answer(number, "").token.as_str())
    }

    #[test]
    fn an_answer_is_shown_until_exactly_it_is_removed_and_survives_its_own_form() {
        let mut answers = Answers::default();
        answers.put(&answer(1, "one.key"), at(0));
        answers.put(&answer(2, "two.key"), at(1));
        answers.remove(&answer(1, "another.key"));
        assert_eq!((shown(&answers, 1), shown(&answers, 2)), (Some("one.key"), Some("two.key")));
        let read = Answers::read(Some(&answers.to_bytes().unwrap())).unwrap();
        assert_eq!(read, answers);
        answers.remove(&answer(1, "one.key"));
        answers.remove(&answer(1, "one.key"));
        assert_eq!((shown(&answers, 1), shown(&answers, 2)), (None, Some("two.key")));
        assert_eq!(Answers::read(None).unwrap(), Answers::default());
        assert_eq!(Answers::read(Some(b"{}")).unwrap(), Answers::default());
    }

    #[test]
    fn putting_an_answer_again_changes_nothing() {
        let mut answers = Answers::default();
        answers.put(&answer(1, "one.key"), at(0));
        let before = answers.clone();
        answers.put(&answer(1, "one.key"), at(60));
        assert_eq!(answers, before);
        answers.put(&answer(1, "new.key"), at(60));
        assert_eq!(shown(&answers, 1), Some("new.key"));
    }

    #[test]
    fn what_nobody_has_come_back_for_in_a_week_goes_with_the_next_one() {
        let mut answers = Answers::default();
        answers.put(&answer(1, "one.key"), at(0));
        answers.put(&answer(2, "two.key"), at(7 * 86_400 - 1));
        assert_eq!(shown(&answers, 1), Some("one.key"));
        answers.put(&answer(3, "three.key"), at(7 * 86_400));
        assert_eq!((shown(&answers, 1), shown(&answers, 2)), (None, Some("two.key")));
    }

    #[test]
    fn a_full_shelf_lets_the_oldest_go_and_can_still_be_read() {
        let mut answers = Answers::default();
        let longest = "k".repeat(300);
        for number in 0..=MOST {
            answers.put(&answer(number, &longest), at(number.try_into().unwrap()));
        }
        assert_eq!(answers.answers.len(), MOST);
        assert_eq!((shown(&answers, 0), shown(&answers, 1)), (None, Some(longest.as_str())));
        assert_eq!(Answers::read(Some(&answers.to_bytes().unwrap())).unwrap(), answers);
    }

    #[test]
    fn what_is_no_shelf_is_refused() {
        for kept in [&b"not json"[..], b"3", br#"{"answers":3}"#, &vec![b' '; MOST_BYTES + 1]] {
            assert!(Answers::read(Some(kept)).is_err());
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(kept in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Answers::read(Some(&kept));
        }
    }
}
