//! A DNS name as it goes on the wire.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A DNS name: A-labels (RFC 5890 §2.3.2.1), lower case, without the final dot, length-checked, maybe a
/// wildcard.
///
/// Names are normalised once, here, and compared as text ever after: `Bücher.Example.` and
/// `xn--bcher-kva.example` are the same value. A label may start with an underscore (RFC 8552), as
/// `_acme-challenge` does; [`is_host_name`](Self::is_host_name) tells such names from those that a
/// certificate can hold. Only the leftmost label may be `*` (RFC 9525 §6.3). The root is no `DomainName`.
///
/// Cloning is cheap.
///
/// ```
/// use perennial_core::DomainName;
///
/// let name: DomainName = "*.Bücher.Example.".parse()?;
/// assert_eq!(name.as_str(), "*.xn--bcher-kva.example");
/// assert!(name.is_wildcard());
/// assert_eq!(name.base().as_str(), "xn--bcher-kva.example");
/// assert_eq!(name.base().child("_acme-challenge")?.as_str(), "_acme-challenge.xn--bcher-kva.example");
/// # Ok::<(), perennial_core::DomainNameError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainName(Arc<str>);

impl DomainName {
    /// Reads and normalises a name; Unicode is converted by UTS #46 as browsers do.
    ///
    /// # Errors
    /// [`DomainNameError`] with the text and what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, DomainNameError> {
        if is_normal(text) {
            return Ok(Self(text.into()));
        }
        Self::parse_any(text)
    }

    fn parse_any(text: &str) -> Result<Self, DomainNameError> {
        let fault = |problem| DomainNameError { text: text.chars().take(260).collect(), problem };
        let trimmed = text.strip_suffix('.').unwrap_or(text);
        let (wildcard, rest) = match trimmed.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, trimmed),
        };
        if rest.is_empty() {
            return Err(fault(Problem::Empty));
        }
        let ascii = if rest.is_ascii() {
            // UTS #46 would refuse nothing here that the label rules below do not, but for bad Punycode,
            // and it would refuse underscores in some modes: plain ASCII goes the plain way.
            let lower = rest.to_ascii_lowercase();
            if lower.split('.').any(|label| label.starts_with("xn--"))
                && idna::domain_to_ascii(&lower).is_err()
            {
                return Err(fault(Problem::NotIdna));
            }
            lower
        } else {
            idna::domain_to_ascii(rest).map_err(|_| fault(Problem::NotIdna))?
        };
        if ascii.parse::<std::net::IpAddr>().is_ok() {
            return Err(fault(Problem::IpAddress)); // Written in full-width digits, for instance.
        }
        for label in ascii.split('.') {
            check_label(label).map_err(fault)?;
        }
        let name = if wildcard { format!("*.{ascii}") } else { ascii };
        if name.len() > MAX_NAME {
            return Err(fault(Problem::NameTooLong { length: name.len() }));
        }
        Ok(Self(name.into()))
    }

    /// The name as text: lower case, no final dot.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the leftmost label is `*`.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        self.0.starts_with("*.")
    }

    /// The name without a leading `*.`: what RFC 8555 §7.1.3 calls the identifier of a wildcard order.
    #[must_use]
    pub fn base(&self) -> Self {
        self.0.strip_prefix("*.").map_or_else(|| self.clone(), |base| Self(base.into()))
    }

    /// The name one label up, or `None` at a top-level name.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        self.0.split_once('.').map(|(_, parent)| Self(parent.into()))
    }

    /// This name with one more label, or several, in front. A wildcard has no children.
    ///
    /// # Errors
    /// [`DomainNameError`] when the label is none, the whole gets too long, or this is a wildcard.
    pub fn child(&self, label: &str) -> Result<Self, DomainNameError> {
        Self::parse(&[label, ".", &self.0].concat())
    }

    /// The labels from left to right; a wildcard's first is `*`.
    pub fn labels(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('.')
    }

    /// Whether this name equals `other` or lies below it.
    ///
    /// ```
    /// # use perennial_core::DomainName;
    /// let zone: DomainName = "example.com".parse()?;
    /// assert!("a.example.com".parse::<DomainName>()?.is_at_or_below(&zone));
    /// assert!(zone.is_at_or_below(&zone));
    /// assert!(!"badexample.com".parse::<DomainName>()?.is_at_or_below(&zone));
    /// # Ok::<(), perennial_core::DomainNameError>(())
    /// ```
    #[must_use]
    pub fn is_at_or_below(&self, other: &Self) -> bool {
        self.0.strip_suffix(&*other.0).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }

    /// Whether a certificate can hold this name: letters, digits and hyphens only (RFC 5280 §4.2.1.6), a
    /// leading `*` apart.
    #[must_use]
    pub fn is_host_name(&self) -> bool {
        !self.0.contains('_')
    }
}

/// RFC 1035 §2.3.4: 255 octets on the wire are 253 characters of text.
const MAX_NAME: usize = 253;
/// RFC 1035 §2.3.4.
const MAX_LABEL: usize = 63;

/// Whether it can stay as it is, since nothing of it would be changed or refused: nearly all names come so.
/// What else does is told by the long way.
fn is_normal(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let label_is_normal = |label: &[u8]| {
        let inner = label.strip_prefix(b"_").unwrap_or(label);
        label.len() <= MAX_LABEL
            && !label.starts_with(b"xn--")
            && inner.first().is_some_and(|byte| plain(*byte) || *byte == b'_')
            && inner.last().is_some_and(|byte| plain(*byte) || *byte == b'_')
            && inner.iter().all(|byte| plain(*byte) || matches!(byte, b'-' | b'_'))
    };
    let mut labels = text.as_bytes().split(|byte| *byte == b'.');
    // No IPv4 address ends in a label that begins with a letter.
    let top_is_a_word =
        labels.clone().next_back().is_some_and(|top| top.first().is_some_and(u8::is_ascii_lowercase));
    text.len() <= MAX_NAME && top_is_a_word && labels.all(label_is_normal)
}

fn check_label(label: &str) -> Result<(), Problem> {
    if label.is_empty() {
        return Err(Problem::EmptyLabel);
    }
    if label.len() > MAX_LABEL {
        return Err(Problem::LabelTooLong { label: label.to_owned() });
    }
    if label.contains('*') {
        return Err(Problem::MisplacedWildcard);
    }
    let inner = label.strip_prefix('_').unwrap_or(label);
    let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if let Some(character) = label.chars().find(|c| !known(*c)) {
        return Err(Problem::BadCharacter { character });
    }
    if inner.is_empty() || inner.starts_with('-') || inner.ends_with('-') {
        return Err(Problem::BadHyphen { label: label.to_owned() });
    }
    Ok(())
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl AsRef<str> for DomainName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl FromStr for DomainName {
    type Err = DomainNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl TryFrom<&str> for DomainName {
    type Error = DomainNameError;

    fn try_from(text: &str) -> Result<Self, Self::Error> {
        Self::parse(text)
    }
}

impl TryFrom<String> for DomainName {
    type Error = DomainNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl Serialize for DomainName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for DomainName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// A text that is no domain name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a domain name: {problem}")]
#[non_exhaustive]
pub struct DomainNameError {
    /// The text, cut at 260 characters.
    pub text: String,
    problem: Problem,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Problem {
    #[error("the character {character:?} cannot stand in a name")]
    BadCharacter { character: char },
    #[error("the label {label:?} begins or ends with a hyphen, or is an underscore alone")]
    BadHyphen { label: String },
    #[error("it is empty; the root is not meant here")]
    Empty,
    #[error("two dots follow each other, or it begins with one")]
    EmptyLabel,
    #[error("it is an IP address")]
    IpAddress,
    #[error("the label {label:?} is longer than {MAX_LABEL} characters (RFC 1035 §2.3.4)")]
    LabelTooLong { label: String },
    #[error("a wildcard may only be the whole leftmost label, as in *.example.com")]
    MisplacedWildcard,
    #[error("it has {length} characters, {MAX_NAME} is the most (RFC 1035 §2.3.4)")]
    NameTooLong { length: usize },
    #[error("it cannot be converted to an internationalised name (RFC 5891, UTS #46)")]
    NotIdna,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn problem(text: &str) -> Problem {
        DomainName::parse(text).unwrap_err().problem
    }

    #[test]
    fn names_are_normalised_once() {
        for (text, normal) in [
            ("Example.COM.", "example.com"),
            ("*.Example.com", "*.example.com"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
            ("_acme-challenge.example.com", "_acme-challenge.example.com"),
            ("a.b_c.example", "a.b_c.example"),
            ("1.2.3.4.in-addr.arpa", "1.2.3.4.in-addr.arpa"),
        ] {
            assert_eq!(DomainName::parse(text).unwrap().as_str(), normal);
        }
    }

    #[test]
    fn each_fault_has_its_own_word() {
        assert_eq!(problem(""), Problem::Empty);
        assert_eq!(problem("."), Problem::Empty);
        assert_eq!(problem("*."), Problem::MisplacedWildcard); // its dot goes first, then a lone star is left
        assert_eq!(problem("a..b"), Problem::EmptyLabel);
        assert_eq!(problem("a.*.b"), Problem::MisplacedWildcard);
        assert_eq!(problem("*a.b"), Problem::MisplacedWildcard);
        assert_eq!(problem("192.0.2.1"), Problem::IpAddress);
        assert_eq!(problem("2001:db8::1"), Problem::IpAddress);
        assert_eq!(problem("１９２.0.2.1"), Problem::IpAddress);
        assert_eq!(problem("*.192.0.2.1"), Problem::IpAddress);
        assert_eq!(problem("＊.example"), Problem::MisplacedWildcard);
        assert_eq!(problem("a-.example"), Problem::BadHyphen { label: "a-".into() });
        assert_eq!(problem("_.example"), Problem::BadHyphen { label: "_".into() });
        assert_eq!(problem("a b.example"), Problem::BadCharacter { character: ' ' });
        assert_eq!(problem("-a.example"), Problem::BadHyphen { label: "-a".into() });
        assert_eq!(problem("xn--a.example"), Problem::NotIdna);
        assert!(matches!(problem(&format!("{}.example", "a".repeat(64))), Problem::LabelTooLong { .. }));
        assert!(DomainName::parse(&format!("{}.example", "a".repeat(63))).is_ok());
        let longest = format!("{}.abc", vec!["abcdefghi"; 25].join("."));
        assert_eq!(longest.len(), 253);
        assert!(DomainName::parse(&longest).is_ok());
        assert!(matches!(problem(&format!("{longest}d")), Problem::NameTooLong { length: 254 }));
        assert!(matches!(problem(&format!("*.{longest}")), Problem::NameTooLong { length: 255 }));
        let long = vec!["abcdefghi"; 26].join(".");
        assert!(matches!(problem(&long), Problem::NameTooLong { length: 259 }));
    }

    #[test]
    fn wildcards_have_no_children_and_bases_have() {
        let wildcard: DomainName = "*.example.com".parse().unwrap();
        assert!(wildcard.child("www").is_err());
        assert_eq!(wildcard.base().child("www").unwrap().as_str(), "www.example.com");
        assert!(!wildcard.base().child("_acme-challenge").unwrap().is_host_name());
    }

    #[test]
    fn parents_end_at_the_top_level() {
        let name: DomainName = "www.example.com".parse().unwrap();
        assert_eq!(name.parent().unwrap().parent().unwrap().as_str(), "com");
        assert_eq!(name.parent().unwrap().parent().unwrap().parent(), None);
    }

    proptest! {
        #[test]
        fn what_is_normal_would_come_through_unchanged(
            labels in proptest::collection::vec(
                "xn--[ab]?|_{0,2}[ab1-]{1,3}_?|[A*]|[ab]{62,65}|[ab]?[0-9]?",
                0..4,
            ),
            longest in 0..8_usize,
            dot in "\\.?",
        ) {
            let mut text = labels.join(".") + &dot;
            if longest == 0 {
                text = format!("{}.{text}", ["abcdefghi"; 25].join("."));
            }
            let long_way = DomainName::parse_any(&text);
            if is_normal(&text) {
                prop_assert_eq!(long_way, Ok(DomainName(text.as_str().into())));
            } else {
                prop_assert_eq!(long_way, DomainName::parse(&text));
            }
        }

        #[test]
        fn no_text_panics_and_what_parses_is_stable(text in ".{0,80}") {
            if let Ok(name) = DomainName::parse(&text) {
                prop_assert_eq!(DomainName::parse(name.as_str()).unwrap(), name);
            }
        }

        #[test]
        fn plain_host_names_parse(text in "[a-z]([a-z0-9]{0,20}[a-z])?(\\.[a-z]([a-z0-9]{0,20}[a-z])?){0,5}") {
            let name = DomainName::parse(&text).unwrap();
            prop_assert_eq!(name.as_str(), text.as_str());
        }
    }
}
