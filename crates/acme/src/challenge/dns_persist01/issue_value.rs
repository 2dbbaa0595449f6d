//! The grammar of RFC 8659 §4.2, `issue-value`: an issuer's domain name and parameters.

use perennial_core::DomainName;

use super::RecordFault;
use crate::text::printable;

/// A value, as it is written: tags in their own case, unknown ones too.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct IssueValue<'a> {
    pub(super) issuer: DomainName,
    parameters: Vec<(&'a str, &'a str)>,
}

impl<'a> IssueValue<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, RecordFault> {
        if text.len() > MAX_VALUE {
            return Err(RecordFault::TooLong { length: text.len() });
        }
        let (issuer, rest) = match text.split_once(';') {
            Some((issuer, rest)) => (issuer, Some(rest)),
            None => (text, None),
        };
        let mut value = Self { issuer: issuer_name(trim(issuer))?, parameters: Vec::new() };
        // `issuer;` has no parameters, and is no fault; a semicolon after a parameter needs another one.
        for parameter in rest.filter(|rest| !trim(rest).is_empty()).iter().flat_map(|rest| rest.split(';')) {
            value.add(trim(parameter))?;
        }
        Ok(value)
    }

    fn add(&mut self, parameter: &'a str) -> Result<(), RecordFault> {
        let bad = || RecordFault::Parameter { text: printable(parameter, 100) };
        let (tag, value) = parameter.split_once('=').ok_or_else(bad)?;
        let (tag, value) = (trim(tag), trim(value));
        if !is_label(tag) || !value.bytes().all(is_value_octet) {
            return Err(bad());
        }
        if self.get(tag).is_some() {
            return Err(RecordFault::Duplicate { tag: printable(tag, 100) });
        }
        self.parameters.push((tag, value));
        Ok(())
    }

    /// The value of a tag, in whatever case it is written.
    pub(super) fn get(&self, tag: &str) -> Option<&'a str> {
        let mut parameters = self.parameters.iter();
        parameters.find(|(name, _)| name.eq_ignore_ascii_case(tag)).map(|(_, value)| *value)
    }
}

/// What fits a TXT record and still a message of DNS over UDP; account URLs are far shorter.
const MAX_VALUE: usize = 4096;

/// `value = *(%x21-3A / %x3C-7E)`: all that is visible but the semicolon.
pub(super) const fn is_value_octet(octet: u8) -> bool {
    octet.is_ascii_graphic() && octet != b';'
}

fn issuer_name(text: &str) -> Result<DomainName, RecordFault> {
    let bad = || RecordFault::Issuer { text: printable(text, 100) };
    if !text.split('.').all(is_label) {
        return Err(bad());
    }
    DomainName::parse(text).map_err(|_| bad())
}

/// Letters and digits, and hyphens between them: `label` and `tag` are alike.
fn is_label(text: &str) -> bool {
    let ends = [text.bytes().next(), text.bytes().next_back()];
    ends.iter().all(|octet| octet.is_some_and(|octet| octet.is_ascii_alphanumeric()))
        && text.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
}

/// Without WSP (RFC 5234 B.1) at both ends.
fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn white_space_and_case_do_not_matter_and_unknown_tags_are_kept() {
        let value =
            IssueValue::parse(" CA.example\t; AccountURI = https://ca.example/acct?a=1;x-1=  ; y=").unwrap();
        assert_eq!(value.issuer.as_str(), "ca.example");
        assert_eq!(value.get("accounturi"), Some("https://ca.example/acct?a=1"));
        assert_eq!((value.get("X-1"), value.get("y"), value.get("z")), (Some(""), Some(""), None));
    }

    #[test]
    fn rfc8659_4_2_an_issuer_may_stand_alone_with_its_semicolon_or_without() {
        for text in ["ca.example", "ca.example;", " ca.example ; "] {
            assert_eq!(IssueValue::parse(text).unwrap().parameters, []);
        }
    }

    #[test]
    fn what_the_grammar_does_not_have_is_named() {
        for text in
            ["", ";", "; a=b", "ca..example", "-ca.example", "ca_1.example", "ca.example.", "ca example; a=b"]
        {
            assert!(matches!(IssueValue::parse(text), Err(RecordFault::Issuer { .. })), "{text}");
        }
        let parameters = [
            "ca.example; a=b;",
            "ca.example;; a=b",
            "ca.example; a",
            "ca.example; =b",
            "ca.example; a-=b",
            "ca.example; a_b=c",
            "ca.example; a=b c",
            "ca.example; a=ü",
            "ca.example; a=\u{7f}",
        ];
        for text in parameters {
            assert!(matches!(IssueValue::parse(text), Err(RecordFault::Parameter { .. })), "{text}");
        }
        let twice = IssueValue::parse("ca.example; a=b; A=c");
        assert_eq!(twice, Err(RecordFault::Duplicate { tag: "A".to_owned() }));
        let long = format!("ca.example; a={}", "b".repeat(5000));
        assert_eq!(IssueValue::parse(&long), Err(RecordFault::TooLong { length: 5014 }));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(ca.example)?[;= \\ta-zA-Z0-9.-]{0,40}|.{0,60}") {
            let _ = IssueValue::parse(&text);
        }
    }
}
