//! What a store remembers of one certificate.

use std::{collections::BTreeMap, fmt};

use perennial_core::{Retry, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    CertificateSpec, Delivered, Facts, IssueError, IssueErrorClass, IssuerName, Material, OrderRecord,
    Progress, Reason, SinkName, SuggestedWindow, Transitions, spec::CertificateId,
};

/// What a store remembers of one certificate, secrets apart: those lie in [`Slot`](crate::Slot)s.
///
/// A record is small, so an index of a million fits in memory; keys and chains are read when needed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Record {
    /// The form of this record; a store refuses what is newer than it knows rather than lose fields.
    pub schema: u32,
    /// What the certificate should be.
    pub spec: CertificateSpec,
    /// How often the spec was written: the first is 1, and each change is one more (cert-manager: `generation`).
    #[serde(default = "first_spec")]
    pub spec_generation: u64,
    /// What it is, once there is one.
    pub current: Option<Current>,
    /// Which generation served before, kept to go back to by hand; older ones are forgotten.
    #[serde(default)]
    pub previous: Option<Generation>,
    /// The issuance under way, if any: it survives a crash.
    pub attempt: Option<Attempt>,
    /// What issuers presented and have not removed yet. It outlives the attempt, and is paid after a crash
    /// too.
    #[serde(default)]
    pub debts: Vec<Debt>,
    /// What was delivered to the outputs last; `None` where nobody delivers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivered: Option<Delivered>,
    /// Why it was not delivered, and when that is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undelivered: Option<Failures>,
    /// The sinks whose hooks have not taken up what was delivered last, and how that failed; `None` for one that nobody
    /// has told of it yet.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reloads: BTreeMap<SinkName, Option<Failures>>,
    /// The failures since the last success or change of the spec, with the issuer that is wished for.
    pub failures: Option<Failures>,
    /// The same with those that are asked in its place.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub elsewhere: BTreeMap<IssuerName, Failures>,
    /// Certificates whose keys are in other hands: each is replaced, and then revoked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub compromised: Vec<Compromised>,
    /// When an issuer that is asked first to try it out has said yes last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rehearsed_at: Option<Timestamp>,
    /// What lies at outputs and was not taken over, while there is no certificate.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub not_adopted: BTreeMap<SinkName, NotAdopted>,
    /// That somebody has said no to what is wished for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denied: Option<Denied>,
    /// Who wished for it, if somebody has said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requester: Option<String>,
    /// When somebody asked for it at first sight last, by the day; `None` for one that was wished for in another way,
    /// and in an old record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_at: Option<Timestamp>,
    /// The highest generation ever used; numbers are never used twice.
    pub last_generation: Generation,
    /// Since when its [conditions](crate::conditions) are what they are; an old record does not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transitions: Option<Transitions>,
    /// When somebody should look at it again; [`Timestamp::MIN`] is at once, which an old record is too. The
    /// index of a [`Store`](crate::Store) is made of it.
    #[serde(default = "at_once")]
    pub next_at: Timestamp,
}

const fn first_spec() -> u64 {
    1
}

const fn at_once() -> Timestamp {
    Timestamp::MIN
}

impl Record {
    /// The newest form this library writes.
    pub const SCHEMA: u32 = 1;

    /// A record with a wish and nothing else.
    #[must_use]
    pub const fn new(spec: CertificateSpec) -> Self {
        Self {
            schema: Self::SCHEMA,
            spec,
            spec_generation: first_spec(),
            current: None,
            previous: None,
            attempt: None,
            debts: Vec::new(),
            delivered: None,
            undelivered: None,
            reloads: BTreeMap::new(),
            failures: None,
            elsewhere: BTreeMap::new(),
            compromised: Vec::new(),
            rehearsed_at: None,
            not_adopted: BTreeMap::new(),
            denied: None,
            requester: None,
            asked_at: None,
            last_generation: Generation(0),
            transitions: None,
            next_at: at_once(),
        }
    }

    /// Forgets what went wrong: it succeeded, or something else is wanted.
    pub(crate) fn forget_failures(&mut self) {
        self.failures = None;
        self.elsewhere.clear();
        self.not_adopted.clear();
        self.denied = None;
    }

    /// Whether nobody has asked for it for longer than its spec allows. A clock that was set back says nothing.
    pub(crate) fn is_idle(&self, now: Timestamp) -> bool {
        let asked = self.spec.idleness().zip(self.asked_at);
        asked.is_some_and(|(idleness, asked_at)| now.since(asked_at) > idleness)
    }

    /// Whether the key of a generation is in other hands.
    pub(crate) fn is_compromised(&self, generation: Generation) -> bool {
        self.compromised.iter().any(|compromised| compromised.generation == generation)
    }

    /// Whether something is to be revoked: what is compromised and does not serve any more.
    pub(crate) fn is_to_revoke(&self) -> bool {
        let serving = self.current.as_ref().map(|current| current.generation);
        self.compromised.iter().any(|compromised| Some(compromised.generation) != serving)
    }

    /// Which certificate this is.
    #[must_use]
    pub const fn id(&self) -> &CertificateId {
        self.spec.id()
    }
}

/// Which key and chain of a certificate: the first is 1, each attempt has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(u32);

impl Generation {
    /// The number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }

    /// The one after this. Counting ends at the largest number, which no certificate lives to see.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    pub(crate) const fn from_number(number: u32) -> Self {
        Self(number)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08}", self.0)
    }
}

/// The certificate that serves now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Current {
    /// Where its key and chain lie.
    pub generation: Generation,
    /// What was asked for when it was issued.
    pub issued_for: CertificateSpec,
    /// What it is.
    pub facts: Facts,
    /// When it was stored.
    pub issued_at: Timestamp,
    /// When the CA would like it to be renewed, if it has said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<SuggestedWindow>,
    /// The order that it came from, if its issuer told of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<OrderRecord>,
    /// Who said that it might be asked for, if somebody had to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<String>,
    /// Who issued it; an old record does not know that it was anybody but whom was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued_by: Option<IssuerName>,
    /// When the CA is asked for its wishes next; `None` for one that has none, and in an old record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub poll_at: Option<Timestamp>,
    /// Whether it was there already and was taken over: then no issuer knows of it by an order of ours.
    #[serde(default, skip_serializing_if = "is_false")]
    pub adopted: bool,
    /// How its key and chain were found when somebody looked last; an old record does not know that they were anything
    /// but whole.
    #[serde(default, skip_serializing_if = "is_whole")]
    pub found: Material,
}

impl Current {
    /// One that was stored now.
    pub(crate) const fn new(
        generation: Generation,
        issued_for: CertificateSpec,
        facts: Facts,
        issued_at: Timestamp,
    ) -> Self {
        Self {
            generation,
            issued_for,
            facts,
            issued_at,
            window: None,
            order: None,
            approved_by: None,
            issued_by: None,
            poll_at: None,
            adopted: false,
            found: Material::Whole,
        }
    }

    /// Whether this issuer has issued it for us, so that the next one is a renewal to it.
    pub(crate) fn is_ours_from(&self, issuer: &IssuerName) -> bool {
        !self.adopted && self.issuer() == issuer
    }

    /// Who issued it.
    #[must_use]
    pub fn issuer(&self) -> &IssuerName {
        self.issued_by.as_ref().unwrap_or_else(|| self.issued_for.issuer_name())
    }
}

/// A certificate whose key is in other hands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Compromised {
    /// Where its key and chain lie.
    pub generation: Generation,
    /// Who issued it.
    pub issuer: IssuerName,
    /// When that was said.
    pub at: Timestamp,
}

/// That somebody has said no.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Denied {
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// Why what lies at an output was not taken over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NotAdopted {
    /// In one word.
    pub why: Reason,
    /// What is wrong with it, fit to be shown: 300 characters at most.
    pub message: String,
    /// When that was seen first.
    pub at: Timestamp,
}

/// An issuance under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Attempt {
    /// Where its key lies: written before this attempt was.
    pub generation: Generation,
    /// What is asked for.
    pub asked_for: CertificateSpec,
    /// When it began.
    pub started_at: Timestamp,
    /// How far the issuer has come, in the issuer's own words.
    pub progress: Option<Progress>,
    /// The order that it made, if its issuer has told of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<OrderRecord>,
    /// Who said that it may be made, if somebody had to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<String>,
    /// Who is asked; an old record does not know that it was anybody but whom was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<IssuerName>,
    /// Whether its order was taken from the budgets.
    #[serde(default, skip_serializing_if = "is_false")]
    pub spent: bool,
}

impl Attempt {
    /// One that begins now.
    pub(crate) const fn new(
        generation: Generation,
        asked_for: CertificateSpec,
        started_at: Timestamp,
    ) -> Self {
        Self {
            generation,
            asked_for,
            started_at,
            progress: None,
            order: None,
            approved_by: None,
            issuer: None,
            spent: false,
        }
    }

    /// Who is asked.
    #[must_use]
    pub fn issuer(&self) -> &IssuerName {
        self.issuer.as_ref().unwrap_or_else(|| self.asked_for.issuer_name())
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // What serde calls.
const fn is_whole(found: &Material) -> bool {
    matches!(found, Material::Whole)
}

#[allow(clippy::trivially_copy_pass_by_ref)] // What serde calls.
const fn is_false(value: &bool) -> bool {
    !*value
}

/// Something that an issuer put into the world and must take out again, such as a TXT record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Debt {
    /// Whose.
    pub issuer: IssuerName,
    /// What, in the issuer's own words.
    pub what: Progress,
    /// Since when; an old record does not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

/// Attempts that failed in a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::exhaustive_structs)] // Plain data that simulations and tests make up.
pub struct Failures {
    /// How many.
    pub count: u32,
    /// How many of them, the last ones, were of one class; 0 in an old record that does not know.
    #[serde(default)]
    pub streak: u32,
    /// When the first one failed; an old record does not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_at: Option<Timestamp>,
    /// Since when it is the issuer itself that fails; `None` while something else does, and in an old record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuers_since: Option<Timestamp>,
    /// When the last one failed.
    pub last_at: Timestamp,
    /// When the next one is allowed.
    pub retry_at: Timestamp,
    /// Whose fault the last one was.
    pub class: IssueErrorClass,
    /// What the last one said.
    pub message: String,
    /// What the last one said about trying again.
    pub retry: Retry,
}

impl Failures {
    /// How many of the last ones were of one class; an old record counts all of them.
    pub(crate) const fn streak(&self) -> u32 {
        if self.streak == 0 { self.count } else { self.streak }
    }

    /// The last failure as the error it was: a program that starts again learns what its predecessor knew.
    #[must_use]
    pub fn error(&self) -> IssueError {
        IssueError::new(self.class, self.message.as_str(), self.retry)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A certificate that serves, for tests that need one in a record.
    pub(crate) fn current(generation: u32) -> Current {
        let (der, _) = crate::facts::tests::certificate(&["a.example"], 0, 1_000);
        let spec = CertificateSpec::new("a", ["a.example"]).unwrap();
        Current::new(Generation(generation), spec, Facts::from_der(&der).unwrap(), Timestamp::from_unix(0))
    }
}
