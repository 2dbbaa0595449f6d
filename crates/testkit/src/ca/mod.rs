//! A certificate authority for tests: RFC 8555 over HTTPS on loopback.
//!
//! Nothing in it is pretended but its standing: it verifies every signature, redeems every nonce once, looks
//! up every challenge in the DNS that it was pointed to, checks the CSR against the order, and issues from a
//! root over an intermediate. Its time is a [`Clock`](perennial_core::Clock), so certificates can age by years in
//! a test. What it does wrong, it does because a [`Quirk`] says so; what no CA should ever do has a catalogue
//! of its own, [`Misbehaviour`].
//!
//! ```
//! use perennial_testkit::ca::{CertificateAuthority, Quirk};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), perennial_testkit::Error> {
//! let ca = CertificateAuthority::builder()
//!     .validate_through(&["127.0.0.1:5353".parse().unwrap()])
//!     .start()
//!     .await?;
//! assert!(ca.directory_url().starts_with("https://127.0.0.1:"));
//! assert!(ca.https_root_pem().starts_with("-----BEGIN CERTIFICATE-----"));
//!
//! ca.add_quirk(Quirk::RejectNonces { times: 3 });
//! // ... and let the client under test obtain a certificate all the same.
//! assert!(ca.requests().is_empty());
//! # Ok(())
//! # }
//! ```

mod account;

mod authority;
pub use authority::{CertificateAuthority, CertificateAuthorityBuilder};

mod authorization;

mod certificate;
pub use certificate::Issued;

mod csr;

mod desk;

mod external_account;

mod hierarchy;

pub(crate) mod https;

mod identifier;

mod jwk;

mod jws;

mod misbehaviour;
pub use misbehaviour::{Field, FieldFault, Misbehaviour};

mod nonce;

mod office;

mod order;
pub use order::{OrderStatus, PlacedOrder};

mod problem;

mod quirk;
pub use quirk::{Flaw, Quirk, RetryAfter};

mod renewal_info;

mod request_log;
pub use request_log::Request;

mod validation;

mod verb;
pub use verb::Verb;
