//! How far an issuer has come.

use perennial_core::Timestamp;
use serde::Serialize;

use crate::{Identifier, OfferedChallenge};

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
    /// The CA has said what it wants proven, and how that can be done.
    AuthorizationFound {
        /// The name or address; of a wildcard, the part after the `*.`.
        identifier: String,
        /// Whether it is for the wildcard of the name.
        wildcard: bool,
        /// The authorization's URL.
        url: String,
        /// Its state then, as on the wire: `pending`, or `valid` where the CA trusts an earlier proof.
        state: String,
        /// The ways that the CA offers.
        offered: Vec<OfferedChallenge>,
    },
    /// The CA was told that a name's proof is in place.
    ChallengeAnswered {
        /// The name.
        name: Identifier,
        /// The type of challenge, as on the wire: `dns-01`.
        kind: String,
    },
    /// The CA wants a name proven, and a way was chosen among those that it offers.
    ChallengeChosen {
        /// The name; of a wildcard, with its `*.`.
        name: Identifier,
        /// The type of challenge.
        kind: String,
        /// The challenge's URL.
        url: String,
    },
    /// The CA has looked and refuses the proof.
    ChallengeFailed {
        /// The name.
        name: Identifier,
        /// What the CA says.
        reason: String,
    },
    /// A name's proof was put where the CA will look.
    ChallengePresented {
        /// The name.
        name: Identifier,
        /// The type of challenge.
        kind: String,
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
    /// The CA has checked one name.
    DomainVerified {
        /// The name.
        name: Identifier,
        /// The type of challenge.
        kind: String,
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
    /// The CA has said where its order is finalized, or where the certificate is.
    OrderDescribed {
        /// Where the signing request goes.
        finalize: String,
        /// Where the certificate is, once it is there.
        #[serde(skip_serializing_if = "Option::is_none")]
        certificate: Option<String>,
    },
    /// The order came to nothing: it is invalid, and the next attempt makes another.
    OrderFailed {
        /// What the CA says.
        reason: String,
    },
    /// Somebody else had removed what was presented, while it was waited for; it is in place again.
    PresentedAgain {
        /// Where.
        at: String,
    },
    /// The proof is visible where the CA will look.
    Propagated {
        /// Where.
        at: String,
    },
    /// The CA asks for less.
    RateLimited {
        /// Which limit, in its words.
        limit: String,
        /// When it will listen again, if it says so.
        #[serde(skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    /// The issuer has signed, without an order.
    Signed {
        /// The certificate's serial number, in lower-case hex.
        serial: String,
        /// By which its request is known at the other side, in logs and audits.
        #[serde(skip_serializing_if = "Option::is_none")]
        request: Option<String>,
    },
    /// The CA has checked every name.
    Validated,
    /// The issuer has something to say about the certificate that it gives: it ends sooner than was asked for.
    Warned {
        /// What, in its words.
        message: String,
    },
}
