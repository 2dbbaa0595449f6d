//! dns-persist-01 (draft-ietf-acme-dns-persist): a TXT record that stays.
//!
//! The record at `_validation-persist` below a name says which CA may issue for it, and to whom: no token,
//! and nothing to clean up. Whoever holds the account's key holds the name as long as the record is there.
//!
//! The draft still moves, and its revisions do not understand each other: see [`Draft`]. **Nothing here is
//! used unless you call it**, and then for the revision that you name.
//!
//! ```
//! use perennial_acme::challenge::dns_persist01::{Applicant, Record};
//! use perennial_core::DomainName;
//!
//! let name: DomainName = "example.com".parse()?;
//! let applicant = Applicant::v01("https://ca.example/acct/123");
//! let record = Record::new("authority.example".parse()?, &applicant.uri(&name))?.wildcard();
//! assert_eq!(
//!     record.to_string(),
//!     "authority.example; accounturi=https://ca.example/acct/123; policy=wildcard"
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod applicant;
pub use applicant::{AccountHashPrefix, Applicant};

mod coverage;
pub use coverage::{NotCovered, Wanted, find};

mod issue_value;

mod offer;
pub use offer::Offer;
pub(crate) use offer::issuer_domain_names;

mod record;
pub use record::{Record, RecordFault};

use perennial_core::{DomainName, DomainNameError};

/// A revision of the draft. They differ in what `accounturi` holds and in the words of challenge and
/// directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Draft {
    /// Revisions -00 and -01: the account's URL, as it is.
    V01,
    /// Revision -02: a hash over the name, the account's key and its URL.
    V02,
}

/// Where the record has to be: `_validation-persist` below the name. A wildcard's record is at the name
/// itself.
///
/// # Errors
/// [`DomainNameError`] when the name is too long to have a record below it.
pub fn record_name(name: &DomainName) -> Result<DomainName, DomainNameError> {
    name.base().child("_validation-persist")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_its_wildcard_share_the_record() {
        let name: DomainName = "example.org".parse().unwrap();
        let wildcard: DomainName = "*.example.org".parse().unwrap();
        assert_eq!(record_name(&name).unwrap().as_str(), "_validation-persist.example.org");
        assert_eq!(record_name(&wildcard), record_name(&name));
    }
}
