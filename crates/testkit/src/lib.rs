//! An honest little internet for tests.
//!
//! Programs that obtain certificates fail at the seams: a name server that lags, a resolver that answers for
//! a zone it does not own, a certificate authority that is busy just now. This crate brings those seams into
//! a test, on loopback and without waiting.
//!
//! | module | what it is |
//! |---|---|
//! | [`ca`] | an ACME certificate authority that really validates, and can be told to misbehave |
//! | [`clock`] | a clock that moves when the test says so |
//! | [`dns`] | name servers that lag, lie and drop, and a resolver |
//! | [`guard`] | a child process that dies with the test |
//! | [`real`] | BIND, unbound and Pebble, started for a test |
//! | `specification` | vendors' own documents as judges of what is sent to them (feature `specifications`) |
//! | [`vendor`] | DNS vendors' HTTP interfaces, strict and steerable |
//! | [`World`] | all of it as one scene |

pub mod ca;
pub use ca::CertificateAuthority;

pub mod clock;
pub use clock::{ManualClock, SkippingClock};

pub mod dns;

mod error;
pub use error::Error;

pub mod guard;
pub use guard::ChildGuard;

pub mod real;

#[cfg(feature = "specifications")]
pub mod specification;

mod sync;

pub mod vendor;

mod world;
pub use world::{World, WorldBuilder};
