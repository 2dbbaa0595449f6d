//! Whether the records that are there are enough, before the CA is asked.

use perennial_core::{DomainName, Timestamp};

use super::{Applicant, Record, RecordFault};
use crate::text::printable;

/// What is to be proven, and to whom.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs)] // Plain data: name, CA, account, moment.
pub struct Wanted<'a> {
    /// The name of the certificate, maybe a wildcard.
    pub name: &'a DomainName,
    /// The names of the CA, any of which will do: those of its [`Offer`](super::Offer) or its directory.
    pub issuers: &'a [DomainName],
    /// The account.
    pub applicant: &'a Applicant,
    /// The moment of the validation.
    pub now: Timestamp,
}

/// Finds a record that proves what is wanted, among the values of the TXT records below `at`: the name itself
/// or one above it. Records for other CAs may stand beside it.
///
/// ```
/// use perennial_acme::challenge::dns_persist01::{Applicant, NotCovered, Wanted, find};
/// use perennial_core::{DomainName, Timestamp};
///
/// let name: DomainName = "example.org".parse()?;
/// let issuers = ["ca2.example".parse()?];
/// let applicant = Applicant::v01("https://ca2.example/acme/acct/67890");
/// let now = Timestamp::from_unix(1_760_000_000);
/// let wanted = Wanted { name: &name, issuers: &issuers, applicant: &applicant, now };
/// let there = [
///     "ca1.example; accounturi=https://ca1.example/acme/acct/12345; policy=wildcard",
///     "ca2.example; accounturi=https://ca2.example/acme/acct/67890; persistUntil=1767225600",
/// ];
/// assert!(find(&name, there, &wanted).is_ok());
/// assert_eq!(find(&name, [there[0]], &wanted), Err(NotCovered::NoRecord));
/// # Ok::<(), perennial_core::DomainNameError>(())
/// ```
///
/// # Errors
/// [`NotCovered`] with what is wrong with the record that came closest.
pub fn find<'r>(
    at: &DomainName,
    records: impl IntoIterator<Item = &'r str>,
    wanted: &Wanted<'_>,
) -> Result<Record, NotCovered> {
    let mut closest = NotCovered::NoRecord;
    for text in records {
        match examine(at, text, wanted) {
            Ok(record) => return Ok(record),
            Err(reason) if reason.closeness() > closest.closeness() => closest = reason,
            Err(_) => {}
        }
    }
    Err(closest)
}

fn examine(at: &DomainName, text: &str, wanted: &Wanted<'_>) -> Result<Record, NotCovered> {
    let record = Record::parse(text)?;
    if !wanted.issuers.contains(record.issuer()) {
        return Err(NotCovered::NoRecord);
    }
    if !wanted.applicant.is_named(record.account_uri(), at) {
        return Err(NotCovered::OtherAccount { account_uri: printable(record.account_uri(), 300) });
    }
    if let Some(end) = record.expires().filter(|end| *end < wanted.now) {
        return Err(NotCovered::Expired { end });
    }
    let (base, here) = (wanted.name.base(), at.base());
    if !base.is_at_or_below(&here) {
        return Err(NotCovered::Elsewhere { at: here });
    }
    if !record.is_wildcard() && (wanted.name.is_wildcard() || base != here) {
        return Err(NotCovered::NotWildcard { at: here });
    }
    Ok(record)
}

/// Why no record proves what is wanted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotCovered {
    /// The records are at another name, which is none above the wanted one.
    #[error("the record is below {at}, where it does not count for the name")]
    Elsewhere {
        /// Where it is.
        at: DomainName,
    },
    /// The record has ended.
    #[error("the record counted until {end}: publish one with a later persistUntil, or without")]
    Expired {
        /// When.
        end: Timestamp,
    },
    /// A record is malformed. It may have been meant for this CA.
    #[error("a record is malformed: {0}")]
    Malformed(#[from] RecordFault),
    /// No record for this CA.
    #[error("there is no record for this CA")]
    NoRecord,
    /// The record is for its name alone.
    #[error("the record counts for {at} alone: wildcards and names below it need policy=wildcard")]
    NotWildcard {
        /// Its name.
        at: DomainName,
    },
    /// The record is for another account, for another name, or of another revision of the draft.
    #[error("the record is for another account, {account_uri}")]
    OtherAccount {
        /// Which, at most 300 characters.
        account_uri: String,
    },
}

impl NotCovered {
    /// How many conditions were met before one was not.
    const fn closeness(&self) -> u8 {
        match self {
            Self::NoRecord => 0,
            Self::Malformed(_) => 1,
            Self::OtherAccount { .. } => 2,
            Self::Expired { .. } => 3,
            Self::Elsewhere { .. } => 4,
            Self::NotWildcard { .. } => 5,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OURS: &str = "https://ca1.example/acme/acct/12345";

    fn name(text: &str) -> DomainName {
        text.parse().unwrap()
    }

    fn look(for_name: &str, at: &str, records: &[&str]) -> Result<Record, NotCovered> {
        let (wanted_name, issuers) = (name(for_name), [name("ca1.example"), name("old.example")]);
        let applicant = Applicant::v01(OURS);
        let now = Timestamp::from_unix(1_767_225_600);
        let wanted = Wanted { name: &wanted_name, issuers: &issuers, applicant: &applicant, now };
        find(&name(at), records.iter().copied(), &wanted)
    }

    fn ours(more: &str) -> String {
        format!("ca1.example; accounturi={OURS}{more}")
    }

    #[test]
    fn draft_dns_persist_01_two_cas_stand_side_by_side() {
        let other = "ca2.example; accounturi=https://ca2.example/acme/acct/67890; persistUntil=1767225600";
        let mine = ours("; policy=wildcard");
        assert_eq!(look("example.org", "example.org", &[other, &mine]).unwrap().to_string(), mine);
        assert_eq!(look("example.org", "example.org", &[other]), Err(NotCovered::NoRecord));
        assert_eq!(look("example.org", "example.org", &[]), Err(NotCovered::NoRecord));
        let by_old_name = ours("").replace("ca1.example;", "old.example;");
        assert!(look("example.org", "example.org", &[&by_old_name]).is_ok());
    }

    #[test]
    fn wildcards_and_names_below_need_the_policy() {
        let (alone, all) = (ours(""), ours("; policy=wildcard"));
        let not = NotCovered::NotWildcard { at: name("example.org") };
        assert!(look("example.org", "example.org", &[&alone]).is_ok());
        for below in ["*.example.org", "www.example.org", "*.a.b.example.org"] {
            assert_eq!(look(below, "example.org", &[&alone]), Err(not.clone()), "{below}");
            assert!(look(below, "example.org", &[&all]).is_ok(), "{below}");
        }
        let elsewhere = NotCovered::Elsewhere { at: name("www.example.org") };
        assert_eq!(look("example.org", "www.example.org", &[&all]), Err(elsewhere));
        assert!(look("badexample.org", "example.org", &[&all]).is_err());
    }

    #[test]
    fn a_record_counts_up_to_its_last_second() {
        assert!(look("example.org", "example.org", &[&ours("; persistUntil=1767225600")]).is_ok());
        let end = Timestamp::from_unix(1_767_225_599);
        let past = ours("; persistUntil=1767225599");
        assert_eq!(look("example.org", "example.org", &[&past]), Err(NotCovered::Expired { end }));
        let fresh = ours("");
        assert!(look("example.org", "example.org", &[&past, &fresh]).is_ok(), "one good record is enough");
    }

    #[test]
    fn the_reason_is_that_of_the_record_that_came_closest() {
        let malformed = ours(";");
        let stranger = "ca1.example; accounturi=https://ca1.example/acme/acct/6";
        let reason =
            look("*.example.org", "example.org", &[&malformed, &ours(""), stranger, "v=spf1"]).unwrap_err();
        assert_eq!(reason, NotCovered::NotWildcard { at: name("example.org") });
        let account_uri = "https://ca1.example/acme/acct/6".to_owned();
        let reason = look("example.org", "example.org", &[stranger, &malformed]).unwrap_err();
        assert_eq!(reason, NotCovered::OtherAccount { account_uri });
        let reason = look("example.org", "example.org", &[&malformed]).unwrap_err();
        assert!(matches!(reason, NotCovered::Malformed(RecordFault::Parameter { .. })));
    }

    proptest! {
        #[test]
        fn no_record_set_panics(records in proptest::collection::vec(".{0,40}", 0..4)) {
            let records: Vec<&str> = records.iter().map(String::as_str).collect();
            prop_assert!(look("example.org", "example.org", &records).is_err());
        }
    }
}
