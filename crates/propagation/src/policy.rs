//! What is demanded before a CA may look.

use std::{fmt, str::FromStr, time::Duration};

use perennial_core::Retry;
use serde::{Serialize, Serializer};

use crate::{duration, watch::Asking};

/// How many of a zone's name servers must have the values, or what else shall do.
///
/// A CA asks from several places on the internet (CA/Browser Forum ballot SC-067, "MPIC"), and each of them
/// may reach another name server: a value that only some have makes validation a gamble.
///
/// Each policy has a text, for command lines and environment variables:
///
/// ```
/// use perennial_propagation::Policy;
/// use std::time::Duration;
///
/// assert_eq!("all".parse(), Ok(Policy::All));
/// assert_eq!("quorum:2".parse(), Ok(Policy::Quorum(2)));
/// assert_eq!("wait:30s".parse(), Ok(Policy::WaitOnly(Duration::from_secs(30))));
/// assert_eq!(Policy::RecursiveOnly.to_string(), "recursive-only");
/// assert!("most".parse::<Policy>().unwrap_err().to_string().contains("quorum:2"));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Policy {
    /// `all`: all name servers that work: each has the values at one address at least, and nobody who answers
    /// with authority lacks them. Name servers that are dead or lame are tolerated, with a warning, after a
    /// [grace period](crate::CheckerBuilder::grace), while at least half of the name servers have the values:
    /// a CA's resolver passes them over as well, and one of them must not hold up a certificate for ever.
    #[default]
    All,
    /// `any`: one name server is enough.
    Any,
    /// `quorum:2`: this many name servers, or all where a zone has fewer; 0 counts as 1.
    Quorum(usize),
    /// `recursive-only`: the zone's name servers are not asked at all, but the configured resolvers, and every
    /// one of them must have the values. For networks that let no DNS out but through a resolver. A resolver
    /// that is asked too early remembers the "no" for as long as the zone's SOA record says (RFC 2308 §5).
    RecursiveOnly,
    /// `strict`: every address of every name server, no exception.
    Strict,
    /// `wait:30s`: nobody is asked anything; after so much time the values count as visible, with a warning.
    /// For networks that let no DNS out at all. Nothing is known then, and a CA may well see nothing.
    WaitOnly(Duration),
}

impl Policy {
    /// Who is asked under this policy.
    pub(crate) const fn asking(self) -> Asking {
        match self {
            Self::RecursiveOnly => Asking::Resolvers,
            Self::All | Self::Any | Self::Quorum(_) | Self::Strict | Self::WaitOnly(_) => Asking::Authorities,
        }
    }
}

/// The policy's text; a wait is written in whole milliseconds.
impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Any => f.write_str("any"),
            Self::Quorum(count) => write!(f, "quorum:{count}"),
            Self::RecursiveOnly => f.write_str("recursive-only"),
            Self::Strict => f.write_str("strict"),
            Self::WaitOnly(wait) => write!(f, "wait:{}", duration::text(*wait)),
        }
    }
}

impl FromStr for Policy {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        let fault = || PolicyError { text: text.chars().take(80).collect() };
        let text = text.trim();
        Ok(match text.split_once(':') {
            Some(("quorum", count)) => Self::Quorum(count.trim().parse().map_err(|_| fault())?),
            Some(("wait", wait)) => Self::WaitOnly(duration::parse(wait).ok_or_else(fault)?),
            Some(_) => return Err(fault()),
            None => match text {
                "all" => Self::All,
                "any" => Self::Any,
                "recursive-only" => Self::RecursiveOnly,
                "strict" => Self::Strict,
                _ => return Err(fault()),
            },
        })
    }
}

/// As its text.
impl Serialize for Policy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A text that is no [`Policy`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no policy; use all, any, quorum:2, recursive-only, strict or wait:30s")]
pub struct PolicyError {
    text: String,
}

impl PolicyError {
    /// Never: the text has to be mended.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        Retry::Never
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_policy_has_its_text() {
        for (text, policy) in [
            ("all", Policy::All),
            ("any", Policy::Any),
            ("quorum:3", Policy::Quorum(3)),
            ("recursive-only", Policy::RecursiveOnly),
            ("strict", Policy::Strict),
            ("wait:30s", Policy::WaitOnly(Duration::from_secs(30))),
            ("wait:1500ms", Policy::WaitOnly(Duration::from_millis(1500))),
        ] {
            assert_eq!(text.parse(), Ok(policy));
            assert_eq!(policy.to_string(), text);
        }
        assert_eq!(" wait: 2m ".parse(), Ok(Policy::WaitOnly(Duration::from_secs(120))));
    }

    #[test]
    fn other_texts_are_refused_with_all_that_would_do() {
        for text in ["", "ALL", "quorum", "quorum:", "quorum:-1", "quorum:two", "wait", "wait:30", "all:1"] {
            let error = text.parse::<Policy>().unwrap_err();
            let told = error.to_string();
            assert!(told.starts_with(&format!("{text:?} is no policy")), "{told}");
            assert!(told.contains("recursive-only") && told.contains("wait:30s"), "{told}");
            assert_eq!(error.retry(), Retry::Never);
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_is_read_is_written_the_same(text in "(quorum:|wait:)?[0-9a-z:]{0,24}") {
            if let Ok(policy) = text.parse::<Policy>() {
                prop_assert_eq!(policy.to_string().parse(), Ok(policy));
            }
        }
    }
}
