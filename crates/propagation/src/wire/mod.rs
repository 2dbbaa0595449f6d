//! DNS messages: RFC 1035 §4, with EDNS (RFC 6891), NSID (RFC 5001) and extended errors (RFC 8914).
//!
//! A [`Query`] goes out, an [`Answer`] comes in. Both hold what a propagation check needs and nothing else;
//! the octets are hickory-proto's business and none of its types appear here. [`Answer::parse`] takes any
//! octets: it is the crate's door to the network.

mod answer;
pub use answer::{Answer, Data, ExtendedError, Malformed, Record, ResponseCode};
pub(crate) use answer::{Unfit, printable};

mod query;
pub(crate) use query::Edns;
pub use query::{Query, RecordType};
