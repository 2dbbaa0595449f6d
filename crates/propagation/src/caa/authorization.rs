//! The value of `issue` and `issuewild`: RFC 8659 §4.2.

use std::fmt;

use serde::Serialize;

/// Whom an `issue` or `issuewild` property allows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::exhaustive_enums)] // RFC 8659 §4.2 settles what a value can be.
pub enum Authorization {
    /// One issuer.
    Issuer {
        /// The domain name that stands for it, in lower case.
        domain: String,
        /// What restricts it further. Parameters mean what the issuer says, but for those of RFC 8657.
        parameters: Vec<Parameter>,
    },
    /// Nobody, since the value is not as the grammar wants it: the RFC has it treated as
    /// [`Nobody`](Self::Nobody).
    Malformed {
        /// What is wrong with it.
        fault: Malformed,
    },
    /// Nobody: there is no domain name.
    Nobody,
}

/// A parameter of an issuer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[allow(clippy::exhaustive_structs)] // RFC 8659 §4.2 settles the two fields.
pub struct Parameter {
    /// Its name, in lower case.
    pub tag: String,
    /// What it is set to, perhaps nothing.
    pub value: String,
}

/// Why a value does not match the grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Malformed {
    /// It has octets that are neither printable ASCII nor white space.
    Characters,
    /// What stands before the first `;` is no domain name of letters, digits and hyphens.
    Issuer,
    /// One of its parameters is not of the form `tag=value`.
    Parameter,
}

impl Authorization {
    /// Reads a value, whatever it is.
    ///
    /// ```
    /// use perennial_propagation::caa::Authorization;
    ///
    /// assert_eq!(Authorization::read(b";"), Authorization::Nobody);
    /// assert!(matches!(Authorization::read(b"%%%%%"), Authorization::Malformed { .. }));
    /// let Authorization::Issuer { domain, parameters } = Authorization::read(b"CA.example; account=230123")
    /// else { panic!("RFC 8659 has it as an example") };
    /// assert_eq!((domain.as_str(), parameters[0].value.as_str()), ("ca.example", "230123"));
    /// ```
    #[must_use]
    pub fn read(value: &[u8]) -> Self {
        match parse(value) {
            Ok((Some(domain), parameters)) => Self::Issuer { domain, parameters },
            Ok((None, _)) => Self::Nobody,
            Err(fault) => Self::Malformed { fault },
        }
    }
}

fn parse(value: &[u8]) -> Result<(Option<String>, Vec<Parameter>), Malformed> {
    let text = std::str::from_utf8(value).map_err(|_| Malformed::Characters)?;
    if !text.bytes().all(|octet| octet == b'\t' || (b' '..=b'~').contains(&octet)) {
        return Err(Malformed::Characters);
    }
    let (issuer, rest) = text.split_once(';').unwrap_or((text, ""));
    let issuer = trim(issuer);
    if !issuer.is_empty() && !issuer.split('.').all(is_label) {
        return Err(Malformed::Issuer);
    }
    // A `;` with nothing behind it ends the domain name; behind a parameter it announces another one.
    let parameters = if trim(rest).is_empty() {
        Vec::new()
    } else {
        rest.split(';').map(parameter).collect::<Option<_>>().ok_or(Malformed::Parameter)?
    };
    Ok(((!issuer.is_empty()).then(|| issuer.to_ascii_lowercase()), parameters))
}

fn parameter(text: &str) -> Option<Parameter> {
    let (tag, value) = text.split_once('=')?;
    let (tag, value) = (trim(tag), trim(value));
    let whole = !value.contains([' ', '\t']);
    (is_label(tag) && whole).then(|| Parameter { tag: tag.to_ascii_lowercase(), value: value.to_owned() })
}

/// Letters, digits and hyphens, the latter neither first nor last. Labels and tags share this form.
fn is_label(text: &str) -> bool {
    let inside = text.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-');
    inside && !text.is_empty() && !text.starts_with('-') && !text.ends_with('-')
}

/// Without the white space of RFC 5234 around it.
fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Characters => "it has characters other than printable ASCII",
            Self::Issuer => "what stands before the first semicolon is no domain name",
            Self::Parameter => "a parameter is not of the form tag=value",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn issuer(domain: &str, parameters: &[(&str, &str)]) -> Authorization {
        let parameter =
            |(tag, value): &(&str, &str)| Parameter { tag: (*tag).into(), value: (*value).into() };
        Authorization::Issuer {
            domain: domain.into(),
            parameters: parameters.iter().map(parameter).collect(),
        }
    }

    #[test]
    fn rfc8659_4_2_a_value_is_read_as_the_grammar_has_it() {
        let both = [("a", "b"), ("c-d", "e=f:g")];
        for (value, read) in [
            ("ca1.example.net", issuer("ca1.example.net", &[])),
            (" \tCA1.Example.NET\t ", issuer("ca1.example.net", &[])),
            ("ca1.example.net;", issuer("ca1.example.net", &[])),
            ("ca1.example.net ; ", issuer("ca1.example.net", &[])),
            ("localhost", issuer("localhost", &[])),
            ("xn--bcher-kva.example", issuer("xn--bcher-kva.example", &[])),
            ("ca1.example.net; account=230123", issuer("ca1.example.net", &[("account", "230123")])),
            ("ca.example;A = b;c-d=\te=f:g ", issuer("ca.example", &both)),
            ("ca.example;empty=", issuer("ca.example", &[("empty", "")])),
            ("", Authorization::Nobody),
            (" ", Authorization::Nobody),
            (";", Authorization::Nobody),
            (" ; \t", Authorization::Nobody),
            ("; policy=ev", Authorization::Nobody),
        ] {
            assert_eq!(Authorization::read(value.as_bytes()), read, "{value:?}");
        }
    }

    #[test]
    fn what_does_not_match_the_grammar_allows_nobody_and_says_why() {
        for (value, fault) in [
            (&b"%%%%%"[..], Malformed::Issuer),
            (b"ca.example.", Malformed::Issuer),
            (b".ca.example", Malformed::Issuer),
            (b"-ca.example", Malformed::Issuer),
            (b"ca-.example", Malformed::Issuer),
            (b"ca_1.example", Malformed::Issuer),
            (b"ca.example other.example", Malformed::Issuer),
            (b"ca.example a=b", Malformed::Issuer),
            (b"https://ca.example", Malformed::Issuer),
            (b"ca.example; a=b;", Malformed::Parameter),
            (b"ca.example;; a=b", Malformed::Parameter),
            (b"ca.example; ;", Malformed::Parameter),
            (b"ca.example; a", Malformed::Parameter),
            (b"ca.example; =b", Malformed::Parameter),
            (b"ca.example; a-=b", Malformed::Parameter),
            (b"ca.example; a_b=c", Malformed::Parameter),
            (b"ca.example; a=b c", Malformed::Parameter),
            (b"ca.example\n", Malformed::Characters),
            (b"ca.example\0", Malformed::Characters),
            ("b\u{fc}cher.example".as_bytes(), Malformed::Characters),
            (b"\xff", Malformed::Characters),
        ] {
            let text = String::from_utf8_lossy(value);
            assert_eq!(Authorization::read(value), Authorization::Malformed { fault }, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_value_panics(value in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = Authorization::read(&value);
        }

        #[test]
        fn what_is_read_reads_the_same_when_it_is_written_again(value in "[ a-z.;=-]{0,40}") {
            let read = Authorization::read(value.as_bytes());
            if let Authorization::Issuer { domain, parameters } = &read {
                let mut again = domain.clone();
                parameters.iter().for_each(|p| again.push_str(&format!("; {}={}", p.tag, p.value)));
                prop_assert_eq!(Authorization::read(again.as_bytes()), read);
            }
        }
    }
}
