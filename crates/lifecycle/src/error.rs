//! What can go wrong, sorted by whose fault it is.

use std::path::PathBuf;

use perennial_core::{Retry, Timestamp};

use crate::{
    CertificateId, ChainFault, FactsError, GivenUp, IssueError, IssuerName, KeyAlgorithm, KeyError,
    OutputFormat, SinkName, SpecError, Usage,
    budget::{BudgetKey, Refusal},
    store::{Fence, Slot, Version},
};

/// What can go wrong while certificates are kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The issuer returned something other than what was asked for; it was not stored.
    #[error("the issuer's certificate for {id} was refused: {fault}")]
    Contract {
        /// For which certificate.
        id: CertificateId,
        /// What is wrong with it.
        fault: Contract,
    },
    /// Somebody has said no to it.
    #[error("certificate {id} was denied: {reason}; change its spec to ask again")]
    Denied {
        /// Which certificate.
        id: CertificateId,
        /// Why, in the words of whoever said no.
        reason: String,
    },
    /// No attempt is made any more.
    #[error("certificate {id} is given up: {why}; change its spec to begin anew")]
    GivenUp {
        /// Which certificate.
        id: CertificateId,
        /// Why.
        why: GivenUp,
    },
    /// Another process works on it.
    #[error(
        "certificate {id} is held by another process: it works on it, or will be taken over when its lease ends"
    )]
    Held {
        /// Which certificate.
        id: CertificateId,
    },
    /// The issuer returned no chain.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// A key could not be made or read.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The keeper has no issuer of this name.
    #[error("there is no issuer {issuer:?}, known are: {known}")]
    NoSuchIssuer {
        /// The name.
        issuer: IssuerName,
        /// Those that the keeper has, separated by commas.
        known: String,
    },
    /// A certificate that nobody wished for is not to be had at first sight.
    #[error("no certificate for {name} is to be had at first sight: {reason}")]
    NotOnDemand {
        /// For which name.
        name: String,
        /// Why.
        reason: String,
    },
    /// What may be asked for is used up.
    #[error("certificate {id} waits: {refusal}")]
    OverBudget {
        /// Which certificate.
        id: CertificateId,
        /// Which budget, and until when.
        refusal: Refusal,
    },
    /// The issuer fails everybody, and is left alone for a while.
    #[error("issuer {issuer} fails everybody and is left alone until {until}: {message}")]
    Resting {
        /// Which issuer.
        issuer: IssuerName,
        /// Until when.
        until: Timestamp,
        /// What it said last.
        message: String,
    },
    /// The spec is wrong.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The keeper was shut down.
    #[error("the keeper of {id} was shut down")]
    ShutDown {
        /// Which certificate was waited for.
        id: CertificateId,
    },
    /// Nobody keeps a certificate of this id.
    #[error("no certificate {id} is kept: call keep first")]
    UnknownCertificate {
        /// The id.
        id: CertificateId,
    },
    /// The spec names an issuer that the keeper has not.
    #[error("certificate {id} wants issuer {issuer:?}, known are: {known}")]
    UnknownIssuer {
        /// Which certificate.
        id: CertificateId,
        /// The issuer's name.
        issuer: IssuerName,
        /// Those that the keeper has, separated by commas.
        known: String,
    },
    /// The spec names a place to deliver to that the keeper has not.
    #[error("certificate {id} wants sink {sink}, known are: {known}")]
    UnknownSink {
        /// Which certificate.
        id: CertificateId,
        /// The sink's name.
        sink: SinkName,
        /// Those that the keeper has, separated by commas.
        known: String,
    },
    /// The spec wants a form of output that the place does not take.
    #[error("certificate {id}: sink {sink} takes no {format}: ask for another form, or for another sink")]
    UnsupportedFormat {
        /// Which certificate.
        id: CertificateId,
        /// The sink's name.
        sink: SinkName,
        /// The form.
        format: OutputFormat,
    },
}

impl Error {
    /// Whether the store is busy or gone, for now and for everybody.
    pub(crate) const fn is_the_stores(&self) -> bool {
        match self {
            Self::Issue(error) => error.is_the_stores(),
            Self::Store(error) => error.is_unavailable(),
            _ => false,
        }
    }

    /// Whether and when to try again.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        match self {
            Self::Issue(error) => error.retry(),
            Self::Store(error) => error.retry(),
            Self::Contract { .. } | Self::Held { .. } => Retry::Backoff,
            Self::OverBudget { refusal, .. } => Retry::At(refusal.until),
            Self::Resting { until, .. } => Retry::At(*until),
            Self::Denied { .. }
            | Self::GivenUp { .. }
            | Self::Key(_)
            | Self::NoSuchIssuer { .. }
            | Self::NotOnDemand { .. }
            | Self::ShutDown { .. }
            | Self::Spec(_)
            | Self::UnknownCertificate { .. }
            | Self::UnknownIssuer { .. }
            | Self::UnknownSink { .. }
            | Self::UnsupportedFormat { .. } => Retry::Never,
        }
    }
}

/// What is wrong with a certificate that an issuer returned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Contract {
    /// Its chain does not hold together.
    #[error("its chain does not hold together: {0}")]
    Chain(#[from] ChainFault),
    /// It has ended already.
    #[error("it ended at {not_after}, it is {now} now")]
    Expired {
        /// Its end.
        not_after: Timestamp,
        /// Our clock.
        now: Timestamp,
    },
    /// It may sign others.
    #[error("it is a CA certificate, not a leaf")]
    IsCa,
    /// It may not sign others, though that was asked for.
    #[error("it is no CA certificate, and one was asked for")]
    IsNoCa,
    /// Its key is not ours.
    #[error("it has another key than the one asked for")]
    Key,
    /// Its key is of another kind than the one asked for.
    #[error("its key is of kind {}, and {wanted} was asked for", kind(*found))]
    KeyAlgorithm {
        /// Its kind; `None` for one that no spec can ask for.
        found: Option<KeyAlgorithm>,
        /// What was asked for.
        wanted: KeyAlgorithm,
    },
    /// Bytes that are no certificate.
    #[error(transparent)]
    Malformed(FactsError),
    /// Its names differ.
    #[error("its names differ: missing {missing:?}, not asked for {unexpected:?}")]
    Names {
        /// Asked for, not in it.
        missing: Vec<String>,
        /// In it, not asked for.
        unexpected: Vec<String>,
    },
    /// It begins too far in the future for our clock to be merely late.
    #[error("it begins at {not_before}, it is {now} now: check this machine's clock")]
    NotYetValid {
        /// Its beginning.
        not_before: Timestamp,
        /// Our clock.
        now: Timestamp,
    },
    /// Its subject differs in an attribute that was asked for.
    #[error("its {field} is {}, and {wanted:?} was asked for", text(found.as_deref()))]
    Subject {
        /// Which attribute, as the spec calls it.
        field: &'static str,
        /// What is there, if anything is.
        found: Option<String>,
        /// What was asked for.
        wanted: String,
    },
    /// Its key may not be used for all that was asked for.
    #[error("its key may not be used for {missing:?}, which was asked for")]
    Usages {
        /// Asked for, not in it.
        missing: Vec<Usage>,
    },
}

/// Why a store could not read or write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Somebody else took from a budget in between: read it again and decide again.
    #[error(
        "the budget for {key} was changed by somebody else: expected version {expected:?}, found {found:?}"
    )]
    BudgetConflict {
        /// Which budget.
        key: BudgetKey,
        /// The version that the writer had read; `None` for one that nobody had used.
        expected: Option<Version>,
        /// The version there now.
        found: Option<Version>,
    },
    /// Somebody else wrote in between: read again and decide again.
    #[error("certificate {id} was changed by somebody else: expected version {expected:?}, found {found:?}")]
    Conflict {
        /// Which certificate.
        id: CertificateId,
        /// The version that the writer had read; `None` for a new record.
        expected: Option<Version>,
        /// The version there now.
        found: Option<Version>,
    },
    /// A record cannot be read. It is left as it is.
    #[error("{} is damaged: {reason}; it was left as it is: restore it or move it away", path.display())]
    Damaged {
        /// Where it lies.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Somebody else has taken the certificate over, or it was let go.
    #[error("claim {held} of certificate {id} is over, {}: stop working on it", whose(*newest))]
    Fenced {
        /// Which certificate.
        id: CertificateId,
        /// The claim that the writer had.
        held: Fence,
        /// The claim of whoever holds it now; `None` when nobody does.
        newest: Option<Fence>,
    },
    /// The operating system refuses.
    #[error("cannot {doing} {}: {reason}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// The operating system's reason.
        reason: String,
    },
    /// Another process has the store.
    #[error("the store {} is in use by another process: stop it, or use another directory", path.display())]
    Locked {
        /// Which store.
        path: PathBuf,
    },
    /// Written by a newer version.
    #[error(
        "certificate {id} was written in schema {found}, this version knows {known}: update this program"
    )]
    NewerSchema {
        /// Which certificate.
        id: CertificateId,
        /// Its schema.
        found: u32,
        /// The newest known.
        known: u32,
    },
    /// The store itself was written by a newer version.
    #[error("the store {} was written in schema {found}, this version knows {known}: update this program", path.display())]
    NewerStore {
        /// Which file of it says so.
        path: PathBuf,
        /// Its schema.
        found: u32,
        /// The newest known.
        known: u32,
    },
    /// A secret cannot be sealed, or what was sealed cannot be opened.
    #[error("{slot} cannot be sealed or opened: {reason}")]
    Sealed {
        /// Where it lies.
        slot: Slot,
        /// Why, in words that hold no secret.
        reason: String,
    },
    /// Somebody else wrote a slot in between: read it again and decide again.
    #[error("{slot} was written by somebody else in between")]
    SlotConflict {
        /// Which slot.
        slot: Slot,
    },
    /// A record that names material which is not there.
    #[error("{slot} is missing from the store")]
    SlotMissing {
        /// What is missing.
        slot: Slot,
    },
    /// A store on another machine cannot be reached, or refuses.
    #[error("cannot {doing} {store}: {reason}")]
    Unavailable {
        /// What was tried.
        doing: &'static str,
        /// Which store: where it is, and nobody's password.
        store: String,
        /// The other side's reason, or the network's.
        reason: String,
    },
}

impl StoreError {
    /// Whether the store is busy or gone, for now and for everybody: that says nothing about any one certificate.
    pub(crate) const fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// Whether and when to try again.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        match self {
            Self::BudgetConflict { .. }
            | Self::Conflict { .. }
            | Self::Fenced { .. }
            | Self::Io { .. }
            | Self::Locked { .. }
            | Self::SlotConflict { .. }
            | Self::Unavailable { .. } => Retry::Backoff,
            Self::Damaged { .. }
            | Self::NewerSchema { .. }
            | Self::NewerStore { .. }
            | Self::Sealed { .. }
            | Self::SlotMissing { .. } => Retry::Never,
        }
    }
}

fn kind(found: Option<KeyAlgorithm>) -> String {
    found.map_or_else(|| "that nobody can ask for".to_owned(), |found| found.to_string())
}

fn text(found: Option<&str>) -> String {
    found.map_or_else(|| "not there".to_owned(), |found| format!("{found:?}"))
}

fn whose(newest: Option<Fence>) -> String {
    newest.map_or_else(
        || "nobody holds it".to_owned(),
        |newest| format!("somebody else has it by claim {newest}"),
    )
}
