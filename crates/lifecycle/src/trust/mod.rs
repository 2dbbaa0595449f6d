//! What relying parties trust: sets of trust anchors, and how they change hands.
//!
//! A root that is replaced is trusted beside its successor for a while: the new one is handed out before anything is
//! issued under it, and the old one stays while a certificate of it serves. [`TrustBundle::succeeded_by`] is that rule.

mod anchor;
pub use anchor::{Anchor, AnchorFault};

mod bundle;
pub use bundle::TrustBundle;

mod error;
pub use error::TrustError;

mod fingerprint;
pub use fingerprint::Fingerprint;
