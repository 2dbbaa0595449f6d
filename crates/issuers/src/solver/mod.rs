//! Who proves names to a CA.

use std::time::Duration;

use async_trait::async_trait;
use perennial_acme::{
    ChallengeKind,
    challenge::{KeyAuthorization, dns_persist01::Draft},
};
use perennial_core::DomainName;
use perennial_lifecycle::Stage;
use serde::{Deserialize, Serialize};

use crate::Error;

pub mod dns01;
pub use dns01::Dns01;

mod dns_persist01;
pub use dns_persist01::{DnsPersist01, WantedRecord};

pub mod http01;
pub use http01::Http01;

mod look;

mod select;
pub use select::Selector;
pub(crate) use select::{Panel, PassedOver, Seat};

pub mod tls_alpn01;
pub use tls_alpn01::TlsAlpn01;

/// Who proves names to a CA by one type of challenge (RFC 8555 §8).
///
/// The three verbs are apart so that slow ones overlap: all proofs of an order are presented first, then
/// waited for, then the CA is told, and in the end all are removed.
///
/// # Contract
/// - `proof` is pure: it says what will be put where, so that it can be written down before it is. `locate` may look
///   around before that, and MUST NOT change anything anywhere.
/// - `present` and `clean_up` MUST be idempotent: after a crash they are called again with the same proofs.
///   They touch exactly what a proof says and nothing beside it.
/// - `wait` returns when the CA will see every proof, and no later than `deadline`.
/// - `clean_up` of something that was never presented, or is gone, succeeds.
/// - All may be called at once for different orders.
#[async_trait]
pub trait Solver: Send + Sync {
    /// The type of challenge.
    fn kind(&self) -> ChallengeKind;

    /// The DNS provider that it needs, by the name under which its requests are counted, if it needs one.
    fn provider(&self) -> Option<String> {
        None
    }

    /// Which revision of dns-persist-01 it speaks, if its proofs are records that stay. They are made of the challenge
    /// and not by [`proof`](Self::proof), since there is no token in them; they are not on record as owed, and nobody
    /// removes them.
    fn persists(&self) -> Option<Draft> {
        None
    }

    /// What will be put where for this task.
    ///
    /// # Errors
    /// [`Error`] when the name cannot be proven this way.
    fn proof(&self, task: &Task<'_>) -> Result<Proof, Error>;

    /// Where proofs really go, if that is not where their names say: behind an alias, for instance. What is returned,
    /// one for each in the same order, is written down, presented and removed. Provided: where
    /// [`proof`](Self::proof) has put them.
    ///
    /// # Errors
    /// [`Error`] when it cannot be found out, or leads nowhere.
    async fn locate(&self, proofs: Vec<Proof>) -> Result<Vec<Proof>, Error> {
        Ok(proofs)
    }

    /// Puts all proofs in place.
    ///
    /// # Errors
    /// The first failure; some proofs may be in place then.
    async fn present(&self, proofs: &[Proof]) -> Result<(), Error>;

    /// Waits until the CA will see every proof, `deadline` at the longest.
    ///
    /// # Errors
    /// [`Error::Propagation`] with the diagnosis when one is not visible in time.
    async fn wait(&self, proofs: &[Proof], deadline: Duration) -> Result<(), Error>;

    /// The same, and tells what happens meanwhile. Provided: waits, and has nothing to tell.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    async fn wait_and_tell(
        &self,
        proofs: &[Proof],
        deadline: Duration,
        tell: &(dyn Fn(Stage) + Send + Sync),
    ) -> Result<(), Error> {
        let _ = tell;
        self.wait(proofs, deadline).await
    }

    /// Removes all proofs.
    ///
    /// # Errors
    /// The first failure, after all were tried.
    async fn clean_up(&self, proofs: &[Proof]) -> Result<(), Error>;
}

/// A name that a CA wants proven.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Task<'a> {
    /// The name; of a wildcard the part after `*.` (RFC 8555 §7.1.4).
    pub name: &'a DomainName,
    /// What the CA expects to find, in the form that the challenge type derives from it.
    pub key_authorization: &'a KeyAuthorization,
}

impl<'a> Task<'a> {
    /// A task.
    #[must_use]
    pub const fn new(name: &'a DomainName, key_authorization: &'a KeyAuthorization) -> Self {
        Self { name, key_authorization }
    }
}

/// What is put where to prove a name: written down before it is presented, so that it can be removed after a
/// crash too.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Proof {
    /// The type of challenge, as on the wire: `dns-01`.
    pub kind: String,
    /// The name that it proves.
    pub name: DomainName,
    /// Where it is put: the owner name of a TXT record, the URL of a file.
    pub at: String,
    /// What is put there. Not secret: the whole world sees it.
    pub value: String,
    /// What the solver is for that it was made by: of several of one kind it is the one that removes it.
    #[serde(default, skip_serializing_if = "Selector::is_default")]
    pub selector: Selector,
}

impl Proof {
    /// A proof.
    #[must_use]
    pub fn new(
        kind: &ChallengeKind,
        name: DomainName,
        at: impl Into<String>,
        value: impl Into<String>,
    ) -> Self {
        let selector = Selector::new();
        Self { kind: kind.to_string(), name, at: at.into(), value: value.into(), selector }
    }
}

#[cfg(test)]
fn _object_safe(_: &dyn Solver) {}
