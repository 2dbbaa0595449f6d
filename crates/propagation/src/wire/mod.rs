//! DNS messages: RFC 1035 §4, with EDNS (RFC 6891), NSID (RFC 5001) and extended errors (RFC 8914).
//!
//! A [`Query`] goes out, an [`Answer`] comes in. Both hold what a propagation check needs and nothing else.
//! [`Answer::parse`] takes any octets: it is the crate's door to the network.

mod answer;
pub use answer::{Answer, Data, ExtendedError, Malformed, Record, ResponseCode};
pub(crate) use answer::{Unfit, printable};

mod message;
pub(crate) use message::{Likeness, Parsed, likeness, parse};

mod query;
pub(crate) use query::{Edns, Encoded, Style};
pub use query::{Query, RecordType};

mod reader;

#[cfg(test)]
mod tests;
