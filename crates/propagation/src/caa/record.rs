//! One CAA record: RFC 8659 §4.1.

use std::fmt;

use perennial_core::DomainName;
use serde::Serialize;

use super::Authorization;
use crate::wire::printable;

/// One CAA record. `Display` writes its data as a zone file has it, such as `0 issue "ca.example"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Record {
    /// Whose record it is.
    pub domain: DomainName,
    /// Whether a CA that does not know the tag may not issue (RFC 8659 §4.5).
    pub critical: bool,
    /// The tag, in lower case, made printable.
    pub tag: String,
    /// The value, made printable: at most 200 characters.
    pub value: String,
    /// What it means.
    pub property: Property,
}

/// What a CAA record says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
#[non_exhaustive]
pub enum Property {
    /// How the domain's owner is reached (`contactemail`, `contactphone`; Baseline Requirements, appendix A).
    /// Restricts nothing.
    Contact,
    /// Where violations are reported (`iodef`, RFC 8659 §4.4). Restricts nothing.
    Iodef,
    /// Who may issue (`issue`, RFC 8659 §4.2).
    Issue {
        /// Whom it allows.
        authorization: Authorization,
    },
    /// Who may issue for wildcards (`issuewild`, RFC 8659 §4.3).
    Issuewild {
        /// Whom it allows.
        authorization: Authorization,
    },
    /// Something else, perhaps for certificates of another kind (`issuemail`, RFC 9495). Restricts nothing,
    /// unless it is critical.
    Other,
}

impl Record {
    /// Reads a record, whatever is in it. Only the printable beginning of the text is kept; the meaning is
    /// that of the whole.
    #[must_use]
    pub fn read(domain: DomainName, critical: bool, tag: &str, value: &[u8]) -> Self {
        let tag = tag.to_ascii_lowercase();
        let property = match tag.as_str() {
            "contactemail" | "contactphone" => Property::Contact,
            "iodef" => Property::Iodef,
            "issue" => Property::Issue { authorization: Authorization::read(value) },
            "issuewild" => Property::Issuewild { authorization: Authorization::read(value) },
            _ => Property::Other,
        };
        Self { domain, critical, tag: printable(tag.as_bytes()), value: printable(value), property }
    }

    /// Whether a CA may be at a loss: it has to refuse what is critical and unknown to it (RFC 8659 §4.5),
    /// and the RFC gives it three tags to know.
    pub(crate) const fn is_critical_and_unusual(&self) -> bool {
        self.critical && matches!(self.property, Property::Contact | Property::Other)
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.value.replace('\\', "\\\\").replace('"', "\\\"");
        write!(f, "{} {} \"{value}\"", if self.critical { 128 } else { 0 }, self.tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(critical: bool, tag: &str, value: &[u8]) -> Record {
        Record::read("example.com".parse().unwrap(), critical, tag, value)
    }

    #[test]
    fn a_record_is_written_as_a_zone_file_has_it() {
        for (critical, tag, value, written) in [
            (false, "Issue", &b"ca1.example.net"[..], r#"0 issue "ca1.example.net""#),
            (true, "tbs", b"Unknown", r#"128 tbs "Unknown""#),
            (false, "iodef", br#"a"\b"#, r#"0 iodef "a\"\\b""#),
            (false, "issue", b"\x1b[2J\n", "0 issue \"\u{fffd}[2J\u{fffd}\""),
        ] {
            assert_eq!(read(critical, tag, value).to_string(), written);
        }
    }

    #[test]
    fn the_tag_says_what_it_is_in_any_case_of_letters() {
        let nobody = Authorization::Nobody;
        for (tag, property) in [
            ("ISSUE", Property::Issue { authorization: nobody.clone() }),
            ("issueWild", Property::Issuewild { authorization: nobody }),
            ("IODEF", Property::Iodef),
            ("contactemail", Property::Contact),
            ("issuemail", Property::Other),
            ("", Property::Other),
        ] {
            assert_eq!(read(false, tag, b";").property, property, "{tag}");
        }
        assert!(read(true, "tbs", b"").is_critical_and_unusual());
        assert!(!read(true, "issue", b"").is_critical_and_unusual());
        assert!(!read(false, "tbs", b"").is_critical_and_unusual());
    }

    proptest! {
        #[test]
        fn nothing_unprintable_is_kept(
            tag in any::<String>(),
            value in prop::collection::vec(any::<u8>(), 0..999),
        ) {
            let record = read(true, &tag, &value);
            prop_assert!(!record.to_string().chars().any(char::is_control));
            prop_assert!(record.value.chars().count() <= 200 && record.tag.chars().count() <= 200);
        }
    }
}
