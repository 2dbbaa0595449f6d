//! What a certificate should be, what it is, what to do next, and where it is kept.
//!
//! The crate knows nothing of ACME, DNS or HTTP: an [`Issuer`] signs, a [`Store`] remembers, and the
//! [`Keeper`] drives both. What decides is pure and takes `now` as a value: [`decide`], [`schedule`],
//! [`ladder`], [`budget`] and [`queue`]. What touches the world is thin.
//!
//! | word | what it is |
//! |---|---|
//! | [`CertificateSpec`] | what a certificate should be |
//! | [`Facts`] | what a certificate is, read from its DER |
//! | [`decide`] | keep, wait, renew, deliver again or give up, and why |
//! | [`Record`] | what a store remembers of one certificate |
//! | [`Keeper`] | issues and renews, every step committed before its side effect |
//!
//! ```
//! use perennial_core::Timestamp;
//! use perennial_lifecycle::{CertificateSpec, Decision, Reason, decide};
//!
//! let spec = CertificateSpec::new("wildcard", ["*.example.com", "example.com"])?;
//! let now = Timestamp::from_unix(1_800_000_000);
//! // There is no certificate yet: the decision needs no server to be told so.
//! assert_eq!(decide(&spec, None, None, now), Decision::Renew { why: Reason::DoesNotExist });
//! # Ok::<(), perennial_lifecycle::SpecError>(())
//! ```

mod approver;
pub use approver::{Approval, ApprovalRequest, Approver, Rules};

mod assembly;
pub use assembly::AssemblyFault;

pub mod budget;

mod chain;
pub use chain::ChainFault;

mod clock_jump;
pub use clock_jump::{ClockJump, ClockWatch};

mod condition;
pub use condition::{Condition, ConditionReason, Conditions, Status, Transition, Transitions, conditions};

mod contract;

mod decide;
pub use decide::{Decision, GivenUp, Holding, Material, Reason, decide, renews_at};
pub(crate) use decide::{decide_record, failures_with, failures_with_next, fault};

mod delivery;
pub use delivery::{Delivered, Delivery, Found, Redelivery};

mod description;
pub use description::{Description, RequestDescription, RequestState, ServingDescription, describe};

mod durable;

mod error;
pub use error::{Contract, Error, StoreError};

mod event;
pub use event::{Event, EventKind, Events, Heard, Severity, Stage};

pub mod failover;

mod facts;
pub use facts::{Facts, FactsError};

mod hook;
pub use hook::{CommandHook, HookError, Reload, ReloadHook};
#[cfg(unix)]
pub use hook::{ReloadSignal, SignalHook};

mod identifier;
pub use identifier::Identifier;

mod issuer;
pub use issuer::{IssueError, IssueErrorClass, IssuedChain, Issuer, Revocation, SigningRequest};

mod journal;
pub use journal::{Journal, Progress};

mod keeper;
pub use keeper::{Certificate, Issued, Keeper, KeeperBuilder, Outcome, Workload};

pub use perennial_core::{KeyAlgorithm, KeyError, PrivateKey};

pub mod ladder;

mod leaf;

mod maintenance;
pub use maintenance::MaintenanceWindow;

#[cfg(feature = "metrics")]
pub mod metrics;

mod on_demand;
pub use on_demand::OnDemand;

mod order_record;
pub use order_record::{
    AuthorizationRecord, ChallengeRecord, ChallengeState, OfferedChallenge, OrderRecord, OrderState,
};

pub mod output;

pub mod queue;

mod record;
pub use record::{Attempt, Compromised, Current, Debt, Denied, Failures, Generation, NotAdopted, Record};

pub mod rest;

pub mod schedule;
pub use schedule::RenewalPolicy;

mod sink;
pub use sink::{Deposit, FileSink, Shipment, Sink, SinkError};

mod spec;
pub use spec::{
    CertificateId, CertificateSpec, IssuerName, KeyRotation, Output, OutputFormat, SecretTemplate, SinkName,
    SpecError, Subject, Usage,
};

pub mod store;
pub use store::{FileStore, MemoryStore, Slot, Store, Version};

pub mod trust;

mod window;
pub use window::SuggestedWindow;
