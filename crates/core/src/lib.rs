//! The few words that the perennial crates share.
//!
//! A sibling crate speaks of names, moments, waiting, secrets and HTTP in these types, and of nothing else
//! in common. Protocols live elsewhere: this crate knows none.
//!
//! | word | what it is |
//! |---|---|
//! | [`DomainName`] | a DNS name as it goes on the wire: A-labels, lower case, length-checked, maybe a wildcard |
//! | [`Timestamp`] | a moment in whole seconds, RFC 3339 in and out |
//! | [`Clock`] | who knows the time and can wait; a test holds it still |
//! | [`Retry`] | what an error says about trying again |
//! | [`SecretString`], [`SecretBytes`] | values that never print and are wiped when dropped |
//! | `PrivateKey` | a certificate's key and the requests that it signs (feature `keys`) |
//! | [`HttpClient`] | one request out, one response back; [`Request`](::http::Request) and [`Response`](::http::Response) over [`Bytes`](bytes::Bytes) |

mod clock;
pub use clock::Clock;
#[cfg(feature = "tokio")]
pub use clock::SystemClock;

mod domain_name;
pub use domain_name::{DomainName, DomainNameError};

pub mod http;
#[cfg(feature = "reqwest")]
pub use self::http::ReqwestClient;
pub use self::http::{HttpClient, HttpError};

#[cfg(feature = "keys")]
mod key;
#[cfg(feature = "keys")]
pub use key::{KeyAlgorithm, KeyError, PrivateKey, RequestedNames};

pub mod pkcs8;

mod retry;
pub use retry::Retry;

mod secret;
pub use secret::{SecretBytes, SecretError, SecretString};

mod timestamp;
pub use timestamp::{Timestamp, TimestampError};
