//! What happened, for those who watch.
//!
//! There is one stream of events, and everything that is shown is made of it: log lines, metrics, the [order on record](crate::OrderRecord). An issuer tells its [`Stage`]s and knows of
//! none of these.

use perennial_core::Timestamp;
use serde::Serialize;

use crate::{
    CertificateId, ClockJump, Generation, GivenUp, IssueErrorClass, IssuerName, KeyAlgorithm, Reason,
    Redelivery, SinkName,
};

mod audience;
pub(crate) use audience::Audience;
pub use audience::{Events, Heard};

mod stage;
pub use stage::Stage;

mod text;
pub use text::Severity;

/// Something happened, to one certificate or to all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// To which certificate; `None` where it concerns all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateId>,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

impl Event {
    /// An event about one certificate, or about all of them.
    #[must_use]
    pub const fn new(at: Timestamp, certificate: Option<CertificateId>, kind: EventKind) -> Self {
        Self { at, certificate, kind }
    }
}

/// What happened.
///
/// Each has a [`reason`](Self::reason), the word that cert-manager's users look for, and a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventKind {
    /// A certificate that was there already was taken over; nobody was asked for a new one.
    Adopted {
        /// Where it lies now.
        generation: Generation,
        /// Its last valid moment.
        not_after: Timestamp,
    },
    /// A request may be made.
    Approved {
        /// Who says so.
        by: String,
    },
    /// The clock on the wall has jumped.
    ClockJumped {
        /// Where to, and how far.
        jump: ClockJump,
    },
    /// A request may not be made.
    Denied {
        /// Who says so.
        by: String,
        /// Why.
        reason: String,
    },
    /// It was not delivered to its outputs; the store has it.
    DeliveryFailed {
        /// What went wrong.
        message: String,
        /// When it is tried again.
        retry_at: Timestamp,
    },
    /// An attempt failed; the certificate that serves goes on serving.
    Failed {
        /// Who was asked.
        issuer: IssuerName,
        /// Whose fault it is.
        class: IssueErrorClass,
        /// What went wrong.
        message: String,
        /// When the next attempt is made.
        retry_at: Timestamp,
    },
    /// A new key is written down.
    Generated {
        /// Of which generation.
        generation: Generation,
        /// Its kind.
        algorithm: KeyAlgorithm,
    },
    /// No attempt is made any more until the spec is changed, or [`Keeper::retry`](crate::Keeper::retry) is called.
    GivenUp {
        /// Why.
        why: GivenUp,
    },
    /// A verified certificate is in place.
    Issued {
        /// Who signed it.
        issuer: IssuerName,
        /// Which generation serves now.
        generation: Generation,
        /// When the one that it replaces was due for renewal; `None` where it replaces none.
        #[serde(skip_serializing_if = "Option::is_none")]
        was_due_at: Option<Timestamp>,
        /// Its last valid moment.
        not_after: Timestamp,
        /// When it will be renewed.
        renews_at: Timestamp,
    },
    /// Another issuer than the last one is asked: the first has failed for too long, or is back.
    IssuerChanged {
        /// Who was asked before.
        from: IssuerName,
        /// Who is asked now.
        to: IssuerName,
    },
    /// An attempt begins or is taken up again.
    Issuing {
        /// Why.
        why: Reason,
        /// Whether an earlier attempt goes on where it stopped.
        resumed: bool,
    },
    /// Somebody else has taken the certificate over; the work on it has ended here.
    LeaseLost,
    /// What lies at one of its outputs is not what is wished for, so it was not taken over.
    NotAdopted {
        /// At which one.
        sink: SinkName,
        /// In one word.
        why: Reason,
        /// What is wrong with it.
        message: String,
    },
    /// The budget for an attempt is used up, so none is made now.
    OverBudget {
        /// Which budget, as a person reads it.
        budget: String,
        /// When there is some again.
        until: Timestamp,
    },
    /// A record cannot be read. It was left as it is, and nothing is done about its certificate; one whose key or
    /// chain cannot be read is renewed by its dates.
    Quarantined {
        /// What is wrong with it.
        message: String,
    },
    /// The one that serves was delivered once more.
    Redelivered {
        /// Why.
        why: Redelivery,
    },
    /// A hook has not taken up what was delivered: what serves may be the one before. Nothing is issued or delivered
    /// anew for that.
    ReloadFailed {
        /// Of which sink.
        sink: SinkName,
        /// What went wrong.
        message: String,
        /// When it is tried again.
        retry_at: Timestamp,
    },
    /// A hook has taken up what was delivered.
    Reloaded {
        /// Of which sink.
        sink: SinkName,
        /// What it had to say, fit to be shown.
        #[serde(skip_serializing_if = "String::is_empty")]
        said: String,
    },
    /// It is kept no longer, and the store has nothing of it any more; what was delivered stays.
    Removed,
    /// A request is on record, and an issuer is asked.
    Requested {
        /// Whom.
        issuer: IssuerName,
        /// Which generation it will be.
        generation: Generation,
    },
    /// The key that serves was taken once more, as its rotation policy has it.
    Reused {
        /// Of which generation.
        generation: Generation,
    },
    /// A certificate that must not be trusted any more was not revoked. No new one failed for that.
    RevocationFailed {
        /// Who was asked.
        issuer: IssuerName,
        /// Whose fault it is.
        class: IssueErrorClass,
        /// Its serial number in lower-case hex.
        serial: String,
        /// What went wrong.
        message: String,
        /// When it is tried again; `None` where the issuer refuses for good.
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_at: Option<Timestamp>,
    },
    /// A certificate was revoked.
    Revoked {
        /// Its serial number in lower-case hex.
        serial: String,
    },
    /// The issuer reached a stage.
    Stage {
        /// Which.
        stage: Stage,
    },
    /// The store can be read and written again.
    StoreAvailable,
    /// The store is gone; what was read serves on.
    StoreUnavailable {
        /// What it said.
        message: String,
    },
}
