//! What happened, for those who watch.

use perennial_core::{DomainName, Timestamp};
use serde::Serialize;

use crate::{CertificateId, Reason};

/// Something happened to one certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// To which certificate.
    pub certificate: CertificateId,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventKind {
    /// An attempt failed; the certificate that serves goes on serving.
    Failed {
        /// What went wrong.
        message: String,
        /// When the next attempt is made.
        retry_at: Timestamp,
    },
    /// A verified certificate is in place.
    Issued {
        /// Its last valid moment.
        not_after: Timestamp,
        /// When it will be renewed.
        renews_at: Timestamp,
    },
    /// An attempt begins or is taken up again.
    Issuing {
        /// Why.
        why: Reason,
        /// Whether an earlier attempt goes on where it stopped.
        resumed: bool,
    },
    /// The issuer reached a stage.
    Stage {
        /// Which.
        stage: Stage,
    },
}

/// How far an issuer has come. Each is told after it is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "stage", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Stage {
    /// The account at the CA is known.
    AccountReady {
        /// Its URL.
        url: String,
    },
    /// The CA was told that a name's proof is in place.
    ChallengeAnswered {
        /// The name.
        name: DomainName,
    },
    /// A name's proof was put where the CA will look.
    ChallengePresented {
        /// The name.
        name: DomainName,
        /// Where, as a person would look for it.
        at: String,
    },
    /// What was presented is gone again.
    CleanedUp {
        /// Where it was.
        at: String,
    },
    /// What was presented could not be removed; it stays a recorded debt.
    CleanUpFailed {
        /// Where it is.
        at: String,
        /// Why.
        reason: String,
    },
    /// The signing request was sent.
    Finalized,
    /// The chain was downloaded and verified.
    Downloaded,
    /// The CA took the order.
    OrderCreated {
        /// Its URL.
        url: String,
    },
    /// The proof is visible where the CA will look.
    Propagated {
        /// Where.
        at: String,
    },
    /// The CA has checked every name.
    Validated,
}
