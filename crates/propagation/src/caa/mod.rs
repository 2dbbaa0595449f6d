//! May this CA issue for this name? CAA records: RFC 8659, with the parameters of RFC 8657.
//!
//! A CA looks at CAA records before it issues, after all names are proven: a record that forbids costs an
//! order, its validations and a share of the rate limits. Whoever looks first, at the servers that the CA
//! will ask, keeps them. [`Checker::caa`](crate::Checker::caa) does; what it knows is here and pure:
//! [`Record::read`] reads one record, [`judge`] weighs a record set, [`climb`] says which names are asked
//! about, and [`decide`] weighs what all of them said. The name of a certificate is asked about, never the
//! challenge name.
//!
//! ```
//! use perennial_propagation::caa::{Decision, Question, Record, judge};
//!
//! let name = "*.example.com".parse()?;
//! let question = Question::new(&name).issuer("ca1.example.net").method("dns-01");
//! let value = b"ca1.example.net; validationmethods=dns-01";
//! let records = [Record::read("example.com".parse()?, false, "issue", value)];
//! assert!(matches!(judge(&question, &records), Decision::Allowed { .. }));
//! let stranger = Question::new(&name).issuer("ca2.example.org");
//! assert!(matches!(judge(&stranger, &records), Decision::Forbidden { .. }));
//! # Ok::<(), perennial_core::DomainNameError>(())
//! ```

mod authorization;
pub use authorization::{Authorization, Malformed, Parameter};

mod decision;
pub use decision::{Decision, Doubt, Outcome, Refusal, climb, decide, judge};

mod question;
pub use question::Question;

mod record;
pub use record::{Property, Record};

mod report;
pub use report::{Level, Report, Row, Said, Step};

mod search;
pub(crate) use search::{Heard, Lead, Search, hear};
