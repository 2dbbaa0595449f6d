//! The record: made, written and read.

use std::fmt;

use perennial_core::{DomainName, Timestamp};

use super::issue_value::{IssueValue, is_value_octet};
use crate::text::printable;

/// A record that lets one account at one CA have certificates.
///
/// Read, it knows the parameters that the draft has; others are dropped. A `policy` other than `wildcard` is
/// as good as none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    issuer: DomainName,
    account_uri: String,
    wildcard: bool,
    persist_until: Option<Timestamp>,
}

impl Record {
    /// A record for the name alone, without end. The issuer is one of the
    /// [`Offer`](super::Offer), the URI is the [`Applicant`](super::Applicant)'s.
    ///
    /// # Errors
    /// [`RecordFault::AccountUri`] for a URI that a record cannot hold: it is empty, or has a semicolon,
    /// white space or anything outside of ASCII.
    pub fn new(issuer: DomainName, account_uri: &str) -> Result<Self, RecordFault> {
        if account_uri.is_empty() || !account_uri.bytes().all(is_value_octet) {
            return Err(RecordFault::AccountUri { text: printable(account_uri, 100) });
        }
        Ok(Self { issuer, account_uri: account_uri.to_owned(), wildcard: false, persist_until: None })
    }

    /// Lets the record count for `*.` and all names below, too. Think twice: whoever may publish below the
    /// name had to ask you so far. Default: no.
    #[must_use]
    pub const fn wildcard(mut self) -> Self {
        self.wildcard = true;
        self
    }

    /// Until when the CA may validate by it. Default: as long as it is there.
    #[must_use]
    pub const fn persist_until(mut self, moment: Timestamp) -> Self {
        self.persist_until = Some(moment);
        self
    }

    /// Reads the value of a TXT record, its character-strings joined without anything between.
    ///
    /// # Errors
    /// [`RecordFault`] with what is malformed.
    pub fn parse(text: &str) -> Result<Self, RecordFault> {
        let value = IssueValue::parse(text)?;
        let account_uri = value.get("accounturi").ok_or(RecordFault::NoAccountUri)?;
        let record = Self::new(value.issuer.clone(), account_uri)?;
        let wildcard = value.get("policy").is_some_and(|policy| policy.eq_ignore_ascii_case("wildcard"));
        let persist_until = value.get("persistUntil").map(moment).transpose()?;
        Ok(Self { wildcard, persist_until, ..record })
    }

    /// Which CA it is for.
    #[must_use]
    pub const fn issuer(&self) -> &DomainName {
        &self.issuer
    }

    /// Whom it is for.
    #[must_use]
    pub fn account_uri(&self) -> &str {
        &self.account_uri
    }

    /// Whether it counts for `*.` and all names below, too.
    #[must_use]
    pub const fn is_wildcard(&self) -> bool {
        self.wildcard
    }

    /// Until when it counts.
    #[must_use]
    pub const fn expires(&self) -> Option<Timestamp> {
        self.persist_until
    }

    /// The value as the character-strings of a TXT record, of 255 octets at most each (RFC 1035 §3.3).
    #[must_use]
    pub fn character_strings(&self) -> Vec<String> {
        let text = self.to_string(); // ASCII, all of it: see `new`
        text.as_bytes()
            .chunks(MAX_CHARACTER_STRING)
            .map(|part| String::from_utf8_lossy(part).into_owned())
            .collect()
    }
}

const MAX_CHARACTER_STRING: usize = 255;

/// Seconds since 1970, as digits; so many that no clock has them mean the end of the calendar.
fn moment(digits: &str) -> Result<Timestamp, RecordFault> {
    if digits.is_empty() || !digits.bytes().all(|octet| octet.is_ascii_digit()) {
        return Err(RecordFault::PersistUntil { text: printable(digits, 100) });
    }
    Ok(Timestamp::from_unix(digits.parse().unwrap_or(i64::MAX)))
}

/// The value: what the TXT record holds.
impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; accounturi={}", self.issuer, self.account_uri)?;
        if self.wildcard {
            f.write_str("; policy=wildcard")?;
        }
        if let Some(moment) = self.persist_until {
            write!(f, "; persistUntil={}", moment.unix())?;
        }
        Ok(())
    }
}

/// Why a text is no record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordFault {
    /// An account URI that a record cannot hold.
    #[error("{text:?} cannot be an accounturi: it has to be visible ASCII without a semicolon")]
    AccountUri {
        /// The URI.
        text: String,
    },
    /// A parameter that comes twice.
    #[error("the parameter {tag:?} comes twice")]
    Duplicate {
        /// Its tag.
        tag: String,
    },
    /// No issuer, or one that is no domain name.
    #[error("{text:?} is not the domain name of an issuer (RFC 8659 §4.2)")]
    Issuer {
        /// What stands in its place.
        text: String,
    },
    /// No `accounturi`.
    #[error("it names no accounturi, so it is for nobody")]
    NoAccountUri,
    /// A parameter that is none, or a semicolon without one.
    #[error("{text:?} is no parameter tag=value (RFC 8659 §4.2)")]
    Parameter {
        /// What stands in its place.
        text: String,
    },
    /// A `persistUntil` that is no number.
    #[error("persistUntil={text:?} is not seconds since 1970 in digits")]
    PersistUntil {
        /// The value.
        text: String,
    },
    /// Longer than any record that is meant so.
    #[error("it has {length} octets, 4096 is the most")]
    TooLong {
        /// How many octets.
        length: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SAMPLE: &str =
        "authority.example; accounturi=https://ca.example/acct/123; policy=wildcard; persistUntil=1721952000";

    fn issuer() -> DomainName {
        "authority.example".parse().unwrap()
    }

    #[test]
    fn draft_dns_persist_01_the_sample_with_policy_and_end_is_read_and_written() {
        let record = Record::new(issuer(), "https://ca.example/acct/123")
            .unwrap()
            .wildcard()
            .persist_until("2024-07-26T00:00:00Z".parse().unwrap());
        assert_eq!(record.to_string(), SAMPLE);
        assert_eq!(Record::parse(SAMPLE), Ok(record));
    }

    #[test]
    fn draft_dns_persist_02_4_1_the_sample_of_a_hashed_account_is_read() {
        let text = "authority.example; \
                    accounturi=https://ca.example/account-hash/sha-256/5SQm7n6tPh2-PlLbCKGnViTXX5z19SCN4cPGQHSk-kw";
        let record = Record::parse(text).unwrap();
        assert!(!record.is_wildcard() && record.expires().is_none());
        assert_eq!(record.to_string(), text);
    }

    #[test]
    fn tags_and_policy_are_read_in_any_case_and_what_is_unknown_is_ignored() {
        let record = Record::parse(
            "AUTHORITY.example;ACCOUNTURI=https://ca.example/1;Policy=WildCard;future=1;PERSISTUNTIL=7",
        )
        .unwrap();
        assert!(record.is_wildcard());
        assert_eq!((record.issuer(), record.expires()), (&issuer(), Some(Timestamp::from_unix(7))));
        let other = Record::parse("authority.example; accounturi=u; policy=specific-only").unwrap();
        assert!(!other.is_wildcard());
    }

    #[test]
    fn a_record_for_nobody_or_with_an_end_that_is_no_number_is_malformed() {
        assert_eq!(Record::parse("authority.example"), Err(RecordFault::NoAccountUri));
        assert!(matches!(Record::parse("ca.example; accounturi="), Err(RecordFault::AccountUri { .. })));
        for end in ["", "-5", "1e9", "2027-01-01", "0x7"] {
            let text = format!("authority.example; accounturi=u; persistUntil={end}");
            assert_eq!(Record::parse(&text), Err(RecordFault::PersistUntil { text: end.to_owned() }));
        }
        let far = format!("authority.example; accounturi=u; persistUntil={}", "9".repeat(30));
        assert_eq!(Record::parse(&far).unwrap().expires(), Some(Timestamp::MAX));
    }

    #[test]
    fn a_uri_that_would_become_a_parameter_is_refused() {
        for uri in ["https://ca.example/a;policy=wildcard", "https://ca.example/a b", ""] {
            assert!(matches!(Record::new(issuer(), uri), Err(RecordFault::AccountUri { .. })), "{uri}");
        }
    }

    #[test]
    fn a_long_value_is_cut_into_strings_of_255_octets() {
        let uri = format!("https://ca.example/{}", "a".repeat(600));
        let record = Record::new(issuer(), &uri).unwrap();
        let strings = record.character_strings();
        assert_eq!(
            strings.iter().map(String::len).collect::<Vec<_>>(),
            [255, 255, record.to_string().len() - 510]
        );
        assert_eq!(Record::parse(&strings.concat()), Ok(record));
        assert_eq!(Record::parse(SAMPLE).unwrap().character_strings(), [SAMPLE]);
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_parses_is_written_so_that_it_parses(
            text in "(ca.example; ?accounturi=[ -~]{0,20}(; ?[a-zA-Z]{1,12}=[0-9a-z]{0,12}){0,3})|.{0,60}",
        ) {
            if let Ok(record) = Record::parse(&text) {
                prop_assert_eq!(Record::parse(&record.to_string()), Ok(record));
            }
        }
    }
}
