//! A domain in two parts, as Namecheap wants it.

use perennial_core::DomainName;

/// A domain in two parts: `example` and `co.uk`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Split {
    /// What was registered below the suffix, and what was made a domain below that: `example`, `lab.example`.
    pub(super) sld: String,
    /// The suffix: `com`, `co.uk`.
    pub(super) tld: String,
}

impl Split {
    /// Where it may be split, the likeliest first. A suffix has one label or two: those of more are none of
    /// Namecheap's.
    pub(super) fn candidates(apex: &DomainName) -> Vec<Self> {
        let labels: Vec<_> = apex.labels().collect();
        let most = labels.len().min(MOST_OF_SUFFIX + 1);
        let at = |suffix: usize| {
            let (sld, tld) = labels.split_at(labels.len() - suffix);
            Self { sld: sld.join("."), tld: tld.join(".") }
        };
        (1..most).map(at).collect()
    }
}

const MOST_OF_SUFFIX: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_split_before_its_last_label_or_before_the_last_two() {
        for (apex, expected) in [
            ("com", &[][..]),
            ("example.com", &[("example", "com")]),
            ("example.co.uk", &[("example.co", "uk"), ("example", "co.uk")]),
            ("a.lab.example.com", &[("a.lab.example", "com"), ("a.lab", "example.com")]),
        ] {
            let splits = Split::candidates(&apex.parse().unwrap());
            let splits: Vec<_> = splits.iter().map(|it| (it.sld.as_str(), it.tld.as_str())).collect();
            assert_eq!(splits, expected, "{apex}");
        }
    }
}
