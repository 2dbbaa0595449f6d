//! The issued certificate (RFC 8555 §7.4.2, §9.1), and whether it is the one that was ordered.
//!
//! What a server sends replaces a certificate that works. So it is read strictly, and
//! [`verify`](CertificateChain::verify) holds it against the key, the names and the clock before anything is
//! overwritten.

mod chain;
pub use chain::CertificateChain;
pub(crate) use chain::MAX_CHAIN_BYTES;

mod facts;
pub(crate) use facts::{Subjects, authority_key_id};

mod fault;
pub use fault::CertificateFault;

mod select;
pub use select::ChainSelector;

mod verify;
pub use verify::Expected;
