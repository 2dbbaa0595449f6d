//! Where answers are put.

use std::net::SocketAddr;

use async_trait::async_trait;
use perennial_acme::challenge::{Token, http01};
use perennial_core::DomainName;

use crate::{Error, Proof};

/// Where the answers to http-01 challenges are put, so that a web server shows them (RFC 8555 §8.3).
///
/// # Contract
/// - When `put` returns, whoever asks any of the name's servers for [`Http01Answer::path`] is answered with
///   [`Http01Answer::key_authorization`], or will be within the solver's patience.
/// - Both methods MUST be idempotent: after a crash they are called again with the same answer.
/// - `remove` takes away exactly this answer; that it is not there is success.
/// - Both may be called at once for different answers, and MUST return within a bounded time.
#[async_trait]
pub trait Http01Place: Send + Sync {
    /// Has the answer shown.
    ///
    /// # Errors
    /// [`Error`] when it cannot be put there.
    async fn put(&self, answer: &Http01Answer) -> Result<(), Error>;

    /// Has it shown no longer.
    ///
    /// # Errors
    /// [`Error`] when it cannot be removed.
    async fn remove(&self, answer: &Http01Answer) -> Result<(), Error>;

    /// Where it is shown by this machine, if that is known: to tell a server that is missing from one that cannot be
    /// reached by its public address.
    fn locally(&self) -> Option<SocketAddr> {
        None
    }
}

/// What is shown at one name for one challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Http01Answer {
    /// At which name.
    pub name: DomainName,
    /// The last part of the path; base64url, so it can be a file's name.
    pub token: Token,
    /// The body. Not secret: the whole world sees it.
    pub key_authorization: String,
}

impl Http01Answer {
    /// What a proof says.
    pub(super) fn read(proof: &Proof) -> Result<Self, Error> {
        let damaged = |reason: &dyn std::fmt::Display| Error::Configuration {
            reason: format!("a proof on record is damaged: {:?}: {reason}", proof.at),
        };
        let token = proof.at.rsplit_once(http01::DIRECTORY).map(|(_, token)| Token::parse(token));
        let token =
            token.ok_or_else(|| damaged(&"it is no http-01 URL"))?.map_err(|fault| damaged(&fault))?;
        Ok(Self { name: proof.name.clone(), token, key_authorization: proof.value.clone() })
    }

    /// The path at which it is shown.
    #[must_use]
    pub fn path(&self) -> String {
        http01::path(&self.token)
    }
}

#[cfg(test)]
fn _object_safe(_: &dyn Http01Place) {}

#[cfg(test)]
mod tests {
    use super::*;
    use perennial_acme::ChallengeKind;

    fn read(at: &str) -> Result<Http01Answer, Error> {
        Http01Answer::read(&Proof::new(&ChallengeKind::Http01, "a.example".parse().unwrap(), at, "t.k"))
    }

    #[test]
    fn what_was_written_down_is_read_again_and_nothing_but_a_token_becomes_one() {
        let token = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA";
        let at = format!("http://a.example/.well-known/acme-challenge/{token}");
        let answer = read(&at).unwrap();
        assert_eq!((answer.token.as_str(), answer.key_authorization.as_str()), (token, "t.k"));
        assert!(at.ends_with(&answer.path()));
        for at in [
            "",
            "http://a.example/",
            "/.well-known/acme-challenge/../../../../etc/passwd",
            "_acme-challenge.a",
        ] {
            assert!(matches!(read(at), Err(Error::Configuration { .. })), "{at}");
        }
    }
}
